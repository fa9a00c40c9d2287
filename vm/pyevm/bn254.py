"""The precompiles of alt_bn128 (0x06 to 0x08) on our own curve: twenty times py-evm's speed.

py-evm computes them with py_ecc, 0.2 s for a pairing that 79,000 gas pays. Same results, same
refusals; the price of each fork is py-evm's, read from its own entry. A coordinate is 32 bytes and
below the field's modulus, (0, 0) is infinity, and the second group's coordinates have the imaginary
part first. Sources: EIP-196, EIP-197, EIP-1108.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import eth.precompiles
from eth.constants import (
    GAS_ECADD,
    GAS_ECMUL,
    GAS_ECPAIRING_BASE,
    GAS_ECPAIRING_PER_POINT,
)
from eth.exceptions import VMError

from primitives.crypto.bn254 import G1, G2, NotInGroup, add, is_g1, is_product_one, multiply

Precompile: TypeAlias = Callable[..., Any]
Key = TypeVar("Key")

slow: Any = eth.precompiles
WORD: Final = 32
PAIR_BYTES: Final = 192
YES: Final = (1).to_bytes(WORD, "big")
NO: Final = bytes(WORD)


def quicker(precompiles: Mapping[Key, Precompile]) -> dict[Key, Precompile]:
    """Return the precompiles with ours in the place of py-evm's, at the same price."""
    return {key: _ours(each) for key, each in precompiles.items()}


def _ours(precompile: Any) -> Precompile:
    """Return what does the same; py-evm's own are functions with the price bound to them."""
    make = _MAKERS.get(getattr(precompile, "func", None))
    return precompile if make is None else make(**precompile.keywords)


def _words(computation: Any, count: int) -> list[int]:
    """Return the first words of the input; what is not there is zero."""
    data = computation.msg.data_as_bytes[: count * WORD].ljust(count * WORD, b"\0")
    return [int.from_bytes(data[at : at + WORD], "big") for at in range(0, len(data), WORD)]


def _point(x: int, y: int) -> G1:
    point = (x, y) if x or y else None
    if not is_g1(point):
        raise VMError("not a point of the curve")
    return point


def _bytes(point: G1) -> bytes:
    x, y = point or (0, 0)
    return x.to_bytes(WORD, "big") + y.to_bytes(WORD, "big")


def _addition(gas_cost: int = GAS_ECADD) -> Precompile:
    def bn254_add(computation: Any) -> None:
        """Add two points."""
        computation.consume_gas(gas_cost, reason="ECADD")
        x1, y1, x2, y2 = _words(computation, 4)
        computation.output = _bytes(add(_point(x1, y1), _point(x2, y2)))

    return bn254_add


def _multiplication(gas_cost: int = GAS_ECMUL) -> Precompile:
    def bn254_multiply(computation: Any) -> None:
        """Multiply a point by a number."""
        computation.consume_gas(gas_cost, reason="ECMUL")
        x, y, scalar = _words(computation, 3)
        computation.output = _bytes(multiply(_point(x, y), scalar))

    return bn254_multiply


def _pairing(
    gas_cost_base: int = GAS_ECPAIRING_BASE, gas_cost_per_point: int = GAS_ECPAIRING_PER_POINT
) -> Precompile:
    def bn254_pairing(computation: Any) -> None:
        """Say whether the product of pairings is one."""
        count, rest = divmod(len(computation.msg.data), PAIR_BYTES)
        if rest:
            raise VMError(f"the input must have a multiple of {PAIR_BYTES} bytes")
        computation.consume_gas(gas_cost_base + count * gas_cost_per_point, reason="ECPAIRING")
        words = _words(computation, count * PAIR_BYTES // WORD)
        pairs: list[tuple[G1, G2]] = []
        for at in range(0, len(words), PAIR_BYTES // WORD):
            x, y, x_imaginary, x_real, y_imaginary, y_real = words[at : at + 6]
            is_finite = x_imaginary or x_real or y_imaginary or y_real
            other = ((x_real, x_imaginary), (y_real, y_imaginary)) if is_finite else None
            pairs.append((_point(x, y), other))
        try:
            computation.output = YES if is_product_one(pairs) else NO
        except NotInGroup as error:
            raise VMError(str(error)) from None

    return bn254_pairing


_MAKERS: Final[dict[Any, Callable[..., Precompile]]] = {
    slow.ecadd.func: _addition,
    slow.ecmul.func: _multiplication,
    slow.ecpairing.func: _pairing,
}
