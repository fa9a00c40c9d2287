"""Geth's words for what ends an execution. Source: geth, core/vm/errors.go."""

from __future__ import annotations

from typing import Any, Final, cast

from eth import exceptions
from eth.abc import ComputationAPI
from eth.exceptions import VMError

from vm.engine import OUT_OF_GAS, REVERTED
from vm.pyevm.computation import CodeStorageOutOfGas, CodeTooLarge
from vm.trace.opcodes import GROWING, STACK_NEEDS, opcode_name

STACK_ITEMS_MAX: Final = 1024
STACK_UNDERFLOW: Final = "stack underflow"
FRAMES: Final = 0xF0
"""Opcodes from here on begin or end frames."""


class StackUnderflow(exceptions.InsufficientStack):
    """Says how many items there were and how many are needed; traced runs raise it."""


class StackOverflow(exceptions.FullStack):
    """Says how many items there were; traced runs raise it."""


_WORDS: Final[dict[type[VMError], str]] = {
    exceptions.Revert: REVERTED,
    exceptions.OutOfGas: OUT_OF_GAS,
    exceptions.InsufficientStack: STACK_UNDERFLOW,
    exceptions.FullStack: f"stack limit reached {STACK_ITEMS_MAX} ({STACK_ITEMS_MAX - 1})",
    exceptions.InvalidJumpDestination: "invalid jump destination",
    exceptions.InsufficientFunds: "insufficient balance for transfer",
    exceptions.StackDepthLimit: "max call depth exceeded",
    exceptions.ContractCreationCollision: "contract address collision",
    exceptions.WriteProtection: "write protection",
    exceptions.OutOfBoundsRead: "return data out of bounds",
    exceptions.ReservedBytesInCode: "invalid code: must not begin with 0xef",
    CodeTooLarge: "max code size exceeded",
    CodeStorageOutOfGas: "contract creation code storage out of gas",
}


def words(computation: ComputationAPI) -> str | None:
    """Return why `computation` failed, in geth's words; None when it did not."""
    if computation.is_success:
        return None
    error = computation.error
    if isinstance(error, exceptions.InvalidInstruction):
        return _invalid_opcode(computation)
    if type(error) is exceptions.OutOfGas and (other := _before_gas(computation)):
        return other
    if isinstance(error, (StackUnderflow, StackOverflow)):
        return str(error)
    return _WORDS.get(type(error), "precompiled contract failed")


def _invalid_opcode(computation: ComputationAPI) -> str:
    opcode = computation.msg.code[computation.code.program_counter - 1]
    return f"invalid opcode: {opcode_name(opcode)}"


def _before_gas(computation: ComputationAPI) -> str | None:
    """Return what Ethereum finds before it asks for gas: a stack that is too low or too high.

    py-evm takes an opcode's constant gas first, under the opcode's name, with the stack untouched;
    only for calls and creations it is not that simple, and "out of gas" stands.
    """
    at = computation.code.program_counter - 1
    code = computation.msg.code
    opcode = (
        computation.opcodes.get(code[at]) if 0 <= at < len(code) and code[at] < FRAMES else None
    )
    name = getattr(opcode, "mnemonic", None)
    if name is None or not str(computation.error).endswith(f"Reason: {name}"):
        return None
    size = len(cast("Any", computation)._stack.values)
    if size < STACK_NEEDS.get(code[at], 0):
        return STACK_UNDERFLOW
    return _WORDS[exceptions.FullStack] if size >= STACK_ITEMS_MAX and code[at] in GROWING else None
