"""Links between whole networks: made, kept, lost and made again, under a clock that jumps."""

from __future__ import annotations

import pytest
import trio

from p2p.events import EVENT_MESSAGES_MAX, PeerDown, PeerUp, Received, Stream
from p2p.frames import encode_message
from p2p.outbox import OUTBOX_BYTES_MAX
from p2p.status import encode_status
from primitives.errors import (
    BrokenInvariant,
)
from primitives.types import Hash32, Height
from tests.p2p.memory import Hub, MemoryConnection, MemoryTransport
from tests.p2p.mesh import pair_up, running
from tests.p2p.nodes import PEERS, STATUS, mocked, wait_down, wait_up


def test_pair_makes_one_connection() -> None:
    """M4: two nodes that know each other make one connection, dialled by the lower peer id."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}) as (low, high):
            up_low, up_high = await pair_up(low, high)
            assert (up_low.peer, up_high.peer) == (PEERS[1], PEERS[0])
            assert up_low.status == STATUS
            await trio.sleep(10)
            assert [each.owner.peer_id for each in hub.alive()] == [PEERS[0]]
            assert hub.made == 1
            assert [info.peer for info in low.peers()] == [PEERS[1]]
            assert low.peers()[0].rtt_ms is not None

    mocked(scenario)


def test_higher_side_dials_when_it_must() -> None:
    """A pair of which only the higher side knows the other's address is joined within 2 s."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {"addresses": {}}, {}) as (low, high):
            start = trio.current_time()
            await pair_up(low, high)
            assert trio.current_time() - start < 2

    mocked(scenario)


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_connections_one_stays(first: int) -> None:
    """When both sides dial at once, both keep the connection dialled by the lower peer id.

    Kills: each side keeping its own (both would close the other's and none would stay).
    """

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {"addresses": {}}, {"addresses": {}}) as networks:
            other = 1 - first
            networks[first].set_addresses({PEERS[other]: ("/memory",)})
            if first == 1:
                await trio.sleep(1.0)
            networks[other].set_addresses({PEERS[first]: ("/memory",)})
            await trio.sleep(30)
            assert [each.owner.peer_id for each in hub.alive()] == [PEERS[0]]
            for each in networks:
                assert len(each.peers()) == 1

    mocked(scenario)


def test_messages_arrive_whole_and_in_order() -> None:
    """Small and fragmented messages arrive on their streams, in order, at all peers."""

    async def scenario() -> None:
        async with running(Hub(), {}, {}, {}) as (one, two, three):
            for each in (one, two, three):
                await wait_up(each.events)
                await wait_up(each.events)
            bodies = [b"vote", bytes(200_000), b"", b"x" * 64_000]
            for kind, body in enumerate(bodies):
                assert one.broadcast(Stream.CONSENSUS, kind, body) == 2
            assert one.broadcast(Stream.TX, 9, b"tx", skip={PEERS[2]}) == 1
            for each in (two, three):
                got = [await each.events.receive() for _ in bodies]
                assert got == [
                    Received(PEERS[0], Stream.CONSENSUS, kind, body)
                    for kind, body in enumerate(bodies)
                ]
            assert await two.events.receive() == Received(PEERS[0], Stream.TX, 9, b"tx")
            assert not one.send(PEERS[5], Stream.TX, 1, b"")

    mocked(scenario)


def test_heads_travel_with_pings() -> None:
    """Within a second or so the peers know our new head."""

    async def scenario() -> None:
        async with running(Hub(), {}, {}) as (low, high):
            await pair_up(low, high)
            low.set_head(Height(42), Hash32(b"\x42" * 32))
            await trio.sleep(1.1)
            info = high.peers()[0]
            assert (info.head_height, info.head_hash) == (42, b"\x42" * 32)

    mocked(scenario)


def test_silent_peer_is_left_and_dialled_again() -> None:
    """A peer that stops (W3) is down within 4 s, though its connection stays open."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}) as (low, high):
            await pair_up(low, high)
            await trio.sleep(5)
            hub.freeze(PEERS[1])
            frozen_at = trio.current_time()
            down = await wait_down(low.events)
            assert "silent" in down.reason
            assert trio.current_time() - frozen_at < 4.2
            hub.frozen.clear()
            await wait_down(high.events)
            await pair_up(low, high)

    mocked(scenario)


def test_killed_peer_is_back_at_once() -> None:
    """After a cut (W2) the pair is joined again within a second."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}) as (low, high):
            await pair_up(low, high)
            for _ in range(5):
                await trio.sleep(40)
                hub.cut(PEERS[1])
                cut_at = trio.current_time()
                await wait_down(low.events)
                await wait_down(high.events)
                await pair_up(low, high)
                assert trio.current_time() - cut_at < 1

    mocked(scenario)


