"""What Osaka adds to Prague: the opcode CLZ, the precompile P256VERIFY, dearer and bounded modexp.

Sources: EIP-7939 (CLZ), EIP-7951 (P256VERIFY); modexp's limit and price (EIP-7823, EIP-7883) are
in `vm.pyevm.modexp`.
"""

from __future__ import annotations

from typing import Final

from eth.abc import ComputationAPI
from eth.vm.opcode import as_opcode
from eth_typing import Address as EthAddress

from primitives.crypto.p256 import is_signature
from primitives.types import ADDRESS_BYTES

CLZ: Final = 0x1E
GAS_CLZ: Final = 5
WORD_BITS: Final = 256

P256_ADDRESS: Final = EthAddress((0x100).to_bytes(ADDRESS_BYTES, "big"))
GAS_P256: Final = 6_900
P256_BYTES: Final = 160
P256_TRUE: Final = (1).to_bytes(32, "big")


def _count_leading_zeros(computation: ComputationAPI) -> None:
    value = computation.stack_pop1_int()
    computation.stack_push_int(WORD_BITS - value.bit_length())


OPCODES: Final = {CLZ: as_opcode(_count_leading_zeros, "CLZ", GAS_CLZ)}


def p256verify(computation: ComputationAPI) -> ComputationAPI:
    """Charge 6,900 gas; return 1 for a valid signature and nothing otherwise (EIP-7951).

    The input is digest, r, s, x and y, 32 bytes each.
    """
    computation.consume_gas(GAS_P256, reason="P256VERIFY Precompile")
    data = computation.msg.data_as_bytes
    if len(data) == P256_BYTES:
        r, s, x, y = (int.from_bytes(data[at : at + 32], "big") for at in range(32, 160, 32))
        if is_signature(data[:32], r, s, x, y):
            computation.output = P256_TRUE
    return computation
