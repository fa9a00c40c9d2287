"""Whole validators build while they vote, and whatever ends a height, blocks are the fresh ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
import trio

from node.ledger import Ledger
from primitives.errors import ensure
from primitives.transaction import Transaction
from tests.sim.test_syncs import SEED, CalmWorld
from tests.sim.whole import WholeWorld
from vm.blocks import BlockDraft, Executed

SEEDS = 6


class Noted:
    """What ledgers did in one run; every block that was begun ahead is built a second time."""

    def __init__(self) -> None:
        self.begun: dict[tuple[int, int], float] = {}
        self.committed: dict[tuple[int, int], float] = {}
        self.ahead = 0
        self.afresh = 0
        self._begin_ahead, self._build, self._commit = (
            Ledger.begin_ahead,
            Ledger.build,
            Ledger.commit,
        )

    def begin_ahead(self, ledger: Ledger, *options: Any) -> Any:
        """Note when a node began to build the block after the next."""
        made = self._begin_ahead(ledger, *options)
        if made is not None:
            self.begun[id(ledger), made.parent.height] = trio.current_time()
        return made

    def commit(self, ledger: Ledger, executed: Executed, certificate: bytes) -> Any:
        """Note when a node committed a height."""
        place = id(ledger), executed.block.header.height
        self.committed[place] = trio.current_time()
        return self._commit(ledger, executed, certificate)

    def build(
        self,
        ledger: Ledger,
        candidates: list[Transaction],
        recipient: Any,
        timestamp: int,
        stop: Callable[[], bool],
        draft: BlockDraft | None = None,
    ) -> tuple[Executed, list[Transaction]]:
        """Build, and compare with what is built without the draft."""
        is_ahead = draft is not None and bool(draft.offered)
        made = self._build(ledger, candidates, recipient, timestamp, stop, draft)
        if is_ahead:
            fresh = self._build(ledger, candidates, recipient, timestamp, lambda: False)
            ensure(made == fresh, "a block begun ahead is the fresh one")
        self.ahead += is_ahead
        self.afresh += not is_ahead
        return made

    def run(self, world: WholeWorld) -> None:
        """Run a world with these ledgers."""
        with (
            patch.object(Ledger, "begin_ahead", _method(self.begin_ahead)),
            patch.object(Ledger, "commit", _method(self.commit)),
            patch.object(Ledger, "build", _method(self.build)),
        ):
            world.run()


def _method(do: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function, which a class hands its instance."""

    def call(*values: Any) -> Any:
        return do(*values)

    return call


def test_validators_build_while_they_vote() -> None:
    """In a calm network each height but the first is begun before the one below is committed.

    Planted bugs that this kills: a runtime that asks for nothing ahead, or at the commit.
    """
    noted = Noted()
    noted.run(CalmWorld(SEED))
    heights = {height for _, height in noted.committed}
    early = {
        height
        for (ledger, height), at in noted.begun.items()
        if at < noted.committed.get((ledger, height), 0)
    }
    assert early >= heights - {max(heights)}
    assert noted.ahead > 0


@pytest.mark.slow
def test_blocks_begun_ahead_are_the_fresh_ones() -> None:
    """Through crashes, partitions and late rounds, each equals one that is built from nothing."""
    noted = Noted()
    for seed in range(SEEDS):
        noted.run(WholeWorld(seed))
    assert noted.ahead > 10
    assert noted.afresh > 10
