"""Wall clocks of the nodes of `scripts.chaos` that can be set, one by one, while they run.

libfaketime is put under the node's process (LD_PRELOAD) and reads the distance to this machine's
clock from a file at every look at the wall clock, 10 us each; monotonic clocks, file times and
this machine's clock stay as they are. Without FAKETIME_FORCE_MONOTONIC_FIX=0 it meddles with every
wait for Python's interpreter lock, and a node hardly gets on. Whether a process felt a step is read
in its log, whose lines carry its own time.

What the protocol promises about clocks: a block's time is not before its parent's, and a validator
accepts none that is more than `clock_drift_ms` ahead of its own clock. A block needs a quorum, so
as long as fewer than a quorum of clocks are wrong, no block is further ahead of the right ones than
that. `AHEAD_S_MAX` is this bound, with the second to which block times are rounded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from primitives.params import ChainParams
from tests.system.cluster import CHAIN_ID

LIBRARIES: Final = tuple(
    Path(folder) / "faketime" / name
    for folder in (
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    )
    for name in ("libfaketimeMT.so.1", "libfaketime.so.1")
)
"""Where Debian and others put it; the first one locks, for processes with threads."""
AHEAD_S_MAX: Final = ChainParams(CHAIN_ID).clock_drift_ms / 1000 + 1
PROBE_S: Final = 1_000.0
PROBE_TIMEOUT_S: Final = 20.0
FELT_S: Final = 1.5
"""How far a line's time may lie from what it should be, by when it was written and read."""
TAIL_BYTES: Final = 65_536


def find_library(chosen: Path | None) -> Path | None:
    """Return the library to use: `chosen`, or the first one in its usual places, or None."""
    return next((each for each in ((chosen,) if chosen else LIBRARIES) if each.is_file()), None)


class Clocks:
    """One clock per node; `folder` holds the distances. Raises OSError when they do not work."""

    def __init__(self, folder: Path, library: Path, count: int) -> None:
        folder.mkdir(parents=True)
        self._library = library.resolve()
        self._files = [folder / f"clock{index + 1}" for index in range(count)]
        self._pids: set[int] = set()
        self.right()
        self._probe()

    def __enter__(self) -> Clocks:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what the library leaves in shared memory when its process is killed."""
        for pid in self._pids:
            for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
                with suppress(OSError):
                    Path("/dev/shm", name).unlink()  # noqa: S108 (the library's choice)

    def prefix(self, index: int) -> list[str]:
        """Return the words before a node's command line that put it on its clock."""
        settings = {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._files[index]),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
        }
        return ["env", *(f"{key}={value}" for key, value in settings.items())]

    def started(self, pids: Iterable[int]) -> None:
        """Note processes that were started with a prefix."""
        self._pids.update(pids)

    def step(self, indexes: Iterable[int], seconds: float) -> None:
        """Set these nodes' clocks this far ahead of the machine's; below zero: behind it."""
        for index in indexes:
            file = self._files[index]
            new = file.with_suffix(".new")
            new.write_text(f"{seconds:+.3f}\n", encoding="ascii")
            new.replace(file)  # no reader finds half of it

    def right(self) -> None:
        """Set all clocks to the machine's."""
        self.step(range(len(self._files)), 0.0)

    def _probe(self) -> None:
        self.step([0], PROBE_S)
        words = [*self.prefix(0), sys.executable, "-c", "import time; print(time.time())"]
        before = datetime.now().astimezone().timestamp()
        found = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S
        )
        self.right()
        moved = float(found.stdout or "0") - before
        if not PROBE_S <= moved <= PROBE_S + PROBE_TIMEOUT_S:
            raise OSError(f"{self._library} does not turn clocks: {found.stderr.strip()}")


def felt(lines: Sequence[str], now_s: float, step_s: float) -> bool:
    """Return whether a line of a node's log carries the time of a clock that is `step_s` off.

    The lines are those written since a moment ago, `now_s` is this machine's time in seconds.
    """
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            written_s = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
            if abs(written_s - now_s - step_s) <= FELT_S:
                return True
    return False


def new_lines(log: Path, position: int) -> tuple[list[str], int]:
    """Return the whole lines of a log after a byte position, and the position after them."""
    with log.open("rb") as source:
        source.seek(position)
        data = source.read(TAIL_BYTES)
    end = data.rfind(b"\n") + 1
    return data[:end].decode(errors="replace").splitlines(), position + end