def test_slow_consumer_loses_nothing() -> None:
    """While our runtime sleeps, peers wait: no message is lost and the link stays up."""

    async def scenario() -> None:
        async with running(Hub(), {}, {}) as (low, high):
            await pair_up(low, high)
            total = 3 * EVENT_MESSAGES_MAX
            for number in range(total):
                assert low.send(PEERS[1], Stream.CONSENSUS, 1, number.to_bytes(4, "big"))
            await trio.sleep(5.5)
            assert len(high.events) == EVENT_MESSAGES_MAX
            for number in range(total):
                event = await high.events.receive()
                assert isinstance(event, Received)
                assert int.from_bytes(event.body, "big") == number
            assert len(low.peers()) == len(high.peers()) == 1

    mocked(scenario)


def test_peer_that_does_not_keep_up_loses_its_link() -> None:
    """Overflow of the queue to a peer ends its link with a reason, and takes nobody else along."""

    async def scenario() -> None:
        async with running(Hub(), {}, {}, {}) as (one, two, three):
            for each in (one, two, three):
                await wait_up(each.events)
                await wait_up(each.events)
            sent = 0
            while one.send(PEERS[1], Stream.CONSENSUS, 1, bytes(1_000_000)):
                sent += 1
            assert sent <= OUTBOX_BYTES_MAX // 1_000_000 + 1
            down = await wait_down(one.events)
            assert (down.peer, down.reason) == (
                PEERS[1],
                "CONSENSUS queue to this peer is full",
            )
            assert one.send(PEERS[2], Stream.CONSENSUS, 1, b"still here")

    mocked(scenario)


def test_write_deadline() -> None:
    """A peer that takes nothing more (W5) is left when a write has waited for 6 s."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}) as (low, high):
            await pair_up(low, high)
            hub.freeze(PEERS[1])
            low.send(PEERS[1], Stream.TX, 1, bytes(1_000_000))
            start = trio.current_time()
            await wait_down(low.events)
            assert trio.current_time() - start < 7

    mocked(scenario)


def test_our_own_mistakes_are_invariants() -> None:
    """A reserved kind or an oversized body of our own is BrokenInvariant."""

    async def scenario() -> None:
        async with running(Hub(), {}) as (node,):
            for kind, size_bytes in ((0x70, 0), (1, 1_000_001)):
                with pytest.raises(BrokenInvariant):
                    node.broadcast(Stream.TX, kind, bytes(size_bytes))

    mocked(scenario)


def test_down_events_follow_up_events() -> None:
    """For each peer PeerUp and PeerDown alternate, whatever happens to the connections."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}, {}) as (one, two, three):
            for round_ in range(20):
                await trio.sleep(0.3 * (round_ % 4))
                hub.cut(PEERS[round_ % 3])
            await trio.sleep(60)
            for each in (one, two, three):
                up: set[str] = set()
                while len(each.events):
                    event = each.events.receive_nowait()
                    if isinstance(event, PeerUp):
                        assert event.peer not in up
                        up.add(event.peer)
                    elif isinstance(event, PeerDown):
                        up.remove(event.peer)
                assert len(up) == 2

    mocked(scenario)


def test_newer_connection_replaces_the_older() -> None:
    """A peer that connects anew replaces its old link: down, then up, never two at once.

    Kills: letting the new link go on before the old one has ended.
    """

    async def join(transport: MemoryTransport) -> MemoryConnection:
        connection = await transport.dial(PEERS[0], "/memory")
        status = await connection.open_stream("/qenex/status/1")
        await status.write(encode_message(0, encode_status(STATUS)))
        await status.read()
        for protocol in ("/qenex/consensus/1", "/qenex/tx/1"):
            await connection.open_stream(protocol)
        return connection

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}) as (node,):
            transport = hub.transport(PEERS[3])
            first = await join(transport)
            await wait_up(node.events)
            second = await join(transport)
            assert "replaced" in (await wait_down(node.events)).reason
            await wait_up(node.events)
            assert first.closed.is_set()
            assert not second.closed.is_set()
            assert len(node.peers()) == 1

    mocked(scenario)
