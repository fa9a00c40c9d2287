"""Batches cover every height once, whoever is slow, gone or a liar."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from node.batches import LATE_S, WINDOW_BLOCKS, Batches
from node.wire import SYNC_BLOCKS_MAX


def test_peers_take_different_heights() -> None:
    """Free peers share the window, none beyond its own head."""
    batches: Batches[int] = Batches()
    taken = [batches.take(peer, 150, 0, 0.0) for peer in "abcd"]
    assert taken == [(1, 64), (65, 64), (129, 22), None]
    assert batches.take("e", 10_000, 0, 0.0) == (151, SYNC_BLOCKS_MAX)


def test_window_is_bounded() -> None:
    """However far ahead a peer is, only WINDOW_BLOCKS are under way (bug: memory without end)."""
    batches: Batches[int] = Batches()
    counts = []
    while (taken := batches.take("a", 10**9, 5, 0.0)) is not None:
        counts.append(taken[1])
    assert sum(counts) == WINDOW_BLOCKS


def test_late_batch_goes_to_another() -> None:
    """The next batch is taken over when it is late, not before, and not by the same peer."""
    batches: Batches[int] = Batches()
    assert batches.take("slow", 64, 0, 0.0) == (1, 64)
    assert batches.take("quick", 64, 0, LATE_S) is None
    assert batches.take("slow", 64, 0, LATE_S + 1) is None
    assert batches.take("quick", 64, 0, LATE_S + 1) == (1, 64)
    assert batches.put("quick", 1, list(range(1, 65)))
    assert not batches.put("slow", 1, [0])


@given(st.integers(0, 2**32), st.integers(1, 700))
def test_every_height_is_applied_once_in_order(seed: int, target: int) -> None:
    """Whatever peers do, heights come in order and none twice; honest ones bring it to the end.

    Kills: counting a short answer as whole; keeping what a liar sent.
    """
    chance = random.Random(seed)
    batches: Batches[tuple[int, bool]] = Batches()
    pending: list[tuple[str, int, int]] = []
    height, now = 0, 0.0
    for step in range(4_000):
        now += chance.random()
        is_late = step > 2_000
        peer = chance.choice("abc") if not is_late else "a"
        head = target if peer == "a" else chance.randrange(target + 1)
        match chance.randrange(5):
            case 0:
                taken = batches.take(peer, head, height, now)
                if taken is not None:
                    assert height < taken[0] <= taken[0] + taken[1] - 1 <= head
                    pending.append((peer, *taken))
            case 1 if pending:
                sender, first, count = pending.pop(chance.randrange(len(pending)))
                size = chance.randrange(1, count + 1)
                good = sender != "c"
                batches.put(sender, first, [(each, good) for each in range(first, first + size)])
            case 2 if chance.random() < 0.3:
                batches.give_up(peer)
                pending = [each for each in pending if each[0] != peer]
            case _:
                ready = batches.pop(height)
                if ready is None:
                    continue
                sender, blocks = ready
                for number, good in blocks:
                    assert number == height + 1
                    if not good:
                        batches.distrust(sender)
                        break
                    height += 1
        if height == target:
            break
    assert height == target
