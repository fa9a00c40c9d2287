"""Trie nodes: what they are when decoded, and a bounded cache of encoded ones by reference.

A reference holds its node's Keccak-256 hash: a node never changes under its reference, so nothing
in the cache is ever invalidated, whatever blocks are built, dropped or committed, and all states
of a chain may share one. Only nodes that were made are kept, not those that were read: a block that
opens a node makes the one that takes its place.

Bound: NODES_MAX nodes and those that one batch makes, in two halves: when the young one is full it
becomes the old one, and what was the old one is forgotten. A node takes its encoding, at most 532
bytes in the state's tries, and some 230 bytes beside it. Safe from any thread: each step is one
step of a dict, and what two threads overwrite of each other is forgotten, nothing else.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from primitives.errors import StoreCorrupt
from vm.state.encoding import rlp_list, rlp_string, split_list, string_of
from vm.state.paths import Nibbles, pack_path, unpack_path

NODES_MAX: Final = 32_768
BRANCH_ITEMS: Final = 17

Branch: TypeAlias = list[bytes]
"""Sixteen references and a value, each encoded; EMPTY_ITEM where there is none."""

Short: TypeAlias = tuple[bool, Nibbles, bytes]
"""Leaf (True, rest of the key, encoded value) or extension (False, shared path, reference)."""

Node: TypeAlias = Branch | Short


def decode_node(encoded: bytes) -> Node:
    """Return the open node; raises StoreCorrupt when it is neither branch, extension nor leaf."""
    items = split_list(encoded)
    if len(items) == BRANCH_ITEMS:
        return items
    if len(items) != 2:
        raise StoreCorrupt(f"a trie node has {len(items)} items")
    path, is_leaf = unpack_path(string_of(items[0]))
    return (is_leaf, path, items[1])


def encode_node(node: Node) -> bytes:
    """Return the RLP encoding of an open node."""
    if isinstance(node, list):
        return rlp_list(node)
    is_leaf, path, item = node
    return rlp_list([rlp_string(pack_path(path, is_leaf)), item])


class NodeCache:
    """The trie nodes made last, by reference; who makes one puts it into `young`."""

    def __init__(self, nodes_max: int = NODES_MAX) -> None:
        self._half_max = nodes_max // 2
        self.young: dict[bytes, bytes] = {}
        self.old: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def get(self, reference: bytes) -> bytes | None:
        """Return the node, or None."""
        return self.young.get(reference) or self.old.get(reference)

    def settle(self) -> None:
        """Forget the oldest nodes when there are too many; called after each batch."""
        if len(self.young) > self._half_max or len(self) > 2 * self._half_max:
            self.old, self.young = self.young, {}
