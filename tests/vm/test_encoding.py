"""Accounts and lists come back from their bytes; damaged bytes raise StoreCorrupt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.account import Account
from primitives.codec import Item, encode, uint
from primitives.errors import StoreCorrupt
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, Hash32, Nonce, Wei
from vm.state.encoding import (
    decode_slim,
    encode_account,
    encode_slim,
    rlp_list,
    rlp_string,
    rlp_uint,
    split_list,
    string_of,
)

hashes = st.binary(min_size=32, max_size=32).map(Hash32)
accounts = st.builds(
    Account,
    st.integers(0, 2**64 - 1).map(Nonce),
    st.integers(0, 2**256 - 1).map(Wei),
    st.one_of(st.just(EMPTY_ROOT), hashes),
    st.one_of(st.just(EMPTY_CODE_HASH), hashes),
)
sizes = st.sampled_from([0, 1, 2, 31, 32, 33, 54, 55, 56, 57, 255, 256, 257, 70_000])
strings = st.one_of(st.binary(max_size=3), sizes.map(lambda size: b"\x81" * size))


@given(accounts)
def test_account_round_trip(account: Account) -> None:
    """A slim account comes back; the leaf is the general codec's RLP of the four fields."""
    assert decode_slim(encode_slim(account)) == account
    fields: list[Item] = [
        uint(account.nonce),
        uint(account.balance),
        account.storage_root,
        account.code_hash,
    ]
    assert encode_account(account) == encode(fields)


@given(st.lists(strings, max_size=20))
def test_list_round_trip(items: list[bytes]) -> None:
    """Lists are the general codec's RLP, and split into the items that were put in.

    Kills: a length of 55 or 56 on the wrong side of the long form.
    """
    raw = rlp_list([rlp_string(item) for item in items])
    assert raw == encode(items)
    assert [string_of(item) for item in split_list(raw)] == items


def test_nested_lists_stay_encoded() -> None:
    """A list inside a list is one item, short or long."""
    inner: list[list[Item]] = [[b"a"], [b"b" * 60], [b"c" * 300]]
    raw = encode([b"x", *inner, b"y"])
    assert split_list(raw) == [b"x", *[encode(each) for each in inner], b"y"]


@given(st.integers(0, 2**256 - 1))
def test_uint_equals_codec(value: int) -> None:
    """Integers are the general codec's canonical ones."""
    assert rlp_uint(value) == encode(uint(value))


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=200), accounts.map(encode_slim).map(lambda raw: raw[:-1])))
def test_garbage_account(raw: bytes) -> None:
    """Bytes that are no account raise StoreCorrupt and nothing else."""
    try:
        decode_slim(raw)
    except StoreCorrupt:
        return
    assert raw[0] >= 0xC0


ONE = b"\x01"
DAMAGED = [b"", b"\x80", b"\xc1", b"\xc2\x01", b"\xc1\x82", b"\xc4\x01\x02\x03\x82", b"\xf8"]
MISSHAPEN = [rlp_list([ONE] * 3), rlp_list([ONE] * 5), rlp_list([ONE, ONE, ONE, b"\x80"])]


@pytest.mark.parametrize("raw", [*DAMAGED, *MISSHAPEN])
def test_damaged_account(raw: bytes) -> None:
    """Truncated, overlong and misshapen accounts raise StoreCorrupt."""
    with pytest.raises(StoreCorrupt):
        decode_slim(raw)
