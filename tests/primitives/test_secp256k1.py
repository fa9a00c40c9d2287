"""Signatures agree with eth-account, have low s, and bad ones are refused."""

import coincurve
import pytest
from eth_account import Account
from eth_keys.datatypes import PrivateKey as OtherKey
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import (
    BATCH_MIN,
    HALF_ORDER,
    ORDER,
    PrivateKey,
    recover,
    recover_many,
)
from primitives.errors import BadSignature, BrokenInvariant, ConfigError

keys = st.integers(1, ORDER - 1).map(lambda scalar: scalar.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


@settings(max_examples=50)
@given(keys, digests)
def test_sign_and_recover(raw: bytes, digest: bytes) -> None:
    """What a key signs recovers to its address; address and signature are eth-account's."""
    key = PrivateKey(raw)
    signature = key.sign(digest)
    assert recover(digest, signature) == key.address
    assert Account.from_key(raw).address.lower() == "0x" + key.address.hex()
    assert OtherKey(raw).sign_msg_hash(digest).to_bytes() == signature
    assert int.from_bytes(signature[32:64], "big") <= HALF_ORDER
    assert key.raw == raw


@given(digests, st.binary(min_size=65, max_size=65))
def test_garbage_signatures(digest: bytes, signature: bytes) -> None:
    """Any 65 bytes recover to some address or raise BadSignature."""
    try:
        assert len(recover(digest, signature)) == 20
    except BadSignature:
        assert recover_many([(digest, signature)]) == [None]


def test_what_recover_refuses() -> None:
    """Other lengths, v above 1, high s, and r or s out of range are bad signatures."""
    key = PrivateKey(keccak(b"key"))
    digest = keccak(b"digest")
    good = key.sign(digest)
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    high = (ORDER - s).to_bytes(32, "big")
    for bad in (
        good[:64],
        good + b"\x00",
        good[:64] + b"\x02",
        good[:64] + bytes([27 + v]),
        r + high + bytes([1 - v]),
        bytes(32) + good[32:],
        r + bytes(32) + good[64:],
        ORDER.to_bytes(32, "big") + good[32:],
    ):
        with pytest.raises(BadSignature):
            recover(digest, bad)
    with pytest.raises(BadSignature):
        recover(digest[:31], good)


def test_recovery_ids_above_one_are_refused_even_where_they_recover() -> None:
    """r below p - n has keys for v of 2 and 3 too; Ethereum takes none of them."""
    digest, s = keccak(b"digest"), (1).to_bytes(32, "big")
    recoverable = 0
    for r in range(1, 9):
        signature = r.to_bytes(32, "big") + s + b"\x02"
        try:
            coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
            recoverable += 1
        except ValueError:
            continue
        with pytest.raises(BadSignature):
            recover(digest, signature)
    assert recoverable > 0


def test_half_order_is_the_exact_bound() -> None:
    """s of exactly half the order is low; one more is high."""
    digest = keccak(b"digest")
    r = PrivateKey(keccak(b"key")).sign(digest)[:32]
    assert len(recover(digest, r + HALF_ORDER.to_bytes(32, "big") + b"\x00")) == 20
    with pytest.raises(BadSignature):
        recover(digest, r + (HALF_ORDER + 1).to_bytes(32, "big") + b"\x00")


@pytest.mark.parametrize("count", [0, 1, BATCH_MIN - 1, BATCH_MIN, 3 * BATCH_MIN + 1])
def test_batches_keep_their_order(count: int) -> None:
    """Each index of a batch holds its own signer, or None where the signature is bad."""
    signers = [PrivateKey(keccak(bytes([i]))) for i in range(5)]
    pairs, expected = [], []
    for i in range(count):
        digest = keccak(i.to_bytes(4, "big"))
        signer = signers[i % 5]
        bad = i % 7 == 3
        pairs.append((digest, b"bad" if bad else signer.sign(digest)))
        expected.append(None if bad else signer.address)
    assert recover_many(pairs) == expected


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(32), ORDER.to_bytes(32, "big"), b"1" * 33])
def test_impossible_keys(raw: bytes) -> None:
    """A scalar out of range is no key."""
    with pytest.raises(ConfigError):
        PrivateKey(raw)


def test_secrets_stay_secret() -> None:
    """Neither repr nor str of a key shows it; new keys differ."""
    key = PrivateKey.generate()
    assert key.raw.hex() not in repr(key) + str(key)
    assert key.address.hex() in repr(key)
    assert key.raw != PrivateKey.generate().raw
    with pytest.raises(BrokenInvariant):
        key.sign(b"short")
