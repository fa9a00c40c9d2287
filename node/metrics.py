"""Numbers for Prometheus: families of samples, their text, and those of the process itself.

Source: https://prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4). Nothing is
kept ready for a scrape: what counts, counts in plain integers, and a page is made when it is asked
for. The format is a few lines of rules, so no library is loaded for it; the tests read the pages
by prometheus-client's parser.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
STARTED_AT: Final = time.time()
_STATUS: Final = Path("/proc/self/statm")
_HANDLES: Final = Path("/proc/self/fd")

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]
"""What stands after the family's name, labels, value."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, kind (counter, gauge or histogram), help and samples."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


Collect = Callable[[], Iterable[Family]]
"""Returns families when a page is asked for; from a worker thread."""


def gauge(name: str, text: str, value: float) -> Family:
    """Return a number that goes up and down."""
    return Family(name, "gauge", text, (("", (), value),))


def counter(name: str, text: str, value: float) -> Family:
    """Return a number that only grows; its name ends in _total."""
    return Family(name, "counter", text, (("", (), value),))


def render(families: Iterable[Family]) -> bytes:
    """Return the page of all families."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for suffix, labels, value in family.samples:
            shown = ",".join(f'{name}="{_quoted(text)}"' for name, text in labels)
            lines.append(f"{family.name}{suffix}{'{' + shown + '}' if shown else ''} {value:.17g}")
    return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def process_families() -> list[Family]:
    """Return processor time, memory and file handles of this process, under Prometheus' names."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    families = [
        counter("process_cpu_seconds_total", "Processor time of the process.", time.process_time()),
        gauge("process_start_time_seconds", "When the process started.", STARTED_AT),
        gauge("process_max_fds", "Most open file handles.", soft),
    ]
    if _STATUS.exists():
        pages = int(_STATUS.read_text(encoding="ascii").split()[1])
        size = pages * os.sysconf("SC_PAGE_SIZE")
        families += [
            gauge("process_resident_memory_bytes", "Memory in use.", size),
            gauge("process_open_fds", "Open file handles.", sum(1 for _ in _HANDLES.iterdir())),
        ]
    return families


def folder_bytes(folder: Path) -> int:
    """Return the size of the files in a folder, without folders below it."""
    size = 0
    with os.scandir(folder) as entries:
        for each in entries:
            try:
                size += each.stat(follow_symlinks=False).st_size
            except FileNotFoundError:  # compacted away meanwhile
                continue
    return size
