"""Catching up: a snapshot first when that is wanted, then certified blocks from several peers.

Batches of blocks come from all peers that are ahead, at once and out of order (`node.batches`);
they are applied in order. A block is taken only with a certificate of the validator set that our
own state names for its height, and only after executing it here. A peer that sends anything that
fails is penalised and all that it sent is forgotten; a peer that is slow or gone loses its batch
to another. What is committed stays, so an interrupted catch-up goes on where it stopped. The loop
sleeps until something says that a peer is ahead.

A peer's head is what its last ping said, a second ago perhaps, or what its messages show since: who
votes for a height has the block below. Going by pings alone, a node would stop where the others
were a second ago, and would do so again after the next ping: always behind where blocks are quick.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from consensus.certificate import Certificate, check_certificate, decode_certificate
from node.batches import Batches
from node.ledger import Ledger
from node.log import get_log
from node.rpc.api import SyncStatus
from node.snapshot_sync import SnapshotSync
from node.wire import GET_BLOCKS, decode_certified, encode_get_blocks
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
PROGRESS_S: Final = 5.0
FETCHERS_MAX: Final = 8

Deliver = Callable[[Executed, Certificate], Awaitable[None]]
"""Hands a verified block to the runtime's loop and returns when it is committed."""

Certified = tuple[Block, Certificate]


