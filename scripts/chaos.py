"""Real node processes under load and faults: `python -m scripts.chaos --minutes 20 [--json]`.

    kill        kill -9 of one, two or all, and a start some seconds later
    stop        SIGSTOP of one or two, and SIGCONT
    partition   two against two, one against three, one direction alone; silent, not closed
    weather     delay, loss and rate limits on all links; single packets lost, doubled, overtaken
    disk        no file of a node may grow any more; it must stop, and start again later
    clock       the wall clock of one or two steps ahead, behind or apart, or is wrong at a start

Links are namespaces of the network and a packet switch (`scripts.chaos_spaces`) where this process
may make them, else proxies (`scripts.chaos_net`), which know no single packets. Clocks step where
libfaketime is found (`scripts.chaos_clocks`), never those of a quorum, and are right after each
fault. What a run has is said at its start; a fault of the links or of a clock that had no effect
fails it.

Afterwards all heals, and these must hold: one chain on every node; every acknowledged transfer is
in it or still pending; no log ever held two different votes for one place, and no node has evidence
of any; memory and handles of the process that lived longest are flat; each fault was followed by a
block on all nodes within RECOVER_S_MAX; no block was further ahead of the right clock than the
network's drift. Exit status 1 when one does not.

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
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Final

from scripts.chaos_clocks import Clocks, find_library
from scripts.chaos_cluster import VALIDATORS, ChaosCluster, Links
from scripts.chaos_net import proxied
from scripts.chaos_packets import Weather
from scripts.chaos_report import SETTLE_S_MAX, Report, judge, settle, show
from scripts.chaos_spaces import spaced, why_not
from scripts.chaos_watch import Ballots, ClockWatch, Gauge, Senders
from tests.system.cluster import CHAIN_ID, RpcError, wait_until

Made = AbstractContextManager[tuple[ChaosCluster, Links]]
LINKS: Final[dict[str, Callable[[Path, Clocks | None, int], Made]]] = {
    "namespaces": spaced,
    "proxies": proxied,
}
RECOVER_S_MAX: Final = 60.0
OUTAGE_RECOVER_S_MAX: Final = 10.0
WARM_SHARE: Final = 0.3
LOOK_S: Final = 0.25
SLOW_BYTES_S: Final = {False: 64_000, True: 2_000}
"""Rate of slow links, by whether they carry packets: of proxies, and of a switch, which drops."""
STORM: Final = Weather(delay_s=0.05, jitter_s=0.1, loss=0.1, doubles=0.1, rate_bytes_s=32_000)


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
            "loss": lambda: self._weather(Weather(loss=self._random.uniform(0.05, 0.3)), "lost"),
            "slow links": lambda: self._weather(
                Weather(rate_bytes_s=SLOW_BYTES_S[links.has_packets])
            ),
            "disk full": self._disk_full,
        }
        if links.has_packets:
            self._faults |= {
                "doubles": lambda: self._weather(Weather(doubles=0.3), "doubled"),
                "disorder": lambda: self._weather(Weather(delay_s=0.02, jitter_s=0.2), "overtaken"),
                "storm": lambda: self._weather(STORM, "lost"),
            }
        if cluster.clocks is not None:
            self._faults |= {
                "clock ahead": lambda: self._step(self._far()),
                "clock behind": lambda: self._step(-self._far()),
                "clocks apart": lambda: self._step(self._far(), -self._far()),
                "two clocks ahead": lambda: self._step(*[self._far()] * 2),
                "two clocks behind": lambda: self._step(*[-self._far()] * 2),
                "start at a wrong time": self._start_wrong,
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
        self._spoilt("cut", 2.0)

    def _one_way(self) -> None:
        one = self._random.choice(list(self._cluster.indexes))
        self._links.cut_one_way([one], [each for each in self._cluster.indexes if each != one])
        self._spoilt("cut", 2.0)

    def _weather(self, weather: Weather, counter: str = "carried") -> None:
        self._links.spoil(weather)
        self._spoilt(counter, 3.0)

    def _spoilt(self, counter: str, least_s: float) -> None:
        """Let what was done to the links last, heal them, and ask whether it had an effect."""
        before = self._links.counts()
        self._pause(least_s, 8.0)
        self._links.heal()
        if self._links.has_packets and self._links.counts()[counter] == before[counter]:
            self._report.wrong.append(f"links were spoilt, and no packet was {counter}")

    def _far(self) -> float:
        """Return by how many seconds a clock steps: near the drift, or far beyond it."""
        return self._random.choice([self._random.uniform(2.0, 5.0), 60.0, 3600.0])

    def _step(self, *steps_s: float) -> None:
        """Let as many nodes as there are steps have a wrong clock for some seconds."""
        indexes = self._random.sample(list(self._cluster.indexes), len(steps_s))
        self._hold(self._turn(dict(zip(indexes, steps_s, strict=True))))

    def _start_wrong(self) -> None:
        """Start a node at a wrong time, and set its clock right while it runs."""
        [index] = self._victims(1)
        self._cluster.kill(index)
        self._gauge.ballots.read()
        watch = self._turn({index: self._far() * self._random.choice([1, -1])})
        self._start(index)
        with suppress(AssertionError):  # what is not felt is told
            wait_until(lambda: self._height(index) >= 0, "an answer", RECOVER_S_MAX)
        self._hold(watch)

    def _turn(self, steps_s: dict[int, float]) -> ClockWatch:
        watch = ClockWatch(self._cluster, steps_s)
        if self._cluster.clocks is not None:
            for index, step_s in steps_s.items():
                self._cluster.clocks.step([index], step_s)
        return watch

    def _hold(self, watch: ClockWatch) -> None:
        until = time.monotonic() + self._random.uniform(3.0, 8.0)
        while time.monotonic() < until:
            time.sleep(LOOK_S)
            watch.look()
        if self._cluster.clocks is not None:
            self._cluster.clocks.right()
        self._report.note_clocks(watch.steps_s, watch.felt, watch.ahead_s)

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


def run(
    path: Path,
    seconds: float,
    rate: float,
    seed: int,
    *,
    outage_minutes: float = 0,
    links: str = "proxies",
    library: Path | None = None,
) -> Report:
    """Start a network in `path`, do everything, and return the report.

    `links` is a key of LINKS, `library` libfaketime or None; `rate` is in transfers a second.
    """
    report = Report(seed, links, library)
    with ExitStack() as stack:
        clocks = (
            stack.enter_context(Clocks(path / "clocks", library, VALIDATORS)) if library else None
        )
        cluster, joined = stack.enter_context(LINKS[links](path, clocks, seed))
        gauge = stack.enter_context(Gauge(Ballots(cluster.net.folders)))
        cluster.start()
        gauge.pids.update({index: each.pid for index, each in cluster.processes.items()})
        cluster.wait_height(1)
        senders = Senders(cluster.urls, CHAIN_ID, rate, seed)
        with senders:
            if outage_minutes:
                outage(cluster, outage_minutes, report)
            else:
                Chaos(cluster, joined, gauge, report).run(seconds)
        cluster.wait_height(max(cluster.height(each) for each in cluster.indexes) + 1)
        settle(cluster, senders, report)
        judge(cluster, joined, gauge, report)
    return report


def choose_links(wanted: str | None) -> tuple[str, str]:
    """Return a key of LINKS and why it was chosen; raises OSError when `wanted` cannot be had."""
    if wanted == "proxies":
        return wanted, "as asked"
    missing = why_not()
    if missing is None:
        return "namespaces", "this process may make them"
    if wanted is None:
        return "proxies", f"no namespaces here: {missing}"
    raise OSError(f"no {wanted} here: {missing}")


def say(text: str) -> None:
    """Show progress; the report alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults go on (5)")
    parser.add_argument("--outage-minutes", type=float, default=0.0, help="two of four down")
    parser.add_argument("--rate", type=float, default=20.0, help="transfers a second (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults; 0: a new one")
    parser.add_argument("--links", choices=LINKS, help="default: namespaces where it may make them")
    parser.add_argument("--faketime", type=Path, help="libfaketime; default: where Debian puts it")
    parser.add_argument("--folder", type=Path, help="keep the data folders and logs here")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    seed = options.seed or random.SystemRandom().randrange(1, 2**32)
    library = find_library(options.faketime)
    if options.faketime and library is None:
        parser.error(f"{options.faketime} is no file")
    try:
        links, why = choose_links(options.links)
    except OSError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # tidy up first
    say(f"links: {links} ({why})")
    say(f"clocks: {library or 'no steps, libfaketime is not here (Debian: package faketime)'}")
    with tempfile.TemporaryDirectory(prefix="qenex-chaos-") as made:
        report = run(
            options.folder or Path(made),
            60 * options.minutes,
            options.rate,
            seed,
            outage_minutes=options.outage_minutes,
            links=links,
            library=library,
        )
    print(json.dumps(report.as_json(), indent=2)) if options.json else show(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
