"""The five-method store interface and its in-memory form.

Rooms take a `KeyValue` and never know what is behind it: RocksDB in a node, `MemoryStore` in
tests. A write is one atomic batch over any columns; with `sync=True` it is on the disk when the
call returns. A snapshot is immutable and safe to read from any thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Protocol


class Column(StrEnum):
    """Column families of a node's store; the value is the name on disk."""

    ACCOUNT = "account"
    SLOT = "slot"
    CODE = "code"
    TRIE = "trie"
    PREIMAGE = "preimage"
    DIFF = "diff"
    INDEX = "index"
    BLOCK = "block"
    RECEIPT = "receipt"
    LOG = "log"
    TRANSACTION = "transaction"
    CERTIFICATE = "certificate"
    META = "meta"


Write = tuple[Column, bytes, bytes | None]
"""One change of a batch: column, key, new value, or None to delete the key."""


class KeyValueReader(Protocol):
    """Reads from one point in time."""

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        ...

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order for keys >= `start` that begin with `prefix`."""
        ...


class KeyValue(KeyValueReader, Protocol):
    """A store with atomic batches and snapshots."""

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Apply the batch whole or not at all; durable on return when `sync`."""
        ...

    def snapshot(self) -> KeyValueReader:
        """Return an immutable view of what has been written so far."""
        ...

    def close(self) -> None:
        """Release files and locks; the store is unusable afterwards."""
        ...


class MemoryStore:
    """A `KeyValue` in dicts, for tests and tools; snapshots copy."""

    def __init__(self) -> None:
        self._columns: dict[Column, dict[bytes, bytes]] = {column: {} for column in Column}

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._columns[column].get(key)

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order; what is written meanwhile may be missed."""
        table = self._columns[column]
        keys = sorted(table)
        for key in keys[bisect_left(keys, max(prefix, start)) :]:
            if not key.startswith(prefix):
                return
            yield key, table[key]

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Apply the batch; memory has nothing to sync."""
        for column, key, value in list(batch):
            if value is None:
                self._columns[column].pop(key, None)
            else:
                self._columns[column][key] = value

    def snapshot(self) -> MemoryStore:
        """Return a copy."""
        copy = MemoryStore()
        copy._columns = {column: dict(table) for column, table in self._columns.items()}
        return copy

    def close(self) -> None:
        """Forget everything."""
        self._columns = {column: {} for column in Column}
