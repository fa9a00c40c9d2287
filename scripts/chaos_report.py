"""What a run of `scripts.chaos` found: the report, and how it comes about when all has healed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scripts.chaos_clocks import AHEAD_S_MAX
from scripts.chaos_cluster import ChaosCluster, Links
from scripts.chaos_spaces import kernel_counts
from scripts.chaos_watch import Gauge, Senders
from scripts.load import nearest_rank
from tests.system.cluster import rpc

SETTLE_S_MAX: Final = 120.0
MEMORY_GROWTH_MAX: Final = 1.35
HANDLES_GROWTH_MAX: Final = 40
SAMPLES_MIN: Final = 60
"""Seconds of life below which a process is not asked whether it grows."""


@dataclass(slots=True)
class Report:
    """What a run found; `faults` holds how often each was done."""

    seed: int
    links: str = "proxies"
    library: Path | None = None
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    recoveries_s: list[float] = field(default_factory=list)
    height: int = 0
    acknowledged: int = 0
    mined: int = 0
    pending: int = 0
    lost: list[str] = field(default_factory=list)
    votes_read: int = 0
    wrong: list[str] = field(default_factory=list)
    memory_mb: tuple[float, float] = (0.0, 0.0)
    handles: tuple[int, int] = (0, 0)
    refused: dict[str, int] = field(default_factory=dict)
    outage_s: tuple[float, float] = (0.0, 0.0)
    loop_cpu_ms: float = 0.0
    loop_stalls: int = 0
    traffic: dict[str, int] = field(default_factory=dict)
    kernel: dict[str, int] = field(default_factory=dict)
    steps_s: list[float] = field(default_factory=list)
    steps_felt: int = 0
    ahead_s: float = 0.0

    def note_clocks(self, steps_s: dict[int, float], felt: set[int], ahead_s: float) -> None:
        """Take one fault of the clocks, and judge it.

        `steps_s` holds by node how far its clock was off, `felt` the nodes whose logs show it,
        `ahead_s` how far a block was ahead of this machine's clock at most.
        """
        self.steps_s += steps_s.values()
        self.steps_felt += len(felt)
        self.ahead_s = max(self.ahead_s, ahead_s)
        unfelt = sorted(steps_s.keys() - felt)
        if unfelt:
            self.wrong.append(f"nodes {[each + 1 for each in unfelt]} felt no step of their clocks")
        if ahead_s > AHEAD_S_MAX:
            self.wrong.append(f"a block was {ahead_s:.1f} s ahead of the right clocks")

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        times = self.recoveries_s or [0.0]
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "links": self.links,
            "faults": self.faults,
            "traffic": self.traffic,
            "kernel": self.kernel,
            "clocks": {
                "library": self.library.name if self.library else None,
                "steps": len(self.steps_s),
                "felt": self.steps_felt,
                "furthestSeconds": max(map(abs, self.steps_s), default=0),
                "blockAheadSeconds": round(self.ahead_s, 1),
            },
            "height": self.height,
            "recoverySeconds": {
                "p50": round(nearest_rank(times, 50), 1),
                "max": round(max(times), 1),
            },
            "outageSeconds": {
                "startToAnswer": round(self.outage_s[0], 1),
                "startToBlock": round(self.outage_s[1], 1),
            },
            "transfers": {
                "acknowledged": self.acknowledged,
                "mined": self.mined,
                "pending": self.pending,
                "lost": len(self.lost),
            },
            "votesRead": self.votes_read,
            "memoryMb": [round(each) for each in self.memory_mb],
            "handles": list(self.handles),
            "loop": {"cpuMaxMs": self.loop_cpu_ms, "stalls": self.loop_stalls},
            "refused": self.refused,
            "wrong": self.wrong,
        }


def settle(cluster: ChaosCluster, senders: Senders, report: Report) -> None:
    """Wait for all acknowledged transfers, then count what is where."""
    report.acknowledged, report.refused = len(senders.acknowledged), senders.refused
    open_hashes = set(senders.acknowledged)
    deadline = time.monotonic() + SETTLE_S_MAX
    while open_hashes and time.monotonic() < deadline:
        open_hashes = {each for each in open_hashes if not is_mined(cluster, each)}
        time.sleep(0.5)
    report.mined = report.acknowledged - len(open_hashes)
    for each in sorted(open_hashes):
        found = [rpc(url, "eth_getTransactionByHash", each) for url in cluster.urls]
        if any(found):
            report.pending += 1
        else:
            report.lost.append(each)
    if report.lost:
        report.wrong.append(f"{len(report.lost)} acknowledged transfers are lost")


def is_mined(cluster: ChaosCluster, transaction: str) -> bool:
    """Return whether the first node has the transaction in a block."""
    return rpc(cluster.urls[0], "eth_getTransactionReceipt", transaction) is not None


def judge(cluster: ChaosCluster, links: Links, gauge: Gauge, report: Report) -> None:
    """Compare chains, votes, evidence, memory and handles; note what links and kernels counted."""
    report.traffic = links.counts()
    if links.has_packets:
        counted = [kernel_counts(each.pid) for each in cluster.processes.values()]
        report.kernel = {key: sum(each[key] for each in counted) for key in counted[0]}
    try:
        report.height = cluster.check_agreement()
    except AssertionError as error:
        report.wrong.append(str(error))
    for index, url in enumerate(cluster.urls):
        loop = rpc(url, "qenex_status")["loop"]
        report.loop_cpu_ms = max(report.loop_cpu_ms, loop["cpuMaxMs"])
        report.loop_stalls += loop["stalls"]
        if rpc(url, "qenex_getEvidence"):
            report.wrong.append(f"node {index + 1} has evidence of double signing")
    gauge.ballots.read()
    report.votes_read = len(gauge.ballots.seen)
    report.wrong += gauge.ballots.conflicts
    index, usage = gauge.longest()
    if len(usage.samples) < SAMPLES_MIN:
        return
    half = len(usage.samples) // 2
    parts = usage.samples[half // 2 : half], usage.samples[half + half // 2 :]
    before, after = ([max(column) for column in zip(*part, strict=True)] for part in parts)
    report.memory_mb, report.handles = (before[1], after[1]), (int(before[2]), int(after[2]))
    if after[1] > before[1] * MEMORY_GROWTH_MAX:
        report.wrong.append(f"memory of node {index + 1} grew: {report.memory_mb} MB")
    if after[2] > before[2] + HANDLES_GROWTH_MAX:
        report.wrong.append(f"handles of node {index + 1} grew: {report.handles}")


def show(report: Report) -> None:
    """Print the report for people."""
    facts = report.as_json()
    for key, value in facts.items():
        if key != "wrong":
            print(f"{key:<18}{json.dumps(value)}")
    for line in report.wrong:
        print(f"wrong: {line}")
    print("nothing lost" if not report.wrong else "FAILED")
