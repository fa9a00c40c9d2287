"""Blob transactions come with their blobs or without; blobs that are not theirs are refused."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.sidecar import BLOB_BYTES, CELLS, without_blobs
from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import BadBlobs
from primitives.transaction import PUBLIC, decode_transaction
from tests.node.rpc.harness import Rpc
from tests.node.rpc.served import read_only_node
from tests.vectors import load_cases, vectors

SENDER = "0x0c2c51a0990aee1d73c1228de158688341557508"
COMMITMENT = b"\xc0" + bytes(47)
HASH = b"\x01" + sha256(COMMITMENT).digest()[1:]
BLOB = bytes(BLOB_BYTES)
POINT = b"\xc0" + bytes(47)


def inner(key: PrivateKey, blob_hash: bytes = HASH) -> list[Item]:
    """Return the fields of a signed blob transaction on the conformance chain."""
    body: list[Item] = [
        uint(3503995874084926), b"", uint(1), uint(10**9), uint(21_000),
        bytes(19) + b"\xaa", b"", b"", [], uint(10**9), [blob_hash],
    ]  # fmt: skip
    signature = key.sign(keccak(b"\x03" + encode(body)))
    r, s = signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")
    return [*body, uint(signature[64]), r, s]


def wrapped(fields: list[Item], *rest: Item) -> bytes:
    return b"\x03" + encode([fields, *rest])


KEY = PrivateKey(bytes(31) + b"\x01")


def test_both_forms_give_the_transaction_of_the_block() -> None:
    """Bare, with one proof a blob (EIP-4844), and with one a cell (EIP-7594)."""
    fields = inner(KEY)
    bare = b"\x03" + encode(fields)
    assert without_blobs(bare) == bare
    assert without_blobs(wrapped(fields, [BLOB], [COMMITMENT], [POINT])) == bare
    cells: list[Item] = [POINT] * CELLS
    assert without_blobs(wrapped(fields, b"\x01", [BLOB], [COMMITMENT], cells)) == bare
    assert decode_transaction(bare, PUBLIC).sender == KEY.address
    assert without_blobs(b"\x02\xc0") == b"\x02\xc0"


@pytest.mark.parametrize(
    "raw",
    [
        wrapped(inner(KEY, b"\x01" + bytes(31)), [BLOB], [COMMITMENT], [POINT]),
        wrapped(inner(KEY), [BLOB[1:]], [COMMITMENT], [POINT]),
        wrapped(inner(KEY), [BLOB], [COMMITMENT], []),
        wrapped(inner(KEY), [], [], []),
        wrapped(inner(KEY), b"\x01", [BLOB], [COMMITMENT], [POINT]),
        wrapped(inner(KEY), b"\x02", [BLOB], [COMMITMENT], [POINT]),
        wrapped(inner(KEY), [BLOB]),
    ],
)
def test_blobs_that_do_not_belong_are_refused(raw: bytes) -> None:
    """A foreign hash, a short blob, missing proofs, an unknown version."""
    with pytest.raises(BadBlobs):
        without_blobs(raw)


@given(st.binary(max_size=100))
def test_garbage_is_refused_or_passed_on(raw: bytes) -> None:
    """Never anything but BadBlobs; what is passed on is a part of what came."""
    try:
        assert without_blobs(b"\x03" + raw) == b"\x03" + raw
    except BadBlobs:
        return


def test_the_read_only_pool_takes_them() -> None:
    """A wallet's blob transaction waits in the pool without its blobs."""
    accounts = load_cases(vectors("execution-apis", "accounts.json"))
    key = PrivateKey(bytes.fromhex(accounts[SENDER]["key"].removeprefix("0x")))
    rpc = Rpc(read_only_node())
    try:
        raw = "0x" + wrapped(inner(key), [BLOB], [COMMITMENT], [POINT]).hex()
        name = rpc.call("eth_sendRawTransaction", raw)
        waiting = rpc.call("eth_getTransactionByHash", name)
        assert (waiting["type"], waiting["from"]) == ("0x3", SENDER)
        assert waiting["blobVersionedHashes"] == ["0x" + HASH.hex()]
    finally:
        rpc.close()
