"""Lending in isolated markets and its flash loans, for `Client`.

A market is named by 32 bytes, `0x` and 64 hex digits, which `create_market` gives. Rates and
factors are Decimal parts of one: 0.75 is 75 %. What is paid is approved first.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from contracts.addresses import LENDING
from primitives.errors import ConfigError
from primitives.types import Address
from qenex.abi import entries, selector
from qenex.amounts import Amount, shown_address, to_address
from qenex.contract import Contract, Receipt
from qenex.erc20 import ENDLESS, Bind, Erc20

_BPS: Final = 10_000
_HEADROOM: Final = Decimal("1.02")
"""What repaying everything may cost above the debt, for interest and what a token burns."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a market is made with; parts of one, rates per year."""

    collateral_factor: Decimal = Decimal("0.75")
    liquidation_factor: Decimal = Decimal("0.80")
    bonus: Decimal = Decimal("0.05")
    close_factor: Decimal = Decimal("0.5")
    reserve_factor: Decimal = Decimal("0.1")
    kink: Decimal = Decimal("0.8")
    rate_base: Decimal = Decimal("0.01")
    rate_slope: Decimal = Decimal("0.04")
    rate_jump: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Account:
    """One account in a market. `health` below 1 may be liquidated; None without a debt."""

    supplied: Decimal
    debt: Decimal
    collateral: Decimal
    health: Decimal | None


@dataclass(frozen=True, slots=True)
class Rates:
    """What suppliers earn and borrowers pay a year, as parts of one."""

    supply: Decimal
    borrow: Decimal


@dataclass(frozen=True, slots=True)
class Market:
    """One market now."""

    market: str
    loan: str
    collateral: str
    oracle: str
    supplied: Decimal
    borrowed: Decimal
    supply_rate: Decimal
    borrow_rate: Decimal
    collateral_factor: Decimal


