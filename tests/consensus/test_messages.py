"""Messages keep their bytes: one value, one encoding, golden for ever; garbage is refused."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import (
    MESSAGE_BYTES_MAX,
    Evidence,
    Kind,
    Message,
    Proposal,
    Vote,
    claim_of,
    decode_message,
    encode_message,
    evidence_of,
)
from consensus.signing import sign_digest, verifier
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidMessage
from primitives.types import ZERO_HASH, ChainId, Height, Round
from tests.consensus.makers import (
    BLOCK_A,
    BLOCK_B,
    CHAIN,
    KEYS,
    evidences,
    messages,
    proposal,
    vote,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "consensus"


@given(messages())
def test_messages_round_trip(message: Message) -> None:
    """Decoding gives back what was encoded."""
    assert decode_message(encode_message(message)) == message


@given(messages(is_signed=False))
def test_unsigned_messages_round_trip_only_where_asked(message: Message) -> None:
    """An unsigned message decodes for the log and never from a peer."""
    raw = encode_message(message)
    assert decode_message(raw, signed=False) == message
    with pytest.raises(InvalidMessage):
        decode_message(raw)


@given(evidences())
def test_evidence_round_trips(evidence: Evidence) -> None:
    """Evidence decodes to itself, and is refused with its claims swapped."""
    assert decode_message(encode_message(evidence)) == evidence
    with pytest.raises(InvalidMessage):
        decode_message(encode_message(Evidence(evidence.second, evidence.first)))


@given(st.binary(max_size=200))
def test_garbage_is_refused(raw: bytes) -> None:
    """Arbitrary bytes raise InvalidMessage or are the one encoding of a message."""
    try:
        message = decode_message(raw)
    except InvalidMessage:
        return
    assert encode_message(message) == raw


@given(messages(), st.data())
def test_changed_bytes_are_another_message_or_refused(
    message: Message, data: st.DataObject
) -> None:
    """No two byte strings decode to one message."""
    raw = bytearray(encode_message(message))
    index = data.draw(st.integers(0, len(raw) - 1))
    raw[index] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(InvalidMessage):
        assert decode_message(bytes(raw)) != message


def test_size_is_bounded() -> None:
    """A message of the longest size decodes; one byte more is refused."""
    small = proposal(0, BLOCK_A)
    room = MESSAGE_BYTES_MAX - len(encode_message(small)) + len(small.body) - 6
    big = replace(small, body=b"x" * room)
    raw = encode_message(big)
    assert MESSAGE_BYTES_MAX - 4 <= len(raw) <= MESSAGE_BYTES_MAX
    assert decode_message(raw) == big
    with pytest.raises(InvalidMessage):
        decode_message(raw + b"\0" * (MESSAGE_BYTES_MAX + 1 - len(raw)))


@pytest.mark.parametrize(
    "bad",
    [
        Proposal(Height(1), Round(2), Round(2), BLOCK_A, b"", KEYS[0].address, b"s" * 65),
        Proposal(Height(1), Round(2), Round(-1), ZERO_HASH, b"", KEYS[0].address, b"s" * 65),
        Vote(Kind.PREVOTE, Height(0), Round(0), BLOCK_A, KEYS[0].address, b"s" * 65),
        Vote(Kind.PREVOTE, Height(1), Round(2**31), BLOCK_A, KEYS[0].address, b"s" * 65),
        Vote(Kind.PREVOTE, Height(1), Round(0), BLOCK_A, KEYS[0].address, b"s" * 64),
    ],
)
def test_impossible_values_are_refused(bad: Message) -> None:
    """A pol_round not below the round, a proposal of nil, height 0, huge rounds: refused."""
    with pytest.raises(InvalidMessage):
        decode_message(encode_message(bad))


GOLDEN_MESSAGES: dict[str, Message | Evidence] = {
    "proposal": proposal(0, BLOCK_A, round_=3, pol_round=1, height=300),
    "prevote": vote(1, Kind.PREVOTE, BLOCK_A, round_=2, height=300),
    "precommit_nil": vote(2, Kind.PRECOMMIT, ZERO_HASH),
    "evidence": evidence_of(
        vote(3, Kind.PRECOMMIT, BLOCK_B, height=9), vote(3, Kind.PRECOMMIT, BLOCK_A, height=9)
    ),
}


@pytest.mark.parametrize("name", GOLDEN_MESSAGES)
def test_wire_bytes_are_pinned(name: str) -> None:
    """Signatures included, the bytes on the wire are those of the first release."""
    golden = bytes.fromhex((GOLDEN / f"{name}.hex").read_text())
    assert encode_message(GOLDEN_MESSAGES[name]) == golden
    assert decode_message(golden) == GOLDEN_MESSAGES[name]


def test_vote_digest_is_abi_encode_of_five_words() -> None:
    """A vote's digest is what Solidity computes with abi.encode."""
    words = (
        keccak(b"QENEX/consensus/precommit/1").hex()
        + f"{1337:064x}{7:064x}{2:064x}"
        + BLOCK_A.hex()
    )
    message = Vote(Kind.PRECOMMIT, Height(7), Round(2), BLOCK_A, KEYS[0].address)
    assert sign_digest(message, CHAIN) == keccak(bytes.fromhex(words))


def test_proposal_digest_binds_pol_round_and_body() -> None:
    """A proposal's digest has two words more: int32 polRound and keccak(body)."""
    message = proposal(0, BLOCK_A, round_=2)
    words = (
        keccak(b"QENEX/consensus/proposal/1").hex()
        + f"{1337:064x}{1:064x}{2:064x}"
        + BLOCK_A.hex()
        + "ff" * 32
        + keccak(b"body").hex()
    )
    assert sign_digest(message, CHAIN) == keccak(bytes.fromhex(words))


def test_each_field_changes_the_digest() -> None:
    """Kind, chain, height, round, block, pol_round and body are all bound."""
    base = vote(0, Kind.PREVOTE, BLOCK_A)
    others: list[Message] = [
        vote(0, Kind.PRECOMMIT, BLOCK_A),
        vote(0, Kind.PREVOTE, BLOCK_B),
        vote(0, Kind.PREVOTE, BLOCK_A, round_=1),
        vote(0, Kind.PREVOTE, BLOCK_A, height=2),
        proposal(0, BLOCK_A),
        proposal(0, BLOCK_A, round_=1),
        proposal(0, BLOCK_A, round_=1, pol_round=0),
    ]
    digests = {sign_digest(each, CHAIN) for each in [base, *others]}
    digests.add(sign_digest(base, ChainId(1)))
    assert len(digests) == len(others) + 2


def test_a_claim_signs_like_its_message() -> None:
    """The claim in evidence verifies with the signature of the whole message."""
    verify = verifier(CHAIN)
    messages_: tuple[Message, ...] = (
        vote(0, Kind.PREVOTE, BLOCK_A),
        proposal(1, BLOCK_B, round_=1, pol_round=0),
    )
    for message in messages_:
        assert sign_digest(claim_of(message), CHAIN) == sign_digest(message, CHAIN)
        assert verify(message)
        assert verify(claim_of(message))
    assert not verifier(ChainId(1))(vote(0, Kind.PREVOTE, BLOCK_A))
