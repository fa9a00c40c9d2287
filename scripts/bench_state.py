"""Measure how a node grows with its state: `python -m scripts.bench state [--json]`.

For each number of accounts a genesis document with so many is written, and a fresh process begins
the chain from it (first start). Another process opens that chain (restart) and makes blocks of
transfers from 1,000 senders to accounts drawn at random, each built, executed and committed to the
synced store as in a node; `build_cpu_ms` is what the building thread itself took. Then it reads
and proves accounts, at the head and as they were before the first of these blocks. Memory is the
resident set of that second process.

`--long BLOCKS` makes so many blocks instead, in one process with a cache of `--cache-mb` and state
history of 128 blocks, and shows memory, time and what is cached along the way: all of it must stay
where it is once the caches are full.
"""

import argparse
import json
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from genesis.document import Genesis, load
from genesis.predeploys import registry_account
from genesis.writing import save
from node.app import open_chain
from node.blockstore import BlockStore, read_document
from node.config import Settings, StateSection
from node.log import set_up_logs
from node.store import RocksStore
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.params import ChainParams
from primitives.transaction import Transaction, decode_transactions
from primitives.types import Address, ChainId, Wei
from primitives.validators import Validator, ValidatorSet
from scripts.load import LoadError, accounts, nearest_rank, sign_transfer
from vm.blocks import BlockExecutor
from vm.pyevm.engine import PyEvmEngine
from vm.state.cache import CachedStore

CHAIN_ID = 20_260
SENDERS = 1_000
SIZES = (1_000, 100_000, 1_000_000)
FUNDS_WEI = Wei(10**24)
READS = 2_000
PROOFS = 200
LONG_STEPS = 10
CACHE_BYTES = 64 * 2**20
"""The default of `engine.cache_mb`."""
STEPS_S_MAX = 3_600


def say(text: str) -> None:
    """Show progress; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def filler(number: int) -> Address:
    """Return the address of the account with this number."""
    return Address(keccak(number.to_bytes(8, "big"))[:20])


def write_document(path: Path, count: int) -> None:
    """Write a genesis document with `count` accounts beside those of the senders."""
    params = ChainParams(ChainId(CHAIN_ID))
    validators = ValidatorSet.of([Validator(filler(2**60))])
    alloc = {key.address: GenesisAccount(FUNDS_WEI) for key in accounts(SENDERS)}
    alloc |= {filler(n): GenesisAccount(Wei(10**18 + n)) for n in range(count)}
    alloc[params.validator_registry] = registry_account(validators)
    save(Genesis(params, 1_700_000_000, alloc, validators), path)


def resident_mb() -> float:
    """Return the resident memory of this process, in megabytes."""
    return round(float(psutil.Process().memory_info().rss) / 1e6, 1)


def open_folder(
    folder: Path, cache_bytes: int, history: str = "full"
) -> tuple[CachedStore, BlockStore, Genesis, float]:
    """Open or begin the chain of a folder as a node does; also return the seconds it took."""
    started = time.perf_counter()
    store = CachedStore(RocksStore(folder / "chain"), cache_bytes)
    genesis = load(folder / "genesis.json", known=read_document(store))
    settings = Settings(folder, state=StateSection(history))
    blocks = open_chain(store, PyEvmEngine(), genesis, settings)
    return store, blocks, genesis, time.perf_counter() - started


def first_start(folder: Path, _: argparse.Namespace) -> dict[str, Any]:
    """Begin the chain; return the seconds and the peak of memory."""
    store, _blocks, _genesis, seconds = open_folder(folder, CACHE_BYTES)
    store.close()
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"first_start_s": round(seconds, 2), "first_start_peak_mb": round(peak_kb / 1e3)}


def signed(count: int, transfers: int, rounds: int, seed: int) -> Iterator[list[Transaction]]:
    """Yield the transfers of each block, from the senders in turn to accounts drawn at random."""
    chance, keys = random.Random(seed), accounts(SENDERS)
    nonces = [0] * SENDERS
    at = 0
    for _ in range(rounds):
        raws = []
        for _ in range(transfers):
            sender = at % SENDERS
            to = filler(chance.randrange(count))
            raws.append(sign_transfer(keys[sender], CHAIN_ID, nonces[sender], to, 1))
            nonces[sender] += 1
            at += 1
        yield [each for each in decode_transactions(raws) if isinstance(each, Transaction)]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one block took, in milliseconds."""

    build: float
    build_cpu: float
    commit: float


