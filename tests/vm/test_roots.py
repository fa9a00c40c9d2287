"""The ordered root equals the trie of RLP(index) -> item."""

from __future__ import annotations

import pytest
from trie.hexary import HexaryTrie

from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.types import EMPTY_ROOT
from vm.state.roots import ordered_root


@pytest.mark.parametrize("count", [0, 1, 2, 16, 127, 128, 129, 257])
@pytest.mark.parametrize("size", [1, 31, 110, 300])
def test_equals_reference(count: int, size: int) -> None:
    """Every count, across the borders of RLP's one- and two-byte integers, gives HexaryTrie's root.

    Kills: index 0 encoded as a zero byte; index 128 encoded as one byte.
    """
    items = [(keccak(bytes([n & 255, n >> 8])) * 10)[:size] for n in range(count)]
    reference = HexaryTrie({})
    for index, item in enumerate(items):
        reference[encode(uint(index))] = item
    assert ordered_root(items) == reference.root_hash


def test_order_counts() -> None:
    """Swapped items give another root; no items give the empty root."""
    assert ordered_root([b"a", b"b"]) != ordered_root([b"b", b"a"])
    assert ordered_root([]) == EMPTY_ROOT


def test_large_item() -> None:
    """An item above 64 kB (three length bytes) gives HexaryTrie's root."""
    reference = HexaryTrie({})
    reference[b"\x80"] = bytes(70_000)
    assert ordered_root([bytes(70_000)]) == reference.root_hash
