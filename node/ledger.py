"""Blocks of one node: the committed chain, and what was executed on top of its head.

Building and checking run in worker threads on an immutable view; only `commit` moves the head, and
only the runtime's loop calls it. Executed blocks of the current height are kept by hash until one
of them is decided, so that a decision never executes anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from consensus.votes import ROUNDS_AHEAD_MAX, ROUNDS_BEHIND_MAX
from node.blockstore import BlockStore, ChainView
from node.buildahead import Ahead
from primitives.block import Block
from primitives.errors import (
    BrokenInvariant,
    FeeTooLow,
    GasLimitExceeded,
    NonceTooHigh,
    StateRootDiffers,
    ensure,
)
from primitives.meter import Stage, metered
from primitives.params import ChainParams
from primitives.transaction import Transaction
from primitives.types import Address, Hash32
from primitives.validators import ValidatorSet
from vm.blocks import BlockDraft, BlockExecutor, Executed
from vm.engine import Engine

EXECUTED_MAX: Final = 16
KEPT_MAX: Final = ROUNDS_BEHIND_MAX + ROUNDS_AHEAD_MAX + 2
"""As many rounds of one height as consensus remembers, each with its block, and the valid value."""
BLOCK_BYTES_MAX: Final = 2_000_000
MAY_FIT_LATER: Final = (GasLimitExceeded, NonceTooHigh, FeeTooLow)


class Ledger:
    """The head of the chain and the executed blocks that may follow it."""

    def __init__(self, blocks: BlockStore, engine: Engine, params: ChainParams) -> None:
        self.params = params
        self._blocks = blocks
        self._executor = BlockExecutor(engine, params)
        self._view = blocks.view()
        self._kept: dict[Hash32, Block] = {}
        self._executed: dict[Hash32, Executed] = {}
        self.ahead: Ahead | None = None
        """What is built on a block that is not decided yet."""

    @property
    def view(self) -> ChainView:
        """The committed chain as of now; immutable, safe from any thread."""
        return self._view

    @metered(Stage.BUILD)
    def build(
        self,
        candidates: Sequence[Transaction],
        fee_recipient: Address,
        timestamp: int,
        stop: Callable[[], bool],
        draft: BlockDraft | None = None,
    ) -> tuple[Executed, list[Transaction]]:
        """Return the best next block from `candidates`, and those that the state made impossible.

        Runs in a worker thread. `stop` ends the building early; `timestamp` is in seconds. A
        candidate that only found no room, or that waits for another, is not impossible. A `draft`
        is what `take_ahead` gave for the same candidates and timestamp; it is of no use when one of
        the candidates that follow reads the time at which it was begun.
        """
        timestamp = max(timestamp, self._view.head.timestamp)
        if draft is not None:
            draft.extend(candidates[len(draft.offered) :], stop)
        if draft is None or not draft.fits(timestamp):
            draft = self._begin(fee_recipient, timestamp)
            draft.extend(candidates, stop)
        executed, rejected = draft.finish(timestamp)
        return executed, [each for each, error in rejected if not isinstance(error, MAY_FIT_LATER)]

    def _begin(self, fee_recipient: Address, timestamp: int) -> BlockDraft:
        view = self._view
        return self._executor.begin(
            view.store,
            view.head,
            validators=view.validators,
            fee_recipient=fee_recipient,
            timestamp=timestamp,
            block_hash=view.block_hash,
        )

    def next_validators(self, block_hash: Hash32) -> ValidatorSet | None:
        """Return who decides the height after a kept block, None when it is not at hand."""
        executed = self._executed.get(block_hash)
        return None if executed is None else executed.validators

    @metered(Stage.BUILD)
    def begin_ahead(
        self,
        block_hash: Hash32,
        fee_recipient: Address,
        timestamp: int,
        must_yield: Callable[[], bool],
    ) -> Ahead | None:
        """Begin the block after a kept one; what was begun on another is dropped. In a worker.

        Returns None when that block was begun already, or is not at hand any more because its
        height is decided. `timestamp` is in seconds.
        """
        view, executed, before = self._view, self._executed.get(block_hash), self.ahead
        if executed is None or executed.block.header.parent_hash != view.head_hash:
            return None
        if before is not None and before.parent_hash == block_hash:
            return None
        made = Ahead(self._executor, view, executed, fee_recipient, timestamp, must_yield)
        self.drop_ahead()
        self.ahead = made
        if self._view is not view and not self.is_next(made):  # decided meanwhile, otherwise
            self.drop_ahead()
        return made

    def drop_ahead(self) -> None:
        """Give up what is built ahead."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            ahead.drop()

    def take_ahead(self, candidates: list[Transaction], timestamp: int) -> BlockDraft | None:
        """Return what was built ahead on the head, if it fits these inputs of `build`."""
        ahead = self.ahead
        if ahead is None or not self.is_next(ahead):
            return None
        self.ahead = None
        return ahead.take(candidates, max(timestamp, self._view.head.timestamp))

    def is_next(self, ahead: Ahead) -> bool:
        """Return whether the block below is the head, so that this one is for the next height."""
        return ahead.parent_hash == self._view.head_hash

    @metered(Stage.CHECK)
    def check(self, block: Block, now: int | None) -> Executed:
        """Execute a proposed or decided block on the head; raises Invalid. Runs in a worker.

        `now` in seconds bounds the timestamp; None for blocks that are already certified.
        """
        view = self._view
        return self._executor.execute(
            view.store,
            view.head,
            block,
            validators=view.validators,
            now=now,
            block_hash=view.block_hash,
        )

    def keep(self, executed: Executed) -> None:
        """Keep a good block until its height is decided, if it extends the head.

        Of many rounds only the newest outcomes stay in memory; the blocks of all do.
        """
        block = executed.block
        if block.header.parent_hash != self._view.head_hash:
            return
        self._kept[block.hash] = block
        self._executed[block.hash] = executed
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        if len(self._executed) > EXECUTED_MAX:
            del self._executed[next(iter(self._executed))]

    def kept(self, block_hash: Hash32) -> Block | None:
        """Return the good block of that hash, if it extends the head."""
        return self._kept.get(block_hash)

    def executed(self, block_hash: Hash32) -> Executed | None:
        """Return what follows from a kept block, executing it again if need be. In a worker."""
        block = self._kept.get(block_hash)
        if block is None:
            return None
        return self._executed.get(block_hash) or self.check(block, now=None)

    @metered(Stage.STORE)
    def commit(self, executed: Executed, certificate: bytes) -> ChainView:
        """Make a decided block the durable head and return the new view.

        One atomic synced batch. Raises BrokenInvariant when the block does not extend the head.
        """
        header = executed.block.header
        ensure(
            header.parent_hash == self._view.head_hash,
            "a decided block must extend the head",
            height=header.height,
        )
        if executed.update.state_root != header.state_root:
            raise StateRootDiffers(
                f"block {header.height}: executed state root differs from the header's",
                height=header.height,
            )
        self._view = self._blocks.commit(executed, certificate)
        self._kept.clear()
        self._executed.clear()
        ahead = self.ahead
        if ahead is not None and ahead.parent_hash == executed.block.hash:
            ahead.settle(self._view)
        else:
            self.drop_ahead()
        if self._view.head_hash != executed.block.hash:
            raise BrokenInvariant("the store's head is not the committed block")
        return self._view
