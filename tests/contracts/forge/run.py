"""Run the forge suites of `src/`: the same contracts under invariants on a second engine.

Each suite is one contract with one `invariant_holds`, which forge calls after every call of its
handler. The contracts under test are the committed artifacts; the environment names the file of
a weakened copy instead. forge and the compiler come from npm and are called without a network.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.clients.running import need_tools
from tests.contracts.forge.weak import FOUND_BY, copies

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE.parents[2] / "build" / "forge"
DEPTH: Final = 100
RUN_TIMEOUT_S: Final = 7200
SUITES: Final = (
    *("QxcSuite", "StakingSuite", "GovernanceSuite", "MultiSigSuite", "AmmSuite"),
    *("LendingSuite", "BurningLendingSuite", "FarmingSuite", "OracleSuite"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a suite: its steps, and the property that broke, or an empty text."""

    suite: str
    steps: int
    broken: str


@dataclass(frozen=True, slots=True)
class Wish:
    """How long to walk, from which seed, and how deep a history goes.

    `weak` names weakened copies, each of which stands in place of its contract.
    """

    steps: int
    seed: int = 1
    depth: int = DEPTH
    weak: tuple[str, ...] = ()


def run(suites: tuple[str, ...], wish: Wish) -> list[Outcome]:
    """Walk the suites, two at a time; raises RuntimeError when forge or the scene fails.

    Skips a test where the packages of npm are not installed.
    """
    tools = need_tools()
    forge = tools / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"
    compiler = tools / "foundry" / "solc.mjs"
    command = [str(forge), "test", "--json", "--use", str(compiler), "--threads", "2"]
    command += ["--fuzz-seed", hex(wish.seed), "--match-contract", f"^({'|'.join(suites)})$"]
    done = subprocess.run(
        command,
        cwd=HERE,
        env=os.environ | _environment(wish),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise RuntimeError(f"forge: {(done.stdout + done.stderr)[-2000:]}") from error
    return sorted((_outcome(*each) for each in found.items()), key=lambda each: each.suite)


def _environment(wish: Wish) -> dict[str, str]:
    (BUILD / "counts").mkdir(parents=True, exist_ok=True)
    counts = counts_file(wish)
    counts.unlink(missing_ok=True)
    given = {
        "FOUNDRY_INVARIANT_RUNS": str(-(-wish.steps // wish.depth)),
        "FOUNDRY_INVARIANT_DEPTH": str(min(wish.depth, wish.steps)),
        "FOUNDRY_INVARIANT_FAILURE_PERSIST_DIR": str(BUILD / "failures"),
        "QENEX_COUNTS": str(counts),
    }
    for name in wish.weak:
        weakness, path = copies()[name]
        given[f"QENEX_{weakness.contract}"] = str(path)
        given["FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT"] = "0"
    return given


def counts_file(wish: Wish) -> Path:
    """Return where the suites of a walk write what they tried."""
    return BUILD / "counts" / f"{'_'.join(wish.weak) or 'ours'}.csv"


def counts(wish: Wish) -> dict[str, tuple[int, int]]:
    """Return how often each action of the last walk was tried and refused."""
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for line in counts_file(wish).read_text().splitlines():
        suite, action, all_, no = line.split(",")
        tried[f"{suite} {action}"] += int(all_)
        refused[f"{suite} {action}"] += int(no)
    return {name: (tried[name], refused[name]) for name in sorted(tried)}


def weak(name: str, wish: Wish) -> Outcome:
    """Walk the suite that must find a weakened copy, with the copy in place of the contract."""
    contract = copies()[name][0].contract
    chosen = replace(wish, weak=(name,))
    return run((FOUND_BY[contract],), chosen)[0]


def _outcome(name: str, found: dict[str, Any]) -> Outcome:
    ((function, result),) = found["test_results"].items()
    if function != "invariant_holds()":
        raise RuntimeError(f"forge: {name}: {function}: {result['reason']}")
    steps = int(result["kind"]["Invariant"]["calls"])
    broken = "" if result["status"] == "Success" else str(result["reason"] or result["status"])
    return Outcome(name.rpartition(":")[2], steps, broken)
