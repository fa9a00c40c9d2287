"""Headers and blocks of public chains: each length round trips, everything else is refused."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives import codec
from primitives.block import Header, encode_header
from primitives.errors import InvalidMessage, InvalidTransaction, QenexError
from primitives.ethereum import (
    FIELD_COUNTS,
    PublicHeader,
    Withdrawal,
    decode_public_block,
    decode_public_header,
    encode_public_header,
    encode_withdrawal,
    header_items,
    split_blocks,
)
from primitives.types import Address, Gas, Hash32, Height, Wei
from tests.primitives.samples import headers, one_of_each

NAMES = [each.name for each in fields(PublicHeader)]
words = st.binary(min_size=32, max_size=32).map(Hash32)
numbers = st.integers(0, 2**64 - 1)


@st.composite
def public_headers(draw: st.DrawFn) -> PublicHeader:
    count = draw(st.sampled_from(FIELD_COUNTS))
    values: dict[str, Any] = {
        "parent_hash": draw(words),
        "ommers_hash": draw(words),
        "fee_recipient": Address(draw(st.binary(min_size=20, max_size=20))),
        "state_root": draw(words),
        "transactions_root": draw(words),
        "receipts_root": draw(words),
        "logs_bloom": draw(st.binary(min_size=256, max_size=256)),
        "difficulty": draw(st.integers(0, 2**256 - 1)),
        "height": Height(draw(numbers)),
        "gas_limit": Gas(draw(numbers)),
        "gas_used": Gas(draw(numbers)),
        "timestamp": draw(numbers),
        "extra_data": draw(st.binary(max_size=40)),
        "mix_hash": draw(words),
        "nonce": draw(st.binary(min_size=8, max_size=8)),
        "base_fee_per_gas": Wei(draw(numbers)),
        "withdrawals_root": draw(words),
        "blob_gas_used": Gas(draw(numbers)),
        "excess_blob_gas": Gas(draw(numbers)),
        "parent_beacon_block_root": draw(words),
        "requests_hash": draw(words),
    }
    return PublicHeader(**{name: values[name] for name in NAMES[:count]})


@given(header=public_headers())
def test_headers_of_every_length_round_trip(header: PublicHeader) -> None:
    """15, 16, 17, 20 and 21 fields. Kills: two fields of one type in the wrong order."""
    raw = encode_public_header(header)
    assert decode_public_header(raw) == header
    assert len(codec.decode_list(raw)) == len(header_items(header))


@given(header=headers)
def test_a_header_of_ours_is_a_public_one_of_21_fields(header: Header) -> None:
    """Same bytes, same hash."""
    public = decode_public_header(encode_header(header))
    assert encode_public_header(public) == encode_header(header)
    assert public.hash == header.hash
    assert None not in (getattr(public, name) for name in NAMES)


@given(header=public_headers(), count=st.integers(0, 25))
def test_other_lengths_are_refused(header: PublicHeader, count: int) -> None:
    """A header that ends between two forks is none."""
    items = (header_items(header) + [b"\1" * 32] * 25)[:count]
    if count not in FIELD_COUNTS:
        with pytest.raises(InvalidMessage):
            decode_public_header(codec.encode(items))


@given(raw=st.binary(max_size=600))
def test_garbage_raises_our_error(raw: bytes) -> None:
    """Any bytes: a block, or an error of ours."""
    for decode in (decode_public_header, decode_public_block, split_blocks):
        try:
            decode(raw)
        except QenexError:
            continue


HEADER = PublicHeader(
    parent_hash=Hash32(b"\1" * 32),
    ommers_hash=Hash32(b"\2" * 32),
    fee_recipient=Address(b"\3" * 20),
    state_root=Hash32(b"\4" * 32),
    transactions_root=Hash32(b"\5" * 32),
    receipts_root=Hash32(b"\6" * 32),
    logs_bloom=bytes(256),
    difficulty=131_072,
    height=Height(1),
    gas_limit=Gas(5_000),
    gas_used=Gas(0),
    timestamp=9,
    extra_data=b"",
    mix_hash=Hash32(b"\7" * 32),
    nonce=bytes(8),
)
WITHDRAWAL = Withdrawal(1, 2, Address(b"\x08" * 20), 3)


def block(transactions: list[codec.Item], ommers: list[codec.Item], *more: codec.Item) -> bytes:
    return codec.encode([header_items(HEADER), transactions, ommers, *more])


def test_a_block_with_everything() -> None:
    """Each type of transaction, two ommers, withdrawals in gwei."""
    raws = one_of_each().values()
    items = [raw if raw[0] < 0x80 else codec.decode(raw) for raw in raws]
    ommer = header_items(replace(HEADER, height=Height(0)))
    paid = codec.decode(encode_withdrawal(WITHDRAWAL))
    raw = block(items, [ommer, ommer], [paid])
    found = decode_public_block(raw)
    assert [tx.raw for tx in found.transactions] == list(raws)
    assert [each.height for each in found.ommers] == [0, 0]
    assert found.withdrawals == (WITHDRAWAL,)
    assert WITHDRAWAL.amount == 3 * 10**9
    assert found.hash == HEADER.hash
    assert split_blocks(raw + raw) == [raw, raw]
    assert decode_public_block(block([], [])).withdrawals is None


def test_what_a_block_must_not_be() -> None:
    """Three ommers, a legacy transaction in a string, other parts, a bad transaction."""
    ommer = header_items(HEADER)
    for wrong in (
        block([], [ommer] * 3),
        block([b"\xc0"], []),
        block([b""], []),
        codec.encode([header_items(HEADER), b"", []]),
        codec.encode([header_items(HEADER), []]),
        block([], [], [], []),
        block([], [], [[b"\1"]]),
    ):
        with pytest.raises(InvalidMessage):
            decode_public_block(wrong)
    with pytest.raises(InvalidTransaction):
        decode_public_block(block([b"\x02\xc0"], []))
    with pytest.raises(InvalidMessage):
        split_blocks(b"\x80")
