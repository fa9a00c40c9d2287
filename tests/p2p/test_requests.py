"""Requests and their answers, over a transport in memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from p2p.frames import encode_message
from p2p.link import LIGHT_SECONDS_MAX, SYNC_PROTOCOL
from p2p.network import Network
from p2p.peers import Offence
from p2p.requests import (
    IDLE_SECONDS_MAX,
    REQUESTS_MAX,
    RESPONSE_BYTES_MAX,
    RequestRefused,
    exchange,
)
from p2p.status import encode_status
from primitives.errors import (
    BrokenInvariant,
    InvalidMessage,
    NotPermitted,
    PeerGone,
    QenexError,
    Timeout,
)
from tests.p2p.memory import Hub, MemoryConnection, MemoryStream
from tests.p2p.mesh import pair_up, running
from tests.p2p.nodes import PEERS, STATUS, mocked


def test_requests() -> None:
    """A request returns the items of the answer, from either side, larger ones in many frames."""

    async def scenario() -> None:
        async def many(peer: str, kind: int, body: bytes) -> Sequence[bytes]:
            return [bytes(100_000)] * kind

        async with running(Hub(), {"serve": many}, {}) as (low, high):
            await pair_up(low, high)
            assert await low.request(PEERS[1], 3, b"abc", timeout_s=5) == [b"\x03", b"abc"]
            assert await high.request(PEERS[0], 7, b"", timeout_s=5) == [bytes(100_000)] * 7
            # 4,000,000 bytes fit; the 41st item does not, and the prefix is sent.
            assert len(await high.request(PEERS[0], 41, b"", timeout_s=5)) == 40

    mocked(scenario)


def test_request_errors() -> None:
    """Refusals, an unknown peer, silence and a lost peer each have their error."""

    async def scenario() -> None:
        async def serve(peer: str, kind: int, body: bytes) -> Sequence[bytes]:
            if kind == 1:
                raise NotPermitted("not for you" + "!" * 500)
            if kind == 2:
                return [bytes(RESPONSE_BYTES_MAX + 1)]
            await trio.sleep(10_000)
            return []

        hub = Hub()
        async with running(hub, {"serve": serve}, {}) as (low, high):
            await pair_up(low, high)
            with pytest.raises(RequestRefused) as refused:
                await high.request(PEERS[0], 1, b"", timeout_s=5)
            assert str(refused.value.facts["reason"]).startswith("not for you")
            assert len(str(refused.value.facts["reason"])) == 200
            with pytest.raises(RequestRefused):
                await high.request(PEERS[0], 2, b"", timeout_s=5)
            with pytest.raises(PeerGone):
                await high.request(PEERS[4], 1, b"", timeout_s=5)
            start = trio.current_time()
            with pytest.raises(Timeout):
                await high.request(PEERS[0], 3, b"", timeout_s=2)
            with pytest.raises(Timeout):
                await high.request(PEERS[0], 3, b"", timeout_s=1_000)
            assert trio.current_time() - start == pytest.approx(2 + IDLE_SECONDS_MAX, abs=0.1)
            [wire] = hub.alive()
            ours = [each for each in wire.other.streams if each.protocol == SYNC_PROTOCOL]
            assert len(ours) == 4
            assert all(each.broken for each in ours)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(expect_gone, high)
                await trio.sleep(1)
                hub.cut(PEERS[1])

    async def expect_gone(high: Network) -> None:
        with pytest.raises(PeerGone):
            await high.request(PEERS[0], 3, b"", timeout_s=1_000)

    mocked(scenario)


def test_requests_in_flight_are_bounded() -> None:
    """At most two requests to a peer are in flight; a side that opens more is told so."""

    async def scenario() -> None:
        now = most = 0

        async def serve(peer: str, kind: int, body: bytes) -> Sequence[bytes]:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await trio.sleep(0.1)
            now -= 1
            return []

        hub = Hub()
        async with running(hub, {"serve": serve}, {}) as (low, high):
            await pair_up(low, high)
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(ask, high)
            assert most == REQUESTS_MAX
            [wire] = hub.alive()
            refused = 0

            async def rude() -> None:
                nonlocal refused
                try:
                    await exchange(await wire.other.open_stream(SYNC_PROTOCOL), 1, b"")
                except RequestRefused:
                    refused += 1

            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(rude)
            assert (most, refused) == (4, 2)
            assert low.peers()[0].score == pytest.approx(-2 * Offence.FLOOD, abs=0.1)

    async def ask(high: Network) -> None:
        await high.request(PEERS[0], 1, b"", timeout_s=5)

    mocked(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        encode_message(9, b"no such kind"),
        encode_message(0, b"end with a body"),
        b"".join([encode_message(1, bytes(3_000_000))] * 2),
        b"\0\0\0\0\0",
    ],
)
def test_bad_answers_are_charged(answer: bytes) -> None:
    """An answer that breaks the rules is InvalidMessage for the asker and points for the peer."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}) as (low, high):
            await pair_up(low, high)
            [wire] = hub.alive()

            def rude(connection: MemoryConnection, protocol: str, stream: MemoryStream) -> None:
                stream.other.received += answer
                stream.other.changed.unpark_all()

            wire.other.owner.on_stream = rude  # type: ignore[assignment] # a peer gone bad
            with pytest.raises(InvalidMessage):
                await low.request(PEERS[1], 1, b"", timeout_s=5)
            assert low.score(PEERS[1]) < -50

    mocked(scenario)


def test_light_client() -> None:
    """A peer that gives its status may ask by sync without being up, for a minute."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}) as (node,):
            transport = hub.transport(PEERS[3])
            connection = await transport.dial(PEERS[0], "/memory")
            stream = await connection.open_stream("/qenex/status/1")
            await stream.write(encode_message(0, encode_status(STATUS)))
            assert await stream.read()
            sync = await connection.open_stream(SYNC_PROTOCOL)
            assert await exchange(sync, 5, b"light") == [b"\x05", b"light"]
            assert node.peers() == []
            await trio.sleep(LIGHT_SECONDS_MAX + 6)
            assert connection.closed.is_set()
            assert len(node.events) == 0

    mocked(scenario)


def test_our_own_failure_stops_the_network() -> None:
    """A handler that breaks an invariant ends `run` with that error: it is not swallowed."""

    async def scenario() -> None:
        async def serve(peer: str, kind: int, body: bytes) -> Sequence[bytes]:
            raise BrokenInvariant("ours")

        with pytest.raises(BaseExceptionGroup) as caught:
            async with running(Hub(), {"serve": serve}, {}) as (low, high):
                await pair_up(low, high)
                with pytest.raises(QenexError):
                    await high.request(PEERS[0], 1, b"", timeout_s=5)
                await trio.sleep(1)
        assert caught.group_contains(BrokenInvariant)

    mocked(scenario)
