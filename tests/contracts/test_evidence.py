"""EvidenceVerifier on the real engine: it believes what the nodes believe, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.evidence import is_evidence
from consensus.messages import (
    NO_POL,
    ROUND_MAX,
    Claim,
    Evidence,
    Kind,
    decode_message,
    encode_message,
)
from consensus.signing import sign_digest, verifier
from genesis.predeploys import evidence_account
from primitives.crypto.secp256k1 import ORDER, PrivateKey
from primitives.errors import InvalidMessage
from primitives.params import EVIDENCE_VERIFIER
from primitives.types import UINT64_MAX, ZERO_ADDRESS, ZERO_HASH, ChainId, Hash32, Height, Round
from primitives.validators import Validator, ValidatorSet
from tests.contracts.chain import Chain, Deployed, Reverted, hex_address

CHAIN = ChainId(1)
KEY, OTHER = PrivateKey(b"\x11" * 32), PrivateKey(b"\x22" * 32)
SENDER = OTHER.address
MEMBERS = ValidatorSet.of([Validator(KEY.address), Validator(OTHER.address)])
A, B = Hash32(b"\x0a" * 32), Hash32(b"\x0b" * 32)
VERIFIER = Deployed(
    Chain({EVIDENCE_VERIFIER: evidence_account()}), "EvidenceVerifier", EVIDENCE_VERIFIER
)


def fresh() -> Deployed:
    chain = Chain({EVIDENCE_VERIFIER: evidence_account()})
    return Deployed(chain, "EvidenceVerifier", EVIDENCE_VERIFIER)


def claim(
    kind: Kind = Kind.PREVOTE,
    block_hash: Hash32 = A,
    *,
    height: int = 7,
    round_: int = 2,
    pol_round: int = -1,
    body_hash: Hash32 = ZERO_HASH,
) -> Claim:
    """A claim of KEY, signed for this chain."""
    return sign(
        Claim(
            kind,
            Height(height),
            Round(round_),
            block_hash,
            Round(pol_round),
            body_hash,
            KEY.address,
            b"",
        )
    )


def sign(each: Claim, key: PrivateKey = KEY, chain_id: ChainId = CHAIN) -> Claim:
    return replace(each, signature=key.sign(sign_digest(each, chain_id)))


def found(first: Claim, second: Claim) -> tuple[object, ...]:
    answer: tuple[object, ...] = VERIFIER.read("check", encode_message(Evidence(first, second)))
    return answer


def refusal(raw: bytes) -> str:
    with pytest.raises(Reverted) as caught:
        VERIFIER.read("check", raw)
    return caught.value.error


def is_accepted(raw: bytes) -> bool:
    try:
        VERIFIER.read("check", raw)
    except Reverted:
        return False
    return True


def is_believed(raw: bytes) -> bool:
    """What a node says of the same bytes."""
    try:
        message = decode_message(raw)
    except InvalidMessage:
        return False
    return isinstance(message, Evidence) and is_evidence(message, MEMBERS, verifier(CHAIN))


PAIRS = [
    (claim(Kind.PREVOTE, A), claim(Kind.PREVOTE, B)),
    (claim(Kind.PREVOTE, ZERO_HASH), claim(Kind.PREVOTE, B)),
    (claim(Kind.PRECOMMIT, A, round_=0), claim(Kind.PRECOMMIT, B, round_=0)),
    (
        claim(Kind.PRECOMMIT, A, height=UINT64_MAX, round_=ROUND_MAX),
        claim(Kind.PRECOMMIT, B, height=UINT64_MAX, round_=ROUND_MAX),
    ),
    (claim(Kind.PROPOSAL, A), claim(Kind.PROPOSAL, B)),
    (claim(Kind.PROPOSAL, A, pol_round=-1), claim(Kind.PROPOSAL, A, pol_round=0)),
    (claim(Kind.PROPOSAL, A, pol_round=0), claim(Kind.PROPOSAL, A, pol_round=1)),
    (
        claim(Kind.PROPOSAL, A, round_=ROUND_MAX, pol_round=0),
        claim(Kind.PROPOSAL, A, round_=ROUND_MAX, pol_round=ROUND_MAX),
    ),
    (claim(Kind.PROPOSAL, A, body_hash=A), claim(Kind.PROPOSAL, A, body_hash=B)),
    (claim(height=127), claim(Kind.PREVOTE, B, height=127)),
    (claim(height=128), claim(Kind.PREVOTE, B, height=128)),
    (claim(height=65_536, round_=300), claim(Kind.PREVOTE, B, height=65_536, round_=300)),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_contradictions_are_accepted(pair: tuple[Claim, Claim]) -> None:
    """Every kind, every way to contradict oneself, the bounds of every number.

    Kills: polRound as an unsigned word; proposals and votes with one layout; domains exchanged.
    """
    first, second = pair
    assert is_believed(encode_message(Evidence(first, second)))
    place = (hex_address(KEY.address), first.height, first.round, int(first.kind))
    assert found(first, second) == place


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        (claim(), claim(), "NoConflict"),
        (claim(Kind.PREVOTE, B), claim(Kind.PREVOTE, A), "NoConflict"),
        (claim(Kind.PROPOSAL, A, pol_round=1), claim(Kind.PROPOSAL, A, pol_round=0), "NoConflict"),
        (claim(Kind.PROPOSAL, A, pol_round=0), claim(Kind.PROPOSAL, A), "NoConflict"),
        (claim(Kind.PROPOSAL, A, body_hash=B), claim(Kind.PROPOSAL, A, body_hash=A), "NoConflict"),
        (claim(), claim(Kind.PREVOTE, B, height=8), "DifferentPlaces"),
        (claim(), claim(Kind.PREVOTE, B, round_=3), "DifferentPlaces"),
        (claim(), claim(Kind.PRECOMMIT, B), "DifferentPlaces"),
        (
            claim(),
            sign(replace(claim(Kind.PREVOTE, B), validator=OTHER.address), OTHER),
            "DifferentPlaces",
        ),
        (claim(), sign(claim(Kind.PREVOTE, B), OTHER), "BadSignature"),
        (sign(claim(), OTHER), claim(Kind.PREVOTE, B), "BadSignature"),
        (claim(), sign(claim(Kind.PREVOTE, B), KEY, ChainId(2)), "BadSignature"),
        (sign(claim(), KEY, ChainId(2)), claim(Kind.PREVOTE, B), "BadSignature"),
    ],
)
def test_everything_else_is_refused(first: Claim, second: Claim, error: str) -> None:
    """The same thing twice, the wrong order, two places, another's key, another chain."""
    raw = encode_message(Evidence(first, second))
    assert not is_believed(raw)
    assert refusal(raw) == error


