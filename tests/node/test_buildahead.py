"""What is built while a vote is under way is the real block, or costs nothing and delays nobody."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import pytest
import trio
import trio.testing

from consensus.certificate import encode_certificate
from consensus.events import CheckProposal
from node.buildahead import Ahead
from node.intake import Intake
from node.ledger import Ledger
from node.metrics import render
from node.proposals import Proposals
from node.wire import encode_body
from p2p.network import Network
from primitives.block import Block
from primitives.transaction import Transaction
from primitives.types import Address, Hash32, Height, Round
from tests.node.nodes import (
    GENESIS_TIME,
    VALIDATOR,
    certificate,
    make_intake,
    make_ledger,
    transfer,
)
from vm.blocks import Executed

GWEI = 10**9
SENDERS = 6
NOW = GENESIS_TIME + 10
FULL = {"to": None, "data": b"\xfe", "gas": 29_990_000}
"""A creation that burns nearly all gas of a block."""
CLOCK = {"to": None, "data": b"\x42\x50\x00", "gas": 90_000}
"""A creation that looks at the time."""
FOREVER = {"to": None, "data": b"\x5b\x5f\x56", "gas": 25_000_000}
"""A creation that loops until its gas is gone, for seconds."""


class Clock:
    """The clocks of `node.proposals`; the steady one can hold the worker that reads it."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.hold_at = 0
        self.is_held = threading.Event()
        self.go_on = threading.Event()

    def time(self) -> float:
        """Return the seconds of the wall clock."""
        return self.now

    def monotonic(self) -> float:
        """Return always the same, once `go_on` is set if this is the call to be held."""
        self.hold_at -= 1
        if self.hold_at == 0:
            self.is_held.set()
            assert self.go_on.wait(30)
        return 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("node.proposals.time", made)
    return made


class Node:
    """Ledger, pool and proposals of a node, with the transfers of six senders in its pool."""

    def __init__(self, validator: Address | None = VALIDATOR.address) -> None:
        self.ledger: Ledger = make_ledger()
        self.intake: Intake = make_intake(self.ledger)
        network = cast("Network", None)
        self.proposals = Proposals(
            self.ledger, self.intake, network, VALIDATOR.address, validator=validator
        )
        self.add([transfer(each) for each in range(SENDERS)])

    def add(self, transactions: Sequence[Transaction]) -> None:
        """Pool transactions."""
        for each in transactions:
            self.intake.submit(each.raw)

    def block(self, count: int, second: int = 1) -> Executed:
        """Keep and return a block on the head that takes the first of the pool."""
        made, _ = self.ledger.build(
            self.intake.candidates()[:count],
            Address(bytes(20)),
            GENESIS_TIME + second,
            lambda: False,
        )
        self.ledger.keep(made)
        return made

    def commit(self, executed: Executed) -> None:
        """Commit, as the runtime does."""
        self.ledger.commit(executed, encode_certificate(certificate(executed)))
        self.intake.committed(executed.block.transactions)

    async def wait_ahead(
        self, count: int, *, is_busy: bool = False, after: Ahead | None = None
    ) -> Ahead:
        """Wait until so many transactions were taken ahead, in a block that is not `after`."""
        while True:
            ahead = self.ledger.ahead
            if (
                ahead is not None
                and ahead is not after
                and len(ahead._draft.offered) >= count
                and ahead.is_busy == is_busy
            ):
                return ahead
            await trio.sleep(0.01)


async def fresh(committed: Executed, waiting: Sequence[Transaction]) -> tuple[Hash32, bytes]:
    """Return what a node builds that has built nothing ahead."""
    other = Node(None)
    other.commit(committed)
    other.add(waiting)
    found = await other.proposals.build()
    assert other.proposals.built == {"ahead": 0, "afresh": 1}
    return found


