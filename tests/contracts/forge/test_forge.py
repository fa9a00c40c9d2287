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

SEEN = {
    "QxcDoublesItself": "a balance is not the model's",
    "StakingPromises": "",
    "GovernanceCountsNow": "a vote weighs other than at the snapshot",
    "MultiSigCountsTwice": "a flawed signature acted",
    "AmmCrossesTwice": "21: liquidity is not the sum up to the tick",
    "LendingLetsCollateralGo": "stayHealthy",
    "FarmingByBalance": "more was earned than was funded",
    "MedianOracleJumps": "the answer jumped without confirmation",
}
"""One weakness of each protocol, and the property that names it; a reserve below nothing cannot
even be read."""
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
    suites = {FOUND_BY[copies()[name][0].contract]: text for name, text in SEEN.items()}
    found = run(tuple(suites), Wish(steps=2000, weak=tuple(SEEN)))
    assert {each.suite: each.broken for each in found} == {
        suite: f'Broken("{text}")' if text else PANIC for suite, text in suites.items()
    }


def test_copies_are_of_our_sources() -> None:
    """Each copy was made of the sources as they are now, with its edits and no other."""
    wanted = {each.name: digest(texts_of(each)) for each in CORE}
    found = {each.stem: json.loads(each.read_text())["textsSha256"] for each in COPIES.iterdir()}
    assert found == wanted, "run: python -m tests.contracts.forge.weak"
