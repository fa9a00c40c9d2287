"""Measure the engine on this machine: `python -m scripts.bench engine [--json]`.

Each workload is a list of signed transactions in blocks of one size. Ours takes raw bytes, decodes
them and recovers senders (in threads), executes, makes the state root, both ordered roots and the
block, and commits it to RocksDB with one synced batch. Beside it, in the same run and with the same
bytes, py-evm runs as a chain: its own `MiningChain`, account database and tries, in memory, with
nothing synced. Time is that of the wall; a figure is the best block of its kind, so that other
work on the machine counts as little as possible, and blocks of both take turns.

The state root is measured alone: random balances changed in a state of many accounts. `eth_call`
runs balanceOf on ours by `Engine.call`, on py-evm by its computation on its state.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from eth.chains.base import MiningChain
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.prague import PragueVM
from eth.vm.message import Message
from eth_typing import Address as EthAddress

from node.blockstore import BlockStore
from node.store import RocksStore
from primitives.account import Account, GenesisAccount
from primitives.codec import uint
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidTransaction
from primitives.keyvalue import MemoryStore
from primitives.params import ChainParams
from primitives.transaction import Transaction, decode_transactions
from primitives.types import (
    EMPTY_CODE_HASH,
    EMPTY_ROOT,
    Address,
    Gas,
    Nonce,
    Wei,
)
from scripts.bench_workloads import (
    CHAIN,
    GAS_LIMIT,
    WORKLOADS,
    World,
    call_data,
    make_token,
    make_world,
)
from scripts.load import LoadError
from vm.blocks import BlockExecutor, Executed, block_context
from vm.engine import Call, Engine, Execution
from vm.pyevm.engine import make_engine
from vm.state.cache import CachedStore
from vm.state.changes import ChangeSet
from vm.state.nodes import NodeCache
from vm.state.roots import ordered_root
from vm.state.store import StateStore, genesis_changes

CERTIFICATE: Final = b"\x01"
CACHE_BYTES: Final = 64 * 2**20
MICRO: Final = 1e6
WARM_BLOCKS: Final = 4
"""Blocks that are run first and not counted: they compile the contracts."""


def say(text: str) -> None:
    """Show progress; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


# --- ours -----------------------------------------------------------------------------------------


