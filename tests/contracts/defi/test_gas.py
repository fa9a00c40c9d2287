"""No operation costs 5 % more gas or work than the table says; the table is the page's."""

from __future__ import annotations

import json

import pytest

from tests.contracts.defi.gas import PAGE, PARTS, TABLE


@pytest.mark.parametrize("part", PARTS, ids=lambda each: each.__name__)
def test_gas(part: object) -> None:
    """Each operation stays within 5 % of what is written, in gas and in instructions."""
    written = json.loads(TABLE.read_text())
    shown = PAGE.read_text()
    assert callable(part)
    for row in part():
        for kind, now, then in zip(
            ("gas", "instructions"), (row.gas, row.operations), written[row.operation], strict=True
        ):
            assert now <= then * 1.05, f"{row.operation} needs {now:,} {kind}, not {then:,}"
            assert f"{then:,}" in shown
