"""Which blocks to ask from which peer: bookkeeping of a catch-up, pure, with the time handed in.

The heights above the head, up to WINDOW_BLOCKS of them, are cut into batches. A free peer takes the
lowest ones that nobody has; what arrives waits until its turn comes. When the very next batch is
late, another peer may take it over. What a peer sent is forgotten when it turns out to be a liar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from node.wire import SYNC_BLOCKS_MAX
from primitives.types import Height

WINDOW_BLOCKS: Final = 8 * SYNC_BLOCKS_MAX
LATE_S: Final = 2.0

B = TypeVar("B")


@dataclass(slots=True)
class _Batch(Generic[B]):
    """`count` heights, asked from `peer` at `asked_at`; `blocks` once they are here."""

    count: int
    peer: str
    asked_at: float
    blocks: list[B] | None = None


class Batches(Generic[B]):
    """The batches under way or here, by their first height; they never overlap."""

    def __init__(self) -> None:
        self._batches: dict[int, _Batch[B]] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def take(self, peer: str, peer_head: int, height: int, now: float) -> tuple[Height, int] | None:
        """Return (first, count) for a peer to fetch, or None when there is nothing for it.

        `height` is our head's, `peer_head` the peer's.
        """
        self._forget_below(height)
        at, end = height + 1, min(peer_head, height + WINDOW_BLOCKS) + 1
        for first in sorted(self._batches):
            if first > at:
                break
            batch = self._batches[first]
            is_late = batch.blocks is None and now - batch.asked_at > LATE_S
            is_mine = first + batch.count <= end and batch.peer != peer
            if first == height + 1 and is_late and is_mine:
                batch.peer, batch.asked_at = peer, now
                return Height(first), batch.count
            at = first + batch.count
        later = min((first for first in self._batches if first > at), default=end)
        count = min(SYNC_BLOCKS_MAX, later - at, end - at)
        if count <= 0:
            return None
        self._batches[at] = _Batch(count, peer, now)
        return Height(at), count

    def put(self, peer: str, first: int, blocks: list[B]) -> bool:
        """Keep what a peer sent for a batch, at most as many as asked; False when nobody waits.

        What is missing at the end can be taken again.
        """
        batch = self._batches.get(first)
        if batch is None or batch.blocks is not None:
            return False
        batch.peer, batch.blocks = peer, blocks[: batch.count]
        batch.count = len(batch.blocks)
        if not batch.blocks:
            del self._batches[first]
        return True

    def give_up(self, peer: str) -> None:
        """Forget what was asked from a peer and has not come."""
        self._drop(lambda batch: batch.peer == peer and batch.blocks is None)

    def distrust(self, peer: str) -> None:
        """Forget all that came or was to come from a peer."""
        self._drop(lambda batch: batch.peer == peer)

    def pop(self, height: int) -> tuple[str, list[B]] | None:
        """Return (peer, blocks) of the batch that begins right above `height`, if it is here."""
        self._forget_below(height)
        batch = self._batches.get(height + 1)
        if batch is None or batch.blocks is None:
            return None
        del self._batches[height + 1]
        return batch.peer, batch.blocks

    def _forget_below(self, height: int) -> None:
        """Drop what the head has passed by another way; a batch in its middle is asked anew."""
        for first in [first for first in self._batches if first <= height]:
            del self._batches[first]

    def _drop(self, chosen: Callable[[_Batch[B]], bool]) -> None:
        self._batches = {
            first: batch for first, batch in self._batches.items() if not chosen(batch)
        }
