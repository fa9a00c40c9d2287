"""`qenex farm`: farms, stakes in them, rewards."""

from __future__ import annotations

import click

from qenex.client import Client
from qenex.commands.amm import token_named
from qenex.commands.wallet import acting, plain, reading, show, table, tell

_DAY_S = 86_400
_NUMBER = click.IntRange(min=0)


@click.group("farm")
def command() -> None:
    """Stake tokens in farms that pay a fund out over time, or open one.

    A farm is named by its number, which `qenex farm list` shows. A token is `qxc` or an address.
    """


@command.command("list")
@reading
def farms(*, client: Client, as_json: bool) -> None:
    """Show all farms: tokens, what is staked, what is still to be paid and in how many seconds.

    \b
    Example:
      qenex farm list --json
    """
    rows = []
    for number in range(client.farming.count()):
        found = client.farming.farm(number)
        rows.append(
            {
                "farm": number,
                "stake": found.stake_token,
                "reward": found.reward_token,
                "staked": found.staked,
                "to pay": found.left,
                "seconds": found.left_s,
            }
        )
    table(rows, as_json=as_json, empty="no farms yet; `qenex farm create` opens one")


@command.command("show")
@click.argument("farm", type=_NUMBER)
@click.argument("address")
@reading
def one(farm: int, address: str, *, client: Client, as_json: bool) -> None:
    """Show what ADDRESS has staked and earned in a FARM.

    \b
    Example:
      qenex farm show 0 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
    """
    row = {
        "staked": client.farming.staked(farm, address),
        "earned": client.farming.earned(farm, address),
    }
    show(row, as_json=as_json)


@command.command("create")
@click.argument("stake")
@click.argument("reward")
@click.argument("amount")
@click.option("--days", type=click.FloatRange(0.001, 3650), default=30, show_default=True)
@acting
def create(
    stake: str, reward: str, amount: str, *, days: float, client: Client, as_json: bool
) -> None:
    """Open a farm that pays AMOUNT of the token REWARD to those who stake the token STAKE.

    \b
    Example:
      qenex farm create 0x5FbD...0aa3 qxc 1000 --days 30 --test-account 0
    """
    seconds = round(days * _DAY_S)
    tokens = (token_named(stake), token_named(reward))
    number = client.farming.create_farm(*tokens, amount, seconds)
    show({"farm": number, "pays": amount, "seconds": seconds}, as_json=as_json)


@command.command("stake")
@click.argument("farm", type=_NUMBER)
@click.argument("amount")
@acting
def stake(farm: int, amount: str, *, client: Client, as_json: bool) -> None:
    """Stake AMOUNT in a FARM.

    \b
    Example:
      qenex farm stake 0 50 --test-account 1
    """
    receipt = client.farming.stake(farm, amount)
    whole = client.farming.staked(farm)
    tell(receipt, as_json=as_json, words=f"staked: {plain(whole)} in all", staked=whole)


@command.command("claim")
@click.argument("farm", type=_NUMBER)
@acting
def claim(farm: int, *, client: Client, as_json: bool) -> None:
    """Take your reward so far.

    \b
    Example:
      qenex farm claim 0 --test-account 1
    """
    receipt = client.farming.claim_rewards(farm)
    found = client.farming.farm(farm)
    units = sum(each.fields["reward"] for each in receipt.events if each.name == "Claimed")
    reward = client.amm.token(found.reward_token).amount(units)
    tell(receipt, as_json=as_json, words=f"claimed {plain(reward)}", reward=reward)


@command.command("withdraw")
@click.argument("farm", type=_NUMBER)
@click.argument("amount")
@acting
def withdraw(farm: int, amount: str, *, client: Client, as_json: bool) -> None:
    """Take AMOUNT of your stake back; `all` takes stake and reward.

    \b
    Example:
      qenex farm withdraw 0 all --test-account 1
    """
    if amount == "all":
        receipt = client.farming.exit(farm)
    else:
        receipt = client.farming.withdraw(farm, amount)
    left = client.farming.staked(farm)
    tell(receipt, as_json=as_json, words=f"withdrew {amount}: {plain(left)} left", staked=left)
