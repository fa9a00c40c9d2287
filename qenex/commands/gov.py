"""`qenex gov`: propose changes, vote, and carry them out."""

from __future__ import annotations

import click

from contracts.addresses import COMPLIANCE
from qenex.amounts import shown_address
from qenex.client import Client
from qenex.commands.wallet import acting, number, reading, show, table, tell

_DESCRIPTION = click.option(
    "--description", required=True, help="What the proposal is and why; it is stored on chain."
)


@click.group("gov")
def command() -> None:
    """Propose changes, vote with staked QXC, and carry out what was decided.

    A proposal waits, is voted on, then `queue` hands it to the timelock and `execute` does it; both
    are open to anybody. Proposals are named by the number that `qenex gov list` shows.
    """


@command.command("list")
@reading
def proposals(*, client: Client, as_json: bool) -> None:
    """Show the proposals, the newest first.

    \b
    Example:
      qenex gov list --json
    """
    rows = [
        {
            "proposal": str(each.id),
            "state": each.state,
            "for": each.votes_for,
            "against": each.votes_against,
            "description": each.description,
        }
        for each in client.governance.proposals()
    ]
    table(rows, as_json=as_json, empty="no proposals yet")


@command.command("show")
@click.argument("proposal")
@reading
def one(proposal: str, *, client: Client, as_json: bool) -> None:
    """Show one PROPOSAL: votes, quorum, times.

    \b
    Example:
      qenex gov show 1049...2186
    """
    show(client.governance.proposal(number(proposal)), as_json=as_json)


@command.group("propose")
def propose() -> None:
    """Propose a change; you need staked QXC above the threshold."""


@propose.command("parameters")
@click.option("--target", required=True, help="Staking target, percent a year, at most 30.")
@click.option("--cooldown-days", required=True, type=click.IntRange(0, 90))
@click.option("--quorum", required=True, type=click.IntRange(0, 100), help="Percent of the stake.")
@_DESCRIPTION
@acting
def parameters(
    *,
    target: str,
    cooldown_days: int,
    quorum: int,
    description: str,
    client: Client,
    as_json: bool,
) -> None:
    """Propose another staking target, cooldown and quorum.

    \b
    Example:
      qenex gov propose parameters --target 15 --cooldown-days 30 --quorum 10 \\
          --description "a better rate" --test-account 0
    """
    made = client.governance.propose_parameters(
        target_percent=target,
        cooldown_days=cooldown_days,
        quorum_percent=quorum,
        description=description,
    )
    _proposed(client, made, as_json=as_json)


@propose.command("payment")
@click.argument("to")
@click.argument("amount")
@click.option("--token", help="Address of an ERC-20 with 18 decimals; native coins without it.")
@_DESCRIPTION
@acting
def payment(
    to: str, amount: str, *, token: str | None, description: str, client: Client, as_json: bool
) -> None:
    """Propose that the treasury (the timelock) pays AMOUNT to the address TO.

    \b
    Example:
      qenex gov propose payment 0x7099...79C8 5 --description "a prize" --test-account 0
    """
    made = client.governance.propose_payment(to, amount, description, token)
    _proposed(client, made, as_json=as_json)


@propose.command("exempt")
@click.argument("address")
@click.option("--end", is_flag=True, help="End the exemption instead.")
@_DESCRIPTION
@acting
def exempt(address: str, *, end: bool, description: str, client: Client, as_json: bool) -> None:
    """Propose that transfers of the system contract at ADDRESS burn nothing.

    \b
    Example:
      qenex gov propose exempt 0x7099...79C8 --description "our pool" --test-account 0
    """
    made = client.governance.propose_exemption(address, exempt=not end, description=description)
    _proposed(client, made, as_json=as_json)


@propose.command("exits")
@click.option(
    "--policy",
    default=shown_address(COMPLIANCE),
    help="Contract that is asked; the network's Compliance by default.",
)
@click.option("--end", is_flag=True, help="Have nobody asked instead.")
@_DESCRIPTION
@acting
def exits(*, policy: str, end: bool, description: str, client: Client, as_json: bool) -> None:
    """Propose that only verified holders take value out of exchange, lending and farming.

    \b
    Example:
      qenex gov propose exits --description "verified holders only" --test-account 0
    """
    made = client.governance.propose_exit_policy(None if end else policy, description)
    _proposed(client, made, as_json=as_json)


@propose.command("validator")
@click.argument("address")
@click.argument("power", type=click.IntRange(0, 1000))
@_DESCRIPTION
@acting
def validator(address: str, power: int, *, description: str, client: Client, as_json: bool) -> None:
    """Propose that the validator ADDRESS has POWER; 0 removes it.

    \b
    Example:
      qenex gov propose validator 0x7099...79C8 2 --description "joins" --test-account 0
    """
    made = client.governance.propose_validator(address, power, description)
    _proposed(client, made, as_json=as_json)


@command.command("vote")
@click.argument("proposal")
@click.argument("choice", type=click.Choice(["yes", "no"]))
@acting
def vote(proposal: str, choice: str, *, client: Client, as_json: bool) -> None:
    """Vote yes or no on a PROPOSAL with all your votes.

    \b
    Example:
      qenex gov vote 1049...2186 yes --test-account 0
    """
    receipt = client.governance.vote(number(proposal), choice == "yes")
    weight = receipt.event("VoteCast").fields["weight"]
    words = f"voted {choice} with weight {weight / 10**18:g}"
    if weight == 0:
        words += ": you had no staked QXC when voting began"
    tell(receipt, as_json=as_json, words=words, weight=weight)


@command.command("queue")
@click.argument("proposal")
@acting
def queue(proposal: str, *, client: Client, as_json: bool) -> None:
    """Hand a PROPOSAL that was carried to the timelock.

    \b
    Example:
      qenex gov queue 1049...2186 --test-account 0
    """
    receipt = client.governance.queue(number(proposal))
    tell(receipt, as_json=as_json, words="queued; `qenex gov execute` does it after the timelock")


@command.command("execute")
@click.argument("proposal")
@acting
def execute(proposal: str, *, client: Client, as_json: bool) -> None:
    """Do what a queued PROPOSAL says.

    \b
    Example:
      qenex gov execute 1049...2186 --test-account 0
    """
    tell(client.governance.execute(number(proposal)), as_json=as_json, words="executed")


def _proposed(client: Client, made: int, *, as_json: bool) -> None:
    show({"proposal": str(made), "state": client.governance.state(made)}, as_json=as_json)
