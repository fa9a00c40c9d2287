"""Tries from sorted rows, whole or below one path, in one pass whose memory does not grow.

Checks of a whole state and proofs of the past walk their rows one by one (`walk_trie`,
`walk_below`). A first state is built in parts, all keys with one first byte each, which is quicker
and needs memory for 1/256 of the keys (`build_in_parts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from primitives.errors import ensure
from primitives.types import EMPTY_ROOT, Hash32
from vm.state.encoding import EMPTY_ITEM, rlp_string
from vm.state.nodes import BRANCH_ITEMS, Node
from vm.state.paths import Nibbles, nibbles_of
from vm.state.trie import Batch, Entry, WriteNode, no_node


def walk_trie(items: Iterable[tuple[bytes, bytes]], visit: WriteNode) -> Hash32:
    """Return the root of the trie that holds exactly `items`, and `visit` each of its nodes.

    The keys ascend, have one length and no empty value. Memory does not grow with their number,
    which is what checks of a whole state need; `build_trie` is quicker for what fits in memory.
    """
    cursor = _Cursor((nibbles_of(key), rlp_string(value), key) for key, value in items)
    if cursor.now is None:
        return EMPTY_ROOT
    work = Batch(no_node, visit)
    return work.seal_root(_walk(work, cursor, 0))


def walk_below(path: Nibbles, items: Iterable[tuple[bytes, bytes]], visit: WriteNode) -> bytes:
    """Return the reference to the node at `path` of a trie, and `visit` it and each one below.

    `items` are all that the trie holds below `path`, as for `walk_trie`. EMPTY_ITEM if none.
    """
    cursor = _Cursor((nibbles_of(key), rlp_string(value), key) for key, value in items)
    work = Batch(no_node, visit)
    node = _walk(work, cursor, len(path))
    return EMPTY_ITEM if node is None else work.seal(node, path)


class _Cursor:
    """Two neighbouring rows of an ascending sequence."""

    def __init__(self, rows: Iterator[tuple[Nibbles, bytes, bytes]]) -> None:
        self._rows = rows
        self.now = next(rows, None)
        self.then = next(rows, None)

    def move(self) -> None:
        """Go one row on."""
        ensure(
            self.then is None or (self.now is not None and self.now[0] < self.then[0]),
            "the keys of a walk ascend",
        )
        self.now, self.then = self.then, next(self._rows, None)


def build_in_parts(
    parts: Iterable[list[tuple[bytes, bytes]]], write: WriteNode, prefix: bytes
) -> Hash32:
    """Return the root of a new trie whose nodes stand under `prefix`; `write` takes each of them.

    `parts` ascend; each holds the ascending keys with one first byte, and their values encoded.
    """
    work = Batch(no_node, write, base=len(prefix))
    top: dict[int, Node | None] = {}
    below: dict[int, Node | None] = {}
    high = 0
    for part in parts:
        first = part[0][0][0]
        if first >> 4 != high and below:
            top[high] = _branch(work, below, prefix + bytes((high,)))
            below = {}
        high = first >> 4
        entries: list[Entry] = [(prefix + nibbles_of(key), item, key) for key, item in part]
        below[first & 15] = work.build(entries, 0, len(entries), len(prefix) + 2)
    if below:
        top[high] = _branch(work, below, prefix + bytes((high,)))
    return work.seal_root(_branch(work, top, prefix), prefix)


def _branch(work: Batch, children: dict[int, Node | None], path: Nibbles) -> Node | None:
    return work.close([EMPTY_ITEM] * BRANCH_ITEMS, children, path)


def _walk(work: Batch, cursor: _Cursor, depth: int) -> Node | None:
    """Return the node of all rows that share `depth` nibbles with the current one."""
    row = cursor.now
    if row is None:
        return None
    path = row[0][:depth]
    if cursor.then is None or not cursor.then[0].startswith(path):
        cursor.move()
        return (True, row[0][depth:], row[1])
    changed: dict[int, Node | None] = {}
    while row is not None and row[0].startswith(path):
        changed[row[0][depth]] = _walk(work, cursor, depth + 1)
        row = cursor.now
    return work.close([EMPTY_ITEM] * BRANCH_ITEMS, changed, path)
