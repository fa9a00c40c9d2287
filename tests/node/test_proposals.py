"""A proposal's body must become the same block elsewhere, whatever the pool there lacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
import trio
import trio.testing

from consensus.events import CheckProposal
from consensus.wal import Kept
from node.intake import Intake
from node.ledger import Ledger
from node.proposals import Proposals
from node.serve import PeerService
from node.wire import decode_body, encode_body
from p2p.network import Network
from p2p.peers import Offence
from primitives.codec import encode
from primitives.errors import PeerGone, StoreCorrupt
from primitives.transaction import Transaction
from primitives.types import Height, Round
from tests.node.nodes import VALIDATOR, make_intake, make_ledger, transfer


@dataclass
class Info:
    """What `Network.peers` tells, as far as it is asked here."""

    peer: str = "peer"


@dataclass
class OnePeer:
    """A network with one peer, whose service answers in this process."""

    service: PeerService | None
    tamper: Callable[[list[bytes]], list[bytes]] = field(default=lambda items: items)
    offences: list[Offence] = field(default_factory=list)
    requests: int = 0

    def peers(self) -> list[Info]:
        return [Info()]

    def penalise(self, _peer: str, offence: Offence) -> None:
        self.offences.append(offence)

    async def request(self, peer: str, kind: int, body: bytes, *, timeout_s: float) -> list[bytes]:
        self.requests += 1
        await trio.lowlevel.checkpoint()
        if self.service is None:
            raise PeerGone(f"no link within {timeout_s} s")
        return self.tamper(await self.service.serve(peer, kind, body))


def make(peer: OnePeer) -> tuple[Ledger, Intake, Proposals]:
    ledger = make_ledger()
    intake = make_intake(ledger)
    proposals = Proposals(ledger, intake, cast("Network", peer), VALIDATOR.address)
    return ledger, intake, proposals


async def propose(transactions: list[Transaction]) -> tuple[CheckProposal, PeerService]:
    """Return a proposal with these transactions and the service of the node that made it."""
    ledger, intake, proposals = make(OnePeer(None))
    intake.add_from_peer([each.raw for each in transactions], forward=False)
    block_hash, body = await proposals.build()
    check = CheckProposal(Height(1), Round(0), block_hash, body, VALIDATOR.address)
    return check, PeerService(ledger)


def run(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_missing_transactions_are_fetched() -> None:
    """A node with an empty, half-full or full pool accepts the proposal and keeps the block."""

    async def main() -> None:
        transactions = [transfer(sender, nonce) for sender in range(4) for nonce in range(2)]
        check, service = await propose(transactions)
        for known in (0, 3, len(transactions)):
            peer = OnePeer(service)
            ledger, intake, proposals = make(peer)
            intake.add_from_peer([each.raw for each in transactions[:known]], forward=False)
            assert await proposals.check(check, "peer")
            kept = ledger.kept(check.block_hash)
            assert kept is not None
            assert len(kept.transactions) == len(transactions)
            assert peer.requests == (known < len(transactions))
            assert peer.offences == []

    run(main)


def test_wrong_transactions_are_an_offence() -> None:
    """A peer that answers with other transactions is charged, and the proposal is refused.

    Planted bug that this kills: fetched transactions taken without comparing hashes.
    """

    async def main() -> None:
        check, service = await propose([transfer()])
        peer = OnePeer(service, tamper=lambda _: [transfer(3).raw])
        ledger, _, proposals = make(peer)
        assert not await proposals.check(check, "peer")
        assert Offence.UNDECODABLE in peer.offences
        assert ledger.kept(check.block_hash) is None

    run(main)


def test_unavailable_transactions_refuse_this_round_only() -> None:
    """When no peer answers the check ends with False after a bounded number of tries."""

    async def main() -> None:
        check, _ = await propose([transfer()])
        peer = OnePeer(None)
        _, intake, proposals = make(peer)
        assert not await proposals.check(check, None)
        assert 1 < peer.requests < 100
        intake.add_from_peer([transfer().raw], forward=False)
        assert await proposals.check(check, None)

    run(main)


@pytest.mark.parametrize("what", ["garbage", "other hash", "other height", "state root"])
def test_bad_bodies_are_refused(what: str) -> None:
    """Bytes that do not decode, another header's hash or height, or a wrong root are invalid."""

    async def main() -> None:
        check, service = await propose([transfer()])
        header, hashes = decode_body(check.body)
        if what == "garbage":
            check = replace(check, body=b"\xc0")
        elif what == "other hash":
            check = replace(check, block_hash=header.parent_hash)
        elif what == "other height":
            check = replace(check, height=Height(2))
        else:
            wrong = replace(header, state_root=header.parent_hash)
            check = replace(check, body=encode_body(wrong, hashes), block_hash=wrong.hash)
        ledger, _, proposals = make(OnePeer(service))
        assert not await proposals.check(check, "peer")
        assert ledger.kept(check.block_hash) is None

    run(main)


def test_blocks_kept_in_the_log_need_nobody() -> None:
    """After a restart a block from the log is had with an empty pool and no peer.

    Without it a quorum that is locked on the block could never execute it again.
    """

    async def main() -> None:
        transactions = [transfer(), transfer(1)]
        check, _ = await propose(transactions)
        kept = Kept(Height(1), check.block_hash, encode([each.raw for each in transactions]))
        _, _, proposals = make(OnePeer(None))
        proposals.remember([kept])
        assert await proposals.check(check, None)
        with pytest.raises(StoreCorrupt, match="kept block"):
            proposals.remember([replace(kept, content=b"\xff")])

    run(main)
