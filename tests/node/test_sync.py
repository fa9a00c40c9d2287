"""A node that was away takes certified blocks only, and gets them from whoever is honest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
import trio
import trio.testing

from consensus.certificate import Certificate, decode_certificate, encode_certificate
from node.ledger import Ledger
from node.serve import PeerService
from node.sync import Sync
from node.wire import GET_BLOCKS, decode_certified, encode_certified, encode_get_blocks
from p2p.network import Network
from p2p.peers import Offence
from primitives.errors import PeerGone
from primitives.types import Height
from tests.node.nodes import GENESIS, extend, make_ledger, transfer
from vm.blocks import Executed

Tamper = Callable[[list[bytes]], list[bytes]]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two blocks be a batch, so that several peers have something to send."""
    monkeypatch.setattr("node.batches.SYNC_BLOCKS_MAX", 2)


@dataclass
class Info:
    """What `Network.peers` tells, as far as sync asks."""

    peer: str
    head_height: int
    score: float


@dataclass
class Peers:
    """A network of peers that serve one chain; a peer may tamper with what it sends."""

    service: PeerService
    height: int
    tampers: dict[str, Tamper | None]
    offences: list[tuple[str, Offence]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def peers(self) -> list[Info]:
        charged = {peer for peer, _ in self.offences}
        return [Info(each, self.height, -50.0 * (each in charged)) for each in self.tampers]

    def penalise(self, peer: str, offence: Offence) -> None:
        self.offences.append((peer, offence))

    async def request(self, peer: str, kind: int, body: bytes, *, timeout_s: float) -> list[bytes]:
        self.asked.append(peer)
        tamper = self.tampers[peer]
        if tamper is None:
            raise PeerGone(f"no link within {timeout_s} s")
        return tamper(await self.service.serve(peer, kind, body))


def chain(length: int) -> Ledger:
    """Return a ledger of `length` blocks with a transfer in each."""
    ledger = make_ledger()
    for nonce in range(length):
        extend(ledger, [transfer(nonce=nonce)])
    return ledger


def catch_up(
    tampers: dict[str, Tamper | None],
    length: int = 5,
    pinged: int | None = None,
    shown: dict[str, int] | None = None,
) -> tuple[Ledger, Peers, Sync]:
    """Let an empty node sync from these peers until it has all blocks, or give up in time.

    `pinged` is the head that their pings tell, `shown` what their messages show.
    """
    full, own = chain(length), make_ledger()
    peers = Peers(PeerService(full), length if pinged is None else pinged, tampers)
    sync = Sync(own, cast("Network", peers), GENESIS.params.chain_id)
    for peer, height in (shown or {}).items():
        sync.note_head(peer, Height(height))

    async def deliver(executed: Executed, certificate: Certificate) -> None:
        await trio.lowlevel.checkpoint()
        own.commit(executed, encode_certificate(certificate))

    async def main() -> None:
        with trio.move_on_after(6):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sync.run, deliver)
                while own.view.height < length:
                    sync.nudge()
                    await trio.sleep(0.1)
                await trio.sleep(1)
                nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    if own.view.height == length:
        assert own.view.head_hash == full.view.head_hash
        assert own.view.head.state_root == full.view.head.state_root
    return own, peers, sync


def alter(change: Callable[[Certificate], Certificate]) -> Tamper:
    """Return a tamper that changes every certificate."""

    def tamper(items: list[bytes]) -> list[bytes]:
        pairs = [decode_certified(item) for item in items]
        return [
            encode_certified(block, encode_certificate(change(decode_certificate(certificate))))
            for block, certificate in pairs
        ]

    return tamper


def honest(items: list[bytes]) -> list[bytes]:
    return items


def test_catches_up_from_one_peer() -> None:
    """All blocks arrive, verified and executed; then nothing is behind any more."""
    own, peers, sync = catch_up({"a": honest})
    assert own.view.height == 5
    assert peers.offences == []
    assert sync.progress() is None


def test_answers_are_taken_in_pieces() -> None:
    """A peer that sends fewer blocks than asked for is asked again."""
    own, peers, _ = catch_up({"a": lambda items: items[:2]})
    assert own.view.height == 5
    assert len(peers.asked) >= 3


def test_unsigned_certificates_are_refused() -> None:
    """A liar is charged and an honest peer is asked instead (bug: unchecked)."""
    forged = alter(lambda each: replace(each, signatures=()))
    own, peers, _ = catch_up({"b": forged, "a": honest})
    assert own.view.height == 5
    assert ("b", Offence.BAD_SIGNATURE) in peers.offences

    own, peers, _ = catch_up({"b": forged})
    assert own.view.height == 0


def test_certificate_of_another_block_is_refused() -> None:
    """A valid certificate proves its own block only."""

    def swapped(items: list[bytes]) -> list[bytes]:
        last = decode_certified(items[-1])[1]
        return [encode_certified(decode_certified(item)[0], last) for item in items]

    own, peers, _ = catch_up({"b": swapped})
    assert own.view.height == 0
    assert ("b", Offence.BAD_SIGNATURE) in peers.offences


def test_peers_that_are_gone_are_retried() -> None:
    """An unreachable peer costs a pause, not the sync, and is no offence."""
    own, peers, _ = catch_up({"b": None})
    assert own.view.height == 0
    assert len(peers.asked) > 3
    assert peers.offences == []


def test_heads_are_what_messages_show() -> None:
    """A node does not stop where the others were at their last ping.

    Planted bug that this kills: heads from pings alone; the node is behind after each catch-up.
    """
    own, _, sync = catch_up({"a": honest}, pinged=2, shown={"a": 5})
    assert own.view.height == 5
    assert sync.progress() is None
    own, _, _ = catch_up({"a": honest}, pinged=2, shown={"b": 5})
    assert own.view.height == 2


def test_a_head_that_is_not_there_is_forgotten() -> None:
    """Who seems to have more than it has is asked for it once, and gives what it has.

    Kills: a false head that is believed for ever; what was fetched below it is thrown away.
    """
    own, peers, sync = catch_up({"a": honest}, pinged=3, shown={"a": 50})
    assert own.view.height == 5
    assert sync.progress() is None
    assert len(peers.asked) < 30
    assert peers.offences == []


def test_served_blocks_are_bounded() -> None:
    """Genesis and blocks above the head are not served, however they are asked for."""
    service = PeerService(chain(3))

    async def main() -> None:
        for first, count, expected in ((0, 64, 3), (2, 1, 1), (3, 64, 1), (4, 1, 0)):
            body = encode_get_blocks(Height(first), count)
            assert len(await service.serve("x", GET_BLOCKS, body)) == expected

    trio.run(main)
