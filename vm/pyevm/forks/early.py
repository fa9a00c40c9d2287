"""How contracts were created before later forks changed it; mixed into the computation class.

Each class takes back what one fork brought, the latest first. Sources: EIP-3860 (Shanghai),
EIP-3541 (London), EIP-161 and EIP-170 (Spurious Dragon), EIP-2 (Homestead).
"""

from __future__ import annotations

from eth.abc import ComputationAPI, MessageAPI, StateAPI

from vm.pyevm.computation import (
    CODE_BYTES_MAX,
    CodeStorageOutOfGas,
    CodeTooLarge,
    Computation,
    deposit_code,
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
        deposit_code(state, message, computation)


class BeforeSpuriousDragon(BeforeLondon):
    """A new contract begins with nonce 0, and its code has no limit."""

    begins_with_nonce = False

    @classmethod
    def _store_code(cls, state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
        deposit_code(state, message, computation)


class BeforeHomestead(BeforeSpuriousDragon):
    """A creation that cannot pay for its code succeeds without code."""

    @classmethod
    def _store_code(cls, state: StateAPI, message: MessageAPI, computation: ComputationAPI) -> None:
        try:
            deposit_code(state, message, computation)
        except CodeStorageOutOfGas:
            computation.output = b""
