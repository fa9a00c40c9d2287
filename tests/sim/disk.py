"""A disk that forgets what was not synced, refuses when full, and fails to sync.

It holds one write-ahead log as records. What an append wrote can be read again at once (page
cache), but only a sync makes it durable. A killed process loses nothing that it wrote; a power cut
keeps a prefix of what was not synced, with perhaps a torn record or a hole behind it, because
reading stops at the first damaged frame. A log that grew is replaced at a checkpoint by a new
segment: written, synced, renamed, and the folder synced; before that last sync a power cut may
undo the rename, and the old segment is back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from consensus.wal import Checkpoint, Record, encode_record, read_records
from tests.sim.chain import Violation

SEGMENT_RECORDS_MAX = 3


class DiskFailed(Exception):
    """The disk refused a write or a sync: the node must stop."""


class Disk:
    """The write-ahead log of one simulated node."""

    renames_are_synced = True
    rewrites_on_open = True

    def __init__(self, random: Random, seen: Counter[str]) -> None:
        self.is_full = False
        self.fails_next_sync = False
        self.slow_ms = 0
        """How much longer than usual each sync takes at most."""
        self._random = random
        self._seen = seen
        self._records: list[Record] = []
        self._durable = 0
        self._old: list[Record] | None = None
        self._hole: int | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Write without sync; raises DiskFailed when the disk is full."""
        if self.is_full:
            self._seen["disk full: the node stopped"] += 1
            self._records += records[: int(self._random.random() * len(records))]
            raise DiskFailed("full")
        if isinstance(records[0], Checkpoint) and len(self._records) > SEGMENT_RECORDS_MAX:
            self._old = self._records[: self._durable]
            self._records, self._durable, self._hole = [], 0, None
        self._records += records

    def sync(self) -> None:
        """Make what was written durable; raises DiskFailed when that fails.

        After a failed sync the system may hold the written pages for clean: they can be read,
        and no later sync writes them.
        """
        if self.fails_next_sync:
            self.fails_next_sync = False
            if self._hole is None:
                self._hole = self._durable
            self._seen["sync failed: the node stopped"] += 1
            raise DiskFailed("sync")
        self._durable = len(self._records)
        if self.renames_are_synced:
            self._old = None

    def wipe(self) -> None:
        """Lose everything."""
        self._records, self._durable, self._old, self._hole = [], 0, None, None

    def cut_power(self) -> None:
        """Lose some or all of what was not synced."""
        if self._old is not None and self._random.random() < 0.5:
            self._seen["log lost a rename"] += 1
            self._records, self._durable, self._hole = self._old, len(self._old), None
        self._old = None
        unsynced = len(self._records) - self._durable
        kept = self._durable + int(self._random.random() * (unsynced + 1))
        if self._hole is not None:
            kept, self._hole = min(kept, self._hole), None
        if kept < len(self._records):
            self._seen["log lost unsynced records"] += 1
            self._tear(kept)
        del self._records[kept:]
        self._durable = kept

    def read(self) -> tuple[Record, ...]:
        """Return what a starting node finds, made durable by writing all of it anew."""
        if self.rewrites_on_open:
            self._durable = len(self._records)
            self._old = self._hole = None
        return tuple(self._records)

    def _tear(self, kept: int) -> None:
        """Check on real bytes that reading ends before what a cut tore or left out."""
        good = b"".join(map(encode_record, self._records[:kept]))
        lost = [encode_record(each) for each in self._records[kept:]]
        tail = b""
        if len(lost) == 1 or self._random.random() < 0.5:
            tail = lost[0][: self._random.randrange(len(lost[0]))]
            self._seen["log torn inside a record"] += bool(tail)
        else:
            tail = bytes(len(lost[0])) + b"".join(lost[1:])
            self._seen["log kept later writes behind a hole"] += 1
        records, length = read_records(good + tail)
        if list(records) != self._records[:kept] or length != len(good):
            raise Violation("the log's bytes do not give back its records")
