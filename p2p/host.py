"""The libp2p host: TCP, one security protocol, yamux. Wall file: libp2p is imported here.

py-libp2p 0.8.1 is unsafe or wedges in its defaults; each counter-measure stands here. The labels
(H a hole, W a wedge, M a matter of memory and connections) are those of
tests/p2p/test_defaults.py, which names two tests for each: one of the library, one of ours.

* H1: exactly one security protocol, ours (`p2p.security`); by default anybody can be anybody;
* H2, H3: a guard around every inbound stream; what is raised there would end the process or, when
  it says that the stream ended, the acceptance of streams on that connection;
* H4, M6: no gossip, no transport but TCP;
* W1: the end of an inbound connection ends its task; by default slots are never given back, and
  after 250 connections no more are accepted;
* W2, M5: dials go by `dial_addr`, once, with the backoff and addresses of `p2p.peers`; the
  library's dialler blacklists for 60 s and forgets addresses after two minutes;
* W3: every write has a deadline, and one that did not finish closes the connection, because part
  of an encrypted packet may have left; closing starts at the socket, so that it never waits for a
  stopped peer (`p2p.ping` finds those);
* W4, W5: our own framing (`p2p.frames`), and readers that always drain (`p2p.link`);
* M1: receive windows stay small and what is buffered is counted; yamux enforces no window;
* M2: inbound streams are counted, whether they speak a protocol or not;
* M3: every socket is closed before the library's tasks are cancelled;
* M4: `p2p.network` keeps one connection for a pair;
* M7: no automatic connecting, identifying, trimming or rate limiting; the network decides those;
* the port is probed before listening: the library shares ports (SO_REUSEPORT), so that a second
  node on the same port would silently take half of the connections.

With PY_YAMUX_RELEASE_ON_READ=0 in the environment, read whenever it receives, yamux
credits the sender in large steps (half again the bulk throughput). The node's start-up does it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import trio
from libp2p import new_host
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.rcmgr import Direction
from multiaddr import Multiaddr  # type: ignore[import-untyped] # has no type information

from p2p.keys import NodeKey
from p2p.link import PROTOCOLS
from p2p.security import SECURITY_PROTOCOL, GatedNoise, handshake_hash_of, key_pair_of, socket_of
from p2p.transport import OnConnection, OnStream
from primitives.errors import ConfigError, PeerGone, QenexError, Timeout

READ_BYTES: Final = 65_536
WINDOW_BYTES_MAX: Final = 1_048_576
DIAL_SECONDS_MAX: Final = 5.0
NEGOTIATE_SECONDS_MAX: Final = 5
WRITE_SECONDS_MAX: Final = 6.0
"""A second above yamux's own deadline for a stalled stream, so that only a stalled connection
meets ours: the former costs the stream, the latter the connection."""
RESET_SECONDS_MAX: Final = 1.0
CLOSE_SECONDS_MAX: Final = 1.0
STOP_SECONDS_MAX: Final = 4.0
NAME_FAMILIES: Final = {
    "dns": socket.AF_UNSPEC,
    "dns4": socket.AF_INET,
    "dns6": socket.AF_INET6,
}
IDENTIFY_PUSH: Final = TProtocol("/ipfs/id/push/1.0.0")


@dataclass(frozen=True, slots=True)
class HostLimits:
    """Bounds on what others can make this host hold.

    `connections_max` counts both directions and, for inbound ones, also those that have not
    finished their handshake; `allowed_cidrs` empty means any address may try.
    """

    connections_max: int = 256
    connections_per_peer_max: int = 4
    inbound_streams_max: int = 32
    handshake_seconds_max: float = 5.0
    allowed_cidrs: tuple[str, ...] = ()


class Host:
    """A `Transport` over libp2p."""

    def __init__(
        self,
        key: NodeKey,
        allowed: Callable[[str], bool],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: HostLimits | None = None,
    ) -> None:
        self._limits = limits or HostLimits()
        self._bind = (host, port)
        self._listen = Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}")
        self._host, self._swarm = _build(key, allowed, self._listen, self._limits)
        self._connections: dict[Any, Libp2pConnection] = {}
        self._on_connection: OnConnection = _ignore
        self._on_stream: OnStream = _ignore
        self._install()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Multiaddrs that we listen on, with real ports, once `run` has started."""
        return tuple(
            str(address)
            for listener in self._swarm.listeners.values()
            for address in listener.get_addrs()
        )

    def check(self) -> None:
        """Raise ConfigError when the listen address is wrong or taken.

        The library would share a taken port, and it reports other errors only to its log.
        """
        host, port = self._bind
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ConfigError(
                    f"cannot listen on {host} port {port}: {error.strerror}", host=host, port=port
                ) from None

    async def run(
        self,
        on_connection: OnConnection,
        on_stream: OnStream,
        *,
        task_status: Any = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen until cancelled; see `Transport.run`."""
        self._on_connection, self._on_stream = on_connection, on_stream
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._live, stop)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                stop.set()

    async def _live(self, stop: trio.Event, *, task_status: Any) -> None:
        """Run the library until `stop`, then close every socket before its tasks are ended."""
        with trio.CancelScope(shield=True) as scope:
            async with self._host.run([self._listen]):
                if not self.addresses:
                    raise ConfigError("cannot listen", address=str(self._listen))
                await self._swarm.auto_connector.stop()
                task_status.started()
                await stop.wait()
                scope.deadline = trio.current_time() + STOP_SECONDS_MAX
                async with trio.open_nursery() as nursery:
                    for connection in list(self._connections.values()):
                        nursery.start_soon(connection.close)
                with _contained():
                    await self._host.close()

    async def dial(self, peer_id: str, address: str) -> Libp2pConnection:
        """Return a new connection; raises PeerGone or Timeout."""
        with trio.move_on_after(DIAL_SECONDS_MAX):
            with _library():
                swarm_connection = await self._swarm.dial_addr(
                    await _resolved(Multiaddr(address)), ID.from_string(peer_id)
                )
                return self._connection(swarm_connection)
        raise Timeout("dial took too long", peer=peer_id, address=address)

    def _install(self) -> None:
        """Put our guard, our handlers and our care for inbound connections in place."""
        inner_streams = self._swarm.common_stream_handler
        inner_upgrade = self._swarm.upgrade_inbound_raw_conn

        async def guarded(stream: Any) -> None:
            await self._guard(inner_streams, stream)

        async def upgrade(raw: Any, address: Any) -> Any:
            muxed = await inner_upgrade(raw, address)
            try:
                for swarm_connection in self._swarm.get_connections(muxed.peer_id):
                    if swarm_connection.muxed_conn is muxed:
                        self._on_connection(self._connection(swarm_connection))
                await muxed.event_closed.wait()
            finally:
                self._connections.pop(muxed, None)
            raise PeerGone("the connection is over")  # frees the library's task and slot

        self._swarm.set_stream_handler(guarded)
        self._swarm.upgrade_inbound_raw_conn = upgrade
        for protocol in PROTOCOLS:
            self._host.set_stream_handler(TProtocol(protocol), self._take_stream)

    async def _guard(self, inner: Callable[[Any], Awaitable[None]], stream: Any) -> None:
        """Run the library's handling of one inbound stream; whatever fails there ends there."""
        try:
            with _library():
                connection = self._connection(stream.swarm_conn)
                with connection.counted(self._limits.inbound_streams_max):
                    await inner(stream)
        except PeerGone:
            with _deadline(RESET_SECONDS_MAX), _contained():
                await stream.reset()

    async def _take_stream(self, stream: Any) -> None:
        """Hand a negotiated stream to its owner."""
        connection = self._connection(stream.swarm_conn)
        taken = Libp2pStream(stream, connection, inbound=True)
        self._on_stream(connection, str(stream.get_protocol()), taken)

    def _connection(self, swarm_connection: Any) -> Libp2pConnection:
        """Return our object for a library connection, made when it is first seen."""
        muxed = swarm_connection.muxed_conn
        connection = self._connections.get(muxed)
        if connection is None:
            connection = self._connections[muxed] = Libp2pConnection(self, swarm_connection)
        return connection

    def forget(self, swarm_connection: Any) -> None:
        """Drop a connection that is over from our table and the library's."""
        self._connections.pop(swarm_connection.muxed_conn, None)
        with _contained():
            self._swarm.remove_conn(swarm_connection)

    async def negotiate(self, stream: Any, protocol: str) -> None:
        """Agree with the peer that a fresh library stream speaks `protocol`."""
        await self._host.multiselect_client.select_one_of(
            [TProtocol(protocol)], MultiselectCommunicator(stream), NEGOTIATE_SECONDS_MAX
        )
        stream.set_protocol(TProtocol(protocol))


class Libp2pConnection:
    """A `Connection` over a library connection."""

    def __init__(self, host: Host, swarm_connection: Any) -> None:
        self._host = host
        self._swarm_connection = swarm_connection
        self._muxed = swarm_connection.muxed_conn
        self._socket = socket_of(self._muxed.secured_conn)
        self.peer_id = str(self._muxed.peer_id)
        self.dialled = swarm_connection.direction is Direction.OUTBOUND
        self.handshake_hash = handshake_hash_of(self._muxed.secured_conn)
        self.closed: trio.Event = self._muxed.event_closed
        self.inbound_streams = 0
        self.excess_streams = 0
        remote = self._muxed.get_remote_address()
        self.address = "unknown" if remote is None else f"{remote[0]}:{remote[1]}"

    @property
    def buffered_bytes(self) -> int:
        """Bytes received for streams of this connection that nobody has read yet."""
        return sum(map(len, self._muxed.stream_buffers.values()))

    async def open_stream(self, protocol: str) -> Libp2pStream:
        """Open a stream that speaks `protocol`; raises PeerGone."""
        with self.unless_late("stream was not opened"), _library():
            raw = await self._swarm_connection.new_stream()
            stream = Libp2pStream(raw, self)
            try:
                await self._host.negotiate(raw, protocol)
            except Exception:
                await stream.reset()
                raise
        return stream

    def abort(self) -> None:
        """Close the socket now, without a word to the peer; readers and writers end at once."""
        self._socket.close()

    async def close(self) -> None:
        """Cut the connection and wait until the library has noticed."""
        self.abort()
        with _deadline(CLOSE_SECONDS_MAX) as scope:
            await self.closed.wait()
        if scope.cancelled_caught:
            with _deadline(CLOSE_SECONDS_MAX), _contained():
                await self._swarm_connection.close()
        self._host.forget(self._swarm_connection)

    @contextmanager
    def unless_late(self, what: str) -> Iterator[None]:
        """Run what must not be cut in the middle; when it takes too long, abort the connection.

        Raises PeerGone that says `what`.
        """
        with _deadline(WRITE_SECONDS_MAX) as scope:
            yield
        if scope.cancelled_caught:
            self.abort()
            raise PeerGone(f"{what} in {WRITE_SECONDS_MAX:g} s")

    @contextmanager
    def counted(self, streams_max: int) -> Iterator[None]:
        """Count an inbound stream while the library handles it; raises PeerGone above the limit."""
        if self.inbound_streams >= streams_max:
            self.excess_streams += 1
            raise PeerGone("too many streams")
        self.inbound_streams += 1
        try:
            yield
        finally:
            self.inbound_streams -= 1


class Libp2pStream:
    """A `ByteStream` over a library stream."""

    def __init__(self, stream: Any, connection: Libp2pConnection, *, inbound: bool = False) -> None:
        self._stream = stream
        self._muxed = stream.muxed_stream
        self._connection = connection
        self._counted = inbound
        if inbound:
            connection.inbound_streams += 1

    async def read(self) -> bytes:
        """Return the bytes at hand; raises PeerGone at the end or after a reset."""
        # The library doubles the window up to 16 MB; so it stays at WINDOW_BYTES_MAX.
        self._muxed.target_recv_window = min(self._muxed.target_recv_window, WINDOW_BYTES_MAX // 2)
        with _library():
            data: bytes = await self._stream.read(READ_BYTES)
        if not data:
            raise PeerGone("stream ended")
        return data

    async def write(self, data: bytes) -> None:
        """Write all of `data`; raises PeerGone when it cannot be done in time."""
        with self._connection.unless_late("write was not done"), _library():
            await self._stream.write(data)

    async def finish(self) -> None:
        """Close the writing side; never raises."""
        await self._end(self._stream.close_write)

    async def reset(self) -> None:
        """Give the stream up; never raises."""
        await self._end(self._stream.reset)

    async def _end(self, how: Callable[[], Awaitable[None]]) -> None:
        """Run a closing step to its end or, when it takes too long, cut the connection."""
        if self._counted:
            self._counted = False
            self._connection.inbound_streams -= 1
        with _deadline(RESET_SECONDS_MAX) as scope, _contained():
            await how()
        if scope.cancelled_caught:
            self._connection.abort()


def _build(
    key: NodeKey, allowed: Callable[[str], bool], listen: Multiaddr, limits: HostLimits
) -> tuple[Any, Any]:
    """Return the library's host and swarm, with everything off that decides for itself."""
    host = new_host(
        key_pair=key_pair_of(key),
        sec_opt={SECURITY_PROTOCOL: GatedNoise(key, allowed)},
        listen_addrs=[listen],
        muxer_preference="YAMUX",
        connection_config=ConnectionConfig(
            max_connections=limits.connections_max,
            high_watermark=limits.connections_max,
            min_connections=0,
            low_watermark=0,
            max_connections_per_peer=limits.connections_per_peer_max,
            allow_list=list(limits.allowed_cidrs),
            inbound_upgrade_timeout=limits.handshake_seconds_max,
            outbound_upgrade_timeout=limits.handshake_seconds_max,
            inbound_stream_protocol_negotiation_timeout=NEGOTIATE_SECONDS_MAX,
            outbound_stream_protocol_negotiation_timeout=NEGOTIATE_SECONDS_MAX,
        ),
        disable_identify_address_discovery=True,
    )
    swarm: Any = host.get_network()
    swarm.set_resource_manager(None)
    swarm.retry_config.max_retries = 0
    swarm.notifees.clear()  # no identify of our own accord, no tags
    host.remove_stream_handler(IDENTIFY_PUSH)
    return host, swarm


async def _resolved(address: Multiaddr) -> Multiaddr:
    """Return `address` with a name replaced by the first address that the system knows for it.

    The library asks DNS servers only; the system also knows /etc/hosts and containers' names.
    """
    name = str(next(iter(address.protocols())).name)
    if name not in NAME_FAMILIES:
        return address
    port = int(address.value_for_protocol("tcp"))
    found = await trio.socket.getaddrinfo(
        address.value_for_protocol(name), port, NAME_FAMILIES[name], socket.SOCK_STREAM
    )
    family, *_, where = found[0]
    kind = "ip6" if family == socket.AF_INET6 else "ip4"
    return Multiaddr(f"/{kind}/{where[0]}/tcp/{port}")


def _deadline(seconds: float) -> trio.CancelScope:
    """Return a scope that ends after `seconds` and not by an outer cancellation."""
    return trio.CancelScope(deadline=trio.current_time() + seconds, shield=True)


@contextmanager
def _library() -> Iterator[None]:
    """Turn whatever the library raises into PeerGone.

    It raises errors of a dozen unrelated classes for a peer that went away or spoke garbage, and
    one that escapes ends the process; this is the only place that catches them all.
    """
    try:
        yield
    except QenexError:
        raise
    except Exception as error:
        text = str(error)[:200] or type(error).__name__
        raise PeerGone(f"connection: {text}") from error


@contextmanager
def _contained() -> Iterator[None]:
    """Let a closing step fail in silence: the thing is being given up anyway."""
    with suppress(PeerGone), _library():
        yield


def _is_not_the_librarys(record: logging.LogRecord) -> bool:
    """Return False for what the library logs through the root logger."""
    return "libp2p" not in record.pathname


def _ignore(*_: object) -> None:
    """Do nothing with a connection or stream that arrives before `run`."""


logging.getLogger("libp2p").setLevel(logging.CRITICAL)
logging.getLogger().addFilter(_is_not_the_librarys)
