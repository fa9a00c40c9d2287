"""Run the official Ethereum state tests against an engine: `python -m scripts.vectors`.

Each case executes one signed transaction on a given state in a given block and knows the state
root and the hash of the logs afterwards, or that the transaction must be refused. Roots come from
our own trie. Blob transactions are counted as skipped: no QENEX chain takes them.

The folder of vectors is named by QENEX_VECTORS or --vectors; it holds state-tests/<set>/*.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from primitives.account import GenesisAccount
from primitives.codec import Item, encode
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidTransaction, UnsupportedType
from primitives.keyvalue import MemoryStore
from primitives.receipt import Log
from primitives.transaction import Transaction, decode_transaction
from primitives.types import Address, ChainId, Gas, Hash32, Height, Nonce, Wei
from vm.engine import BlockContext, Engine, Execution
from vm.pyevm.engine import PyEvmEngine
from vm.state.store import StateStore, genesis_changes

SETS: Final = ("static", "eest", "osaka")
BLOB_TYPE: Final = 3
SLOWEST_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One transaction of one state test on one fork."""

    name: str
    environment: Mapping[str, str]
    before: Mapping[str, Any]
    chain_id: ChainId
    raw: bytes
    state_root: Hash32
    logs_hash: Hash32
    must_fail: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case: "passed", "failed" or "skipped", and why."""

    name: str
    outcome: str
    why: str
    seconds: float


def load_cases(folder: Path, fork: str, sets: tuple[str, ...] = SETS) -> Iterator[Case]:
    """Yield every case of `fork` below `folder`, in a fixed order."""
    for name in sets:
        for path in sorted((folder / name).glob("*.json")):
            for title, test in json.loads(path.read_text()).items():
                yield from _cases_of(f"{name}/{path.name}::{title}", test, fork)


def _cases_of(name: str, test: Mapping[str, Any], fork: str) -> Iterator[Case]:
    for index, post in enumerate(test["post"].get(fork, ())):
        yield Case(
            name=f"{name}#{index}",
            environment=test["env"],
            before=test["pre"],
            chain_id=ChainId(_number(test["config"]["chainid"])),
            raw=_bytes(post["txbytes"]),
            state_root=Hash32(_bytes(post["hash"])),
            logs_hash=Hash32(_bytes(post["logs"])),
            must_fail=post.get("expectException"),
        )


def _number(text: str) -> int:
    return int(text, 16)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def allocation(before: Mapping[str, Any]) -> dict[Address, GenesisAccount]:
    """Return the accounts of a test's `pre` section."""
    return {
        Address(_bytes(address)): GenesisAccount(
            balance=Wei(_number(entry["balance"])),
            nonce=Nonce(_number(entry["nonce"])),
            code=_bytes(entry["code"]),
            storage={_number(k): _number(v) for k, v in entry["storage"].items()},
        )
        for address, entry in before.items()
    }


def block_context(case: Case) -> BlockContext:
    """Return the block that a case runs in."""
    env = case.environment
    return BlockContext(
        height=Height(_number(env["currentNumber"])),
        timestamp=_number(env["currentTimestamp"]),
        coinbase=Address(_bytes(env["currentCoinbase"])),
        gas_limit=Gas(_number(env["currentGasLimit"])),
        base_fee=Wei(_number(env["currentBaseFee"])),
        mix_hash=Hash32(_number(env["currentRandom"]).to_bytes(32, "big")),
        chain_id=case.chain_id,
        block_hash=lambda height: keccak(str(height).encode()),
        excess_blob_gas=Gas(_number(env["currentExcessBlobGas"])),
    )


def hash_of_logs(logs: list[Log]) -> Hash32:
    """Return the hash by which state tests name a list of logs: keccak of its RLP."""
    rows: list[Item] = [[log.address, list(log.topics), log.data] for log in logs]
    return keccak(encode(rows))


def judge(case: Case, engine: Engine) -> Verdict:
    """Run one case and say whether the engine did what the test expects."""
    started = time.process_time()
    outcome, why = _judge(case, engine)
    return Verdict(case.name, outcome, why, time.process_time() - started)


def _judge(case: Case, engine: Engine) -> tuple[str, str]:
    if case.raw[0] == BLOB_TYPE:
        return _judge_blob(case)
    try:
        tx = decode_transaction(case.raw)
    except InvalidTransaction as error:
        return _judge_refusal(case, error)
    store = MemoryStore()
    before = StateStore(store).compute(genesis_changes(allocation(case.before)))
    store.write(before.writes, sync=False)
    try:
        execution = _execute(case, engine, store, tx)
    except InvalidTransaction as error:
        return _judge_refusal(case, error)
    if case.must_fail:
        return "failed", f"accepted, must be refused: {case.must_fail}"
    return _compare(case, StateStore(store), execution)


def _execute(case: Case, engine: Engine, store: MemoryStore, tx: Transaction) -> Execution:
    reader = StateStore(store).reader()
    return engine.execute(reader, block_context(case), [tx], skip_invalid=False)


def _judge_blob(case: Case) -> tuple[str, str]:
    try:
        decode_transaction(case.raw)
    except UnsupportedType:
        return "skipped", "blob transaction"
    return "failed", "a blob transaction was decoded"


def _judge_refusal(case: Case, error: InvalidTransaction) -> tuple[str, str]:
    if case.must_fail:
        return "passed", f"refused: {error}"
    return "failed", f"refused: {error}"


def _compare(case: Case, state: StateStore, execution: Execution) -> tuple[str, str]:
    logs = [log for receipt in execution.receipts for log in receipt.logs]
    if hash_of_logs(logs) != case.logs_hash:
        return "failed", "logs differ"
    root = state.compute(execution.changes).state_root
    if root != case.state_root:
        return "failed", f"state root is {root.hex()}, must be {case.state_root.hex()}"
    return "passed", ""


def main() -> int:
    """Run the vectors that the command line names; return 1 when one fails."""
    parser = argparse.ArgumentParser(description="Run official state tests.")
    parser.add_argument("--fork", default="Prague")
    parser.add_argument("--match", default="", help="only cases whose name contains this")
    parser.add_argument("--every", type=int, default=1, help="only every n-th case")
    parser.add_argument("--vectors", default=os.environ.get("QENEX_VECTORS"))
    chosen = parser.parse_args()
    if not chosen.vectors:
        parser.error("set QENEX_VECTORS or --vectors to the folder of public vectors")
    folder = Path(chosen.vectors) / "state-tests"
    cases = [c for c in load_cases(folder, chosen.fork) if chosen.match in c.name]
    engine = PyEvmEngine(allow_unprotected=True)
    verdicts = []
    for case in cases[:: chosen.every]:
        verdict = judge(case, engine)
        verdicts.append(verdict)
        if verdict.outcome == "failed":
            print(f"FAILED {verdict.name}\n       {verdict.why}", flush=True)
    return _report(chosen.fork, verdicts)


def _report(fork: str, verdicts: list[Verdict]) -> int:
    for verdict in sorted(verdicts, key=lambda v: -v.seconds)[:SLOWEST_SHOWN]:
        print(f"{verdict.seconds:7.2f} s  {verdict.name}")
    counts = Counter(verdict.outcome for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    print(
        f"{fork}: {counts['passed']} passed, {counts['failed']} failed, "
        f"{counts['skipped']} skipped (blob transactions) in {seconds:.1f} s of CPU"
    )
    return int(counts["failed"] > 0 or not counts["passed"])


if __name__ == "__main__":
    sys.exit(main())
