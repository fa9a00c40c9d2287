"""Plant protocol bugs, one after the other, and count the schedules until each one shows.

    python -m scripts.mutants                  # all of them
    python -m scripts.mutants LockDropped      # by name
    python -m scripts.mutants --budget 20000

Exit status 0 means that every bug was found within its budget and that the code without a bug
survived as many schedules as the slowest one took.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from tests.sim.mutants import BUDGET, MUTANTS, Mutant, hunt


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, hunt, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="mutants to plant (all)")
    parser.add_argument("--budget", type=int, default=BUDGET, help=f"schedules each ({BUDGET})")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first schedule (0)")
    options = parser.parse_args(arguments)
    chosen = [each for each in MUTANTS if not options.names or each.name in options.names]
    unknown = set(options.names) - {each.name for each in chosen}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    most = found = 0
    print(f"{'mutant':24} {'schedules':>9} {'seconds':>7}  what broke")
    for mutant in chosen:
        started = time.monotonic()
        shown = hunt(mutant, options.budget, options.seed)
        seconds = time.monotonic() - started
        count, words = shown if shown is not None else (options.budget, "SURVIVED")
        most = max(most, count)
        found += shown is not None
        print(f"{mutant.name:24} {count:>9,} {seconds:>7.1f}  {words[:80]}", flush=True)
    control = hunt(Mutant("none", "the code as it is"), most, options.seed)
    print(f"{found} of {len(chosen)} killed; without a bug, {most:,} schedules: ", end="")
    print("no violation" if control is None else f"VIOLATION {control[1]}")
    return 0 if found == len(chosen) and control is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
