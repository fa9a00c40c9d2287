"""`kill -9` in the middle of pruning on RocksDB leaves a whole chain that can be pruned on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.blockstore import ChainView
from node.check import check
from node.prune import read_tail
from node.store import RocksStore
from tests.node.chains import ALICE, chain
from tests.system.cluster import ROOT, environment

pytestmark = [pytest.mark.process, pytest.mark.slow]

HEIGHTS = 60
KEPT = 5

PRUNER = """
import sys
from pathlib import Path
import node.prune
from node.blockstore import read_head
from node.store import RocksStore

node.prune.HEIGHTS_PER_BATCH = 2
store = RocksStore(Path(sys.argv[1]))
height = read_head(store)[0]


def step(*facts: int) -> None:
    print(*facts, flush=True)
    sys.stdin.readline()


node.prune.prune(store, height, int(sys.argv[2]), step)
store.close()
"""
"""What `qenex db prune` does, in batches of two heights; after each it prints, and waits."""


def prune_until(folder: Path, batches: int | None) -> None:
    """Prune in a process of its own, killed behind its batch with this number (None: not)."""
    command = [sys.executable, "-c", PRUNER, str(folder), str(KEPT)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for number, _ in enumerate(child.stdout, 1):
            if number == batches:
                child.kill()
                break
            child.stdin.write("\n")
            child.stdin.flush()
        code = child.wait(timeout=60)
    assert code == (0 if batches is None else -signal.SIGKILL)


def test_killed_pruning_goes_on(tmp_path: Path) -> None:
    """After each kill every height from the tail on is whole, and pruning goes on to its end.

    Kills: the tail written in another batch than the deletions below it; a tail that jumps to the
    end before the rows are gone.
    """
    store = RocksStore(tmp_path / "chain")
    chain(store, HEIGHTS)
    store.close()
    tails = [0]
    for batches in (1, 3, 2, 5):
        prune_until(tmp_path / "chain", batches)
        tails.append(checked_tail(tmp_path / "chain"))
    assert tails == sorted(set(tails)), "each run went on where the one before was killed"
    assert tails[-1] < HEIGHTS - KEPT
    prune_until(tmp_path / "chain", None)
    assert checked_tail(tmp_path / "chain") == HEIGHTS - KEPT
    prune_until(tmp_path / "chain", None)
    assert checked_tail(tmp_path / "chain") == HEIGHTS - KEPT


def checked_tail(folder: Path) -> int:
    """Return the oldest height of a chain that the deep check finds good."""
    store = RocksStore(folder)
    report = check(store, deep=True)
    assert report.errors == ()
    assert report.height == HEIGHTS
    tail = int(read_tail(store))
    view = ChainView(store)
    account = view.state_at(tail).account(ALICE)
    assert account is not None
    assert account.nonce == tail
    store.close()
    return tail
