"""The BLS12-381 precompiles (EIP-2537) on arkworks: a hundred times py-evm's speed, same results.

py-evm computes them in pure Python, up to 0.3 s for what 100,000 gas pays. py_arkworks_bls12381
is a wheel of the Rust library arkworks, which Ethereum's consensus specification uses as well.
Where it is not installed, `quicker` leaves py-evm's own in place: slower, not different.

A field element is 64 bytes, of which the first 16 must be zero; points are pairs of them, or of
pairs (c0, c1) of them; all zero is infinity. Addition takes any point of the curve, the others want
points of the subgroup. The prices are py-evm's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import eth.precompiles
from eth.exceptions import VMError
from eth.precompiles.bls12_381.constants import (
    BLS12_G1_ADD_GAS,
    BLS12_G1_MSM_GAS,
    BLS12_G2_ADD_GAS,
    BLS12_G2_MSM_GAS,
    BLS12_MAP_FP2_G2_GAS,
    BLS12_MAP_FP_G1_GAS,
    G1_MSM_DISCOUNTS,
    G1_MSM_MAX_DISCOUNT,
    G2_MSM_DISCOUNTS,
    G2_MSM_MAX_DISCOUNT,
    MSM_MULTIPLIER,
)

try:
    from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar
except ImportError:
    IS_QUICK = False
else:
    IS_QUICK = True

Precompile: TypeAlias = Callable[..., Any]
Key = TypeVar("Key")

slow: Any = eth.precompiles
FIELD: Final = 64
PADDING: Final = bytes(16)
SCALAR: Final = 32
G1: Final = 2 * FIELD
G2: Final = 4 * FIELD
PAIRING_GAS: Final = 37_700
PAIRING_GAS_EACH: Final = 32_600
YES: Final = bytes(31) + b"\x01"


def quicker(precompiles: Mapping[Key, Precompile]) -> dict[Key, Precompile]:
    """Return the precompiles with the quick ones in the place of py-evm's."""
    return {key: QUICK.get(each, each) if IS_QUICK else each for key, each in precompiles.items()}


def _take(computation: Any, length: int, gas: int) -> bytes:
    """Return the input, which must have this length, and charge."""
    data = bytes(computation.msg.data)
    if len(data) != length:
        raise VMError(f"the input must have {length} bytes")
    computation.consume_gas(gas, reason="BLS12-381")
    return data


def _take_many(computation: Any, length: int, price: Callable[[int], int]) -> list[bytes]:
    """Return the input in pieces of this length, at least one, and charge for their number."""
    data = bytes(computation.msg.data)
    if not data or len(data) % length:
        raise VMError(f"the input must have a multiple of {length} bytes")
    computation.consume_gas(price(len(data) // length), reason="BLS12-381")
    return [data[at : at + length] for at in range(0, len(data), length)]


def _fields(data: bytes) -> bytes:
    """Return field elements without their padding."""
    parts = [data[at : at + FIELD] for at in range(0, len(data), FIELD)]
    if any(part[:16] != PADDING for part in parts):
        raise VMError("a field element is above the modulus")
    return b"".join(part[16:] for part in parts)


def _padded(data: bytes) -> bytes:
    return b"".join(PADDING + data[at : at + 48] for at in range(0, len(data), 48))


def _point(kind: Any, data: bytes, *, in_subgroup: bool) -> Any:
    make = kind.from_xy_bytes_be if in_subgroup else kind.from_xy_bytes_unchecked_be
    return _made(make, _fields(data))


def _made(make: Callable[[bytes], Any], raw: bytes) -> Any:
    try:
        return make(raw)
    except ValueError as error:
        raise VMError(str(error)) from None


def _add(computation: Any, kind: Any, size: int, gas: int) -> None:
    data = _take(computation, 2 * size, gas)
    one = _point(kind, data[:size], in_subgroup=False)
    other = _point(kind, data[size:], in_subgroup=False)
    computation.output = _padded((one + other).to_xy_bytes_be())


def _multiply(computation: Any, kind: Any, size: int, price: Callable[[int], int]) -> None:
    pairs = _take_many(computation, size + SCALAR, price)
    points = [_point(kind, pair[:size], in_subgroup=True) for pair in pairs]
    scalars = [Scalar.from_be_bytes_mod_order(pair[size:]) for pair in pairs]
    computation.output = _padded(kind.multiexp_unchecked(points, scalars).to_xy_bytes_be())


def _discounted(gas: int, discounts: list[int], least: int) -> Callable[[int], int]:
    def price(count: int) -> int:
        discount = discounts[count - 1] if count <= len(discounts) else least
        return count * gas * discount // MSM_MULTIPLIER

    return price


_G1_MSM_PRICE: Final = _discounted(BLS12_G1_MSM_GAS, list(G1_MSM_DISCOUNTS), G1_MSM_MAX_DISCOUNT)
_G2_MSM_PRICE: Final = _discounted(BLS12_G2_MSM_GAS, list(G2_MSM_DISCOUNTS), G2_MSM_MAX_DISCOUNT)


def g1_add(computation: Any) -> None:
    """Add two points of G1 (0x0b)."""
    _add(computation, G1Point, G1, BLS12_G1_ADD_GAS)


def g1_msm(computation: Any) -> None:
    """Multiply points of G1 by numbers and add them up (0x0c)."""
    _multiply(computation, G1Point, G1, _G1_MSM_PRICE)


def g2_add(computation: Any) -> None:
    """Add two points of G2 (0x0d)."""
    _add(computation, G2Point, G2, BLS12_G2_ADD_GAS)


def g2_msm(computation: Any) -> None:
    """Multiply points of G2 by numbers and add them up (0x0e)."""
    _multiply(computation, G2Point, G2, _G2_MSM_PRICE)


def pairing_check(computation: Any) -> None:
    """Say whether the product of pairings is one (0x0f)."""
    pairs = _take_many(computation, G1 + G2, lambda count: PAIRING_GAS_EACH * count + PAIRING_GAS)
    left = []
    right = []
    for pair in pairs:
        left.append(_point(G1Point, pair[:G1], in_subgroup=True))
        right.append(_point(G2Point, pair[G1:], in_subgroup=True))
    computation.output = YES if GT.pairing_check(left, right) else bytes(32)


def map_to_g1(computation: Any) -> None:
    """Map a field element to a point of G1 (0x10)."""
    data = _take(computation, FIELD, BLS12_MAP_FP_G1_GAS)
    computation.output = _padded(_made(G1Point.map_from_fp_be, _fields(data)).to_xy_bytes_be())


def map_to_g2(computation: Any) -> None:
    """Map a pair of field elements to a point of G2 (0x11)."""
    data = _take(computation, 2 * FIELD, BLS12_MAP_FP2_G2_GAS)
    computation.output = _padded(_made(G2Point.map_from_fp2_be, _fields(data)).to_xy_bytes_be())


QUICK: Final[dict[Precompile, Precompile]] = {
    slow.bls12_g1_add: g1_add,
    slow.bls12_g1_msm: g1_msm,
    slow.bls12_g2_add: g2_add,
    slow.bls12_g2_msm: g2_msm,
    slow.bls12_pairing_check: pairing_check,
    slow.bls12_map_fp_to_g1: map_to_g1,
    slow.bls12_map_fp2_to_g2: map_to_g2,
}
