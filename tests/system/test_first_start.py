"""`kill -9` while the first state is written leaves a folder that begins again, cleanly."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genesis.document import load
from node.app import open_chain
from node.blockstore import is_empty, read_document
from node.check import check
from node.config import Settings
from node.store import RocksStore
from primitives.keyvalue import Column
from scripts.bench_state import write_document
from tests.system.cluster import ROOT, environment
from vm.pyevm.engine import PyEvmEngine

pytestmark = [pytest.mark.process, pytest.mark.slow]

ACCOUNTS = 1_000

STARTER = """
import sys
from pathlib import Path
import vm.state.first
from genesis.document import load
from node.app import open_chain
from node.config import Settings
from node.store import RocksStore
from vm.pyevm.engine import PyEvmEngine

class Loud(RocksStore):
    def write(self, batch, *, sync):
        super().write(batch, sync=sync)
        print("written", flush=True)

vm.state.first.ROWS_PER_BATCH = 100
folder = Path(sys.argv[1])
open_chain(Loud(folder / "chain"), PyEvmEngine(), load(folder / "genesis.json"), Settings(folder))
print("open", flush=True)
"""
"""Begins a chain as a node does, in small batches, with a line after each."""


def kill_after(folder: Path, batches: int) -> None:
    """Begin the chain in a process of its own, killed behind its batch with this number."""
    command = [sys.executable, "-c", STARTER, str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for number, line in enumerate(child.stdout, 1):
            assert line == "written\n", "killed before the chain was there"
            if number == batches:
                child.kill()
                break
        assert child.wait(timeout=60) == -signal.SIGKILL


def test_killed_first_start_begins_again(tmp_path: Path) -> None:
    """What a killed start left is no chain; the next start leaves what an undisturbed one does.

    Kills: META written with the first rows; a start that keeps the rows of the one before it.
    """
    write_document(tmp_path / "genesis.json", ACCOUNTS)
    for batches in (1, 20):
        kill_after(tmp_path, batches)
        store = RocksStore(tmp_path / "chain")
        assert is_empty(store)
        assert next(iter(store.scan(Column.ACCOUNT)), None) is not None
        store.write([(Column.TRIE, b"A" + bytes(70), b"left over")], sync=True)
        store.close()
    store = RocksStore(tmp_path / "chain")
    genesis = load(tmp_path / "genesis.json", known=read_document(store))
    view = open_chain(store, PyEvmEngine(), genesis, Settings(tmp_path)).view()
    report = check(store, deep=True)
    assert report.errors == ()
    assert (view.height, report.accounts) == (0, len(genesis.alloc))
    store.close()
