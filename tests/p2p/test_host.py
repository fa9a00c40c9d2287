"""The libp2p host on loopback: each hole and wedge of the library that we know stays closed.

The labels H1 to M7 are explained in p2p/host.py; a test's first line says which it covers.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p.events import PeerDown, PeerUp, Received, Stream
from p2p.frames import encode_message
from p2p.host import Host, HostLimits, Libp2pConnection
from p2p.link import PROTOCOLS, SYNC_PROTOCOL, UNREAD_BYTES_MAX
from p2p.network import Network
from p2p.transport import ByteStream
from primitives.errors import ConfigError, PeerGone
from tests.p2p.nodes import NODE_KEYS, PEERS, network, real, wait_down, wait_up


class Stranger:
    """A host that we drive by hand, as an attacker would."""

    def __init__(self, index: int, **options: Any) -> None:
        self.host = Host(NODE_KEYS[index], lambda _: True, **options)
        self.connections: list[Any] = []
        self.streams: list[tuple[str, ByteStream]] = []

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        await self.host.run(
            self.connections.append,
            lambda _, protocol, stream: self.streams.append((protocol, stream)),
            task_status=task_status,
        )

    async def dial(self, node: Network) -> Libp2pConnection:
        return await self.host.dial(node.peer_id, node.listen_addresses[0])


@asynccontextmanager
async def running(*services: Any) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for each in services:
            await nursery.start(each.run)
        yield
        nursery.cancel_scope.cancel()


def introduce(one: Network, two: Network) -> None:
    """Tell both where the other is."""
    one.set_addresses({two.peer_id: two.listen_addresses})
    two.set_addresses({one.peer_id: one.listen_addresses})


async def raw_stream(connection: Libp2pConnection) -> Any:
    """Open a library stream without negotiating a protocol."""
    return await connection._swarm_connection.new_stream()


def host_of(node: Network) -> Any:
    return node._transport


@pytest.mark.slow
def test_pair_over_tcp() -> None:
    """Two nodes join, exchange fragmented messages and large answers (W4), and know their RTT."""

    async def scenario() -> None:
        async def serve(peer: str, kind: int, body: bytes) -> list[bytes]:
            return [bytes(4_000_000)]

        low, high = network(0), network(1, serve=serve)
        async with running(low, high):
            port = high.listen_addresses[0].split("/")[4]
            low.set_addresses({PEERS[1]: (f"/dns4/localhost/tcp/{port}",)})
            await wait_up(low.events)
            await wait_up(high.events)
            low.send(PEERS[1], Stream.CONSENSUS, 3, b"x" * 3_000_000)
            event = await high.events.receive()
            assert isinstance(event, Received)
            assert (event.kind, len(event.body)) == (3, 3_000_000)
            answer = await low.request(PEERS[1], 1, b"", timeout_s=10)
            assert [len(item) for item in answer] == [4_000_000]
            assert low.peers()[0].address.startswith("127.0.0.1:")

    real(scenario)


def test_nothing_weaker_is_offered() -> None:
    """H1, H4, M6: one security protocol, no transport but TCP, no gossip, nothing unchosen."""

    async def scenario() -> None:
        node = network(0)
        async with running(node):
            address = node.listen_addresses[0].split("/")
            tcp = await trio.open_tcp_stream(address[2], int(address[4]))
            for protocol in (b"/plaintext/2.0.0", b"/secio/1.0.0", b"/tls/1.0.0"):
                await tcp.send_all(b"\x13/multistream/1.0.0\n" if protocol[1] == 112 else b"")
                await tcp.send_all(bytes((len(protocol) + 1,)) + protocol + b"\n")
            await trio.sleep(0.2)
            assert b"na" in await tcp.receive_some(4096)
            await tcp.aclose()
            swarm = host_of(node)._swarm
            assert [str(each) for each in swarm.upgrader.security_multistream.transports] == [
                "/noise"
            ]
            transports = [type(each).__name__ for each in swarm.transport_manager.get_transports()]
            assert transports == ["TCP"]
            handled = {str(each) for each in host_of(node)._host.multiselect.handlers if each}
            assert handled == {*PROTOCOLS, "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"}

    real(scenario)


def test_unlisted_peer_is_refused_in_the_handshake() -> None:
    """A peer that is not permitted gets no connection, in either direction; nothing of it stays."""

    async def scenario() -> None:
        node = network(0, permitted=lambda peer: peer == PEERS[1])
        guest, stranger = Stranger(1), Stranger(2)
        async with running(node, guest, stranger):
            with pytest.raises(PeerGone):
                connection = await stranger.dial(node)
                await connection.open_stream("/qenex/status/1")
            assert await guest.dial(node)
            assert {str(each) for each in host_of(node)._swarm.connections} == {PEERS[1]}
            assert {each.peer_id for each in host_of(node)._connections.values()} <= {PEERS[1]}
            with pytest.raises(PeerGone):
                await host_of(node).dial(PEERS[2], stranger.host.addresses[0])

    real(scenario)


def test_dial_of_another_identity_fails() -> None:
    """A dial reaches the peer id that was asked for, or nobody."""

    async def scenario() -> None:
        node, stranger = network(0), Stranger(1)
        async with running(node, stranger):
            with pytest.raises(PeerGone):
                await stranger.host.dial(PEERS[3], node.listen_addresses[0].split("/p2p/")[0])

    real(scenario)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x13/multistream/1.0.0\n\x05\xff\xfe\xfd\xfc\n",
        b"\x05\xff\xfe\xfd\xfc\n",
        b"\xff" * 100,
        b"\x00" * 100,
        b"",
    ],
    ids=["not UTF-8", "no greeting", "long", "zeros", "nothing"],
)
@pytest.mark.parametrize("ending", ["reset", "finish"])
def test_garbage_streams_do_not_kill(garbage: bytes, ending: str) -> None:
    """H2, H3: a stream that speaks no multistream, or invalid UTF-8, costs itself only."""

    async def scenario() -> None:
        node, stranger = network(0), Stranger(1)
        async with running(node, stranger):
            connection = await stranger.dial(node)
            stream = await raw_stream(connection)
            await stream.write(garbage)
            await (stream.reset() if ending == "reset" else stream.close_write())
            sync = await connection.open_stream(SYNC_PROTOCOL)
            await sync.reset()
            await trio.sleep(0.05)
            assert await connection.open_stream("/ipfs/ping/1.0.0")

    real(scenario)


def test_ping_and_identify_are_served() -> None:
    """A foreign libp2p client can ping us and ask who we are."""

    async def scenario() -> None:
        node, stranger = network(0), Stranger(1)
        async with running(node, stranger):
            connection = await stranger.dial(node)
            ping = await connection.open_stream("/ipfs/ping/1.0.0")
            await ping.write(bytes(range(32)))
            assert await ping.read() == bytes(range(32))
            identify = await connection.open_stream("/ipfs/id/1.0.0")
            assert b"/qenex/status/1" in await identify.read()

    real(scenario)


@pytest.mark.slow
def test_garbage_before_the_handshake() -> None:
    """Junk on the TCP port costs one socket; a silent connection is closed in time."""

    async def scenario() -> None:
        limits = HostLimits(connections_max=3, handshake_seconds_max=0.3)
        node, stranger = network(0, limits=limits), Stranger(1)
        async with running(node, stranger):
            port = int(node.listen_addresses[0].split("/")[4])
            for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes(1_000), b"\x13/multistream/1.0.0\n\xff"):
                tcp = await trio.open_tcp_stream("127.0.0.1", port)
                await tcp.send_all(junk)
                await tcp.aclose()
            silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(10)]
            await trio.sleep(0.8)
            assert await stranger.dial(node)
            for tcp in silent:
                await tcp.aclose()

    real(scenario)


def test_address_ranges() -> None:
    """With allowed ranges, an address outside them does not get as far as a handshake."""

    async def scenario() -> None:
        node, stranger = network(0, limits=HostLimits(allowed_cidrs=("10.0.0.0/8",))), Stranger(1)
        async with running(node, stranger):
            with pytest.raises(PeerGone):
                await stranger.dial(node)

    real(scenario)


@pytest.mark.slow
def test_three_hundred_connections() -> None:
    """W1, M7: connections that come and go leave no slot, no task and no entry behind.

    Kills: letting the library keep an inbound connection's task (the 251st would be refused).
    """

    async def scenario() -> None:
        node, stranger = network(0), Stranger(1)
        async with running(node, stranger):
            tasks = 0
            for number in range(301):
                connection = await stranger.dial(node)
                await connection.close()
                if number == 50:
                    await trio.sleep(0.5)
                    tasks = trio.lowlevel.current_statistics().tasks_living
            await trio.sleep(0.5)
            assert trio.lowlevel.current_statistics().tasks_living <= tasks + 5
            assert host_of(node)._swarm._inbound_limiter.borrowed_tokens == 0
            assert host_of(node)._connections == {}
            assert host_of(node)._swarm.connections == {}

    real(scenario, seconds=60)


@pytest.mark.slow
def test_three_hundred_requests() -> None:
    """Requests leave no stream behind: one connection serves any number of them.

    Kills: ending a stream on one side only (the library has 256 slots a connection).
    """

    async def scenario() -> None:
        low, high = network(0), network(1)
        async with running(low, high):
            introduce(low, high)
            await wait_up(low.events)
            await wait_up(high.events)
            for number in range(300):
                body = number.to_bytes(2, "big")
                assert await low.request(PEERS[1], 1, body, timeout_s=5) == [b"\x01", body]
            for node in (low, high):
                [connection] = host_of(node)._connections.values()
                assert len(connection._muxed.streams) <= 4
                assert connection.inbound_streams <= 2

    real(scenario, seconds=60)


@pytest.mark.slow
def test_restarted_peer_is_back_within_a_second() -> None:
    """W2, M3, M5: a stop is seen at once, and a peer that starts again is joined within a second.

    The library's addresses are taken away meanwhile, as they expire after two minutes.
    """

    async def scenario() -> None:
        low = network(0)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        addresses = {PEERS[1]: (f"/ip4/127.0.0.1/tcp/{port}",)}
        async with running(low):
            low.set_addresses(addresses)
            for _ in range(3):
                high = network(1, listen_port=port)
                async with running(high):
                    started = trio.current_time()
                    high.set_addresses({PEERS[0]: low.listen_addresses})
                    await wait_up(low.events)
                    assert trio.current_time() - started < 1.7
                    stopped = trio.current_time()
                await wait_down(low.events)
                assert trio.current_time() - stopped < 0.5
                store = host_of(low)._host.get_peerstore()
                for peer in store.peer_ids():
                    store.clear_addrs(peer)
                await trio.sleep(0.5)

    real(scenario, seconds=30)


@pytest.mark.slow
def test_stalled_consumer_gets_a_prefix() -> None:
    """W5: a peer stalled for too long loses its link, and what it received is a prefix."""

    async def scenario() -> None:
        low, high = network(0), network(1)
        async with running(low, high):
            introduce(low, high)
            await wait_up(low.events)
            for number in range(14):
                low.send(PEERS[1], Stream.CONSENSUS, 1, bytes((number,)) * 1_000_000)
                await trio.sleep(0.02)
            await wait_down(low.events)
            events: list[Any] = []
            while sum(isinstance(event, PeerUp) for event in events) < 2:
                events.append(await high.events.receive())
            bodies = [event.body[0] for event in events if isinstance(event, Received)]
            assert bodies == list(range(len(bodies)))
            assert isinstance(events[0], PeerUp)
            assert isinstance(events[-2], PeerDown)

    real(scenario, seconds=30)


@pytest.mark.slow
def test_unread_bytes_are_bounded() -> None:
    """M1: a peer that ignores the window is banned before it fills our memory."""

    async def scenario() -> None:
        node, stranger = network(0), Stranger(1)
        async with running(node, stranger):
            connection = await stranger.dial(node)
            stream = (await connection.open_stream(SYNC_PROTOCOL))._stream
            stream.muxed_stream.send_window = 10**9
            most = 0
            with trio.move_on_after(5):
                while not connection.closed.is_set():
                    try:
                        await stream.write(bytes(64_000))
                    except Exception:  # noqa: BLE001 - whatever the library says of a cut
                        break
                    for each in host_of(node)._connections.values():
                        most = max(most, each.buffered_bytes)
            assert PEERS[1] in node.bans()
            assert most < 4 * UNREAD_BYTES_MAX
            with pytest.raises(PeerGone):
                again = await stranger.dial(node)
                await again.open_stream("/qenex/status/1")

    real(scenario)


@pytest.mark.slow
def test_streams_are_bounded() -> None:
    """M2: a peer that opens streams without end is held at the limit, then banned."""

    async def scenario() -> None:
        node, stranger = network(0, limits=HostLimits(inbound_streams_max=8)), Stranger(1)
        async with running(node, stranger):
            connection = await stranger.dial(node)
            most = 0
            with trio.move_on_after(5):
                while not connection.closed.is_set():
                    try:
                        await raw_stream(connection)
                    except Exception:  # noqa: BLE001 - whatever the library says of a cut
                        break
                    for each in host_of(node)._connections.values():
                        most = max(most, each.inbound_streams)
                    await trio.sleep(0.01)
            assert most <= 8
            assert PEERS[1] in node.bans()

    real(scenario)


def test_taken_port_and_wrong_address() -> None:
    """A taken port or a foreign address stops the start with one clear line."""

    async def scenario() -> None:
        node = network(0)
        async with running(node):
            port = int(node.listen_addresses[0].split("/")[4])
            with pytest.raises(ConfigError, match=f"port {port}: Address already in use"):
                await network(1, listen_port=port).run()
        with pytest.raises(ConfigError, match="cannot listen on 203"):
            Host(NODE_KEYS[1], lambda _: True, host="203.0.113.1").check()

    real(scenario)


def test_message_on_a_cut_connection() -> None:
    """Operations on a connection that is over raise PeerGone; ending it twice is harmless."""

    async def scenario() -> None:
        node, stranger = network(0), Stranger(1)
        async with running(node, stranger):
            connection = await stranger.dial(node)
            stream = await connection.open_stream(SYNC_PROTOCOL)
            await connection.close()
            await connection.close()
            with pytest.raises(PeerGone):
                await stream.read()
            with pytest.raises(PeerGone):
                await stream.write(encode_message(1, b""))
            with pytest.raises(PeerGone):
                await connection.open_stream(SYNC_PROTOCOL)
            await stream.finish()
            await stream.reset()

    real(scenario)


@pytest.mark.slow
@pytest.mark.process
def test_stopped_process_is_left_and_found_again() -> None:
    """W3: a process under SIGSTOP is down within 4.5 s though TCP says nothing, and comes back."""

    async def scenario() -> None:
        low = network(0)
        async with running(low), trio.open_nursery() as nursery:
            child = await nursery.start(start_child, low.listen_addresses[0])
            await wait_up(low.events)
            os.kill(child.pid, signal.SIGSTOP)
            stopped = trio.current_time()
            for _ in range(6):
                low.send(PEERS[1], Stream.TX, 1, bytes(1_000_000))
            down = await wait_down(low.events)
            assert "silent" in down.reason
            assert trio.current_time() - stopped < 4.5
            os.kill(child.pid, signal.SIGCONT)
            await wait_up(low.events)
            child.kill()
            await wait_down(low.events)
            nursery.cancel_scope.cancel()

    real(scenario, seconds=30)


async def start_child(address: str, *, task_status: Any) -> None:
    """Run this file as a node of its own that dials `address`."""
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "tests.p2p.child", address]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, cwd=root, check=False)
        task_status.started(await nursery.start(run))
