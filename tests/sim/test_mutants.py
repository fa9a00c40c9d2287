"""Planted protocol bugs: the simulator must find each of them within its budget of schedules.

The slow ones are left to `python -m scripts.mutants`, which plants all of them.
"""

from __future__ import annotations

import pytest

from scripts.mutants import main
from tests.sim.mutants import MUTANTS, Mutant, hunt

BUDGET = 400
"""Most schedules that a quick mutant may survive."""
QUICK = tuple(each for each in MUTANTS if each.is_quick)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", QUICK, ids=lambda each: each.name)
def test_mutant_is_found(mutant: Mutant) -> None:
    """Each planted bug breaks an invariant."""
    assert hunt(mutant, BUDGET) is not None


def test_enough_bugs_are_planted() -> None:
    """At least twenty bugs are planted in every run of the tests, each under a name of its own."""
    assert len(QUICK) >= 20
    assert len({each.name for each in MUTANTS}) == len(MUTANTS)


def test_command_counts_the_killed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints each bug's schedules, and fails when one of them survives."""
    assert main(["QuorumTooSmall", "WeakCertificates"]) == 0
    assert "2 of 2 killed" in capsys.readouterr().out
    assert main(["PolNotAsked", "--budget", "2"]) == 1
    assert "SURVIVED" in capsys.readouterr().out
