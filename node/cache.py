"""A bounded, thread-safe cache: the least used rows go when the weight is above the bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Cache(Generic[_Key, _Value]):
    """The newest values up to a total weight; thread-safe. One value may outweigh the bound."""

    def __init__(self, weight_max: int) -> None:
        self._weight_max = weight_max
        self._weight = 0
        self._rows: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Value | None:
        """Return the value of `key`, or None; it becomes the newest."""
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                return None
            self._rows.move_to_end(key)
            return row[0]

    def put(self, key: _Key, value: _Value, weight: int = 1) -> None:
        """Keep `value`; the oldest go while the weight is above the bound."""
        with self._lock:
            old = self._rows.pop(key, None)
            self._weight += weight - (old[1] if old else 0)
            self._rows[key] = (value, weight)
            while self._weight > self._weight_max and len(self._rows) > 1:
                _, (_, gone) = self._rows.popitem(last=False)
                self._weight -= gone

    def __contains__(self, key: _Key) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)
