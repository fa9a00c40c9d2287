"""A disk that forgets what was not synced: a prefix survives a crash, perhaps a torn record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from consensus.wal import Checkpoint, Record, encode_record, read_records
from tests.sim.chain import Violation


class Disk:
    """The write-ahead log of one simulated node."""

    def __init__(self, random: Random, seen: Counter[str], *, has_bytes: bool) -> None:
        self._random = random
        self._seen = seen
        self._has_bytes = has_bytes
        self._records: list[Record] = []
        self._dropped = 0
        self._durable = 0

    def append(self, records: Sequence[Record]) -> int:
        """Write without sync; return the mark to hand to `sync`."""
        self._records += records
        return self._dropped + len(self._records)

    def sync(self, mark: int) -> None:
        """Make everything up to `mark` durable, and drop what the last checkpoint made needless."""
        self._durable = max(self._durable, mark)
        for index in range(self._durable - self._dropped - 1, 0, -1):
            if isinstance(self._records[index], Checkpoint):
                del self._records[:index]
                self._dropped += index
                break

    def wipe(self) -> None:
        """Lose everything."""
        self._records, self._dropped, self._durable = [], 0, 0

    def crash(self) -> None:
        """Lose some or all of what was not synced."""
        durable = self._durable - self._dropped
        kept = durable + self._random.randint(0, len(self._records) - durable)
        if kept < len(self._records):
            self._seen["log lost unsynced records"] += 1
        if self._has_bytes:
            self._tear(kept)
        del self._records[kept:]
        self._durable = self._dropped + kept

    def read(self) -> tuple[Record, ...]:
        """Return what a restarting node finds."""
        return tuple(self._records)

    def _tear(self, kept: int) -> None:
        good = b"".join(map(encode_record, self._records[:kept]))
        torn = b""
        if kept < len(self._records):
            torn = encode_record(self._records[kept])
            torn = torn[: self._random.randrange(len(torn))]
            self._seen["log torn inside a record"] += bool(torn)
        records, length = read_records(good + torn)
        if list(records) != self._records[:kept] or length != len(good):
            raise Violation("the log's bytes do not give back its records")
