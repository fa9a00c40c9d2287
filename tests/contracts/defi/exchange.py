"""What tests of the exchange share: pools, routes, positions, and a reference in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.defi.world import MAX, NATIVE, OWNER, PEOPLE, RICHES, Contract, World

Q96 = 2**96
FAR = 2**40
"""A deadline that never comes."""
MIN_TICK, MAX_TICK = -887_272, 887_272
NO_SALT = b"\0" * 32


def root_of(price: Fraction | int) -> int:
    """Return the square root of a price (token1 for one token0) with 96 binary places."""
    exact = Fraction(price)
    return isqrt((exact.numerator << 192) // exact.denominator)


@dataclass
class Exchange:
    """An exchange with tokens, and short words for its calls."""

    world: World
    amm: Contract

    def token(self, modes: int = 0, decimals: int = 18) -> Contract:
        """Make a token that everybody is rich in and has approved to the exchange."""
        made = self.world.deploy("HostileToken", modes & ~8, decimals)
        for each in PEOPLE:
            made.send(each, "mint", each, RICHES)
            made.send(each, "approve", self.amm.address, MAX)
        return made

    def tokens(self, modes: Sequence[int] = (0, 0)) -> list[Contract]:
        """Make tokens in the order in which pools sort them."""
        return sorted((self.token(each) for each in modes), key=lambda each: each.address)

    def pool(
        self, one: Address, two: Address, price: Fraction | int = 1, fee: int = 3000
    ) -> tuple[Any, ...]:
        """Open a pool and return its key; the price is that of the token that sorts first."""
        first, second = sorted((one, two))
        key = (first, second, fee, {100: 1, 500: 10, 3000: 60, 10_000: 200}[fee])
        self.amm.send(OWNER, "createPool", key, root_of(price))
        return key

    def add(
        self,
        who: Address,
        key: tuple[Any, ...],
        lower: int,
        upper: int,
        liquidity: int,
        **more: Any,
    ) -> None:
        """Add liquidity with no bounds."""
        value = more.get("value", RICHES // 1000 if key[0] == NATIVE else 0)
        most = more.get("most", MAX)
        wish = (key, lower, upper, liquidity, most, most, more.get("salt", NO_SALT), FAR)
        self.amm.send(who, "addLiquidity", wish, value=value)

    def remove(
        self,
        who: Address,
        key: tuple[Any, ...],
        lower: int,
        upper: int,
        liquidity: int,
        **more: Any,
    ) -> None:
        """Remove liquidity to the owner, with no bounds."""
        salt = more.get("salt", NO_SALT)
        wish = (key, lower, upper, liquidity, 0, 0, salt, more.get("to", who), FAR)
        self.amm.send(who, "removeLiquidity", wish)

    def swap(
        self,
        who: Address,
        start: Address,
        hops: Sequence[tuple[Any, ...]],
        amount: int,
        **more: Any,
    ) -> None:
        """Swap exactly `amount` in, or out with `out=True`."""
        exact_out = more.get("out", False)
        bound = more.get("bound", RICHES // 10 if exact_out else 0)
        value = (bound if exact_out else amount) if start == NATIVE else 0
        name = "swapExactOut" if exact_out else "swapExactIn"
        values = (start, list(hops), amount, bound, more.get("to", who), more.get("deadline", FAR))
        self.amm.send(who, name, *values, value=value)

    def price(self, key: tuple[Any, ...]) -> int:
        """Return the root of a pool's price."""
        found: int = self.amm.read("poolOf", key)[0]
        return found

    def held(self, token: Address) -> int:
        """Return what the exchange holds of a token."""
        if token == NATIVE:
            return self.world.balance(self.amm.address)
        return int(Contract(self.world, "HostileToken", token).read("balanceOf", self.amm.address))


def new_exchange(name: str = "Amm", policy: Address = ZERO_ADDRESS) -> Exchange:
    """Deploy an exchange in a world of its own."""
    world = World()
    return Exchange(world, world.deploy(name, OWNER, policy))


def hop(token: Address, fee: int = 3000) -> tuple[Address, int, int]:
    """Return one step of a route."""
    return (token, fee, {100: 1, 500: 10, 3000: 60, 10_000: 200}[fee])
