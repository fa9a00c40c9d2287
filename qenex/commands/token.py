"""`qenex token`: see, wrap and send QXC tokens."""

from __future__ import annotations

import click

from qenex.client import Client
from qenex.commands.wallet import acting, reading, show, tell


@click.group("token")
def command() -> None:
    """See, wrap and send QXC, the coin of the network as an ERC-20.

    A transfer burns 0.1 % of what the recipient gets. Wrapping turns native coins into tokens and
    back, one to one. Amounts are QXC, such as 12.5.
    """


@command.command("info")
@reading
def info(*, client: Client, as_json: bool) -> None:
    """Show supply, backing, pause and who governs.

    \b
    Example:
      qenex token info --json
    """
    show(client.qxc.facts(), as_json=as_json)


@command.command("balance")
@click.argument("address")
@reading
def balance(address: str, *, client: Client, as_json: bool) -> None:
    """Show the tokens, native coins and stake of ADDRESS.

    \b
    Example:
      qenex token balance 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
    """
    row = {
        "tokens": client.qxc.balance(address),
        "coins": client.balance(address),
        "staked": client.staking.of(address).worth,
    }
    show(row, as_json=as_json)


@command.command("wrap")
@click.argument("amount")
@acting
def wrap(amount: str, *, client: Client, as_json: bool) -> None:
    """Turn AMOUNT native coins into tokens.

    \b
    Example:
      qenex token wrap 100 --test-account 0
    """
    receipt = client.qxc.deposit(amount)
    tell(receipt, as_json=as_json, words=f"wrapped {amount}: {client.qxc.balance()} QXC tokens now")


@command.command("unwrap")
@click.argument("amount")
@acting
def unwrap(amount: str, *, client: Client, as_json: bool) -> None:
    """Turn AMOUNT tokens into native coins.

    \b
    Example:
      qenex token unwrap 100 --test-account 0
    """
    receipt = client.qxc.withdraw(amount)
    words = f"unwrapped {amount}: {client.qxc.balance()} QXC tokens left"
    tell(receipt, as_json=as_json, words=words)


@command.command("send")
@click.argument("to")
@click.argument("amount")
@acting
def send(to: str, amount: str, *, client: Client, as_json: bool) -> None:
    """Send AMOUNT tokens to the address TO.

    \b
    Example:
      qenex token send 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 12.5 --test-account 0
    """
    received, burned = client.qxc.quote(client.address, to, amount)
    receipt = client.qxc.transfer(to, amount)
    words = f"sent {amount} QXC: {received} arrived, {burned} were burned"
    tell(receipt, as_json=as_json, words=words, received=received, burned=burned)
