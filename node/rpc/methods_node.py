"""Methods about the node, the network and consensus: web3_, net_, rpc_, qenex_ and some of eth_."""

from __future__ import annotations

from consensus.certificate import decode_certificate
from consensus.messages import NO_POL, Claim, encode_message
from node.rpc.arguments import BlockRef, Data
from node.rpc.backend import Request, resolve
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from primitives.crypto.keccak import keccak

TABLE = MethodTable()

PROTOCOL_VERSION = "0x45"
NAMESPACES = ("eth", "net", "qenex", "rpc", "txpool", "web3")


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
    return str(request.backend.api.params.chain_id)


@TABLE.method("net_listening")
def listening(request: Request) -> bool:
    """Return true: the node takes connections from its peers."""
    return True


@TABLE.method("net_peerCount")
def peer_count(request: Request) -> str:
    """Return the number of connected peers."""
    return hex(request.backend.api.peer_count())


@TABLE.method("rpc_modules")
def modules(request: Request) -> dict[str, str]:
    """Return the namespaces that this server answers."""
    return dict.fromkeys(NAMESPACES, "1.0")


@TABLE.method("eth_chainId")
def chain_id(request: Request) -> str:
    """Return the chain id of EIP-155."""
    return hex(request.backend.api.params.chain_id)


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


@TABLE.method("qenex_status")
def status(request: Request) -> dict[str, object]:
    """Return height, round, step, peers, validators and pool of this node."""
    return request.backend.api.status()


@TABLE.method("qenex_validators")
def validators(request: Request) -> Json:
    """Return the validator set that decides the block after the head."""
    view = request.view
    return {
        "height": hex(view.head.height + 1),
        "hash": to_hex(view.validators.hash),
        "totalPower": hex(view.validators.total_power),
        "quorumPower": hex(view.validators.quorum_power),
        "validators": [
            {
                "address": to_hex(each.address),
                "power": hex(each.power),
                "pqKeyHash": to_hex(each.pq_key_hash),
            }
            for each in view.validators.validators
        ],
    }


@TABLE.method("qenex_getCertificate")
def get_certificate(request: Request, block: BlockRef) -> Json | None:
    """Return the proof that a quorum decided a block; null for the genesis and unknown blocks."""
    height = resolve(request.view, block)
    raw = None if height is None else request.view.certificate(height)
    if height is None or raw is None:
        return None
    certificate = decode_certificate(raw)
    return {
        "height": hex(certificate.height),
        "round": hex(certificate.round),
        "blockHash": to_hex(certificate.block_hash),
        "signatures": [
            {"validator": to_hex(validator), "signature": to_hex(signature)}
            for validator, signature in certificate.signatures
        ],
        "certificate": to_hex(raw),
    }


@TABLE.method("qenex_getEvidence")
def get_evidence(request: Request) -> list[Json]:
    """Return the double signatures that this node knows; `evidence` is for EvidenceVerifier."""
    return [
        {
            "validator": to_hex(each.first.validator),
            "height": hex(each.first.height),
            "round": hex(each.first.round),
            "kind": each.first.kind.name.lower(),
            "claims": [_claim(each.first), _claim(each.second)],
            "evidence": to_hex(encode_message(each)),
        }
        for each in request.backend.api.evidence()
    ]


def _claim(claim: Claim) -> Json:
    return {
        "blockHash": to_hex(claim.block_hash),
        "polRound": None if claim.pol_round == NO_POL else hex(claim.pol_round),
        "bodyHash": to_hex(claim.body_hash),
        "signature": to_hex(claim.signature),
    }