class Lending:
    """All markets of a network."""

    def __init__(self, bind: Bind, address: Address = LENDING) -> None:
        self._bind = bind
        self.contract: Contract = bind("Lending", address)

    def create_market(
        self,
        loan: str,
        collateral: str,
        oracle: str,
        terms: Terms | None = None,
        caps: tuple[Amount, Amount] = (10**12, 10**12),
    ) -> str:
        """Open a market, as the owner of the contract, with caps on supply and debt; its name."""
        token = Erc20(self._bind, loan)
        where = to_address(oracle, "oracle")
        params = self.params(token.address, to_address(collateral), where, terms or Terms())
        bounds = [token.units(each) for each in caps]
        self.contract.send("createMarket", params, *bounds, 0)
        return "0x" + bytes(self.contract.read("idOf", params)).hex()

    def params(self, loan: Address, collateral: Address, oracle: Address, t: Terms) -> Any:
        """Return a market's parameters as the contract takes them."""
        factors = (t.collateral_factor, t.liquidation_factor, t.bonus, t.close_factor)
        rates = (t.rate_base, t.rate_slope, t.rate_jump)
        first = (loan, *map(_bps, factors), _bps(t.reserve_factor), _bps(t.kink))
        return (*first, collateral, *map(_bps, rates), oracle)

    def markets(self) -> list[str]:
        """Return the names of all markets, in the order they were opened."""
        entry = next(e for e in entries("Lending", "event") if e["name"] == "MarketCreated")
        wanted = {
            "address": "0x" + self.contract.address.hex(),
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": ["0x" + selector(entry).hex()],
        }
        return [each["topics"][1] for each in self.contract.link.rpc.call("eth_getLogs", wanted)]

    def market(self, market: str) -> Market:
        """Return one market as it is now."""
        params, loan, _ = self._market(market)
        books = self.contract.read("expected", _id(market))
        rates = self.rates(market)
        return Market(
            market=market,
            loan=shown_address(params[0]),
            collateral=shown_address(params[7]),
            oracle=shown_address(params[11]),
            supplied=loan.amount(books[0]),
            borrowed=loan.amount(books[2]),
            supply_rate=rates.supply,
            borrow_rate=rates.borrow,
            collateral_factor=Decimal(params[1]) / _BPS,
        )

    def rates(self, market: str) -> Rates:
        """Return the yearly rates now, before compounding; see LendingMath.ratePerSecond."""
        params, _, _ = self._market(market)
        supplied, _, borrowed, *_ = self.contract.read("expected", _id(market))
        base, slope, jump = (Decimal(params[i]) / _BPS for i in (8, 9, 10))
        kink, kept = Decimal(params[6]) / _BPS, Decimal(params[5]) / _BPS
        used = min(Decimal(borrowed) / supplied, Decimal(1)) if supplied else Decimal(0)
        rate = base + slope * min(used, kink) / kink if kink else base + slope
        if used > kink:
            rate = base + slope + jump * (used - kink) / (1 - kink)
        return Rates(rate * used * (1 - kept), rate)

    def collateral_of(self, market: str) -> Erc20:
        """Return the collateral's token."""
        return self._market(market)[2]

    def oracle_of(self, market: str) -> str:
        """Return the address of the oracle."""
        return shown_address(self._market(market)[0][11])

    def supply(self, market: str, amount: Amount) -> Receipt:
        """Lend to a market."""
        params, loan, _ = self._market(market)
        units = loan.units(amount)
        loan.allow(self.contract.address, units)
        return self.contract.send("supply", params, units, self._me())

    def withdraw(self, market: str, amount: Amount | None = None) -> Receipt:
        """Take back what one lent, all of it by default."""
        params, loan, _ = self._market(market)
        units = ENDLESS if amount is None else loan.units(amount)
        return self.contract.send("withdraw", params, units, self._me(), self._me())

    def supply_collateral(self, market: str, amount: Amount) -> Receipt:
        """Pledge collateral."""
        params, _, collateral = self._market(market)
        units = collateral.units(amount)
        collateral.allow(self.contract.address, units)
        return self.contract.send("supplyCollateral", params, units, self._me())

    def withdraw_collateral(self, market: str, amount: Amount) -> Receipt:
        """Take collateral back, as far as the debt allows."""
        params, _, collateral = self._market(market)
        units = collateral.units(amount)
        return self.contract.send("withdrawCollateral", params, units, self._me(), self._me())

    def borrow(self, market: str, amount: Amount) -> Receipt:
        """Borrow against one's collateral."""
        params, loan, _ = self._market(market)
        return self.contract.send("borrow", params, loan.units(amount), self._me(), self._me())

    def repay(self, market: str, amount: Amount | None = None) -> Receipt:
        """Repay a debt, all of it by default."""
        params, loan, _ = self._market(market)
        units = loan.units(amount) if amount is not None else self._whole(market, loan)
        loan.allow(self.contract.address, units)
        return self.contract.send("repay", params, units, self._me())

    def liquidate(self, market: str, borrower: str, at_most: Amount) -> Receipt:
        """Repay a part of an unhealthy debt and take collateral for it, with the bonus."""
        params, loan, _ = self._market(market)
        units = loan.units(at_most)
        loan.allow(self.contract.address, units)
        return self.contract.send("liquidate", params, to_address(borrower, "borrower"), units, 0)

    def account(self, market: str, owner: str | None = None) -> Account:
        """Return what an account has in a market, with interest up to now."""
        _, loan, collateral = self._market(market)
        who = self._me() if owner is None else to_address(owner, "owner")
        supplied, debt, pledged = self.contract.read("balancesOf", _id(market), who)
        health = self.contract.read("healthOf", _id(market), who)
        return Account(
            loan.amount(supplied),
            loan.amount(debt),
            collateral.amount(pledged),
            Decimal(health) / _BPS if debt else None,
        )

    def _whole(self, market: str, loan: Erc20) -> int:
        debt: int = self.contract.read("balancesOf", _id(market), self._me())[1]
        return int(debt * _HEADROOM) + 1

    def _me(self) -> Address:
        return self.contract.link.address()

    def _market(self, market: str) -> tuple[tuple[Any, ...], Erc20, Erc20]:
        params: tuple[Any, ...] = self.contract.read("paramsOf", _id(market))
        if not int(str(params[0]), 16):
            raise ConfigError(f"there is no market {market}")
        return params, Erc20(self._bind, params[0]), Erc20(self._bind, params[7])


class FlashLoans:
    """ERC-3156 loans of everything that lies in the markets."""

    def __init__(self, bind: Bind, address: Address = LENDING) -> None:
        self._bind = bind
        self.contract: Contract = bind("Lending", address)

    def available(self, token: str) -> Decimal:
        """Return the most that can be lent now."""
        found = Erc20(self._bind, token)
        return found.amount(self.contract.read("maxFlashLoan", found.address))

    def fee(self, token: str, amount: Amount) -> Decimal:
        """Return what a loan costs."""
        found = Erc20(self._bind, token)
        units: int = self.contract.read("flashFee", found.address, found.units(amount))
        return found.amount(units)

    def borrow(self, receiver: str, token: str, amount: Amount, data: bytes = b"") -> Receipt:
        """Lend to `receiver`, a contract that uses the loan and gives it back with the fee."""
        found = Erc20(self._bind, token)
        values = (to_address(receiver, "receiver"), found.address, found.units(amount), data)
        return self.contract.send("flashLoan", *values)


def _bps(part: Decimal) -> int:
    found = Decimal(part) * _BPS
    if found != int(found):
        raise ConfigError(f"a part of one has at most four decimals, found {part}")
    return int(found)


def _id(market: str) -> bytes:
    try:
        raw = bytes.fromhex(market.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ConfigError(f"a market is 0x and 64 hex digits, found {market}")
    return raw
