"""What tests of lending share: a market with a feed, its parameters by name, short calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.defi.world import MAX, OWNER, PEOPLE, RICHES, UNIT, Contract, World

ONE = 10**36
CAP = 10**30
FACTORS = {
    "collateralFactor": 7500,
    "liquidationFactor": 8000,
    "bonus": 500,
    "closeFactor": 5000,
    "reserveFactor": 1000,
    "kink": 8000,
    "rateBase": 100,
    "rateSlope": 400,
    "rateJump": 10_000,
}
FIELDS = (
    *("loan", "collateralFactor", "liquidationFactor", "bonus", "closeFactor", "reserveFactor"),
    *("kink", "collateral", "rateBase", "rateSlope", "rateJump", "oracle"),
)


@dataclass
class Bank:
    """One market of a lending contract."""

    world: World
    lending: Contract
    loan: Contract
    collateral: Contract
    feed: Contract
    params: tuple[Any, ...]
    id: bytes

    def supply(self, who: Address, assets: int) -> None:
        """Lend to the market."""
        self.lending.send(who, "supply", self.params, assets, who)

    def withdraw(self, who: Address, assets: int = MAX) -> None:
        """Take back, all of it by default."""
        self.lending.send(who, "withdraw", self.params, assets, who, who)

    def pledge(self, who: Address, assets: int) -> None:
        """Supply collateral."""
        self.lending.send(who, "supplyCollateral", self.params, assets, who)

    def unpledge(self, who: Address, assets: int) -> None:
        """Take collateral back."""
        self.lending.send(who, "withdrawCollateral", self.params, assets, who, who)

    def borrow(self, who: Address, assets: int) -> None:
        """Borrow to oneself."""
        self.lending.send(who, "borrow", self.params, assets, who, who)

    def repay(self, who: Address, assets: int = MAX) -> None:
        """Repay, all of it by default."""
        self.lending.send(who, "repay", self.params, assets, who)

    def liquidate(self, who: Address, borrower: Address, assets: int = MAX) -> None:
        """Liquidate as much as allowed, by default."""
        self.lending.send(who, "liquidate", self.params, borrower, assets, 0)

    def set_price(self, price: int) -> None:
        """Set the price, times 10^36."""
        self.feed.send(OWNER, "set", price, self.world.time)

    def market(self) -> dict[str, int]:
        """Return the books as of the last change."""
        names = (
            *("supplied", "supplyShares", "borrowed", "borrowShares", "reserves", "updated"),
            *("debtMin", "paused", "supplyCap", "borrowCap"),
        )
        return dict(zip(names, self.lending.read("marketOf", self.id), strict=True))

    def balances(self, who: Address) -> tuple[int, int, int]:
        """Return what is supplied, owed and pledged."""
        found: tuple[int, int, int] = self.lending.read("balancesOf", self.id, who)
        return found

    def shares(self, who: Address) -> tuple[int, int, int]:
        """Return shares of supply and of debt, and collateral."""
        found: tuple[int, int, int] = self.lending.read("accountOf", self.id, who)
        return found

    def of(self, token: Contract, who: Address) -> int:
        """Return a balance of a token."""
        found: int = token.read("balanceOf", who)
        return found


def rich_token(world: World, lending: Contract, modes: int = 0, decimals: int = 18) -> Contract:
    """Make a token that everybody is rich in and has approved."""
    made = world.deploy("HostileToken", modes & ~8, decimals)
    for each in PEOPLE:
        made.send(each, "mint", each, RICHES)
        made.send(each, "approve", lending.address, MAX)
    return made


def new_bank(name: str = "Lending", loan: int = 0, collateral: int = 0, **more: Any) -> Bank:
    """Deploy lending with one market at price 1; modes of both tokens may be given."""
    world = World()
    lending = world.deploy(name, OWNER, more.pop("policy", ZERO_ADDRESS))
    debt_min = more.pop("debt_min", 0)
    caps = more.pop("caps", (CAP, CAP))
    tokens = [rich_token(world, lending, each) for each in (loan, collateral)]
    feed = world.deploy("Feed", 36, ONE)
    chosen = {**FACTORS, **more}
    chosen |= {"loan": tokens[0].address, "collateral": tokens[1].address}
    chosen["oracle"] = feed.address
    params = tuple(chosen[each] for each in FIELDS)
    lending.send(OWNER, "createMarket", params, *caps, debt_min)
    made = lending.read("idOf", params)
    return Bank(world, lending, tokens[0], tokens[1], feed, params, made)


YEAR = 365 * 24 * 3600
HUNDRED = 100 * UNIT
