"""After any outage the next block comes at once, and one dead validator costs hardly a block."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.outage import RATES, RETURN_MS_MAX, SHARE_MIN, main
from tests.sim.chain import Violation
from tests.sim.outage import outage_ms, rate
from tests.sim.world import World


@pytest.mark.slow
@pytest.mark.parametrize("down_ms", [60_000, 600_000, 3_600_000, 21_600_000])
def test_next_block_comes_at_once(down_ms: int) -> None:
    """Two of four were down for a minute to six hours: the next block comes within three seconds.

    Planted bug that this kills: rounds whose timeouts have grown for as long as the outage took,
    with nobody following a third of the others to their round.
    """
    assert max(outage_ms(down_ms, seed) for seed in range(10)) <= RETURN_MS_MAX


@pytest.mark.slow
def test_an_outage_simulated_whole_ends_as_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes at once is a time in which nothing moves: without the jump it is the same."""
    monkeypatch.setattr("tests.sim.outage.SETTLED_MS", 10**9)
    assert max(outage_ms(120_000, seed) for seed in range(5)) <= RETURN_MS_MAX


def test_time_does_not_jump_while_blocks_come() -> None:
    """A network that moves is left alone, and the run says so."""
    drawn = World(1, 4).plan
    plan = replace(drawn, faults=(), heal_ms=60_000, ambush_ms=60_000, jump=(2_000, 10_000))
    with pytest.raises(Violation, match="moves where it was to stand still"):
        World(1, 4, plan=plan).run()


@pytest.mark.slow
def test_one_dead_validator_costs_little() -> None:
    """With the times of both profiles nine of ten blocks are left.

    Planted bug that this kills: each turn of the dead one costs its propose timeout.
    """
    for _, period_ms, delay_ms in RATES:
        found = rate(60, block_period_ms=period_ms, delay_ms=delay_ms)
        assert found.blocks * period_ms >= 60_000 * SHARE_MIN
        assert found.share >= SHARE_MIN


@pytest.mark.slow
def test_command_prints_both_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command exits 0 when both goals are met and 1 when one is not."""
    monkeypatch.setattr("scripts.outage.OUTAGES_S", {"10 s": 10})
    monkeypatch.setattr("scripts.outage.RATE_SECONDS", 90)
    assert main(["--runs", "3"]) == 0
    assert "10 s     3 runs" in capsys.readouterr().out
    monkeypatch.setattr("scripts.outage.RETURN_MS_MAX", 0)
    assert main(["--runs", "3"]) == 1
