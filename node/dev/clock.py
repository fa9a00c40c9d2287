"""Time on a developer chain: the machine's clock, moved by hand; all in whole seconds.

A block's time is above its parent's. An exact time for the next block also moves the clock, so that
later blocks go on from there, as hardhat does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from primitives.errors import InvalidRequest
from primitives.types import UINT64_MAX


@dataclass(frozen=True, slots=True)
class ClockState:
    """A moment that a snapshot keeps: the chain's time then, and what was wished for."""

    time: int
    next_exact: int | None
    interval: int | None


class Clock:
    """The chain's time; not for use by two threads at once."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._offset = 0
        self._next_exact: int | None = None
        self._interval: int | None = None

    def time(self) -> int:
        """Return the chain's time now."""
        return int(self._now()) + self._offset

    @property
    def offset(self) -> int:
        """How far the chain's time is ahead of the machine's."""
        return self._offset

    def next_block(self, parent: int) -> int:
        """Return the time that a block on a parent of that time would have now."""
        if self._next_exact is not None:
            return self._next_exact
        if self._interval is not None:
            return parent + self._interval
        return max(self.time(), parent + 1)

    def passed(self, timestamp: int) -> None:
        """Take note that a block of this time was made."""
        if self._next_exact is not None:
            self._next_exact = None
            self.set_time(timestamp)

    def move(self, seconds: int) -> int:
        """Move the clock ahead; returns the whole offset. Raises InvalidRequest."""
        if seconds < 0:
            raise InvalidRequest("time only goes forward: increase it by 0 seconds or more")
        self.set_time(self.time() + seconds)
        return self._offset

    def set_time(self, timestamp: int) -> int:
        """Make it `timestamp` now; returns how far that is from before. Raises InvalidRequest."""
        if not 0 <= timestamp <= UINT64_MAX >> 1:
            raise InvalidRequest(f"{timestamp} is no time in seconds since 1970")
        moved = timestamp - self.time()
        self._offset += moved
        return moved

    def set_next(self, timestamp: int, parent: int) -> None:
        """Give the next block exactly this time; raises InvalidRequest unless it is later."""
        if timestamp <= parent:
            raise InvalidRequest(
                f"Timestamp {timestamp} is lower than or equal to previous block's timestamp "
                f"{parent}"
            )
        if timestamp > UINT64_MAX >> 1:
            raise InvalidRequest(f"{timestamp} is no time in seconds since 1970")
        self._next_exact = timestamp

    def set_interval(self, seconds: int | None) -> None:
        """Let each block be exactly `seconds` later than its parent; None: by the clock."""
        if seconds is not None and seconds < 1:
            raise InvalidRequest("blocks are at least one second apart")
        self._interval = seconds

    def save(self) -> ClockState:
        """Return what `load` needs to go on from now."""
        return ClockState(self.time(), self._next_exact, self._interval)

    def load(self, state: ClockState) -> None:
        """Go on from a saved moment."""
        self.set_time(state.time)
        self._next_exact = state.next_exact
        self._interval = state.interval

    def reset(self) -> None:
        """Follow the machine's clock again."""
        self._offset, self._next_exact, self._interval = 0, None, None
