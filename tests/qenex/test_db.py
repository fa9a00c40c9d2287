"""`qenex db` on a real folder: prove it, prune it, change its mode, and never by half."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis.document import load
from genesis.writing import save
from node.app import open_chain
from node.blockstore import SCHEMA_KEY
from node.config import Settings, StateSection
from node.folder import DataFolder
from node.ledger import Ledger
from node.store import RocksStore
from primitives.errors import HistoryPruned
from primitives.keyvalue import Column
from qenex.cli import main
from tests.node import nodes
from tests.node.nodes import extend, transfer
from vm.pyevm.engine import PyEvmEngine

BLOCKS = 8


def grow(folder: Path, count: int, history: str = "archive", keep: int = 2) -> int:
    """Run the chain of a folder for some blocks, in a mode; return its tail."""
    home = DataFolder(folder)
    store = RocksStore(home.chain)
    engine, state = PyEvmEngine(), StateSection(history, full_blocks=keep)
    blocks = open_chain(store, engine, load(home.genesis), Settings(folder, state=state))
    ledger = Ledger(blocks, engine, nodes.GENESIS.params)
    for _ in range(count):
        extend(ledger, [transfer(nonce=ledger.view.height)])
    tail = int(ledger.view.tail)
    store.close()
    return tail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(nodes.GENESIS, DataFolder(tmp_path).genesis)
    assert grow(tmp_path, BLOCKS) == 0
    return tmp_path


@pytest.mark.slow
def test_check_and_prune(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A deep check passes before and after pruning, names the tail, and leaves no scratch."""
    (folder / "scratch").mkdir()
    (folder / "scratch" / "left by a crash").write_text("")
    assert main(["db", "check", "--deep", "--data-dir", str(folder)]) == 0
    assert "state since height 0" in capsys.readouterr().out
    assert main(["db", "prune", "--keep", "3", "--data-dir", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert shown == f"state since height 5 (before: 0), head {BLOCKS}\n"
    assert main(["db", "check", "--deep", "--data-dir", str(folder)]) == 0
    assert "state since height 5" in capsys.readouterr().out
    assert not (folder / "scratch").exists()


@pytest.mark.slow
def test_damaged_past_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed old value fails the deep check with exit code 1, and only that one."""
    store = RocksStore(folder / "chain")
    key, value = next(iter(store.scan(Column.INDEX, b"a")))
    store.write([(Column.INDEX, key, value[:-1] + bytes([value[-1] ^ 1]))], sync=True)
    store.close()
    assert main(["db", "check", "--data-dir", str(folder)]) == 0
    assert main(["db", "check", "--deep", "--data-dir", str(folder)]) == 1
    assert "DAMAGED" in capsys.readouterr().out


@pytest.mark.slow
def test_modes_change_on_one_folder(folder: Path) -> None:
    """archive -> full prunes with the next blocks, full -> archive grows again from the tail."""
    assert grow(folder, 1, "full") == BLOCKS + 1 - 2
    assert grow(folder, 4, "archive") == BLOCKS + 1 - 2
    assert main(["db", "check", "--deep", "--data-dir", str(folder)]) == 0


@pytest.mark.slow
def test_errors_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A layout that is not ours, a folder without a chain and a wrong number are refused."""
    store = RocksStore(folder / "chain")
    store.write([(Column.META, SCHEMA_KEY, b"\x01")], sync=True)
    store.close()
    assert main(["db", "prune", "--keep", "3", "--data-dir", str(folder)]) == 2
    assert "run the node on it once" in capsys.readouterr().err
    assert main(["db", "prune", "--keep", "0", "--data-dir", str(folder)]) == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["db", "prune", "--keep", "3", "--data-dir", str(empty)]) == 2
    assert "is not a data folder" in capsys.readouterr().err


@pytest.mark.slow
def test_state_of_before_on_disk(folder: Path) -> None:
    """RocksDB gives each height's state, also from a view that is older than the head."""
    store = RocksStore(folder / "chain")
    engine = PyEvmEngine()
    genesis = load(folder / "genesis.json")
    blocks = open_chain(
        store, engine, genesis, Settings(folder, state=StateSection("full", full_blocks=2))
    )
    ledger = Ledger(blocks, engine, nodes.GENESIS.params)
    view, sender = ledger.view, nodes.SENDERS[0].address
    extend(ledger)
    nonces = [each.nonce for h in range(BLOCKS + 1) if (each := view.state_at(h).account(sender))]
    assert nonces == list(range(BLOCKS + 1))
    for height in range(BLOCKS + 1):
        header = view.header(height)
        assert header is not None
        proof = view.prover_at(height).prove(sender)
        assert proof.account is not None
        assert proof.account.nonce == height
    with pytest.raises(HistoryPruned):
        ledger.view.state_at(BLOCKS - 2)
    store.close()
