"""After any outage the next block comes at once, and one dead validator costs hardly a block."""

from __future__ import annotations

import pytest

from scripts.outage import QUICK, RETURN_MS_MAX, SHARE_MIN, main
from tests.sim.outage import outage_ms, rate


@pytest.mark.slow
@pytest.mark.parametrize("down_ms", [60_000, 600_000])
def test_next_block_comes_at_once(down_ms: int) -> None:
    """Two of four were down for one or ten minutes: the next block comes within three seconds.

    Planted bug that this kills: rounds whose timeouts have grown for as long as the outage took,
    with nobody following a third of the others to their round.
    """
    assert max(outage_ms(down_ms, seed) for seed in range(3)) <= RETURN_MS_MAX


@pytest.mark.slow
def test_one_dead_validator_costs_little() -> None:
    """At default settings, and at quick ones with quick timeouts, nine of ten blocks are left."""
    assert rate(60).share >= SHARE_MIN
    assert rate(30, block_period_ms=250, times=QUICK, delay_ms=5).share >= SHARE_MIN


@pytest.mark.slow
def test_command_prints_both_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command exits 0 when both goals are met and 1 when one is not."""
    monkeypatch.setattr("scripts.outage.OUTAGES_S", {"10 s": 10})
    monkeypatch.setattr("scripts.outage.RATE_SECONDS", 20)
    assert main(["--runs", "3"]) == 0
    assert "10 s     3 runs" in capsys.readouterr().out
    monkeypatch.setattr("scripts.outage.RETURN_MS_MAX", 0)
    assert main(["--runs", "3"]) == 1
