"""How soon blocks come back after an outage, and how many are left with one validator dead.

    python -m scripts.outage                    # both tables, in virtual time
    python -m scripts.outage --runs 20          # fewer outages of each length

Four validators with the settings of a private network. Exit status 0 means that the next block
came within 3 s (p99) of the quorum's return for every length of outage, and that one dead validator
of four leaves at least 90 % of the blocks, with the times of both profiles. Of a long outage only
the beginning and the end are simulated, once it is seen that nothing moves in between.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence

from scripts.simulate import percentile
from tests.sim.outage import outage_ms, rate

OUTAGES_S = {"1 min": 60, "10 min": 600, "1 h": 3_600, "6 h": 21_600}
RETURN_MS_MAX = 3_000
SHARE_MIN = 0.9
RATE_SECONDS = 240
RATES = (
    ("default: 1 s, messages 5 to 55 ms", 1_000, 50),
    ("localnet: 250 ms, messages 5 to 10 ms", 250, 5),
    ("localnet: 250 ms, messages 5 to 55 ms", 250, 50),
)
"""What a row says, the block period, and the spread of a message's delay, in ms."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run both tables, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200, help="outages of each length (200)")
    options = parser.parse_args(arguments)
    is_good = True
    print("two of four validators down; virtual ms from the quorum's return to a block on all")
    for name, seconds in OUTAGES_S.items():
        found = [outage_ms(seconds * 1_000, seed) for seed in range(options.runs)]
        gc.collect()
        p50, p99, most = (percentile(found, share) for share in (0.5, 0.99, 1.0))
        is_good &= p99 <= RETURN_MS_MAX
        print(
            f"  {name:>6}  {options.runs:>4} runs  p50 {p50:>5,}  p99 {p99:>5,}  max {most:>5,}",
            flush=True,
        )
    print(f"one of four dead for good; blocks in {RATE_SECONDS} s under load")
    for words, period_ms, delay_ms in RATES:
        found_rate = rate(RATE_SECONDS, block_period_ms=period_ms, delay_ms=delay_ms)
        is_good &= found_rate.share >= SHARE_MIN
        print(
            f"  {words:42} {found_rate.blocks:>5,} with all  "
            f"{found_rate.blocks_with_one_dead:>5,} with one dead  {found_rate.share:.0%}",
            flush=True,
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
