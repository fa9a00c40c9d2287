"""Walk the state machines of the contracts: `python -m scripts.invariants --steps 10000`.

Each machine of `tests/contracts` runs that many steps in all, in histories of 100;
`--seed` repeats a run. Prints steps and seconds of processor time; a broken invariant prints the
shortest history that hypothesis found, and the exit code is 1. Machines that count what they try
print at the end how often each action was tried and refused.

`--engine forge` walks the suites of `tests/contracts/forge` on forge's own engine instead (from
npm, Linux on x86-64), where `--weak` plants each weakened copy of a contract, one at a time: the
exit code is 1 when a suite holds with a copy, or breaks without one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.contracts.defi.machine_amm import AmmMachine
from tests.contracts.defi.machine_farming import FarmingMachine, OracleMachine
from tests.contracts.defi.machine_lending import BurningLendingMachine, LendingMachine
from tests.contracts.defi.machines import Machine
from tests.contracts.forge import run as forge
from tests.contracts.forge.weak import copies
from tests.contracts.machine_multisig import MultiSigMachine
from tests.contracts.test_invariants import GovernanceMachine, TokenMachine

MACHINES: tuple[type[RuleBasedStateMachine], ...] = (
    TokenMachine,
    GovernanceMachine,
    MultiSigMachine,
    AmmMachine,
    LendingMachine,
    BurningLendingMachine,
    FarmingMachine,
    OracleMachine,
)
HISTORY = 100
NOT_HERE = pytest.skip.Exception
"""Raised where the packages of npm are not, with the reason."""


def main() -> None:
    """Run the machines that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machines", nargs="*", help="names, such as TokenMachine")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("hypothesis", "forge"), default="hypothesis")
    parser.add_argument("--weak", action="store_true", help="plant weakened copies, with forge")
    chosen = parser.parse_args()
    if chosen.weak and chosen.engine != "forge":
        sys.exit("--weak needs --engine forge")
    names = tuple(chosen.machines)
    if chosen.engine == "forge":
        wish = forge.Wish(chosen.steps, chosen.seed)
        try:
            sys.exit(plant(names, wish) if chosen.weak else forge_walk(names, wish))
        except NOT_HERE as missing:
            sys.exit(str(missing))
    known = {each.__name__: each for each in MACHINES}
    for name in _chosen(names, known):
        walk(known[name], chosen.steps, chosen.seed)
    for action, tried in sorted(Machine.steps.items()):
        refused = Machine.refused[action]
        print(f"  {action:44} {tried:8,} tried {refused:8,} refused")


def _chosen(names: tuple[str, ...], known: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            sys.exit(f"no {name}; there are: {', '.join(known)}")
    return names or tuple(known)


def forge_walk(names: tuple[str, ...], wish: forge.Wish) -> int:
    """Run the suites named, all by default; return the exit code."""
    broken = 0
    for suite in _chosen(names, forge.SUITES):
        began = time.monotonic()
        (found,) = forge.run((suite,), wish)
        seconds = time.monotonic() - began
        print(f"{suite:24} {found.steps:>8} steps  {seconds:8.1f} s  {found.broken}", flush=True)
        broken += bool(found.broken)
        for action, (tried, refused) in forge.counts(wish).items():
            print(f"  {action:44} {tried:8,} tried {refused:8,} refused")
    return int(broken != 0)


def plant(names: tuple[str, ...], wish: forge.Wish) -> int:
    """Walk with each weakened copy named, all by default; return the exit code."""
    unseen = 0
    for name in _chosen(names, copies()):
        found = forge.weak(name, wish)
        print(f"{name:24} {found.suite:20} {found.broken or 'NOT FOUND'}", flush=True)
        unseen += not found.broken
    return int(unseen != 0)


def walk(machine: type[RuleBasedStateMachine], steps: int, chosen_seed: int) -> None:
    """Run one machine for about `steps` steps."""
    began, counted = time.process_time(), [0]

    class Counted(machine):  # type: ignore[valid-type, misc]  # a class that is a value
        def check_invariants(self, *values: object, **more: object) -> None:
            counted[0] += 1
            super().check_invariants(*values, **more)

    examples = max(1, -(-steps // HISTORY))
    while counted[0] < steps:
        rules = settings(
            max_examples=examples,
            stateful_step_count=HISTORY,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(chosen_seed)(Counted), settings=rules)
        chosen_seed += 1
    seconds = time.process_time() - began
    print(f"{machine.__name__:24} {counted[0]:>8} steps  {seconds:8.1f} s")


if __name__ == "__main__":
    main()