def test_votes_carry_nothing_of_proposals() -> None:
    """A vote with a pol_round or a body hash is no message, though its signature ignores both.

    Kills: counting fields as a contradiction that no signature covers.
    """
    plain = claim()
    for second in (replace(plain, pol_round=Round(1)), replace(plain, body_hash=B)):
        raw = encode_message(Evidence(plain, second))
        assert not is_believed(raw)
        assert refusal(raw) == "Malformed"


def test_signatures_have_one_form() -> None:
    """High s, v of 27 and 28, and r or s of zero are refused, though ecrecover takes some."""
    first, second = PAIRS[0]
    r, s, v = second.signature[:32], second.signature[32:64], second.signature[64]
    high = (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    for signature in (
        r + high + bytes([1 - v]),
        r + s + bytes([v + 27]),
        r + s + bytes([v + 2]),
        r + s + b"\xff",
        bytes(32) + s + bytes([v]),
        r + bytes(32) + bytes([v]),
        bytes(65),
    ):
        raw = encode_message(Evidence(first, replace(second, signature=signature)))
        assert not is_believed(raw)
        assert refusal(raw) == "BadSignature"


def test_the_zero_address_proves_nothing() -> None:
    """A claim by nobody with a signature that recovers to nobody is refused."""
    first, second = (
        replace(each, validator=ZERO_ADDRESS, signature=bytes(65)) for each in PAIRS[0]
    )
    assert refusal(encode_message(Evidence(first, second))) == "BadSignature"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", 0),
        ("kind", 4),
        ("kind", 255),
        ("height", 0),
        ("height", UINT64_MAX + 1),
        ("round", ROUND_MAX + 1),
        ("pol_round", ROUND_MAX + 1),
        ("block_hash", b"\x0a" * 31),
        ("block_hash", b"\x0a" * 33),
        ("validator", KEY.address[:19]),
        ("validator", KEY.address + b"\0"),
        ("signature", b"\x01" * 64),
        ("signature", b"\x01" * 66),
    ],
)
def test_fields_out_of_bounds(field: str, value: object) -> None:
    """Numbers out of range and strings of a wrong length are malformed, in either claim."""
    base = claim(Kind.PROPOSAL, A), claim(Kind.PROPOSAL, B)
    for index in (0, 1):
        pair = list(base)
        pair[index] = replace(pair[index], **{field: value})  # type: ignore[arg-type]
        raw = encode_message(Evidence(pair[0], pair[1]))
        assert not is_believed(raw)
        assert refusal(raw) == "Malformed"


def test_lengths_are_exact() -> None:
    """Every truncation, and bytes behind the end or between the parts, are malformed."""
    raw = encode_message(Evidence(*PAIRS[4]))
    for length in range(len(raw)):
        assert refusal(raw[:length]) == "Malformed"
    longer = (int.from_bytes(raw[2:4], "big") + 1).to_bytes(2, "big")
    shorter, more = bytes([raw[5] - 1]), bytes([raw[5] + 1])
    claim_lengths = [raw[:5] + other + raw[6:] for other in (shorter, more)]
    for wrong in (
        *claim_lengths,
        raw + b"\0",
        raw[:2] + longer + raw[4:] + b"\x80",
        b"\x03" + raw[1:],
        raw * 2,
    ):
        assert not is_believed(wrong)
        assert refusal(wrong) == "Malformed"


