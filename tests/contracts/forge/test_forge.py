"""The contracts keep their invariants on forge's engine too, and its suites see what is broken.

`python -m scripts.invariants --engine forge` walks as far as asked; `--weak` plants every weakened
copy, one at a time.
"""

from __future__ import annotations

import json

import pytest

from tests.contracts.defi.weak import digest, texts_of
from tests.contracts.forge.run import SUITES, Wish, counts, run
from tests.contracts.forge.weak import COPIES, CORE, FOUND_BY, copies

WEAKENED = (
    "QxcDoublesItself",
    "StakingPromises",
    "GovernanceCountsNow",
    "MultiSigCountsTwice",
    "AmmCrossesTwice",
    "LendingLetsCollateralGo",
    "FarmingByBalance",
    "MedianOracleJumps",
)
"""One weakness of each protocol. It breaks more than one property, and the walk decides which is
seen first; a reserve below nothing cannot even be read."""
PANIC = "panic: arithmetic underflow or overflow (0x11)"


@pytest.mark.process
@pytest.mark.slow
def test_suites_hold() -> None:
    """No sequence of some hundred calls breaks a property, on the second engine."""
    wish = Wish(steps=100, depth=50)
    found = run(SUITES, wish)
    assert [each.suite for each in found] == sorted(SUITES)
    assert not [each for each in found if each.broken]
    assert all(each.steps == 100 for each in found)
    assert sum(tried > refused for tried, refused in counts(wish).values()) > 60


@pytest.mark.process
@pytest.mark.slow
def test_weakened_copies_are_found() -> None:
    """With every protocol weakened in one place, every suite fails, and says by what."""
    suites = {FOUND_BY[copies()[name][0].contract] for name in WEAKENED}
    found = run(tuple(suites), Wish(steps=2000, weak=WEAKENED))
    assert {each.suite for each in found} == suites
    unnamed = [
        each for each in found if not each.broken.startswith('Broken("') and each.broken != PANIC
    ]
    assert not unnamed


def test_copies_are_of_our_sources() -> None:
    """Each copy was made of the sources as they are now, with its edits and no other."""
    wanted = {each.name: digest(texts_of(each)) for each in CORE}
    found = {each.stem: json.loads(each.read_text())["textsSha256"] for each in COPIES.iterdir()}
    assert found == wanted, "run: python -m tests.contracts.forge.weak"
