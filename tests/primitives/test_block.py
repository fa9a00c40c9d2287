"""Headers and blocks must round-trip, hash as Ethereum's do, and have one encoding only."""

from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]  # the package has no annotations
from hypothesis import given
from hypothesis import strategies as st

from primitives import codec
from primitives.block import (
    HEADER_FIELDS,
    Block,
    Header,
    decode_block,
    decode_header,
    encode_block,
    encode_header,
)
from primitives.crypto.keccak import keccak
from primitives.errors import BadSignature, InvalidMessage, Malformed, UnsupportedType
from primitives.params import BLOCK_TRANSACTIONS_MAX
from primitives.transaction import decode_transaction
from primitives.types import EMPTY_OMMERS_HASH, EMPTY_ROOT
from tests.primitives.samples import headers, one_of_each, sample_header
from tests.vectors import vectors

TRANSACTIONS = tuple(map(decode_transaction, one_of_each().values()))


@given(headers)
def test_header_round_trip(header: Header) -> None:
    """A header decodes to itself and its hash is that of its bytes."""
    raw = encode_header(header)
    assert decode_header(raw) == header
    assert len(rlp.decode(raw)) == HEADER_FIELDS
    assert header.hash == keccak(raw)


@given(st.binary(max_size=700) | st.lists(st.binary(max_size=33)).map(codec.encode))
def test_header_garbage(raw: bytes) -> None:
    """Bytes that are no header raise InvalidMessage."""
    with pytest.raises(InvalidMessage):
        decode_header(raw)


@given(headers, st.data())
def test_header_fields_keep_their_form(header: Header, data: st.DataObject) -> None:
    """A field with a leading zero, another length or nested is refused."""
    items = codec.decode_list(encode_header(header))
    index = data.draw(st.integers(0, HEADER_FIELDS - 1).filter(lambda i: i != 12))
    item = items[index]
    assert isinstance(item, bytes)
    items[index] = data.draw(st.sampled_from((b"\x00" + item, [item], b"\x00" * 33)))
    with pytest.raises(InvalidMessage):
        decode_header(codec.encode(items))


def test_hash_chain_of_real_headers() -> None:
    """Headers of another client's Prague blocks decode and link by our hash.

    Only headers: these blocks hold blob transactions, which this chain refuses.
    """
    raw = vectors("execution-apis", "chain.rlp").read_bytes()
    parent = None
    found = 0
    for item in codec.split(raw, 0, len(raw))[0]:
        assert isinstance(item, tuple)
        parts, starts = codec.split(raw, *item)
        header_raw = raw[starts[0] : starts[1]]
        assert isinstance(parts[0], tuple)
        if len(codec.split(raw, *parts[0])[0]) == HEADER_FIELDS:
            header = decode_header(header_raw)
            assert header.parent_hash == parent
            assert encode_header(header) == header_raw
            found += 1
        parent = keccak(header_raw)
    assert found == 10


def test_block_round_trip() -> None:
    """A block with a transaction of each type decodes to itself, as the rlp package reads it."""
    block = Block.of(sample_header(), TRANSACTIONS)
    raw = encode_block(block)
    assert decode_block(raw) == block
    header, transactions, ommers, withdrawals = rlp.decode(raw)
    assert keccak(rlp.encode(header)) == block.hash == block.header.hash
    assert ommers == withdrawals == []
    for item, transaction in zip(transactions, TRANSACTIONS, strict=True):
        assert isinstance(item, bytes) == (transaction.type > 0)
        assert (item if transaction.type else rlp.encode(item)) == transaction.raw
    assert rlp.encode([header, transactions, ommers, withdrawals]) == raw
    empty = Block.of(sample_header(), ())
    assert decode_block(encode_block(empty)) == empty


@pytest.mark.parametrize(
    "parts",
    [
        [[], [], []],
        [[], [], [], [], []],
        [b"", [], [], []],
        [None, b"", [], []],
        [None, [], [b""], []],
        [None, [], [], [b""]],
        [None, [], b"", []],
        [None, [b""], [], []],
    ],
)
def test_block_shape(parts: list[Any]) -> None:
    """A block has a header, a list of transactions, no ommers and no withdrawals."""
    header = codec.decode(encode_header(sample_header()))
    with pytest.raises(InvalidMessage):
        decode_block(codec.encode([header if part is None else part for part in parts]))


def test_a_block_has_one_encoding() -> None:
    """A legacy transaction wrapped in a string is refused; planted bug: taking it as it is."""
    legacy = TRANSACTIONS[0]
    good = encode_block(Block.of(sample_header(), (legacy,)))
    header = codec.decode(encode_header(sample_header()))
    wrapped = codec.encode([header, [legacy.raw], [], []])
    assert wrapped != good
    with pytest.raises(InvalidMessage, match="typed transaction"):
        decode_block(wrapped)


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda b: codec.encode([[], [b]])))
def test_block_garbage(raw: bytes) -> None:
    """Bytes that are no block raise InvalidMessage."""
    with pytest.raises(InvalidMessage):
        decode_block(raw)


def test_bad_transactions_in_a_block() -> None:
    """A transaction that does not decode raises its own error."""
    header = codec.decode(encode_header(sample_header()))
    typed = next(each for each in TRANSACTIONS if each.type == 2)
    with pytest.raises(UnsupportedType):
        decode_block(codec.encode([header, [b"\x03" + typed.raw[1:]], [], []]))
    unsigned = codec.decode_list(typed.raw[1:])
    unsigned[10] = b"\x05"
    with pytest.raises(BadSignature):
        decode_block(codec.encode([header, [b"\x02" + codec.encode(unsigned)], [], []]))


def test_transactions_of_a_block_are_bounded() -> None:
    """One transaction above the bound is refused before any of them is looked at."""
    header = codec.decode(encode_header(sample_header()))
    too_many = codec.encode([header, [[]] * (BLOCK_TRANSACTIONS_MAX + 1), [], []])
    with pytest.raises(InvalidMessage, match="too many items"):
        decode_block(too_many)
    as_many = codec.encode([header, [[]] * BLOCK_TRANSACTIONS_MAX, [], []])
    with pytest.raises(Malformed):
        decode_block(as_many)


def test_known_hashes_of_nothing() -> None:
    """The constants are the hashes of what they name."""
    assert keccak(codec.encode([])) == EMPTY_OMMERS_HASH
    assert keccak(codec.encode(b"")) == EMPTY_ROOT
