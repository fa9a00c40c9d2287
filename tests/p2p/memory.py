"""A transport in memory, for tests under trio's mock clock: peers, streams, and what goes wrong.

`Hub.freeze(peer)` stops a peer as SIGSTOP would: nothing that it does or receives moves on.
`Hub.cut(peer)` ends all its connections as a kill would.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import trio

from p2p.transport import OnConnection, OnStream
from primitives.errors import PeerGone

WINDOW_BYTES = 262_144
WRITE_SECONDS = 6.0
CLOSE_SECONDS = 0.05


class Hub:
    """All transports of one test."""

    def __init__(self) -> None:
        self.transports: dict[str, MemoryTransport] = {}
        self.frozen: set[str] = set()
        self.connections: list[MemoryConnection] = []
        self.dials = self.made = 0

    def transport(self, peer_id: str, allowed: Any = None) -> MemoryTransport:
        """Return a new transport for `peer_id`, not yet listening."""
        return MemoryTransport(self, peer_id, allowed or (lambda _: True))

    def freeze(self, peer: str) -> None:
        self.frozen.add(peer)

    def cut(self, peer: str) -> None:
        for connection in list(self.connections):
            if connection.peer_id == peer:
                connection.abort()

    def is_split(self, one: str, other: str) -> bool:
        """Answer whether nothing passes between two peers; a simulation may say so."""
        return False

    async def wait_passage(self, source: str, target: str) -> None:
        """Return when bytes that `source` wrote may reach `target`."""
        await trio.lowlevel.checkpoint()

    def alive(self) -> list[MemoryConnection]:
        """Return the dialled ends of the connections that are open."""
        return [each for each in self.connections if each.dialled and not each.closed.is_set()]


class MemoryTransport:
    """Fulfils `p2p.transport.Transport`."""

    def __init__(self, hub: Hub, peer_id: str, allowed: Any) -> None:
        self.hub = hub
        self.peer_id = peer_id
        self.allowed = allowed
        self.on_connection: OnConnection | None = None
        self.on_stream: OnStream | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        return (f"/memory/{self.peer_id}",)

    def check(self) -> None:
        return

    async def run(
        self,
        on_connection: OnConnection,
        on_stream: OnStream,
        *,
        task_status: Any = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self.on_connection, self.on_stream = on_connection, on_stream
        self.hub.transports[self.peer_id] = self
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            del self.hub.transports[self.peer_id]
            for connection in list(self.hub.connections):
                if connection.owner is self:
                    connection.abort()

    async def dial(self, peer_id: str, address: str) -> MemoryConnection:
        await trio.lowlevel.checkpoint()
        self.hub.dials += 1
        there = self.hub.transports.get(peer_id)
        if there is None or there.on_connection is None or not there.allowed(self.peer_id):
            raise PeerGone("connection refused")
        if self.hub.is_split(self.peer_id, peer_id):
            raise PeerGone("connection refused")
        if not self.allowed(peer_id):
            raise PeerGone("not permitted")
        self.hub.made += 1
        name = f"{self.peer_id} {peer_id} {self.hub.dials}".encode()
        here = MemoryConnection(self, peer_id, dialled=True, handshake=sha256(name).digest())
        other = MemoryConnection(there, self.peer_id, dialled=False, handshake=here.handshake_hash)
        here.other, other.other = other, here
        self.hub.connections += [here, other]
        there.on_connection(other)
        return here


class MemoryConnection:
    """Fulfils `p2p.transport.Connection`: one end."""

    other: MemoryConnection

    def __init__(
        self, owner: MemoryTransport, peer_id: str, *, dialled: bool, handshake: bytes
    ) -> None:
        self.owner = owner
        self.peer_id = peer_id
        self.address = f"/memory/{peer_id}"
        self.dialled = dialled
        self.handshake_hash = handshake
        self.closed = trio.Event()
        self.buffered_bytes = 0
        self.inbound_streams = 0
        self.excess_streams = 0
        self.streams: list[MemoryStream] = []

    async def open_stream(self, protocol: str) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        if self.closed.is_set():
            raise PeerGone("connection closed")
        here, there = MemoryStream(self, protocol), MemoryStream(self.other, protocol)
        here.other, there.other = there, here
        self.streams.append(here)
        self.other.streams.append(there)
        assert self.other.owner.on_stream is not None
        self.other.owner.on_stream(self.other, protocol, there)
        return here

    def abort(self) -> None:
        for end in (self, self.other):
            end.closed.set()
            for stream in end.streams:
                stream.break_off()
            if end in end.owner.hub.connections:
                end.owner.hub.connections.remove(end)

    async def close(self) -> None:
        self.abort()
        await trio.sleep(CLOSE_SECONDS)


class MemoryStream:
    """Fulfils `p2p.transport.ByteStream`: one end."""

    other: MemoryStream

    def __init__(self, connection: MemoryConnection, protocol: str) -> None:
        self.connection = connection
        self.protocol = protocol
        self.received = bytearray()
        self.ended = False
        self.broken = False
        self.changed = trio.lowlevel.ParkingLot()

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self.received or self._is_frozen():
            if self.broken or (self.ended and not self._is_frozen()):
                raise PeerGone("stream ended")
            await self.changed.park()
        data = bytes(self.received[:65_536])
        del self.received[:65_536]
        self.other.changed.unpark_all()
        return data

    async def write(self, data: bytes) -> None:
        with trio.move_on_after(WRITE_SECONDS) as scope:
            connection = self.connection
            await connection.owner.hub.wait_passage(connection.owner.peer_id, connection.peer_id)
            while len(self.other.received) >= WINDOW_BYTES and not self.broken:
                await self.changed.park()
        if scope.cancelled_caught:
            self.connection.abort()
        if self.broken:
            raise PeerGone("connection closed")
        if not self._is_frozen():
            self.other.received += data
            self.other.changed.unpark_all()

    async def finish(self) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()
        self.other.ended = True
        self.other.changed.unpark_all()

    async def reset(self) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()
        for end in (self, self.other):
            if not (end.ended and end is self.other):
                end.break_off()

    def break_off(self) -> None:
        self.broken = True
        self.changed.unpark_all()

    def _is_frozen(self) -> bool:
        return self.connection.owner.peer_id in self.connection.owner.hub.frozen
