"""Run whole nodes in one process against crashes, power cuts, partitions and loss.

    python -m scripts.whole_nodes --runs 300 --seed 1
    python -m scripts.whole_nodes --runs 1 --seed 4711        # one run again, bit for bit

Run number i has the seed `--seed + i`; `tests/sim/whole.py` says what is real in it and what must
hold. Exit status 0 means that it held in every run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from scripts.simulate import percentile
from tests.sim.chain import Violation
from tests.sim.whole import WholeOutcome, WholeWorld

PROGRESS_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print what happened, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=300, help="how many (300)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first run (1)")
    options = parser.parse_args(arguments)
    seen: Counter[str] = Counter()
    outcomes: list[WholeOutcome] = []
    violations: list[str] = []
    print(f"seeds {options.seed} to {options.seed + options.runs - 1}", flush=True)
    started = shown = time.monotonic()
    for seed in range(options.seed, options.seed + options.runs):
        try:
            outcomes.append(WholeWorld(seed, seen).run())
        except Violation as violation:
            command = f"python -m scripts.whole_nodes --runs 1 --seed {seed}"
            violations.append(f"seed {seed}: {violation}\n    {command}")
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            done = len(outcomes) + len(violations)
            print(
                f"{done:>6,} of {options.runs:,}, {len(violations)} violations",
                file=sys.stderr,
                flush=True,
            )
    _show(outcomes, seen, time.monotonic() - started)
    for each in violations:
        print(f"VIOLATION {each}")
    print("no violation" if not violations else f"{len(violations)} violations")
    return 1 if violations else 0


def _show(outcomes: Sequence[WholeOutcome], seen: Counter[str], seconds: float) -> None:
    heights = sum(each.heights for each in outcomes)
    deaths = sum(each.deaths for each in outcomes)
    print(f"{len(outcomes):,} good runs in {seconds:.1f} s: {heights:,} heights, {deaths:,} deaths")
    recoveries = [each.recovery_ms for each in outcomes]
    p50, p99, most = (percentile(recoveries, share) for share in (0.5, 0.99, 1.0))
    print(f"virtual ms to two more blocks on all: p50 {p50:,}  p99 {p99:,}  max {most:,}")
    for words, times in sorted(seen.items()):
        print(f"  {times:>9,}  {words}")


if __name__ == "__main__":
    raise SystemExit(main())
