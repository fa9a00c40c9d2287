"""`qenex genesis`: write the document that a network begins with."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import click

from contracts.addresses import TIMELOCK
from genesis.document import Genesis, parse
from genesis.fields import Field
from genesis.nodes import NodeEntry, Role
from genesis.predeploys import Permissions, Predeploy
from genesis.profiles import (
    LOCALNET_CHAIN_ID,
    Profile,
    network,
    params_of,
    public_funds,
)
from genesis.writing import save, to_json
from primitives.errors import ConfigError
from primitives.params import POWER_MAX
from primitives.types import ZERO_ADDRESS, Address, ChainId, Power, Wei
from primitives.validators import Validator, ValidatorSet
from qenex.predeploys import Standard, standard

_DECIMALS: Final = 18
_SUPPLY_MAX: Final = 2**127


@click.command("genesis")
@click.option(
    "--profile",
    type=click.Choice([str(each) for each in Profile]),
    default=str(Profile.PRIVATE),
    show_default=True,
    help="Block times; localnet and single also fund the public test accounts.",
)
@click.option(
    "--validator",
    "validators",
    multiple=True,
    metavar="ADDRESS[,POWER]",
    help="A validator, of power 1 unless told; once for each.",
)
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="PEER_ID,MULTIADDR[,ADDRESS]",
    help="A node that peers admit, where it listens, and the validator it signs for.",
)
@click.option(
    "--fund",
    "funds",
    multiple=True,
    metavar="ADDRESS=AMOUNT",
    help="An account that begins with AMOUNT QXC; once for each.",
)
@click.option(
    "--chain-id",
    type=int,
    default=int(LOCALNET_CHAIN_ID),
    show_default=True,
    help="Number that transactions are signed for; no two networks should share one.",
)
@click.option(
    "--contracts",
    type=click.Choice(["minimal", "standard"]),
    default="minimal",
    show_default=True,
    help="The registries alone, or QXC, staking, governance and identity too.",
)
@click.option(
    "--guardian",
    metavar="ADDRESS",
    help="Who may pause QXC for a while; with --contracts standard.",
)
@click.option(
    "--reserve",
    metavar="AMOUNT",
    help="QXC made for staking rewards, 200000000 unless told; with --contracts standard.",
)
@click.option(
    "--permit",
    "permits",
    multiple=True,
    metavar="ADDRESS[,deploy]",
    help="An account that may send (and deploy); with any, all others may not.",
)
@click.option(
    "--permissions-manager",
    "manager",
    metavar="ADDRESS",
    help="Who changes such rights later; with --contracts standard the timelock, else nobody.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="New file to write; without it the document is printed.",
)
def command(
    *,
    profile: str,
    validators: Sequence[str],
    nodes: Sequence[str],
    funds: Sequence[str],
    chain_id: int,
    contracts: str,
    guardian: str | None,
    reserve: str | None,
    permits: Sequence[str],
    manager: str | None,
    out: Path | None,
) -> None:
    """Write the genesis document of a network; every node must be given the same one.

    Addresses and peer ids come from `qenex keys show` of each node. Validators pay gas to vote on
    changes of the validator set: fund them, too.

    \b
    Examples:
      qenex genesis --validator 0xf39F...2266 --chain-id 7001 \\
          --node 12D3KooW...,/ip4/192.0.2.7/tcp/30303,0xf39F...2266 \\
          --fund 0x7099...79C8=1000000 --out genesis.json
      qenex genesis --profile localnet --validator 0xf39F...2266
      qenex genesis --validator 0xf39F...2266 --contracts standard --guardian 0x7099...79C8
    """
    chosen = Profile(profile)
    entries = [_node(each) for each in nodes]
    members = _validators(validators, entries)
    balances = dict(_fund(each) for each in funds)
    if chosen is not Profile.PRIVATE:
        balances = public_funds(members.powers) | balances
    is_governed = contracts == "standard"
    made = network(
        params_of(chosen, ChainId(chain_id)),
        members,
        entries,
        timestamp=int(time.time()),
        funded=balances,
        contracts=_contracts(contracts, guardian, reserve, ChainId(chain_id)),
        permissions=_permissions(permits, manager, members, TIMELOCK if is_governed else None),
    )
    checked = _checked(made)
    if out is None:
        click.echo(json.dumps(to_json(checked), indent=2))
        return
    if out.exists():
        raise ConfigError(f"{out} exists; a genesis document is never overwritten")
    save(checked, out)
    click.echo(f"wrote {out}: chain id {chain_id}, {len(made.validators)} validators", err=True)


def _contracts(
    kind: str, guardian: str | None, reserve: str | None, chain_id: ChainId
) -> list[Predeploy]:
    if kind == "minimal":
        if guardian is not None or reserve is not None:
            raise ConfigError("--guardian and --reserve need --contracts standard")
        return []
    chosen = Standard()
    if guardian is not None:
        chosen = replace(chosen, guardian=Field("--guardian", guardian).address())
    if reserve is not None:
        chosen = replace(chosen, reserve_wei=_amount(reserve, "--reserve: must be an AMOUNT"))
    return standard(chosen, chain_id)


def _permissions(
    texts: Sequence[str], manager: str | None, members: ValidatorSet, timelock: Address | None
) -> Permissions | None:
    """Return the rights that `--permit` gives; validators may always send, to vote."""
    if not texts and manager is None:
        return None
    senders, deployers = list(members.powers), []
    for text in texts:
        address_text, _, right = text.partition(",")
        address = Field("--permit", address_text).address()
        if right not in ("", "deploy"):
            raise ConfigError(f"--permit: must be ADDRESS or ADDRESS,deploy, found {text}")
        senders.append(address)
        deployers += [address] if right else []
    chosen = timelock or ZERO_ADDRESS
    if manager is not None:
        chosen = Field("--permissions-manager", manager).address()
    is_limited = bool(texts)
    return Permissions(chosen, is_limited, is_limited, tuple(senders), tuple(deployers))


def _checked(genesis: Genesis) -> Genesis:
    """Return the genesis as a node will read it; what it would refuse is refused here."""
    return parse(json.loads(json.dumps(to_json(genesis))))


def _validators(texts: Sequence[str], nodes: Sequence[NodeEntry]) -> ValidatorSet:
    found: dict[Address, Validator] = {}
    for text in texts:
        address_text, _, power_text = text.partition(",")
        address = Field("--validator", address_text).address()
        power = Field("--validator POWER", power_text or "1").uint(1, POWER_MAX)
        if address in found:
            raise ConfigError(f"--validator: {address_text} stands twice")
        found[address] = Validator(address, Power(power))
    if not found:
        found = {each.validator: Validator(each.validator) for each in nodes if each.validator}
    if not found:
        raise ConfigError("a network needs at least one validator: --validator ADDRESS")
    return ValidatorSet.of(found.values())


def _node(text: str) -> NodeEntry:
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise ConfigError(f"--node: must be PEER_ID,MULTIADDR[,ADDRESS], found {text}")
    validator = Field("--node ADDRESS", parts[2]).address() if len(parts) == 3 else None
    role = Role.OBSERVER if validator is None else Role.VALIDATOR
    return NodeEntry(parts[0], (parts[1],), validator, role)


def _fund(text: str) -> tuple[Address, Wei]:
    address, _, amount = text.partition("=")
    try:
        wei = _amount(amount, "")
    except ConfigError:
        raise ConfigError(f"--fund: must be ADDRESS=AMOUNT in QXC, found {text}") from None
    return Field("--fund", address).address(), wei


def _amount(text: str, words: str) -> Wei:
    try:
        wei = Decimal(text).scaleb(_DECIMALS)
    except InvalidOperation:
        wei = Decimal(-1)
    if not wei.is_finite() or not 0 <= wei < _SUPPLY_MAX or wei != int(wei):
        raise ConfigError(f"{words} in QXC, found {text}")
    return Wei(int(wei))
