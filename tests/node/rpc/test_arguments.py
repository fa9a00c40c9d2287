"""Parameters parse exactly as specified, and garbage is refused in words, never by a surprise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.arguments import (
    PARSERS,
    BadArgument,
    BlockRef,
    parse_address,
    parse_block,
    parse_block_number,
    parse_call,
    parse_data,
    parse_hash,
    parse_quantity,
    parse_slot,
)
from primitives.types import UINT256_MAX, Height

_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.integers(0, UINT256_MAX))
def test_quantities_round_trip(value: int) -> None:
    """Every 256-bit number has one text, which parses to it; above 64 bits a short one refuses."""
    assert parse_quantity(hex(value)) == value
    assert parse_quantity(hex(value).upper().replace("X", "x")) == value
    if value >> 64:
        with pytest.raises(BadArgument, match="hex number > 64 bits"):
            parse_quantity(hex(value), 64)


@given(st.binary(max_size=64))
def test_data_round_trips(value: bytes) -> None:
    """Bytes come back; a digit too few is refused."""
    text = "0x" + value.hex()
    assert parse_data(text) == value
    if value:
        with pytest.raises(BadArgument, match="odd length"):
            parse_data(text[:-1])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0x01", "leading zero"),
        ("0x00", "leading zero"),
        ("0x", 'hex string "0x"'),
        ("", "empty hex string"),
        ("1", "without 0x prefix"),
        ("0xg", "invalid hex string"),
        ("0x1 ", "invalid hex string"),
        ("0x\u0661", "invalid hex string"),
        ("0x1\n", "invalid hex string"),
        ("0x-1", "invalid hex string"),
        ("0x1_0", "invalid hex string"),
        (1, "non-string"),
        (None, "non-string"),
        ("0x1" + "0" * 64, "hex number > 256 bits"),
    ],
)
def test_wrong_quantities_are_refused_in_geths_words(value: object, words: str) -> None:
    """What Python's int() would forgive, JSON-RPC does not."""
    with pytest.raises(BadArgument, match=words):
        parse_quantity(value)


def test_blocks_are_tags_heights_hashes_or_objects() -> None:
    """Each form of EIP-1898 parses; contradictions, unknown tags and huge heights do not."""
    hash_text = "0x" + "ab" * 32
    assert parse_block("latest") == BlockRef(tag="latest")
    assert parse_block("0x10") == parse_block({"blockNumber": "0x10"})
    assert parse_block("0x10") == BlockRef(height=Height(16))
    assert parse_block({"blockNumber": "safe"}) == BlockRef(tag="safe")
    assert parse_block(hash_text) == parse_block({"blockHash": hash_text})
    refused: tuple[object, ...] = (
        "newest",
        "LATEST",
        16,
        {},
        {"blockHash": hash_text, "blockNumber": "0x1"},
        {"blockHash": hash_text, "requireCanonical": 1},
        hex(2**63),
        hex(2**64),
        [],
        True,
    )
    for wrong in refused:
        with pytest.raises(BadArgument):
            parse_block(wrong)
    with pytest.raises(BadArgument):
        parse_block_number(hash_text)


def test_slots_are_lenient_as_in_geth() -> None:
    """Short keys, odd lengths and a missing prefix are storage keys; long ones are not."""
    assert [parse_slot(each) for each in ("0x0", "0x", "1", "0x01", "abc")] == [0, 0, 1, 1, 0xABC]
    assert parse_slot("0x" + "f" * 64) == UINT256_MAX
    for wrong in ("0x" + "f" * 65, "0xg", 1, None):
        with pytest.raises(BadArgument):
            parse_slot(wrong)


def test_fixed_lengths_are_exact() -> None:
    """Addresses and hashes have one length, in any letter case."""
    assert parse_address("0x" + "aB" * 20) == b"\xab" * 20
    assert parse_hash("0X" + "01" * 32) == b"\x01" * 32
    with pytest.raises(BadArgument, match="hex string has length 42, want 40 for address"):
        parse_address("0x" + "11" * 21)
    with pytest.raises(BadArgument, match="hex string has length 62, want 64 for hash"):
        parse_hash("0x" + "11" * 31)


def test_call_objects_take_nulls_and_unknown_fields() -> None:
    """A null field counts as absent and an unknown one is ignored, as in go-ethereum."""
    given_call = parse_call({"to": None, "gas": "0x5", "input": "0x0102", "surplus": 1})
    assert (given_call.to, given_call.gas, given_call.data) == (None, 5, b"\x01\x02")
    keys = ["0x" + "00" * 31 + "07"]
    listed = parse_call({"accessList": [{"address": "0x" + "11" * 20, "storageKeys": keys}]})
    assert listed.access_list == ((b"\x11" * 20, (7,)),)
    refused: tuple[object, ...] = (
        [],
        "x",
        {"accessList": [{}]},
        {"gas": 5},
        {"to": "0x"},
        {"nonce": "0x"},
    )
    for wrong in refused:
        with pytest.raises(BadArgument):
            parse_call(wrong)


@given(st.sampled_from(list(PARSERS.values())), _json)
def test_garbage_is_a_bad_argument(parse: Any, value: object) -> None:
    """Any JSON either parses or raises BadArgument, nothing else."""
    try:
        parse(value)
    except BadArgument as error:
        assert str(error)
