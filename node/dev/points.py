"""A store that can go back: points in time, and the old values of what was written since each.

`PointStore` stands before a `KeyValue`. While a point is held, the first write to a key notes the
value before it; going back writes the noted values. Without a point nothing is noted and nothing
costs. Snapshots that were taken earlier stay what they were: they belong to the store below.

Nothing is synced: a killed process loses nothing, a power cut may lose the newest blocks. Bounds:
POINTS_MAX points and NOTED_BYTES_MAX of noted values; the oldest points are forgotten first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write

POINTS_MAX: Final = 10_000
NOTED_BYTES_MAX: Final = 256 * 2**20
ENTRY_BYTES: Final = 250
"""What a noted value takes beside its key and itself."""

_Place = tuple[Column, bytes]


@dataclass(slots=True)
class _Point:
    noted: dict[_Place, bytes | None] = field(default_factory=dict)
    size_bytes: int = 0


class PointStore:
    """A `KeyValue` over `below` that can go back to the points that it holds."""

    def __init__(
        self,
        below: KeyValue,
        *,
        points_max: int = POINTS_MAX,
        noted_bytes_max: int = NOTED_BYTES_MAX,
    ) -> None:
        self._below = below
        self._points_max = points_max
        self._noted_bytes_max = noted_bytes_max
        self._lock = threading.Lock()
        self._points: OrderedDict[int, _Point] = OrderedDict()
        self._noted_bytes = 0
        self._serial = 0

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._below.get(column, key)

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order for keys >= `start` that begin with `prefix`."""
        return self._below.scan(column, prefix, start)

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Apply the batch whole or not at all, and note what it replaces; `sync` has no effect."""
        writes = list(batch)
        with self._lock:
            if self._points:
                self._note(writes)
            self._below.write(writes, sync=False)

    def snapshot(self) -> KeyValueReader:
        """Return an immutable view of what has been written so far."""
        return self._below.snapshot()

    def close(self) -> None:
        """Forget the points and close what is below."""
        self._forget_all()
        self._below.close()

    def hold(self) -> int:
        """Begin a point at what is written now; return its name, which is never used again."""
        with self._lock:
            self._serial += 1
            self._points[self._serial] = _Point()
            self._keep_bounds()
            return self._serial

    def holds(self, point: int) -> bool:
        """Return whether `go_back` can still reach `point`."""
        return point in self._points

    def go_back(self, point: int) -> bool:
        """Make the store what it was at `point`; it and all later points are gone then.

        Returns False, and changes nothing, when there is no such point.
        """
        with self._lock:
            if point not in self._points:
                return False
            old: dict[_Place, bytes | None] = {}
            while point in self._points:
                _, newest = self._points.popitem()
                self._noted_bytes -= newest.size_bytes
                old.update(newest.noted)
            rows: list[Write] = [(column, key, value) for (column, key), value in old.items()]
            self._below.write(rows, sync=False)
            return True

    def clear(self) -> None:
        """Remove every row and every point."""
        self._forget_all()
        with self._lock:
            for column in Column:
                rows: list[Write] = [(column, key, None) for key, _ in self._below.scan(column)]
                self._below.write(rows, sync=False)

    @property
    def noted_bytes(self) -> int:
        """Memory that the noted values take, roughly."""
        return self._noted_bytes

    def _note(self, writes: list[Write]) -> None:
        newest = self._points[next(reversed(self._points))]
        before = newest.size_bytes
        for column, key, _ in writes:
            if (column, key) not in newest.noted:
                old = self._below.get(column, key)
                newest.noted[column, key] = old
                newest.size_bytes += ENTRY_BYTES + len(key) + len(old or b"")
        self._noted_bytes += newest.size_bytes - before
        self._keep_bounds()

    def _keep_bounds(self) -> None:
        while self._points and (
            len(self._points) > self._points_max or self._noted_bytes > self._noted_bytes_max
        ):
            _, oldest = self._points.popitem(last=False)
            self._noted_bytes -= oldest.size_bytes

    def _forget_all(self) -> None:
        with self._lock:
            self._points.clear()
            self._noted_bytes = 0
