"""What validators say to each other, and the bytes they say it in.

A message is `type byte ‖ rlp(list)`; every list has a fixed length and canonical items:

    1 proposal   [height, round, pol_round + 1, block_hash, body, proposer, signature]
    2 prevote    [height, round, block_hash, validator, signature]
    3 precommit  [height, round, block_hash, validator, signature]
    4 evidence   [claim, claim]   claim = [kind, height, round, block_hash, pol_round + 1,
                                           body_hash, validator, signature]

Heights are 1..2^64-1, rounds 0..2^31-1. A vote for nil carries ZERO_HASH, so a proposal may not.
`pol_round` is the round of the prevote quorum that justifies a re-proposal (the paper's vr), -1
when there is none, and below `round`. `body` is opaque here: the runtime puts what peers need to
obtain the block into it. `consensus/signing.py` says what a signature covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from primitives.codec import Item, as_bytes, as_list, as_uint, decode_list, encode, uint
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidMessage
from primitives.types import (
    ADDRESS_BYTES,
    HASH_BYTES,
    ZERO_HASH,
    Address,
    Hash32,
    Height,
    Round,
)

MESSAGE_BYTES_MAX: Final = 1_048_576
"""Longest encoded message; a body of 10,000 transaction hashes needs a third of it."""
ROUND_MAX: Final = 2**31 - 1
SIGNATURE_BYTES: Final = 65
NO_POL: Final = Round(-1)
"""The `pol_round` of a proposal that re-proposes nothing."""
EVIDENCE_TYPE: Final = 4


class Kind(IntEnum):
    """What a validator signs in a round, in the order in which it does; also the type byte."""

    PROPOSAL = 1
    PREVOTE = 2
    PRECOMMIT = 3


@dataclass(frozen=True, slots=True)
class Vote:
    """A prevote or precommit for `block_hash`, or for nil when that is ZERO_HASH.

    `signature` is empty only inside this node, before the signer has seen it.
    """

    kind: Kind
    height: Height
    round: Round
    block_hash: Hash32
    validator: Address
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The block that the proposer of (height, round) puts to the vote.

    `signature` is empty only inside this node, before the signer has seen it.
    """

    height: Height
    round: Round
    pol_round: Round
    block_hash: Hash32
    body: bytes
    proposer: Address
    signature: bytes = b""

    @property
    def kind(self) -> Kind:
        """Always PROPOSAL, so that proposals and votes can be handled alike."""
        return Kind.PROPOSAL

    @property
    def validator(self) -> Address:
        """The proposer, under the name that votes use."""
        return self.proposer


Message: TypeAlias = Proposal | Vote


