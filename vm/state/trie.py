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
- Where nothing is deleted no node goes away, so each is sealed at once, and a single entry goes
  down to its leaf and up again in one loop (`put`). This is what nearly all of a block does.
- A node that is read is compared with the hash its parent has: a stale or damaged entry raises
  StoreCorrupt instead of giving a wrong root. A `NodeCache` spares reading, comparing and decoding.

Keys may have any length and one may begin with another, as the official vectors have it; the state
uses 32-byte hashes only. The empty value means "no such key".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, TypeAlias

from primitives.crypto.keccak import hasher, keccak
from primitives.errors import StoreCorrupt
from primitives.types import EMPTY_ROOT, Hash32
from vm.state.encoding import (
    EMPTY_ITEM,
    LIST,
    rlp_list,
    rlp_prefix,
    rlp_string,
    split_list,
)
from vm.state.nodes import BRANCH_ITEMS, Branch, Node, NodeCache, Short, decode_node, encode_node
from vm.state.paths import (
    Nibbles,
    key_of,
    nibbles_of,
    pack_path,
    shared_length,
)

Entry: TypeAlias = tuple[Nibbles, bytes | None, bytes]
"""One change of a batch: path of the key, encoded value or None to delete, key."""

ReadNode: TypeAlias = Callable[[Nibbles], bytes | None]
WriteNode: TypeAlias = Callable[[Nibbles, bytes | None], None]

HASHED_BYTES_MIN = 32
"""A node of so many bytes or more is referred to by its hash, a smaller one is in its parent."""

_ONE = [bytes((nibble,)) for nibble in range(16)]
_LISTS = [rlp_prefix(LIST, length) for length in range(600)]
"""Prefixes of all lists that a branch without a value, or a leaf of the state, can be."""
_PLAIN = rb"(?:\xa0.{32}|\x80)"
_CHILD = [
    re.compile(
        rb"(?s:(?:\xf9..|\xf8.|[\xc0-\xf7])%s(?=%s))" % (_PLAIN * nibble, _PLAIN * (3 - nibble))
    ).match
    for nibble in range(16)
]
"""Finds where child 0..15 of a branch begins, when those before it are hashes or empty. At least
three items must be so, hence a leaf or extension, which has two, never matches."""

_EVEN = [bytes((0x81 + rest, 0x20)) for rest in range(55)]
_ODD = [[bytes((0x81 + rest, 0x30 + nibble)) for nibble in range(16)] for rest in range(55)]
"""What stands before the last `rest` bytes of a leaf's key: length of the packed path, flag, and
the nibble left over when the path has an odd number of them."""


@dataclass(frozen=True, slots=True)
class TrieUpdate:
    """The root after a batch, and the node entries to write: path -> encoding, None to delete."""

    root: Hash32
    nodes: dict[Nibbles, bytes | None]


def update_trie(
    read: ReadNode,
    root: Hash32,
    changes: Mapping[bytes, bytes],
    cache: NodeCache | None = None,
) -> TrieUpdate:
    """Return the trie with `root` after `changes` (key -> value, b"" deletes the key).

    `read` gives the stored node of a path. Raises StoreCorrupt when a node is missing or differs
    from the hash that its parent has.
    """
    items = {key: rlp_string(value) if value else None for key, value in changes.items()}
    nodes: dict[Nibbles, bytes | None] = {}
    return TrieUpdate(Trie(read, nodes, cache).update(root, items), nodes)


class Trie:
    """One trie in a table of nodes, whose keys begin with `prefix` and go on with the path.

    `read` gives the stored node of such a key, `nodes` takes the entries to write: None to delete.
    `opened`, if given, takes the stored form of each opened node within `opened_nibbles_max`.
    """

    def __init__(
        self,
        read: ReadNode,
        nodes: dict[Nibbles, bytes | None],
        cache: NodeCache | None = None,
        *,
        prefix: bytes = b"",
        opened: dict[Nibbles, bytes | None] | None = None,
        opened_nibbles_max: int = 0,
    ) -> None:
        self._batch = Batch(read, nodes.__setitem__, cache, len(prefix))
        self._batch.nodes = nodes
        if opened is not None:
            self._batch.opened = opened
            self._batch.opened_max = len(prefix) + opened_nibbles_max
        self._prefix = prefix
        self._cache = cache

    def update(self, root: Hash32, items: Mapping[bytes, bytes | None]) -> Hash32:
        """Return the root after `items` (key -> encoded value, None deletes); see `update_trie`."""
        if not items:
            return root
        root = self._update(root, items, self._prefix)
        if self._cache is not None:
            self._cache.settle()
        return root

    def _update(self, root: Hash32, items: Mapping[bytes, bytes | None], prefix: bytes) -> Hash32:
        batch: list[Entry] = [
            (prefix + nibbles_of(key), value, key) for key, value in items.items()
        ]
        batch.sort(key=_path_of)
        work = self._batch
        reference = EMPTY_ITEM if root == EMPTY_ROOT else b"\xa0" + root
        if None in items.values():
            return work.seal_root(work.update(reference, batch, 0, len(batch), work.base), prefix)
        sealed = work.put(reference, batch, 0, len(batch), work.base)
        if sealed[0] == 0xA0 and len(sealed) == 33:
            return Hash32(sealed[1:])
        work.write(prefix, sealed)
        return keccak(sealed)


