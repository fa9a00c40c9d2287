"""Nobody waits for a proposer that has gone silent; whoever speaks again is waited for again."""

from __future__ import annotations

import pytest

from consensus.events import Committed, SetTimer, Timer, TimerKind, VoteReceived
from consensus.messages import Kind
from primitives.types import ZERO_HASH, Height, Round
from tests.consensus.makers import BLOCK_A, H1, vote
from tests.consensus.test_core import P0, VALIDATORS, Bench, timer

TURN = Height(5)
"""The next height at which the first proposer of height 1 has its turn in round 0."""


def wait_for_turn(bench: Bench) -> int:
    """Let sync bring the height before TURN, begin TURN, and return what round 0 waits."""
    bench.feed(Committed(Height(TURN - 1), BLOCK_A, VALIDATORS))
    effects = bench.feed(timer(TimerKind.START, height=TURN))
    turn = Timer(TimerKind.PROPOSE, TURN, Round(0))
    return next(
        each.delay_ms for each in effects if isinstance(each, SetTimer) and each.timer == turn
    )


def test_a_silent_proposer_is_not_waited_for() -> None:
    """Its turn was over and nothing of it was heard in the height: its next turn costs nothing.

    Planted bug that this kills: the absence is forgotten when the height ends.
    """
    bench = Bench()
    bench.feed(timer(TimerKind.PROPOSE))
    assert wait_for_turn(bench) == 0


def test_a_slow_proposer_is_waited_for() -> None:
    """A proposer without a proposal that votes is there.

    Planted bug that this kills: absent is whoever misses a turn.
    """
    bench = Bench()
    bench.votes(Kind.PREVOTE, ZERO_HASH, P0)
    bench.feed(timer(TimerKind.PROPOSE))
    assert wait_for_turn(bench) == 500


@pytest.mark.parametrize(("kind", "height"), [(Kind.PREVOTE, 1), (Kind.PRECOMMIT, TURN)])
def test_any_message_ends_the_absence(kind: Kind, height: int) -> None:
    """One vote of it, in this height or kept for the next, and it is waited for."""
    bench = Bench()
    bench.feed(timer(TimerKind.PROPOSE))
    if height > H1:
        bench.feed(Committed(Height(TURN - 2), BLOCK_A, VALIDATORS))
    bench.feed(VoteReceived(vote(P0, kind, ZERO_HASH, height=height)))
    assert wait_for_turn(bench) == 500


def test_nobody_is_absent_to_itself() -> None:
    """A proposer whose own block comes too late keeps its turns."""
    bench = Bench(P0)
    bench.feed(timer(TimerKind.PROPOSE))
    assert wait_for_turn(bench) == 500
