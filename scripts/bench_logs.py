"""eth_getLogs over a long real chain, by the index and without: `scripts.bench logs`.

A chain of so many blocks is made by the executor and committed to a RocksDB store as in a node;
only the sync of each block to the disk is left out. Each block holds a call whose contract logs
topic 1 and a second topic that a hundredth of the blocks has; each thousandth holds a call of a
second contract, too. Then a process that opens the chain anew runs the search of `eth_getLogs` over
all of it, with many hits to none, and encodes each answer; every search must find as many logs as
were made. Beside it stand a search that has only the headers' blooms and, for two of them, one that
reads the receipts of every block. Last the whole index is built again, as for a chain from before
it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from genesis.document import Genesis, load
from genesis.predeploys import registry_account
from genesis.writing import save
from node.app import open_chain
from node.blockstore import BlockStore, ChainView, read_document
from node.config import Settings, StateSection
from node.log import set_up_logs
from node.logindex import Indexer, set_indexed_from
from node.rpc.arguments import FilterObject
from node.rpc.encode import Json
from node.rpc.encoded import to_json
from node.rpc.logs import Search, block_logs
from node.store import RocksStore
from primitives.account import GenesisAccount
from primitives.crypto.secp256k1 import PrivateKey
from primitives.keyvalue import Column, Write
from primitives.params import ChainParams
from primitives.transaction import Transaction, decode_transactions
from primitives.types import Address, ChainId, Hash32, Height
from primitives.validators import Validator, ValidatorSet
from scripts.bench_localnet import say
from scripts.bench_rpc import sign_contract
from scripts.bench_state import CACHE_BYTES, FUNDS_WEI, Maker, disk_mb, filler, resident_mb
from scripts.load import LoadError, accounts
from vm.pyevm.engine import PyEvmEngine
from vm.state.cache import CachedStore

CHAIN_ID = 20_260
RUNTIME = bytes.fromhex("602a600052600035600160206000a200")
"""Emits 32 bytes with topic 1 and the first word of the call's data."""
BUSY, RARE = filler(2**61), filler(2**62)
ONE = Hash32((1).to_bytes(32, "big"))
RARE_EVERY = 1_000
NUMBERS = 100
"""The second topic is the height modulo this: a hundredth of the blocks has each."""
LOGS_MAX = 10**9
BARE = ("address, all blocks", "address, none")
"""Searches that are tried on all receipts; the others take as long."""
PROGRESS = 10_000
STEP_S_MAX = 7_200


class Unsynced(RocksStore):
    """A store that leaves it to the system when its writes reach the disk."""

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Apply the batch whole, and return before it is durable."""
        super().write(batch, sync=False)


def topic(number: int) -> Hash32:
    """Return a number as a topic."""
    return Hash32(number.to_bytes(32, "big"))


def open_folder(folder: Path) -> tuple[CachedStore, BlockStore, Genesis]:
    """Open or begin the chain of a folder as a node does."""
    store = CachedStore(Unsynced(folder / "chain"), CACHE_BYTES)
    genesis = load(folder / "genesis.json", known=read_document(store))
    settings = Settings(folder, state=StateSection("pruned"))
    return store, open_chain(store, PyEvmEngine(), genesis, settings), genesis


def make_chain(folder: Path, count: int) -> dict[str, float]:
    """Make the chain; return its size and the microseconds of processor time of a block."""
    params = ChainParams(ChainId(CHAIN_ID))
    validators = ValidatorSet.of([Validator(filler(2**60))])
    (key,) = accounts(1)
    alloc = {key.address: GenesisAccount(FUNDS_WEI)}
    alloc |= {each: GenesisAccount(code=RUNTIME) for each in (BUSY, RARE)}
    alloc[params.validator_registry] = registry_account(validators)
    save(Genesis(params, 1_700_000_000, alloc, validators), folder / "genesis.json")
    store, blocks, genesis = open_folder(folder)
    maker, cpu = Maker(blocks, genesis), time.process_time()
    for wanted in _calls(key, count):
        maker.make(wanted)
        if blocks.view().height % PROGRESS == 0:
            say(f"logs: block {blocks.view().height:,}")
    cpu = time.process_time() - cpu
    store.close()
    return {"make_us_per_block": round(1e6 * cpu / count), "disk_mb": disk_mb(folder)}


def _calls(key: PrivateKey, count: int) -> Iterator[list[Transaction]]:
    nonce = 0
    for height in range(1, count + 1):
        raws = []
        for to in (BUSY, RARE) if height % RARE_EVERY == 0 else (BUSY,):
            raws.append(sign_contract(key, CHAIN_ID, nonce, to, topic(height % NUMBERS)))
            nonce += 1
        yield [each for each in decode_transactions(raws) if isinstance(each, Transaction)]


def wanted_of(count: int) -> dict[str, tuple[FilterObject, int]]:
    """Return the searches by name, and how many logs each must find."""
    rare = count // RARE_EVERY
    some = (count + NUMBERS - 7) // NUMBERS
    return {
        "address, all blocks": (FilterObject(addresses=(BUSY,)), count),
        "topic, 1 of 100": (FilterObject(topics=((), (topic(7),))), some),
        "address, 1 of 1,000": (FilterObject(addresses=(RARE,)), rare),
        "both, 1 of 1,000": (FilterObject(addresses=(RARE,), topics=((ONE,),)), rare),
        "both, 1 of 100": (FilterObject(addresses=(BUSY,), topics=((ONE,), (topic(7),))), some),
        "both, none": (FilterObject(addresses=(RARE,), topics=((), (topic(7),))), 0),
        "address, none": (FilterObject(addresses=(Address(bytes(20)),)), 0),
    }


def by_index(view: ChainView, wanted: FilterObject) -> list[Json]:
    """Search as eth_getLogs does."""
    return Search(LOGS_MAX, lambda: None).run(view, wanted, Height(1), view.head.height)


def by_bloom(view: ChainView, wanted: FilterObject) -> list[Json]:
    """Search by the headers' blooms alone."""
    search = Search(LOGS_MAX, lambda: None)
    heights = search.by_bloom(view, wanted, 1, view.head.height)
    return [each for height in heights for each in block_logs(view, wanted, height)]


