"""admin_*: the node and its peers, in go-ethereum's shapes.

Peers are named by libp2p multiaddrs, not enodes: /ip4/HOST/tcp/PORT/p2p/PEER. What changes the
node answers only where the setting `rpc.operator` is on.
"""

from __future__ import annotations

from typing import Any

from node.rpc.arguments import Name
from node.rpc.backend import Request, operator_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex

TABLE = MethodTable()


@TABLE.method("admin_nodeInfo")
def node_info(request: Request) -> Json:
    """Return the node's peer id, addresses, ports, and the chain it follows."""
    view, node = request.view, operator_of(request).node()
    addresses: Any = node["addresses"]
    first = str(addresses[0]) if addresses else ""
    parts = first.split("/")
    port = int(parts[4]) if len(parts) > 4 and parts[4].isdigit() else 0
    host = parts[2] if len(parts) > 2 else ""
    chain = {
        "network": request.rules.chain_id,
        "genesis": to_hex(view.genesis_hash),
        "head": to_hex(view.head_hash),
        "height": view.head.height,
        "config": {"chainId": request.rules.chain_id},
        "difficulty": 0,
    }
    return {
        "id": node["peerId"],
        "name": request.backend.settings.client_version,
        "enode": first,
        "ip": host,
        "listenAddr": f"{host}:{port}",
        "addresses": list(addresses),
        "ports": {"discovery": 0, "listener": port},
        "protocols": {"eth": chain, "qenex": chain},
    }


@TABLE.method("admin_peers")
def peers(request: Request) -> list[Json]:
    """Return the connected peers."""
    return [
        {
            "id": each["peerId"],
            "name": f"qenex/{each['role']}",
            "enode": each["address"],
            "caps": ["qenex/1"],
            "network": {"remoteAddress": each["address"], "trusted": True, "static": True},
            "protocols": {"qenex": {"head": each["height"], "rttMs": each["rttMs"]}},
            "validator": each["validator"],
        }
        for each in operator_of(request).peers()
    ]


@TABLE.method("admin_addPeer", for_operator=True)
def add_peer(request: Request, address: Name) -> bool:
    """Dial a peer by its multiaddr; false when the NodeRegistry does not permit it."""
    return operator_of(request).add_peer(address)


@TABLE.method("admin_removePeer", for_operator=True)
def remove_peer(request: Request, peer: Name) -> bool:
    """Cut the link to a peer, by id or multiaddr; false when there is none.

    Both sides dial again while the NodeRegistry permits them; a vote there ends that.
    """
    return operator_of(request).remove_peer(peer)


@TABLE.method("admin_datadir", for_operator=True)
def datadir(request: Request) -> str:
    """Return the data folder."""
    return str(operator_of(request).node()["dataDir"])
