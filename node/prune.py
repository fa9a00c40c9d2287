"""How much state of the past a node keeps, and how the rest goes.

The tail is the oldest height whose state can be read; it stands in META and moves in the same batch
as the deletions, so a crash leaves every height from the tail to the head whole. While the node
runs, each block's batch also prunes what fell out of the kept range, some heights at a time: after
a change to a shorter history the tail catches up within the next blocks. `prune` does it at once.
A longer history cannot be made of a shorter one: it grows from the tail.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from primitives.errors import StoreCorrupt
from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write
from primitives.types import Height
from vm.state.history import forget_writes, height_key

TAIL_KEY: Final = b"tail"
HEIGHTS_PER_BLOCK: Final = 8
ROWS_PER_BLOCK: Final = 20_000
HEIGHTS_PER_BATCH: Final = 1_000
"""Bounds of one batch; a height is never split, so one more height may go above the rows."""


def read_tail(store: KeyValueReader) -> Height:
    """Return the oldest height whose state can be read; raises StoreCorrupt."""
    raw = store.get(Column.META, TAIL_KEY)
    if raw is None or len(raw) != len(height_key(0)):
        raise StoreCorrupt("the record of the oldest state is missing in the data folder")
    return Height(int.from_bytes(raw, "big"))


def set_tail(height: int) -> Write:
    """Return the write that makes `height` the oldest whose state can be read."""
    return (Column.META, TAIL_KEY, height_key(height))


def prune_step(
    store: KeyValueReader, tail: int, wanted: int, heights_max: int
) -> tuple[list[Write], int]:
    """Return the writes that move the tail towards `wanted`, and where it is then.

    One step: at most `heights_max` heights, and no further one above ROWS_PER_BLOCK rows. Raises
    StoreCorrupt when a height between them has no old values.
    """
    rows: list[Write] = []
    end = min(wanted, tail + heights_max)
    while tail < end and len(rows) < ROWS_PER_BLOCK:
        diff = store.get(Column.DIFF, height_key(tail + 1))
        if diff is None:
            raise StoreCorrupt(f"the old values of block {tail + 1} are missing")
        tail += 1
        rows += forget_writes(tail, diff)
    return ([*rows, set_tail(tail)] if rows else []), tail


class Retention:
    """The rule of one running node: `keep` heights below the head stay readable (None: all)."""

    def __init__(self, store: KeyValueReader, keep: int | None) -> None:
        self._store = store
        self._keep = keep

    def prune_writes(self, head: int) -> list[Write]:
        """Return what the batch of the block at `head` adds, to forget what is too old."""
        if self._keep is None:
            return []
        # The new block's own old values are not stored yet, and never pruned with it.
        wanted = min(head - self._keep, head - 1)
        return prune_step(self._store, read_tail(self._store), wanted, HEIGHTS_PER_BLOCK)[0]


def prune(
    store: KeyValue, head: int, keep: int, progress: Callable[[str, int, int], None]
) -> tuple[int, int]:
    """Prune to `keep` heights below `head` at once; return the tail before and after.

    Every batch is whole by itself, so it may be interrupted anywhere and run again.
    """
    first = read_tail(store)
    tail = int(first)
    wanted = max(first, head - keep)
    while tail < wanted:
        writes, tail = prune_step(store, tail, wanted, HEIGHTS_PER_BATCH)
        store.write(writes, sync=True)
        progress("heights", tail - first, wanted - first)
    return first, tail


def clear(store: KeyValue) -> None:
    """Remove every row: what is left of a first state whose chain never came to be."""
    for column in Column:
        rows = store.scan(column)
        while batch := [(column, key, None) for key, _ in islice(rows, ROWS_PER_BLOCK)]:
            store.write(batch, sync=False)