class Timed:
    """An engine that notes how long it executed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seconds = 0.0
        self.execution: Execution | None = None

    def execute(self, *arguments: Any, **options: Any) -> Execution:
        """Execute, and note how long it took."""
        started = time.perf_counter()
        self.execution = self.engine.execute(*arguments, **options)
        self.seconds = time.perf_counter() - started
        return self.execution

    def call(self, *arguments: Any, **options: Any) -> Any:
        """Call, untimed."""
        return self.engine.call(*arguments, **options)

    def estimate(self, *arguments: Any, **options: Any) -> Any:
        """Estimate, untimed."""
        return self.engine.estimate(*arguments, **options)


class Ours:
    """Our chain: the executor and block store that a node has, on RocksDB."""

    name = "ours"

    def __init__(self, world: World, folder: Path, kind: str) -> None:
        params = ChainParams(chain_id=CHAIN, gas_limit=GAS_LIMIT)
        self.engine = Timed(make_engine(kind))
        self._executor = BlockExecutor(cast("Engine", self.engine), params)
        self._rocks = CachedStore(RocksStore(folder), CACHE_BYTES)
        self._params = params
        self._blocks = BlockStore.create(
            self._rocks, self._executor.genesis(world.alloc, timestamp=1)
        )
        self.stages: dict[str, float] = {}

    def block(self, raws: Sequence[bytes]) -> float:
        """Make, execute and commit a block of `raws`; return the seconds it took."""
        began = time.perf_counter()
        transactions = [_valid(each) for each in decode_transactions(raws)]
        decoded = time.perf_counter()
        executed = self._build(transactions)
        built = time.perf_counter()
        self._blocks.commit(executed, CERTIFICATE)
        ended = time.perf_counter()
        _check_all(len(raws), [each.status for each in executed.receipts])
        self.stages = {
            "decode and recover": decoded - began,
            "execute": self.engine.seconds,
            "roots and block": built - decoded - self.engine.seconds,
            "synced store": ended - built,
        }
        return ended - began

    def _build(self, transactions: Sequence[Transaction]) -> Executed:
        view = self._blocks.view()
        executed, _ = self._executor.build(
            view.store,
            view.head,
            validators=view.validators,
            fee_recipient=Address(b"\xfe" * 20),
            timestamp=view.head.timestamp + 1,
            transactions=transactions,
            block_hash=view.block_hash,
        )
        return executed

    def calls(self, to: Address, inputs: Sequence[bytes]) -> float:
        """Return the seconds that eth_call takes for `inputs`."""
        view = self._blocks.view()
        context = block_context(view.head, self._params, view.block_hash)
        started = time.perf_counter()
        for data in inputs:
            result = self.engine.call(
                StateStore(view.store).reader(),
                context,
                Call(Address(b"\x01" * 20), to, data, gas=Gas(100_000)),
            )
            if not result.success:
                raise LoadError(f"a call failed: {result.error}")
        return time.perf_counter() - started

    def close(self) -> None:
        """Close the store."""
        self._rocks.close()


def _valid(found: Transaction | InvalidTransaction) -> Transaction:
    if isinstance(found, InvalidTransaction):
        raise found
    return found


def _check_all(count: int, statuses: Sequence[int]) -> None:
    if len(statuses) != count or not all(statuses):
        raise LoadError(f"{sum(statuses)} of {count} transactions succeeded")


# --- py-evm as a chain ----------------------------------------------------------------------------


class Plain:
    """py-evm's own chain, in memory."""

    name = "py-evm"

    def __init__(self, world: World) -> None:
        chain = MiningChain.configure(
            __name__="BenchChain", vm_configuration=((0, PragueVM),), chain_id=CHAIN
        )
        state = {
            EthAddress(address): {
                "balance": each.balance,
                "nonce": each.nonce,
                "code": each.code,
                "storage": dict(each.storage),
            }
            for address, each in world.alloc.items()
        }
        parameters: Any = {"difficulty": 0, "gas_limit": GAS_LIMIT, "timestamp": 1}
        world_state: Any = state
        self._chain: Any = chain.from_genesis(AtomicDB(), parameters, world_state)
        self.stages: dict[str, float] = {}

    def block(self, raws: Sequence[bytes]) -> float:
        """Mine a block of `raws`; return the seconds it took."""
        began = time.perf_counter()
        builder = self._chain.get_vm().get_transaction_builder()
        transactions = [builder.decode(raw) for raw in raws]
        for each in transactions:
            each.sender  # noqa: B018 - py-evm recovers at the first look
        decoded = time.perf_counter()
        receipts = self._chain.mine_all(transactions)[1]
        ended = time.perf_counter()
        _check_all(len(raws), [int(each.state_root == b"\x01") for each in receipts])
        self.stages = {"decode and recover": decoded - began, "mine": ended - decoded}
        return ended - began

    def calls(self, to: Address, inputs: Sequence[bytes]) -> float:
        """Return the seconds that a message takes for each of `inputs`."""
        state = self._chain.get_vm().state
        sender = EthAddress(b"\x01" * 20)
        code = state.get_code(to)
        context = CancunTransactionContext(gas_price=0, origin=sender)
        started = time.perf_counter()
        for data in inputs:
            snapshot = state.snapshot()
            message = Message(100_000, EthAddress(to), sender, 0, data, code)
            result = state.computation_class.apply_message(state, message, context)
            state.revert(snapshot)
            if result.is_error:
                raise LoadError(f"a call failed: {result.error}")
        return time.perf_counter() - started

    def close(self) -> None:
        """Nothing to close."""


# --- measurements ---------------------------------------------------------------------------------


