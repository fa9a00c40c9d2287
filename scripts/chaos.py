"""Real node processes under load and faults: `python -m scripts.chaos --minutes 20 [--json]`.

    kill        kill -9 of one, two or all, and a start some seconds later
    stop        SIGSTOP of one or two, and SIGCONT
    partition   two against two, one against three, one direction alone; silent, not closed
    weather     delay, loss and rate limits on all links
    disk        no file of a node may grow any more; it must stop, and start again later

Links are proxies on this machine (`scripts.chaos_net`). A step of the clock is not among the
faults: a process has no clock of its own without a library put under it, and this machine's is not
ours to turn; the simulator (`scripts.simulate`) turns clocks.

Afterwards all heals, and these must hold: one chain on every node; every acknowledged transfer is
in it or still pending; no log ever held two different votes for one place, and no node has evidence
of any; memory and handles of the process that lived longest are flat; each fault was followed by a
block on all nodes within RECOVER_S_MAX. Exit status 1 when one does not.

`--outage-minutes M` instead kills two of the four, waits, starts them and waits for a block. How
long Python takes to start is the machine's affair: what is judged is the time from when both answer
to the next block, OUTAGE_RECOVER_S_MAX; the whole time is shown beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from p2p.keys import load_node_key
from scripts.chaos_net import HOST, Links, Weather
from scripts.chaos_watch import Ballots, Gauge, Senders
from scripts.load import nearest_rank
from tests.system.cluster import CHAIN_ID, Cluster, RpcError, free_ports, rpc, wait_until

VALIDATORS: Final = 4
RECOVER_S_MAX: Final = 60.0
OUTAGE_RECOVER_S_MAX: Final = 10.0
SETTLE_S_MAX: Final = 120.0
MEMORY_GROWTH_MAX: Final = 1.35
HANDLES_GROWTH_MAX: Final = 40
SAMPLES_MIN: Final = 60
"""Seconds of life below which a process is not asked whether it grows."""
WARM_SHARE: Final = 0.3


class ChaosCluster(Cluster):
    """Validators that reach each other through proxies."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, VALIDATORS)
        pairs = [(a, b) for a in self.indexes for b in self.indexes if a != b]
        taken = {*self.net.rpc_ports, *self.net.p2p_ports}
        free = [port for port in free_ports(len(pairs) + len(taken)) if port not in taken]
        self.ways = {
            (a, b): (port, self.net.p2p_ports[b]) for (a, b), port in zip(pairs, free, strict=False)
        }

    def command(self, index: int) -> list[str]:
        """Return the command line of one node, the others at their proxies."""
        plain = super().command(index)
        at = plain.index("--p2p.addresses")
        addresses = [
            f"/ip4/{HOST}/tcp/{self.ways[index, each][0]}/p2p/{self.peer_id(each)}"
            for each in self.indexes
            if each != index
        ]
        return [*plain[:at], "--p2p.addresses", ",".join(addresses), *plain[at + 2 :]]

    def peer_id(self, index: int) -> str:
        """Return a node's peer id."""
        return load_node_key(self.folder(index).path / "node.key").peer_id


@dataclass(slots=True)
class Report:
    """What a run found; `faults` holds how often each was done."""

    seed: int
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

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        times = self.recoveries_s or [0.0]
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "faults": self.faults,
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


class Chaos:
    """One run on a network that is up."""

    def __init__(self, cluster: ChaosCluster, links: Links, gauge: Gauge, report: Report) -> None:
        self._cluster = cluster
        self._links = links
        self._gauge = gauge
        self._report = report
        self._random = random.Random(report.seed)
        self._spared: set[int] = set()
        self._faults: dict[str, Callable[[], None]] = {
            "kill one": lambda: self._kill(1),
            "kill two": lambda: self._kill(2),
            "kill all": lambda: self._kill(VALIDATORS),
            "stop one": lambda: self._stop(1),
            "stop two": lambda: self._stop(2),
            "two against two": lambda: self._partition(2),
            "one against three": lambda: self._partition(1),
            "one direction": self._one_way,
            "delay": lambda: self._weather(Weather(delay_s=self._random.uniform(0.02, 0.3))),
            "loss": lambda: self._weather(Weather(loss=self._random.uniform(0.05, 0.3))),
            "slow links": lambda: self._weather(Weather(rate_bytes_s=64_000)),
            "disk full": self._disk_full,
        }

    def run(self, seconds: float) -> None:
        """Do faults in a random order, each kind as often as the others, until the time is over."""
        started = time.monotonic()
        waiting: list[str] = []
        while (elapsed := time.monotonic() - started) < seconds:
            waiting = waiting or self._random.sample(sorted(self._faults), len(self._faults))
            if elapsed > WARM_SHARE * seconds:
                self._spared = {0}
            name = waiting.pop()
            if self._spared and name == "kill all":
                continue
            say(f"{elapsed:6.0f} s  {name}")
            self._faults[name]()
            self._report.faults[name] = self._report.faults.get(name, 0) + 1
            self._recover(name)
        self._report.seconds = time.monotonic() - started

    def _victims(self, count: int) -> list[int]:
        able = [each for each in self._cluster.indexes if each not in self._spared]
        return self._random.sample(able, min(count, len(able)))

    def _pause(self, least: float = 1.0, most: float = 5.0) -> None:
        time.sleep(self._random.uniform(least, most))

    def _start(self, *indexes: int) -> None:
        self._cluster.start(*indexes)
        for index in indexes:
            self._gauge.pids[index] = self._cluster.processes[index].pid

    def _kill(self, count: int) -> None:
        victims = self._victims(count)
        self._cluster.kill(*victims)
        self._gauge.ballots.read()
        self._pause()
        self._start(*victims)

    def _stop(self, count: int) -> None:
        stopped = [self._cluster.processes[each] for each in self._victims(count)]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        self._pause(1.0, 8.0)
        for process in stopped:
            process.send_signal(signal.SIGCONT)

    def _partition(self, count: int) -> None:
        group = self._random.sample(list(self._cluster.indexes), count)
        self._links.cut(group, [each for each in self._cluster.indexes if each not in group])
        self._pause(2.0, 8.0)
        self._links.heal()

    def _one_way(self) -> None:
        one = self._random.choice(list(self._cluster.indexes))
        self._links.cut_one_way([one], [each for each in self._cluster.indexes if each != one])
        self._pause(2.0, 8.0)
        self._links.heal()

    def _weather(self, weather: Weather) -> None:
        self._links.spoil(weather)
        self._pause(3.0, 8.0)
        self._links.heal()

    def _disk_full(self) -> None:
        """Let no file of a node grow: it must end by itself, and go on when there is room again."""
        [index] = self._victims(1)
        process = self._cluster.processes[index]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        with suppress(Exception):
            process.wait(15)
        if process.poll() is None:
            self._report.wrong.append(f"node {index + 1} went on although its disk was full")
        self._cluster.kill(index)
        self._gauge.ballots.read()
        self._start(index)

    def _recover(self, after: str) -> None:
        """Wait until every node has a block that none had when the fault was over."""
        healed = time.monotonic()
        try:
            target = 1 + max(self._height(each) for each in self._cluster.indexes)
            for index in self._cluster.indexes:
                wait_until(
                    lambda index=index: self._height(index) >= target,  # type: ignore[misc]  # a lambda with a default
                    f"node {index + 1} has block {target}",
                    RECOVER_S_MAX,
                )
        except AssertionError as error:
            self._report.wrong.append(f"after {after}: {error}")
        self._report.recoveries_s.append(time.monotonic() - healed)

    def _height(self, index: int) -> int:
        try:
            return self._cluster.height(index)
        except (OSError, RpcError):
            return -1


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


