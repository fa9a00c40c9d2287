"""Memory does not grow with the chain: caches stay within their bounds, history within `keep`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from genesis.document import load
from node import blockstore
from node.app import open_chain
from node.config import Settings, StateSection
from primitives.keyvalue import Column, MemoryStore
from scripts.bench_state import Maker, signed, write_document
from vm.pyevm.engine import PyEvmEngine
from vm.state.cache import ENTRY_BYTES, CachedStore
from vm.state.nodes import NodeCache

ACCOUNTS = 400
BLOCKS = 60
TRANSFERS = 8
KEPT = 6
CACHE_BYTES = 100 * ENTRY_BYTES
NODES_MAX = 200
BATCH_NODES_MAX = 120
"""More nodes than a block of this test makes."""

FINITE = {
    "node.explorer.explorer_pages",
    "primitives.crypto.kzg._load",
    "vm.pyevm.forks.table.computation_of",
    "vm.pyevm.forks.table.precompiles_of",
    "vm.pyevm.tracing.traced",
}
"""Asked only about forks, classes and our own files."""

OURS = ("consensus.", "genesis.", "node.", "p2p.", "primitives.", "vm.")


@pytest.mark.slow
def test_caches_stay_within_their_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many blocks no cache holds more than its bound, and history no more than is kept.

    Kills: a cache of rows, nodes, headers, blocks or receipts that forgets nothing; old values that
    are not pruned.
    """
    monkeypatch.setattr(blockstore, "HEADERS_CACHED_MAX", 5)
    monkeypatch.setattr(blockstore, "BLOCKS_CACHED_BYTES_MAX", 50_000)
    monkeypatch.setattr(blockstore, "RECEIPTS_CACHED_BYTES_MAX", 50_000)
    write_document(tmp_path / "genesis.json", ACCOUNTS)
    genesis = load(tmp_path / "genesis.json")
    below = MemoryStore()
    store = CachedStore(below, CACHE_BYTES)
    settings = Settings(tmp_path, state=StateSection("pruned", pruned_blocks=KEPT))
    blocks = open_chain(store, PyEvmEngine(), genesis, settings)
    maker = Maker(blocks, genesis)
    maker.executor.nodes = NodeCache(NODES_MAX)
    filled = {"rows": 0, "nodes": 0}
    for wanted in signed(ACCOUNTS, TRANSFERS, BLOCKS, 1):
        maker.make(wanted)
        view = blocks.view()
        assert view.block(view.height) is not None
        assert view.receipts(view.height) is not None
        filled["rows"] = max(filled["rows"], len(store))
        filled["nodes"] = max(filled["nodes"], len(maker.executor.nodes))
    assert 30 < filled["rows"] <= CACHE_BYTES // ENTRY_BYTES
    assert NODES_MAX // 2 < filled["nodes"] <= NODES_MAX + BATCH_NODES_MAX
    assert len(view._caches.headers) == 5
    assert 0 < len(view._caches.blocks) < BLOCKS // 2
    assert 0 < len(view._caches.receipts) < BLOCKS // 2
    assert len(list(below.scan(Column.DIFF))) == KEPT


def test_no_cache_of_answers_is_unbounded() -> None:
    """Every `lru_cache` of ours names how many answers it keeps."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith(OURS):
            for each in vars(module).values():
                if hasattr(each, "cache_parameters") and each.__module__ == name:
                    found[f"{name}.{each.__name__}"] = each.cache_parameters()["maxsize"]
    assert found["vm.state.store.hash_address"] == 65_536
    assert {name for name, most in found.items() if most is None} <= FINITE
