"""The exchange with concentrated liquidity, for `Client`: pools, positions, swaps, quotes.

Prices are Decimal: how much of the second token one of the first is worth, in whole tokens. A pool
is named by its two tokens (addresses; the zero address is the native coin) and its fee in
millionths. What is paid is approved first, exactly.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final

from contracts.addresses import AMM, AMM_QUOTER
from primitives.errors import ConfigError
from primitives.types import Address
from qenex.abi import entries, selector
from qenex.amounts import Amount, shown_address
from qenex.contract import Contract, Receipt, Refused
from qenex.erc20 import Bind, Erc20

SPACINGS: Final = {100: 1, 500: 10, 3000: 60, 10_000: 200}
"""Tick spacing of each fee that the exchange begins with."""
DEADLINE_S: Final = 600
TICK_MAX: Final = 887_272
_EXACT: Final = Context(prec=60)
_BASE: Final = Decimal("1.0001")
_SALT: Final = bytes(32)
_SIZED: Final = 998


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """A pool now. `price` is that of the token that was named first."""

    price: Decimal
    tick: int
    liquidity: int


@dataclass(frozen=True, slots=True)
class PoolName:
    """What a pool is named by: its tokens in their order, and its fee in millionths."""

    first: str
    second: str
    fee: int


class Exchange:
    """All pools of a network."""

    def __init__(self, bind: Bind, address: Address = AMM, quoter: Address = AMM_QUOTER) -> None:
        self._bind = bind
        self.contract: Contract = bind("Amm", address)
        self.quoter: Contract = bind("AmmQuoter", quoter)

    def token(self, address: str) -> Erc20:
        """Return a token by its address."""
        return Erc20(self._bind, address)

    def create_pool(self, first: str, second: str, price: Amount, fee: int = 3000) -> Receipt:
        """Open a pool where one `first` is worth `price` of `second`."""
        one, two, key = self._pair(first, second, fee)
        return self.contract.send("createPool", key, _root(one, two, price))

    def set_price(self, first: str, second: str, price: Amount, fee: int = 3000) -> Receipt | None:
        """Move the price of a pool without liquidity; where there is some, swaps move it."""
        one, two, key = self._pair(first, second, fee)
        wanted, (root, _, liquidity, _) = _root(one, two, price), self.contract.read("poolOf", key)
        if liquidity:
            raise ConfigError("this pool has liquidity; only swaps move its price")
        if root == wanted:
            return None
        falls = wanted < root
        paid = (
            min((one, two), key=lambda t: t.address)
            if falls
            else max((one, two), key=lambda t: t.address)
        )
        paid.allow(self.contract.address, 1)
        values = (key, falls, 1, wanted, 0, self._me(), _deadline())
        return self.contract.send("swapToPrice", *values, value=1 if paid.is_native else 0)

    def pools(self) -> list[PoolName]:
        """Return the names of all pools, in the order they were opened."""
        entry = next(e for e in entries("Amm", "event") if e["name"] == "PoolCreated")
        wanted = {
            "address": "0x" + self.contract.address.hex(),
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": ["0x" + selector(entry).hex()],
        }
        logs = self.contract.link.rpc.call("eth_getLogs", wanted)
        return [
            PoolName(
                shown_address(each.fields["token0"]),
                shown_address(each.fields["token1"]),
                each.fields["fee"],
            )
            for each in self.contract.link.events(logs)
        ]

    def pool(self, first: str, second: str, fee: int = 3000) -> PoolFacts:
        """Return price, tick and liquidity in range of a pool."""
        one, two, key = self._pair(first, second, fee)
        root, tick, liquidity, _ = self.contract.read("poolOf", key)
        if not root:
            raise ConfigError("there is no such pool; create_pool opens it")
        ratio = _EXACT.power(_EXACT.divide(Decimal(root), Decimal(2**96)), 2)
        if one.address != key[0]:
            ratio = _EXACT.divide(Decimal(1), ratio)
        return PoolFacts(ratio.scaleb(one.decimals - two.decimals, _EXACT), tick, liquidity)

    def add_liquidity(
        self,
        first: str,
        second: str,
        amounts: tuple[Amount, Amount],
        ticks: tuple[int, int] | None = None,
        fee: int = 3000,
    ) -> Receipt:
        """Add liquidity over all prices, or between two ticks, paying at most `amounts`.

        It is made for 99.8 % of them: the rest is for a price that moves before the block, and for
        what a token burns. What is not needed is not taken.
        """
        one, two, key = self._pair(first, second, fee)
        if not self.contract.read("poolOf", key)[0]:
            raise ConfigError("there is no such pool; create_pool opens it")
        sides = [(one, one.units(amounts[0])), (two, two.units(amounts[1]))]
        sides.sort(key=lambda each: each[0].address)
        lower, upper = ticks or _everywhere(key[3])
        most = [units for _, units in sides]
        sized = [units * _SIZED // 1000 for units in most]
        found: Any = self.quoter.read("liquidityFor", key, lower, upper, *sized)
        if not found[0]:
            raise ConfigError("these amounts are too small for any liquidity")
        for token, units in sides:
            token.allow(self.contract.address, units)
        value = most[0] if sides[0][0].is_native else 0
        wish = (key, lower, upper, found[0], *most, _SALT, _deadline())
        return self.contract.send("addLiquidity", wish, value=value)

    def remove_liquidity(
        self,
        first: str,
        second: str,
        part: Amount = 1,
        ticks: tuple[int, int] | None = None,
        fee: int = 3000,
    ) -> Receipt:
        """Take a part (1 is all, 0 the earnings alone) of one's position out, with its earnings."""
        _, _, key = self._pair(first, second, fee)
        if not 0 <= Decimal(part) <= 1:
            raise ConfigError(f"a part is from 0 to 1, found {part}")
        lower, upper = ticks or _everywhere(key[3])
        who = self.contract.link.address()
        (held, *_), share = self._position(key, who, lower, upper), Decimal(part)
        wish = (key, lower, upper, int(held * share), 0, 0, _SALT, who, _deadline())
        return self.contract.send("removeLiquidity", wish)

    def quote(self, route: Sequence[str], amount: Amount, fee: int = 3000) -> Decimal:
        """Return what swapping exactly `amount` along a route of tokens would give."""
        first, last, hops = self._route(route, fee)
        try:
            out = self.quoter.read("quoteExactIn", first.address, hops, first.units(amount))
        except Refused as error:
            if error.error != "NoQuote":
                raise
            raise ConfigError("there are no pools with this fee for this route") from None
        return last.amount(out)

    def swap(
        self, route: Sequence[str], amount: Amount, at_least: Amount = 0, fee: int = 3000
    ) -> Receipt:
        """Swap exactly `amount` of the first token; the last one arrives, `at_least` so much."""
        first, last, hops = self._route(route, fee)
        units = first.units(amount)
        first.allow(self.contract.address, units)
        values = (first.address, hops, units, last.units(at_least), self._me(), _deadline())
        return self.contract.send("swapExactIn", *values, value=units if first.is_native else 0)

    def swap_for(
        self, route: Sequence[str], amount: Amount, at_most: Amount, fee: int = 3000
    ) -> Receipt:
        """Swap for exactly `amount` of the last token, paying `at_most` so much of the first."""
        first, last, hops = self._route(route, fee)
        most = first.units(at_most)
        first.allow(self.contract.address, most)
        values = (first.address, hops, last.units(amount), most, self._me(), _deadline())
        return self.contract.send("swapExactOut", *values, value=most if first.is_native else 0)

    def _me(self) -> Address:
        return self.contract.link.address()

    def _position(self, key: tuple[Any, ...], who: Address, lower: int, upper: int) -> Any:
        return self.contract.read("positionOf", key, who, lower, upper, _SALT)

    def _pair(self, first: str, second: str, fee: int) -> tuple[Erc20, Erc20, tuple[Any, ...]]:
        one, two = self.token(first), self.token(second)
        low, high = sorted((one.address, two.address))
        return one, two, (low, high, fee, _spacing(fee))

    def _route(self, route: Sequence[str], fee: int) -> tuple[Erc20, Erc20, list[Any]]:
        if len(route) < 2:
            raise ConfigError("a route is at least two tokens")
        tokens = [self.token(each) for each in route]
        hops = [(each.address, fee, _spacing(fee)) for each in tokens[1:]]
        return tokens[0], tokens[-1], hops


def _root(one: Erc20, two: Erc20, price: Amount) -> int:
    """Return the square root of a price as the contract holds it: times 2^96, in raw units."""
    ratio = Decimal(price).scaleb(two.decimals - one.decimals, _EXACT)
    if not ratio > 0:
        raise ConfigError(f"a price is above 0, found {price}")
    if one.address > two.address:
        ratio = _EXACT.divide(Decimal(1), ratio)
    return int(_EXACT.multiply(_EXACT.sqrt(ratio), Decimal(2**96)))


def _spacing(fee: int) -> int:
    if fee not in SPACINGS:
        raise ConfigError(f"a fee is one of {', '.join(map(str, SPACINGS))}, found {fee}")
    return SPACINGS[fee]


def _everywhere(spacing: int) -> tuple[int, int]:
    most = TICK_MAX // spacing * spacing
    return -most, most


def _deadline() -> int:
    return int(time.time()) + DEADLINE_S


def tick_at(price: Amount, spacing: int) -> int:
    """Return the tick, a multiple of `spacing`, next below a price in raw units."""
    tick = int((Decimal(price).ln(_EXACT) / _BASE.ln(_EXACT)).to_integral_value("ROUND_FLOOR"))
    return tick // spacing * spacing
