"""`qenex lend`: markets, and lending, borrowing and liquidating in them."""

from __future__ import annotations

from decimal import Decimal

import click

from qenex.client import Client
from qenex.commands.amm import token_named
from qenex.commands.wallet import acting, plain, reading, show, table, tell
from qenex.markets import Markets


@click.group("lend")
def command() -> None:
    """Lend tokens, borrow against collateral, liquidate debts that are too high.

    A market lends one token against one other; it is named by 32 bytes that `qenex lend markets`
    shows. Rates are parts of one a year: 0.05 is 5 %. Amounts are whole tokens.
    """


@command.command("markets")
@reading
def markets(*, client: Client, as_json: bool) -> None:
    """Show all markets: tokens, what is lent, yearly rates.

    \b
    Example:
      qenex lend markets --json
    """
    rows = []
    for name in client.lending.markets():
        found = client.lending.market(name)
        rows.append(
            {
                "market": found.market,
                "lends": found.loan,
                "against": found.collateral,
                "supplied": found.supplied,
                "borrowed": found.borrowed,
                "earns": _rate(found.supply_rate),
                "costs": _rate(found.borrow_rate),
            }
        )
    empty = "no markets yet; governance opens them (`qenex lend create` proposes one)"
    table(rows, as_json=as_json, empty=empty)


@command.command("create")
@click.argument("loan")
@click.argument("collateral")
@click.option("--factor", default="0.75", show_default=True, help="Debt allowed per collateral.")
@click.option("--oracle", help="A contract with price(); one that you feed is made without it.")
@click.option("--price", default="1", show_default=True, help="First price of such a feed.")
@acting
def create(
    loan: str,
    collateral: str,
    *,
    factor: str,
    oracle: str | None,
    price: str,
    client: Client,
    as_json: bool,
) -> None:
    """Open a market that lends LOAN against COLLATERAL, by a vote with your staked QXC.

    On a localnet the vote takes a quarter of a minute and is carried through; elsewhere the
    proposal is made and named, and others vote.

    \b
    Example:
      qenex lend create 0x5FbD...0aa3 qxc --price 2 --test-account 0
    """
    name = Markets.of(client).create_market(
        token_named(loan),
        factor,
        collateral=token_named(collateral),
        oracle=oracle,
        price=price,
    )
    show({"market": name}, as_json=as_json)


@command.command("account")
@click.argument("market")
@click.argument("address")
@reading
def account(market: str, address: str, *, client: Client, as_json: bool) -> None:
    """Show what ADDRESS has in a MARKET; below health 1 its debt may be liquidated.

    \b
    Example:
      qenex lend account 0x6f1c...9d02 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
    """
    show(client.lending.account(market, address), as_json=as_json)


@command.command("supply")
@click.argument("market")
@click.argument("amount")
@acting
def supply(market: str, amount: str, *, client: Client, as_json: bool) -> None:
    """Lend AMOUNT to a MARKET.

    \b
    Example:
      qenex lend supply 0x6f1c...9d02 100 --test-account 0
    """
    receipt = client.lending.supply(market, amount)
    rate = client.lending.rates(market).supply
    words = f"supplied {amount}: it earns {plain(_rate(rate))} a year now"
    tell(receipt, as_json=as_json, words=words, rate=rate)


@command.command("withdraw")
@click.argument("market")
@click.argument("amount")
@acting
def withdraw(market: str, amount: str, *, client: Client, as_json: bool) -> None:
    """Take AMOUNT that you lent back out of a MARKET; `all` takes everything.

    \b
    Example:
      qenex lend withdraw 0x6f1c...9d02 all --test-account 0
    """
    receipt = client.lending.withdraw(market, _or_all(amount))
    left = client.lending.account(market).supplied
    tell(receipt, as_json=as_json, words=f"withdrew {amount}: {plain(left)} left", supplied=left)


@command.command("pledge")
@click.argument("market")
@click.argument("amount")
@acting
def pledge(market: str, amount: str, *, client: Client, as_json: bool) -> None:
    """Give AMOUNT of collateral to a MARKET, to borrow against.

    \b
    Example:
      qenex lend pledge 0x6f1c...9d02 100 --test-account 1
    """
    receipt = client.lending.supply_collateral(market, amount)
    whole = client.lending.account(market).collateral
    tell(receipt, as_json=as_json, words=f"pledged: {plain(whole)} in all", collateral=whole)


@command.command("release")
@click.argument("market")
@click.argument("amount")
@acting
def release(market: str, amount: str, *, client: Client, as_json: bool) -> None:
    """Take AMOUNT of collateral back, as far as your debt allows.

    \b
    Example:
      qenex lend release 0x6f1c...9d02 10 --test-account 1
    """
    receipt = client.lending.withdraw_collateral(market, amount)
    left = client.lending.account(market).collateral
    tell(receipt, as_json=as_json, words=f"released: {plain(left)} left", collateral=left)


@command.command("borrow")
@click.argument("market")
@click.argument("amount")
@acting
def borrow(market: str, amount: str, *, client: Client, as_json: bool) -> None:
    """Borrow AMOUNT from a MARKET against your collateral.

    \b
    Example:
      qenex lend borrow 0x6f1c...9d02 50 --test-account 1
    """
    receipt = client.lending.borrow(market, amount)
    own = client.lending.account(market)
    words = f"borrowed {amount}: your debt is {plain(own.debt)}, your health {own.health}"
    tell(receipt, as_json=as_json, words=words, debt=own.debt, health=own.health)


@command.command("repay")
@click.argument("market")
@click.argument("amount")
@acting
def repay(market: str, amount: str, *, client: Client, as_json: bool) -> None:
    """Repay AMOUNT of your debt in a MARKET; `all` repays everything.

    \b
    Example:
      qenex lend repay 0x6f1c...9d02 all --test-account 1
    """
    receipt = client.lending.repay(market, _or_all(amount))
    left = client.lending.account(market).debt
    tell(receipt, as_json=as_json, words=f"repaid {amount}: {plain(left)} owed", debt=left)


@command.command("liquidate")
@click.argument("market")
@click.argument("borrower")
@click.argument("at_most")
@acting
def liquidate(market: str, borrower: str, at_most: str, *, client: Client, as_json: bool) -> None:
    """Repay AT_MOST so much of an unhealthy debt and take the collateral, with a bonus.

    \b
    Example:
      qenex lend liquidate 0x6f1c...9d02 0x7099...79C8 25 --test-account 2
    """
    receipt = client.lending.liquidate(market, borrower, at_most)
    seized = receipt.event("Liquidated").fields["seized"]
    taken = client.lending.collateral_of(market).amount(seized)
    tell(
        receipt, as_json=as_json, words=f"liquidated: {plain(taken)} collateral taken", seized=taken
    )


def _or_all(amount: str) -> str | None:
    return None if amount == "all" else amount


def _rate(rate: Decimal) -> Decimal:
    return rate.quantize(Decimal("0.000001"))
