"""A validator that comes late, or is slow once, votes with the others again."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import trio

from consensus.messages import Kind, Message
from tests.sim.test_syncs import CalmWorld
from tests.sim.whole import VALIDATORS
from tests.sim.whole_node import WatchedRuntime, WholeNode

LATE_S = 1.5
JOINED_BY = 12
SEEDS = (3, 4)


class LateWorld(CalmWorld):
    """A calm run in which one validator begins when the others have made a few blocks."""

    async def _supervise(self, each: WholeNode) -> None:
        if each is self.nodes[self.seed % VALIDATORS]:
            await trio.sleep(LATE_S)
        await super()._supervise(each)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_late_validator_joins(seed: int) -> None:
    """From its first catch-up on it precommits every block in time: nobody decides without it.

    Planted bug that this kills: peers' heads known from pings alone, with messages of later
    heights dropped; such a node was given every block by sync for as long as the run took.
    """
    precommitted: dict[str, set[int]] = {}
    sign = WatchedRuntime._sign

    def note(runtime: WatchedRuntime, message: Message) -> None:
        sign(runtime, message)
        if message.kind is Kind.PRECOMMIT:
            precommitted.setdefault(runtime.node.name, set()).add(message.height)

    with patch.object(WatchedRuntime, "_sign", note):
        outcome = LateWorld(seed).run()
    assert outcome.heights >= JOINED_BY + 4
    wanted = set(range(JOINED_BY, outcome.heights))
    missed = {name: wanted - heights for name, heights in precommitted.items()}
    assert len(missed) == VALIDATORS
    assert not any(missed.values()), missed
