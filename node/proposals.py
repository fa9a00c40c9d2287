"""Proposals: building a body for consensus, and turning a peer's body back into a block.

A body is a header and the hashes of its transactions. What the pool lacks is asked from the peer
that sent the proposal, then from the others. A body that breaks a rule is answered with False; a
body whose transactions cannot be had in time is answered with False too, for this round only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import Final

import trio

from consensus.algorithm import ROUND_0
from consensus.events import CheckProposal
from consensus.proposer import proposer_of
from consensus.wal import Kept, Record
from node.buildahead import Ahead
from node.intake import Intake
from node.ledger import BLOCK_BYTES_MAX, Ledger
from node.log import get_log
from node.metrics import Family
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
from primitives.types import Address, Hash32, Height
from vm.blocks import Executed

FETCH_TIMEOUT_S: Final = 5.0
FETCH_ROUNDS_MAX: Final = 20
FETCH_RETRY_S: Final = 0.2
AHEAD_PAUSE_S: Final = 0.05
"""How long a block that is built ahead waits before it looks for newer transactions."""
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
        validator: Address | None = None,
    ) -> None:
        """`validator` is this node's; None builds nothing ahead."""
        self._ledger = ledger
        self._intake = intake
        self._network = network
        self._fee_recipient = fee_recipient
        self._validator = validator
        self._executing = trio.CapacityLimiter(1)
        self._urgent = 0
        self._build_by = inf
        self.built = {"ahead": 0, "afresh": 0}
        """How many blocks were begun during the vote below them, and how many after it."""
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
        self._build_by = self._deadline()
        if await self._is_under_way():
            build = partial(self._build, self._build_by)
            executed = await trio.to_thread.run_sync(build, limiter=self._executing)
        else:
            executed = await self._run_soon(partial(self._build, None))
        self._build_by = inf
        self._ledger.keep(executed)
        block = executed.block
        return block.hash, encode_body(block.header, [each.hash for each in block.transactions])

    def families(self) -> list[Family]:
        """Return how many blocks were built so far, and when they were begun; from any thread."""
        samples = [("", (("begun", when),), float(n)) for when, n in self.built.items()]
        text = "Blocks built here: begun ahead, during the vote on the one below, or afresh."
        return [Family("qenex_node_blocks_built_total", "counter", text, tuple(samples))]

    async def _is_under_way(self) -> bool:
        """Return whether a worker is at the block that is wanted now, with the right candidates."""
        ahead = self._ledger.ahead
        if self._urgent or ahead is None or not (ahead.is_busy and self._ledger.is_next(ahead)):
            return False
        candidates = await trio.to_thread.run_sync(self._intake.candidates)
        return ahead.agrees_with(candidates)

    async def _run_soon(self, work: Callable[[], Executed]) -> Executed:
        """Run `work` in the worker; what is built ahead makes way for it at once."""
        self._urgent += 1
        try:
            return await trio.to_thread.run_sync(work, limiter=self._executing)
        finally:
            self._urgent -= 1

    def _deadline(self) -> float:
        """Return when a block that is begun now takes no more, in seconds of the steady clock."""
        timeout_s = self._ledger.params.times.timeout_propose_ms / 1_000
        return time.monotonic() + BUILD_SHARE * timeout_s

    def _build(self, ahead_by: float | None) -> Executed:
        """Build on what was built ahead, until `ahead_by` if that was under way, or afresh."""
        candidates, timestamp = self._intake.candidates(), int(time.time())
        draft = self._ledger.take_ahead(candidates, timestamp)
        is_ahead = draft is not None
        self.built["ahead" if is_ahead else "afresh"] += 1
        deadline = ahead_by if is_ahead and ahead_by is not None else self._deadline()
        executed, impossible = self._ledger.build(
            candidates, self._fee_recipient, timestamp, lambda: time.monotonic() > deadline, draft
        )
        if impossible:
            self._intake.pool.discard([each.hash for each in impossible])
        return executed

    async def build_ahead(self, block_hash: Hash32) -> None:
        """Build what this node proposes after a kept block, while that one is being decided.

        Returns when it was taken, dropped or is full; at once when another's turn comes next.
        """
        if not self._is_next_turn(block_hash):
            return
        begin = partial(self._begin_ahead, block_hash)
        ahead = await trio.to_thread.run_sync(begin, limiter=self._executing)
        seen = 0
        while ahead is not None and ahead.takes_more:
            waiting = len(self._intake.pool)
            if waiting != seen:
                extend = partial(self._extend_ahead, ahead)
                done = await trio.to_thread.run_sync(extend, limiter=self._executing)
                seen = waiting if done else 0
            await trio.sleep(AHEAD_PAUSE_S)

    def _is_next_turn(self, block_hash: Hash32) -> bool:
        block, validators = self._ledger.kept(block_hash), self._ledger.next_validators(block_hash)
        if block is None or validators is None:
            return False
        height = Height(block.header.height + 1)
        return proposer_of(validators, height, ROUND_0) == self._validator

    def _begin_ahead(self, block_hash: Hash32) -> Ahead | None:
        begins_at = time.time() + self._ledger.params.block_period_ms / 1_000
        return self._ledger.begin_ahead(
            block_hash, self._fee_recipient, int(begins_at), lambda: self._urgent > 0
        )

    def _extend_ahead(self, ahead: Ahead) -> bool:
        if self._urgent:
            return False
        deadline = self._deadline()
        return ahead.extend(
            self._intake.candidates(ahead),
            lambda: time.monotonic() > min(deadline, self._build_by),
        )

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
            executed = await self._run_soon(partial(self._execute, header, transactions))
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
