"""The modular exponentiation precompile at 0x05, with the price of each fork.

py-evm's own returns 0 for an empty base whatever the exponent (0 to the power of 0 is 1), and its
price goes through floating point for lengths above 2^53. Sources: EIP-198 (Byzantium), EIP-2565
(Berlin), EIP-7823 and EIP-7883 (Osaka).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from eth.abc import ComputationAPI
from eth.exceptions import VMError

WORD: Final = 32
HEAD: Final = 3 * WORD
GAS_MIN: Final = 200
GAS_DIVISOR: Final = 3
GAS_DIVISOR_BYZANTIUM: Final = 20
GAS_MIN_OSAKA: Final = 500
OPERAND_BYTES_MAX: Final = 1_024
"""Longest operand from Osaka on. Source: EIP-7823."""

Price: TypeAlias = Callable[[int, int, int, int], int]
"""Gas by length of base, exponent and modulus, and the exponent's first 32 bytes."""


class OperandTooLong(VMError):
    """An operand is longer than Osaka allows."""


def modexp(computation: ComputationAPI) -> ComputationAPI:
    """Charge for and compute base^exponent mod modulus; the precompile from Berlin to Prague."""
    return _modexp(computation, modexp_gas)


def modexp_byzantium(computation: ComputationAPI) -> ComputationAPI:
    """Charge for and compute base^exponent mod modulus; the precompile before Berlin."""
    return _modexp(computation, modexp_gas_byzantium)


def modexp_osaka(computation: ComputationAPI) -> ComputationAPI:
    """Charge for and compute base^exponent mod modulus; the precompile from Osaka on."""
    if max(_lengths(computation.msg.data_as_bytes)) > OPERAND_BYTES_MAX:
        raise OperandTooLong(f"one or more of base/exponent/modulus exceed {OPERAND_BYTES_MAX}")
    return _modexp(computation, modexp_gas_osaka)


def _modexp(computation: ComputationAPI, price: Price) -> ComputationAPI:
    data = computation.msg.data_as_bytes
    base_length, exponent_length, modulus_length = _lengths(data)
    head = int.from_bytes(_read(data, HEAD + base_length, min(WORD, exponent_length)), "big")
    gas = price(base_length, exponent_length, modulus_length, head)
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


def modexp_gas_byzantium(
    base_length: int, exponent_length: int, modulus_length: int, exponent_head: int
) -> int:
    """Return the price; `exponent_head` is the exponent's first 32 bytes. Source: EIP-198."""
    length = max(base_length, modulus_length)
    if length <= 64:
        complexity = length * length
    elif length <= 1_024:
        complexity = length * length // 4 + 96 * length - 3_072
    else:
        complexity = length * length // 16 + 480 * length - 199_680
    return complexity * _iterations(exponent_length, exponent_head, 8) // GAS_DIVISOR_BYZANTIUM


def modexp_gas(
    base_length: int, exponent_length: int, modulus_length: int, exponent_head: int
) -> int:
    """Return the price; `exponent_head` is the exponent's first 32 bytes. Source: EIP-2565."""
    words = (max(base_length, modulus_length) + 7) // 8
    return max(
        GAS_MIN, words * words * _iterations(exponent_length, exponent_head, 8) // GAS_DIVISOR
    )


def modexp_gas_osaka(
    base_length: int, exponent_length: int, modulus_length: int, exponent_head: int
) -> int:
    """Return the price; `exponent_head` is the exponent's first 32 bytes. Source: EIP-7883."""
    length = max(base_length, modulus_length)
    complexity = 16 if length <= WORD else 2 * ((length + 7) // 8) ** 2
    return max(GAS_MIN_OSAKA, complexity * _iterations(exponent_length, exponent_head, 16))


def _iterations(length: int, head: int, per_byte: int) -> int:
    """Return how many steps an exponent counts for: its bits, tail bytes at `per_byte` each."""
    return max(max(head.bit_length() - 1, 0) + per_byte * max(length - WORD, 0), 1)


def _lengths(data: bytes) -> tuple[int, int, int]:
    base, exponent, modulus = (
        int.from_bytes(_read(data, at, WORD), "big") for at in range(0, HEAD, WORD)
    )
    return base, exponent, modulus


def _read(data: bytes, start: int, length: int) -> bytes:
    """Return `length` bytes from `start`, zeros beyond the end of `data`."""
    return data[start : start + length].ljust(length, b"\0")
