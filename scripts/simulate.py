"""Run seeded schedules of faults against the consensus core and check its invariants.

    python -m scripts.simulate --schedules 10000 --seed 1 --validators 1,4,7,10 --jobs 2
    python -m scripts.simulate --replay 4711 --validators 4            # every fault, every step
    python -m scripts.simulate --replay 4711 --validators 4 --shrink   # with fewer faults first

Schedule number i of a run has the seed `--seed + i` and the i-th size of `--validators`, in turn.
Prints the range of seeds, progress, what the schedules covered, and for each violation the command
that repeats it. The core's values are thawed, which is quicker (`tests/sim/thaw.py`).
Exit status 0 means that no invariant broke and, from COVERED_FROM schedules on, that every line of
the coverage table was reached; 1 that one did not hold. `tests/sim` says what is simulated.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from tests.sim.chain import Violation
from tests.sim.coverage import LINES, table
from tests.sim.shrink import shrink
from tests.sim.thaw import thaw
from tests.sim.trace import brief
from tests.sim.world import World

PROGRESS_SECONDS = 2.0
REAL_KEYS_EVERY = 500
"""Every so many schedules one signs with real secp256k1 keys."""
COVERED_FROM = 10_000
BATCH = 100


@dataclass
class Report:
    """What a run has found so far. The lists hold one number per good schedule."""

    schedules: int = 0
    events: int = 0
    heights: int = 0
    cpu_seconds: float = 0.0
    recoveries_ms: list[int] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, other: Report) -> None:
        """Take over what another run has found."""
        self.schedules += other.schedules
        self.events += other.events
        self.heights += other.heights
        self.cpu_seconds += other.cpu_seconds
        self.recoveries_ms += other.recoveries_ms
        self.rounds += other.rounds
        self.messages += other.messages
        self.violations += other.violations
        self.seen.update(other.seen)

    def missed(self) -> list[str]:
        """Return the lines of the coverage table that no schedule reached."""
        return [line for line in LINES if not self.seen[line]]


def percentile(numbers: Sequence[int], share: float) -> int:
    """Return the number that `share` of them do not exceed, 0 of none."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run the schedules, and return the exit status."""
    options = _parser().parse_args(arguments)
    sizes = [int(size) for size in options.validators.split(",")]
    if options.replay is not None:
        return replay(options.replay, sizes[0], is_shrunk=options.shrink)
    report = Report()
    first, last = options.seed, options.seed + options.schedules - 1
    print(f"seeds {first} to {last}, validators {options.validators}", flush=True)
    started = shown = time.monotonic()
    numbers = range(options.seed, options.seed + options.schedules)
    run = partial(run_batch, sizes=sizes, first_seed=options.seed)
    for part in _reports(run, numbers, options.jobs):
        report.add(part)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            _show_progress(report, options.schedules, shown - started)
        is_over = options.seconds and time.monotonic() - started > options.seconds
        if is_over or len(report.violations) >= options.stop_after:
            break
    _show(report, time.monotonic() - started)
    is_missing = report.schedules >= COVERED_FROM and bool(report.missed())
    return 1 if report.violations or is_missing else 0


def _reports(run: partial[Report], seeds: range, jobs: int) -> Iterator[Report]:
    batches = [seeds[first : first + BATCH] for first in range(0, len(seeds), BATCH)]
    if jobs <= 1:
        yield from map(run, batches)
        return
    with get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(run, batches)


def run_batch(seeds: Sequence[int], *, sizes: Sequence[int], first_seed: int) -> Report:
    """Run the schedules of `seeds`; worlds leave no cycles, so nothing is collected meanwhile."""
    report = Report()
    started = time.process_time()
    gc.disable()
    for seed in seeds:
        run_one(report, seed, sizes[(seed - first_seed) % len(sizes)])
    gc.collect(0)
    gc.enable()
    report.cpu_seconds = time.process_time() - started
    return report


def run_one(report: Report, seed: int, validators: int) -> None:
    """Run one schedule and add its outcome to `report`."""
    world = World(seed, validators, seen=report.seen, has_real_keys=_has_real_keys(seed))
    try:
        outcome = world.run()
    except Violation as violation:
        report.violations.append(
            f"seed {seed}, {validators} validators: {violation}\n"
            f"    python -m scripts.simulate --replay {seed} --validators {validators} --shrink"
        )
    else:
        report.events += outcome.events
        report.heights += outcome.heights
        report.recoveries_ms.append(outcome.recovery_ms)
        report.rounds.append(outcome.rounds)
        report.messages.append(outcome.messages)
    world.close()
    report.schedules += 1


def replay(seed: int, validators: int, *, is_shrunk: bool) -> int:
    """Print every fault and every step of one schedule; return 1 when it breaks an invariant."""
    plan = None
    if is_shrunk and (shrunk := shrink(seed, validators)) is not None:
        plan = shrunk[0]
    world = World(seed, validators, plan=plan, has_real_keys=_has_real_keys(seed), trace=print)
    print(f"seed {seed}: {brief(world.plan)}")
    try:
        print(world.run())
    except Violation as violation:
        print(f"VIOLATION {violation}")
        print(f"{len(world.plan.faults)} faults:")
        for fault in world.plan.faults:
            print(f"  {brief(fault)}")
        return 1
    return 0


def _has_real_keys(seed: int) -> bool:
    return seed % REAL_KEYS_EVERY == REAL_KEYS_EVERY - 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=2_000, help="how many (2000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first schedule (1)")
    parser.add_argument(
        "--validators", default="4", help="sizes of the networks, e.g. 1,4,7,10 (4)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--replay", type=int, help="seed of one schedule to print in full")
    parser.add_argument("--shrink", action="store_true", help="drop faults before the replay")
    parser.add_argument("--seconds", type=float, default=0, help="begin no more after so long")
    parser.add_argument("--stop-after", type=int, default=10, help="stop at so many violations")
    return parser


def _show_progress(report: Report, schedules: int, seconds: float) -> None:
    print(
        f"{report.schedules:>9,} of {schedules:,} schedules, {report.schedules / seconds:,.0f}/s, "
        f"{len(report.violations)} violations",
        file=sys.stderr,
        flush=True,
    )


def _show(report: Report, seconds: float) -> None:
    print(f"\n{report.schedules:,} schedules, {report.heights:,} heights, {report.events:,} events")
    rate = report.schedules / max(report.cpu_seconds, 0.001)
    print(f"in {seconds:.1f} s: {rate:,.0f} schedules a second of one core")
    print("after the last fault:")
    for name, numbers in (
        ("virtual ms to the next height on all", report.recoveries_ms),
        ("further rounds", report.rounds),
        ("messages a node", report.messages),
    ):
        shares = "  ".join(
            f"{label} {percentile(numbers, share):,}"
            for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        )
        print(f"  {name}: {shares}")
    print("covered:")
    print(table(report.seen))
    if report.schedules >= COVERED_FROM and report.missed():
        print(f"NOT COVERED {', '.join(report.missed())}")
    for violation in report.violations:
        print(f"VIOLATION {violation}")
    print("no violation" if not report.violations else f"{len(report.violations)} violations")


if __name__ == "__main__":
    thaw()
    raise SystemExit(main())
