"""Each run of the tests tries ten thousand schedules that nobody has tried before."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEDULES = 10_000
MIX = "4,1,4,7,4,4,10,4,4,7,4,1,4,4,4,7,4,4,4,4"
"""Most networks have four validators; a few have one, seven or ten."""
SEED_BITS = 48


@pytest.mark.slow
def test_fresh_schedules_keep_every_invariant() -> None:
    """No fork, no second signature, nobody stuck, and every line of the coverage is reached.

    What fails prints its seed, and the command that repeats it. Planted bugs that this kills:
    those of `python -m scripts.mutants` that take less than some thousand schedules.
    """
    seed = secrets.randbits(SEED_BITS)
    command = [sys.executable, "-m", "scripts.simulate", "--schedules", str(SCHEDULES)]
    command += ["--seed", str(seed), "--validators", MIX, "--jobs", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout + done.stderr)
    assert done.returncode == 0, f"first seed {seed}: {done.stdout[-4_000:]}"
