"""The past of the state: old values by height, and the tables as they were after a block.

A block keeps, in its own batch, what it replaced: every old account and slot, and the old trie
nodes near the roots (`vm.state.store.KEPT_DEPTH`). A value at a height is the one that the first
later change of its key replaced, or else the present one: one seek, however long the chain.

    DIFF    height                          the keys that the block changed, one after another
    INDEX   key + height                    the value before the block at that height; b"": none

`key` is here: a letter for the column ("a" account, "s" slot, "t" trie), the length of the plain
key in one byte, the plain key. Heights are 8 bytes, big-endian, so the changes of a key stand in
order. The length keeps a short trie path from being read as the beginning of a longer one.

A height is retained while the diffs of all heights above it are. Code is never deleted, so it needs
no history. Sources of the idea: reth's change sets with history index, geth's state histories.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from primitives.errors import StoreCorrupt, ensure
from primitives.keyvalue import Column, KeyValueReader, Write

HEIGHT_BYTES: Final = 8
SKIPPED_MAX: Final = 16
"""Rows of one key that a scan reads through before it seeks to the next key."""

_LETTERS: Final = {Column.ACCOUNT: b"a", Column.SLOT: b"s", Column.TRIE: b"t"}
_COLUMNS: Final = {letter: column for column, letter in _LETTERS.items()}
_LENGTHS: Final = {Column.ACCOUNT: 32, Column.SLOT: 64}
_HEAD_BYTES: Final = 2
_NO_HEIGHT: Final = b"\xff" * HEIGHT_BYTES


def height_key(height: int) -> bytes:
    """Return the 8 bytes of a height in keys."""
    return height.to_bytes(HEIGHT_BYTES, "big")


def index_key(column: Column, key: bytes) -> bytes:
    """Return the part of an INDEX key before the height."""
    return _LETTERS[column] + bytes((len(key),)) + key


def history_writes(height: int, before: Iterable[Write]) -> list[Write]:
    """Return the DIFF and INDEX rows of the block at `height` (`StateUpdate.before`)."""
    at = height_key(height)
    keys: list[bytes] = []
    rows: list[Write] = []
    for column, key, old in before:
        name = index_key(column, key)
        keys.append(name)
        rows.append((Column.INDEX, name + at, old or b""))
    return [(Column.DIFF, at, b"".join(keys)), *rows]


def forget_writes(height: int, diff: bytes) -> list[Write]:
    """Return the deletions of all that `history_writes` made; `diff` is the DIFF row."""
    at = height_key(height)
    rows: list[Write] = [(Column.INDEX, name + at, None) for name in split_diff(diff)]
    return [(Column.DIFF, at, None), *rows]


def split_diff(diff: bytes) -> list[bytes]:
    """Return the names (`index_key`) in a DIFF row; raises StoreCorrupt."""
    names: list[bytes] = []
    at = 0
    while at < len(diff):
        end = at + _HEAD_BYTES + (diff[at + 1] if at + 1 < len(diff) else 0)
        if diff[at : at + 1] not in _COLUMNS or end > len(diff):
            raise StoreCorrupt("a stored list of changed keys is damaged")
        names.append(diff[at:end])
        at = end
    return names


def split_name(name: bytes) -> tuple[Column, bytes]:
    """Return column and key of a name that `split_diff` gave."""
    return _COLUMNS[name[:1]], name[_HEAD_BYTES:]


class PastReader:
    """The state's tables after the block at `height`, which must be retained.

    A `KeyValueReader`: accounts and slots are read and scanned, trie nodes only read, and only
    down to KEPT_DEPTH. Columns without history are the present ones. As thread-safe as the reader
    below it, which must not move (a snapshot).
    """

    def __init__(self, store: KeyValueReader, height: int) -> None:
        self._store = store
        self._after = height_key(height + 1)

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key` after the block, or None."""
        if column not in _LETTERS:
            return self._store.get(column, key)
        name = index_key(column, key)
        row = next(iter(self._store.scan(Column.INDEX, name, name + self._after)), None)
        if row is None:
            return self._store.get(column, key)
        return row[1] or None

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of ACCOUNT or SLOT after the block, as `KeyValueReader.scan` does."""
        ensure(column in _LENGTHS, "only accounts and slots of the past are scanned", column=column)
        past = self._changed(column, prefix, start)
        then = next(past, None)
        for key, value in self._store.scan(column, prefix, start):
            while then is not None and then[0] < key:
                if then[1]:
                    yield then
                then = next(past, None)
            if then is not None and then[0] == key:
                if then[1]:
                    yield then
                then = next(past, None)
            else:
                yield key, value
        while then is not None:
            if then[1]:
                yield then
            then = next(past, None)

    def _changed(
        self, column: Column, prefix: bytes, start: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield each key that changed after the block with its value then (b"": none), in order.

        Keys that changed often are passed by a seek, so the cost grows with the keys alone.
        """
        base = _LETTERS[column] + bytes((_LENGTHS[column],))
        at: bytes | None = base + max(prefix, start)
        while at is not None:
            rows, at = self._store.scan(Column.INDEX, base + prefix, at), None
            found, skipped = b"", 0
            for full, old in rows:
                name, height = full[:-HEIGHT_BYTES], full[-HEIGHT_BYTES:]
                if name != found and height >= self._after:
                    yield name[_HEAD_BYTES:], old
                    found, skipped = name, 0
                    continue
                skipped += 1
                if skipped > SKIPPED_MAX:
                    at = name + (_NO_HEIGHT if name == found else self._after)
                    break
