"""What the network tells the runtime, through one bounded queue.

Each peer has its own allowance in messages and bytes: when the consumer is slow, the reader of
that peer waits (so the peer's writes wait in turn) and the other peers go on. Nothing is dropped
silently: what was put is received, and a lost peer is a PeerDown. `PeerUp` uses the allowance,
`PeerDown` does not, and there is one for each `PeerUp`, so the queue is bounded in all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

import trio

from p2p.status import Status

EVENT_MESSAGES_MAX: Final = 1_024
EVENT_BYTES_MAX: Final = 8_000_000
EVENT_COST_BYTES: Final = 256
EVENTS_PER_TURN: Final = 64


class Stream(IntEnum):
    """The long-lived streams of a link."""

    CONSENSUS = 0
    TX = 1


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message from a peer; `kind` and `body` are the runtime's to decode."""

    peer: str
    stream: Stream
    kind: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A peer whose status was checked and whose streams are open."""

    peer: str
    status: Status


@dataclass(frozen=True, slots=True)
class PeerDown:
    """A peer that was up is gone; `reason` is for people."""

    peer: str
    reason: str


Event: TypeAlias = Received | PeerUp | PeerDown


@dataclass(slots=True)
class _Usage:
    """What one peer has in the queue."""

    messages: int = 0
    size_bytes: int = 0


class EventQueue:
    """A first-in first-out queue of events with an allowance per peer.

    Like a trio receive channel it has `receive`, `receive_nowait` and `async for`; it never ends.
    """

    def __init__(
        self, messages_max: int = EVENT_MESSAGES_MAX, size_bytes_max: int = EVENT_BYTES_MAX
    ) -> None:
        self._messages_max = messages_max
        self._size_bytes_max = size_bytes_max
        self._queue: deque[Event] = deque()
        self._turn = 0
        self._usage: dict[str, _Usage] = {}
        self._receivers = trio.lowlevel.ParkingLot()
        self._senders: dict[str, trio.lowlevel.ParkingLot] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def has_room(self, peer: str) -> bool:
        """Return whether `put` for this peer would not wait. A lone message always fits."""
        usage = self._usage.get(peer)
        return usage is None or (
            usage.messages < self._messages_max and usage.size_bytes < self._size_bytes_max
        )

    def put_nowait(self, event: Received | PeerUp) -> bool:
        """Append `event` and return True, or return False when its peer's allowance is used up."""
        usage = self._usage.get(event.peer)
        if usage is None:
            usage = self._usage[event.peer] = _Usage()
        elif usage.messages >= self._messages_max or usage.size_bytes >= self._size_bytes_max:
            return False
        usage.messages += 1
        usage.size_bytes += _cost(event)
        self._append(event)
        return True

    async def put(self, event: Received | PeerUp) -> None:
        """Append `event`, waiting while its peer has used up its allowance."""
        while not self.put_nowait(event):
            await self._senders.setdefault(event.peer, trio.lowlevel.ParkingLot()).park()

    def put_down(self, event: PeerDown) -> None:
        """Append a PeerDown at once."""
        self._append(event)

    def receive_nowait(self) -> Event:
        """Return the oldest event; raises trio.WouldBlock when there is none."""
        if not self._queue:
            raise trio.WouldBlock
        event = self._queue.popleft()
        if not isinstance(event, PeerDown):
            self._release(event)
        return event

    async def receive(self) -> Event:
        """Return the oldest event, waiting for one when there is none.

        Lets other tasks run at least once every EVENTS_PER_TURN events.
        """
        self._turn = (self._turn + 1) % EVENTS_PER_TURN
        if self._turn:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        while not self._queue:
            await self._receivers.park()
        return self.receive_nowait()

    def __aiter__(self) -> EventQueue:
        return self

    async def __anext__(self) -> Event:
        return await self.receive()

    def _append(self, event: Event) -> None:
        self._queue.append(event)
        if self._receivers:
            self._receivers.unpark()

    def _release(self, event: Received | PeerUp) -> None:
        usage = self._usage[event.peer]
        usage.messages -= 1
        usage.size_bytes -= _cost(event)
        if usage.messages == 0:
            del self._usage[event.peer]
        lot = self._senders.get(event.peer)
        if lot is not None and self.has_room(event.peer):
            lot.unpark_all()
            del self._senders[event.peer]


def _cost(event: Received | PeerUp) -> int:
    """Return the bytes that an event is charged for."""
    return EVENT_COST_BYTES + (len(event.body) if isinstance(event, Received) else 0)
