"""How contracts were created before later forks changed it; mixed into the computation class.

Each class takes back what one fork brought, the latest first. Sources: EIP-3860 (Shanghai),
EIP-3541 (London), EIP-161 and EIP-170 (Spurious Dragon), EIP-2 (Homestead).
"""

from __future__ import annotations

from eth.abc import ComputationAPI, MessageAPI, StateAPI, TransactionContextAPI
from eth.constants import GAS_CODEDEPOSIT
from eth.exceptions import OutOfGas, VMError

from vm.pyevm.computation import (
    CODE_BYTES_MAX,
    CodeStorageOutOfGas,
    CodeTooLarge,
    Computation,
)


class BeforeShanghai(Computation):
    """Initcode has no limit."""

    @classmethod
    def validate_create_message(cls, message: MessageAPI) -> None:
        """Accept initcode of any length."""


class BeforeLondon(BeforeShanghai):
    """Code may begin with 0xef."""

    @classmethod
    def _store_code(cls, state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
        if len(computation.output) > CODE_BYTES_MAX:
            raise CodeTooLarge("max code size exceeded")
        _deposit(state, message, computation)


class BeforeSpuriousDragon(BeforeLondon):
    """A new contract begins with nonce 0, and its code has no limit."""

    @classmethod
    def _store_code(cls, state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
        _deposit(state, message, computation)

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


class BeforeHomestead(BeforeSpuriousDragon):
    """A creation that cannot pay for its code succeeds without code."""

    @classmethod
    def _store_code(cls, state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
        try:
            _deposit(state, message, computation)
        except CodeStorageOutOfGas:
            computation.output = b""


def _deposit(state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
    code = computation.output
    try:
        computation.consume_gas(len(code) * GAS_CODEDEPOSIT, reason="code deposit")
    except OutOfGas:
        raise CodeStorageOutOfGas("contract creation code storage out of gas") from None
    state.set_code(message.storage_address, code)
