"""Catching up: certified blocks from one peer at a time, each verified before it counts.

A block is taken only with a certificate of the validator set that our own state names for its
height, and only after executing it here. A peer that sends a block which fails is penalised and
another is asked. The loop sleeps until something says that a peer is ahead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from consensus.certificate import Certificate, check_certificate, decode_certificate
from node.ledger import Ledger
from node.log import get_log
from node.rpc.api import SyncStatus
from node.wire import (
    GET_BLOCKS,
    SYNC_BLOCKS_MAX,
    decode_certified,
    encode_get_blocks,
)
from p2p.link import PeerInfo
from p2p.network import Network
from p2p.peers import Offence
from primitives.block import Block, decode_block
from primitives.errors import Invalid, InvalidBlock, Unavailable
from primitives.types import ChainId, Height
from vm.blocks import Executed

REQUEST_TIMEOUT_S: Final = 10.0
RETRY_S: Final = 0.5
SETTLE_S: Final = 0.3

Deliver = Callable[[Executed, Certificate], Awaitable[None]]
"""Hands a verified block to the runtime's loop and returns when it is committed."""


class Sync:
    """Fetches what this node lacks."""

    def __init__(self, ledger: Ledger, network: Network, chain_id: ChainId) -> None:
        self._ledger = ledger
        self._network = network
        self._chain_id = chain_id
        self._nudge = trio.Event()
        self._log = get_log("sync")
        self._progress: SyncStatus | None = None

    def progress(self) -> SyncStatus | None:
        """Return the heights of a catch-up, None when level with the peers. Any thread."""
        progress = self._progress
        return None if progress is None else replace(progress, current=self._ledger.view.height)

    def nudge(self) -> None:
        """Say that some peer may be ahead of us."""
        self._nudge.set()

    def best_peer(self) -> PeerInfo | None:
        """Return the connected peer with the highest head above ours, or None."""
        ahead = [
            peer for peer in self._network.peers() if peer.head_height > self._ledger.view.height
        ]
        return max(ahead, key=lambda peer: (peer.head_height, peer.score), default=None)

    async def run(self, deliver: Deliver) -> None:
        """Fetch and deliver blocks for ever."""
        while True:
            peer = self.best_peer()
            if peer is None:
                self._progress = None
                await self._wait_nudge()
                continue
            self._note(peer.head_height)
            try:
                await self._fetch(peer, deliver)
            except Unavailable as error:
                self._log.info("sync interrupted", peer=peer.peer, reason=error.message)
                await trio.sleep(RETRY_S)
            except Invalid as error:
                self._log.warning("bad block from peer", peer=peer.peer, reason=error.message)
                self._network.penalise(peer.peer, Offence.BAD_SIGNATURE)
                await trio.sleep(RETRY_S)

    def _note(self, highest: Height) -> None:
        height = self._ledger.view.height
        if self._progress is None:
            self._log.info("catching up", height=height, target=highest)
        starting = height if self._progress is None else self._progress.starting
        self._progress = SyncStatus(starting, height, highest)

    async def _wait_nudge(self) -> None:
        """Wait until a peer seems ahead and we do not get there by ourselves within SETTLE_S."""
        await self._nudge.wait()
        self._nudge = trio.Event()
        before = self._ledger.view.height
        await trio.sleep(SETTLE_S)
        while (now := self._ledger.view.height) > before:
            before = now
            await trio.sleep(SETTLE_S)

    async def _fetch(self, peer: PeerInfo, deliver: Deliver) -> None:
        first = Height(self._ledger.view.height + 1)
        count = min(SYNC_BLOCKS_MAX, peer.head_height - first + 1)
        answers = await self._network.request(
            peer.peer, GET_BLOCKS, encode_get_blocks(first, count), timeout_s=REQUEST_TIMEOUT_S
        )
        if not answers:
            raise Unavailable(f"peer has no block {first}")
        for raw in answers[:count]:
            height = Height(self._ledger.view.height + 1)
            block, certificate = await trio.to_thread.run_sync(self._open, raw)
            if block.header.height < height:
                continue
            executed = await trio.to_thread.run_sync(
                partial(self._verify, block, certificate, height)
            )
            await deliver(executed, certificate)
        self._log.info("synced", height=self._ledger.view.height, peer=peer.peer)

    @staticmethod
    def _open(raw: bytes) -> tuple[Block, Certificate]:
        block, certificate = decode_certified(raw)
        return decode_block(block), decode_certificate(certificate)

    def _verify(self, block: Block, certificate: Certificate, height: Height) -> Executed:
        if block.header.height != height:
            raise InvalidBlock(f"asked for block {height}, got {block.header.height}")
        if (certificate.height, certificate.block_hash) != (height, block.hash):
            raise InvalidBlock(f"the certificate of block {height} is for another block")
        check_certificate(certificate, self._ledger.view.validators, self._chain_id)
        return self._ledger.executed(block.hash) or self._ledger.check(block, now=None)
