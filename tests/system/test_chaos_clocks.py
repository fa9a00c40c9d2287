"""A process under the chaos runs' clocks has the time that it is given, and others have theirs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.chaos_clocks import Clocks, felt, find_library, new_lines

SHOW = (
    "import sys, time\n"
    "for line in sys.stdin:\n"
    "    print(time.time(), time.monotonic(), flush=True)\n"
)
CLOSE_S = 5.0


def ask(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Return how far a process's wall clock and its monotonic clock are ahead of ours."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    wall, steady = map(float, process.stdout.readline().split())
    return wall - time.time(), steady - time.monotonic()


@pytest.mark.process
@pytest.mark.slow
def test_wall_clock_of_one_running_process_steps(tmp_path: Path) -> None:
    """Steps ahead and behind are seen at once, by the wall clock alone, in that process alone."""
    library = find_library(None)
    if library is None:
        pytest.skip("no libfaketime here (Debian: package faketime)")
    with Clocks(tmp_path / "clocks", library, 2) as clocks:
        shown = [
            subprocess.Popen(
                [*clocks.prefix(index), sys.executable, "-c", SHOW],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for index in range(2)
        ]
        clocks.started(each.pid for each in shown)
        try:
            for step in (0.0, 60.0, -3600.0, 0.0):
                clocks.step([0], step)
                wall, steady = ask(shown[0])
                assert abs(wall - step) < CLOSE_S
                assert abs(steady) < CLOSE_S
                assert abs(ask(shown[1])[0]) < CLOSE_S
        finally:
            for each in shown:
                each.kill()
                each.communicate()
    assert not [each for each in shown if Path(f"/dev/shm/faketime_shm_{each.pid}").exists()]


def test_file_that_is_no_such_library_is_refused(tmp_path: Path) -> None:
    """What turns no clock is told before a run relies on it."""
    wrong = tmp_path / "libfaketime.so.1"
    wrong.write_bytes(b"no library")
    assert find_library(wrong) == wrong
    with pytest.raises(OSError, match="does not turn clocks"):
        Clocks(tmp_path / "clocks", wrong, 1)
    assert find_library(tmp_path / "absent") is None


def test_step_is_felt_by_the_times_in_a_log(tmp_path: Path) -> None:
    """A line counts when its time is off by the step; half lines are read when they are whole."""
    log, now = tmp_path / "node.log", 1_800_000_000.0

    def line(at: float) -> str:
        stamp = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
        return json.dumps({"event": "block committed", "timestamp": stamp})

    log.write_text(f"{line(now)}\nno json\n{line(now + 60)[:20]}")
    lines, position = new_lines(log, 0)
    assert len(lines) == 2
    assert felt(lines, now, 0.0)
    assert not felt(lines, now, 60.0)
    with log.open("a") as sink:
        sink.write(f"{line(now + 60)[20:]}\n")
    lines, _ = new_lines(log, position)
    assert felt(lines, now, 60.0)
    assert not felt(lines, now, -60.0)
