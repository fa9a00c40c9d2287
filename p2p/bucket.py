"""A token bucket: how much one may send in a second, and at once. Pure; the time is handed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Holds up to `burst` tokens and gains `per_second`; may go into debt by one message."""

    per_second: float
    burst: float
    tokens: float = 0.0
    at: float = float("-inf")

    def take(self, count: float, now: float) -> float:
        """Take tokens and return how many seconds to wait before the next ones; 0: none.

        `now` is in seconds of any steady clock. A bucket that was never used is full.
        """
        gained = (now - self.at) * self.per_second
        self.tokens = min(self.burst, self.tokens + gained) - count
        self.at = now
        return max(0.0, -self.tokens / self.per_second)