def build_trie(items: Iterable[tuple[bytes, bytes]]) -> TrieUpdate:
    """Return the trie that holds exactly `items` (each key once; empty values count as absent)."""
    return update_trie(no_node, EMPTY_ROOT, dict(items))


def no_node(path: Nibbles) -> bytes | None:
    """Return None: there is nothing to read."""
    return None


_path_of: Final[Callable[[Entry], Nibbles]] = itemgetter(0)


class Batch:
    """One pass over one trie; `write` takes the entries, the last one for a path counts.

    Paths begin with `base` bytes that are no nibbles but the trie's place in its table.
    """

    def __init__(
        self,
        read: ReadNode,
        write: WriteNode,
        cache: NodeCache | None = None,
        base: int = 0,
    ) -> None:
        self.read = read
        self.write = write
        self.base = base
        self._cache = cache
        self.made = None if cache is None else cache.young
        found: dict[bytes, bytes] = {} if self.made is None else self.made
        self.find = found.get
        self.find_old = found.get if cache is None else cache.old.get
        self.nodes: dict[Nibbles, bytes | None] = {}
        self.opened: dict[Nibbles, bytes | None] = {}
        self.opened_max = -1

    def seal_root(self, node: Node | None, path: Nibbles = b"") -> Hash32:
        """Encode the root, store it whatever its size, and return its hash."""
        if node is None:
            return EMPTY_ROOT
        encoded = encode_node(node)
        self.write(path, encoded)
        return keccak(encoded)

    def put(self, reference: bytes, batch: list[Entry], a: int, b: int, depth: int) -> bytes:
        """Apply entries a..b, insertions that share `depth` nibbles; return the new reference."""
        if b - a == 1:
            return self._put_one(reference, batch[a], depth)
        path = batch[a][0][:depth]
        if reference == EMPTY_ITEM:
            return self.seal(self.build(batch, a, b, depth), path)
        raw = self._see(reference, path)
        items = split_list(raw)
        if len(items) != BRANCH_ITEMS:
            return self._put_other(reference, batch[a:b], depth)
        if len(batch[a][0]) == depth:
            items[16] = batch[a][1] or EMPTY_ITEM
            a += 1
        put, put_one = self.put, self._put_one
        while a < b:
            entry = batch[a]
            nibble = entry[0][depth]
            end = a + 1
            while end < b and batch[end][0][depth] == nibble:
                end += 1
            if end - a == 1:
                items[nibble] = put_one(items[nibble], entry, depth + 1)
            else:
                items[nibble] = put(items[nibble], batch, a, end, depth + 1)
            a = end
        return self._store(rlp_list(items), path, raw)

    def _put_one(self, reference: bytes, entry: Entry, depth: int) -> bytes:
        """Apply one insertion below `reference`: in a loop down, and in one up.

        A branch is not taken apart: the new reference goes where the old one stood.
        """
        path = entry[0]
        find, find_old, read = self.find, self.find_old, self.read
        opened_max = self.opened_max
        way: list[tuple[bytes, int]] = []
        raw: bytes | None = None
        while reference != EMPTY_ITEM:
            raw = find(reference) or find_old(reference)
            if raw is None and depth > opened_max:
                raw = read(path[:depth])  # what `_see` does, without the call
                if raw is None or b"\xa0" + hasher(raw).digest() != reference:
                    raw = self._see(reference, path[:depth])
            elif raw is None or depth <= opened_max:
                raw = self._see(reference, path[:depth])
            child = _CHILD[path[depth]](raw) if depth < len(path) else None
            if child is None:
                break
            at = child.end()
            if raw[at] == 0xA0:
                reference = raw[at : at + 33]
            elif raw[at] == 0x80:
                reference = EMPTY_ITEM
            else:
                break
            way.append((raw, at))
            depth += 1
            raw = None
        sealed = self._put_end(reference, raw, entry, depth)
        write, made = self.write, self.made
        while way:
            raw, at = way.pop()
            depth -= 1
            if raw[at] != 0xA0 or len(sealed) != 33:
                items = split_list(raw)
                items[path[depth]] = sealed
                sealed = self._store(rlp_list(items), path[:depth], raw)
                continue
            encoded = raw[:at] + sealed + raw[at + 33 :]
            write(path[:depth], encoded)
            sealed = b"\xa0" + hasher(encoded).digest()
            if made is not None:
                made[sealed] = encoded
        return sealed

    def _put_end(self, reference: bytes, raw: bytes | None, entry: Entry, depth: int) -> bytes:
        """Return the new reference where the way of an insertion ends, at the node `raw`."""
        path, value, key = entry
        at = depth - self.base
        rest = key[(at + 1) >> 1 :]
        size = len(rest)
        if 0 < size < len(_EVEN):
            head = (_ODD[size][path[depth]] if at & 1 else _EVEN[size]) + rest
        else:
            head = rlp_string(pack_path(path[depth:], is_leaf=True))
        if raw is not None and not raw.startswith(head, 1 if raw[0] < 0xF8 else raw[0] - 0xF6):
            return self._put_other(reference, [entry], depth)
        body = head + (value or EMPTY_ITEM)
        size = len(body)
        prefix = _LISTS[size] if size < len(_LISTS) else rlp_prefix(LIST, size)
        return self._store(prefix + body, path[:depth], raw)

    def _put_other(self, reference: bytes, batch: list[Entry], depth: int) -> bytes:
        """Apply insertions below a node that is not just overwritten or a plain branch."""
        path = batch[0][0][:depth]
        node = self._apply(self._open(reference, path), batch, 0, len(batch), depth)
        return EMPTY_ITEM if node is None else self.seal(node, path)

    def _store(self, encoded: bytes, path: Nibbles, old: bytes | None = None) -> bytes:
        """Return the reference to a node, written at `path` unless it fits into its parent.

        There it takes the place of `old`.
        """
        if len(encoded) < HASHED_BYTES_MIN:
            if old is not None and len(old) >= HASHED_BYTES_MIN:
                self.write(path, None)
            return encoded
        self.write(path, encoded)
        sealed: bytes = b"\xa0" + hasher(encoded).digest()
        if self.made is not None:
            self.made[sealed] = encoded
        return sealed

    def _see(self, reference: bytes, path: Nibbles) -> bytes:
        """Return the encoding of the node behind a reference.

        Raises StoreCorrupt when it is missing or not the one with that hash.
        """
        if reference[0] >= LIST:
            return reference
        encoded = None if self._cache is None else self._cache.get(reference)
        if encoded is None:
            encoded = self.read(path)
            if encoded is None or b"\xa0" + hasher(encoded).digest() != reference:
                what = "missing" if encoded is None else "not the one its parent names"
                place = path[self.base :].hex()
                raise StoreCorrupt(f"trie node at path {place!r} is {what}", path=path)
        if len(path) <= self.opened_max:
            self.opened.setdefault(path, encoded)
        return encoded

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
        path = batch[0][0][:depth] + leaf[1]
        at = bisect_left(batch, path, key=_path_of)
        if at == len(batch) or batch[at][0] != path:
            key = key_of(path[self.base :])
            batch.insert(at, (path, leaf[2], key))
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
        fork = min(shared_length(full, kept[0][0], depth), shared_length(full, kept[-1][0], depth))
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
            if nibble in changed:
                child = changed[nibble]
                changed[nibble] = child and self._apply(child, batch, a, end, depth + 1)
            elif any(batch[at][1] is None for at in range(a, end)):
                changed[nibble] = self.update(items[nibble], batch, a, end, depth + 1)
            else:
                items[nibble] = self.put(items[nibble], batch, a, end, depth + 1)
            a = end
        return self.close(items, changed, path)

    def close(self, items: Branch, changed: dict[int, Node | None], path: Nibbles) -> Node | None:
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
                return self.build(alive, 0, len(alive), depth) if alive else None
        return self.build(batch, a, b, depth)

    def build(self, batch: list[Entry], a: int, b: int, depth: int) -> Node:
        """Return the node of entries a..b, all insertions, which share `depth` nibbles."""
        first, value, _ = batch[a]
        if b - a == 1:
            return (True, first[depth:], value or EMPTY_ITEM)
        fork = shared_length(first, batch[b - 1][0], depth)
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
            items[nibble] = self._build_sealed(batch, a, end, fork + 1)
            a = end
        if fork == depth:
            return items
        return (False, first[depth:fork], self._store(rlp_list(items), path))

    def _build_sealed(self, batch: list[Entry], a: int, b: int, depth: int) -> bytes:
        """Return the reference to the node that `_build` makes."""
        entry = batch[a]
        if b - a > 1:
            return self.seal(self.build(batch, a, b, depth), entry[0][:depth])
        return self._put_end(EMPTY_ITEM, None, entry, depth)

    def _open(self, reference: bytes, path: Nibbles) -> Node:
        """Return the node behind a reference; its own entry, if any, is marked as deleted."""
        if reference[0] >= LIST:
            return decode_node(reference)
        made = self.nodes.get(path)
        encoded = self._see(reference, path) if made is None else made
        self.write(path, None)
        return decode_node(encoded)

    def seal(self, node: Node, path: Nibbles) -> bytes:
        """Return the reference to `node`, stored at `path` unless it fits into its parent."""
        return self._store(encode_node(node), path)
