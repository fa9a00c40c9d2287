"""Processor time from the start of a node's process to its first answer over JSON-RPC.

A validator of four with a chain of its own is started again and again on one data folder, and asked
for its height until it answers. What counts is the processor time that the process has used by
then, in seconds, user and system together: unlike the clock's it does not depend on what else the
machine does. The first start compiles Python's files and is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from tests.system.cluster import Cluster, wait_until

VALIDATORS: Final = 4
ANSWER_S_MAX: Final = 120.0


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the measurement can be told."""
    command.add_argument("--starts", type=int, default=7, help="how many starts are counted")


def bench_start(options: argparse.Namespace) -> dict[str, Any]:
    """Start one node so many times; return seconds of processor and of clock."""
    with (
        tempfile.TemporaryDirectory(prefix="qenex-start-") as path,
        Cluster(Path(path), VALIDATORS) as cluster,
    ):
        spent = [_start_once(cluster) for _ in range(options.starts + 1)]
    counted = spent[1:]
    return {
        "starts": len(counted),
        "cpu_s": {
            "median": round(median(cpu for cpu, _ in counted), 2),
            "least": round(min(cpu for cpu, _ in counted), 2),
            "most": round(max(cpu for cpu, _ in counted), 2),
        },
        "clock_s": round(median(clock for _, clock in counted), 2),
    }


def _start_once(cluster: Cluster) -> tuple[float, float]:
    began = time.monotonic()
    cluster.start(0)
    process = psutil.Process(cluster.processes[0].pid)
    wait_until(lambda: cluster.height(0) >= 0, "the node answers", ANSWER_S_MAX)
    clock = time.monotonic() - began
    used = process.cpu_times()
    cluster.stop(0)
    return used.user + used.system, clock


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result in lines for a person."""
    found = result["cpu_s"]
    yield (
        f"start       {found['median']} s of processor from exec to the first answer "
        f"({found['least']} to {found['most']} in {result['starts']} starts), "
        f"{result['clock_s']} s by the clock"
    )
