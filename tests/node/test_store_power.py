"""The store on a real disk, ended inside a commit: the head is the old block or the new one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from node.blockstore import BlockStore
from node.store import RocksStore
from tests.node.chains import certificate_of, chain, genesis, next_block

CUTS = 10


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
    steps = (after - before) // CUTS
    for cut in sorted({*range(before, after, steps), after - 1, after}):
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
