"""The Merkle Patricia trie, updated by whole batches, its nodes kept by path.

One sorted pass applies all insertions, changes and deletions of a block: each touched node is read,
encoded and hashed once, whatever the size of the batch. Nodes stand under their path from the root
(one byte, 0..15, for each nibble), so a new version of a node replaces the old one and nothing is
left behind. Source: Yellow Paper appendix D.

How it works
- A reference to a child is the child's encoding when that has less than 32 bytes, otherwise its
  hash. Only nodes referred to by hash, and the root, have an entry of their own.
- Recursion returns nodes that are not yet encoded ("open"); the parent encodes ("seals") them when
  it knows that they stay. A branch left with one child, or an extension whose child shrank, joins
  with it instead (`_join`).
- Opening a stored node marks its path as deleted; sealing a node there takes the mark away. Thus
  the paths of nodes that moved or went are deleted without a second pass.
- A node that is read is compared with the hash its parent has: a stale or damaged entry raises
  StoreCorrupt instead of giving a wrong root.

Keys may have any length and one may begin with another, as the official vectors have it; the state
uses 32-byte hashes only. The empty value means "no such key".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from primitives.crypto.keccak import keccak
from primitives.errors import StoreCorrupt, ensure
from primitives.types import EMPTY_ROOT, Hash32
from vm.state.encoding import (
    EMPTY_ITEM,
    LIST,
    rlp_list,
    rlp_prefix,
    rlp_string,
    split_list,
    string_of,
)

Nibbles: TypeAlias = bytes
"""A path: one byte, 0..15, for each nibble."""

Branch: TypeAlias = list[bytes]
"""Sixteen references and a value, each encoded; EMPTY_ITEM where there is none."""

Short: TypeAlias = tuple[bool, Nibbles, bytes]
"""Leaf (True, rest of the key, encoded value) or extension (False, shared path, reference)."""

Node: TypeAlias = Branch | Short
Entry: TypeAlias = tuple[Nibbles, bytes | None]
"""One change of a batch: path of the key, encoded value, or None to delete."""

ReadNode: TypeAlias = Callable[[Nibbles], bytes | None]
WriteNode: TypeAlias = Callable[[Nibbles, bytes | None], None]

BRANCH_ITEMS = 17
_NIBBLE_OF_HEX = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))
_HEX_OF_NIBBLE = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")
_ONE = [bytes((nibble,)) for nibble in range(16)]


@dataclass(frozen=True, slots=True)
class TrieUpdate:
    """The root after a batch, and the node entries to write: path -> encoding, None to delete."""

    root: Hash32
    nodes: dict[Nibbles, bytes | None]


def update_trie(read: ReadNode, root: Hash32, changes: Mapping[bytes, bytes]) -> TrieUpdate:
    """Return the trie with `root` after `changes` (key -> value, b"" deletes the key).

    `read` gives the stored node of a path. Raises StoreCorrupt when a node is missing or differs
    from the hash that its parent has.
    """
    if not changes:
        return TrieUpdate(root, {})
    batch: list[Entry] = [
        (nibbles_of(key), rlp_string(value) if value else None) for key, value in changes.items()
    ]
    batch.sort(key=_path_of)
    nodes: dict[Nibbles, bytes | None] = {}
    work = _Batch(read, nodes.__setitem__)
    reference = EMPTY_ITEM if root == EMPTY_ROOT else b"\xa0" + root
    node = work.update(reference, batch, 0, len(batch), 0)
    return TrieUpdate(work.seal_root(node), nodes)


def build_trie(items: Iterable[tuple[bytes, bytes]]) -> TrieUpdate:
    """Return the trie that holds exactly `items` (each key once; empty values count as absent)."""
    return update_trie(_nothing, EMPTY_ROOT, dict(items))


def walk_trie(items: Iterable[tuple[bytes, bytes]], visit: WriteNode) -> Hash32:
    """Return the root of the trie that holds exactly `items`, and `visit` each of its nodes.

    The keys ascend, have one length and no empty value. Memory does not grow with their number,
    which is what checks of a whole state need; `build_trie` is quicker for what fits in memory.
    """
    rows = ((nibbles_of(key), rlp_string(value)) for key, value in items)
    cursor = _Cursor(rows)
    if cursor.now is None:
        return EMPTY_ROOT
    work = _Batch(_nothing, visit)
    return work.seal_root(work.walk(cursor, 0))


def walk_below(path: Nibbles, items: Iterable[tuple[bytes, bytes]], visit: WriteNode) -> bytes:
    """Return the reference to the node at `path` of a trie, and `visit` it and each one below.

    `items` are all that the trie holds below `path`, as for `walk_trie`. EMPTY_ITEM if none.
    """
    cursor = _Cursor((nibbles_of(key), rlp_string(value)) for key, value in items)
    work = _Batch(_nothing, visit)
    node = work.walk(cursor, len(path))
    return EMPTY_ITEM if node is None else work.seal(node, path)


class _Cursor:
    """Two neighbouring rows of an ascending sequence."""

    def __init__(self, rows: Iterator[tuple[Nibbles, bytes]]) -> None:
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


def _nothing(path: Nibbles) -> bytes | None:
    return None


def _path_of(entry: Entry) -> Nibbles:
    return entry[0]


def nibbles_of(key: bytes) -> Nibbles:
    """Return the path of a key, two nibbles a byte."""
    return key.hex().encode().translate(_NIBBLE_OF_HEX)


def pack_path(path: Nibbles, is_leaf: bool) -> bytes:
    """Return the hex-prefix encoding of a path. Source: Yellow Paper appendix C."""
    flag = (b"3" if is_leaf else b"1") if len(path) & 1 else (b"20" if is_leaf else b"00")
    return bytes.fromhex((flag + path.translate(_HEX_OF_NIBBLE)).decode())


def unpack_path(packed: bytes) -> tuple[Nibbles, bool]:
    """Return the path and whether it is a leaf's, from its hex-prefix encoding."""
    path = nibbles_of(packed)
    flag = path[0]
    return path[1 if flag & 1 else 2 :], flag >= 2


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
    body = rlp_string(pack_path(path, is_leaf)) + item
    return rlp_prefix(LIST, len(body)) + body


