"""The write-ahead log on disk: segments of records, durable before anything is signed.

`<data>/wal/<number>.log` holds framed records (consensus/wal.py). An append is written and
fsynced before it returns, but for a checkpoint alone: it says nothing that the block store does not
say too, so the next vote's sync takes it along. A proposal shares its sync with its proposer's own
prevote, so a height costs everybody two syncs here beside the block's own (docs/notes/0127). A
height's checkpoint makes older records needless, so a segment above SEGMENT_BYTES_MAX is replaced:
the new one is written under a temporary name, fsynced, renamed, and the directory fsynced before
the old one goes.

Opening writes what is needed into a new segment in the same way, and only then removes the older
ones. So a torn tail goes, and what is replayed, and signed again, is durable even when it was
written by a process that was killed between write, rename and fsync, or whose fsync failed: after
that the system may hold the pages for clean, and no later fsync writes them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consensus.wal import Checkpoint, Record, SignGuard, encode_record, needed, read_records
from primitives.errors import StoreCorrupt, WalFailed, ensure
from primitives.meter import Stage, metered
from primitives.types import ChainId, Height

SEGMENT_BYTES_MAX: Final = 4_000_000
SUFFIX: Final = ".log"
NEW_SUFFIX: Final = ".new"


class Wal:
    """One node's log and its sign guard; one thread at a time."""

    def __init__(self, folder: Path, chain_id: ChainId) -> None:
        """Open the log in `folder`, creating the folder; raises StoreCorrupt or WalFailed."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sync_folder(folder.parent)
            segments = sorted(folder.glob(f"*{SUFFIX}"))
            data = segments[-1].read_bytes() if segments else b""
        except OSError as error:
            raise WalFailed(f"write-ahead log {folder}: {error}") from error
        self.records, good_bytes = read_records(data)
        self.torn_bytes = len(data) - good_bytes
        if data and not self.records:
            raise StoreCorrupt(
                f"write-ahead log {folder} does not begin with a whole record; "
                "restore it from a backup, or remove the folder so that this key watches first",
            )
        self.guard = SignGuard(chain_id, self.records)
        self._size = 0
        self._file: int | None = None
        self._number = int(segments[-1].stem) if segments else 0
        try:
            if self.records:
                self._begin_segment(needed(self.records))
            for left_over in (*segments, *folder.glob(f"*{NEW_SUFFIX}")):
                left_over.unlink()
        except OSError as error:
            raise WalFailed(f"write-ahead log {folder}: {error.strerror}") from error

    @property
    def is_new(self) -> bool:
        """True while nothing was ever written: this key's past is unknown."""
        return not self.records

    def begin(self, height: Height) -> None:
        """Declare in an empty log that this key has signed nothing at `height` or above.

        For a key that is known to be new: one that lost its log must watch instead. Raises as
        `append` does.
        """
        ensure(self.is_new, "only an empty log can begin")
        first = Checkpoint(height, watch_left=0)
        self.append([first])
        self.records = (first,)

    @metered(Stage.LOG)
    def append(self, records: Sequence[Record]) -> None:
        """Make `records` durable, in order; checkpoints alone become so with the next append.

        Raises DoubleSignRefused before anything is written, WalFailed when the disk refuses.
        """
        for record in records:
            self.guard.reserve(record)
        try:
            if self._file is None or self._size > SEGMENT_BYTES_MAX:
                kept = needed(records)
                if self._file is None or isinstance(kept[0], Checkpoint):
                    self._begin_segment(kept if self._file is not None else records)
                    return
            data = b"".join(map(encode_record, records))
            _write_all(self._file, data)
            if not all(isinstance(record, Checkpoint) for record in records):
                os.fdatasync(self._file)
            self._size += len(data)
        except OSError as error:
            raise WalFailed(f"write-ahead log {self._folder}: {error.strerror}") from error

    def close(self) -> None:
        """Close the segment; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}{SUFFIX}"

    def _begin_segment(self, records: Sequence[Record]) -> None:
        old, old_path = self._file, self._path(self._number)
        path = self._path(self._number + 1)
        data = b"".join(map(encode_record, records))
        temporary = path.with_suffix(NEW_SUFFIX)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, mode=0o600)
        _write_all(handle, data)
        os.fsync(handle)
        temporary.rename(path)
        _sync_folder(self._folder)
        self._file, self._size, self._number = handle, len(data), self._number + 1
        if old is not None:
            os.close(old)
            old_path.unlink()


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
