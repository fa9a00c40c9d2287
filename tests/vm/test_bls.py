"""The quick BLS12-381 precompiles give py-evm's results and prices for any input."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import VMError

from vm.pyevm import bls
from vm.pyevm.bls import QUICK, Precompile, quicker, slow

G1 = (
    bytes(16)
    + bytes.fromhex(
        "17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    )
    + bytes(16)
    + bytes.fromhex(
        "08b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1"
    )
)
MODULUS = int.from_bytes(
    bytes.fromhex("1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf")
    + bytes.fromhex("6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab"),
    "big",
)
needs_wheel = pytest.mark.skipif(not bls.IS_QUICK, reason="py_arkworks_bls12381 is not installed")


class Frame(SimpleNamespace):
    """What a precompile sees of a computation."""

    def consume_gas(self, amount: int, reason: str) -> None:
        self.gas += amount


def run(precompile: Precompile, data: bytes) -> tuple[Any, int]:
    """Return the output, or None when the input is refused, and the gas taken."""
    frame = Frame(msg=SimpleNamespace(data=data), output=None, gas=0)
    try:
        precompile(frame)
    except VMError:
        return None, frame.gas
    return frame.output, frame.gas


def same(precompile: Precompile, data: bytes) -> Any:
    expected = run(precompile, data)
    assert run(QUICK[precompile], data) == expected
    return expected[0]


def field(value: int) -> bytes:
    return value.to_bytes(64, "big")


@needs_wheel
def test_additions_and_products_are_equal() -> None:
    """Points that were mapped, infinity, a point and its negative, scalars above the order."""
    g2s = [same(slow.bls12_map_fp2_to_g2, field(each) + field(7)) for each in (0, 5)]
    g1s = [G1, same(slow.bls12_map_fp_to_g1, field(MODULUS - 1)), bytes(128)]
    negative = G1[:64] + field(MODULUS - int.from_bytes(G1[64:], "big"))
    for one, other in ((0, 1), (0, 0), (0, 2), (2, 2)):
        same(slow.bls12_g1_add, g1s[one] + g1s[other])
    assert same(slow.bls12_g1_add, G1 + negative) == bytes(128)
    same(slow.bls12_g2_add, g2s[0] + g2s[1])
    same(slow.bls12_g2_add, g2s[0] + g2s[0])
    scalars = [b"\xff" * 32, bytes(32), b"\x07" * 32]
    pieces = [point + scalar for point, scalar in zip(g1s, scalars, strict=True)]
    same(slow.bls12_g1_msm, b"".join(pieces))
    same(slow.bls12_g2_msm, g2s[0] + scalars[0])


@needs_wheel
@pytest.mark.slow
def test_pairings_are_equal() -> None:
    """A product that is one and another that is not."""
    g2 = run(slow.bls12_map_fp2_to_g2, field(5) + field(7))[0]
    negative = G1[:64] + field(MODULUS - int.from_bytes(G1[64:], "big"))
    assert same(slow.bls12_pairing_check, G1 + g2 + negative + g2) == bls.YES
    assert same(slow.bls12_pairing_check, G1 + g2) == bytes(32)
    assert same(slow.bls12_pairing_check, bytes(128) + g2) == bls.YES


@needs_wheel
def test_wrong_input_is_refused_alike() -> None:
    """Lengths, field elements above the modulus, points off the curve and outside the subgroup.

    Planted bug: addition that wants points of the subgroup.
    """
    outside = field(0) + field(2)  # on the curve, of order 3
    assert same(slow.bls12_g1_add, outside + G1) is not None
    assert same(slow.bls12_g1_msm, outside + bytes(32)) is None
    chance = random.Random(1)
    for precompile in QUICK:
        for data in (b"", bytes(63), chance.randbytes(64), b"\x01" + bytes(127), bytes(160)):
            same(precompile, data)
    for x, y in ((1, 1), (MODULUS, 0), (2**384, 2), (0, MODULUS + 2)):
        same(slow.bls12_g1_add, field(x) + field(y) + G1)
        same(slow.bls12_map_fp_to_g1, field(x))


def test_without_the_wheel_py_evms_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing but the BLS12-381 precompiles is replaced with it."""
    table = {1: slow.ecrecover, 2: slow.bls12_g1_add}
    monkeypatch.setattr(bls, "IS_QUICK", False)
    assert quicker(table) == table
    monkeypatch.setattr(bls, "IS_QUICK", True)
    assert quicker(table) == {1: slow.ecrecover, 2: bls.g1_add}
