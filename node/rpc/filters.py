"""Polling filters: what `eth_newFilter` and its kin leave in the server between two polls.

Blocks never change once they exist, so a filter of blocks or logs is only the next height that it
has not shown yet; nothing is queued for it. A filter of pool transactions keeps a bounded queue.
A filter that nobody polls for the time-out is gone.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.rpc.arguments import FilterObject
from node.rpc.encode import Json
from node.rpc.errors import LIMIT_EXCEEDED, RpcError, server_error
from node.rpc.hub import BlockEvent, PendingEvent, SyncEvent
from node.rpc.settings import RpcSettings

PENDING_QUEUE_MAX: Final = 10_000


@dataclass(slots=True, eq=False)
class BlockFilter:
    """Shows the hashes of blocks from `next_height` on."""

    next_height: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    polled_at: float = 0.0


@dataclass(slots=True, eq=False)
class LogFilter:
    """Shows the logs that match from `next_height` on."""

    wanted: FilterObject
    next_height: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    polled_at: float = 0.0


@dataclass(slots=True, eq=False)
class PendingFilter:
    """Shows pool transactions, whole or their hashes; the oldest go when nobody polls."""

    full: bool
    queue: deque[str | Json] = field(default_factory=lambda: deque(maxlen=PENDING_QUEUE_MAX))
    lock: threading.Lock = field(default_factory=threading.Lock)
    polled_at: float = 0.0


Filter = BlockFilter | LogFilter | PendingFilter


def new_id() -> str:
    """Return a random id of 128 bits, a quantity without leading zeros as clients expect."""
    return hex(1 << 127 | secrets.randbits(127))


class Filters:
    """All polling filters; safe to use from the loop and from workers."""

    def __init__(self, settings: RpcSettings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._filters: dict[str, Filter] = {}

    def __len__(self) -> int:
        return len(self._filters)

    def add(self, new: Filter) -> str:
        """Keep a filter and return its id; raises RpcError when there are too many."""
        with self._lock:
            self._sweep()
            if len(self._filters) >= self._settings.filters_max:
                raise RpcError(LIMIT_EXCEEDED, "too many filters")
            new.polled_at = self._now()
            name = new_id()
            self._filters[name] = new
            return name

    def get(self, name: str) -> Filter:
        """Return a live filter and note that it was polled; raises RpcError."""
        with self._lock:
            self._sweep()
            found = self._filters.get(name)
            if found is None:
                raise server_error("filter not found")
            found.polled_at = self._now()
            return found

    def remove(self, name: str) -> bool:
        """Forget a filter; False when there is none of that id."""
        with self._lock:
            self._sweep()
            return self._filters.pop(name, None) is not None

    def rewind(self, head: int) -> None:
        """Show again what will come above `head`; only a developer chain ever goes back to one."""
        with self._lock:
            waiting = list(self._filters.values())
        for each in waiting:
            if not isinstance(each, PendingFilter):
                with each.lock:
                    each.next_height = min(each.next_height, head + 1)

    def _sweep(self) -> None:
        oldest = self._now() - self._settings.filter_timeout_s
        for name in [n for n, each in self._filters.items() if each.polled_at < oldest]:
            del self._filters[name]

    def committed(self, event: BlockEvent) -> None:
        """Blocks and logs are read from the chain at the poll."""

    def syncing(self, event: SyncEvent) -> None:
        """No polling filter shows it."""

    def pending(self, event: PendingEvent) -> None:
        """Queue new pool transactions for the filters that want them."""
        with self._lock:
            waiting = [each for each in self._filters.values() if isinstance(each, PendingFilter)]
        for each in waiting:
            with each.lock:
                each.queue.extend(event.whole if each.full else event.hashes)
