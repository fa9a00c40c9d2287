"""`qenex peers`: see who is connected and who may be, and vote on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from eth_utils.address import to_checksum_address

from genesis.fields import Field
from genesis.nodes import check_multiaddr, peer_id_bytes, peer_id_text
from primitives.params import NODE_REGISTRY
from primitives.types import ZERO_ADDRESS
from qenex.ballot import Registry, open_key, proposal_id
from qenex.commands.status import DEFAULT_URL
from qenex.commands.validator import key_options
from qenex.jsonrpc import JsonRpc

_NOBODY = "0x" + ZERO_ADDRESS.hex()


@click.group("peers", invoke_without_command=True)
@click.option("--rpc", "url", default=DEFAULT_URL, show_default=True, help="Address of a node.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, url: str, as_json: bool) -> None:
    """Show who may connect and who is connected; vote on it with the subcommands.

    A change takes effect with the block in which validators with more than two thirds of the
    power have approved it: removed peers are disconnected.

    \b
    Examples:
      qenex peers
      qenex peers --rpc http://127.0.0.1:8546 --json
    """
    if context.invoked_subcommand is not None:
        return
    registry = _registry(url)
    (nodes,), (ids,) = registry.read("getNodes"), registry.read("getOpenChanges")
    status = registry.rpc.call("qenex_status")
    up = {each["peerId"]: each for each in status["peers"]}
    found = {
        "nodes": [_node(each, up, str(status["peerId"])) for each in nodes],
        "proposals": [_proposal(registry, each) for each in ids],
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for row in found["nodes"]:
        where = " ".join(row["addresses"]) or "no address"
        click.echo(f"{row['peerId']}  {row['role']:<9}  {row['link']:<10}  {where}")
    for each in found["proposals"]:
        click.echo(f"proposal {each['id']}: {each['change']} (power {each['approving']})")


@command.command("propose")
@click.argument("peer_id")
@click.option("--validator", metavar="ADDRESS", help="It signs for this validator; else observes.")
@click.option(
    "--address", "addresses", multiple=True, metavar="MULTIADDR", help="Where it listens."
)
@click.option("--remove", is_flag=True, help="The node may no longer connect.")
@key_options
def propose(
    *,
    peer_id: str,
    validator: str | None,
    addresses: Sequence[str],
    remove: bool,
    url: str,
    key: Path,
    password_file: Path | None,
) -> None:
    """Propose that the node PEER_ID may connect, with these facts, or no longer.

    \b
    Examples:
      qenex peers propose 12D3KooW... --address /ip4/192.0.2.7/tcp/30303 --key validator.json
      qenex peers propose 12D3KooW... --remove --key validator.json
    """
    if remove and (validator or addresses):
        raise click.UsageError("--remove needs nothing else")
    raw = peer_id_bytes(peer_id)
    for each in addresses:
        check_multiaddr(each)
    signs = Field("--validator", validator).address() if validator else ZERO_ADDRESS
    registry, signer = _registry(url), open_key(key, password_file)
    if remove:
        receipt = registry.vote(signer, "proposeRemoval", raw)
    else:
        receipt = registry.vote(signer, "proposeNode", raw, signs, list(addresses))
    _tell(registry, receipt)


@command.command("approve")
@click.argument("proposal")
@key_options
def approve(proposal: str, *, url: str, key: Path, password_file: Path | None) -> None:
    """Approve a PROPOSAL that `qenex peers` shows.

    \b
    Example:
      qenex peers approve 0x52a1...90ff --key mynode/validator.json
    """
    registry, named = _registry(url), proposal_id(proposal)
    _tell(registry, registry.vote(open_key(key, password_file), "approve", named))


def _registry(url: str) -> Registry:
    return Registry(JsonRpc(url), "NodeRegistry", NODE_REGISTRY)


def _node(node: Sequence[Any], up: Mapping[str, Any], own: str) -> dict[str, Any]:
    raw, validator, role, addresses = node
    peer = peer_id_text(raw)
    return {
        "peerId": peer,
        "role": "validator" if role else "observer",
        "validator": None if validator == _NOBODY else to_checksum_address(validator),
        "link": "this node" if peer == own else "up" if peer in up else "down",
        "addresses": list(addresses),
    }


def _proposal(registry: Registry, name: bytes) -> dict[str, Any]:
    raw, validator, addresses, is_removal, approving = registry.read("getChange", name)
    change = f"remove {peer_id_text(raw)}"
    if not is_removal:
        role = "observer" if validator == _NOBODY else f"node of {to_checksum_address(validator)}"
        change = f"admit {peer_id_text(raw)} as {role} at {' '.join(addresses) or 'no address'}"
    return {"id": "0x" + name.hex(), "change": change, "approving": approving}


def _tell(registry: Registry, receipt: Mapping[str, Any]) -> None:
    if registry.has_event(receipt, "NodeAdmitted", "NodeRemoved"):
        click.echo("the change is made: all nodes follow it now")
        return
    row = _proposal(registry, registry.proposal_in(receipt))
    click.echo(f"{row['id']}: {row['change']}")
    click.echo(f"approved by power {row['approving']} so far")
