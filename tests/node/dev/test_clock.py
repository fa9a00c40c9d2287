"""A chain's clock follows the machine's until it is moved, and never gives two blocks one time."""

from __future__ import annotations

import pytest

from node.dev.clock import Clock
from primitives.errors import InvalidRequest
from tests.node.dev.support import START, Watch

NOW = int(START)


def test_time_moves_only_forward() -> None:
    """Moves add up, a move back is refused, the machine's seconds go on passing."""
    watch = Watch()
    clock = Clock(watch)
    assert clock.move(10) == 10
    assert clock.move(5) == 15
    watch.seconds += 3
    assert clock.time() == NOW + 18
    with pytest.raises(InvalidRequest):
        clock.move(-1)
    with pytest.raises(InvalidRequest):
        clock.set_time(1 << 64)


def test_blocks_rise() -> None:
    """A block is later than its parent even within one second."""
    clock = Clock(Watch())
    assert clock.next_block(NOW - 5) == NOW
    assert clock.next_block(NOW) == NOW + 1
    assert clock.next_block(NOW + 7) == NOW + 8


def test_exact_time_holds_once_and_moves_the_clock() -> None:
    """The next block has it; later ones go on from there. A time that is past is refused."""
    clock = Clock(Watch())
    with pytest.raises(InvalidRequest, match="lower than or equal"):
        clock.set_next(NOW, NOW)
    clock.set_next(NOW + 100, NOW)
    assert clock.next_block(NOW) == NOW + 100
    clock.passed(NOW + 100)
    assert clock.next_block(NOW) == NOW + 100
    assert clock.next_block(NOW + 100) == NOW + 101


def test_interval_and_saved_moment() -> None:
    """With an interval the clock does not count; a saved moment comes back whole."""
    watch = Watch()
    clock = Clock(watch)
    clock.set_interval(12)
    clock.move(50)
    saved = clock.save()
    clock.set_interval(None)
    clock.move(1_000)
    watch.seconds += 20
    clock.load(saved)
    assert clock.time() == NOW + 50
    assert clock.next_block(NOW) == NOW + 12
    with pytest.raises(InvalidRequest):
        clock.set_interval(0)
    clock.reset()
    assert clock.offset == 0
