"""Every machine holds its invariants for some hundred steps; `scripts.invariants` goes on."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contracts.defi.machine_amm import AmmMachine
from tests.contracts.defi.machine_farming import FarmingMachine, OracleMachine
from tests.contracts.defi.machine_lending import BurningLendingMachine, LendingMachine
from tests.contracts.defi.machines import Machine

EXAMPLES: dict[type[Machine], int] = {
    AmmMachine: 4,
    LendingMachine: 4,
    BurningLendingMachine: 3,
    FarmingMachine: 5,
    OracleMachine: 10,
}
STEPS = 25


@pytest.mark.slow
@pytest.mark.parametrize("machine", EXAMPLES, ids=lambda each: each.__name__)
def test_machine(machine: type[Machine]) -> None:
    """No sequence of actions breaks the books; the seed is fixed, so that a failure repeats."""
    chosen = settings(
        max_examples=EXAMPLES[machine],
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)
