"""The official conformance chain, imported into memory and served read-only."""

from __future__ import annotations

from functools import cache

from node.pool import PoolLimits
from node.publicstore import PublicStore
from node.readonly import ReadOnlyNode
from primitives.ethereum import split_blocks
from primitives.keyvalue import MemoryStore
from tests.vectors import vectors
from vm.pyevm.engine import make_engine


@cache
def imported() -> PublicStore:
    """Return the store that holds the 54 blocks; it is only read."""
    genesis = vectors("execution-apis", "genesis.json").read_bytes()
    made = PublicStore(MemoryStore(), make_engine(allow_unprotected=True), genesis)
    for raw in split_blocks(vectors("execution-apis", "chain.rlp").read_bytes()):
        made.add(raw)
    return made


def read_only_node() -> ReadOnlyNode:
    """Return a fresh node with an empty pool over the imported chain."""
    store = imported()
    engine = make_engine(allow_unprotected=True)
    return ReadOnlyNode(store.view(), store.genesis, engine, PoolLimits())
