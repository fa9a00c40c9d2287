"""The quick alt_bn128 precompiles give py-evm's results, refusals and prices for any input."""

from __future__ import annotations

import random
from math import gcd
from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import VMError
from eth.vm.forks.byzantium.computation import ByzantiumComputation
from eth.vm.forks.istanbul.computation import IstanbulComputation
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128

from primitives.crypto import bn254
from primitives.crypto.bn254 import G1, G2, ORDER, NotInGroup, P, U
from vm.forks import Fork
from vm.pyevm.bn254 import quicker
from vm.pyevm.compile.computation import compiled
from vm.pyevm.forks.table import computation_of

peer: Any = optimized_bn128
ONE: G1 = (1, 2)
TWO: tuple[tuple[int, int], tuple[int, int]] = (
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)
FORKS: list[Any] = [ByzantiumComputation, IstanbulComputation]
scalar = st.integers(0, 2**256 - 1) | st.sampled_from([0, 1, 2, ORDER - 1, ORDER, ORDER + 1])


def run(precompile: Any, data: bytes) -> tuple[Any, int]:
    """Return the output, or None when the input is refused, and the gas taken."""
    gas = []

    def consume_gas(amount: int, reason: str) -> None:
        gas.append(amount)

    message = SimpleNamespace(data=data, data_as_bytes=data)
    frame = SimpleNamespace(msg=message, output=None, consume_gas=consume_gas)
    try:
        precompile(frame)
    except VMError:
        return None, sum(gas)
    return frame.output, sum(gas)


def same(number: int, data: bytes) -> Any:
    """Run both under both prices; return the output."""
    for fork in FORKS:
        precompiles = fork.get_precompiles()
        address = number.to_bytes(20, "big")
        expected = run(precompiles[address], data)
        assert run(quicker(precompiles)[address], data) == expected
    return expected[0]


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def raw(point: G1) -> bytes:
    return words(*(point or (0, 0)))


def raw_twist(point: G2) -> bytes:
    (x, x_i), (y, y_i) = point or ((0, 0), (0, 0))
    return words(x_i, x, y_i, y)


def times_two(number: int) -> G2:
    """Return a multiple of the second group's generator, by py_ecc."""
    if number % ORDER == 0:
        return None
    x, y = peer.normalize(peer.multiply(peer.G2, number % ORDER))
    return (tuple(map(int, x.coeffs)), tuple(map(int, y.coeffs)))  # type: ignore[return-value]


@given(scalar, scalar, scalar)
@settings(max_examples=25, deadline=None)
def test_sums_and_multiples_are_those_of_py_ecc(one: int, other: int, number: int) -> None:
    """Any points and numbers, infinity, a point and itself, a point and its opposite."""
    left, right = bn254.multiply(ONE, one), bn254.multiply(ONE, other)
    assert same(6, raw(left) + raw(right)) is not None
    assert same(6, raw(left) + raw(left)) == raw(bn254.multiply(ONE, 2 * one))
    if left is not None:
        assert same(6, raw(left) + words(left[0], P - left[1])) == bytes(64)
    assert same(7, raw(left) + words(number)) == raw(bn254.multiply(ONE, one * number))


@given(
    st.binary(max_size=160)
    | st.lists(st.sampled_from([0, 1, 2, 3, P, P + 1, P - 2])).map(lambda numbers: words(*numbers))
)
@settings(max_examples=60, deadline=None)
def test_any_input_is_taken_or_refused_as_by_py_evm(data: bytes) -> None:
    """Short and long inputs, coordinates at and above the modulus, points off the curve."""
    same(6, data)
    same(7, data)
    same(8, data)


