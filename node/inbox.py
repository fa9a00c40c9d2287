"""The one queue in front of consensus: local inputs first, peers' messages after.

Timers, results of workers and decisions never wait behind peers and are never dropped; peers'
messages are bounded, and a full lane makes the reader wait, which the peers feel as backpressure.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

import trio

PEER_MESSAGES_MAX: Final = 8_192
BATCH_MAX: Final = 256

T = TypeVar("T")


class Inbox(Generic[T]):
    """A two-lane queue for one consumer, used from the trio thread only."""

    def __init__(self) -> None:
        self._local: deque[T] = deque()
        self._peers: deque[T] = deque()
        self._filled = trio.Event()
        self._drained = trio.Event()

    def put(self, item: T) -> None:
        """Add a local input; its producers are few and bounded by the machine's own timers."""
        self._local.append(item)
        self._filled.set()

    async def put_from_peer(self, item: T) -> None:
        """Add a peer's message, waiting while PEER_MESSAGES_MAX are queued."""
        while len(self._peers) >= PEER_MESSAGES_MAX:
            self._drained = trio.Event()
            await self._drained.wait()
        self._peers.append(item)
        self._filled.set()

    async def wait_batch(self) -> list[T]:
        """Wait for input, then return every local one and up to BATCH_MAX of the peers'."""
        while not self._local and not self._peers:
            self._filled = trio.Event()
            await self._filled.wait()
        batch = list(self._local)
        self._local.clear()
        batch.extend(self._peers.popleft() for _ in range(min(BATCH_MAX, len(self._peers))))
        self._drained.set()
        return batch
