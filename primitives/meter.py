"""What the processor is used for: seconds of this process by stage.

A stage is a kind of work, such as executing blocks. A function that does such work is marked with
`metered(stage)`; from then on the processor time of its thread during each call counts to the
stage, user and system together, and waiting does not. A metered function inside another counts to
the inner stage alone, so no second counts twice. A thread that does one thing for all its life is
given to a stage whole (`Meter.thread`): to that stage counts what no metered function in it took.
What is left of the process's time is OTHER.

A use costs two reads of the thread's clock, a system call each, and about 1 us besides, so a
stage is metered by batches and blocks, not by transactions. Nothing here changes what a
function returns or raises. Any thread may use and read it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Final, ParamSpec, TypeVar

from primitives.errors import ensure

P = ParamSpec("P")
T = TypeVar("T")


class Stage(StrEnum):
    """The kinds of work of a node."""

    DECODE = "decode"
    """Transactions from bytes, their senders recovered."""
    POOL = "pool"
    """Checking and keeping what waits, and choosing from it."""
    JOURNAL = "journal"
    """The pool's journal: what JSON-RPC has promised."""
    BUILD = "build"
    """Executing a block of one's own until its header is whole."""
    CHECK = "check"
    """Executing somebody else's block."""
    STORE = "store"
    """Committing a decided block to disk."""
    LOG = "log"
    """The write-ahead log of consensus."""
    CONSENSUS = "consensus"
    """Steps of the algorithm; signing votes and verifying them."""
    P2P = "p2p"
    """What else the node's loop does: connections with peers, their ciphers, timers."""
    RPC = "rpc"
    """JSON-RPC: its server's thread, and its workers but for the stages above."""
    OTHER = "other"
    """Start, catching up, threads of the database and of the interpreter."""


class _Whole:
    """A thread given to a stage: its clock, and what was metered in it since."""

    def __init__(self, stage: Stage) -> None:
        clock_of = getattr(time, "pthread_getcpuclockid", None)  # macOS has none
        self.stage = stage
        self.clock = None if clock_of is None else clock_of(threading.get_ident())
        self.began_s = time.thread_time()
        self.metered_s = 0.0

    def until(self, now_s: float) -> float:
        """Return the seconds that nothing else counts, at a reading of the thread's clock."""
        return now_s - self.began_s - self.metered_s


class _Here:
    """What one thread remembers: the metered seconds inside the present call, and its own stage."""

    __slots__ = ("inner_s", "whole")

    def __init__(self) -> None:
        self.inner_s = 0.0
        self.whole: _Whole | None = None


class _Threads(threading.local):
    """Gives each thread what it remembers."""

    def __init__(self) -> None:
        self.here = _Here()


class Meter:
    """Counts the seconds of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys(Stage, 0.0)
        self._wholes: list[_Whole] = []
        self._shown = dict.fromkeys(Stage, 0.0)
        self._threads = _Threads()

    def run(self, stage: Stage, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns; its thread's time counts to `stage`."""
        here = self._threads.here
        outer_s, here.inner_s = here.inner_s, 0.0
        began_s = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            took_s = time.thread_time() - began_s
            own_s = took_s - here.inner_s
            here.inner_s = outer_s + took_s
            with self._lock:
                self._seconds[stage] += own_s
                if here.whole is not None:
                    here.whole.metered_s += own_s

    @contextmanager
    def thread(self, stage: Stage) -> Iterator[None]:
        """Count all of the present thread that nothing else counts to `stage`, until the end.

        Where the system cannot read another thread's clock, it counts when it ends.
        """
        here = self._threads.here
        ensure(here.whole is None, "a thread is given to one stage", stage=stage.value)
        whole = here.whole = _Whole(stage)
        with self._lock:
            self._wholes.append(whole)
        try:
            yield
        finally:
            here.whole = None
            with self._lock:
                self._wholes.remove(whole)
                self._seconds[stage] += whole.until(time.thread_time())

    def seconds(self) -> dict[Stage, float]:
        """Return the seconds of each stage since the process began; together its processor time.

        A call under way counts when it has ended, and until then to OTHER or to its thread's stage.
        No number ever falls: one that would stays until the truth has passed it.
        """
        with self._lock:
            found = dict(self._seconds)
            for whole in self._wholes:
                if whole.clock is not None:
                    found[whole.stage] += whole.until(time.clock_gettime(whole.clock))
            found[Stage.OTHER] += time.process_time() - sum(found.values())
            for stage, seconds in found.items():
                self._shown[stage] = max(self._shown[stage], seconds)
            return dict(self._shown)


METER: Final = Meter()
"""The meter of this process."""


def metered(stage: Stage, meter: Meter = METER) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator: each call of the function counts to `stage`.

    For functions that run to their end in one thread; a coroutine or generator is refused.
    """

    def mark(function: Callable[P, T]) -> Callable[P, T]:
        pauses = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)
        ensure(not any(each(function) for each in pauses), "a stage ends in the thread it began in")

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return meter.run(stage, function, *args, **kwargs)

        return run

    return mark
