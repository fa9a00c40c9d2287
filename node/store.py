"""The store of a node on disk: RocksDB behind the `KeyValue` interface.

One folder, one column family per `Column`, raw keys and values. A write is one RocksDB batch over
all columns: after a crash it is there whole or not at all, and with `sync=True` it is on the disk
when the call returns. A damaged middle of RocksDB's own log is refused, a torn end is cut off.

Memory is bounded (`CACHE_BYTES`, `WRITE_BUFFERS_BYTES`), because several nodes share one machine
in a localnet. rocksdict reports every failure as a bare `Exception` with RocksDB's text; this file
is the wall that turns them into our errors:

    folder in use, not writable, newer      ConfigError, one line
    damaged files, checksum mismatch        StoreCorrupt, one line
    disk full, failing disk                 Fatal, one line
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from rocksdict import (
    BlockBasedOptions,
    Cache,
    ColumnFamily,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    Snapshot,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from primitives.errors import BrokenInvariant, ConfigError, Fatal, QenexError, StoreCorrupt, ensure
from primitives.keyvalue import Column, KeyValueReader, Write

CACHE_BYTES: Final = 8 * 2**20
WRITE_BUFFERS_BYTES: Final = 8 * 2**20
WRITE_BUFFER_BYTES: Final = 2 * 2**20
LOG_BYTES_MAX: Final = 32 * 2**20
OPEN_FILES_MAX: Final = 256
BLOOM_BITS_PER_KEY: Final = 10
SCAN_ROWS: Final = 256
SCAN_ROWS_FIRST: Final = 4
"""A scan's first step is short, because many want one row only; each next one is four times it."""

Row: TypeAlias = tuple[bytes, bytes]

_KEY_NOT_FOUND: Final = "key not found"
"""The text of the exception with which a rocksdict snapshot answers for a missing key."""


