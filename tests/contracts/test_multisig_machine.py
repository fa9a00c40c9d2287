"""The account keeps its invariants for some steps, and the machine sees each weakened copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contracts.forge.weak import COPIES, CORE
from tests.contracts.machine_multisig import MultiSigMachine
from tests.contracts.world import EVE


@pytest.mark.slow
def test_account() -> None:
    """No sequence of operations breaks the model; the seed is fixed."""
    chosen = settings(
        max_examples=3,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(MultiSigMachine, settings=chosen)


def pay(machine: MultiSigMachine) -> None:
    machine.pay_with_most(7, 1)
    machine.is_the_model()


STEPS: dict[str, Callable[[MultiSigMachine], None]] = {
    "MultiSigReplays": pay,
    "MultiSigForgetsPlace": lambda machine: machine.other_chain(0),
    "MultiSigObeysAnybody": lambda machine: machine.stranger(EVE, ("setThreshold", (1,))),
    "MultiSigCountsTwice": lambda machine: machine.twice(0, more=False),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_weakened_account_is_found(name: str) -> None:
    """One step of the machine sees the copy, and holds against the account as it is."""

    class Weak(MultiSigMachine):
        CODE: ClassVar[Path | None] = COPIES / f"{name}.json"

    ours, weak = MultiSigMachine(), Weak()
    for each in (ours, weak):
        each.begin()
    STEPS[name](ours)
    with pytest.raises(AssertionError):
        STEPS[name](weak)


def test_every_copy_of_the_account_is_tried() -> None:
    """No weakened account without a step that sees it."""
    assert list(STEPS) == [each.name for each in CORE if each.contract == "MultiSigAccount"]
