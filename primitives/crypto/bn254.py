"""The curve alt_bn128 (BN254) of Ethereum's precompiles 0x06 to 0x08, in plain integers.

Curve: y^2 = x^3 + 3 over the field of P; its twist y^2 = x^3 + 3/(9 + u) over the field with
u^2 = -1 holds the second group. Both groups have ORDER elements. A point of the first is a pair
(x, y), one of the second (x, y) with each coordinate a pair (real, imaginary); None is infinity.

How it is fast without a library: an element of the field of degree 12 is a tuple of twelve
integers, products are written out and reduced once at their end, the Miller loop takes lines that
are prepared per point of the second group and kept, and its end is also the test of that point's
order. Not in constant time: all inputs are public.
Sources: EIP-196, EIP-197; Beuchat et al., eprint 2010/354 (optimal ate pairing); Scott et al.,
eprint 2008/490 (final exponentiation); Granger and Scott, eprint 2009/565 (squaring).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

P: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
ORDER: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
U: Final = 4965661367192848881
"""The curve's parameter: P and ORDER are polynomials of it."""

B: Final = 3
PREPARED_MAX: Final = 64
"""Points of the second group whose lines are kept, about 30 kB each."""

Fp2: TypeAlias = tuple[int, int]
G1: TypeAlias = tuple[int, int] | None
G2: TypeAlias = tuple[Fp2, Fp2] | None
Fp12: TypeAlias = tuple[int, ...]
"""Coefficients of 1, w^2, w^4, w, w^3, w^5, each real and imaginary; w^6 = 9 + u."""

_Jacobian: TypeAlias = tuple[int, int, int]
_Line: TypeAlias = tuple[int, int, int, int]
"""Slope, and slope times x less y, of a line through the twist."""

ONE: Final[Fp12] = (1, *(0,) * 11)


class NotInGroup(ValueError):
    """The point is not on its curve or not of the group's order."""


# --- the first group ----------------------------------------------------------------------------


def is_g1(point: G1) -> bool:
    """Return whether the point is of the first group, coordinates below P."""
    if point is None:
        return True
    x, y = point
    return 0 <= x < P and 0 <= y < P and (y * y - x * x * x - B) % P == 0


def add(left: G1, right: G1) -> G1:
    """Return the sum of two points of the first group."""
    if left is None or right is None:
        return right if left is None else left
    (x1, y1), (x2, y2) = left, right
    if x1 != x2:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    elif y1 != y2 or y1 == 0:
        return None
    else:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P) % P
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def multiply(point: G1, scalar: int) -> G1:
    """Return `scalar` times a point of the first group."""
    scalar %= ORDER
    if point is None or scalar == 0:
        return None
    one = (*point, 1)
    table: list[_Jacobian] = [(1, 1, 0), one, _double(one)]
    while len(table) < 16:
        table.append(_sum(table[-1], one))
    found = table[0]
    for shift in range((scalar.bit_length() + 3) // 4 * 4 - 4, -1, -4):
        found = _double(_double(_double(_double(found))))
        if digit := scalar >> shift & 15:
            found = _sum(found, table[digit])
    x, y, z = found
    if z == 0:
        return None
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    b = y * y % P
    d = 4 * x * b
    e = 3 * x * x
    x3 = (e * e - 2 * d) % P
    return x3, (e * (d - x3) - 8 * b * b) % P, 2 * y * z % P


def _sum(left: _Jacobian, right: _Jacobian) -> _Jacobian:
    x1, y1, z1 = left
    x2, y2, z2 = right
    if z1 == 0 or z2 == 0:
        return right if z1 == 0 else left
    s1, s2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * s2 % P, x2 * s1 % P
    v1, v2 = y1 * s2 * z2 % P, y2 * s1 * z1 % P
    h, r = u2 - u1, v2 - v1
    if h == 0:
        return _double(left) if r == 0 else (1, 1, 0)
    hh = h * h % P
    hhh = h * hh % P
    v = u1 * hh
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - v1 * hhh) % P, z1 * z2 * h % P


# --- the field of degree two --------------------------------------------------------------------


