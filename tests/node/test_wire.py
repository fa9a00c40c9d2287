"""Bodies, batches and requests must round-trip, and garbage must only raise InvalidMessage."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import wire
from primitives.block import Header
from primitives.codec import encode, uint
from primitives.errors import InvalidMessage
from primitives.receipt import EMPTY_BLOOM
from primitives.types import EMPTY_ROOT, ZERO_ADDRESS, ZERO_HASH, Gas, Hash32, Height, Wei

HEADER = Header(
    parent_hash=ZERO_HASH,
    fee_recipient=ZERO_ADDRESS,
    state_root=EMPTY_ROOT,
    transactions_root=EMPTY_ROOT,
    receipts_root=EMPTY_ROOT,
    logs_bloom=EMPTY_BLOOM,
    height=Height(7),
    gas_limit=Gas(30_000_000),
    gas_used=Gas(0),
    timestamp=1,
    extra_data=bytes(32),
    mix_hash=ZERO_HASH,
    base_fee_per_gas=Wei(7),
)
hashes = st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=20)
DECODERS = [
    wire.decode_body,
    partial(wire.decode_batch, wire.TRANSACTIONS),
    wire.decode_get_blocks,
    wire.decode_get_transactions,
    wire.decode_certified,
]


@given(hashes)
def test_body_round_trip(named: list[bytes]) -> None:
    """A body keeps its header and the order of its transactions."""
    body = wire.encode_body(HEADER, [Hash32(each) for each in named])
    assert wire.decode_body(body) == (HEADER, tuple(named))


def test_body_names_each_transaction_once() -> None:
    """A repeated hash is refused (planted bug: the uniqueness check removed)."""
    with pytest.raises(InvalidMessage, match="twice"):
        wire.decode_body(wire.encode_body(HEADER, [ZERO_HASH, ZERO_HASH]))


@given(st.lists(st.binary(max_size=30_000), max_size=12))
def test_batches_keep_order_and_bound(raws: list[bytes]) -> None:
    """Batches hold all transactions in order, each batch within its bound."""
    batches = wire.encode_batches(raws)
    assert [raw for batch in batches for raw in wire.decode_batch(wire.TRANSACTIONS, batch)] == raws
    assert all(len(batch) <= wire.BATCH_BYTES_MAX + 60_000 for batch in batches)
    assert all(batches)


@given(st.binary(max_size=200))
@pytest.mark.parametrize("decoder", DECODERS)
def test_garbage_raises_invalid_message(decoder: object, raw: bytes) -> None:
    """Any bytes decode or raise InvalidMessage, nothing else."""
    assert callable(decoder)
    try:
        decoder(raw)
    except InvalidMessage:
        return


def test_requests_round_trip_and_bounds() -> None:
    """Counts outside 1..SYNC_BLOCKS_MAX are refused on both sides of the bound."""
    for count in (1, wire.SYNC_BLOCKS_MAX):
        assert wire.decode_get_blocks(wire.encode_get_blocks(Height(5), count)) == (5, count)
    for count in (0, wire.SYNC_BLOCKS_MAX + 1):
        with pytest.raises(InvalidMessage):
            wire.decode_get_blocks(wire.encode_get_blocks(Height(5), count))
    pair = wire.encode_get_transactions(ZERO_HASH, [0, 3])
    assert wire.decode_get_transactions(pair) == (ZERO_HASH, [0, 3])
    assert wire.decode_certified(wire.encode_certified(b"a", b"bc")) == (b"a", b"bc")
    with pytest.raises(InvalidMessage):
        wire.decode_get_transactions(encode([ZERO_HASH, uint(1)]))