@pytest.mark.slow
def test_every_changed_byte_agrees_with_the_nodes() -> None:
    """One byte changed, anywhere: contract and node give the same answer: no.

    Kills: a check of the RLP left out; a field that is not covered by the signature.
    """
    for pair in (PAIRS[0], PAIRS[6]):
        raw = encode_message(Evidence(*pair))
        assert is_accepted(raw)
        for place in range(len(raw)):
            change = (0x01, 0x80, 0xFF)[place % 3]
            wrong = raw[:place] + bytes([raw[place] ^ change]) + raw[place + 1 :]
            assert is_accepted(wrong) is is_believed(wrong) is False, (place, change)


def uint_bytes(value: int, padding: int) -> bytes:
    return bytes(padding) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def rlp(items: Sequence[bytes]) -> bytes:
    """RLP without any canonical rule but the shape of lengths."""
    parts = b"".join(
        each if len(each) == 1 and each[0] < 0x80 else _prefix(0x80, len(each)) + each
        for each in items
    )
    return _prefix(0xC0, len(parts)) + parts


def _prefix(base: int, length: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = (length.bit_length() + 7) // 8
    return bytes([base + 55 + size]) + length.to_bytes(size, "big")


SMALL, GREAT = PAIRS[0], (claim(height=300), claim(Kind.PREVOTE, B, height=300))


@pytest.mark.parametrize(
    ("pair", "height"),
    [
        (SMALL, b"\x07"),
        (SMALL, b"\x81\x07"),
        (SMALL, b"\x82\x00\x07"),
        (SMALL, b"\x88" + bytes(7) + b"\x07"),
        (GREAT, b"\x82\x01\x2c"),
        (GREAT, b"\x83\x00\x01\x2c"),
        (GREAT, b"\x88" + bytes(6) + b"\x01\x2c"),
    ],
)
def test_a_number_has_one_spelling(pair: tuple[Claim, Claim], height: bytes) -> None:
    """Well-signed claims whose height has zeros in front, or a prefix too many, are malformed.

    Kills: canonical integers not demanded (one piece of evidence would have many hashes).
    """
    claims = []
    for each in pair:
        items = [
            bytes([each.kind]),
            height,
            bytes([each.round]),
            b"\xa0" + each.block_hash,
            b"\x80",
            b"\xa0" + each.body_hash,
            b"\x94" + each.validator,
            b"\xb8\x41" + each.signature,
        ]
        body = b"".join(items)
        claims.append(_prefix(0xC0, len(body)) + body)
    raw = b"\x04" + _prefix(0xC0, len(b"".join(claims))) + b"".join(claims)
    if raw == encode_message(Evidence(*pair)):
        assert len(height) <= 3
        assert is_accepted(raw)
    else:
        assert not is_believed(raw)
        assert refusal(raw) == "Malformed"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_shape_agrees_with_the_nodes(data: st.DataObject) -> None:
    """Claims with zeros before numbers, odd lengths, missing or more items: both say the same."""
    claims = []
    for number in range(2):
        items: list[bytes] = [
            uint_bytes(data.draw(st.sampled_from([2, 3])), data.draw(st.integers(0, 1))),
            uint_bytes(data.draw(st.sampled_from([1, 127, 128, 2**64 - 1])), 0),
            uint_bytes(data.draw(st.sampled_from([0, 1, 200])), data.draw(st.integers(0, 1))),
            bytes([number + 1]) * 32,
            data.draw(st.sampled_from([b"", b"\0", b"\x01"])),
            bytes(32),
            KEY.address,
            bytes(64) + bytes([number]),
        ]
        if data.draw(st.integers(0, 5)) == 0:
            items.append(b"")
        claims.append(rlp(items))
    raw = b"\x04" + _prefix(0xC0, len(b"".join(claims))) + b"".join(claims)
    assert is_accepted(raw) is is_believed(raw)
    try:
        decode_message(raw)
    except InvalidMessage:
        assert refusal(raw) in ("Malformed", "DifferentPlaces", "NoConflict")
    else:
        assert refusal(raw) == "BadSignature"


def test_evidence_is_recorded_once() -> None:
    """submit() keeps the place and tells it; a second piece for the same place is refused."""
    verifier_ = fresh()
    raw = encode_message(Evidence(*PAIRS[0]))
    events = verifier_.send(SENDER, "submit", raw)
    assert events == [
        (
            "DoubleSigned",
            {
                "validator": hex_address(KEY.address),
                "height": 7,
                "round": 2,
                "kind": 2,
                "evidence": raw,
            },
        )
    ]
    assert verifier_.gas_used < 120_000
    place = verifier_.read("placeOf", KEY.address, 7, 2, 2)
    assert verifier_.read("isRecorded", place) is True
    for again in (PAIRS[0], PAIRS[1]):
        with pytest.raises(Reverted, match="AlreadyRecorded"):
            verifier_.send(SENDER, "submit", encode_message(Evidence(*again)))
    verifier_.send(SENDER, "submit", encode_message(Evidence(*PAIRS[2])))
    with pytest.raises(Reverted, match="NoConflict"):
        verifier_.send(SENDER, "submit", encode_message(Evidence(PAIRS[0][0], PAIRS[0][0])))
    assert NO_POL == -1
