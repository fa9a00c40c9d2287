"""The block compiler gives py-evm's results, to the gas, and keeps its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from eth.exceptions import InvalidJumpDestination
from eth.vm.code_stream import CodeStream
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.types import Gas
from tests.vm.support import ALICE, BOB, CONTRACT, context, contract, world
from vm.engine import Call, CallResult, ExecutionStopped
from vm.pyevm.code import AnalysedCode, jump_table
from vm.pyevm.compile import program as programs
from vm.pyevm.compile.program import AUTO, EAGER, Program, Programs
from vm.pyevm.compile.rules import Kind, rules_of
from vm.pyevm.compile.unit import Path, write_unit
from vm.pyevm.computation import Computation
from vm.pyevm.engine import PyEvmEngine
from vm.pyevm.state import EAGER as EAGER_TUNING
from vm.pyevm.state import PLAIN

RULES = rules_of(Computation.opcodes)
LOOP = bytes.fromhex("5b600190036000575f")
"""Takes one from the top of the stack until it is zero."""


def push(value: int) -> bytes:
    return b"\x7f" + value.to_bytes(32, "big")


def run(code: bytes, *, gas: int = 200_000, data: bytes = b"", times: int = 3) -> CallResult:
    """Run code on both engines until it is compiled; return the result, equal each time."""
    state = world(contract(code))
    call = Call(ALICE, CONTRACT, data, gas=Gas(gas))
    expected = PyEvmEngine(tuning=PLAIN).call(state, context(), call)
    engine = PyEvmEngine(tuning=EAGER_TUNING)
    for _ in range(times):
        assert engine.call(state, context(), call) == expected
    return expected


def returned(code: bytes) -> int:
    """Return the word that code leaves on top of the stack."""
    result = run(code + bytes.fromhex("5f5260205ff3"))
    assert result.error is None
    return int.from_bytes(result.output, "big")


WORDS = st.one_of(
    st.integers(0, 2**256 - 1), st.integers(0, 300), st.integers(2**255 - 2, 2**255 + 2)
)


@settings(max_examples=60, deadline=None)
@given(
    opcode=st.sampled_from([code for code, rule in RULES.rules.items() if rule.kind is Kind.PURE]),
    words=st.tuples(WORDS, WORDS, WORDS),
)
def test_arithmetic_is_that_of_py_evm(opcode: int, words: tuple[int, int, int]) -> None:
    """Each opcode, folded and computed. Planted bug: SAR without the sign."""
    known = b"".join(map(push, reversed(words))) + bytes([opcode])
    loaded = b"".join(b"\x60" + bytes([32 * at]) + b"\x35" for at in (2, 1, 0))
    data = b"".join(word.to_bytes(32, "big") for word in words)
    end = bytes.fromhex("5f5260205ff3")
    folded = run(known + end)
    computed = run(loaded + bytes([opcode]) + end, data=data)
    assert folded.error is None
    assert folded.output == computed.output


@pytest.mark.parametrize("missing", range(1, 40))
def test_gas_that_ends_inside_a_unit_ends_at_the_right_opcode(missing: int) -> None:
    """Out of gas at each point of a path with memory, storage and a log, or not at all.

    Planted bug: a run of opcodes whose gas is taken after it was done.
    """
    code = bytes.fromhex(
        "600160005260206000205f555f5460205f a0 5b 5a 5f52 60205ff3".replace(" ", "")
    )
    whole = run(code).gas_used
    for gas in (whole - missing, whole - 60 * missing, whole + missing):
        run(code, gas=gas)


@pytest.mark.parametrize("height", [1_020, 1_021, 1_022, 1_023, 1_024, 1_025])
def test_the_stack_holds_1024_items_inside_units(height: int) -> None:
    """Full at 1,024 items, also in the middle of a unit. Planted bug: the limit of units alone."""
    result = run(b"\x5f" * 4 + (b"\x5b" + b"\x80" * 17) * ((height - 4) // 17) + b"\x80" * 3)
    assert result.error is None or result.error.startswith("stack limit reached")
    full = run(b"\x5f" * height)
    assert (full.error is None) == (height <= 1_024)


def test_a_stack_that_is_too_low_fails_as_in_py_evm() -> None:
    """Underflow in a unit's first block, after a jump, and under a swap or dup."""
    for code in ("01", "5f01", "600456005b01", "5f90", "5f5f91", "5f81", "5b50600056"):
        error = run(bytes.fromhex(code)).error
        assert error is not None
        assert error.startswith("stack underflow (")


@pytest.mark.parametrize(
    "code",
    [
        "600356005b",  # beside the destination
        "600256605b",  # into the data of a push
        "61ffff56",  # beyond the end
        "5f3556",  # to a computed place
        "60015f3557" + "00",  # not taken
        "6001600957005b00",  # a conditional jump to nowhere
        "60013660095700",  # known only when it runs
    ],
)
def test_jumps_to_nowhere_fail_as_in_py_evm(code: str) -> None:
    """Known and computed destinations that are none, taken and not taken."""
    run(bytes.fromhex(code), data=b"\x05" * 33)


def test_loops_run_in_units() -> None:
    """A loop of 300 rounds has the same result and gas."""
    assert run(push(300) + b"\x5b\x60\x01\x90\x03\x80\x60\x21\x57" + b"\x00").error is None


def test_code_that_never_ends_can_be_stopped() -> None:
    """A compiled endless loop asks `stop`. Planted bug: asking in the interpreter alone."""
    asked = iter([False] * 50 + [True] * 10)
    engine = PyEvmEngine(tuning=EAGER_TUNING)
    state = world(contract(bytes.fromhex("5b5f56")))
    with pytest.raises(ExecutionStopped):
        engine.call(
            state, context(), Call(ALICE, CONTRACT, gas=Gas(10**9)), stop=lambda: next(asked)
        )


