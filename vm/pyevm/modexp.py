"""The modular exponentiation precompile at 0x05, with EIP-2565's price.

py-evm's own returns 0 for an empty base whatever the exponent (0 to the power of 0 is 1), and its
price goes through floating point for lengths above 2^53. Sources: EIP-198, EIP-2565.
"""

from __future__ import annotations

from typing import Final

from eth.abc import ComputationAPI

WORD: Final = 32
HEAD: Final = 3 * WORD
GAS_MIN: Final = 200
GAS_DIVISOR: Final = 3


def modexp(computation: ComputationAPI) -> ComputationAPI:
    """Charge for and compute base^exponent mod modulus; the precompile's entry point."""
    data = computation.msg.data_as_bytes
    base_length, exponent_length, modulus_length = (
        int.from_bytes(_read(data, at, WORD), "big") for at in range(0, HEAD, WORD)
    )
    head = int.from_bytes(_read(data, HEAD + base_length, min(WORD, exponent_length)), "big")
    gas = modexp_gas(base_length, exponent_length, modulus_length, head)
    computation.consume_gas(gas, reason="MODEXP Precompile")
    if modulus_length == 0:
        computation.output = b""
        return computation
    base = int.from_bytes(_read(data, HEAD, base_length), "big")
    at = HEAD + base_length
    exponent = int.from_bytes(_read(data, at, exponent_length), "big")
    modulus = int.from_bytes(_read(data, at + exponent_length, modulus_length), "big")
    result = pow(base, exponent, modulus) if modulus else 0
    computation.output = result.to_bytes(modulus_length, "big")
    return computation


def modexp_gas(
    base_length: int, exponent_length: int, modulus_length: int, exponent_head: int
) -> int:
    """Return the price; `exponent_head` is the exponent's first 32 bytes. Source: EIP-2565."""
    words = (max(base_length, modulus_length) + 7) // 8
    iterations = max(exponent_head.bit_length() - 1, 0) + 8 * max(exponent_length - WORD, 0)
    return max(GAS_MIN, words * words * max(iterations, 1) // GAS_DIVISOR)


def _read(data: bytes, start: int, length: int) -> bytes:
    """Return `length` bytes from `start`, zeros beyond the end of `data`."""
    return data[start : start + length].ljust(length, b"\0")