def _mul2(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def _inverse2(a: Fp2) -> Fp2:
    """Return 1 / a; raises NotInGroup for zero, where only points of other orders lead."""
    try:
        norm = pow(a[0] * a[0] + a[1] * a[1], -1, P)
    except ValueError:
        raise NotInGroup("the point is of another order") from None
    return a[0] * norm % P, -a[1] * norm % P


def _power2(a: Fp2, exponent: int) -> Fp2:
    found = (1, 0)
    for bit in bin(exponent)[2:]:
        found = _mul2(found, found)
        if bit == "1":
            found = _mul2(found, a)
    return found


_XI: Final = (9, 1)
_B2: Final = _mul2((B, 0), _inverse2(_XI))
_GAMMAS: Final = tuple(_power2(_XI, power * (P - 1) // 6) for power in range(6))
"""What the coefficient of w^i is multiplied with when the whole is raised to the power of P."""

_GAMMAS2: Final = tuple(_mul2(each, (each[0], -each[1]))[0] for each in _GAMMAS)
"""The same for P squared; these are in the first field."""

# --- the second group ---------------------------------------------------------------------------


def is_on_twist(point: G2) -> bool:
    """Return whether the point is on the twist, coordinates below P; not whether of its group."""
    if point is None:
        return True
    x, y = point
    if not all(0 <= each < P for each in (*x, *y)):
        return False
    cube, square = _mul2(_mul2(x, x), x), _mul2(y, y)
    return square == ((cube[0] + _B2[0]) % P, (cube[1] + _B2[1]) % P)


def _digits(number: int) -> list[int]:
    """Return digits -1, 0 and 1 of a number, the lowest first, no two beside each other."""
    found = []
    while number:
        digit = 2 - (number & 3) if number & 1 else 0
        found.append(digit)
        number = (number - digit) >> 1
    return found


_LOOP: Final = tuple(reversed(_digits(6 * U + 2)[:-1]))
"""The digits of the Miller loop after the first."""


def _chord(slope: Fp2, one: tuple[Fp2, Fp2], other: Fp2) -> tuple[tuple[Fp2, Fp2], _Line]:
    """Return the third point of the line through `one`, mirrored, and the line."""
    (x, y), (s0, s1) = one, slope
    x3 = ((s0 * s0 - s1 * s1 - x[0] - other[0]) % P, (2 * s0 * s1 - x[1] - other[1]) % P)
    d0, d1 = x[0] - x3[0], x[1] - x3[1]
    y3 = ((s0 * d0 - s1 * d1 - y[0]) % P, (s0 * d1 + s1 * d0 - y[1]) % P)
    line = (s0, s1, (s0 * x[0] - s1 * x[1] - y[0]) % P, (s0 * x[1] + s1 * x[0] - y[1]) % P)
    return (x3, y3), line


def _tangent_step(point: tuple[Fp2, Fp2]) -> tuple[tuple[Fp2, Fp2], _Line]:
    x, y = point
    square = (3 * (x[0] * x[0] - x[1] * x[1]) % P, 6 * x[0] * x[1] % P)
    return _chord(_mul2(square, _inverse2((2 * y[0], 2 * y[1]))), point, x)


def _chord_step(point: tuple[Fp2, Fp2], other: tuple[Fp2, Fp2]) -> tuple[tuple[Fp2, Fp2], _Line]:
    (x1, y1), (x2, y2) = point, other
    below = _inverse2((x2[0] - x1[0], x2[1] - x1[1]))
    return _chord(_mul2((y2[0] - y1[0], y2[1] - y1[1]), below), point, x2)


def _raised(point: tuple[Fp2, Fp2]) -> tuple[Fp2, Fp2]:
    """Return the point with its untwisted coordinates raised to the power of P."""
    x, y = point
    return _mul2((x[0], -x[1]), _GAMMAS[2]), _mul2((y[0], -y[1]), _GAMMAS[3])


@lru_cache(maxsize=PREPARED_MAX)
def prepare(point: tuple[Fp2, Fp2]) -> tuple[_Line, ...]:
    """Return the lines of the Miller loop for a point of the second group.

    Raises NotInGroup. With T the multiple by 6U + 2 and F the power of P, a point on the twist is
    of the group if and only if T + F - F^2 + F^3 of it is infinity: the order of the twist has no
    other factor in common with the norm of that sum.
    """
    if not is_on_twist(point):
        raise NotInGroup("the point is not on the curve")
    negative = (point[0], (-point[1][0] % P, -point[1][1] % P))
    lines = []
    at = point
    for digit in _LOOP:
        at, line = _tangent_step(at)
        lines.append(line)
        if digit:
            at, line = _chord_step(at, point if digit > 0 else negative)
            lines.append(line)
    once = _raised(point)
    twice = _raised(once)
    thrice = _raised(twice)
    at, line = _chord_step(at, once)
    lines.append(line)
    at, line = _chord_step(at, (twice[0], (-twice[1][0] % P, -twice[1][1] % P)))
    lines.append(line)
    if at != (thrice[0], (-thrice[1][0] % P, -thrice[1][1] % P)):
        raise NotInGroup("the point is of another order")
    return tuple(lines)


# --- the field of degree twelve -----------------------------------------------------------------


def _mul6(a: Fp12, b: Fp12) -> tuple[int, int, int, int, int, int]:
    """Return the product of two elements of the field of degree six, not reduced."""
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    r = a2 * b4 - a3 * b5 + a4 * b2 - a5 * b3
    i = a2 * b5 + a3 * b4 + a4 * b3 + a5 * b2
    s = a4 * b4 - a5 * b5
    j = a4 * b5 + a5 * b4
    return (
        a0 * b0 - a1 * b1 + 9 * r - i,
        a0 * b1 + a1 * b0 + 9 * i + r,
        a0 * b2 - a1 * b3 + a2 * b0 - a3 * b1 + 9 * s - j,
        a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + 9 * j + s,
        a0 * b4 - a1 * b5 + a2 * b2 - a3 * b3 + a4 * b0 - a5 * b1,
        a0 * b5 + a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1 + a5 * b0,
    )


def _mul12(a: Fp12, b: Fp12) -> Fp12:
    low, high = a[:6], a[6:]
    other_low, other_high = b[:6], b[6:]
    c0, c1, c2, c3, c4, c5 = _mul6(low, other_low)
    d0, d1, d2, d3, d4, d5 = _mul6(high, other_high)
    e0, e1, e2, e3, e4, e5 = _mul6(
        tuple(map(int.__add__, low, high)), tuple(map(int.__add__, other_low, other_high))
    )
    return (
        (c0 + 9 * d4 - d5) % P,
        (c1 + 9 * d5 + d4) % P,
        (c2 + d0) % P,
        (c3 + d1) % P,
        (c4 + d2) % P,
        (c5 + d3) % P,
        (e0 - c0 - d0) % P,
        (e1 - c1 - d1) % P,
        (e2 - c2 - d2) % P,
        (e3 - c3 - d3) % P,
        (e4 - c4 - d4) % P,
        (e5 - c5 - d5) % P,
    )


def _square12(a: Fp12) -> Fp12:
    a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5 = a
    c0, c1, c2, c3, c4, c5 = _mul6(a[:6], a[6:])
    e0, e1, e2, e3, e4, e5 = _mul6(
        (a0 + b0, a1 + b1, a2 + b2, a3 + b3, a4 + b4, a5 + b5),
        (a0 + 9 * b4 - b5, a1 + 9 * b5 + b4, a2 + b0, a3 + b1, a4 + b2, a5 + b3),
    )
    return (
        (e0 - c0 - 9 * c4 + c5) % P,
        (e1 - c1 - 9 * c5 - c4) % P,
        (e2 - c2 - c0) % P,
        (e3 - c3 - c1) % P,
        (e4 - c4 - c2) % P,
        (e5 - c5 - c3) % P,
        2 * c0 % P,
        2 * c1 % P,
        2 * c2 % P,
        2 * c3 % P,
        2 * c4 % P,
        2 * c5 % P,
    )


def _by_line(f: Fp12, y: int, line: _Line) -> Fp12:
    """Return f times y + (p + q u) w + (r + s u) w^3."""
    a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5 = f
    p, q, r, s = line
    c0 = b2 * r - b3 * s + b4 * p - b5 * q
    c1 = b2 * s + b3 * r + b4 * q + b5 * p
    d0 = b4 * r - b5 * s
    d1 = b4 * s + b5 * r
    e0 = a4 * r - a5 * s
    e1 = a4 * s + a5 * r
    return (
        (a0 * y + 9 * c0 - c1) % P,
        (a1 * y + 9 * c1 + c0) % P,
        (a2 * y + b0 * p - b1 * q + 9 * d0 - d1) % P,
        (a3 * y + b0 * q + b1 * p + 9 * d1 + d0) % P,
        (a4 * y + b0 * r - b1 * s + b2 * p - b3 * q) % P,
        (a5 * y + b0 * s + b1 * r + b2 * q + b3 * p) % P,
        (a0 * p - a1 * q + 9 * e0 - e1 + b0 * y) % P,
        (a0 * q + a1 * p + 9 * e1 + e0 + b1 * y) % P,
        (a0 * r - a1 * s + a2 * p - a3 * q + b2 * y) % P,
        (a0 * s + a1 * r + a2 * q + a3 * p + b3 * y) % P,
        (a2 * r - a3 * s + a4 * p - a5 * q + b4 * y) % P,
        (a2 * s + a3 * r + a4 * q + a5 * p + b5 * y) % P,
    )


def _conjugate(a: Fp12) -> Fp12:
    """Return a to the power of P^6, which is 1 / a for what has norm one."""
    return (*a[:6], *(-each % P for each in a[6:]))


def _inverse12(a: Fp12) -> Fp12:
    low, high = a[:6], a[6:]
    c, d = _mul6(low, low), _mul6(high, high)
    norm = (c[0] - 9 * d[4] + d[5], c[1] - 9 * d[5] - d[4], *map(int.__sub__, c[2:], d))
    part = _inverse6(tuple(each % P for each in norm))
    negative = tuple(-each for each in high)
    return tuple(each % P for each in (*_mul6(low, part), *_mul6(negative, part)))


def _inverse6(a: Fp12) -> Fp12:
    x, y, z = (a[0], a[1]), (a[2], a[3]), (a[4], a[5])
    xx, yy, zz = _mul2(x, x), _mul2(y, y), _mul2(_XI, _mul2(z, z))
    xy, xz, yz = _mul2(x, y), _mul2(x, z), _mul2(_XI, _mul2(y, z))
    s, t, v = (
        (xx[0] - yz[0], xx[1] - yz[1]),
        (zz[0] - xy[0], zz[1] - xy[1]),
        (
            yy[0] - xz[0],
            yy[1] - xz[1],
        ),
    )
    one, two, three = _mul2(x, s), _mul2(_XI, _mul2(z, t)), _mul2(_XI, _mul2(y, v))
    norm = _inverse2((one[0] + two[0] + three[0], one[1] + two[1] + three[1]))
    return (*_mul2(s, norm), *_mul2(t, norm), *_mul2(v, norm))


_POWERS: Final = (0, 2, 4, 1, 3, 5)
"""Which power of w each coefficient stands at."""


def _raise12(a: Fp12) -> Fp12:
    """Return a to the power of P."""
    found: list[int] = []
    for at, power in enumerate(_POWERS):
        found += _mul2((a[2 * at], -a[2 * at + 1]), _GAMMAS[power])
    return tuple(found)


def _raise12_twice(a: Fp12) -> Fp12:
    """Return a to the power of P squared."""
    return tuple(each * _GAMMAS2[_POWERS[at >> 1]] % P for at, each in enumerate(a))


def _square_of_norm_one(a: Fp12) -> Fp12:
    """Return the square of what was raised to (P^6 - 1)(P^2 + 1), by Granger and Scott."""
    a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5 = a
    c0, c1 = (b2 + b3) * (b2 - b3), 2 * b2 * b3
    d0, d1 = (a4 + a5) * (a4 - a5), 2 * a4 * a5
    e0, e1 = (b4 + b5) * (b4 - b5), 2 * b4 * b5
    f0, f1 = 6 * (b4 * a2 - b5 * a3), 6 * (b4 * a3 + b5 * a2)
    return (
        (3 * (9 * c0 - c1 + (a0 + a1) * (a0 - a1)) - 2 * a0) % P,
        (3 * (9 * c1 + c0 + 2 * a0 * a1) - 2 * a1) % P,
        (3 * (9 * d0 - d1 + (b0 + b1) * (b0 - b1)) - 2 * a2) % P,
        (3 * (9 * d1 + d0 + 2 * b0 * b1) - 2 * a3) % P,
        (3 * (9 * e0 - e1 + (a2 + a3) * (a2 - a3)) - 2 * a4) % P,
        (3 * (9 * e1 + e0 + 2 * a2 * a3) - 2 * a5) % P,
        (9 * f0 - f1 + 2 * b0) % P,
        (9 * f1 + f0 + 2 * b1) % P,
        (6 * (b2 * a0 - b3 * a1) + 2 * b2) % P,
        (6 * (b2 * a1 + b3 * a0) + 2 * b3) % P,
        (6 * (a4 * b0 - a5 * b1) + 2 * b4) % P,
        (6 * (a4 * b1 + a5 * b0) + 2 * b5) % P,
    )


_U_DIGITS: Final = tuple(reversed(_digits(U)[:-1]))


def _power_u(a: Fp12) -> Fp12:
    """Return a of norm one to the power of U."""
    inverse, found = _conjugate(a), a
    for digit in _U_DIGITS:
        found = _square_of_norm_one(found)
        if digit:
            found = _mul12(found, a if digit > 0 else inverse)
    return found


def _finish(f: Fp12) -> Fp12:
    """Return f to the power of (P^12 - 1) / ORDER. Names as in Scott et al., section 5."""
    f = _mul12(_conjugate(f), _inverse12(f))
    f = _mul12(_raise12_twice(f), f)
    fu = _power_u(f)
    fu2 = _power_u(fu)
    fu3 = _power_u(fu2)
    fp, fp2 = _raise12(f), _raise12_twice(f)
    y0 = _mul12(_mul12(fp, fp2), _raise12(fp2))
    y1, y2 = _conjugate(f), _raise12_twice(fu2)
    y3, y4 = _conjugate(_raise12(fu)), _conjugate(_mul12(fu, _raise12(fu2)))
    y5, y6 = _conjugate(fu2), _conjugate(_mul12(fu3, _raise12(fu3)))
    t0 = _mul12(_mul12(_square_of_norm_one(y6), y4), y5)
    t1 = _mul12(_mul12(y3, y5), t0)
    t0 = _mul12(t0, y2)
    t1 = _square_of_norm_one(_mul12(_square_of_norm_one(t1), t0))
    t0 = _mul12(t1, y1)
    return _mul12(_square_of_norm_one(t0), _mul12(t1, y0))


# --- pairings -----------------------------------------------------------------------------------


def pairing(pairs: Sequence[tuple[G1, G2]]) -> Fp12:
    """Return the product of the pairings.

    The points of the first group must be of it (`is_g1`). Raises NotInGroup for one of the second
    that is not, also beside infinity.
    """
    live = []
    for point, other in pairs:
        prepared = () if other is None else prepare(other)
        if point is not None and prepared:
            live.append((-point[0], point[1], iter(prepared)))
    if not live:
        return ONE
    f = ONE
    for digit in (*_LOOP, None):
        if digit is not None:
            f = _square12(f)
        for x, y, lines in live:
            for _ in range(1 if digit == 0 else 2):
                p, q, r, s = next(lines)
                f = _by_line(f, y, (p * x % P, q * x % P, r, s))
    return _finish(f)


def is_product_one(pairs: Sequence[tuple[G1, G2]]) -> bool:
    """Return whether the product of the pairings is one; raises as `pairing` does."""
    return pairing(pairs) == ONE
