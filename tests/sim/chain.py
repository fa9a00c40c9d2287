"""The toy chain, the signatures and the invariants that every schedule must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consensus.certificate import Certificate, check_certificate
from consensus.messages import NO_POL, Claim, Kind, Message, Proposal, Vote, claim_of
from consensus.signing import sign_digest, verifier
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import InvalidCertificate
from primitives.types import ZERO_HASH, Address, ChainId, Hash32, Round
from primitives.validators import ValidatorSet

CHAIN_ID = ChainId(4_242)
BLOCK_IS_VALID = b"good"
BLOCK_IS_INVALID = b"evil"
DRIFT_MS = 2_000
"""A block whose time lies further ahead of a node's wall clock is not valid there, yet."""

_Place: TypeAlias = tuple[Address, Kind, int, int]
_Key: TypeAlias = tuple[Address, Kind, int, int, Hash32, Round, bytes]


class Violation(AssertionError):
    """An invariant broke: the seed that led here is a bug's address."""


@dataclass(slots=True)
class Block:
    """A toy block: valid on its parent when its body starts with BLOCK_IS_VALID.

    `validators` decides the height after this block's.
    """

    height: int
    parent: Hash32
    hash: Hash32
    body: bytes
    time_ms: int
    validators: ValidatorSet


class Blocks:
    """Every block that anybody ever built, by hash, and the genesis under ZERO_HASH."""

    def __init__(self, validators: ValidatorSet) -> None:
        genesis = Block(0, ZERO_HASH, ZERO_HASH, b"", 0, validators)
        self._blocks: dict[Hash32, Block] = {ZERO_HASH: genesis}

    def build(
        self,
        height: int,
        parent: Hash32,
        time_ms: int,
        validators: ValidatorSet,
        *,
        is_valid: bool = True,
    ) -> Block:
        """Return a new block on `parent`, not older than that."""
        number = len(self._blocks).to_bytes(28, "big")
        body = (BLOCK_IS_VALID if is_valid else BLOCK_IS_INVALID) + number
        known = self._blocks.get(parent)
        if known is not None:
            time_ms = max(time_ms, known.time_ms)
        block = Block(height, parent, Hash32(body), body, time_ms, validators)
        self._blocks[block.hash] = block
        return block

    def get(self, block_hash: Hash32) -> Block | None:
        """Return a block, None when nobody built it."""
        return self._blocks.get(block_hash)

    def at(self, block_hash: Hash32) -> Block:
        """Return a block that somebody built."""
        return self._blocks[block_hash]

    def is_valid(self, block_hash: Hash32, body: bytes, height: int, parent: Hash32) -> bool:
        """Answer as a node's execution would, whatever its clock says."""
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


class Signatures:
    """Makes and checks signatures, and remembers each honest one for ever.

    Fast ones are serial numbers in a registry: unforgeable in here, because only `signed` adds to
    it. Real ones are secp256k1.
    """

    def __init__(self, keys: dict[Address, PrivateKey] | None) -> None:
        self.traitors: set[Address] = set()
        self.keys = keys
        self._made: dict[_Key, Message] = {}
        self._by_signature: dict[bytes, Message] = {}
        self._honest: dict[_Place, _Key] = {}
        self._verify_real = verifier(CHAIN_ID)

    def signed(self, message: Message) -> Message:
        """Return `message` with its validator's signature; watches for honest double ones."""
        key = _key(message)
        made = self._made.get(key)
        if made is not None:
            return made
        if key[0] not in self.traitors and self._honest.setdefault(key[:4], key) != key:
            raise Violation(f"double sign by {key[0].hex()[:6]} at {key[1:4]}")
        if self.keys is None:
            signature = (len(self._made) + 1).to_bytes(65, "big")
        else:
            signature = self.keys[message.validator].sign(sign_digest(message, CHAIN_ID))
        made = self._made[key] = with_signature(message, signature)
        self._by_signature[signature] = made
        return made

    def verify(self, message: Message | Claim) -> bool:
        """Answer whether the named validator made the signature of `message`."""
        known = self._by_signature.get(message.signature)
        if known is message:
            return True
        if self.keys is not None:
            return self._verify_real(message)
        if known is None:
            return False
        return message == (claim_of(known) if isinstance(message, Claim) else known)


def with_signature(message: Message, signature: bytes) -> Message:
    """Return `message` with `signature` (dataclasses.replace, but quicker)."""
    if isinstance(message, Proposal):
        return Proposal(
            message.height,
            message.round,
            message.pol_round,
            message.block_hash,
            message.body,
            message.proposer,
            signature,
        )
    return Vote(
        message.kind,
        message.height,
        message.round,
        message.block_hash,
        message.validator,
        signature,
    )


def _key(message: Message) -> _Key:
    pol_round, body = NO_POL, b""
    if isinstance(message, Proposal):
        pol_round, body = message.pol_round, message.body
    return (
        message.validator,
        message.kind,
        message.height,
        message.round,
        message.block_hash,
        pol_round,
        body,
    )


class Ledger:
    """What the network has decided so far: one block per height, each with a good certificate."""

    def __init__(self, blocks: Blocks, signatures: Signatures) -> None:
        self.decided: dict[int, Hash32] = {}
        self._blocks = blocks
        self._signatures = signatures
        self._checked: set[Certificate] = set()

    def validators(self, height: int) -> ValidatorSet:
        """Return the set that decides `height`, as far as the network has decided below it."""
        return self._blocks.at(self.decided.get(height - 1, ZERO_HASH)).validators

    def check_decision(self, certificate: Certificate) -> None:
        """Raise Violation unless `certificate` is good and agrees with the network."""
        if certificate in self._checked:
            return
        try:
            check_certificate(
                certificate,
                self.validators(certificate.height),
                CHAIN_ID,
                verify=self._signatures.verify,
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
