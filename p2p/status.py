"""The status message: who a peer is and which chain it is on, said before all else.

Body: RLP [version, chain id, genesis hash, height, head hash, role, validator, proof]; `validator`
and `proof` are empty when the peer signs nothing. The proof is a secp256k1 signature (r|s|v, low
s) by the validator's key over

    keccak(keccak("QENEX status") | uint256 chain id | keccak(peer id) | handshake hash)

with the peer id of the side that sends the status. The handshake hash is known to the two ends of
one connection only, so a proof can neither be replayed elsewhere nor passed on by a third party.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from primitives.codec import as_bytes, as_uint, decode_list, encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import recover
from primitives.errors import BadSignature, InvalidMessage, Rejected, ensure
from primitives.types import ADDRESS_BYTES, HASH_BYTES, Address, ChainId, Hash32, Height

PROTOCOL_VERSION: Final = 1
STATUS_BYTES_MAX: Final = 2_000
SIGNATURE_BYTES: Final = 65
STATUS_DOMAIN: Final = keccak(b"QENEX status")


class Role(IntEnum):
    """What a node does in the network."""

    OBSERVER = 0
    VALIDATOR = 1


@dataclass(frozen=True, slots=True)
class Status:
    """One side's view; `proof` is empty until the network adds it for a connection."""

    chain_id: ChainId
    genesis_hash: Hash32
    height: Height
    head_hash: Hash32
    role: Role = Role.OBSERVER
    validator: Address | None = None
    proof: bytes = b""
    version: int = PROTOCOL_VERSION


class StatusRefused(Rejected):
    """The peer is honest as far as we know, but not on our network."""


class WrongProof(InvalidMessage):
    """The peer claims a validator that it cannot sign for."""


def encode_status(status: Status) -> bytes:
    """Return the body of a status message."""
    return encode(
        [
            uint(status.version),
            uint(status.chain_id),
            status.genesis_hash,
            uint(status.height),
            status.head_hash,
            uint(status.role),
            status.validator or b"",
            status.proof,
        ]
    )


def decode_status(body: bytes) -> Status:
    """Return the status that `body` encodes; raises InvalidMessage."""
    version, chain_id, genesis, height, head, role, validator, proof = decode_list(body, 8)
    number = as_uint(role, 8)
    if number not in set(Role):
        raise InvalidMessage(f"unknown role {number}")
    claimed = None if validator == b"" else Address(as_bytes(validator, ADDRESS_BYTES))
    return Status(
        version=as_uint(version, 32),
        chain_id=ChainId(as_uint(chain_id, 64)),
        genesis_hash=Hash32(as_bytes(genesis, HASH_BYTES)),
        height=Height(as_uint(height, 64)),
        head_hash=Hash32(as_bytes(head, HASH_BYTES)),
        role=Role(number),
        validator=claimed,
        proof=as_bytes(proof, 0 if claimed is None else SIGNATURE_BYTES),
    )


def proof_digest(chain_id: ChainId, peer_id: str, handshake_hash: bytes) -> Hash32:
    """Return what a validator signs to bind its key to `peer_id` on one connection."""
    ensure(len(handshake_hash) == HASH_BYTES, "handshake hash is not 32 bytes")
    chain = chain_id.to_bytes(32, "big")
    return keccak(STATUS_DOMAIN + chain + keccak(peer_id.encode()) + handshake_hash)


def with_proof(status: Status, signature: bytes | None) -> Status:
    """Return `status` with its proof, or as an observer's when nothing was signed."""
    if status.validator is None or signature is None:
        return replace(status, role=Role.OBSERVER, validator=None, proof=b"")
    ensure(len(signature) == SIGNATURE_BYTES, "status proof is not 65 bytes")
    return replace(status, proof=signature)


def check_status(own: Status, theirs: Status, peer_id: str, handshake_hash: bytes) -> None:
    """Check a peer's status against ours.

    Raises StatusRefused when the peer is on another protocol version, chain or genesis (the
    message says which), WrongProof when its validator claim does not hold.
    """
    if theirs.version != own.version:
        raise StatusRefused(f"protocol version {theirs.version}, ours is {own.version}")
    if theirs.chain_id != own.chain_id:
        raise StatusRefused(f"chain id {theirs.chain_id}, ours is {own.chain_id}")
    if theirs.genesis_hash != own.genesis_hash:
        raise StatusRefused(
            f"genesis 0x{theirs.genesis_hash.hex()}, ours is 0x{own.genesis_hash.hex()}"
        )
    if theirs.validator is None:
        return
    try:
        signer = recover(proof_digest(own.chain_id, peer_id, handshake_hash), theirs.proof)
    except BadSignature as error:
        raise WrongProof(f"status proof: {error.message}") from None
    if signer != theirs.validator:
        raise WrongProof("status proof is by another key", validator=theirs.validator.hex())