class RocksStore:
    """A `KeyValue` in the folder `path`, which is made when it is not there.

    Raises ConfigError when another process uses the folder or it cannot be opened, StoreCorrupt
    when its files are damaged. Reads are safe from any thread; writes and snapshots exclude each
    other, so that a snapshot is of one moment over all columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._snapshots: weakref.WeakSet[_RocksSnapshot] = weakref.WeakSet()
        columns = {
            str(column): _column_options(cache)
            for cache in [Cache(CACHE_BYTES)]
            for column in Column
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._database: Rdict | None = Rdict(str(path), _database_options(), columns)
        except OSError as error:
            raise ConfigError(
                f"cannot use the data folder {path}: {error.strerror or error}"
            ) from None
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            raise _open_error(path, error) from None
        self._tables: dict[Column, Rdict] = {}
        self._handles: dict[Column, ColumnFamily] = {}
        for column in Column:
            self._tables[column] = self._database.get_column_family(str(column))
            self._handles[column] = self._database.get_column_family_handle(str(column))

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key`, or None; raises StoreCorrupt."""
        ensure(self._tables, "read from a closed store")
        try:
            value: bytes | None = self._tables[column].get(key)
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            raise _read_error(error) from None
        return value

    def scan(self, column: Column, prefix: bytes = b"", start: bytes = b"") -> Iterator[Row]:
        """Yield (key, value) in key order for keys >= `start` that begin with `prefix`.

        What is yielded is of the moment of the call.
        """
        ensure(self._tables, "scan of a closed store")
        return scan_rows(self._tables[column].iter(), threading.Lock(), prefix, start)

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Apply the batch whole or not at all; durable on return when `sync`. Raises Fatal."""
        rows = WriteBatch(raw_mode=True)
        options = WriteOptions()
        options.sync = sync
        with self._lock:
            ensure(self._database is not None, "write to a closed store")
            for column, key, value in batch:
                if value is None:
                    rows.delete(key, self._handles[column])
                else:
                    rows.put(key, value, self._handles[column])
            try:
                if self._database is not None:
                    self._database.write(rows, options)
            except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
                raise Fatal(f"cannot write to {self.path}: {error}") from None

    def snapshot(self) -> KeyValueReader:
        """Return an immutable view of what has been written; drop it soon, it holds old data."""
        with self._lock:
            ensure(self._tables, "snapshot of a closed store")
            made = _RocksSnapshot(self._tables)
            self._snapshots.add(made)
            return made

    def close(self) -> None:
        """Flush, release files and lock; snapshots end too. A second call does nothing.

        Raises StoreCorrupt when damage was found in the background; it is closed all the same.
        """
        with self._lock:
            database, self._database = self._database, None
            if database is None:
                return
            for each in list(self._snapshots):
                each.release()
            self._tables, self._handles = {}, {}
            try:
                database.close()
            except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
                raise _read_error(error) from None


class RowCursor(Protocol):
    """The part of a rocksdict iterator that scans use."""

    def seek(self, key: bytes) -> None:
        """Go to the first row whose key is not below `key`."""

    def valid(self) -> bool:
        """Return whether there is a row here."""
        ...

    def key(self) -> bytes:
        """Return the key of the row here."""
        ...

    def value(self) -> bytes:
        """Return the value of the row here."""
        ...

    def next(self) -> None:
        """Go one row on."""

    def status(self) -> None:
        """Raise the error that ended the walk, if any."""


class _RocksSnapshot:
    """One moment of the store; usable until the store is closed.

    `get` reads through a RocksDB snapshot. A rocksdict snapshot's own iterators see later writes
    (0.3.29), so scans use plain iterators made at the same moment: RocksDB pins those to it.
    """

    def __init__(self, tables: Mapping[Column, Rdict]) -> None:
        self._tables: dict[Column, Snapshot] = {}
        self._rows: dict[Column, RdictIter] = {}
        self._lock = threading.Lock()
        for column, table in tables.items():
            self._tables[column] = table.snapshot()
            self._rows[column] = table.iter()

    def get(self, column: Column, key: bytes) -> bytes | None:
        ensure(self._tables, "read from a snapshot of a closed store")
        try:
            value: bytes = self._tables[column][key]
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            if str(error) == _KEY_NOT_FOUND:
                return None
            raise _read_error(error) from None
        return value

    def scan(self, column: Column, prefix: bytes = b"", start: bytes = b"") -> Iterator[Row]:
        ensure(self._rows, "scan of a snapshot of a closed store")
        return scan_rows(self._rows[column], self._lock, prefix, start)

    def release(self) -> None:
        """Let go of the database, so that it can close."""
        self._tables, self._rows = {}, {}


def scan_rows(rows: RowCursor, lock: threading.Lock, prefix: bytes, start: bytes) -> Iterator[Row]:
    """Yield rows in steps under `lock`; between them others may move the shared iterator."""
    at, count = max(prefix, start), SCAN_ROWS_FIRST
    while True:
        with lock:
            found = _next_rows(rows, at, prefix, count)
        yield from found
        if len(found) < count:
            return
        at, count = found[-1][0] + b"\x00", min(4 * count, SCAN_ROWS)


def _next_rows(rows: RowCursor, at: bytes, prefix: bytes, count: int) -> list[Row]:
    """Return up to `count` rows from `at`; the status tells damage from the end of the data."""
    found: list[Row] = []
    try:
        rows.seek(at)
        while rows.valid() and len(found) < count:
            key: bytes = rows.key()
            if not key.startswith(prefix):
                return found
            found.append((key, rows.value()))
            rows.next()
        rows.status()
    except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
        raise _read_error(error) from None
    return found


def _database_options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_write_buffer_manager(WriteBufferManager(WRITE_BUFFERS_BYTES, False))
    options.set_max_total_wal_size(LOG_BYTES_MAX)
    options.set_max_open_files(OPEN_FILES_MAX)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(2**20)
    options.set_stats_dump_period_sec(0)
    return options


def _column_options(cache: Cache) -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_target_file_size_base(8 * 2**20)
    return options


def _open_error(path: Path, error: Exception) -> QenexError:
    text = str(error)
    if "LOCK" in text and "lock" in text.replace("LOCK", ""):
        return ConfigError(f"another node uses this folder: {path}", path=path)
    if "Column families not opened" in text:
        return ConfigError(f"a newer QENEX wrote the data folder {path}; use that version")
    if text.startswith("Corruption") or "CURRENT" in text:
        return StoreCorrupt(
            f"the files in {path} are damaged ({text}); restore a copy, or remove the folder and "
            "let the node fetch the chain from its peers",
            path=path,
        )
    return ConfigError(f"cannot use the data folder {path}: {text}", path=path)


def _read_error(error: Exception) -> QenexError:
    if str(error).startswith("Corruption"):
        return StoreCorrupt(f"the store is damaged: {error}")
    return BrokenInvariant(f"the store cannot be read: {error}")