def proposal(executed: Executed) -> CheckProposal:
    """Return the check of a block that another node may have proposed."""
    block = executed.block
    body = encode_body(block.header, [each.hash for each in block.transactions])
    return CheckProposal(Height(1), Round(1), block.hash, body, VALIDATOR.address)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run in time that jumps, in small steps: threads of workers are slower than it."""

    async def pulse() -> None:
        while True:  # noqa: ASYNC110 - a clock's tick, no condition
            await trio.sleep(0.01)

    async def bounded() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pulse)
                await main()
                nursery.cancel_scope.cancel()

    trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_building_begins_before_the_decision(clock: Clock) -> None:
    """The block is begun on an undecided one, takes late transactions, and is the fresh one.

    Kills: a build that begins at the commit; one that takes nothing more after it began; one on the
    state before the block below; one whose code is stopped when it has become the real block.
    """

    async def main() -> None:
        node = Node()
        below = node.block(2)
        during = [transfer(0, 1), transfer(1, 1)]
        late = [transfer(0, 2), transfer(2, 1, to=None, data=b"\x00", gas=90_000)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            ahead = await node.wait_ahead(SENDERS - 2)
            node.add(during)
            await node.wait_ahead(SENDERS)
            assert node.ledger.view.height == 0
            assert ahead.parent_hash == below.block.hash
            node.commit(below)
            node.add(late)
            built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 1, "afresh": 0}
        assert built == await fresh(below, [*during, *late])
        page = render(node.proposals.families()).decode()
        assert 'qenex_node_blocks_built_total{begun="ahead"} 1' in page
        assert 'qenex_node_blocks_built_total{begun="afresh"} 0' in page
        kept = node.ledger.kept(built[0])
        assert kept is not None
        assert len(kept.transactions) == SENDERS + 2

    run(main)


def test_a_decision_for_another_block_drops_it(clock: Clock) -> None:
    """What was built on a block that was not decided is in no block, and its task ends.

    Planted bug that this kills: the draft taken without a look at the block below it.
    """

    async def main() -> None:
        node = Node()
        below, other = node.block(2), node.block(3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            await node.wait_ahead(SENDERS - 2)
            node.commit(other)
            assert node.ledger.ahead is None
        built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 0, "afresh": 1}
        assert built == await fresh(other, [])

    run(main)


def test_the_newest_good_block_is_built_on(clock: Clock) -> None:
    """A new round's block takes the place of the old one; the same block twice is one task."""

    async def main() -> None:
        node = Node()
        below, newer = node.block(2), node.block(3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            old = await node.wait_ahead(SENDERS - 2)
            await node.proposals.build_ahead(below.block.hash)
            assert node.ledger.ahead is old
            nursery.start_soon(node.proposals.build_ahead, newer.block.hash)
            await node.wait_ahead(SENDERS - 3, after=old)
            assert not old.takes_more
            node.commit(newer)
            built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 1, "afresh": 0}
        assert built == await fresh(newer, [])

    run(main)


