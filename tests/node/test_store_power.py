"""The store on a real disk, ended inside a commit: the head is the old block or the new one."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from node.blockstore import BlockStore, is_empty
from node.store import RocksStore
from primitives.types import Hash32
from tests.node.chains import certificate_of, chain, genesis, next_block
from tests.node.faulty_files import Disk, Killed
from tests.node.faulty_store import FaultyStore

CUTS = 24
EDGE_BYTES = 6
"""Around the beginning and the end of what a commit writes each byte is a boundary of its own."""
COMMITS = 3
SEEDS = 8


def newest_log(folder: Path) -> Path:
    """Return RocksDB's own log, in which a batch stands before it is anywhere else."""
    return max(folder.glob("*.log"), key=lambda path: int(path.stem))


@pytest.mark.slow
def test_cut_inside_a_commit(tmp_path: Path) -> None:
    """Cut at any of its bytes, a commit is there whole or not at all, and the chain goes on.

    Planted bug that this kills: a block and its head written as two batches.
    """
    live = tmp_path / "live"
    store = RocksStore(live)
    blocks = chain(store, 3)
    before = newest_log(live).stat().st_size
    executed = next_block(blocks.view())
    certificate = certificate_of(executed.block)
    blocks.commit(executed, certificate)
    after = newest_log(live).stat().st_size
    assert after > before
    edges = {*range(before, before + EDGE_BYTES), *range(after - EDGE_BYTES, after + 1)}
    for cut in sorted(edges | {*range(before, after, (after - before) // CUTS)}):
        folder = tmp_path / str(cut)
        shutil.copytree(live, folder, ignore=shutil.ignore_patterns("LOCK"))
        with newest_log(folder).open("r+b") as file:
            file.truncate(cut)
        again = RocksStore(folder)
        opened = BlockStore.open(again, genesis().block.hash)
        height = 4 if cut == after else 3
        assert opened.view().height == height
        if height == 3:
            opened.commit(executed, certificate)
        assert opened.view().block(4) == executed.block
        assert opened.view().certificate(4) == certificate
        again.close()
    store.close()


def live(store: FaultyStore, committed: list[Hash32]) -> None:
    """Open the chain, find every block whose commit returned, and commit some more."""
    first = genesis()
    if is_empty(store):
        assert not committed, "the chain is gone"
        blocks = BlockStore.create(store, first, keep=2)
    else:
        blocks = BlockStore.open(store, first.block.hash, keep=2)
    view = blocks.view()
    assert [view.block_hash(height + 1) for height in range(len(committed))] == committed
    newer = range(len(committed) + 1, view.height + 1)
    committed += [view.block_hash(height) or Hash32(b"") for height in newer]
    for _ in range(COMMITS):
        following = next_block(blocks.view())
        blocks.commit(following, certificate_of(following.block))
        committed.append(following.block.hash)


def test_every_boundary_of_the_store() -> None:
    """Killed before or after any batch, then without power: no block that was committed is lost.

    Planted bug that this kills: a commit that is not synced.
    """
    disk = Disk()
    store, told = FaultyStore(disk), list[Hash32]()
    live(store, told)
    live(store, told)
    calls = disk.calls
    assert calls >= 2 * (2 * COMMITS + 1)
    for at in range(1, calls + 1):
        for seed in range(SEEDS):
            random, disk = Random(f"{at}/{seed}"), Disk()
            store, told = FaultyStore(disk), []
            for life in range(3):
                disk.kill_at = disk.calls + (at if life == 0 else random.randint(1, calls))
                with suppress(Killed):
                    live(store, told)
                disk.kill_at = -1
                if random.random() < 0.6:
                    store.cut_power(random)
            live(store, told)
