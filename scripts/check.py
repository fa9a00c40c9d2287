"""Everything that must be green before a change lands: `python -m scripts.check [--fast]`.

Runs the format check, the linter, the types, the import walls, the tidy rules and the tests, each
to its end, shows which one runs and what a red one printed, and ends with one line for each.
`--fast` leaves the tests out. Exits 1 when any is red.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("primitives", "contracts", "vm", "consensus", "p2p", "genesis", "node", "services")
TYPED = (*ROOMS, "qenex", "qenex_core.py", "qenex_defi.py", "scripts", "tests", "docs/examples")


class Step(NamedTuple):
    """One check: its name and the command that makes it."""

    name: str
    command: tuple[str, ...]
    shows_output: bool = False


class Outcome(NamedTuple):
    """How one check ended, and how long it took."""

    name: str
    passed: bool
    seconds: float


def steps(*, fast: bool) -> list[Step]:
    """Return the checks in the order in which they run, the quick ones first."""
    tool = str(Path(sys.executable).parent) + "/"
    typed = tuple(name for name in TYPED if any((ROOT / name).rglob("*.py")))
    found = [
        Step("format", (tool + "ruff", "format", "--check", ".")),
        Step("lint", (tool + "ruff", "check", ".")),
        Step("walls", (tool + "lint-imports", "--no-logo")),
        Step("tidy", (sys.executable, "-m", "scripts.tidy")),
        Step("types", (tool + "mypy", "--strict", *typed)),
    ]
    if not fast:
        found.append(Step("tests", (str(ROOT / "scripts" / "test"),), shows_output=True))
    return found


def run(step: Step) -> Outcome:
    """Run one check; print what it said when it is red, or as it goes when it is a long one."""
    print(f"check: {step.name} ...", flush=True)
    started = time.monotonic()
    output = None if step.shows_output else subprocess.PIPE
    done = subprocess.run(
        step.command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0 and done.stdout:
        print(done.stdout, flush=True)
    return Outcome(step.name, done.returncode == 0, time.monotonic() - started)


def main() -> None:
    """Run the checks and print the summary."""
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="leave the tests out")
    arguments = parser.parse_args()
    outcomes = [run(step) for step in steps(fast=arguments.fast)]
    for outcome in outcomes:
        word = "green" if outcome.passed else "RED"
        print(f"check: {outcome.name:8} {word:5} {outcome.seconds:6.1f} s")
    sys.exit(0 if all(outcome.passed for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
