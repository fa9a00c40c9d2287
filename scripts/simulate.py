"""Run seeded schedules of faults against the consensus core and check its invariants.

    python -m scripts.simulate --schedules 10000 --seed 1 --validators 1,4,7
    python -m scripts.simulate --schedules 1 --seed 4711 --validators 4 --trace

Schedule number i of a run has the seed `--seed + i` and the i-th size of `--validators`, in turn.
Prints progress, what the schedules covered, and for each violation the command that repeats it.
Exit status 0 means that no invariant broke, 1 that one did. `tests/sim` says what is simulated.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.sim.chain import Violation
from tests.sim.coverage import table
from tests.sim.world import World

PROGRESS_SECONDS = 2.0
REAL_KEYS_EVERY = 500
"""Every so many schedules one signs with real secp256k1 keys."""


@dataclass
class Report:
    """What a run has found so far."""

    schedules: int = 0
    events: int = 0
    heights: int = 0
    recoveries_ms: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def percentile_ms(self, share: float) -> int:
        """Return the recovery time that `share` of the schedules do not exceed."""
        ordered = sorted(self.recoveries_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run the schedules, and return the exit status."""
    options = _parser().parse_args(arguments)
    sizes = [int(size) for size in options.validators.split(",")]
    report = Report()
    started = shown = time.monotonic()
    for index in range(options.schedules):
        run_one(report, options.seed + index, sizes[index % len(sizes)], trace=options.trace)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            _show_progress(report, options.schedules, shown - started)
        if len(report.violations) >= options.stop_after:
            break
    _show(report, time.monotonic() - started)
    return 1 if report.violations else 0


def run_one(report: Report, seed: int, validators: int, *, trace: bool = False) -> None:
    """Run one schedule and add its outcome to `report`."""
    world = World(
        seed,
        validators,
        seen=report.seen,
        has_real_keys=seed % REAL_KEYS_EVERY == REAL_KEYS_EVERY - 1,
        trace=print if trace else None,
    )
    if trace:
        print(world.plan)
    try:
        outcome = world.run()
    except Violation as violation:
        report.violations.append(
            f"seed {seed}, {validators} validators: {violation}\n"
            f"    python -m scripts.simulate --schedules 1 --seed {seed} "
            f"--validators {validators} --trace"
        )
    else:
        report.events += outcome.events
        report.heights += outcome.heights
        report.recoveries_ms.append(outcome.recovery_ms)
    report.schedules += 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=2_000, help="how many (2000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first schedule (1)")
    parser.add_argument("--validators", default="4", help="sizes of the networks, e.g. 1,4,7 (4)")
    parser.add_argument("--trace", action="store_true", help="print every step of every core")
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
    print(f"in {seconds:.1f} s: {report.schedules / max(seconds, 0.001):,.0f} schedules/s")
    print(
        "recovery after the last fault, virtual ms: "
        f"p50 {report.percentile_ms(0.5):,}  p99 {report.percentile_ms(0.99):,}  "
        f"max {report.percentile_ms(1.0):,}"
    )
    print("covered:")
    print(table(report.seen))
    for violation in report.violations:
        print(f"VIOLATION {violation}")
    print("no violation" if not report.violations else f"{len(report.violations)} violations")


if __name__ == "__main__":
    raise SystemExit(main())
