"""The block after the one that is being voted on, built while the votes are under way.

A node that will propose the next height begins its block once a quorum has prevoted for one of this
height that it has executed, on the state after that, which nobody has stored yet. Nothing of it is
of any consequence until the block below is committed: then what was built is the beginning of the
real block, and otherwise it is dropped. The block that comes out is the one that would be built
from nothing, hash for hash: what was run must be the front of the candidates that the pool offers
in the end, and a timestamp that something has read must be the block's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from node.blockstore import ChainView
from primitives.block import Header
from primitives.meter import Stage, metered
from primitives.transaction import Transaction
from primitives.types import Address
from vm.blocks import BlockDraft, BlockExecutor, Executed
from vm.engine import ExecutionStopped
from vm.state.changes import StateReader
from vm.state.layered import UncommittedStore
from vm.state.store import StateStore


class Ahead:
    """A block above `parent`, which extends the head of `view` and is not committed.

    `must_yield` is asked often while it is built; when it says yes the work stops, inside of a
    transaction too. `extend` and `take` are for workers, the rest for any thread.
    """

    def __init__(
        self,
        executor: BlockExecutor,
        view: ChainView,
        parent: Executed,
        fee_recipient: Address,
        timestamp: int,
        must_yield: Callable[[], bool],
    ) -> None:
        self.parent: Header = parent.block.header
        self.parent_hash = parent.block.hash
        self._must_yield = must_yield
        self._is_over = False
        self._may_stop = False
        self._lock = threading.Lock()
        self._store = UncommittedStore(view.store, parent.update.writes)
        self.state: StateReader = StateStore(self._store).reader()
        """The state after `parent`."""
        self._draft = executor.begin(
            self._store,
            self.parent,
            validators=parent.validators,
            fee_recipient=fee_recipient,
            timestamp=timestamp,
            block_hash=lambda height: (
                self.parent_hash if height == self.parent.height else view.block_hash(height)
            ),
            abandon=self._is_unwanted,
        )
        self._may_stop = True

    @property
    def takes_more(self) -> bool:
        """True while newer candidates could get in."""
        return not (self._is_over or self._draft.is_full)

    @property
    def is_busy(self) -> bool:
        """True while a worker is at it."""
        return self._lock.locked()

    def _is_unwanted(self) -> bool:
        return self._may_stop and (self._is_over or self._must_yield())

    def drop(self) -> None:
        """Give it up; work that is under way ends at once."""
        self._is_over = True

    def settle(self, view: ChainView) -> None:
        """Go on, on the store of `view`, whose head is the block below now."""
        self._store.settle(view.store)

    def agrees_with(self, candidates: list[Transaction]) -> bool:
        """Return whether candidates of now begin as those that are being run, as far as both go."""
        offered = self._draft.offered[: len(candidates)]
        return offered == candidates[: len(offered)]

    def _is_front_of(self, candidates: list[Transaction]) -> bool:
        return len(self._draft.offered) <= len(candidates) and self.agrees_with(candidates)

    @metered(Stage.BUILD)
    def extend(self, candidates: list[Transaction], stop: Callable[[], bool]) -> bool:
        """Run what is new of `candidates`; return whether that came to its end.

        A block that is full then is computed up to its header. Candidates that do not begin with
        what was run end it all.
        """
        with self._lock:
            if self._is_over or not self._is_front_of(candidates):
                self._is_over = True
                return False
            rest = candidates[len(self._draft.offered) :]
            try:
                self._draft.extend(rest, lambda: self._is_unwanted() or stop())
            except ExecutionStopped:
                self._is_over = True
                return False
            if self._is_unwanted():
                return False
            if self._draft.is_full:
                self._draft.compute()
            return len(self._draft.offered) == len(candidates)

    def take(self, candidates: list[Transaction], timestamp: int) -> BlockDraft | None:
        """Return the draft to finish it on the committed block, or None; it is over here.

        `candidates` and `timestamp`, in seconds, are those of the block that is wanted. A draft
        into which nothing was let is none.
        """
        with self._lock:
            is_begun = len(self._draft.offered) > 0 and self._is_front_of(candidates)
            fits = is_begun and self._draft.fits(timestamp)
            is_usable = fits and not self._is_over
            self._is_over, self._may_stop = True, False
            return self._draft if is_usable else None
