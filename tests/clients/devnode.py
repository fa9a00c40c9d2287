"""A developer chain in its own process, as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 20


@contextmanager
def dev_node(*options: str) -> Iterator[str]:
    """Run `qenex dev` on a free port while the context lasts; gives its address."""
    command = [sys.executable, "-m", "qenex", "dev", "--port", "0", "--quiet", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://"), line
        yield line.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=STOP_TIMEOUT_S)
