"""Contracts of the tests, and copies of ours with one defence taken out each.

A weakened copy shows that an attack is real: it must succeed there and fail against the original.
`python -m tests.contracts.defi.weak` compiles all of them into `artifacts/` beside this file (it
needs Node and `npm ci` in `contracts`). Each artifact holds the hash of the texts that it was
made of, so a test sees without a compiler that a copy is older than our sources.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONTRACTS = HERE.parents[2] / "contracts"
SOURCES = CONTRACTS / "src"
ARTIFACTS = HERE / "artifacts"
HELPERS = ("HostileToken", "Puppet", "Feed", "Policy")
BUILD_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Weakness:
    """Edits of our sources, each a file, an old and a new text; `contract` is compiled."""

    name: str
    contract: str
    edits: tuple[tuple[str, str, str], ...]


WEAKNESSES = (
    Weakness(
        "AmmBooksWhatWasSent",
        "Amm",
        (
            (
                "Money.sol",
                "return balanceOf(token, address(this)) - before;",
                "return before < 1 ? amount : amount;",
            ),
        ),
    ),
    Weakness(
        "AmmRoundsDownExactOut",
        "Amm",
        (
            (
                "AmmPools.sol",
                "        uint256 spent = step.amountIn + step.fee;",
                "        if (!s.exactIn) {\n"
                "            if (step.amountIn != 0) step.amountIn -= 1;\n"
                "            if (step.fee != 0) step.fee -= 1;\n"
                "        }\n"
                "        uint256 spent = step.amountIn + step.fee;",
            ),
        ),
    ),
    Weakness(
        "AmmCrossesTwice",
        "Amm",
        (
            (
                "AmmPools.sol",
                "pool.tick = s.tick;",
                "pool.tick = TickMath.getTickAtSqrtPrice(s.sqrtPrice);",
            ),
        ),
    ),
    Weakness(
        "AmmAnswersInBetween",
        "Amm",
        (
            (
                "Guarded.sol",
                "    modifier settled() {\n        if (_entered != 0) revert Reentered();\n",
                "    modifier settled() {\n",
            ),
        ),
    ),
    Weakness(
        "LendingByBalance",
        "Lending",
        (
            (
                "Lending.sol",
                "received.toSharesDown(market.supplied, ",
                "received.toSharesDown(uint128(Money.held(params.loan) - received), ",
            ),
            (
                "Lending.sol",
                "            assets = shares.toAssetsDown(supplied, all);",
                "            market.supplied = supplied = uint128(Money.held(params.loan));\n"
                "            assets = shares.toAssetsDown(supplied, all);",
            ),
            ("LendingMath.sol", "VIRTUAL_SHARES = 1e6;", "VIRTUAL_SHARES = 1;"),
        ),
    ),
    Weakness(
        "LendingLetsCollateralGo",
        "Lending",
        (
            (
                "Lending.sol",
                "        _checkHealth(params, market, accountOf[id][account]);\n"
                "        emit CollateralTaken",
                "        market.updated = market.updated;\n        emit CollateralTaken",
            ),
        ),
    ),
    Weakness(
        "LendingUnlocked",
        "Lending",
        (
            (
                "Guarded.sol",
                "    function _lock() internal {\n        if (_entered != 0) revert Reentered();\n",
                "    function _lock() internal {\n",
            ),
        ),
    ),
    Weakness(
        "MarketOracleBySpot",
        "MarketOracle",
        (
            ("MarketOracle.sol", "(,, uint128 liquidity,)", "(, int24 spot, uint128 liquidity,)"),
            (
                "MarketOracle.sol",
                "return (true, _priceAt(tick));",
                "return (true, _priceAt(spot));",
            ),
        ),
    ),
    Weakness(
        "MedianOracleJumps",
        "MedianOracle",
        (
            ("MedianOracle.sol", "if (time < waiting.time + bound.confirmSeconds) return;", ""),
            ("MedianOracle.sol", "                return;\n            }\n", "            }\n"),
        ),
    ),
    Weakness(
        "FarmingByBalance",
        "Farming",
        (
            (
                "Farming.sol",
                "        if (received == 0) revert TooSmall();\n        (uint256 left,",
                "        received = Money.held(book.rewardToken);\n        (uint256 left,",
            ),
        ),
    ),
)


def _build(sources: Path, out: Path, only: str | None = None) -> None:
    node = shutil.which("node")
    if node is None:
        raise SystemExit("Node is not here: install it, then `npm ci` in contracts")
    command = [node, str(CONTRACTS / "build.mjs"), "--src", str(sources), "--out", str(out)]
    command += ["--only", only] if only else []
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def texts(start: str, edits: tuple[tuple[str, str, str], ...], folder: Path) -> dict[str, str]:
    """Return the text of a source of ours and of all it imports from us, after the edits.

    Raises ValueError when an edit does not fit exactly once.
    """
    found: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = next(folder.rglob(name)).read_text()
        waiting += re.findall(r'from "(?:\./|\.\./\w+/)(\w+\.sol)"', found[name])
    for file, old, new in edits:
        if found[file].count(old) != 1:
            raise ValueError(f"{start}: {file} must have once {old!r}")
        found[file] = found[file].replace(old, new)
    return found


def digest(parts: Mapping[str, str]) -> str:
    """Return the hash of texts by name."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()


def texts_of(weakness: Weakness) -> dict[str, str]:
    """Return the weakened sources of a copy."""
    return texts(f"{weakness.contract}.sol", weakness.edits, SOURCES)


def texts_of_helper(name: str) -> dict[str, str]:
    """Return the sources of a contract of the tests."""
    return texts(f"{name}.sol", (), HERE / "src")


def _file(name: str, built: Path, parts: Mapping[str, str]) -> str:
    raw = json.loads(built.read_text())
    kept: dict[str, Any] = {"abi": raw["abi"], "bytecode": raw["bytecode"], "contractName": name}
    return json.dumps(kept | {"textsSha256": digest(parts)}, sort_keys=True) + "\n"


def build(weakness: Weakness) -> str:
    """Return the artifact of our sources with the edits."""
    with tempfile.TemporaryDirectory() as made:
        sources = Path(made) / "src"
        shutil.copytree(SOURCES, sources)
        parts = texts_of(weakness)
        for name, content in parts.items():
            next(sources.rglob(name)).write_text(content)
        _build(sources, Path(made) / "out", weakness.contract)
        return _file(weakness.name, Path(made) / "out" / f"{weakness.contract}.json", parts)


def helpers() -> dict[str, str]:
    """Return the artifacts of the contracts in `src/` beside this file."""
    with tempfile.TemporaryDirectory() as made:
        _build(HERE / "src", Path(made))
        return {
            name: _file(name, Path(made) / f"{name}.json", texts_of_helper(name))
            for name in HELPERS
        }


def main(names: list[str]) -> None:
    """Write the artifacts named, or all."""
    ARTIFACTS.mkdir(exist_ok=True)
    if not names or set(names) & set(HELPERS):
        for name, made in helpers().items():
            (ARTIFACTS / f"{name}.json").write_text(made)
    for each in WEAKNESSES:
        if not names or each.name in names:
            (ARTIFACTS / f"{each.name}.json").write_text(build(each))


if __name__ == "__main__":
    main(sys.argv[1:])
