"""A key-value store that loses unsynced batches, and whose writer may die at each write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from primitives.keyvalue import Column, MemoryStore, Write
from tests.node.faulty_files import Disk


class FaultyStore:
    """A `KeyValue` whose unsynced batches may be lost, and whose writer may die at each write."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._now = MemoryStore()
        self._durable = MemoryStore()
        self._unsynced: list[list[Write]] = []

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._now.get(column, key)

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order."""
        return self._now.scan(column, prefix, start)

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Apply a batch; the process may end before it, or after it and before the return."""
        changes = list(batch)
        self._disk.count()
        self._now.write(changes, sync=sync)
        self._unsynced.append(changes)
        if sync:
            self._keep(len(self._unsynced))
        self._disk.count()

    def snapshot(self) -> MemoryStore:
        """Return a copy."""
        return self._now.snapshot()

    def close(self) -> None:
        """Nothing is open."""

    def cut_power(self, random: Random) -> None:
        """Keep some of the unsynced batches, the first ones."""
        self._keep(random.randint(0, len(self._unsynced)))
        self._unsynced.clear()
        self._now = self._durable.snapshot()

    def _keep(self, count: int) -> None:
        for changes in self._unsynced[:count]:
            self._durable.write(changes, sync=True)
        del self._unsynced[:count]
