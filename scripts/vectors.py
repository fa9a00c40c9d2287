"""Run the official Ethereum state tests: `python -m scripts.vectors [FOLDER ...]`.

Each case executes one signed transaction on a given state in a given block and knows the state
root and the hash of the logs afterwards, or that the transaction must be refused. Roots come from
our own trie. A FOLDER holds GeneralStateTests files (*.json), at any depth; without one the
folder state-tests of QENEX_VECTORS is taken. Forks that the engine does not have are counted and
left out. The last line is "N passed, M failed"; the exit code is 1 when a case failed or none ran.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from primitives.account import GenesisAccount
from primitives.codec import Item, encode
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidTransaction
from primitives.keyvalue import MemoryStore
from primitives.receipt import Log
from primitives.transaction import PUBLIC, Transaction, decode_transaction
from primitives.types import ZERO_HASH, Address, ChainId, Gas, Hash32, Height, Nonce, Wei
from vm.engine import BlockContext, Engine, Execution
from vm.fees import excess_blob_gas
from vm.forks import BLOBS, BlobSchedule, Fork, Rules
from vm.pyevm.engine import ENGINES, make_engine
from vm.state.store import StateStore, genesis_changes

SLOWEST_SHOWN: Final = 5
FORKS: Final[Mapping[str, Fork]] = {
    "Frontier": Fork.FRONTIER,
    "Homestead": Fork.HOMESTEAD,
    "EIP150": Fork.TANGERINE_WHISTLE,
    "TangerineWhistle": Fork.TANGERINE_WHISTLE,
    "EIP158": Fork.SPURIOUS_DRAGON,
    "SpuriousDragon": Fork.SPURIOUS_DRAGON,
    "Byzantium": Fork.BYZANTIUM,
    "Constantinople": Fork.CONSTANTINOPLE,
    "ConstantinopleFix": Fork.PETERSBURG,
    "Petersburg": Fork.PETERSBURG,
    "Istanbul": Fork.ISTANBUL,
    "MuirGlacier": Fork.MUIR_GLACIER,
    "Berlin": Fork.BERLIN,
    "London": Fork.LONDON,
    "ArrowGlacier": Fork.ARROW_GLACIER,
    "GrayGlacier": Fork.GRAY_GLACIER,
    "Merge": Fork.PARIS,
    "Paris": Fork.PARIS,
    "Shanghai": Fork.SHANGHAI,
    "Cancun": Fork.CANCUN,
    "Prague": Fork.PRAGUE,
    "Osaka": Fork.OSAKA,
    "BPO1": Fork.BPO1,
    "BPO2": Fork.BPO2,
}
"""The names of forks in the tests."""


@dataclass(frozen=True, slots=True)
class Case:
    """One transaction of one state test on one fork; `rules` None where we lack the fork."""

    name: str
    fork: str
    rules: Rules | None
    environment: Mapping[str, str]
    before: Mapping[str, Any]
    chain_id: ChainId
    raw: bytes
    state_root: Hash32
    logs_hash: Hash32
    must_fail: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case: "passed", "failed" or "left out", and why."""

    name: str
    outcome: str
    why: str
    seconds: float


def load_cases(folders: Iterable[Path], fork: str = "") -> Iterator[Case]:
    """Yield every case below `folders`, of one `fork` if it is given, in a fixed order."""
    for folder in folders:
        paths = [folder] if folder.is_file() else sorted(folder.rglob("*.json"))
        for path in paths:
            place = path.name if path == folder else path.relative_to(folder)
            tests = json.loads(path.read_text())
            for title, test in tests.items() if isinstance(tests, dict) else ():
                if isinstance(test, dict) and "post" in test and "env" in test:
                    yield from _cases_of(f"{place}::{title}", test, fork)


def _cases_of(name: str, test: Mapping[str, Any], only: str) -> Iterator[Case]:
    config = test.get("config", {})
    for fork, posts in test["post"].items():
        if only and fork.lower() != only.lower():
            continue
        for index, post in enumerate(posts):
            yield Case(
                name=f"{name}[{fork}]#{index}",
                fork=fork,
                rules=_rules(fork, config),
                environment=test["env"],
                before=test["pre"],
                chain_id=ChainId(_number(config.get("chainid", "0x1"))),
                raw=_bytes(post["txbytes"]),
                state_root=Hash32(_bytes(post["hash"])),
                logs_hash=Hash32(_bytes(post["logs"])),
                must_fail=post.get("expectException"),
            )


def _rules(name: str, config: Mapping[str, Any]) -> Rules | None:
    fork = FORKS.get(name)
    if fork is None or fork < Fork.CANCUN:
        return None if fork is None else Rules(fork)
    entry = config.get("blobSchedule", {}).get(name)
    if entry is None:
        return Rules(fork, BLOBS[fork])
    target, most, fraction = (
        _number(entry[key]) for key in ("target", "max", "baseFeeUpdateFraction")
    )
    return Rules(fork, BlobSchedule(target, most, fraction))


