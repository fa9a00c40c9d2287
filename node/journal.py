"""The pool's journal: transactions that JSON-RPC accepted survive a crash of the node.

A file of records after an 8-byte mark: length (4 bytes), crc32 of the rest (4 bytes), raw
transaction. `append_many` returns when its records are on the disk, so that whoever was told
"accepted" finds the transaction again. A crash in the middle of a write leaves a torn tail: `load`
cuts it off. Transactions that went into blocks stay in the file until `compact` writes a new file
with what is still needed and puts it in the old one's place, whole or not at all.

Behind the records stand zeros, written and synced before they are needed: a record that goes over
them changes neither the file's length nor where its blocks lie, so fdatasync writes that record
alone, where fsync of a growing file writes the file system's own journal, too. Only a record for
which the zeros do not suffice grows the file, with zeros for those after it.

What an earlier process wrote and did not sync, or could not sync, can be read and is not durable:
`load` writes it again, syncs it and the folder, and only then returns. Nothing is acknowledged
while the file's name may still be lost.

One caller at a time. A write that fails leaves the file as it was before.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from primitives.errors import StoreCorrupt, ensure
from primitives.params import TRANSACTION_BYTES_MAX

MARK: Final = b"qxpool\x00\x01"
HEADER_BYTES: Final = 8
CHUNK_BYTES: Final = 1 << 20
JOURNAL_BYTES_MAX: Final = 512 << 20
"""Largest file; appending beyond fails until it was compacted."""

SPARE_BYTES: Final = 1 << 20
"""Zeros that are written ahead when the last ones are used up."""

BLOATED_RECORDS_MIN: Final = 1_000
"""A file with fewer records is never worth compacting."""


class Journal:
    """Durable raw transactions. `load` comes first."""

    def __init__(
        self, path: Path, bytes_max: int = JOURNAL_BYTES_MAX, spare_bytes: int = SPARE_BYTES
    ) -> None:
        """Name the file; nothing is opened before `load`."""
        self._path = path
        self._bytes_max = bytes_max
        self._spare_bytes = spare_bytes
        self._handle = -1
        self._size = 0
        self._length = 0
        self._records = 0
        self._is_named = False
        self.torn_bytes = 0

    def load(self) -> list[bytes]:
        """Open the file, making it if need be; return what it holds, oldest first.

        All of it is durable then. A torn tail is cut off (`torn_bytes` tells how much). Raises
        StoreCorrupt when the file is something else, OSError when it cannot be read or written.
        """
        ensure(self._handle < 0, "the journal is loaded once")
        _scratch(self._path).unlink(missing_ok=True)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._check_mark()
            raws = list(self._read())
            self._records = len(raws)
            self._size = len(MARK) + sum(HEADER_BYTES + len(raw) for raw in raws)
            self.torn_bytes = self._used_behind()
            self._cut()
            self._write_again()
            self._make_named()
        except BaseException:
            self._let_go()
            raise
        return raws

    def append_many(self, raws: Sequence[bytes]) -> None:
        """Add records; they are on the disk when the call returns. Raises OSError.

        One sync serves the whole batch: callers that wait together should share it.
        """
        ensure(self._handle >= 0, "the journal is not loaded")
        data = b"".join(map(_record, raws))
        if self._size + len(data) > self._bytes_max:
            raise OSError(errno.EFBIG, f"pool journal would exceed {self._bytes_max} bytes")
        self._make_named()
        end = self._size + len(data)
        try:
            if end <= self._length:
                _write(self._handle, data, self._size)
                os.fdatasync(self._handle)
            else:
                spare = max(0, min(self._spare_bytes, self._bytes_max - end))
                _write(self._handle, data + bytes(spare), self._size)
                os.fsync(self._handle)
                self._length = end + spare
        except OSError:
            self._cut()
            raise
        self._size = end
        self._records += len(raws)

    def is_bloated(self, needed: int, records_min: int = BLOATED_RECORDS_MIN) -> bool:
        """True when most of at least `records_min` records are not among the `needed` any more."""
        return self._records >= records_min and self._records > 2 * needed

    def compact(self, keep: Callable[[bytes], bool]) -> None:
        """Rewrite the file with the records for which `keep` is true; raises OSError.

        The old file stays in use if writing fails. If the new name cannot be made durable the new
        file is in use, and acknowledges nothing until it can.
        """
        ensure(self._handle >= 0, "the journal is not loaded")
        scratch = _scratch(self._path)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        handle = os.open(scratch, flags, 0o600)
        try:
            size, records = _write(handle, MARK, 0), 0
            for raw in self._read():
                if keep(raw):
                    size += _write(handle, _record(raw), size)
                    records += 1
            os.fsync(handle)
            self._is_named = False
            scratch.replace(self._path)
        except BaseException:
            os.close(handle)
            scratch.unlink(missing_ok=True)
            raise
        os.close(self._handle)
        self._handle, self._size, self._length, self._records = handle, size, size, records
        self._make_named()

    def close(self) -> None:
        """Close the file, without the zeros that it did not need."""
        if self._handle < 0:
            return
        try:
            self._cut()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        os.close(self._handle)
        self._handle = -1

    def _cut(self) -> None:
        """Let the file end behind its records."""
        os.ftruncate(self._handle, self._size)
        self._length = self._size

    def _used_behind(self) -> int:
        """Return how many bytes behind the records were written, up to the last that is no zero."""
        used, length = 0, os.fstat(self._handle).st_size
        for at in range(self._size, length, CHUNK_BYTES):
            found = os.pread(self._handle, CHUNK_BYTES, at).rstrip(b"\0")
            used = at - self._size + len(found) if found else used
        return used

    def __len__(self) -> int:
        return self._records

    def _write_again(self) -> None:
        """Write what can be read over itself, so that the fsync takes pages that count as clean."""
        for at in range(0, self._size, CHUNK_BYTES):
            _write(self._handle, os.pread(self._handle, CHUNK_BYTES, at), at)
        os.fsync(self._handle)

    def _make_named(self) -> None:
        """Make the file's name durable, if it is not known to be."""
        if not self._is_named:
            _sync_folder(self._path.parent)
            self._is_named = True

    def _check_mark(self) -> None:
        mark = os.pread(self._handle, len(MARK) + 1, 0)
        if mark.startswith(MARK):
            return
        is_torn = len(mark) <= len(MARK) and all(
            byte in (0, good) for byte, good in zip(mark, MARK, strict=False)
        )
        if not is_torn:
            raise StoreCorrupt(f"{self._path} is not a pool journal: move it away")
        _write(self._handle, MARK, 0)
        os.fsync(self._handle)

    def _read(self) -> Iterator[bytes]:
        """Yield the records from the start up to the first that is torn."""
        at = len(MARK)
        while True:
            header = os.pread(self._handle, HEADER_BYTES, at)
            if len(header) < HEADER_BYTES:
                return
            length = int.from_bytes(header[:4], "big")
            if not 0 < length <= TRANSACTION_BYTES_MAX:
                return
            raw = os.pread(self._handle, length, at + HEADER_BYTES)
            if len(raw) < length or zlib.crc32(raw).to_bytes(4, "big") != header[4:]:
                return
            yield raw
            at += HEADER_BYTES + length


def _record(raw: bytes) -> bytes:
    ensure(0 < len(raw) <= TRANSACTION_BYTES_MAX, "a record is one transaction", length=len(raw))
    return len(raw).to_bytes(4, "big") + zlib.crc32(raw).to_bytes(4, "big") + raw


def _write(handle: int, data: bytes, at: int) -> int:
    """Write all of `data` at an offset; returns its length."""
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], at + done)
    return done


def _scratch(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
