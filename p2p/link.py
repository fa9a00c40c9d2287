"""A link: the life of one connection with one peer.

    status exchange (5 s) -> admission (one link per peer) -> long-lived streams -> up -> over

The side that dialled opens the streams. A link that is up has one reader and one writer for each
long-lived stream, a pinger, and a watcher for silence, memory and stream floods. Any failure of a
long-lived stream ends the whole link: the connection is closed, the runtime gets a PeerDown and
the network dials again. Nothing is resumed on a stream that failed.

A peer that has given its status but opens no long-lived stream may fetch by `/qenex/sync/1` for a
minute (a light client); it never is "up".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import trio

from p2p.bucket import TokenBucket
from p2p.events import EventQueue, PeerUp, Received, Stream
from p2p.frames import Decoder, Message, MessageReader, OversizedMessage, encode_message
from p2p.outbox import TX_LINGER_SECONDS, Outbox
from p2p.peers import Offence
from p2p.ping import (
    APPLICATION_KIND_MAX,
    PING,
    PING_SECONDS,
    PONG,
    PONG_SECONDS_MIN,
    SILENT_SECONDS_MAX,
    SUSPECT_SECONDS,
    Ping,
    decode_ping,
    decode_pong,
    encode_ping,
    encode_pong,
)
from p2p.requests import REQUESTS_MAX, SERVED_MAX, Serve, answer, exchange
from p2p.status import (
    STATUS_BYTES_MAX,
    Status,
    StatusRefused,
    WrongProof,
    check_status,
    decode_status,
    encode_status,
)
from p2p.transport import ByteStream, Connection
from primitives.errors import BrokenInvariant, InvalidMessage, PeerGone, Timeout
from primitives.types import Hash32, Height

STATUS_PROTOCOL: Final = "/qenex/status/1"
SYNC_PROTOCOL: Final = "/qenex/sync/1"
STREAM_PROTOCOLS: Final = {Stream.CONSENSUS: "/qenex/consensus/1", Stream.TX: "/qenex/tx/1"}
PROTOCOLS: Final = (STATUS_PROTOCOL, SYNC_PROTOCOL, *STREAM_PROTOCOLS.values())

MESSAGE_BYTES_MAX: Final = {Stream.CONSENSUS: 4_000_000, Stream.TX: 1_000_000}
STATUS_KIND: Final = 0
STATUS_SECONDS_MAX: Final = 5.0
OPEN_SECONDS_MAX: Final = 5.0
LIGHT_SECONDS_MAX: Final = 60.0
WATCH_SECONDS: Final = 0.1
REFUSED_LINGER_SECONDS: Final = 0.2
"""Time for our status to arrive, so that the refused side can log the reason too."""
UNREAD_BYTES_MAX: Final = 12_000_000
"""Bytes that a connection may hold for readers: above every window that we ever grant."""

TX_BYTES_PER_SECOND: Final = 4_000_000
TX_BYTES_BURST: Final = 8_000_000
"""What a peer may push of transactions: some twenty times what the fastest network takes in."""
MESSAGE_COST_BYTES: Final = 2_000
"""What a message costs beside its bytes, so that many small ones are not for nothing."""

DUPLICATE_REASON: Final = "another connection with this peer is kept"


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What is known of a peer that is up, for people and for the sync."""

    peer: str
    address: str
    status: Status
    head_height: Height
    head_hash: Hash32
    rtt_ms: float | None
    score: float
    since: float


class Owner(Protocol):
    """What a link needs from its network."""

    @property
    def peer_id(self) -> str:
        """Our own peer id."""

    @property
    def events(self) -> EventQueue:
        """Where messages go."""

    @property
    def head(self) -> tuple[Height, Hash32]:
        """Our head, for pings."""

    @property
    def serve(self) -> Serve:
        """The runtime's handler of requests."""

    def proven_status(self, handshake_hash: bytes) -> Status:
        """Return our status with its proof for one connection."""

    async def admit(self, link: Link) -> bool:
        """Return whether the link may go on; ends the one that it replaces."""

    def link_up(self, link: Link) -> None:
        """Note that the link is up."""

    def offend(self, peer: str, offence: Offence) -> None:
        """Note an offence."""


