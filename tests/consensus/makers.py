"""Makes validators, keys, messages and records for the tests of this room."""

from __future__ import annotations

from hypothesis import strategies as st

from consensus.messages import (
    ROUND_MAX,
    Evidence,
    Kind,
    Message,
    Proposal,
    Vote,
    evidence_of,
)
from consensus.signing import sign_digest
from consensus.wal import Checkpoint, Entered, Intent, Record, Valid
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import UINT64_MAX, ZERO_HASH, Address, ChainId, Hash32, Height, Power, Round
from primitives.validators import Validator, ValidatorSet

CHAIN = ChainId(1_337)
KEYS = sorted(
    (PrivateKey((number + 1).to_bytes(32, "big")) for number in range(7)),
    key=lambda key: key.address,
)
ME = KEYS[0].address
BLOCK_A = Hash32(b"A" * 32)
BLOCK_B = Hash32(b"B" * 32)
H1, R0, R1 = Height(1), Round(0), Round(1)


def validator_set(count: int, powers: tuple[int, ...] | None = None) -> ValidatorSet:
    shares = powers or (1,) * count
    return ValidatorSet.of(
        Validator(key.address, Power(power))
        for key, power in zip(KEYS[:count], shares, strict=True)
    )


def fake_set(powers: list[int]) -> ValidatorSet:
    return ValidatorSet.of(
        Validator(Address((index + 1).to_bytes(20, "big")), Power(power))
        for index, power in enumerate(powers)
    )


def signed(message: Message, key: PrivateKey, chain_id: ChainId = CHAIN) -> Message:
    signature = key.sign(sign_digest(message, chain_id))
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


def vote(index: int, kind: Kind, block_hash: Hash32, round_: int = 0, height: int = 1) -> Vote:
    key = KEYS[index]
    unsigned = Vote(kind, Height(height), Round(round_), block_hash, key.address)
    message = signed(unsigned, key)
    assert isinstance(message, Vote)
    return message


def proposal(
    index: int, block_hash: Hash32, round_: int = 0, pol_round: int = -1, height: int = 1
) -> Proposal:
    key = KEYS[index]
    unsigned = Proposal(
        Height(height), Round(round_), Round(pol_round), block_hash, b"body", key.address
    )
    message = signed(unsigned, key)
    assert isinstance(message, Proposal)
    return message


heights = st.integers(1, UINT64_MAX).map(Height)
rounds = st.integers(0, ROUND_MAX).map(Round)
hashes = st.binary(min_size=32, max_size=32).map(Hash32)
addresses = st.binary(min_size=20, max_size=20).map(Address)
signatures = st.binary(min_size=65, max_size=65)


@st.composite
def messages(draw: st.DrawFn, *, is_signed: bool = True) -> Message:
    signature = draw(signatures) if is_signed else b""
    height, round_, block_hash = draw(heights), draw(rounds), draw(hashes)
    kind = draw(st.sampled_from(Kind))
    if kind is not Kind.PROPOSAL:
        return Vote(kind, height, round_, block_hash, draw(addresses), signature)
    if block_hash == ZERO_HASH:
        block_hash = BLOCK_A
    pol_round = Round(draw(st.integers(-1, round_ - 1)))
    body = draw(st.binary(max_size=100))
    return Proposal(height, round_, pol_round, block_hash, body, draw(addresses), signature)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    kind = draw(st.sampled_from((Kind.PREVOTE, Kind.PRECOMMIT)))
    height, round_, validator = draw(heights), draw(rounds), draw(addresses)
    one, other = draw(st.lists(hashes, min_size=2, max_size=2, unique=True))
    return evidence_of(
        Vote(kind, height, round_, one, validator, draw(signatures)),
        Vote(kind, height, round_, other, validator, draw(signatures)),
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    match draw(st.integers(1, 4)):
        case 1:
            return Checkpoint(draw(heights), draw(st.integers(0, 2)))
        case 2:
            return Entered(draw(heights), draw(rounds))
        case 3:
            return Intent(draw(messages(is_signed=False)))
        case _:
            pairs = draw(st.lists(st.tuples(addresses, signatures), max_size=4))
            return Valid(
                draw(heights),
                draw(rounds),
                draw(hashes),
                draw(st.binary(max_size=50)),
                draw(st.booleans()),
                tuple(pairs),
            )