def judge(cluster: ChaosCluster, gauge: Gauge, report: Report) -> None:
    """Compare chains, votes, evidence, memory and handles."""
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


def outage(cluster: ChaosCluster, minutes: float, report: Report) -> None:
    """Kill two of four, wait, start them, and time the next block; nobody touches anything."""
    started = time.monotonic()
    cluster.kill(2, 3)
    say(f"two of four are down for {minutes:g} min")
    height = cluster.height(0)
    time.sleep(60 * minutes)
    if cluster.height(0) > height + 1:
        report.wrong.append("blocks went on without a quorum")
    height = max(cluster.height(0), cluster.height(1))
    cluster.start(2, 3)
    back = time.monotonic()
    try:
        wait_until(lambda: cluster.height(2) + cluster.height(3) >= 0, "both answer", SETTLE_S_MAX)
        answering = time.monotonic()
        wait_until(lambda: cluster.height(0) > height, "a block after the outage", SETTLE_S_MAX)
    except AssertionError as error:
        report.wrong.append(str(error))
        return
    now = time.monotonic()
    report.outage_s = (answering - back, now - back)
    report.recoveries_s.append(now - back)
    if now - answering > OUTAGE_RECOVER_S_MAX:
        report.wrong.append(f"the next block came {now - answering:.1f} s after both answered")
    report.faults["outage of two"] = 1
    report.seconds = time.monotonic() - started


def run(path: Path, seconds: float, outage_minutes: float, rate: float, seed: int) -> Report:
    """Start a network in `path`, do everything, and return the report."""
    report = Report(seed)
    with ExitStack() as stack:
        cluster = ChaosCluster(path)
        stack.enter_context(cluster)
        links = stack.enter_context(Links(cluster.ways, seed))
        gauge = stack.enter_context(Gauge(Ballots(cluster.net.folders)))
        cluster.start()
        gauge.pids.update({index: each.pid for index, each in cluster.processes.items()})
        cluster.wait_height(1)
        senders = Senders(cluster.urls, CHAIN_ID, rate, seed)
        with senders:
            if outage_minutes:
                outage(cluster, outage_minutes, report)
            else:
                Chaos(cluster, links, gauge, report).run(seconds)
        cluster.wait_height(max(cluster.height(each) for each in cluster.indexes) + 1)
        settle(cluster, senders, report)
        judge(cluster, gauge, report)
    return report


def say(text: str) -> None:
    """Show progress; the report alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def show(report: Report) -> None:
    """Print the report for people."""
    facts = report.as_json()
    for key, value in facts.items():
        if key != "wrong":
            print(f"{key:<18}{json.dumps(value)}")
    for line in report.wrong:
        print(f"wrong: {line}")
    print("nothing lost" if not report.wrong else "FAILED")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults go on (5)")
    parser.add_argument("--outage-minutes", type=float, default=0.0, help="two of four down")
    parser.add_argument("--rate", type=float, default=20.0, help="transfers a second (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults; 0: a new one")
    parser.add_argument("--folder", type=Path, help="keep the data folders and logs here")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    seed = options.seed or random.SystemRandom().randrange(1, 2**32)
    with tempfile.TemporaryDirectory(prefix="qenex-chaos-") as made:
        path = options.folder or Path(made)
        report = run(path, 60 * options.minutes, options.outage_minutes, options.rate, seed)
    print(json.dumps(report.as_json(), indent=2)) if options.json else show(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
