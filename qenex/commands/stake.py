"""`qenex stake`: stake QXC, see what it earns, leave."""

from __future__ import annotations

import click

from qenex.client import Client
from qenex.commands.wallet import acting, reading, show, tell


@click.group("stake")
def command() -> None:
    """Stake QXC tokens: they grow from a reserve and vote in governance.

    Leaving takes two steps: `exit` ends shares and their votes at once, and `claim` pays the tokens
    after the cooldown. Amounts are QXC; shares are worth more QXC as they grow.
    """


@command.command("info")
@click.argument("address", required=False)
@reading
def info(address: str | None, *, client: Client, as_json: bool) -> None:
    """Show staking as a whole, or what ADDRESS has staked.

    \b
    Examples:
      qenex stake info
      qenex stake info 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
    """
    row = client.staking.facts() if address is None else client.staking.of(address)
    show(row, as_json=as_json)


@command.command("add")
@click.argument("amount")
@acting
def add(amount: str, *, client: Client, as_json: bool) -> None:
    """Stake AMOUNT tokens (`qenex token wrap` makes tokens of coins).

    \b
    Example:
      qenex stake add 50 --test-account 0
    """
    receipt = client.staking.stake(amount)
    mine = client.staking.of()
    words = f"staked {amount}: {mine.shares} shares worth {mine.worth} QXC, {mine.votes} votes"
    tell(receipt, as_json=as_json, words=words)


@command.command("exit")
@click.argument("shares", required=False)
@acting
def leave(shares: str | None, *, client: Client, as_json: bool) -> None:
    """Begin to leave with SHARES, all of them by default.

    \b
    Example:
      qenex stake exit 20 --test-account 0
    """
    receipt = client.staking.request_exit(shares)
    mine = client.staking.of()
    words = f"{mine.leaving} QXC leave; `qenex stake claim` pays them after {mine.paid_at}"
    tell(receipt, as_json=as_json, words=words, leaving=mine.leaving, paidAt=mine.paid_at)


@command.command("claim")
@acting
def claim(*, client: Client, as_json: bool) -> None:
    """Take the tokens of a finished exit.

    \b
    Example:
      qenex stake claim --test-account 0
    """
    receipt = client.staking.claim()
    tell(receipt, as_json=as_json, words=f"paid: {client.qxc.balance()} QXC tokens now")