def off_group() -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a point of the twist that is not of the group."""
    for real in range(1, 100):
        x = (real, 7)
        cube = bn254._mul2(bn254._mul2(x, x), x)
        square = ((cube[0] + bn254._B2[0]) % P, (cube[1] + bn254._B2[1]) % P)
        y = root(square)
        if y is not None:
            return x, y
    raise AssertionError("no point found")


def root(square: tuple[int, int]) -> tuple[int, int] | None:
    """Return a square root in the field of degree two; P is 3 modulo 4."""
    norm = pow(square[0] ** 2 + square[1] ** 2, (P + 1) // 4, P)
    for sign in (norm, -norm):
        half = (square[0] + sign) * pow(2, -1, P) % P
        real = pow(half, (P + 1) // 4, P)
        if real and real * real % P == half:
            found = real, square[1] * pow(2 * real, -1, P) % P
            if bn254._mul2(found, found) == square:
                return found
    return None


@pytest.mark.slow
def test_pairings_are_those_of_py_ecc() -> None:
    """Products that are one and that are not, infinity on either side, points that are refused."""
    chance = random.Random(5)
    a, b = chance.randrange(ORDER), chance.randrange(ORDER)
    opposite = bn254.multiply(ONE, -a * b)
    good = raw(bn254.multiply(ONE, a)) + raw_twist(times_two(b)) + raw(opposite) + raw_twist(TWO)
    assert same(8, good) == words(1)
    assert same(8, good[:192]) == words(0)
    assert same(8, raw(None) + raw_twist(TWO)) == words(1)
    assert same(8, raw(ONE) + raw_twist(None)) == words(1)
    wrong = off_group()
    assert bn254.is_on_twist(wrong)
    assert same(8, raw(ONE) + raw_twist(wrong)) is None
    assert same(8, raw(None) + raw_twist(wrong)) is None
    moved = (TWO[0], (TWO[1][0] + 1, TWO[1][1]))
    assert same(8, raw(ONE) + raw_twist(moved)) is None
    assert same(8, raw(ONE) + words(TWO[0][1] + P, TWO[0][0], TWO[1][1], TWO[1][0])) is None


def test_the_pairing_is_bilinear_and_not_one() -> None:
    """e(5 P, Q) = e(P, 5 Q) = e(P, Q)^5, which is not one but is one to the power of the order."""
    once = bn254.pairing([(ONE, TWO)])
    five = bn254.pairing([(bn254.multiply(ONE, 5), TWO)])
    assert five == bn254.pairing([(ONE, times_two(5))]) == bn254.pairing([(ONE, TWO)] * 5)
    power = bn254.ONE
    for _ in range(5):
        power = bn254._mul12(power, once)
    assert power == five != bn254.ONE
    assert bn254._mul12(once, bn254._inverse12(once)) == bn254.ONE
    assert bn254._square_of_norm_one(once) == bn254._square12(once) == bn254._mul12(once, once)


def test_the_test_of_a_points_order_is_exact() -> None:
    """The norm of 6U + 2 + F - F^2 + F^3 has the group's order as its only factor in common.

    So what that sum sends to infinity has an order that divides ORDER. Planted bug: a point of the
    twist outside the group is accepted.
    """
    trace, cofactor = 6 * U * U + 1, 2 * P - ORDER

    def product(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        high = a[1] * b[1]
        return a[0] * b[0] - high * P, a[0] * b[1] + a[1] * b[0] + high * trace

    power = (0, 1)
    square = product(power, power)
    cube = product(square, power)
    total = (6 * U + 2 - square[0] + cube[0], 1 - square[1] + cube[1])
    norm = total[0] ** 2 + total[0] * total[1] * trace + total[1] ** 2 * P
    assert norm % ORDER == 0
    assert gcd(norm, cofactor) == 1
    with pytest.raises(NotInGroup):
        bn254.prepare(off_group())


def test_points_of_small_order_are_refused_not_tripped_over() -> None:
    """The cofactor's small factors give points where a line has no slope: refused like others."""
    cofactor = 2 * P - ORDER
    factor = next(each for each in range(2, 20_000) if cofactor % each == 0)
    x, y = off_group()
    start = (peer.FQ2(x), peer.FQ2(y), peer.FQ2.one())
    small = peer.multiply(start, ORDER * cofactor // factor)
    assert not peer.is_inf(small)
    small_x, small_y = peer.normalize(small)
    point: Any = (tuple(map(int, small_x.coeffs)), tuple(map(int, small_y.coeffs)))
    assert bn254.is_on_twist(point)
    with pytest.raises(NotInGroup):
        bn254.prepare(point)


def test_the_tuned_engine_has_them_and_the_plain_one_has_py_evms() -> None:
    """The plain engine stays the judge."""
    plain = computation_of(Fork.PRAGUE)
    for number in (6, 7, 8):
        address: Any = number.to_bytes(20, "big")
        ours = compiled(plain).get_precompiles()[address]
        assert ours.__module__ == "vm.pyevm.bn254"
        assert plain.get_precompiles()[address] is IstanbulComputation.get_precompiles()[address]


def test_prepared_points_are_bounded() -> None:
    """The cache of lines has a bound, and what it gives again is what it made."""
    bn254.prepare.cache_clear()
    first = bn254.prepare(TWO)
    assert bn254.prepare(TWO) is first
    assert bn254.prepare.cache_info().maxsize == bn254.PREPARED_MAX
