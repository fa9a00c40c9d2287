"""`qenex amm`: pools, prices, swaps and liquidity."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import click

from contracts.addresses import QXC
from primitives.errors import ConfigError
from primitives.types import ZERO_ADDRESS
from qenex.amounts import shown_address, to_address
from qenex.client import Client
from qenex.commands.wallet import acting, plain, reading, show, table, tell
from qenex.erc20 import arrived
from qenex.exchange import SPACINGS

_NAMES = {"coin": shown_address(ZERO_ADDRESS), "qxc": shown_address(QXC)}
_MILLION = 1_000_000
_PERCENT = {str(Decimal(fee) / 10_000): fee for fee in SPACINGS}


def token_named(text: str) -> str:
    """Return a token's address: `coin` and `qxc` are short for two of them; raises ConfigError."""
    try:
        return _NAMES.get(text.lower()) or shown_address(to_address(text))
    except ConfigError:
        raise ConfigError(
            f"a token is coin, qxc, or an address of 20 bytes, found {text}"
        ) from None


def _fee(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--fee",
        type=click.Choice(list(_PERCENT)),
        default="0.3",
        show_default=True,
        help="The pool's fee in percent.",
        callback=lambda ctx, param, value: _PERCENT[value],
    )(command)


@click.group("amm")
def command() -> None:
    """Swap tokens, and earn fees by giving liquidity.

    A pool is named by its two tokens and its fee. A token is `coin` (native QXC), `qxc` (QXC as a
    token), or an address. Amounts are whole tokens, such as 12.5.
    """


@command.command("pools")
@reading
def pools(*, client: Client, as_json: bool) -> None:
    """Show all pools: tokens, fee, price of the first token in the second, liquidity.

    \b
    Example:
      qenex amm pools --json
    """
    rows = [
        {
            "first": each.first,
            "second": each.second,
            "fee %": Decimal(each.fee) / 10_000,
            "price": round(found.price, 12),
            "liquidity": found.liquidity,
        }
        for each in client.amm.pools()
        for found in [client.amm.pool(each.first, each.second, each.fee)]
    ]
    table(rows, as_json=as_json, empty="no pools yet; `qenex amm create` opens one")


@command.command("show")
@click.argument("first")
@click.argument("second")
@_fee
@reading
def one(first: str, second: str, *, fee: int, client: Client, as_json: bool) -> None:
    """Show a pool: the price of FIRST in SECOND, the tick, the liquidity in range.

    \b
    Example:
      qenex amm show coin qxc
    """
    show(client.amm.pool(token_named(first), token_named(second), fee), as_json=as_json)


@command.command("create")
@click.argument("first")
@click.argument("second")
@click.argument("price")
@_fee
@acting
def create(first: str, second: str, price: str, *, fee: int, client: Client, as_json: bool) -> None:
    """Open a pool where one FIRST is worth PRICE of SECOND.

    \b
    Example:
      qenex amm create coin qxc 1 --test-account 0
    """
    receipt = client.amm.create_pool(token_named(first), token_named(second), _price(price), fee)
    tell(receipt, as_json=as_json, words=f"opened: 1 {first} = {price} {second}")


@command.command("quote")
@click.argument("amount")
@click.argument("tokens", nargs=-1, required=True)
@_fee
@reading
def quote(amount: str, tokens: tuple[str, ...], *, fee: int, client: Client, as_json: bool) -> None:
    """Say what swapping AMOUNT of the first of TOKENS into the last would give.

    \b
    Example:
      qenex amm quote 10 coin qxc
    """
    out = client.amm.quote([token_named(each) for each in tokens], amount, fee)
    show({"in": amount, "out": out}, as_json=as_json)


@command.command("swap")
@click.argument("amount")
@click.argument("tokens", nargs=-1, required=True)
@click.option("--at-least", help="Fail when less arrives.  [default: 99 % of the quote]")
@_fee
@acting
def swap(
    amount: str,
    tokens: tuple[str, ...],
    *,
    at_least: str | None,
    fee: int,
    client: Client,
    as_json: bool,
) -> None:
    """Swap AMOUNT of the first of TOKENS into the last, by way of those between.

    \b
    Examples:
      qenex amm swap 10 coin qxc --test-account 0
      qenex amm swap 10 qxc coin --at-least 9.9 --test-account 0
    """
    route = [token_named(each) for each in tokens]
    least = at_least if at_least is not None else _most_of(client, route, amount, fee)
    receipt = client.amm.swap(route, amount, least, fee)
    last = client.amm.token(route[-1])
    got = arrived(receipt, last, client.amm.contract.link.address())
    words = f"swapped {amount} {tokens[0]}: {plain(got)} {tokens[-1]} arrived"
    tell(receipt, as_json=as_json, words=words, received=got)


@command.command("add")
@click.argument("first")
@click.argument("first_amount")
@click.argument("second")
@click.argument("second_amount")
@_fee
@acting
def add(
    first: str,
    first_amount: str,
    second: str,
    second_amount: str,
    *,
    fee: int,
    client: Client,
    as_json: bool,
) -> None:
    """Add liquidity over all prices, with at most these amounts; what does not fit stays yours.

    \b
    Example:
      qenex amm add coin 100 qxc 100 --test-account 0
    """
    amounts = (first_amount, second_amount)
    receipt = client.amm.add_liquidity(token_named(first), token_named(second), amounts, fee=fee)
    made = receipt.event("LiquidityChanged").fields["liquidity"]
    tell(receipt, as_json=as_json, words=f"added liquidity {made}", liquidity=made)


@command.command("remove")
@click.argument("first")
@click.argument("second")
@click.option("--part", default="1", show_default=True, help="1 is all, 0 the earnings alone.")
@_fee
@acting
def remove(first: str, second: str, *, part: str, fee: int, client: Client, as_json: bool) -> None:
    """Take your liquidity out of a pool, with what it earned.

    \b
    Example:
      qenex amm remove coin qxc --part 0.5 --test-account 0
    """
    try:
        share = Decimal(part)
    except ArithmeticError:
        raise ConfigError(f"a part is a number from 0 to 1, found {part}") from None
    receipt = client.amm.remove_liquidity(token_named(first), token_named(second), share, fee=fee)
    left = receipt.event("LiquidityChanged").fields["liquidity"]
    tell(receipt, as_json=as_json, words=f"removed liquidity {-left}", liquidity=-left)


def _most_of(client: Client, route: list[str], amount: str, fee: int) -> Decimal:
    out = client.amm.token(route[-1])
    quoted = client.amm.quote(route, amount, fee)
    return out.amount(out.units(quoted) * 99 // 100)


def _price(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise ConfigError(f"a price is a number such as 1.5, found {text}") from None
