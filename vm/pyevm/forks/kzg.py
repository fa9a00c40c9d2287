"""The point evaluation precompile at 0x0a: a blob's polynomial has this value here (EIP-4844).

py-evm's own reads the trusted setup anew at each call, which costs 1.7 s of CPU for 50,000 gas: a
block could take minutes. Ours keeps it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from eth.abc import ComputationAPI
from eth.exceptions import VMError
from eth.precompiles.point_evaluation import TRUSTED_SETUP_PATH
from eth_typing import Address as EthAddress

from primitives.crypto.kzg import is_evaluation

POINT_EVALUATION_ADDRESS: Final = EthAddress(bytes(19) + b"\x0a")
GAS: Final = 50_000
INPUT_BYTES: Final = 192
BLOB_VERSION: Final = b"\x01"
FIELD_ELEMENTS_PER_BLOB: Final = 4_096
BLS_MODULUS: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
SUCCESS: Final = FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big")


class BadEvaluation(VMError):
    """The input has another length, names another commitment, or its proof is wrong."""


def point_evaluation(computation: ComputationAPI) -> ComputationAPI:
    """Charge for and verify versioned hash, z, y, commitment and proof; the precompile's entry."""
    computation.consume_gas(GAS, reason="Point Evaluation Precompile")
    data = computation.msg.data_as_bytes
    if len(data) != INPUT_BYTES:
        raise BadEvaluation("invalid input length")
    commitment, proof = data[96:144], data[144:192]
    if BLOB_VERSION + sha256(commitment).digest()[1:] != data[:32]:
        raise BadEvaluation("mismatched versioned hash")
    if not is_evaluation(TRUSTED_SETUP_PATH, commitment, data[32:64], data[64:96], proof):
        raise BadEvaluation("error verifying kzg proof")
    computation.output = SUCCESS
    return computation