class _Batch:
    """One pass over one trie; `write` takes the entries, the last one for a path counts."""

    def __init__(self, read: ReadNode, write: WriteNode) -> None:
        self._read = read
        self._write = write

    def seal_root(self, node: Node | None) -> Hash32:
        """Encode the root, store it whatever its size, and return its hash."""
        if node is None:
            return EMPTY_ROOT
        encoded = encode_node(node)
        self._write(b"", encoded)
        return keccak(encoded)

    def update(
        self, reference: bytes, batch: list[Entry], a: int, b: int, depth: int
    ) -> Node | None:
        """Apply entries a..b, which share their first `depth` nibbles, below `reference`."""
        if reference == EMPTY_ITEM:
            return self._fresh(batch, a, b, depth)
        node = self._open(reference, batch[a][0][:depth])
        return self._apply(node, batch, a, b, depth)

    def _apply(self, node: Node, batch: list[Entry], a: int, b: int, depth: int) -> Node | None:
        if isinstance(node, list):
            return self._settle(node, {}, batch[a:b], depth)
        if node[0]:
            return self._at_leaf(node, batch[a:b], depth)
        return self._at_extension(node, batch, a, b, depth)

    def _at_leaf(self, leaf: Short, batch: list[Entry], depth: int) -> Node | None:
        """Let the old leaf join the batch, unless the batch has its key."""
        key = batch[0][0][:depth] + leaf[1]
        at = bisect_left(batch, key, key=_path_of)
        if at == len(batch) or batch[at][0] != key:
            batch.insert(at, (key, leaf[2]))
        return self._fresh(batch, 0, len(batch), depth)

    def _at_extension(
        self, node: Short, batch: list[Entry], a: int, b: int, depth: int
    ) -> Node | None:
        """Pass through when all insertions follow the shared path, else split it."""
        _, head, reference = node
        full = batch[a][0][:depth] + head
        low = bisect_left(batch, full, a, b, key=_path_of)
        high = bisect_left(batch, full + b"\xff", low, b, key=_path_of)
        before = [entry for entry in batch[a:low] if entry[1] is not None]
        after = [entry for entry in batch[high:b] if entry[1] is not None]
        if not before and not after:
            if low == high:
                return node
            child = self.update(reference, batch, low, high, len(full))
            return self._join(head, child, full)
        kept = before + batch[low:high] + after
        fork = min(_shared(full, kept[0][0], depth), _shared(full, kept[-1][0], depth))
        items = [EMPTY_ITEM] * BRANCH_ITEMS
        rest = full[fork + 1 :]
        moved: dict[int, Node | None] = {}
        if rest:
            moved[full[fork]] = (False, rest, reference)
        else:
            items[full[fork]] = reference
        branch = self._settle(items, moved, kept, fork)
        return self._join(full[depth:fork], branch, full[:fork])

    def _settle(
        self, items: Branch, changed: dict[int, Node | None], batch: list[Entry], depth: int
    ) -> Node | None:
        """Apply the batch, which has an entry, to a branch at `depth`.

        `changed` holds children that are open already.
        """
        path = batch[0][0][:depth]
        a, b = 0, len(batch)
        if len(batch[0][0]) == depth:
            items[16] = batch[0][1] or EMPTY_ITEM
            a = 1
        while a < b:
            nibble = batch[a][0][depth]
            end = a + 1
            while end < b and batch[end][0][depth] == nibble:
                end += 1
            child = changed.get(nibble)
            if child is None:
                child = self.update(items[nibble], batch, a, end, depth + 1)
            else:
                child = self._apply(child, batch, a, end, depth + 1)
            changed[nibble] = child
            a = end
        return self._close(items, changed, path)

    def _close(self, items: Branch, changed: dict[int, Node | None], path: Nibbles) -> Node | None:
        """Put the open children into a branch; return what is left of it, joined if alone."""
        for nibble, child in changed.items():
            items[nibble] = EMPTY_ITEM if child is None else b""
        alive = BRANCH_ITEMS - items.count(EMPTY_ITEM)
        if alive > 1:
            for nibble, child in changed.items():
                if child is not None:
                    items[nibble] = self.seal(child, path + _ONE[nibble])
            return items
        return self._collapse(items, changed, path) if alive else None

    def _collapse(
        self, items: Branch, changed: dict[int, Node | None], path: Nibbles
    ) -> Node | None:
        """Return what replaces a branch with a single value or child."""
        if items[16] != EMPTY_ITEM:
            return (True, b"", items[16])
        nibble = next(at for at in range(16) if items[at] != EMPTY_ITEM)
        below = path + _ONE[nibble]
        child = changed.get(nibble)
        if child is None:
            child = self._open(items[nibble], below)
        return self._join(_ONE[nibble], child, below)

    def _join(self, head: Nibbles, child: Node | None, path: Nibbles) -> Node | None:
        """Return `child`, whose place is `path`, prolonged upwards by `head`."""
        if child is None or not head:
            return child
        if isinstance(child, list):
            return (False, head, self.seal(child, path))
        return (child[0], head + child[1], child[2])

    def _fresh(self, batch: list[Entry], a: int, b: int, depth: int) -> Node | None:
        """Return the node that holds the insertions of the batch and nothing else."""
        for at in range(a, b):
            if batch[at][1] is None:
                alive = [entry for entry in batch[a:b] if entry[1] is not None]
                return self._build(alive, 0, len(alive), depth) if alive else None
        return self._build(batch, a, b, depth)

    def _build(self, batch: list[Entry], a: int, b: int, depth: int) -> Node:
        """Return the node of entries a..b, all insertions, which share `depth` nibbles."""
        first, value = batch[a]
        if b - a == 1:
            return (True, first[depth:], value or EMPTY_ITEM)
        fork = _shared(first, batch[b - 1][0], depth)
        items = [EMPTY_ITEM] * BRANCH_ITEMS
        if len(first) == fork:
            items[16] = value or EMPTY_ITEM
            a += 1
        path = first[:fork]
        while a < b:
            nibble = batch[a][0][fork]
            end = a + 1
            while end < b and batch[end][0][fork] == nibble:
                end += 1
            items[nibble] = self.seal(self._build(batch, a, end, fork + 1), path + _ONE[nibble])
            a = end
        if fork == depth:
            return items
        return (False, first[depth:fork], self.seal(items, path))

    def walk(self, cursor: _Cursor, depth: int) -> Node | None:
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
            changed[row[0][depth]] = self.walk(cursor, depth + 1)
            row = cursor.now
        return self._close([EMPTY_ITEM] * BRANCH_ITEMS, changed, path)

    def _open(self, reference: bytes, path: Nibbles) -> Node:
        """Return the node behind a reference; its own entry, if any, is marked as deleted."""
        if reference[0] >= LIST:
            return decode_node(reference)
        encoded = self._read(path)
        if encoded is None or b"\xa0" + keccak(encoded) != reference:
            what = "missing" if encoded is None else "not the one its parent names"
            raise StoreCorrupt(f"trie node at path {path.hex()!r} is {what}", path=path)
        self._write(path, None)
        return decode_node(encoded)

    def seal(self, node: Node, path: Nibbles) -> bytes:
        """Return the reference to `node`, stored at `path` unless it fits into its parent."""
        encoded = encode_node(node)
        if len(encoded) < 32:
            return encoded
        self._write(path, encoded)
        return b"\xa0" + keccak(encoded)


def _shared(one: Nibbles, other: Nibbles, start: int) -> int:
    """Return the length of the common beginning of two paths that share `start` nibbles."""
    end = min(len(one), len(other))
    at = start
    while at < end and one[at] == other[at]:
        at += 1
    return at
