"""A certificate proves its block exactly when a quorum of power signed it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.certificate import (
    Certificate,
    certificate_of,
    check_certificate,
    decode_certificate,
    encode_certificate,
    precommits_of,
)
from consensus.messages import Kind
from primitives.errors import InvalidCertificate, InvalidMessage
from primitives.types import ZERO_HASH, ChainId, Height, Round
from tests.consensus.makers import BLOCK_A, BLOCK_B, CHAIN, KEYS, validator_set, vote

GOLDEN = Path(__file__).parents[1] / "golden" / "consensus"
VOTES = [vote(index, Kind.PRECOMMIT, BLOCK_A) for index in range(7)]


def certificate(*indexes: int) -> Certificate:
    return certificate_of([VOTES[index] for index in indexes])


def is_proof(proof: Certificate, count: int = 4, chain_id: ChainId = CHAIN) -> bool:
    try:
        check_certificate(proof, validator_set(count), chain_id)
    except InvalidCertificate:
        return False
    return True


@pytest.mark.parametrize("count", range(1, 8))
def test_every_subset_counts_exactly(count: int) -> None:
    """For 1 to 7 equal validators, each subset proves exactly when it has floor(2n/3) + 1."""
    quorum = 2 * count // 3 + 1
    for size in range(1, count + 1):
        for subset in combinations(range(count), size):
            proof = certificate(*subset)
            accept = {VOTES[index] for index in subset}
            try:
                check_certificate(proof, validator_set(count), CHAIN, verify=accept.__contains__)
            except InvalidCertificate:
                assert size < quorum
            else:
                assert size >= quorum


def test_power_counts_not_heads() -> None:
    """One validator with most of the power is a quorum; three others are none."""
    validators = validator_set(4, (9, 1, 1, 1))
    check_certificate(certificate(0), validators, CHAIN)
    with pytest.raises(InvalidCertificate):
        check_certificate(certificate(1, 2, 3), validators, CHAIN)


def test_real_signatures_prove() -> None:
    """Three of four real precommits prove; on another chain, or for another set, they do not."""
    assert is_proof(certificate(0, 1, 2))
    assert is_proof(certificate(0, 1, 2, 3))
    assert not is_proof(certificate(0, 1))
    assert not is_proof(certificate(0, 1, 2), chain_id=ChainId(1))
    assert not is_proof(certificate(0, 1, 4))


def test_each_kind_of_forgery_is_refused() -> None:
    """Order, doubles, swapped signatures, other facts, prevotes, nil: all refused."""
    good = certificate(0, 1, 2)
    pairs = good.signatures
    prevotes = certificate_of(vote(index, Kind.PREVOTE, BLOCK_A) for index in range(3))
    nil = certificate_of(vote(index, Kind.PRECOMMIT, ZERO_HASH) for index in range(3))
    swapped = tuple(
        (address, other)
        for (address, _), (_, other) in zip(pairs, pairs[1:] + pairs[:1], strict=True)
    )
    bad = [
        replace(good, signatures=pairs[::-1]),
        replace(good, signatures=(pairs[0], pairs[0], pairs[1], pairs[2])),
        replace(good, signatures=swapped),
        replace(good, signatures=()),
        replace(good, block_hash=BLOCK_B),
        replace(good, height=Height(2)),
        replace(good, round=Round(1)),
        prevotes,
        nil,
        replace(good, signatures=(*pairs, (KEYS[3].address, b"\1" * 65))),
    ]
    assert not [each for each in bad if is_proof(each)]


def test_bytes_are_pinned() -> None:
    """A stored certificate has the bytes of the first release."""
    golden = bytes.fromhex((GOLDEN / "certificate.hex").read_text())
    assert encode_certificate(certificate(0, 1, 2)) == golden
    assert decode_certificate(golden) == certificate(0, 1, 2)
    assert precommits_of(decode_certificate(golden)) == tuple(VOTES[:3])


@given(st.binary(max_size=300))
def test_garbage_is_refused(raw: bytes) -> None:
    """Arbitrary bytes raise InvalidMessage or are the one encoding of a certificate."""
    try:
        proof = decode_certificate(raw)
    except InvalidMessage:
        return
    assert encode_certificate(proof) == raw
