"""Ethereum's own specification (EELS) agrees with our engine on random worlds."""

import sys

import pytest

from scripts.differ import compare_in_processes, compare_with_judge, new_seed, total
from scripts.differ_world import make_world
from scripts.judge import SPECIFICATIONS, by_engine, by_specification, judge
from vm.forks import Fork
from vm.pyevm import transition
from vm.pyevm.engine import make_engine
from vm.pyevm.forks import osaka

CASES = 320
"""Each under Prague and under Osaka."""

ENGINE = make_engine("tuned", allow_unprotected=True)


@pytest.mark.slow
def test_the_specification_agrees_on_new_worlds() -> None:
    """Who is refused, receipts with their gas and logs, and state roots are EELS's.

    The worlds are new in each run; what differs is repeated by the command that is printed.
    """
    seed = new_seed()
    sys.stdout.write(f"python -m scripts.differ --judge eels --cases {CASES} --seed {seed}\n")
    found = total(compare_in_processes(CASES, seed, 2, compare_with_judge))
    command = "python -m scripts.differ --judge eels --cases 1 --seed"
    assert [f"{command} {number}" for number in found.wrong] == []
    assert found.forks.keys() == {"PRAGUE", "OSAKA"}
    assert found.transactions >= 2 * CASES


def test_a_verdict_is_of_a_real_block() -> None:
    """The specification runs the transactions: it lets most in, with logs and gas."""
    world = make_world(5, Fork.OSAKA)
    verdict = by_specification(world)
    assert verdict == by_engine(ENGINE, world)
    assert len(verdict.accepted) == len(verdict.receipts) >= 8
    assert verdict.gas_used > 8 * 21_000
    assert set(SPECIFICATIONS) == {Fork.PRAGUE, Fork.OSAKA}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (transition, "REFUND_QUOTIENT", 6),
        (transition, "GAS_AUTHORIZATION_BASE", 12_499),
        (osaka, "WORD_BITS", 257),
    ],
)
def test_what_both_engines_have_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, value: int
) -> None:
    """Planted bugs in what plain and tuned share, which comparing those two cannot see."""
    monkeypatch.setattr(where, name, value)
    assert any(judge(ENGINE, make_world(number, Fork.OSAKA)) for number in range(1, 61))
