"""Four whole validators sync their logs twice a height and their stores once, whoever proposes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import trio

from consensus.messages import Kind
from consensus.wal import Intent, Record
from node.wal import Wal
from primitives.keyvalue import Write
from tests.node.faulty_files import Disk
from tests.node.faulty_store import FaultyStore
from tests.sim.whole import VALIDATORS, WholeWorld

HEIGHTS_MIN = 8
SEED = 2
"""A run without a second round; who gets a block by sync before it has voted syncs less."""


class CalmWorld(WholeWorld):
    """A run in which nothing goes wrong, and no segment of a log is replaced."""

    async def _trouble(self) -> None:
        await trio.sleep_forever()

    def _stand_ins(self) -> list[tuple[object, str, object]]:
        return [each for each in super()._stand_ins() if each[1] != "SEGMENT_BYTES_MAX"]


def test_syncs_of_a_height() -> None:
    """A prevote is one sync, a precommit another, the commit the third; a proposal is none.

    Kills: a sync for the proposal alone, for a checkpoint, for a block's transactions alone; a
    commit that is not synced.
    """
    log_syncs: Counter[tuple[str, int]] = Counter()
    proposed: set[tuple[str, int]] = set()
    store_syncs: Counter[int] = Counter()
    append, write, fsync = Wal.append, FaultyStore.write, Disk.fsync
    syncs = [0]

    def count_fsync(disk: Disk, handle: int) -> None:
        syncs[0] += 1
        fsync(disk, handle)

    def count_append(wal: Wal, records: Sequence[Record]) -> None:
        before, is_new = syncs[0], wal._file is None
        append(wal, records)
        place = str(wal._folder.parent.name), records[-1].height
        if not is_new:
            log_syncs[place] += syncs[0] - before
        if any(isinstance(r, Intent) and r.message.kind is Kind.PROPOSAL for r in records):
            proposed.add(place)

    def count_write(store: FaultyStore, batch: Iterable[Write], *, sync: bool) -> None:
        store_syncs[id(store)] += sync
        write(store, batch, sync=sync)

    counted: list[tuple[object, str, Any]] = [
        (Disk, "fsync", count_fsync),
        (Disk, "fdatasync", count_fsync),
        (Wal, "append", count_append),
        (FaultyStore, "write", count_write),
    ]
    with ExitStack() as stack:
        for target, name, counting in counted:
            stack.enter_context(patch.object(target, name, counting))
        outcome = CalmWorld(SEED).run()
    assert outcome.heights >= HEIGHTS_MIN
    whole = {place: syncs for place, syncs in log_syncs.items() if 2 < place[1] < outcome.heights}
    assert len({folder for folder, _ in whole}) == len(store_syncs) == VALIDATORS
    assert {height for _, height in proposed} >= {height for _, height in whole}
    assert max(whole.values()) == 2
    assert {whole[place] for place in proposed & whole.keys()} == {2}
    # Beside the commits a store is synced once, with the first block of all.
    assert all(outcome.heights <= each <= outcome.heights + 1 for each in store_syncs.values())
