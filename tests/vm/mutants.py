"""Bugs to plant into the compiler and into what runs compiled code, and the worlds that find them.

Each is one that a person could make. `scripts.differ` finds it in the world of the number beside
it; without it that world agrees. `python -m tests.vm.mutants` looks for such worlds anew, which is
needed when the generator of worlds changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import pytest
from eth.vm.computation import NO_RESULT
from eth.vm.logic import arithmetic, comparison, context

from primitives.types import Gas
from scripts.differ import Pair
from scripts.differ_world import make_world
from vm.pyevm import transition
from vm.pyevm.compile import computation, helpers, program, rules, unit
from vm.pyevm.compile.program import EAGER, Programs
from vm.pyevm.compile.rules import Kind, Rule
from vm.pyevm.compile.unit import _Writer

SEARCH_WORLDS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: what it is, how to plant it, the number of a world that finds it."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    world: int


def _template(
    table: dict[Any, tuple[int, str]], logic: Callable[..., None], text: str
) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what plants another template for one of py-evm's functions."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        pops = table[logic][0]
        patch.setitem(table, logic, (pops, text))
        if table is rules.PURE:
            patch.setitem(rules._FOLDS, text, rules._fold((pops, text)))

    return plant


def _value(module: Any, name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what plants another value for a name."""
    return lambda patch: patch.setattr(module, name, value)


def _extend_by_bytes(memory: bytearray, gas: int, start: int, size: int) -> int:
    memory.extend(bytes(start + size - len(memory)))
    return gas - 3 * (start + size - len(memory))


def _sar(shift: int, value: int) -> int:
    return helpers.signed(value) >> (shift & 255) & helpers.MASK


def _sstore(frame: Any, gas: int, slot: int, value: int, whole: Any = helpers.sstore) -> int:
    lax = SimpleNamespace(is_static=False, storage_address=frame.msg.storage_address)
    frame = SimpleNamespace(state=frame.state, msg=lax, refund_gas=frame.refund_gas)
    return int(whole(frame, gas, slot, value))


def _jump_table(code: bytes) -> bytes:
    return bytes(each == 0x5B for each in code)


def _need_memory(self: Any, start: str, size: int, whole: Any = _Writer._need_memory) -> None:
    whole(self, start, size)
    self._memory_known = max(self._memory_known, 96)


def _need_no_items(self: Any, number: int) -> None:
    deep = number - len(self._stack)
    if deep <= 0:
        self._stack.append(self._stack[-number])
    else:
        self._lines.append(f"{self._push()}=S[-{deep}]if len(S)>={deep} else 0")


def _gas_before_its_run(self: Any, pc: int, rule: Rule, whole: Any = _Writer._alone) -> None:
    if rule.kind is Kind.GAS:
        self._lines.append(f"{self._push()}=g")
        self._charge(pc, rule.gas)
    else:
        whole(self, pc, rule)


def _spill_reversed(stack: list[str]) -> str:
    return f"S+=({','.join(reversed(stack))},);" if stack else ""


def _swap_one_less(self: Any, pc: int, rule: Rule, whole: Any = _Writer._write) -> None:
    if rule.kind is Kind.SWAP and rule.number == 5:
        rule = Rule(rule.opcode, rule.kind, rule.gas, number=4)
    whole(self, pc, rule)


def _exit_without_gas(self: Any, where: str) -> str:
    return f"G.gas_remaining=g+(g>40000);{unit._spill(self._stack)}return {where}"


def _transfer(*arguments: Any, whole: Any = transition._transfer) -> Any:
    done = whole(*arguments)
    return transition.Outcome(None, b"", Gas(done.gas_used + 1), Gas(0), (), None)


def _apply_computation(
    cls: Any, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None
) -> Any:
    """Run as CompiledFrame does, but forget which contracts are new."""
    frame = cls(state, message, transaction_context)
    with frame:
        frame.contracts_created = []
        precompile = frame.precompiles.get(message.code_address, NO_RESULT)
        if precompile is not NO_RESULT:
            precompile(frame)
        elif message.code:
            frame.run_code()
    return frame