class Sync:
    """Fetches what this node lacks; `snapshot` is tried first, once, when it is given."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        chain_id: ChainId,
        snapshot: SnapshotSync | None = None,
    ) -> None:
        self._ledger = ledger
        self._network = network
        self._chain_id = chain_id
        self._snapshot = snapshot
        self._nudge = trio.Event()
        self._log = get_log("sync")
        self._progress: SyncStatus | None = None
        self._batches: Batches[Certified] = Batches()
        self._fetching: set[str] = set()
        self._resting: dict[str, float] = {}
        self._shown: dict[str, Height] = {}
        self._changed = trio.Event()
        self._said_at = float("-inf")

    def progress(self) -> SyncStatus | None:
        """Return the heights of a catch-up, None when level with the peers. Any thread."""
        progress = self._progress
        return None if progress is None else replace(progress, current=self._ledger.view.height)

    def nudge(self) -> None:
        """Say that some peer may be ahead of us."""
        self._nudge.set()

    def note_head(self, peer: str, height: Height) -> None:
        """Say that a connected peer seems to have the block of this height; wakes the loop."""
        if height > self._shown.get(peer, 0):
            self._shown[peer] = height
        self._nudge.set()

    def forget(self, peer: str) -> None:
        """Drop what a peer that is gone seemed to have."""
        self._shown.pop(peer, None)

    def best_peer(self) -> PeerInfo | None:
        """Return the connected peer with the highest head above ours, or None."""
        return max(self._ahead(), key=lambda peer: (self._head(peer), peer.score), default=None)

    def _ahead(self) -> list[PeerInfo]:
        height = self._ledger.view.height
        return [peer for peer in self._network.peers() if self._head(peer) > height]

    def _head(self, peer: PeerInfo) -> Height:
        """Return the height of a peer's head, as far as we know."""
        return max(peer.head_height, self._shown.get(peer.peer, peer.head_height))

    async def run(self, deliver: Deliver) -> None:
        """Fetch and deliver blocks for ever; raises SnapshotReady when the node must reopen."""
        while True:
            peer = self.best_peer()
            if peer is None:
                self._progress = None
                await self._wait_nudge()
                continue
            self._note(self._head(peer))
            snapshot = self._snapshot
            if snapshot is not None and snapshot.is_wanted(peer.head_height):
                await snapshot.run()
                self._snapshot = None
            await self._catch_up(deliver)

    def _note(self, highest: Height) -> None:
        height = self._ledger.view.height
        now = trio.current_time()
        if self._progress is None or now - self._said_at >= PROGRESS_S:
            self._said_at = now
            self._log.info("catching up", height=height, target=highest, peers=len(self._ahead()))
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

    # --- several peers at once --------------------------------------------------------------------

    async def _catch_up(self, deliver: Deliver) -> None:
        """Fetch and apply until no peer is ahead."""
        async with trio.open_nursery() as nursery:
            while (best := self.best_peer()) is not None:
                self._note(self._head(best))
                ready = self._batches.pop(self._ledger.view.height)
                if ready is not None:
                    await self._apply(*ready, deliver)
                    self._wake()
                    continue
                self._start_fetchers(nursery)
                changed = self._changed
                with trio.move_on_after(RETRY_S):
                    await changed.wait()
            nursery.cancel_scope.cancel()
        self._batches, self._fetching, self._resting = Batches(), set(), {}

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _start_fetchers(self, nursery: trio.Nursery) -> None:
        for peer in self._ahead():
            is_free = peer.peer not in self._fetching and not self._rests(peer.peer)
            if is_free and len(self._fetching) < FETCHERS_MAX:
                self._fetching.add(peer.peer)
                nursery.start_soon(self._fetch_from, peer.peer)

    async def _fetch_from(self, peer: str) -> None:
        """Fetch batches from one peer until there is none for it, or it fails.

        Others are woken by what came or failed, never by a peer that found nothing to do: it would
        be started again at once, and so for ever.
        """
        try:
            while await self._fetch_one(peer):
                pass
        except Unavailable as error:
            self._log.info("sync interrupted", peer=peer, reason=error.message)
            self._batches.give_up(peer)
            self._resting[peer] = trio.current_time() + RETRY_S
            self._wake()
        except Invalid as error:
            self._blame(peer, error)
            self._wake()
        finally:
            self._fetching.discard(peer)

    async def _fetch_one(self, peer: str) -> bool:
        """Fetch the next batch for a peer; False when there is none."""
        head = next((self._head(each) for each in self._ahead() if each.peer == peer), 0)
        if self._rests(peer):
            return False
        height, now = self._ledger.view.height, trio.current_time()
        wanted = self._batches.take(peer, head, height, now)
        if wanted is None:
            return False
        first, count = wanted
        answers = await self._network.request(
            peer, GET_BLOCKS, encode_get_blocks(first, count), timeout_s=REQUEST_TIMEOUT_S
        )
        if not answers:
            if peer in self._shown:
                self._shown[peer] = Height(first - 1)
            raise Unavailable(f"peer has no block {first}")
        blocks = await trio.to_thread.run_sync(_open, answers[:count], first)
        self._batches.put(peer, first, blocks)
        self._wake()
        return True

    def _rests(self, peer: str) -> bool:
        """Return whether a peer that failed is not to be asked yet."""
        return self._resting.get(peer, float("-inf")) > trio.current_time()

    def _blame(self, peer: str, error: Invalid) -> None:
        self._log.warning("bad block from peer", peer=peer, reason=error.message)
        self._batches.distrust(peer)
        self._resting[peer] = trio.current_time() + RETRY_S
        self._network.penalise(peer, Offence.BAD_SIGNATURE)

    async def _apply(self, peer: str, blocks: list[Certified], deliver: Deliver) -> None:
        """Verify and deliver the blocks of a batch in order; what fails is its sender's fault."""
        try:
            for block, certificate in blocks:
                height = Height(self._ledger.view.height + 1)
                if block.header.height < height:
                    continue
                executed = await trio.to_thread.run_sync(
                    partial(self._verify, block, certificate, height)
                )
                await deliver(executed, certificate)
        except Invalid as error:
            self._blame(peer, error)

    def _verify(self, block: Block, certificate: Certificate, height: Height) -> Executed:
        if block.header.height != height:
            raise InvalidBlock(f"asked for block {height}, got {block.header.height}")
        check_certificate(certificate, self._ledger.view.validators, self._chain_id)
        return self._ledger.executed(block.hash) or self._ledger.check(block, now=None)


def _open(answers: list[bytes], first: Height) -> list[Certified]:
    """Return decoded blocks that follow each other, with certificates that name them.

    Raises Invalid. Proves no signature yet.
    """
    found: list[Certified] = []
    for height, raw in enumerate(answers, first):
        encoded, certified = decode_certified(raw)
        block, certificate = decode_block(encoded), decode_certificate(certified)
        if block.header.height != height:
            raise InvalidBlock(f"asked for block {height}, got {block.header.height}")
        if (certificate.height, certificate.block_hash) != (height, block.hash):
            raise InvalidBlock(f"the certificate of block {height} is for another block")
        if found and found[-1][0].hash != block.header.parent_hash:
            raise InvalidBlock(f"block {height} does not follow the one before")
        found.append((block, certificate))
    return found
