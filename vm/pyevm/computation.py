"""py-evm's computation with our corrections, and without its debug strings.

Corrections: modexp (see `modexp`); initcode gas of a creation transaction is part of its intrinsic
gas and is not charged again (py-evm charges it for every creation by the origin, so twice when a
sender's delegated code creates); SELFDESTRUCT does not warn; creation errors have names.
Sources: EIP-170, 3541, 3860 (creation), EIP-161 (nonce of a new contract), EIP-7702.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eth.abc import ComputationAPI, MessageAPI, StateAPI, TransactionContextAPI
from eth.constants import GAS_CODEDEPOSIT, STACK_DEPTH_LIMIT
from eth.exceptions import (
    InsufficientFunds,
    OutOfGas,
    ReservedBytesInCode,
    StackDepthLimit,
    VMError,
)
from eth.vm import opcode_values
from eth.vm.computation import BaseComputation
from eth.vm.forks.prague.computation import PragueComputation
from eth_typing import Address as EthAddress

from vm.engine import ExecutionStopped
from vm.pyevm.code import AnalysedCode
from vm.pyevm.modexp import modexp

CODE_BYTES_MAX: Final = 24_576
CODE_PREFIX_REFUSED: Final = b"\xef"
JUMPS: Final = (opcode_values.JUMP, opcode_values.JUMPI)
MODEXP_ADDRESS: Final = EthAddress(bytes(19) + b"\x05")


class CodeTooLarge(VMError):
    """The new contract's code is above 24,576 bytes (EIP-170)."""


class CodeStorageOutOfGas(OutOfGas):
    """No gas left to store the new contract's code."""


def _opcodes() -> dict[int, Any]:
    table = dict(PragueComputation.opcodes)
    selfdestruct: Any = table[opcode_values.SELFDESTRUCT]
    table[opcode_values.SELFDESTRUCT] = selfdestruct.__wrapped__
    return table


_PRECOMPILES: Final = {**PragueComputation.get_precompiles(), MODEXP_ADDRESS: modexp}


class Computation(PragueComputation):
    """Runs one message and its children."""

    opcodes = _opcodes()
    _precompiles = _PRECOMPILES

    begins_with_nonce = True
    """Whether a new contract begins with nonce 1. Source: EIP-161."""

    def __init__(
        self, state: StateAPI, message: MessageAPI, transaction_context: TransactionContextAPI
    ) -> None:
        # Past py-evm's class for Shanghai, which warms the coinbase in every frame of every fork
        # from there on; `vm.pyevm.transition` does so once, for the forks that want it.
        BaseComputation.__init__(self, state, message, transaction_context)
        self.code = AnalysedCode(message.code)

    @classmethod
    def consume_initcode_gas_cost(cls, computation: ComputationAPI) -> None:
        """Charge nothing: `vm.validate.intrinsic_gas` holds a creation's initcode gas."""

    @classmethod
    def apply_message(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """Move the value, run the code, keep or undo the changes. Raises VMError before it runs."""
        if message.depth > STACK_DEPTH_LIMIT:
            raise StackDepthLimit("max call depth exceeded")
        snapshot = state.snapshot()
        if message.value and message.should_transfer_value:
            if state.get_balance(message.sender) < message.value:
                raise InsufficientFunds("insufficient balance for transfer")
            state.delta_balance(message.sender, -message.value)
            state.delta_balance(message.storage_address, message.value)
        state.touch_account(message.storage_address)
        computation = cls.apply_computation(
            state, message, transaction_context, parent_computation=parent_computation
        )
        if computation.is_error:
            state.revert(snapshot)
        return computation

    @classmethod
    def apply_create_message(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """Run initcode and store what it returns as the new contract's code."""
        snapshot = state.snapshot()
        if cls.begins_with_nonce:
            state.increment_nonce(message.storage_address)
        cls.validate_create_message(message)
        computation = cls.apply_message(
            state, message, transaction_context, parent_computation=parent_computation
        )
        if not computation.is_error and computation.output:
            try:
                cls._store_code(state, message, computation)
            except VMError as error:
                computation.error = error
        if computation.is_error:
            state.revert(snapshot)
        return computation

    @classmethod
    def _store_code(cls, state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
        code = computation.output
        if len(code) > CODE_BYTES_MAX:
            raise CodeTooLarge("max code size exceeded")
        if code.startswith(CODE_PREFIX_REFUSED):
            raise ReservedBytesInCode("invalid code: must not begin with 0xef")
        deposit_code(state, message, computation)


def deposit_code(state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
    """Charge for the code that a creation returned, and store it; raises CodeStorageOutOfGas."""
    code = computation.output
    try:
        computation.consume_gas(len(code) * GAS_CODEDEPOSIT, reason="code deposit")
    except OutOfGas:
        raise CodeStorageOutOfGas("contract creation code storage out of gas") from None
    state.set_code(message.storage_address, code)


def stoppable_opcode(jump: Callable[..., Any]) -> Callable[..., Any]:
    """Return the opcode `jump`, asking its state's `stop` first."""

    def jump_unless_stopped(computation: Any) -> None:
        if computation.state.stop():
            raise ExecutionStopped("execution aborted")
        jump(computation=computation)

    return jump_unless_stopped
