"""Child processes: started with a log file each, watched, told to stop, killed when they do not.

Each child leads its own session, so that Ctrl-C reaches only its parent, who stops all in order.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LOG_BYTES_MAX: Final = 64 * 1024 * 1024
"""A log above this size is moved to `.1` at the next start."""

TAIL_BYTES: Final = 8_192
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended: its exit code (negative: the signal) and its log's last lines."""

    name: str
    pid: int
    code: int
    lines: tuple[str, ...]

    @property
    def cause(self) -> str:
        """The exit code in words."""
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            return f"exit code {self.code} ({signal.Signals(-self.code).name})"
        except ValueError:
            return f"exit code {self.code}"


@dataclass(slots=True)
class Child:
    """One running process; `log` collects what it prints."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Start the process."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 (our own command, no shell)
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        """True while the process runs."""
        return self.process.poll() is None

    def last_lines(self, count: int = 8) -> tuple[str, ...]:
        """Return the last `count` lines of the log."""
        with self.log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return tuple(each for each in text.splitlines() if each.strip())[-count:]


class Children:
    """The processes of one network, in order."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    def start(self, name: str, command: Sequence[str], log: Path) -> Child:
        """Start one more child."""
        child = Child(name, command, log)
        self._running.append(child)
        return child

    @property
    def running(self) -> list[Child]:
        """Children whose death was not reported."""
        return list(self._running)

    def deaths(self) -> list[Death]:
        """Return the children that ended since the last call; each is told once."""
        found = []
        for child in list(self._running):
            code = child.process.poll()
            if code is not None:
                self._running.remove(child)
                found.append(Death(child.name, child.process.pid, code, child.last_lines()))
        return found

    def stop(
        self, wait_s: float, *, hurry: Callable[[], bool] = lambda: False
    ) -> tuple[list[Child], list[Child]]:
        """Ask all to stop (SIGTERM), wait, kill the rest; return who stopped and who was killed.

        `hurry` ends the wait early.
        """
        for child in self._running:
            if child.is_alive:
                child.process.terminate()
        deadline = time.monotonic() + wait_s
        while (
            any(child.is_alive for child in self._running)
            and time.monotonic() < deadline
            and not hurry()
        ):
            time.sleep(_POLL_S)
        killed = [child for child in self._running if child.is_alive]
        for child in killed:
            child.process.kill()
        for child in self._running:
            child.process.wait()
        stopped = [child for child in self._running if child not in killed]
        self._running.clear()
        return stopped, killed
