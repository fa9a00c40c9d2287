"""What a peer may do wrong, and what it costs whom, over a transport in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio

from p2p.frames import encode_message
from p2p.link import SYNC_PROTOCOL, UNREAD_BYTES_MAX
from p2p.peers import BAN_SECONDS, Offence
from p2p.requests import (
    exchange,
)
from p2p.status import Status, encode_status, proof_digest, with_proof
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import (
    PeerGone,
)
from primitives.types import ChainId, Hash32
from tests.p2p.memory import Hub, MemoryStream
from tests.p2p.mesh import pair_up, running
from tests.p2p.nodes import PEERS, STATUS, mocked, validator_status, wait_down, wait_up

KEY = PrivateKey(b"\x07" * 32)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (replace(STATUS, chain_id=ChainId(8)), "chain id 8"),
        (replace(STATUS, genesis_hash=Hash32(bytes(32))), "genesis 0x00"),
        (replace(STATUS, version=9), "protocol version 9"),
    ],
)
def test_another_network_is_refused(theirs: Status, words: str) -> None:
    """A peer of another network never is up, both sides say why, and it is dialled rarely."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {"status": theirs}) as (low, high):
            await trio.sleep(50)
            assert words in low.refusals()[PEERS[1]]
            assert PEERS[0] in high.refusals()
            assert hub.made <= 2
            assert len(low.events) == len(high.events) == 0
            assert low.bans() == {}

    mocked(scenario)


def test_validator_is_bound_to_its_connection() -> None:
    """A validator's status carries a proof that the other side checks."""

    async def scenario() -> None:
        one = {"status": validator_status(KEY), "prove": KEY.sign}
        async with running(Hub(), one, {}) as (low, high):
            _, up = await pair_up(low, high)
            assert up.status.validator == KEY.address

    mocked(scenario)


def test_wrong_proof_is_banned() -> None:
    """A peer that claims a validator it cannot sign for is refused and banned at once."""

    async def scenario() -> None:
        hub = Hub()
        impostor = PrivateKey(b"\x08" * 32)
        one = {"status": validator_status(KEY), "prove": impostor.sign}
        async with running(hub, one, {}) as (low, high):
            await trio.sleep(50)
            assert "another key" in high.refusals()[PEERS[0]]
            assert PEERS[0] in high.bans()
            assert hub.dials < 50
            assert low.peers() == []

    mocked(scenario)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0\0\0\0",
        b"\xff" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        encode_message(0x7F, b"not a ping"),
        encode_message(0x7E, b"\xc1\x00"),
        encode_message(0x70, b"reserved"),
        (4_000_001).to_bytes(4, "big") + b"\x01",
    ],
)
def test_garbage_costs_the_link_and_then_a_ban(garbage: bytes) -> None:
    """Garbage on a stream ends the link; the second time bans the peer; we live on (H3)."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}, {}) as (low, high, third):
            await trio.sleep(1)
            for _ in range(2):
                await wire_of_pair(hub, "/qenex/consensus/1").write(garbage)
                await trio.sleep(2)
            assert PEERS[1] in low.bans()
            assert 0 < low.bans()[PEERS[1]] <= BAN_SECONDS
            assert [info.peer for info in low.peers()] == [PEERS[2]]
            assert len(third.peers()) == 2
            assert len(high.peers()) == 1

    def wire_of_pair(hub: Hub, protocol: str) -> MemoryStream:
        [stream] = [
            stream
            for connection in hub.connections
            if (connection.owner.peer_id, connection.peer_id) == (PEERS[1], PEERS[0])
            for stream in connection.streams
            if stream.protocol == protocol
        ]
        return stream

    mocked(scenario)


def test_permission_lost_ends_the_link() -> None:
    """`recheck_permissions` drops a peer that is permitted no more and lets it in again later."""

    async def scenario() -> None:
        permitted = set(PEERS)
        hub = Hub()
        one = {"permitted": lambda peer: peer in permitted}
        async with running(hub, one, {}) as (low, high):
            await pair_up(low, high)
            low.recheck_permissions()
            await trio.sleep(1)
            assert len(low.peers()) == 1
            permitted.remove(PEERS[1])
            low.recheck_permissions()
            assert (await wait_down(low.events)).reason == "no longer permitted"
            await wait_down(high.events)
            await trio.sleep(100)
            assert low.peers() == high.peers() == []
            permitted.add(PEERS[1])
            low.recheck_permissions()
            await wait_up(low.events)

    mocked(scenario)


def test_penalised_peer_is_banned() -> None:
    """The runtime's offences count: at -100 the link ends and the handshake lets nobody in."""

    async def scenario() -> None:
        async with running(Hub(), {}, {}) as (low, high):
            await pair_up(low, high)
            low.penalise(PEERS[1], Offence.BAD_SIGNATURE)
            await trio.sleep(0.1)
            assert low.peers()[0].score == pytest.approx(-50, abs=0.1)
            low.penalise(PEERS[1], Offence.BAD_FRAME)
            assert "banned" in (await wait_down(low.events)).reason
            assert not low.is_allowed(PEERS[1])
            await trio.sleep(BAN_SECONDS + 20)
            assert len(low.peers()) == 1

    mocked(scenario, seconds=2_000)


