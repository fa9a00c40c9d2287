"""Each row of `scripts.hostile` does what its name says, and one that does not is marked."""

import pytest

from primitives.types import Gas
from scripts.hostile import Pattern, address_of, called, looped, measure, patterns
from vm.pyevm.engine import make_engine

ENGINE = make_engine("tuned")
GAS = Gas(150_000)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", patterns(), ids=lambda each: each.name.replace(" ", "-"))
def test_a_pattern_burns_all_its_gas(pattern: Pattern) -> None:
    """It runs until its gas is gone, and a precompile takes the input that it is called with."""
    row = measure("tuned", ENGINE, pattern, GAS)
    assert row.wrong is None
    assert row.gas == GAS


def test_what_proves_nothing_is_marked() -> None:
    """Code that ends early, that fails by something else, that asks with input that is refused."""
    stops = Pattern("stops", b"\x5b\x00")
    underflows = Pattern("underflows", b"\x50")
    refused = called("refused", 6, b"\x01" * 128)
    silent = Pattern("silent", looped(b"\x5f\x50"), (address_of(1), bytes(128)))
    found = [measure("tuned", ENGINE, each, GAS).wrong for each in (stops, underflows)]
    assert found[0] == "ended early: success"
    assert str(found[1]).startswith("ended early: stack underflow")
    for each in (refused, silent):
        assert measure("tuned", ENGINE, each, GAS).wrong == "refused"
