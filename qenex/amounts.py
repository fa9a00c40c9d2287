"""Amounts as people write them, and addresses as wallets show them."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from typing import Final, TypeAlias

from eth_utils.address import to_checksum_address

from genesis.fields import Field
from primitives.errors import ConfigError
from primitives.types import Address

DECIMALS: Final = 18
AMOUNT_MAX: Final = 2**104
"""No token or coin has more wei. Source: contracts/src/token/QXC.sol."""

_EXACT: Final = Context(prec=60)

Amount: TypeAlias = Decimal | int | str
"""QXC, or units of another token of 18 decimals."""


class Qxc(Decimal):
    """An amount in whole coins, exact; its text has no exponent."""

    @classmethod
    def of_wei(cls, wei: int) -> Qxc:
        """Return the amount of `wei`."""
        return cls(Decimal(wei).scaleb(-DECIMALS, _EXACT).normalize(_EXACT))

    def __str__(self) -> str:
        return super().__format__("f")

    def __format__(self, spec: str, /) -> str:  # type: ignore[override]  # Decimal has more
        return str(self) if not spec else super().__format__(spec)


def to_wei(amount: Amount) -> int:
    """Return an amount in wei; raises ConfigError when it is negative, too long or too great."""
    if isinstance(amount, float):
        raise ConfigError(f"write the amount {amount} as text or Decimal: a float is not exact")
    try:
        wei = Decimal(amount).scaleb(DECIMALS, _EXACT)
    except (InvalidOperation, TypeError, ValueError):
        raise ConfigError(f"an amount is a number such as 12.5, found {amount!r}") from None
    if not wei.is_finite() or not 0 <= wei < AMOUNT_MAX or wei != int(wei):
        raise ConfigError(f"an amount is at least 0 and has at most 18 decimals, found {amount}")
    return int(wei)


def to_address(text: str, name: str = "address") -> Address:
    """Return the address that `text` names; raises ConfigError with `name` in its words."""
    return Field(name, text).address()


def shown_address(address: Address | str) -> str:
    """Return an address with the capitals of EIP-55."""
    return to_checksum_address(address)