class Link:
    """One connection from its first byte to its last."""

    def __init__(self, connection: Connection, owner: Owner) -> None:
        self.connection = connection
        self.peer = connection.peer_id
        self.reason = "this node stops"
        self.refused = False
        self.is_up = False
        self.was_up = False
        self.status: Status | None = None
        self.head: tuple[Height, Hash32] | None = None
        self.rtt_ms: float | None = None
        self.since = trio.current_time()
        self.finished = trio.Event()
        self._owner = owner
        self._scope = trio.CancelScope()
        self._known = trio.Event()
        self._last_heard = self.since
        self._last_pong = float("-inf")
        self._stalled = 0
        self._served = 0
        self._excess_seen = 0
        self._bucket = TokenBucket(TX_BYTES_PER_SECOND, TX_BYTES_BURST)
        self._requests = trio.Semaphore(REQUESTS_MAX)
        self._outboxes = {
            Stream.CONSENSUS: Outbox(),
            Stream.TX: Outbox(linger_seconds=TX_LINGER_SECONDS),
        }
        self._arrived: set[str] = set()
        self._arrivals = {
            protocol: trio.open_memory_channel[ByteStream](1)
            for protocol in (STATUS_PROTOCOL, *STREAM_PROTOCOLS.values())
        }

    # -- what the network and the runtime call -------------------------------------------------

    async def run(self) -> None:
        """Live until the connection ends or `close` is called; raises nothing of the peer's."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._contain, self._watch)
                    nursery.start_soon(self._contain, self._until_closed)
                    await self._contain(self._live, nursery)
        finally:
            self.is_up = False
            with trio.CancelScope(shield=True):
                await self.connection.close()
            self.finished.set()

    def close(self, reason: str, *, refused: bool = False) -> None:
        """End the link; the first reason given is the one that counts."""
        if not self._scope.cancel_called:
            self.reason, self.refused = reason, refused
            self.connection.abort()
            self._scope.cancel()

    def send(self, stream: Stream, encoded: bytes) -> bool:
        """Queue an encoded message; False when the link is not up or does not keep up."""
        if not self.is_up:
            return False
        if self._outboxes[stream].put(encoded):
            return True
        self.close(f"{stream.name} queue to this peer is full")
        return False

    async def request(self, kind: int, body: bytes) -> list[bytes]:
        """Return the items of the peer's answer; see `requests.exchange` for what it raises."""
        async with self._requests:
            if not self.is_up:
                raise PeerGone("no link with this peer", peer=self.peer)
            stream = await self.connection.open_stream(SYNC_PROTOCOL)
            try:
                items = await exchange(stream, kind, body)
            except InvalidMessage as error:
                self._owner.offend(self.peer, _offence(error))
                raise
            except Timeout:
                self._owner.offend(self.peer, Offence.TIMEOUT)
                raise
            finally:
                await stream.reset()
            return items

    async def adopt(self, protocol: str, stream: ByteStream) -> None:
        """Take a stream that the peer opened, and end it if it has no business here."""
        if protocol == SYNC_PROTOCOL:
            await self._contain(self._serve, stream)
            await stream.reset()
            return
        is_first = protocol in self._arrivals and protocol not in self._arrived
        if is_first and not self.connection.dialled:
            self._arrived.add(protocol)
            self._arrivals[protocol][0].send_nowait(stream)
            return
        self._owner.offend(self.peer, Offence.FLOOD)
        await stream.reset()

    @property
    def is_suspect(self) -> bool:
        """Whether the peer has been silent for longer than is usual."""
        return trio.current_time() - self._heard() > SUSPECT_SECONDS

    def info(self, score: float) -> PeerInfo:
        """Return what is known of the peer of a link that is up."""
        status = self.status
        if status is None:
            raise BrokenInvariant("a link without status has no info", peer=self.peer)
        height, head_hash = self.head or (status.height, status.head_hash)
        address = self.connection.address
        return PeerInfo(
            self.peer, address, status, height, head_hash, self.rtt_ms, score, self.since
        )

    # -- the stages ----------------------------------------------------------------------------

    async def _live(self, nursery: trio.Nursery) -> None:
        """Go through the stages until the link is up; its tasks then run in `nursery`."""
        self.status = await self._exchange_status()
        if not await self._owner.admit(self):
            self.close(DUPLICATE_REASON)
            return
        self._known.set()
        streams = await self._open_streams()
        await self._owner.events.put(PeerUp(self.peer, self.status))
        self.is_up = self.was_up = True
        self._last_heard = self.since = trio.current_time()
        self._owner.link_up(self)
        for which, stream in streams.items():
            nursery.start_soon(self._contain, self._read, which, stream)
            nursery.start_soon(self._contain, self._outboxes[which].run, stream)
        nursery.start_soon(self._contain, self._ping)

    async def _exchange_status(self) -> Status:
        """Return the peer's checked status; raises StatusRefused, InvalidMessage or Timeout."""
        own = self._owner.proven_status(self.connection.handshake_hash)
        encoded = encode_message(STATUS_KIND, encode_status(own))
        with trio.move_on_after(STATUS_SECONDS_MAX):
            if self.connection.dialled:
                stream = await self.connection.open_stream(STATUS_PROTOCOL)
                await stream.write(encoded)
                message = await MessageReader(stream, STATUS_BYTES_MAX).receive()
            else:
                stream = await self._arrivals[STATUS_PROTOCOL][1].receive()
                message = await MessageReader(stream, STATUS_BYTES_MAX).receive()
                await stream.write(encoded)
            await stream.finish()
            if message.kind != STATUS_KIND:
                raise InvalidMessage("the first message is not a status")
            theirs = decode_status(message.body)
            check_status(own, theirs, self.peer, self.connection.handshake_hash)
            return theirs
        raise Timeout("no status in time", seconds=STATUS_SECONDS_MAX)

    async def _open_streams(self) -> dict[Stream, ByteStream]:
        """Return the long-lived streams: opened by the dialling side, awaited by the other."""
        streams = {}
        seconds = OPEN_SECONDS_MAX if self.connection.dialled else LIGHT_SECONDS_MAX
        with trio.move_on_after(seconds):
            for which, protocol in STREAM_PROTOCOLS.items():
                if self.connection.dialled:
                    streams[which] = await self.connection.open_stream(protocol)
                else:
                    streams[which] = await self._arrivals[protocol][1].receive()
            return streams
        raise Timeout("long-lived streams were not opened", seconds=seconds)

    # -- tasks of a link that is up --------------------------------------------------------------

    async def _read(self, which: Stream, stream: ByteStream) -> None:
        """Read one stream for ever and hand its messages on, at the consumer's pace."""
        decoder = Decoder(MESSAGE_BYTES_MAX[which])
        while True:
            data = await stream.read()
            self._last_heard = trio.current_time()
            for message in decoder.feed(data):
                if message.kind > APPLICATION_KIND_MAX:
                    self._handle_control(which, message)
                    continue
                event = Received(self.peer, which, message.kind, message.body)
                if not self._owner.events.put_nowait(event):
                    await self._wait_for_room(event)
                if which is Stream.TX:
                    await self._wait_for_tokens(len(message.body))

    async def _wait_for_room(self, event: Received) -> None:
        """Hand an event on when the consumer has room; we are the silent side meanwhile."""
        self._stalled += 1
        try:
            await self._owner.events.put(event)
        finally:
            self._stalled -= 1
            self._last_heard = trio.current_time()

    async def _wait_for_tokens(self, size_bytes: int) -> None:
        """Let a peer that pushes transactions too fast wait; what it sent is not lost."""
        now = trio.current_time()
        pause_s = self._bucket.take(size_bytes + MESSAGE_COST_BYTES, now)
        if pause_s > 0:
            self._stalled += 1
            try:
                await trio.sleep(pause_s)
            finally:
                self._stalled -= 1
                self._last_heard = trio.current_time()

    def _handle_control(self, which: Stream, message: Message) -> None:
        """Take a ping or a pong; raises InvalidMessage for any other reserved kind."""
        now = trio.current_time()
        if which is not Stream.CONSENSUS or message.kind not in (PING, PONG):
            raise InvalidMessage(f"reserved kind {message.kind} on stream {which.name}")
        if message.kind == PONG:
            self.rtt_ms = max(0.0, now * 1e3 - decode_pong(message.body) / 1e3)
            return
        ping = decode_ping(message.body)
        self.head = (ping.height, ping.head_hash)
        if now - self._last_pong >= PONG_SECONDS_MIN:
            self._last_pong = now
            self.send(Stream.CONSENSUS, encode_message(PONG, encode_pong(ping.stamp)))

    async def _ping(self) -> None:
        """Send a ping each second."""
        while True:
            ping = Ping(int(trio.current_time() * 1e6), *self._owner.head)
            self.send(Stream.CONSENSUS, encode_message(PING, encode_ping(ping)))
            await trio.sleep(PING_SECONDS)

    async def _watch(self) -> None:
        """End the link when the peer is silent, floods us with streams or with unread bytes."""
        while True:
            await trio.sleep(WATCH_SECONDS)
            excess = self.connection.excess_streams - self._excess_seen
            if excess:
                self._excess_seen += excess
                self._owner.offend(self.peer, Offence.FLOOD)
            if self.connection.buffered_bytes > UNREAD_BYTES_MAX:
                self._owner.offend(self.peer, Offence.MEMORY)
                self.close("more unread bytes than any window allows")
            if self.is_up and trio.current_time() - self._heard() > SILENT_SECONDS_MAX:
                self.close(f"silent for {SILENT_SECONDS_MAX:g} s")

    async def _until_closed(self) -> None:
        """End the link when its connection ends."""
        await self.connection.closed.wait()
        self.close("connection closed")

    async def _serve(self, stream: ByteStream) -> None:
        """Answer one request, once the peer is known."""
        with trio.move_on_after(STATUS_SECONDS_MAX):
            await self._known.wait()
        if not self._known.is_set():
            return
        busy = self._served >= SERVED_MAX
        if busy:
            self._owner.offend(self.peer, Offence.FLOOD)
        self._served += 1
        try:
            await answer(stream, self.peer, self._owner.serve, busy=busy)
        except (PeerGone, Timeout):
            return
        finally:
            self._served -= 1

    async def _contain(self, task: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Run a task; what the peer did wrong in it ends the link and nothing else."""
        try:
            await task(*arguments)
        except StatusRefused as error:
            await trio.sleep(REFUSED_LINGER_SECONDS)
            self.close(error.message, refused=True)
        except InvalidMessage as error:
            self.close(error.message, refused=isinstance(error, WrongProof))
            self._owner.offend(self.peer, _offence(error))
        except (PeerGone, Timeout) as error:
            self.close(error.message)

    def _heard(self) -> float:
        """Return when the peer was heard last; now, while it is us who do not listen."""
        return trio.current_time() if self._stalled else self._last_heard


def _offence(error: InvalidMessage) -> Offence:
    """Return what a peer is charged with for an invalid message."""
    match error:
        case OversizedMessage():
            return Offence.OVERSIZED
        case WrongProof():
            return Offence.WRONG_PROOF
        case _:
            return Offence.BAD_FRAME