def _number(text: str) -> int:
    return int(text, 0)


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


def block_context(case: Case, rules: Rules) -> BlockContext:
    """Return the block that a case runs in: its transaction alone, no system contracts.

    Under proof of work the fee recipient gets a reward of nothing, which touches it.
    """
    env = case.environment
    fee_recipient = Address(_bytes(env["currentCoinbase"]))

    def number(key: str) -> int:
        return _number(env.get(key, "0x0"))

    return BlockContext(
        height=Height(number("currentNumber")),
        timestamp=number("currentTimestamp"),
        coinbase=fee_recipient,
        gas_limit=Gas(number("currentGasLimit")),
        base_fee=Wei(number("currentBaseFee") if rules.fork >= Fork.LONDON else 0),
        mix_hash=Hash32(number("currentRandom").to_bytes(32, "big")),
        chain_id=case.chain_id,
        block_hash=lambda height: keccak(str(height).encode()),
        excess_blob_gas=_excess(env, rules),
        parent_beacon_block_root=ZERO_HASH,
        rules=rules,
        difficulty=number("currentDifficulty") if rules.fork < Fork.PARIS else 0,
        system_calls=False,
        credits=((fee_recipient, Wei(0)),) if rules.fork < Fork.PARIS else (),
    )


def _excess(env: Mapping[str, str], rules: Rules) -> Gas:
    if "currentExcessBlobGas" in env:
        return Gas(_number(env["currentExcessBlobGas"]))
    parent = [
        _number(env.get(key, "0x0"))
        for key in ("parentExcessBlobGas", "parentBlobGasUsed", "parentBaseFee")
    ]
    return excess_blob_gas(Gas(parent[0]), Gas(parent[1]), Wei(parent[2]), rules)


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
    if case.rules is None:
        return "left out", f"no fork {case.fork}"
    try:
        tx = decode_transaction(case.raw, PUBLIC)
    except InvalidTransaction as error:
        return _judge_refusal(case, error)
    store = MemoryStore()
    alloc = genesis_changes(allocation(case.before), keeps_empty=True)
    store.write(StateStore(store).compute(alloc).writes, sync=False)
    try:
        execution = _execute(engine, block_context(case, case.rules), store, tx)
    except InvalidTransaction as error:
        return _judge_refusal(case, error)
    if case.must_fail:
        return "failed", f"accepted, must be refused: {case.must_fail}"
    return _compare(case, StateStore(store), execution)


def _execute(
    engine: Engine, context: BlockContext, store: MemoryStore, tx: Transaction
) -> Execution:
    return engine.execute(StateStore(store).reader(), context, [tx], skip_invalid=False)


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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.vectors", description="Run official state tests."
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="*.json inside")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--fork", default="", help="only cases of this fork, such as Osaka")
    parser.add_argument("-k", default="", dest="match", help="only cases whose name contains this")
    parser.add_argument("--every", type=int, default=1, help="only every n-th case")
    parser.add_argument("--list-failures", action="store_true", help="name each case that fails")
    chosen = parser.parse_args()
    root = os.environ.get("QENEX_VECTORS")
    if not chosen.folders and not root:
        parser.error("name a FOLDER, or set QENEX_VECTORS to the folder of public vectors")
    chosen.folders = chosen.folders or [Path(str(root)) / "state-tests"]
    for folder in chosen.folders:
        if not folder.exists():
            parser.error(f"{folder} does not exist")
    return chosen


def main() -> int:
    """Run the vectors that the command line names; return 1 when one fails or none ran."""
    chosen = _arguments()
    engine = make_engine(chosen.engine, allow_unprotected=True)
    cases = [c for c in load_cases(chosen.folders, chosen.fork) if chosen.match in c.name]
    verdicts = []
    for case in cases[:: chosen.every]:
        verdict = judge(case, engine)
        verdicts.append(verdict)
        if verdict.outcome == "failed" and chosen.list_failures:
            print(f"FAILED {verdict.name}\n       {verdict.why}", flush=True)
    return _report(verdicts)


def _report(verdicts: list[Verdict]) -> int:
    for verdict in sorted(verdicts, key=lambda v: -v.seconds)[:SLOWEST_SHOWN]:
        print(f"{verdict.seconds:7.2f} s  {verdict.name}")
    for why, count in Counter(v.why for v in verdicts if v.outcome == "left out").items():
        print(f"{count} left out: {why}")
    counts = Counter(verdict.outcome for verdict in verdicts)
    print(f"{sum(verdict.seconds for verdict in verdicts):.1f} s of CPU")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return int(counts["failed"] > 0 or not counts["passed"])


if __name__ == "__main__":
    sys.exit(main())
