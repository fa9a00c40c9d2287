"""The engines agree: random transactions and bytecode on the plain and on the compiling engine."""

from collections.abc import Callable

import pytest
from eth.vm.logic import arithmetic, comparison

from scripts.differ import Pair, make_case
from vm.pyevm.compile import computation, helpers, rules
from vm.pyevm.compile.program import EAGER, Programs
from vm.pyevm.compile.rules import PURE

CASES = 300
PLANTED_CASES = 80


@pytest.mark.slow
def test_both_engines_agree_on_random_code_and_transactions() -> None:
    """Receipts, gas, logs, change sets, roots and call results are equal in every case."""
    pair = Pair()
    assert [number for number in range(1, CASES + 1) if pair.differ(make_case(number))] == []


def test_a_case_is_its_number() -> None:
    """The same number gives the same world and transactions, another one others."""
    one, again, other = make_case(7), make_case(7), make_case(8)
    assert (one.alloc, one.transactions) == (again.alloc, again.transactions)
    assert (one.alloc, one.transactions) != (other.alloc, other.transactions)


def agree_with(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Compile anew with what is planted, and say whether all of some cases still agree."""
    computation.compiled.cache_clear()
    monkeypatch.setattr(computation, "EAGER_PROGRAMS", Programs(EAGER))
    pair = Pair()
    try:
        return not any(pair.differ(make_case(number)) for number in range(1, PLANTED_CASES + 1))
    finally:
        computation.compiled.cache_clear()


@pytest.mark.slow
def test_without_a_planted_bug_the_same_cases_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests below find is what they plant."""
    assert agree_with(monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("logic", "text"),
    [(arithmetic.sub, "({0}-{1}+1)&M"), (comparison.lt, "1 if {0}<={1} else 0")],
)
def test_a_wrong_template_is_found(
    monkeypatch: pytest.MonkeyPatch, logic: Callable[..., None], text: str
) -> None:
    """Planted bug: SUB that is one off, LT as less-or-equal."""
    monkeypatch.setitem(PURE, logic, (2, text))
    monkeypatch.setitem(rules._FOLDS, text, rules._fold((2, text)))
    assert not agree_with(monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("COLD_SLOAD_COST", 2_000), ("_SET", 19_999)])
def test_a_wrong_price_is_found(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    """Planted bug: a cold SLOAD, and a first SSTORE, that are too cheap."""
    monkeypatch.setattr(helpers, name, value)
    assert not agree_with(monkeypatch)


@pytest.mark.slow
def test_a_memory_price_in_steps_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted bug: memory that grows by bytes instead of words."""

    def extend(memory: bytearray, gas: int, start: int, size: int) -> int:
        memory.extend(bytes(start + size - len(memory)))
        return gas - 3 * (start + size - len(memory))

    monkeypatch.setattr(helpers, "extend", extend)
    assert not agree_with(monkeypatch)
