"""Gas and EVM instructions stay within 5 % of the kept figures, and the goals are met."""

from __future__ import annotations

import json

import pytest

from scripts.gas import FIGURES, PAGE, between, gas_table, size_table
from tests.contracts.operations import Setup, measure, operations

KEPT = json.loads(FIGURES.read_text())
ROWS = operations()
MORE = 1.05


@pytest.mark.parametrize("setup", ROWS, ids=list(KEPT))
def test_no_operation_grew(setup: Setup) -> None:
    """At most 5 % above contracts/gas.json; `python -m scripts.gas --write` keeps new figures."""
    each, found = measure(setup)
    assert found.gas <= KEPT[each.name]["gas"] * MORE
    assert found.operations <= KEPT[each.name]["operations"] * MORE


def test_goals() -> None:
    """A transfer with burn, block and pause checks: 42,000 gas and 380 instructions at most."""
    move = KEPT["QXC transfer with burn"]
    assert (move["gas"] <= 42_000, move["operations"] <= 380) == (True, True)
    free = KEPT["QXC transfer, exempt"]
    assert (free["gas"] <= 37_000, free["operations"] <= 330) == (True, True)
    assert KEPT["QXC transferFrom with burn"]["gas"] <= 48_000
    assert KEPT["propose, 1 action"]["gas"] <= 90_000


def test_the_page_shows_the_figures() -> None:
    """docs/contracts.md holds the tables that `scripts.gas` writes from today's artifacts."""
    text = PAGE.read_text()
    assert between(text, "sizes", "\n".join(size_table())) == text
    for name, kept in KEPT.items():
        assert f"| {name} | {kept['gas']:,} | {kept['operations']:,} |" in text
    assert next(gas_table([])) in text
