"""Proposals: building a body for consensus, and turning a peer's body back into a block.

A body is a header and the hashes of its transactions. What the pool lacks is asked from the peer
that sent the proposal, then from the others. A body that breaks a rule is answered with False; a
body whose transactions cannot be had in time is answered with False too, for this round only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import trio

from consensus.events import CheckProposal
from consensus.wal import Kept, Record
from node.intake import Intake
from node.ledger import BLOCK_BYTES_MAX, Ledger
from node.log import get_log
from node.wire import (
    GET_TRANSACTIONS,
    decode_body,
    encode_body,
    encode_get_transactions,
)
from p2p.network import Network
from p2p.peers import Offence
from primitives.block import Block, Header
from primitives.codec import as_bytes, decode_list
from primitives.errors import Invalid, InvalidBlock, InvalidMessage, StoreCorrupt, Unavailable
from primitives.transaction import Transaction, decode_transactions
from primitives.types import Address, Hash32
from vm.blocks import Executed

FETCH_TIMEOUT_S: Final = 5.0
FETCH_ROUNDS_MAX: Final = 20
FETCH_RETRY_S: Final = 0.2
BUILD_SHARE: Final = 0.6
"""The share of the first proposal timeout after which a block takes no more transactions."""


class Proposals:
    """Makes and checks the bodies of proposals for the height above the head."""

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        network: Network,
        fee_recipient: Address,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._network = network
        self._fee_recipient = fee_recipient
        self._executing = trio.CapacityLimiter(1)
        self._restored: dict[Hash32, tuple[bytes, ...]] = {}
        self._log = get_log("proposals")

    def remember(self, records: Iterable[Record]) -> None:
        """Take the blocks that the log kept from before a restart; raises StoreCorrupt."""
        for record in records:
            if isinstance(record, Kept) and record.height > self._ledger.view.height:
                try:
                    raws = [as_bytes(each) for each in decode_list(record.content)]
                except InvalidMessage as error:
                    raise StoreCorrupt(f"a kept block in the log: {error.message}") from error
                self._restored[record.block_hash] = tuple(raws)

    async def build(self) -> tuple[Hash32, bytes]:
        """Return hash and body of a new block on the head; it is kept for the decision."""
        executed = await trio.to_thread.run_sync(self._build, limiter=self._executing)
        self._ledger.keep(executed)
        block = executed.block
        return block.hash, encode_body(block.header, [each.hash for each in block.transactions])

    def _build(self) -> Executed:
        timeout_s = self._ledger.params.times.timeout_propose_ms / 1_000
        deadline = time.monotonic() + BUILD_SHARE * timeout_s
        executed, impossible = self._ledger.build(
            self._intake.candidates(),
            self._fee_recipient,
            int(time.time()),
            lambda: time.monotonic() > deadline,
        )
        if impossible:
            self._intake.pool.discard([each.hash for each in impossible])
        return executed

    async def check(self, proposal: CheckProposal, sender: str | None) -> bool:
        """Return whether the proposal's block is had and valid; it is kept for the decision.

        `sender` is the peer that proposed it, or None when that is this node or not connected.
        """
        if self._ledger.kept(proposal.block_hash) is not None:
            return True
        try:
            header, hashes = decode_body(proposal.body)
            if header.hash != proposal.block_hash or header.height != proposal.height:
                raise InvalidBlock("the body's header is not the proposed block's")
            transactions = await self._collect(proposal.block_hash, hashes, sender)
            executed = await trio.to_thread.run_sync(
                partial(self._execute, header, transactions), limiter=self._executing
            )
        except (Invalid, Unavailable) as error:
            self._log.warning(
                "proposal refused",
                height=proposal.height,
                round=proposal.round,
                proposer=proposal.proposer,
                reason=error.message,
            )
            return False
        self._ledger.keep(executed)
        return True

    def _execute(self, header: Header, transactions: Sequence[Transaction]) -> Executed:
        if sum(len(each.raw) for each in transactions) > BLOCK_BYTES_MAX:
            raise InvalidBlock(f"transactions of a block exceed {BLOCK_BYTES_MAX} bytes")
        block = Block.of(header, tuple(transactions))
        return self._ledger.check(block, now=int(time.time()))

    async def _collect(
        self, block_hash: Hash32, hashes: tuple[Hash32, ...], sender: str | None
    ) -> list[Transaction]:
        restored = self._restored.get(block_hash)
        if restored is not None:
            decoded = await trio.to_thread.run_sync(decode_transactions, restored)
            if [each.hash for each in decoded if isinstance(each, Transaction)] == list(hashes):
                return [each for each in decoded if isinstance(each, Transaction)]
        found = self._intake.pool.by_hashes(hashes)
        peers = [sender] if sender is not None else []
        for attempt in range(FETCH_ROUNDS_MAX):
            missing = [index for index, each in enumerate(found) if each is None]
            if not missing:
                return [each for each in found if each is not None]
            others = [peer.peer for peer in self._network.peers() if peer.peer not in peers]
            order = peers + others
            if order:
                peer = order[attempt % len(order)]
                await self._fetch(peer, block_hash, hashes, found)
            await trio.sleep(0 if all(found) else FETCH_RETRY_S)
        raise Unavailable("no peer has all transactions of the proposal")

    async def _fetch(
        self,
        peer: str,
        block_hash: Hash32,
        hashes: tuple[Hash32, ...],
        found: list[Transaction | None],
    ) -> None:
        missing = [index for index, each in enumerate(found) if each is None]
        request = encode_get_transactions(block_hash, missing)
        try:
            raws = await self._network.request(
                peer, GET_TRANSACTIONS, request, timeout_s=FETCH_TIMEOUT_S
            )
        except Unavailable as error:
            self._log.info("transactions not fetched", peer=peer, reason=error.message)
            return
        decoded = await trio.to_thread.run_sync(decode_transactions, raws[: len(missing)])
        for index, transaction in zip(missing, decoded, strict=False):
            if not isinstance(transaction, Transaction) or transaction.hash != hashes[index]:
                self._network.penalise(peer, Offence.UNDECODABLE)
                return
            found[index] = transaction
