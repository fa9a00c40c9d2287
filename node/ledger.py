"""Blocks of one node: the committed chain, and what was executed on top of its head.

Building and checking run in worker threads on an immutable view; only `commit` moves the head, and
only the runtime's loop calls it. Executed blocks of the current height are kept by hash until one
of them is decided, so that a decision never executes anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from consensus.votes import ROUNDS_AHEAD_MAX, ROUNDS_BEHIND_MAX
from node.blockstore import BlockStore, ChainView
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
from vm.blocks import BlockExecutor, Executed
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

    @property
    def view(self) -> ChainView:
        """The committed chain as of now; immutable, safe from any thread."""
        return self._view

    @metered(Stage.BUILD)
    def build(
        self,
        candidates: Iterable[Transaction],
        fee_recipient: Address,
        timestamp: int,
        stop: Callable[[], bool],
    ) -> tuple[Executed, list[Transaction]]:
        """Return the best next block from `candidates`, and those that the state made impossible.

        Runs in a worker thread. `stop` ends the building early; `timestamp` is in seconds. A
        candidate that only found no room, or that waits for another, is not impossible.
        """
        view = self._view
        executed, rejected = self._executor.build(
            view.store,
            view.head,
            validators=view.validators,
            fee_recipient=fee_recipient,
            timestamp=max(timestamp, view.head.timestamp),
            transactions=candidates,
            block_hash=view.block_hash,
            stop=stop,
        )
        return executed, [each for each, error in rejected if not isinstance(error, MAY_FIT_LATER)]

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
        if self._view.head_hash != executed.block.hash:
            raise BrokenInvariant("the store's head is not the committed block")
        return self._view
