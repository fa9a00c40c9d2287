"""Any ERC-20 token by its address, with amounts in whole tokens of its own decimals.

Amounts are Decimal, int or text and come back as Decimal; floats are refused. The native coin is
the zero address, with 18 decimals, where a contract takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from primitives.errors import ConfigError
from primitives.types import ZERO_ADDRESS, Address
from qenex.amounts import Amount, to_address
from qenex.contract import Contract, Receipt

ENDLESS: Final = 2**256 - 1
UNITS_MAX: Final = 2**127
_EXACT: Final = Context(prec=80)
Bind: TypeAlias = Callable[[str, str | Address], Contract]
"""Gives the contract of an artifact's name at an address: `Client.contract`."""


def to_units(amount: Amount, decimals: int) -> int:
    """Return an amount in the smallest units; raises ConfigError when it has none such."""
    if isinstance(amount, float):
        raise ConfigError(f"write the amount {amount} as text or Decimal: a float is not exact")
    try:
        units = Decimal(amount).scaleb(decimals, _EXACT)
    except (InvalidOperation, TypeError, ValueError):
        raise ConfigError(f"an amount is a number such as 12.5, found {amount!r}") from None
    if not units.is_finite() or not 0 <= units < UNITS_MAX or units != int(units):
        raise ConfigError(f"an amount is at least 0 with {decimals} decimals, found {amount}")
    return int(units)


def of_units(units: int, decimals: int) -> Decimal:
    """Return an amount in whole tokens, exact."""
    return Decimal(units).scaleb(-decimals, _EXACT)


class Erc20:
    """One token, or the native coin."""

    def __init__(self, bind: Bind, address: str | Address) -> None:
        raw = to_address(address) if isinstance(address, str) else address
        self.address = raw
        self.is_native = raw == ZERO_ADDRESS
        self.contract = bind("ERC20", raw)
        self.decimals = 18 if self.is_native else int(self.contract.read("decimals"))

    def units(self, amount: Amount) -> int:
        """Return an amount in the token's smallest units."""
        return to_units(amount, self.decimals)

    def amount(self, units: int) -> Decimal:
        """Return smallest units in whole tokens."""
        return of_units(units, self.decimals)

    def balance(self, owner: str | None = None) -> Decimal:
        """Return what an account holds, oneself by default."""
        link = self.contract.link
        who = link.address() if owner is None else to_address(owner, "owner")
        if self.is_native:
            return self.amount(int(link.rpc.call("eth_getBalance", "0x" + who.hex(), "latest"), 16))
        return self.amount(self.contract.read("balanceOf", who))

    def transfer(self, to: str, amount: Amount) -> Receipt:
        """Send tokens."""
        return self.contract.send("transfer", to_address(to, "to"), self.units(amount))

    def allow(self, spender: Address, units: int) -> None:
        """Let `spender` take `units`, unless it may already."""
        if self.is_native or not units:
            return
        allowed: Any = self.contract.read("allowance", self.contract.link.address(), spender)
        if allowed < units:
            self.contract.send("approve", spender, units)


def arrived(receipt: Receipt, token: Erc20, who: Address) -> Decimal:
    """Return what a transaction brought an account of an ERC-20, or of coins by a swap."""
    if token.is_native:
        return token.amount(receipt.event("Swapped").fields["amountOut"])
    moved = [
        each.fields["value"]
        for each in receipt.events
        if each.name == "Transfer"
        and each.address == token.address
        and to_address(each.fields["to"]) == who
    ]
    return token.amount(sum(moved))
