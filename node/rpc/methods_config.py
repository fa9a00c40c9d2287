"""What the chain is and what this node can serve: eth_config, eth_capabilities, eth_coinbase.

Sources: EIP-7910; execution-apis eth_capabilities.
"""

from __future__ import annotations

from node.rpc.backend import Request
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.forkconfig import (
    Activation,
    changes_of,
    fork_id,
    own_activations,
    public_activations,
    shown,
)
from vm.chainrules import PublicRules

TABLE = MethodTable()


@TABLE.method("eth_config")
def config(request: Request) -> Json:
    """Return the present, the next and the last configuration of the chain's forks."""
    rules, view = request.rules, request.view
    heights = 0
    if isinstance(rules, PublicRules):
        activations = public_activations(rules.schedule)
        changes = changes_of(rules.schedule, rules.netsplit_height)
        heights = sum(time not in dict(rules.schedule.times) for time in changes)
    else:
        activations = own_activations(request.backend.api.params)
        changes = [each.time for each in activations[1:]]
    now = view.head.timestamp
    passed = [each for each in activations if each.time <= now]
    coming = [each for each in activations if each.time > now]

    def json(each: Activation) -> Json:
        hash_then = fork_id(view.genesis_hash, changes, each.time, heights)
        return shown(each, rules.chain_id, hash_then)

    return {
        "current": json(passed[-1]) if passed else None,
        "next": json(coming[0]) if coming else None,
        "last": json(coming[-1]) if coming else None,
    }


@TABLE.method("eth_capabilities")
def capabilities(request: Request) -> Json:
    """Return from which height on this node serves each kind of data."""
    view = request.view
    whole = {"disabled": False, "oldestBlock": "0x0"}
    state = {"disabled": False, "oldestBlock": hex(view.tail)}
    return {
        "head": {"number": hex(view.head.height), "hash": to_hex(view.head_hash)},
        "state": state,
        "tx": whole,
        "logs": whole,
        "receipts": whole,
        "blocks": whole,
        "stateproofs": state,
    }


@TABLE.method("eth_coinbase")
def coinbase(request: Request) -> str:
    """Return the fee recipient of the newest block; a node mines for nobody by itself."""
    return to_hex(request.view.head.fee_recipient)


@TABLE.method("eth_mining")
def mining(request: Request) -> bool:
    """Return false: there is no proof of work."""
    return False


@TABLE.method("eth_hashrate")
def hashrate(request: Request) -> str:
    """Return 0: there is no proof of work."""
    return "0x0"