def bench_workload(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what one workload takes on both chains, in microseconds for each transaction."""
    maker, size = WORKLOADS[name]
    world = make_world()
    ours_blocks = WARM_BLOCKS + options.blocks
    raws = maker(world, size * ours_blocks, random.Random(options.seed))
    blocks = [raws[at : at + size] for at in range(0, len(raws), size)]
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    ours, plain = Ours(world, folder / "chain", options.engine), Plain(world)
    best: dict[str, tuple[float, dict[str, float]]] = {}
    try:
        for setup in world.setup:
            ours.block(setup)
            plain.block(setup)
        for number, block in enumerate(blocks):
            chains: list[Ours | Plain] = [ours]
            if number < options.plain_blocks:
                chains.append(plain)
            for chain in chains:
                seconds = chain.block(block)
                is_warm = number >= WARM_BLOCKS or chain is plain
                if is_warm and (chain.name not in best or seconds < best[chain.name][0]):
                    best[chain.name] = seconds, dict(chain.stages)
            say(f"{name}: block {number + 1} of {len(blocks)}")
    finally:
        ours.close()
        shutil.rmtree(folder, ignore_errors=True)
    return _figures(best, size)


def _figures(best: dict[str, tuple[float, dict[str, float]]], size: int) -> dict[str, Any]:
    ours, plain = best["ours"][0], best["py-evm"][0]
    return {
        "block": size,
        "ours_us": round(ours / size * MICRO, 1),
        "pyevm_us": round(plain / size * MICRO, 1),
        "ours_per_second": round(size / ours),
        "pyevm_per_second": round(size / plain),
        "ratio": round(plain / ours, 1),
        "ours_stages_us": _stages(best["ours"][1], size),
        "pyevm_stages_us": _stages(best["py-evm"][1], size),
    }


def _stages(stages: dict[str, float], size: int) -> dict[str, float]:
    return {name: round(seconds / size * MICRO, 1) for name, seconds in stages.items()}


def bench_calls(options: argparse.Namespace) -> dict[str, Any]:
    """Return what one eth_call of balanceOf takes on both."""
    world = make_world()
    token = make_token(world)
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    ours, plain = Ours(world, folder / "chain", options.engine), Plain(world)
    inputs = [call_data("balanceOf(address)", each.key.address) for each in world.senders]
    best = {"ours": 1e9, "py-evm": 1e9}
    try:
        for setup in world.setup:
            ours.block(setup)
            plain.block(setup)
        for _ in range(options.blocks + WARM_BLOCKS):
            for chain in (ours, plain):
                best[chain.name] = min(best[chain.name], chain.calls(token, inputs))
    finally:
        ours.close()
        shutil.rmtree(folder, ignore_errors=True)
    return _figures({name: (seconds, {}) for name, seconds in best.items()}, len(inputs))


def bench_roots(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the state root takes for each account that a block touches.

    Ours begins with nothing cached, as a node that has just started; the first block is shown too.
    """
    chance = random.Random(options.seed)
    addresses = [Address(keccak(uint(each + 1))[:20]) for each in range(options.accounts)]
    say(f"state root: {options.accounts} accounts")
    store, cache = MemoryStore(), NodeCache()
    alloc = {address: GenesisAccount(Wei(10**18)) for address in addresses}
    store.write(StateStore(store).compute(genesis_changes(alloc)).writes, sync=False)
    say("state root: ours is ready")
    theirs: Any = AccountDB(AtomicDB(MemoryDB()))
    for address in addresses:
        theirs.set_balance(EthAddress(address), 10**18)
    theirs.make_state_root()
    theirs.persist()
    say("state root: py-evm's is ready")
    gc.collect()
    gc.freeze()  # as a node does when it has started; for both
    result: dict[str, Any] = {"accounts": options.accounts}
    for touched in sorted({100, options.touched, 5_000}):
        if touched > options.accounts:
            continue
        rounds = []
        for number in range(options.blocks):
            balances = {
                address: Wei(chance.randrange(1, 10**18))
                for address in chance.sample(addresses, touched)
            }
            rounds.append(_root_round(store, cache, theirs, Nonce(number), balances))
            say(f"state root: block {number + 1} of {options.blocks} with {touched} accounts")
        ours, plain = ([each[side] for each in rounds] for side in (0, 1))
        found = _figures({"ours": (min(ours), {}), "py-evm": (min(plain), {})}, touched)
        found["ours_first_us"] = round(ours[0] / touched * MICRO, 1)
        result |= found if touched == options.touched else {f"touched_{touched}": found}
    return result


def _root_round(
    store: MemoryStore, cache: NodeCache, theirs: Any, nonce: Nonce, balances: dict[Address, Wei]
) -> tuple[float, float]:
    """Return the seconds from new balances and a nonce to the root, ours and py-evm's.

    Setting them counts for both: ours encodes accounts with the root, py-evm when they are set.
    """
    started = time.perf_counter()
    changes = ChangeSet()
    for address, balance in balances.items():
        changes.accounts[address] = Account(nonce, balance, EMPTY_ROOT, EMPTY_CODE_HASH)
    update = StateStore(store, cache).compute(changes)
    ours = time.perf_counter() - started
    store.write(update.writes, sync=False)
    started = time.perf_counter()
    for address, balance in balances.items():
        theirs.set_balance(EthAddress(address), balance)
        theirs.set_nonce(EthAddress(address), nonce)
    root = theirs.make_state_root()
    plain = time.perf_counter() - started
    theirs.persist()
    if root != update.state_root:
        raise LoadError("the two state roots differ")
    return ours, plain


def bench_ordered_roots(count: int = 200) -> dict[str, Any]:
    """Return what a receipts root takes for each receipt, on ours."""
    items = [keccak(uint(number)) * 8 for number in range(count)]
    best = 1e9
    for _ in range(5):
        started = time.perf_counter()
        ordered_root(items)
        best = min(best, time.perf_counter() - started)
    return {"items": count, "ours_us": round(best / count * MICRO, 1)}


def bench_engine(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is asked for and return every figure."""
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "engine": options.engine,
        "load": round(os.getloadavg()[0], 1),
    }
    for name in options.only or [*WORKLOADS, "eth_call", "state_root"]:
        if name == "eth_call":
            result[name] = bench_calls(options)
        elif name == "state_root":
            result[name] = bench_roots(options)
        else:
            result[name] = bench_workload(name, options)
    return result


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result in lines for a person."""
    yield (
        f"engine {result['engine']}, {result['cores']} cores, Python {result['python']}, "
        f"load at the start {result['load']}"
    )
    yield f"{'':12} {'ours us':>9} {'py-evm us':>10} {'ours /s':>9} {'py-evm /s':>10} {'ratio':>7}"
    for name, found in result.items():
        if not isinstance(found, dict):
            continue
        yield (
            f"{name:12} {found['ours_us']:>9} {found['pyevm_us']:>10} "
            f"{found['ours_per_second']:>9} {found['pyevm_per_second']:>10} {found['ratio']:>7}"
        )
        for row in (each for each in found.values() if isinstance(each, dict) and "block" in each):
            yield (
                f"{'  with ' + str(row['block']):12} {row['ours_us']:>9} {row['pyevm_us']:>10} "
                f"{row['ours_per_second']:>9} {row['pyevm_per_second']:>10} {row['ratio']:>7}"
            )
        if "ours_first_us" in found:
            yield f"{'':14}ours, the first block, nothing cached: {found['ours_first_us']}"
        for side in ("ours", "pyevm"):
            if stages := found[f"{side}_stages_us"]:
                parts = ", ".join(f"{stage} {taken}" for stage, taken in stages.items())
                yield f"{'':14}{side}: {parts}"


def add_command(commands: Any) -> None:
    """Add `engine` to the commands of `scripts.bench`."""
    command = commands.add_parser("engine", help="transactions, calls and roots beside py-evm's")
    command.add_argument("--blocks", type=int, default=8, help="blocks of ours to measure")
    command.add_argument("--plain-blocks", type=int, default=3, help="blocks of py-evm's chain")
    command.add_argument("--accounts", type=int, default=100_000, help="accounts of the state root")
    command.add_argument("--touched", type=int, default=1_000, help="accounts changed at once")
    command.add_argument("--engine", default="tuned", help="kind of our engine")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument(
        "--only", nargs="*", choices=[*WORKLOADS, "eth_call", "state_root"], help="leave others out"
    )
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.set_defaults(run=bench_engine, report=report)
