"""`qenex validator`: see the validators and vote on changes of their set."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
from eth_utils.address import to_checksum_address

from genesis.fields import Field
from primitives.errors import ConfigError
from primitives.params import POWER_MAX, VALIDATOR_REGISTRY
from primitives.types import ZERO_ADDRESS, ZERO_HASH, Address
from qenex.ballot import Registry, open_key, proposal_id
from qenex.commands.status import DEFAULT_URL
from qenex.jsonrpc import JsonRpc

BEHIND_MAX: Final = 5
"""Most heights that a new validator's node may be behind."""

_rpc_option = click.option(
    "--rpc", "url", default=DEFAULT_URL, show_default=True, help="Address of a node."
)


def key_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name the voting key."""
    for option in (
        click.option(
            "--password-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File with the key's password; without it you are asked.",
        ),
        click.option(
            "--key",
            type=click.Path(path_type=Path, dir_okay=False),
            required=True,
            help="Keystore file of the validator that votes.",
        ),
        _rpc_option,
    ):
        command = option(command)
    return command


@click.group("validator")
def command() -> None:
    """See the validators and vote on changes of their set.

    A change takes effect at the next height once validators with more than two thirds of the
    power have approved it; whoever proposes it approves it. Each change ends the other proposals.
    """


@command.command("list")
@_rpc_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(url: str, as_json: bool) -> None:
    """Show the validators and the open proposals.

    \b
    Example:
      qenex validator list --rpc http://127.0.0.1:8546
    """
    registry = _registry(url)
    addresses, powers, _ = registry.read("getValidators")
    (quorum,), (epoch,), (ids,) = (
        registry.read(name) for name in ("quorumPower", "epoch", "getOpenChanges")
    )
    found = {
        "validators": [
            {"address": to_checksum_address(address), "power": power}
            for address, power in zip(addresses, powers, strict=True)
        ],
        "quorumPower": quorum,
        "epoch": epoch,
        "proposals": [_proposal(registry, each) for each in ids],
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for row in found["validators"]:
        click.echo(f"{row['address']}  power {row['power']}")
    click.echo(f"quorum {quorum} of {sum(powers)}")
    for each in found["proposals"]:
        click.echo(f"proposal {each['id']}: {each['change']} (power {each['approving']})")


@command.command("propose")
@click.argument("address")
@click.option("--power", type=click.IntRange(1, POWER_MAX), help="Power of the new or old member.")
@click.option("--remove", is_flag=True, help="The member leaves.")
@click.option("--rotate-to", metavar="ADDRESS", help="The member's power goes to this new key.")
@click.option("--force", is_flag=True, help="Also when no node with the new key is in sight.")
@key_options
def propose(
    *,
    address: str,
    power: int | None,
    remove: bool,
    rotate_to: str | None,
    force: bool,
    url: str,
    key: Path,
    password_file: Path | None,
) -> None:
    """Propose that ADDRESS joins, changes its power, leaves, or hands over to a new key.

    A new key must be held by a node that is connected and level with the chain: otherwise its
    votes would be missing from the first height on.

    \b
    Examples:
      qenex validator propose 0x7099...79C8 --power 1 --key mynode/validator.json
      qenex validator propose 0x7099...79C8 --rotate-to 0x3C44...93BC --key mynode/validator.json
      qenex validator propose 0x7099...79C8 --remove --key mynode/validator.json
    """
    if (power is not None) + remove + (rotate_to is not None) != 1:
        raise click.UsageError("give one of --power, --remove and --rotate-to")
    member = Field("ADDRESS", address).address()
    successor = Field("--rotate-to", rotate_to).address() if rotate_to else None
    registry = _registry(url)
    newcomer = successor or (member if power is not None else None)
    if newcomer is not None and not force:
        _check_level(registry, newcomer)
    signer = open_key(key, password_file)
    if successor is not None:
        receipt = registry.vote(signer, "proposeRotation", member, successor, ZERO_HASH)
    else:
        receipt = registry.vote(signer, "proposeChange", member, power or 0, ZERO_HASH)
    _tell(registry, receipt)


@command.command("approve")
@click.argument("proposal")
@key_options
def approve(proposal: str, *, url: str, key: Path, password_file: Path | None) -> None:
    """Approve a PROPOSAL that `qenex validator list` shows.

    \b
    Example:
      qenex validator approve 0x52a1...90ff --key mynode/validator.json
    """
    registry, named = _registry(url), proposal_id(proposal)
    _tell(registry, registry.vote(open_key(key, password_file), "approve", named))


def _registry(url: str) -> Registry:
    return Registry(JsonRpc(url), "ValidatorRegistry", VALIDATOR_REGISTRY)


def _proposal(registry: Registry, name: bytes) -> dict[str, Any]:
    member, power, _, approving, successor = registry.read("getChange", name)
    if successor != "0x" + ZERO_ADDRESS.hex():
        change = f"rotate {to_checksum_address(member)} to {to_checksum_address(successor)}"
    elif power == 0:
        change = f"remove {to_checksum_address(member)}"
    else:
        change = f"set {to_checksum_address(member)} to power {power}"
    return {"id": "0x" + name.hex(), "change": change, "approving": approving}


def _check_level(registry: Registry, newcomer: Address) -> None:
    """Raise ConfigError unless a node with this key is connected and level, or a member."""
    (power,) = registry.read("powerOf", newcomer)
    status = registry.rpc.call("qenex_status")
    if power or not isinstance(status, dict):
        return
    name, height = to_checksum_address(newcomer), int(status["height"])
    if status.get("validator") == name:
        return
    for peer in status["peers"]:
        if peer["validator"] == name and int(peer["height"]) >= height - BEHIND_MAX:
            return
    raise ConfigError(
        f"no connected node holds the key of {name} and is level with height {height}; "
        "start it first, or use --force"
    )


def _tell(registry: Registry, receipt: Mapping[str, Any]) -> None:
    if registry.has_event(receipt, "ValidatorChanged"):
        click.echo("the change is made: it counts from the next height on")
        return
    row = _proposal(registry, registry.proposal_in(receipt))
    (quorum,) = registry.read("quorumPower")
    click.echo(f"{row['id']}: {row['change']}")
    click.echo(f"approved by power {row['approving']}, {quorum} are needed")
