"""Status and ping on the wire: golden bytes, round trips, garbage, and the proof's binding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.frames import encode_message
from p2p.ping import Ping, decode_ping, decode_pong, encode_ping, encode_pong
from p2p.status import (
    STATUS_BYTES_MAX,
    Role,
    Status,
    StatusRefused,
    WrongProof,
    check_status,
    decode_status,
    encode_status,
    proof_digest,
    with_proof,
)
from primitives.codec import decode_list, encode
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import BrokenInvariant, InvalidMessage
from primitives.types import Address, ChainId, Hash32, Height
from tests.p2p.nodes import PEERS, STATUS, validator_status

GOLDEN = Path(__file__).parent.parent / "golden" / "p2p"
KEY = PrivateKey(b"\x07" * 32)
HANDSHAKE = b"\x33" * 32

HASHES = st.binary(min_size=32, max_size=32).map(Hash32)
STATUSES = st.builds(
    Status,
    chain_id=st.integers(0, 2**64 - 1).map(ChainId),
    genesis_hash=HASHES,
    height=st.integers(0, 2**64 - 1).map(Height),
    head_hash=HASHES,
    role=st.sampled_from(Role),
    version=st.integers(0, 2**32 - 1),
).flatmap(
    lambda status: st.one_of(
        st.just(status),
        st.builds(
            lambda address, proof: replace(status, validator=Address(address), proof=proof),
            st.binary(min_size=20, max_size=20),
            st.binary(min_size=65, max_size=65),
        ),
    )
)


def proven(key: PrivateKey = KEY, peer: str = PEERS[0], handshake: bytes = HANDSHAKE) -> Status:
    status = validator_status(key)
    return with_proof(status, key.sign(proof_digest(status.chain_id, peer, handshake)))


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("status_observer", encode_message(0, encode_status(STATUS))),
        ("status_validator", encode_message(0, encode_status(proven()))),
        ("status_digest", proof_digest(ChainId(7), PEERS[0], HANDSHAKE)),
        ("ping", encode_message(0x7F, encode_ping(Ping(1_000_000, Height(5), Hash32(HANDSHAKE))))),
        ("pong", encode_message(0x7E, encode_pong(1_000_000))),
        ("consensus", encode_message(1, b"body")),
    ],
)
def test_golden(name: str, wire: bytes) -> None:
    """The bytes on the wire are those that were agreed."""
    assert wire.hex() == (GOLDEN / f"{name}.hex").read_text(encoding="ascii").strip()


@given(STATUSES)
def test_status_round_trip(status: Status) -> None:
    """A status decodes to itself and fits its limit."""
    encoded = encode_status(status)
    assert decode_status(encoded) == status
    assert len(encoded) <= STATUS_BYTES_MAX


@given(st.binary(max_size=300))
def test_garbage(body: bytes) -> None:
    """Garbage is InvalidMessage and nothing else."""
    for decoder in (decode_status, decode_ping, decode_pong):
        try:
            decoder(body)
        except InvalidMessage:
            continue


@given(st.integers(0, 7), st.binary(max_size=70))
def test_status_with_one_wrong_field(index: int, value: bytes) -> None:
    """A status with a field replaced either decodes canonically or is InvalidMessage."""
    fields = decode_list(encode_status(proven()), 8)
    fields[index] = value
    try:
        status = decode_status(encode(fields))
    except InvalidMessage:
        return
    assert encode_status(status) == encode(fields)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), HASHES)
def test_ping_round_trip(stamp: int, height: int, head: Hash32) -> None:
    """Pings and pongs decode to themselves."""
    ping = Ping(stamp, Height(height), head)
    assert decode_ping(encode_ping(ping)) == ping
    assert decode_pong(encode_pong(stamp)) == stamp


def test_true_proof_passes() -> None:
    """A validator's proof on its own connection is accepted; so is an observer without one."""
    check_status(STATUS, proven(), PEERS[0], HANDSHAKE)
    check_status(STATUS, STATUS, PEERS[0], HANDSHAKE)


@pytest.mark.parametrize(
    ("peer", "handshake", "status"),
    [
        (PEERS[1], HANDSHAKE, proven()),
        (PEERS[0], b"\x34" * 32, proven()),
        (PEERS[0], HANDSHAKE, replace(proven(), validator=Address(b"\x01" * 20))),
        (PEERS[0], HANDSHAKE, replace(proven(), proof=b"\xff" * 65)),
        (PEERS[0], HANDSHAKE, replace(proven(), proof=bytes(65))),
    ],
    ids=["another peer", "another connection", "another validator", "no signature", "zeros"],
)
def test_wrong_proof(peer: str, handshake: bytes, status: Status) -> None:
    """A proof is good for one key, one peer id and one connection.

    Kills: leaving the handshake hash or the peer id out of the digest.
    """
    with pytest.raises(WrongProof):
        check_status(STATUS, status, peer, handshake)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (replace(STATUS, version=2), "protocol version 2"),
        (replace(STATUS, chain_id=ChainId(8)), "chain id 8, ours is 7"),
        (replace(STATUS, genesis_hash=Hash32(b"\x12" * 32)), "genesis 0x1212"),
    ],
)
def test_another_network(theirs: Status, words: str) -> None:
    """A peer of another network is refused with words that say what differs."""
    with pytest.raises(StatusRefused, match=words):
        check_status(STATUS, theirs, PEERS[0], HANDSHAKE)


def test_without_signature_it_is_an_observer() -> None:
    """A node that cannot sign claims nothing; a signature of a wrong length is our mistake."""
    bare = with_proof(validator_status(KEY), None)
    assert (bare.role, bare.validator, bare.proof) == (Role.OBSERVER, None, b"")
    with pytest.raises(BrokenInvariant):
        with_proof(validator_status(KEY), b"short")
