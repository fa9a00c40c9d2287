"""A task that keeps the loop busy is seen and named; waiting is not."""

from __future__ import annotations

import time

import pytest
import trio

from node.watchdog import Lag, Watchdog


async def greedy() -> None:
    """Compute for 30 ms of this thread's time without giving way (the planted fault)."""
    await trio.lowlevel.checkpoint()
    end = time.thread_time() + 0.03
    while time.thread_time() < end:
        pass
    await trio.lowlevel.checkpoint()


def test_blocked_loop_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty busy milliseconds are a stall, with the task's name, in the picture and the log."""
    watched = Watchdog()
    trio.run(greedy, instruments=[watched])
    lag = watched.lag()
    assert lag.max_ms >= lag.cpu_max_ms >= 29
    assert lag.task.endswith("greedy")
    assert lag.stalls >= 1


def set_clocks(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr("node.watchdog.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("node.watchdog.time.thread_time", lambda: clock[0] / 2)


def test_waiting_is_no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that the loop spends waiting does not count (bug: measured from wait to wait)."""
    clock = [0.0]
    set_clocks(monkeypatch, clock)
    watched = Watchdog()
    for wait_s, busy_s in ((100.0, 0.001), (1.0, 0.004), (50.0, 0.002)):
        clock[0] += wait_s
        watched.after_io_wait(0.0)
        clock[0] += busy_s
        watched.before_io_wait(0.0)
    assert watched.lag() == Lag(4.0, 2.0, "", 0)


def test_old_lag_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The maximum is of the last minute; stalls are counted for ever."""
    clock = [0.0]
    set_clocks(monkeypatch, clock)
    watched = Watchdog()
    watched.after_io_wait(0.0)
    clock[0] += 0.5
    watched.before_io_wait(0.0)
    assert watched.lag().max_ms == 500
    for _ in range(40):
        clock[0] += 2.0
        watched.after_io_wait(0.0)
        clock[0] += 0.001
        watched.before_io_wait(0.0)
    assert watched.lag() == Lag(1.0, 0.5, "", 1)