MUTANTS: Final = (
    Mutant("SUB is one off", _template(rules.PURE, arithmetic.sub, "({0}-{1}+1)&M"), 1),
    Mutant(
        "DIV swaps its operands",
        _template(rules.PURE, arithmetic.div, "{1}//{0} if {0} else 0"),
        7,
    ),
    Mutant(
        "LT is also true when equal",
        _template(rules.PURE, comparison.lt, "1 if {0}<={1} else 0"),
        58,
    ),
    Mutant(
        "SLT compares without signs",
        _template(rules.PURE, comparison.slt, "1 if {0}<{1} else 0"),
        90,
    ),
    Mutant(
        "BYTE counts from the other end",
        _template(rules.PURE, comparison.byte_op, "{1}>>8*{0}&255 if {0}<32 else 0"),
        59,
    ),
    Mutant("SAR takes its shift modulo 256", _value(helpers, "sar", _sar), 104),
    Mutant(
        "CALLDATALOAD beyond the end is not filled up",
        _template(rules.READS, context.calldataload, "F(m.data[{0}:{0}+32],'big')"),
        11,
    ),
    Mutant(
        "RETURNDATASIZE is that of our own output",
        _template(rules.READS, context.returndatasize, "len(c.output)"),
        8,
    ),
    Mutant("a cold SLOAD is too cheap", _value(helpers, "COLD_SLOAD_COST", 2_000), 2),
    Mutant("a first SSTORE is too cheap", _value(helpers, "_SET", 19_999), 3),
    Mutant("clearing a slot gives back too little", _value(helpers, "_CLEARS", 4_799), 9),
    Mutant("SSTORE runs on its stipend", _value(helpers, "SSTORE_SENTRY", 0), 17),
    Mutant("SSTORE writes in a static call", _value(helpers, "sstore", _sstore), 85),
    Mutant("a log's data are too cheap", _value(helpers, "GAS_LOGDATA", 7), 1),
    Mutant("a hash's words are free", _value(helpers, "GAS_SHA3WORD", 0), 1),
    Mutant("memory grows by bytes, not words", _value(helpers, "extend", _extend_by_bytes), 1),
    Mutant(
        "memory is taken for larger than it is", _value(_Writer, "_need_memory", _need_memory), 3
    ),
    Mutant("a stack may be too high", _value(unit, "STACK_ITEMS_MAX", 1_100), 32),
    Mutant("DUP reaches below the stack", _value(_Writer, "_dup", _need_no_items), 3),
    Mutant("a way out leaves the stack upside down", _value(unit, "_spill", _spill_reversed), 2),
    Mutant("a way out gives a gas back", _value(_Writer, "_exit", _exit_without_gas), 1),
    Mutant("SWAP5 swaps the fourth", _value(_Writer, "_write", _swap_one_less), 26),
    Mutant("GAS is read before its run is paid", _value(_Writer, "_alone", _gas_before_its_run), 1),
    Mutant("code jumps into the data of a PUSH", _value(program, "jump_table", _jump_table), 476),
    Mutant("a plain transfer costs one more", _value(transition, "_transfer", _transfer), 22),
    Mutant(
        "a new contract does not know that it is new",
        _value(computation.CompiledFrame, "apply_computation", classmethod(_apply_computation)),
        41,
    ),
)


def differs(mutant: Mutant | None, worlds: Iterable[int]) -> int | None:
    """Compile anew with what is planted; return the first of the worlds that differs, if any.

    An exception that no engine should raise is a difference as well.
    """
    with pytest.MonkeyPatch.context() as patch:
        computation.compiled.cache_clear()
        patch.setattr(computation, "EAGER_PROGRAMS", Programs(EAGER))
        if mutant is not None:
            mutant.plant(patch)
        pair = Pair()
        try:
            for number in worlds:
                try:
                    wrong = pair.differ(make_world(number))
                except (ArithmeticError, LookupError, TypeError, ValueError):
                    return number
                if wrong:
                    return number
        finally:
            computation.compiled.cache_clear()
    return None


def main() -> None:
    """Print the first world that finds each mutant."""
    for mutant in MUTANTS:
        print(f"{differs(mutant, range(1, SEARCH_WORLDS + 1))} {mutant.name}", flush=True)  # noqa: T201
    sys.exit(0)


if __name__ == "__main__":
    main()
