"""Methods about the node, the network and consensus: web3_, net_ and some of eth_."""

from __future__ import annotations

from node.rpc.arguments import Data
from node.rpc.backend import Request
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from primitives.crypto.keccak import keccak

TABLE = MethodTable()

PROTOCOL_VERSION = "0x45"


@TABLE.method("web3_clientVersion")
def client_version(request: Request) -> str:
    """Return the name and version of this program."""
    return request.backend.settings.client_version


@TABLE.method("web3_sha3")
def sha3(request: Request, data: Data) -> str:
    """Return the Keccak-256 of `data`."""
    return to_hex(keccak(data))


@TABLE.method("net_version")
def net_version(request: Request) -> str:
    """Return the network id, which is the chain id, in decimal."""
    return str(request.rules.chain_id)


@TABLE.method("net_listening")
def listening(request: Request) -> bool:
    """Return true: the node takes connections from its peers."""
    return True


@TABLE.method("net_peerCount")
def peer_count(request: Request) -> str:
    """Return the number of connected peers."""
    return hex(request.backend.api.peer_count())


@TABLE.method("eth_chainId")
def chain_id(request: Request) -> str:
    """Return the chain id of EIP-155."""
    return hex(request.rules.chain_id)


@TABLE.method("eth_protocolVersion")
def protocol_version(request: Request) -> str:
    """Return the version of Ethereum's wire protocol that wallets expect here."""
    return PROTOCOL_VERSION


@TABLE.method("eth_accounts")
def accounts(request: Request) -> list[str]:
    """Return nothing: a node keeps no keys of users."""
    return []


@TABLE.method("eth_syncing")
def syncing(request: Request) -> Json | bool:
    """Return the heights of a catch-up, or false."""
    status = request.backend.api.syncing()
    if status is None:
        return False
    return {
        "startingBlock": hex(status.starting),
        "currentBlock": hex(status.current),
        "highestBlock": hex(status.highest),
    }
