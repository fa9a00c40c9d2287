"""How large the store is on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from node.metrics import Family, folder_bytes, gauge

LOOK_S: Final = 10.0
"""A large store has many files, so they are looked at this often at most."""


class StoreMeter:
    """Measures a folder when it is asked to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size = 0
        self._looked_at = float("-inf")

    def families(self) -> list[Family]:
        """Return the size, some seconds old at most."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._size, self._looked_at = folder_bytes(self._folder), now
        return [gauge("qenex_node_store_bytes", "Size of the store on disk.", self._size)]
