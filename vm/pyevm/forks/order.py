"""Opcodes that py-evm refuses before it counts their gas, in Ethereum's order: first the gas.

A frame that fails loses all its gas either way, so gas and state are the same; which of two
failures is named, and what a trace shows as the price, is not. Sources: Yellow Paper 9.4.2 (any of
the failures ends the frame); go-ethereum core/vm/interpreter.go for the order, and its words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from eth.constants import GAS_COPY
from eth.exceptions import OutOfBoundsRead, WriteProtection
from eth.vm import opcode_values as op
from eth.vm.opcode import as_opcode

STATIC: Final = "Cannot modify state while inside of a STATICCALL context"
WRITERS: Final = (op.SSTORE, *range(op.LOG0, op.LOG4 + 1))


def in_order(opcodes: dict[int, Any]) -> dict[int, Any]:
    """Return those of a fork's opcodes that are to be replaced."""
    found = {}
    for code in WRITERS:
        entry = opcodes[code]
        logic = getattr(entry.logic_fn, "__wrapped__", None)
        if logic is not None:
            found[code] = as_opcode(_static_last(logic), entry.mnemonic, entry.gas_cost)
    if op.RETURNDATACOPY in opcodes:
        entry = opcodes[op.RETURNDATACOPY]
        found[op.RETURNDATACOPY] = as_opcode(_returndatacopy, entry.mnemonic, entry.gas_cost)
    return found


def _static_last(logic: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the opcode's function with the check for static calls behind it.

    What it has written by then is undone with its frame.
    """

    @functools.wraps(logic)
    def write(computation: Any) -> None:
        logic(computation)
        if computation.msg.is_static:
            raise WriteProtection(STATIC)

    return write


def _returndatacopy(computation: Any) -> None:
    to, start, size = computation.stack_pop_ints(3)
    computation.extend_memory(to, size)
    computation.consume_gas((size + 31) // 32 * GAS_COPY, reason="RETURNDATACOPY")
    if start + size > len(computation.return_data):
        raise OutOfBoundsRead("return data out of bounds")
    computation.memory_write(to, size, computation.return_data[start : start + size])
