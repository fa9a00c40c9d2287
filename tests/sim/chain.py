"""The toy chain, the signatures and the invariants that every schedule must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consensus.certificate import Certificate, check_certificate
from consensus.messages import Claim, Kind, Message, Proposal
from consensus.signing import sign_digest, verifier
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import InvalidCertificate
from primitives.types import ZERO_HASH, Address, ChainId, Hash32
from primitives.validators import ValidatorSet

CHAIN_ID = ChainId(4_242)
BLOCK_IS_VALID = b"good"
BLOCK_IS_INVALID = b"evil"

_Key: TypeAlias = tuple[Address, Kind, int, int, Hash32, int, bytes]


class Violation(AssertionError):
    """An invariant broke: the seed that led here is a bug's address."""


@dataclass(frozen=True, slots=True)
class Block:
    """A toy block: valid on its parent when its body starts with BLOCK_IS_VALID."""

    height: int
    parent: Hash32
    hash: Hash32
    body: bytes


class Blocks:
    """Every block that anybody ever built, by hash."""

    def __init__(self) -> None:
        self._blocks: dict[Hash32, Block] = {}

    def build(self, height: int, parent: Hash32, *, is_valid: bool = True) -> Block:
        """Return a new block on `parent`."""
        number = (len(self._blocks) + 1).to_bytes(28, "big")
        body = (BLOCK_IS_VALID if is_valid else BLOCK_IS_INVALID) + number
        block = Block(height, parent, Hash32(body), body)
        self._blocks[block.hash] = block
        return block

    def is_valid(self, block_hash: Hash32, body: bytes, height: int, parent: Hash32) -> bool:
        """Answer as a node's execution would."""
        block = self._blocks.get(block_hash)
        return (
            block is not None
            and block.body == body
            and block.height == height
            and block.parent == parent
            and body.startswith(BLOCK_IS_VALID)
        )

    def is_evil(self, block_hash: Hash32) -> bool:
        """Answer whether no honest node may ever commit this block."""
        block = self._blocks.get(block_hash)
        return block is None or not block.body.startswith(BLOCK_IS_VALID)

    def parent(self, block_hash: Hash32) -> Hash32:
        """Return the parent of a block, zero when there is no such block."""
        block = self._blocks.get(block_hash)
        return ZERO_HASH if block is None else block.parent


class Signatures:
    """Makes and checks signatures, and remembers each honest one for ever.

    Fast ones are serial numbers in a registry: unforgeable in here, because only `sign` adds to
    it. Real ones are secp256k1.
    """

    def __init__(self, addresses: list[Address], keys: dict[Address, PrivateKey] | None) -> None:
        self.traitors: set[Address] = set()
        self.keys = keys
        self._addresses = addresses
        self._made: dict[_Key, bytes] = {}
        self._by_signature: dict[bytes, _Key] = {}
        self._honest: dict[tuple[Address, Kind, int, int], _Key] = {}
        self._verify_real = verifier(CHAIN_ID)

    def sign(self, message: Message) -> bytes:
        """Return the signature of the validator that `message` names; watches for doubles."""
        key = _key(message)
        if key[0] not in self.traitors:
            place = key[:4]
            if self._honest.setdefault(place, key) != key:
                raise Violation(f"double sign by {key[0].hex()[:6]} at {place[1:]}")
        if self.keys is not None:
            return self.keys[message.validator].sign(sign_digest(message, CHAIN_ID))
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = (len(self._made) + 1).to_bytes(65, "big")
            self._by_signature[made] = key
        return made

    def verify(self, message: Message | Claim) -> bool:
        """Answer whether the named validator made the signature of `message`."""
        if self.keys is not None:
            return self._verify_real(message)
        key = self._by_signature.get(message.signature)
        if key is None:
            return False
        if isinstance(message, Claim):
            body_hash = keccak(key[6]) if key[1] is Kind.PROPOSAL else ZERO_HASH
            return key[:6] == _key_of_claim(message) and body_hash == message.body_hash
        return key == _key(message)


def _key(message: Message) -> _Key:
    if isinstance(message, Proposal):
        return (
            message.proposer,
            Kind.PROPOSAL,
            message.height,
            message.round,
            message.block_hash,
            message.pol_round,
            message.body,
        )
    return (
        message.validator,
        message.kind,
        message.height,
        message.round,
        message.block_hash,
        -1,
        b"",
    )


def _key_of_claim(claim: Claim) -> tuple[Address, Kind, int, int, Hash32, int]:
    return (
        claim.validator,
        claim.kind,
        claim.height,
        claim.round,
        claim.block_hash,
        claim.pol_round,
    )


class Ledger:
    """What the network has decided so far: one block per height, each with a good certificate."""

    def __init__(self, validators: ValidatorSet, signatures: Signatures) -> None:
        self.validators = validators
        self.decided: dict[int, Hash32] = {}
        self._signatures = signatures
        self._checked: set[Certificate] = set()

    def check_decision(self, certificate: Certificate) -> None:
        """Raise Violation unless `certificate` is good and agrees with the network."""
        if certificate in self._checked:
            return
        try:
            check_certificate(
                certificate, self.validators, CHAIN_ID, verify=self._signatures.verify
            )
        except InvalidCertificate as error:
            raise Violation(f"a decision without proof: {error}") from error
        self.check_commit(certificate.height, certificate.block_hash)
        self._checked.add(certificate)

    def check_commit(self, height: int, block_hash: Hash32) -> None:
        """Raise Violation when another block stands at `height`."""
        known = self.decided.setdefault(height, block_hash)
        if known != block_hash:
            raise Violation(
                f"fork at height {height}: {known.hex()[-6:]} and {block_hash.hex()[-6:]}"
            )