def test_floods_are_charged() -> None:
    """Streams beyond the limit and unread bytes beyond every window (M1, M2) cost a ban."""

    async def scenario() -> None:
        for name in ("streams", "bytes"):
            hub = Hub()
            async with running(hub, {}, {}) as (low, high):
                await pair_up(low, high)
                [here] = hub.alive()
                for number in range(12):
                    if name == "streams":
                        here.excess_streams = number + 1
                    else:
                        here.buffered_bytes = UNREAD_BYTES_MAX + 1
                    await trio.sleep(0.2)
                assert PEERS[1] in low.bans()
                assert low.peers() == []

    mocked(scenario)


def test_second_long_lived_stream_is_charged() -> None:
    """A peer that opens a long-lived stream twice, or one of no known protocol, is charged."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}) as (low, high):
            await pair_up(low, high)
            [wire] = hub.alive()
            for protocol in ("/qenex/status/1", "/qenex/tx/1", "/qenex/tx/1"):
                await wire.open_stream(protocol)
            await trio.sleep(0.1)
            assert high.score(PEERS[0]) == pytest.approx(-3 * Offence.FLOOD, abs=0.1)

    mocked(scenario)


def test_peer_without_status_is_left() -> None:
    """A connection without a status is closed after five seconds, and serves nothing."""

    async def scenario() -> None:
        async def serve(peer: str, kind: int, body: bytes) -> Sequence[bytes]:
            served.append(peer)
            return []

        served: list[str] = []
        hub = Hub()
        async with running(hub, {"serve": serve}):
            connection = await hub.transport(PEERS[3]).dial(PEERS[0], "/memory")
            sync = await connection.open_stream(SYNC_PROTOCOL)
            with pytest.raises(PeerGone):
                await exchange(sync, 5, b"")
            await trio.sleep(6)
            assert connection.closed.is_set()
            assert served == []

    mocked(scenario)


def test_proof_of_another_connection_is_refused() -> None:
    """A status that a peer got on one connection does not pass on another."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}) as (node,):
            status = validator_status(KEY)
            transport = hub.transport(PEERS[3])
            first = await transport.dial(PEERS[0], "/memory")
            digest = proof_digest(status.chain_id, PEERS[3], first.handshake_hash)
            proven = with_proof(status, KEY.sign(digest))
            second = await transport.dial(PEERS[0], "/memory")
            stream = await second.open_stream("/qenex/status/1")
            await stream.write(encode_message(0, encode_status(proven)))
            await trio.sleep(1)
            assert PEERS[3] in node.bans()
            assert first.closed.is_set()

    mocked(scenario)