def by_receipts(view: ChainView, wanted: FilterObject) -> list[Json]:
    """Search the receipts of every block."""
    heights = map(Height, range(1, view.head.height + 1))
    return [each for height in heights for each in block_logs(view, wanted, height)]


WAYS: dict[str, Callable[[ChainView, FilterObject], list[Json]]] = {
    "index_ms": by_index,
    "bloom_ms": by_bloom,
    "receipts_ms": by_receipts,
}


def search(folder: Path, count: int) -> dict[str, Any]:
    """Search each way; return milliseconds, bytes and memory."""
    store, blocks, _ = open_folder(folder)
    view, result = blocks.view(), dict[str, Any]()
    result["memory_before_mb"] = resident_mb()
    for way, run in WAYS.items():
        for name, (wanted, expected) in wanted_of(count).items():
            if run is by_receipts and name not in BARE:
                continue
            started, cpu = time.perf_counter(), time.process_time()
            body = to_json(found := run(view, wanted))
            wall_ms, cpu = 1e3 * (time.perf_counter() - started), time.process_time() - cpu
            if len(found) != expected:
                raise LoadError(f"{name}: {way} found {len(found)} logs, {expected} were made")
            row = result.setdefault(name, {"hits": expected, "bytes": len(body)})
            row[way] = round(wall_ms, 2)
            row[way.replace("ms", "cpu_ms")] = round(1e3 * cpu, 2)
        if way == "index_ms":
            result["memory_after_index_mb"] = resident_mb()
    result |= _build(store, blocks, view, count)
    store.close()
    return result


def _build(store: CachedStore, blocks: BlockStore, view: ChainView, count: int) -> dict[str, float]:
    """Build the index anew; return its rows, their bytes and the processor's seconds."""
    rows = [len(key) for key, _ in view.store.scan(Column.LOG)]
    store.write([set_indexed_from(count + 1)], sync=False)
    indexer, cpu, started = Indexer(store, blocks.view().receipts), time.process_time(), time.time()
    while indexer.step():
        pass
    return {
        "index_rows": len(rows),
        "index_key_mb": round(sum(rows) / 1e6, 1),
        "index_build_s": round(time.time() - started, 2),
        "index_build_cpu_s": round(time.process_time() - cpu, 2),
    }


STEPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {"make": make_chain, "search": search}


def bench_logs(options: argparse.Namespace) -> dict[str, Any]:
    """Make the chain in one process, search it in another, and return every figure."""
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    result: dict[str, Any] = {"blocks": options.blocks}
    try:
        for name in STEPS:
            command = [sys.executable, "-m", "scripts.bench_logs", name, str(folder)]
            done = subprocess.run(
                [*command, str(options.blocks)],
                stdout=subprocess.PIPE,
                timeout=STEP_S_MAX,
                check=False,
            )
            if done.returncode:
                raise LoadError(f"the step {name} failed")
            result |= json.loads(done.stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result as a table for a person."""
    yield f"{'over ' + format(result['blocks'], ',') + ' blocks':22}" + "".join(
        f"{name:>14}" for name in ("hits", "bytes", *WAYS)
    )
    for name, row in result.items():
        if isinstance(row, dict):
            cells = [row.get(each, "") for each in ("hits", "bytes", *WAYS)]
            yield f"{name:22}" + "".join(f"{each:>14,}" if each != "" else "" for each in cells)
    for name, value in result.items():
        if not isinstance(value, dict):
            yield f"{name:28}{value:>12,}"


def add_command(commands: Any) -> None:
    """Add `logs` to the commands of `scripts.bench`."""
    command = commands.add_parser("logs", help="eth_getLogs over a long chain, by index and not")
    command.add_argument("--blocks", type=int, default=100_000)
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.set_defaults(run=bench_logs, report=report)


def main() -> None:
    """Run one step for the process that measures."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_logs")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    set_up_logs("error", "auto")
    print(json.dumps(STEPS[options.step](options.folder, options.count)))


if __name__ == "__main__":
    main()
