"""What p2p needs from a transport: authenticated connections that carry byte streams.

`p2p.host` fulfils it with libp2p over TCP; tests and simulations fulfil it in memory. Everything
above this file is written against these protocols, so no library type leaks upwards.

Rules every transport keeps: `Connection.peer_id` is proven by the handshake; a failed operation
raises PeerGone (or Timeout for a dial), nothing else; a write is never cut in the middle by the
caller's cancellation, but has a deadline of its own, after which the connection is aborted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import trio


class ByteStream(Protocol):
    """One ordered stream of bytes in each direction, inside a connection."""

    async def read(self) -> bytes:
        """Return the bytes at hand (at least one); raises PeerGone at the end or after a reset."""

    async def write(self, data: bytes) -> None:
        """Write all of `data`; raises PeerGone when it cannot be done in time."""

    async def finish(self) -> None:
        """Say that nothing more will be written; never raises."""

    async def reset(self) -> None:
        """Give the stream up in both directions; never raises."""


class Connection(Protocol):
    """One authenticated connection with one peer."""

    @property
    def peer_id(self) -> str:
        """The peer id that the other side proved."""

    @property
    def address(self) -> str:
        """Where the other side is, for people to read."""

    @property
    def dialled(self) -> bool:
        """Whether this side opened the connection."""

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that only the two ends of this one connection share."""

    @property
    def closed(self) -> trio.Event:
        """Set when the connection is over."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes received for this connection that no reader has taken yet."""

    @property
    def inbound_streams(self) -> int:
        """Streams opened by the other side that are alive."""

    @property
    def excess_streams(self) -> int:
        """Streams refused so far because too many were alive."""

    async def open_stream(self, protocol: str) -> ByteStream:
        """Open a stream that speaks `protocol`; raises PeerGone."""

    def abort(self) -> None:
        """Cut the connection now: whatever waits on it ends at once. Idempotent."""

    async def close(self) -> None:
        """Cut the connection and wait until it is over; idempotent, bounded in time."""


OnConnection = Callable[[Connection], None]
OnStream = Callable[[Connection, str, ByteStream], None]


class Transport(Protocol):
    """Listens and dials."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Multiaddrs that we listen on, with real ports, once `run` has started."""

    def check(self) -> None:
        """Raise ConfigError when `run` could not listen."""

    async def run(
        self,
        on_connection: OnConnection,
        on_stream: OnStream,
        *,
        task_status: Any = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen until cancelled.

        Calls `on_connection` for each accepted connection (not for dialled ones) and `on_stream`
        for each stream that the other side opens. Neither may block. The receiver of a stream
        owns it and ends it with `reset`, or with `finish` after reading to the end.
        """

    async def dial(self, peer_id: str, address: str) -> Connection:
        """Return a new connection with `peer_id` at `address`; raises PeerGone or Timeout."""