@dataclass(frozen=True, slots=True)
class Claim:
    """A message reduced to what its signature covers: proposals without their body.

    For votes `pol_round` is NO_POL and `body_hash` ZERO_HASH.
    """

    kind: Kind
    height: Height
    round: Round
    block_hash: Hash32
    pol_round: Round
    body_hash: Hash32
    validator: Address
    signature: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two different claims that one validator signed for one (height, round, kind).

    `first` sorts before `second` by (block_hash, pol_round, body_hash), so that one pair of
    claims has one encoding. Both claims are self-contained: anyone who knows the chain id can
    check the two signatures, a contract included.
    """

    first: Claim
    second: Claim


def claim_of(message: Message) -> Claim:
    """Return what the signature of `message` covers, with the signature."""
    if isinstance(message, Proposal):
        pol_round, body_hash = message.pol_round, keccak(message.body)
    else:
        pol_round, body_hash = NO_POL, ZERO_HASH
    return Claim(
        message.kind,
        message.height,
        message.round,
        message.block_hash,
        pol_round,
        body_hash,
        message.validator,
        message.signature,
    )


def statement(claim: Claim) -> tuple[Hash32, Round, Hash32]:
    """Return what may not differ between two claims for one (height, round, kind)."""
    return claim.block_hash, claim.pol_round, claim.body_hash


def says_the_same(one: Message, other: Message) -> bool:
    """Answer whether two messages of one validator, height, round and kind are one statement."""
    if isinstance(one, Proposal) and isinstance(other, Proposal):
        return (
            one.block_hash == other.block_hash
            and one.pol_round == other.pol_round
            and one.body == other.body
        )
    return one.block_hash == other.block_hash


def evidence_of(one: Message, other: Message) -> Evidence:
    """Return the evidence made of two messages that differ, in canonical order."""
    first, second = sorted((claim_of(one), claim_of(other)), key=statement)
    return Evidence(first, second)


def encode_message(message: Message | Evidence) -> bytes:
    """Return the type byte and RLP of a message; unsigned ones have an empty signature."""
    if isinstance(message, Evidence):
        rows: list[Item] = [_claim_items(message.first), _claim_items(message.second)]
        return bytes([EVIDENCE_TYPE]) + encode(rows)
    items: list[Item] = [uint(message.height), uint(message.round)]
    if isinstance(message, Proposal):
        items += [uint(message.pol_round + 1), message.block_hash, message.body]
    else:
        items.append(message.block_hash)
    items += [message.validator, message.signature]
    return bytes([message.kind]) + encode(items)


def decode_message(raw: bytes, *, signed: bool = True) -> Message | Evidence:
    """Return the message that `raw` encodes; raises InvalidMessage.

    With `signed` false the signature must be empty instead of 65 bytes: the form in which
    intentions stand in the write-ahead log.
    """
    if not 2 <= len(raw) <= MESSAGE_BYTES_MAX:
        raise InvalidMessage(f"a consensus message has 2 to {MESSAGE_BYTES_MAX} bytes")
    signature_bytes = SIGNATURE_BYTES if signed else 0
    match raw[0]:
        case Kind.PROPOSAL:
            return _decode_proposal(raw[1:], signature_bytes)
        case Kind.PREVOTE | Kind.PRECOMMIT:
            return _decode_vote(Kind(raw[0]), raw[1:], signature_bytes)
        case _ if raw[0] == EVIDENCE_TYPE and signed:
            return _decode_evidence(raw[1:])
        case _:
            raise InvalidMessage(f"unknown consensus message type {raw[0]}")


def as_height(item: Item) -> Height:
    """Return `item` as a height, at least 1; raises InvalidMessage."""
    height = as_uint(item, 64)
    if height < 1:
        raise InvalidMessage("nobody votes on height 0")
    return Height(height)


def as_round(item: Item) -> Round:
    """Return `item` as a round up to ROUND_MAX; raises InvalidMessage."""
    number = as_uint(item, 32)
    if number > ROUND_MAX:
        raise InvalidMessage(f"round exceeds {ROUND_MAX}")
    return Round(number)


def as_hash(item: Item) -> Hash32:
    """Return `item` as 32 bytes; raises InvalidMessage."""
    return Hash32(as_bytes(item, HASH_BYTES))


def as_address(item: Item) -> Address:
    """Return `item` as 20 bytes; raises InvalidMessage."""
    return Address(as_bytes(item, ADDRESS_BYTES))


def _decode_proposal(raw: bytes, signature_bytes: int) -> Proposal:
    height, round_, pol_round, block_hash, body, proposer, signature = decode_list(raw, 7)
    proposal = Proposal(
        as_height(height),
        as_round(round_),
        _as_pol_round(pol_round),
        as_hash(block_hash),
        as_bytes(body),
        as_address(proposer),
        as_bytes(signature, signature_bytes),
    )
    if proposal.pol_round >= proposal.round:
        raise InvalidMessage("a proposal's pol_round lies before its round")
    if proposal.block_hash == ZERO_HASH:
        raise InvalidMessage("nil cannot be proposed")
    return proposal


def _decode_vote(kind: Kind, raw: bytes, signature_bytes: int) -> Vote:
    height, round_, block_hash, validator, signature = decode_list(raw, 5)
    return Vote(
        kind,
        as_height(height),
        as_round(round_),
        as_hash(block_hash),
        as_address(validator),
        as_bytes(signature, signature_bytes),
    )


def _decode_evidence(raw: bytes) -> Evidence:
    first, second = (_decode_claim(item) for item in decode_list(raw, 2))
    same = (first.kind, first.height, first.round, first.validator) == (
        second.kind,
        second.height,
        second.round,
        second.validator,
    )
    if not same or statement(first) >= statement(second):
        raise InvalidMessage("evidence needs two ordered, conflicting claims of one validator")
    return Evidence(first, second)


def _decode_claim(item: Item) -> Claim:
    kind, height, round_, block_hash, pol_round, body_hash, validator, signature = as_list(item, 8)
    number = as_uint(kind, 8)
    if number not in (Kind.PROPOSAL, Kind.PREVOTE, Kind.PRECOMMIT):
        raise InvalidMessage(f"unknown kind {number} in evidence")
    claim = Claim(
        Kind(number),
        as_height(height),
        as_round(round_),
        as_hash(block_hash),
        _as_pol_round(pol_round),
        as_hash(body_hash),
        as_address(validator),
        as_bytes(signature, SIGNATURE_BYTES),
    )
    is_vote = claim.kind is not Kind.PROPOSAL
    if is_vote and (claim.pol_round != NO_POL or claim.body_hash != ZERO_HASH):
        raise InvalidMessage("a vote has neither pol_round nor body")
    return claim


def _as_pol_round(item: Item) -> Round:
    number = as_uint(item, 32) - 1
    if number > ROUND_MAX:
        raise InvalidMessage(f"pol_round exceeds {ROUND_MAX}")
    return Round(number)


def _claim_items(claim: Claim) -> list[Item]:
    return [
        uint(claim.kind),
        uint(claim.height),
        uint(claim.round),
        claim.block_hash,
        uint(claim.pol_round + 1),
        claim.body_hash,
        claim.validator,
        claim.signature,
    ]
