"""The hot state: what was read and written last of accounts, slots and code.

`CachedStore` stands before a node's `KeyValue` and is one itself. A read of RocksDB takes 7 us, one
of a dict 0.2. The cache holds values of the newest written state only; trie nodes have a cache of
their own (`vm.state.nodes`). Each write makes the next generation; a snapshot knows its own, uses
the cache while that is the newest, and reads what is below when it is not: so a snapshot stays what
it was, in any thread.

The order that makes this safe without a lock on reads: a write first makes the generation new, then
changes entries; a reader first takes the entry, then looks at the generation.

Bound: the entries' keys and values with ENTRY_BYTES each stay within `bytes_max`, in two halves.
What is used moves to the young half; when that is full it becomes the old one, and what was the old
one is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write

CACHED: Final = frozenset((Column.ACCOUNT, Column.SLOT, Column.CODE))
ENTRY_BYTES: Final = 250
"""What an entry takes beside its key and value: two objects, a tuple, a place in a dict."""

_Key: TypeAlias = tuple[Column, bytes]


class _Unknown:
    """Marks what the cache does not know; None is a key that does not exist."""


_UNKNOWN: Final = _Unknown()


class CachedStore:
    """A `KeyValue` with a cache of the state in front of `below`."""

    def __init__(self, below: KeyValue, bytes_max: int) -> None:
        self._below = below
        self._half_bytes_max = bytes_max // 2
        self._lock = threading.Lock()
        self._young: dict[_Key, bytes | None] = {}
        self._old: dict[_Key, bytes | None] = {}
        self._young_bytes = 0
        self.generation = 0

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key` as it was written last, or None."""
        return self._below.get(column, key)

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order, from below."""
        return self._below.scan(column, prefix, start)

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Write the batch below, then keep what it says of the state."""
        writes = list(batch)
        with self._lock:
            self.generation += 1
            try:
                self._below.write(writes, sync=sync)
            except BaseException:
                self._young, self._old, self._young_bytes = {}, {}, 0
                raise
            for column, key, value in writes:
                if column in CACHED:
                    self._old.pop((column, key), None)
                    self._put((column, key), value)

    def snapshot(self) -> KeyValueReader:
        """Return an immutable view of what has been written so far."""
        with self._lock:
            return _CachedSnapshot(self, self._below.snapshot(), self.generation)

    def close(self) -> None:
        """Close what is below."""
        self._below.close()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def look(self, key: _Key) -> bytes | _Unknown | None:
        """Return the newest value if it is known; the caller looks at the generation after it."""
        found: bytes | _Unknown | None = self._young.get(key, _UNKNOWN)
        return self._old.get(key, _UNKNOWN) if isinstance(found, _Unknown) else found

    def keep(self, key: _Key, value: bytes | None, generation: int) -> None:
        """Keep what a snapshot of this generation read, if it is the newest still."""
        with self._lock:
            if generation == self.generation:
                self._put(key, value)

    def is_young(self, key: _Key) -> bool:
        """Return whether the key is safe from the next change of halves."""
        return key in self._young

    def _put(self, key: _Key, value: bytes | None) -> None:
        if key in self._young:
            self._young_bytes -= _size(key, self._young[key])
        self._young[key] = value
        self._young_bytes += _size(key, value)
        if self._young_bytes > self._half_bytes_max:
            self._old, self._young, self._young_bytes = self._young, {}, 0


class _CachedSnapshot:
    """One moment of the store; it uses the cache while nothing newer was written."""

    def __init__(self, store: CachedStore, below: KeyValueReader, generation: int) -> None:
        self._store = store
        self._below = below
        self._generation = generation

    def get(self, column: Column, key: bytes) -> bytes | None:
        if column not in CACHED or self._store.generation != self._generation:
            return self._below.get(column, key)
        name = (column, key)
        found = self._store.look(name)
        if not isinstance(found, _Unknown) and self._store.generation == self._generation:
            if not self._store.is_young(name):
                self._store.keep(name, found, self._generation)
            return found
        value = self._below.get(column, key)
        self._store.keep(name, value, self._generation)
        return value

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._below.scan(column, prefix, start)


def _size(key: _Key, value: bytes | None) -> int:
    return ENTRY_BYTES + len(key[1]) + (len(value) if value else 0)