def test_a_check_that_waits_comes_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the worker after the transaction that runs; what was run is not run again.

    Planted bug that this kills: a check that waits for all candidates to be run.
    """

    async def main() -> None:
        node = Node()
        below, other = node.block(1), Node(None).block(2, second=2)
        done: list[int] = []
        check = node.ledger.check

        def noting(block: Block, now: int | None) -> Executed:
            ahead = node.ledger.ahead
            done.append(-1 if ahead is None else len(ahead._draft.offered))
            return check(block, now)

        monkeypatch.setattr(node.ledger, "check", noting)
        clock.hold_at = 4
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            await trio.to_thread.run_sync(clock.is_held.wait)
            nursery.start_soon(node.proposals.check, proposal(other), None)
            while not node.proposals._urgent:  # noqa: ASYNC110 - until the check waits
                await trio.sleep(0.01)
            clock.go_on.set()
            ahead = await node.wait_ahead(SENDERS - 1)
            assert done == [3]
            assert node.ledger.kept(other.block.hash) is not None
            assert ahead.parent_hash == below.block.hash
            node.commit(below)
            built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 1, "afresh": 0}
        assert built == await fresh(below, [])

    run(main)


def test_a_check_ends_a_transaction_that_runs(clock: Clock) -> None:
    """Code that loops for seconds is left in the middle; nothing of it is used.

    Planted bug that this kills: a stop that is asked for between transactions only.
    """

    async def main() -> None:
        node = Node()
        below, other = node.block(SENDERS), Node(None).block(2, second=2)
        node.add([transfer(0, 1, **FOREVER)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            ahead = await node.wait_ahead(1, is_busy=True)
            assert await node.proposals.check(proposal(other), None)
            assert not ahead.takes_more
            assert not ahead._draft.is_full
            nursery.cancel_scope.cancel()
        assert ahead.take(node.intake.candidates(ahead), NOW) is None

    run(main)


def test_a_better_transaction_comes_first(clock: Clock) -> None:
    """A tip above those that were taken makes a fresh block: order is what it would have been."""

    async def main() -> None:
        node = Node()
        below, better = node.block(1), transfer(0, 1, tip=2 * GWEI, cap=5 * GWEI)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            await node.wait_ahead(SENDERS - 1)
            node.commit(below)
            node.add([better])
            built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 0, "afresh": 1}
        assert built == await fresh(below, [better])
        kept = node.ledger.kept(built[0])
        assert kept is not None
        assert kept.transactions[0] == better

    run(main)


def test_a_block_of_this_height_leaves_it_alone(clock: Clock) -> None:
    """A later round in which this node proposes as well builds on the head, not on its block."""

    async def main() -> None:
        node = Node()
        below = node.block(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            ahead = await node.wait_ahead(SENDERS - 2)
            block_hash, _ = await node.proposals.build()
            again = node.ledger.kept(block_hash)
            assert again is not None
            assert (again.header.height, len(again.transactions)) == (1, SENDERS)
            assert node.ledger.ahead is ahead
            node.commit(below)
            built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 1, "afresh": 1}
        assert built == await fresh(below, [])

    run(main)


def test_a_full_block_is_made_to_its_end(clock: Clock) -> None:
    """Once nothing more fits, its task ends and what came later is not looked at."""

    async def main() -> None:
        node = Node()
        below = node.block(SENDERS)
        waiting = [transfer(0, 1, **FULL), transfer(1, 1)]
        node.add(waiting)
        await node.proposals.build_ahead(below.block.hash)
        ahead = node.ledger.ahead
        assert ahead is not None
        assert ahead._draft._computed is not None
        node.commit(below)
        late = transfer(2, 1)
        node.add([late])
        built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 1, "afresh": 0}
        assert built == await fresh(below, [*waiting, late])

    run(main)


@pytest.mark.parametrize("reads", [False, True])
def test_the_header_tells_the_time_of_the_block(clock: Clock, *, reads: bool) -> None:
    """The block has the time at which it was asked for, and so has what its contracts read.

    Planted bug that this kills: a draft that is used at any time.
    """

    async def main() -> None:
        node = Node()
        below, waiting = node.block(SENDERS), [transfer(0, 1)]
        waiting += [transfer(1, 1, **CLOCK)] if reads else [transfer(1, 1)]
        node.add(waiting)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            await node.wait_ahead(2)
            node.commit(below)
            clock.now += 7
            built = await node.proposals.build()
        assert node.proposals.built == {"ahead": 1 - reads, "afresh": int(reads)}
        assert built == await fresh(below, waiting)
        kept = node.ledger.kept(built[0])
        assert kept is not None
        assert kept.header.timestamp == NOW + 7

    run(main)


def test_a_late_look_at_the_time_begins_the_block_anew(clock: Clock) -> None:
    """What comes after a draft was begun in another second sees the second of the block.

    Planted bug that this kills: a draft that is finished with a time that was not the one read.
    """

    async def main() -> None:
        node = Node()
        below, waiting = node.block(SENDERS), [transfer(0, 1), transfer(1, 1)]
        node.add(waiting)
        late = transfer(2, 1, **CLOCK)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.proposals.build_ahead, below.block.hash)
            await node.wait_ahead(2)
            node.commit(below)
            clock.now += 7
            node.add([late])
            built = await node.proposals.build()
        assert built == await fresh(below, [*waiting, late])
        kept = node.ledger.kept(built[0])
        assert kept is not None
        assert kept.header.timestamp == NOW + 7
        assert len(kept.transactions) == 3

    run(main)


@pytest.mark.parametrize("validator", [None, Address(b"\7" * 20)])
def test_nothing_is_built_for_another_ones_turn(clock: Clock, validator: Address | None) -> None:
    """Observers, and validators whose turn is not next, do nothing ahead."""

    async def main() -> None:
        node = Node(validator)
        await node.proposals.build_ahead(node.block(2).block.hash)
        assert node.ledger.ahead is None

    run(main)
