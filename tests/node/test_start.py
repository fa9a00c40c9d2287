"""Opening the chain of a folder: the first state is computed once, and the mode is obeyed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genesis.document import load
from genesis.writing import save
from node.app import open_chain
from node.blockstore import BlockStore, is_empty, read_document
from node.config import Settings, StateSection
from node.ledger import Ledger
from primitives.account import GenesisAccount
from primitives.errors import ConfigError
from primitives.keyvalue import Column, MemoryStore
from primitives.types import Address, Wei
from tests.node import nodes
from tests.node.nodes import extend
from vm.blocks import Executed
from vm.pyevm.engine import PyEvmEngine
from vm.state.first import WriteRows

GENESIS = nodes.GENESIS


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.json"
    save(GENESIS, path)
    return path


def start(store: MemoryStore, path: Path, history: str = "full", **sizes: int) -> BlockStore:
    """Open the chain as a node does."""
    genesis = load(path, known=read_document(store))
    settings = Settings(path.parent, state=StateSection(history, **sizes))
    return open_chain(store, PyEvmEngine(), genesis, settings)


def test_first_state_is_computed_once(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start reads no account of the document and executes nothing.

    Kills: a digest that is not kept; a document that is parsed whole each time.
    """
    store = MemoryStore()
    first = start(store, document).view()
    again = load(document, known=read_document(store))
    assert (again.has_alloc, dict(again.alloc), again.params) == (False, {}, GENESIS.params)
    monkeypatch.setattr("node.app.BlockExecutor", None)
    assert start(store, document).view().head_hash == first.head_hash


def test_start_after_a_crash_in_the_first_state(document: Path) -> None:
    """A first start that ended after some rows of the state leaves nothing to the next one.

    Kills: a chain that is there before its state; rows of another document kept.
    """
    whole, store = MemoryStore(), MemoryStore()
    start(whole, document)

    def make(write: WriteRows) -> Executed:
        write([(Column.ACCOUNT, b"left over", b"1"), (Column.TRIE, b"A", b"2")])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BlockStore.begin(store, make)
    assert is_empty(store)
    start(store, document)
    assert [list(store.scan(c)) for c in Column] == [list(whole.scan(c)) for c in Column]


def test_other_document_is_read_whole(document: Path, tmp_path: Path) -> None:
    """Another spelling of the same network opens and is known from then on; another network,
    however alike, is refused.
    """
    store = MemoryStore()
    own = start(store, document).view().genesis_hash
    spelled = tmp_path / "spelled.json"
    spelled.write_text(document.read_text() + "\n")
    assert load(spelled, known=read_document(store)).has_alloc
    assert start(store, spelled).view().genesis_hash == own
    assert read_document(store) == load(spelled).summary
    other = tmp_path / "other.json"
    alloc = {**GENESIS.alloc, Address(b"\x01" * 20): GenesisAccount(Wei(1))}
    save(replace(GENESIS, alloc=alloc), other)
    with pytest.raises(ConfigError, match="another chain"):
        start(store, other)
    assert read_document(store) == load(spelled).summary


def test_chain_of_before_learns_its_document(document: Path) -> None:
    """A store that knows no document computes the first state, and then knows it."""
    store = MemoryStore()
    start(store, document)
    store.write([(Column.META, b"document", None)], sync=True)
    start(store, document)
    assert read_document(store) == load(document).summary


@pytest.mark.parametrize(
    ("history", "sizes", "tail"),
    [
        ("archive", {"full_blocks": 1, "pruned_blocks": 1}, 0),
        ("full", {"full_blocks": 4, "pruned_blocks": 1}, 2),
        ("pruned", {"full_blocks": 1, "pruned_blocks": 5}, 1),
        ("full", {}, 0),
        ("pruned", {}, 0),
    ],
)
def test_mode_decides_what_is_kept(
    document: Path, history: str, sizes: dict[str, int], tail: int
) -> None:
    """Each mode keeps its own number of heights; the defaults are 10,000 and 128."""
    ledger = Ledger(start(MemoryStore(), document, history, **sizes), PyEvmEngine(), GENESIS.params)
    for _ in range(6):
        extend(ledger)
    assert ledger.view.tail == tail
    assert (StateSection().keep, StateSection("pruned").keep) == (10_000, 128)
    assert StateSection("archive").keep is None
