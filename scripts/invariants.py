"""Walk the state machines of the contracts: `python -m scripts.invariants --steps 10000`.

Each machine of `tests/contracts` runs that many steps in all, in histories of 100;
`--seed` repeats a run. Prints steps and seconds of processor time; a broken invariant prints the
shortest history that hypothesis found, and the exit code is 1. Machines that count what they try
print at the end how often each action was tried and refused.
"""

from __future__ import annotations

import argparse
import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.contracts.defi.machine_amm import AmmMachine
from tests.contracts.defi.machine_farming import FarmingMachine, OracleMachine
from tests.contracts.defi.machine_lending import BurningLendingMachine, LendingMachine
from tests.contracts.defi.machines import Machine
from tests.contracts.test_invariants import GovernanceMachine, TokenMachine

MACHINES: tuple[type[RuleBasedStateMachine], ...] = (
    TokenMachine,
    GovernanceMachine,
    AmmMachine,
    LendingMachine,
    BurningLendingMachine,
    FarmingMachine,
    OracleMachine,
)
HISTORY = 100


def main() -> None:
    """Run the machines that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machines", nargs="*", help="names, such as TokenMachine")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    known = {each.__name__: each for each in MACHINES}
    for name in chosen.machines or known:
        if name not in known:
            sys.exit(f"no machine {name}; there are: {', '.join(known)}")
        walk(known[name], chosen.steps, chosen.seed)
    for action, tried in sorted(Machine.steps.items()):
        refused = Machine.refused[action]
        print(f"  {action:44} {tried:8,} tried {refused:8,} refused")


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
