"""Watches the trio loop: how long it is busy between two looks at the outside world.

While a task runs without waiting, timers are late and peers' pings unanswered. The loop's lag is
the time from one look at sockets and timers to the next: whoever comes in between waits that long.
Of that the loop's thread computes a part; during the rest it has no processor, or waits for a
worker to hand over the interpreter. CPU above 5 ms belongs into a worker, so computing for more
than LAG_MS_MAX in one go is a fault of ours: it is logged with the task that ran longest.

Costs two clock reads a task step. Written by the loop's thread, read by any.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

import trio

from node.log import get_log

LAG_MS_MAX: Final = 20.0
WINDOW_S: Final = 60.0
SLOT_S: Final = 5.0
"""The window's maximum is kept as that of slots of this length."""
SAY_S: Final = 1.0
"""At most one line in this time."""


@dataclass(frozen=True, slots=True)
class Lag:
    """The loop's longest lag of the last minute, in ms, and the longest computing in one go.

    `task` is the one that ran longest in that lag; `stalls` counts since the start how often the
    loop computed for more than LAG_MS_MAX.
    """

    max_ms: float
    cpu_max_ms: float
    task: str
    stalls: int


class Watchdog(trio.abc.Instrument):
    """A trio instrument; one per run."""

    def __init__(self) -> None:
        self._log = get_log("watchdog")
        self._slots: deque[tuple[float, float, float, str]] = deque(maxlen=int(WINDOW_S / SLOT_S))
        self._pass_began = self._step_began = time.perf_counter()
        self._longest_s = 0.0
        self._longest = ""
        self._cpu_began = 0.0
        self._is_busy = False
        self._said_at = float("-inf")
        self._stalls = 0

    def lag(self) -> Lag:
        """Return the largest lag of the last minute; from any thread."""
        since = time.perf_counter() - WINDOW_S
        slots = [slot for slot in list(self._slots) if slot[0] >= since]
        _, lag_s, _, task = max(slots, key=lambda slot: slot[1], default=(0.0, 0.0, 0.0, ""))
        cpu_s = max((slot[2] for slot in slots), default=0.0)
        return Lag(round(1e3 * lag_s, 1), round(1e3 * cpu_s, 1), task, self._stalls)

    def after_io_wait(self, timeout: float) -> None:
        """Begin a pass."""
        self._is_busy = True
        self._pass_began = time.perf_counter()
        self._cpu_began = time.thread_time()
        self._longest_s, self._longest = 0.0, ""

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Begin a step."""
        self._step_began = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Remember the longest step of the pass."""
        took_s = time.perf_counter() - self._step_began
        if took_s > self._longest_s:
            self._longest_s, self._longest = took_s, task.name

    def before_io_wait(self, timeout: float) -> None:
        """End a pass, if its beginning was seen."""
        if not self._is_busy:
            return
        now, cpu_s = time.perf_counter(), time.thread_time() - self._cpu_began
        lag_s = now - self._pass_began
        if not self._slots or now - self._slots[-1][0] >= SLOT_S:
            self._slots.append((now, 0.0, 0.0, ""))
        began, most_s, cpu_most_s, task = self._slots[-1]
        if lag_s > most_s:
            most_s, task = lag_s, self._longest
        self._slots[-1] = (began, most_s, max(cpu_most_s, cpu_s), task)
        if 1e3 * cpu_s > LAG_MS_MAX:
            self._stalls += 1
            if now - self._said_at >= SAY_S:
                self._said_at = now
                self._log.warning(
                    "the loop was busy",
                    ms=round(1e3 * lag_s, 1),
                    cpu_ms=round(1e3 * cpu_s, 1),
                    task=self._longest,
                    task_ms=round(1e3 * self._longest_s, 1),
                )