def test_a_plain_transfer_is_the_same_with_and_without_the_evm() -> None:
    """The direct path and py-evm's message agree in all of the result."""
    for to in (BOB, CONTRACT):
        call = Call(ALICE, to, b"\x01\x00", value=Gas(5), gas=Gas(50_000), gas_price=Gas(10**9))  # type: ignore[arg-type]
        plain = PyEvmEngine(tuning=PLAIN).call(world(), context(), call)
        assert PyEvmEngine().call(world(), context(), call) == plain


# --- what is compiled, and when -------------------------------------------------------------------


def unit_of(code: bytes, entry: int = 0, **visits: int) -> str:
    counted = {int(name[1:]): count for name, count in visits.items()}
    source = write_unit(Path(code, entry, RULES, jump_table(code), counted, 1))
    assert source is not None
    return source.text


def test_a_path_follows_the_side_that_was_visited_more() -> None:
    """The visited side is in the unit, the other one is a way out."""
    code = bytes.fromhex("5f35600657305b3300")
    assert "m.sender" in unit_of(code, v6=5, v5=1)
    assert "m.storage_address" not in unit_of(code, v6=5, v5=1)
    assert "m.storage_address" in unit_of(code, v6=1, v5=5)


def test_known_operands_are_computed_once() -> None:
    """A mask such as 2^160 - 1 is a literal in the unit."""
    assert str(2**160 - 1) in unit_of(bytes.fromhex("600160a01b60019003 5f351600".replace(" ", "")))


def visit_all(program: Program, entries: int, credit: int) -> None:
    for entry in range(entries):
        program.credit += credit
        program.visit(entry)


def test_nothing_is_compiled_that_was_not_paid_for() -> None:
    """Compiled opcodes never exceed interpreted ones over the price. Planted bug: credit kept."""
    code = b"\x5b" * 200 + b"\x00"
    program = Program(code, RULES, AUTO)
    paid = 0
    for _ in range(60):
        visit_all(program, 200, 7)
        paid += 200 * 7
        assert program.opcodes * AUTO.credit_per_opcode <= paid
    assert program.opcodes > 0


def test_one_code_has_a_bound_of_blocks_and_opcodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Visits beyond CODE_BLOCKS_MAX blocks are not counted; units end at CODE_OPCODES_MAX."""
    monkeypatch.setattr(programs, "CODE_BLOCKS_MAX", 50)
    monkeypatch.setattr(programs, "CODE_OPCODES_MAX", 300)
    program = Program(b"\x5b" * 400, RULES, EAGER)
    visit_all(program, 400, 0)
    assert len(program.visits) == 50
    assert 300 <= program.opcodes < 300 + 256


def test_the_cache_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs, bytes and opcodes in all: the oldest go and compile no more, the newest stays."""
    cache = Programs(EAGER)
    monkeypatch.setattr(programs, "PROGRAMS_MAX", 3)
    kept = [cache.of(bytes([0x5B, n]), RULES) for n in range(5)]
    assert cache.of(bytes([0x5B, 4]), RULES) is kept[4]
    assert cache.of(bytes([0x5B, 0]), RULES) is not kept[0]
    kept[0].visit(0)
    assert kept[0].opcodes == 0
    monkeypatch.setattr(programs, "CODE_BYTES_ALL_MAX", 100)
    big = cache.of(b"\x5b" * 150, RULES)
    assert cache.of(b"\x5b" * 150, RULES) is big
    monkeypatch.setattr(programs, "OPCODES_ALL_MAX", 100)
    visit_all(big, 20, 0)
    assert cache.of(b"\x5b" * 150, RULES) is big
    cache.of(b"\x00", RULES)
    assert cache.of(b"\x5b" * 150, RULES) is not big


def test_code_that_is_compiled_runs_in_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above would pass with an interpreter alone; here units are seen to run."""
    entered: list[int] = []
    original = Program._compile

    def noting(program: Program, entry: int) -> None:
        original(program, entry)
        if unit := program.units.get(entry):

            def noted(*arguments: Any) -> int:
                entered.append(entry)
                return unit(*arguments)

            program.units[entry] = noted

    monkeypatch.setattr(Program, "_compile", noting)
    run(push(30) + b"\x5b\x60\x01\x90\x03\x80\x60\x21\x57" + b"\x5a\x5a\x5a\x00")
    assert entered


@given(st.binary(max_size=200))
def test_jump_destinations_are_those_of_py_evm(code: bytes) -> None:
    """For any bytes. Planted bug: a PUSH32 that skips 31 bytes."""
    table = jump_table(code)
    for at in (at for at, byte in enumerate(code) if byte == 0x5B):
        theirs = CodeStream(code).is_valid_opcode(at)
        assert table[at] == theirs
        if theirs:
            assert AnalysedCode(code).is_valid_opcode(at)
        else:
            with pytest.raises(InvalidJumpDestination):
                AnalysedCode(code).is_valid_opcode(at)


def test_an_opcode_that_is_not_py_evms_own_is_called_or_ends_the_unit() -> None:
    """Templates belong to functions, not to numbers: a fork's other ADD is not compiled as ADD."""

    def other(computation: Any) -> None:
        computation.stack_push_int(7)

    table = {**Computation.opcodes, 0x01: other}
    assert 0x01 not in rules_of(table).rules
    assert rules_of(table).rules[0x02].kind is Kind.PURE
    assert rules_of({0x54: other}).rules[0x54].kind is Kind.CALLED