class Maker:
    """Makes blocks of transfers and commits them, as a node does."""

    def __init__(self, blocks: BlockStore, genesis: Genesis) -> None:
        self.executor = BlockExecutor(PyEvmEngine(), genesis.params)
        self._blocks = blocks

    def make(self, wanted: list[Transaction]) -> Taken:
        """Make one block that holds all `wanted`; raises LoadError."""
        view = self._blocks.view()
        started, cpu = time.perf_counter(), time.thread_time()
        executed, _ = self.executor.build(
            view.store,
            view.head,
            validators=view.validators,
            fee_recipient=filler(0),
            timestamp=view.head.timestamp + 1,
            transactions=wanted,
            block_hash=view.block_hash,
        )
        built, cpu_ended = time.perf_counter(), time.thread_time()
        self._blocks.commit(executed, b"certificate")
        if len(executed.block.transactions) != len(wanted):
            raise LoadError("a block did not hold all transfers")
        ended = time.perf_counter()
        return Taken((built - started) * 1e3, (cpu_ended - cpu) * 1e3, (ended - built) * 1e3)


def run_blocks(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Open the chain again, make blocks, read and prove; return all figures."""
    store, blocks, genesis, opened_s = open_folder(folder, CACHE_BYTES)
    before_mb = resident_mb()
    maker = Maker(blocks, genesis)
    rounds = signed(options.accounts, options.transfers, options.blocks, options.seed)
    taken = [maker.make(wanted) for wanted in rounds]
    result = {
        "restart_s": round(opened_s, 3),
        "memory_after_start_mb": before_mb,
        "memory_after_blocks_mb": resident_mb(),
        "build_ms": round(statistics.median(each.build for each in taken), 1),
        "build_cpu_ms": round(statistics.median(each.build_cpu for each in taken), 1),
        "commit_ms": round(statistics.median(each.commit for each in taken), 1),
        "block_max_ms": round(max(each.build + each.commit for each in taken), 1),
        **measure_reads(blocks, options),
    }
    store.close()
    return {**result, "disk_mb": disk_mb(folder)}


def run_long(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make many blocks; return memory, time and what is cached after each of LONG_STEPS parts."""
    store, blocks, genesis, _ = open_folder(folder, options.cache_mb * 2**20, "pruned")
    maker = Maker(blocks, genesis)
    part = max(1, options.long // LONG_STEPS)
    rows: list[dict[str, float]] = []
    taken: list[Taken] = []
    for wanted in signed(options.accounts, options.transfers, options.long, options.seed):
        taken.append(maker.make(wanted))
        if len(taken) == part:
            rows.append(
                {
                    "height": blocks.view().height,
                    "memory_mb": resident_mb(),
                    "build_cpu_ms": round(statistics.median(each.build_cpu for each in taken), 1),
                    "commit_ms": round(statistics.median(each.commit for each in taken), 1),
                    "cached_rows": len(store),
                    "cached_nodes": len(maker.executor.nodes),
                    "disk_mb": disk_mb(folder),
                }
            )
            say(f"{rows[-1]}")
            taken = []
    store.close()
    return {"long": rows}


def disk_mb(folder: Path) -> float:
    """Return the size of the chain's files, in megabytes."""
    size = 0
    for each in (folder / "chain").rglob("*"):
        with suppress(FileNotFoundError):  # RocksDB removes files meanwhile
            size += each.stat().st_size if each.is_file() else 0
    return round(size / 1e6, 1)


def measure_reads(blocks: BlockStore, options: argparse.Namespace) -> dict[str, float]:
    """Return microseconds of a read and milliseconds of a proof, at the head and at genesis."""
    view, chance = blocks.view(), random.Random(options.seed)
    drawn = [filler(chance.randrange(options.accounts)) for _ in range(READS)]
    found: dict[str, float] = {}
    for name, height in (("head", view.height), ("past", 0)):
        state, prover = view.state_at(height), view.prover_at(height)
        read = timed(drawn, state.account)
        proof = timed(drawn[:PROOFS], prover.prove)
        found[f"read_{name}_us"] = round(statistics.median(read) * 1e6, 1)
        found[f"proof_{name}_ms"] = round(statistics.median(proof) * 1e3, 2)
        found[f"proof_{name}_p99_ms"] = round(nearest_rank(proof, 99) * 1e3, 2)
    return found


def timed(drawn: list[Address], function: Callable[[Address], object]) -> list[float]:
    """Return the seconds that each call took."""
    taken = []
    for address in drawn:
        started = time.perf_counter()
        function(address)
        taken.append(time.perf_counter() - started)
    return taken


STEPS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "first": first_start,
    "run": run_blocks,
    "long": run_long,
}


def step(name: str, folder: Path, options: argparse.Namespace, count: int) -> dict[str, Any]:
    """Run one step in a process of its own, so that memory and start times are its own."""
    command = [sys.executable, "-m", "scripts.bench_state", name, str(folder)]
    command += ["--accounts", str(count), "--blocks", str(options.blocks)]
    command += ["--transfers", str(options.transfers), "--seed", str(options.seed)]
    command += ["--long", str(options.long), "--cache-mb", str(options.cache_mb)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=STEPS_S_MAX, check=False)
    if done.returncode:
        raise LoadError(f"the step {name} with {count} accounts failed")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def bench_state(options: argparse.Namespace) -> dict[str, Any]:
    """Measure each size up to the one that was asked for, and return every figure."""
    if options.long:
        return bench_long(options)
    sizes = sorted({size for size in SIZES if size < options.accounts} | {options.accounts})
    rows = []
    for count in sizes:
        folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
        try:
            say(f"{count:,} accounts: writing the genesis document")
            write_document(folder / "genesis.json", count)
            say(f"{count:,} accounts: first start")
            row = {"accounts": count, **step("first", folder, options, count)}
            say(f"{count:,} accounts: {row['first_start_s']} s; restart, {options.blocks} blocks")
            rows.append(row | step("run", folder, options, count))
            say(f"{count:,} accounts: {rows[-1]}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    about = {"transfers": options.transfers, "blocks": options.blocks, "seed": options.seed}
    return {"python": platform.python_version(), **about, "sizes": rows}


def bench_long(options: argparse.Namespace) -> dict[str, Any]:
    """Make many blocks on one state, and return what was seen along the way."""
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    try:
        write_document(folder / "genesis.json", options.accounts)
        step("first", folder, options, options.accounts)
        rows = step("long", folder, options, options.accounts)["long"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    about = {"transfers": options.transfers, "accounts": options.accounts, "seed": options.seed}
    return {"python": platform.python_version(), **about, "sizes": rows}


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result as a table for a person, one column for each size."""
    sizes = result["sizes"]
    yield f"Python {result['python']}, blocks of {result['transfers']} transfers"
    for name in sizes[0]:
        yield f"{name:24}" + "".join(f"{row[name]:>14,}" for row in sizes)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `state`."""
    command.add_argument("--accounts", type=int, default=1_000_000, help="the largest state")
    command.add_argument("--blocks", type=int, default=20, help="blocks at each size")
    command.add_argument("--transfers", type=int, default=1_000, help="transfers in a block")
    command.add_argument("--seed", type=int, default=1, help="of the recipients")
    command.add_argument(
        "--long", type=int, default=0, help="make so many blocks, see whether memory grows"
    )
    command.add_argument(
        "--cache-mb", type=int, default=8, help="cache of accounts and slots in a long run"
    )


def main() -> None:
    """Run one step for the process that measures."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_state")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("folder", type=Path)
    add_options(parser)
    options = parser.parse_args()
    set_up_logs("info", "auto")
    print(json.dumps(STEPS[options.step](options.folder, options)))


if __name__ == "__main__":
    main()
