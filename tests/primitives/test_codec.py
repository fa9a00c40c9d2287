"""RLP must be canonical both ways, agree with the rlp package, and survive hostile bytes."""

import time

import pytest
import rlp  # type: ignore[import-untyped]  # the package has no annotations
from hypothesis import given
from hypothesis import strategies as st

from primitives import codec
from primitives.errors import BrokenInvariant, InvalidMessage
from tests.vectors import from_hex, load_cases, vectors

items = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=30
)


@given(items)
def test_round_trip_and_agreement_with_the_rlp_package(item: codec.Item) -> None:
    """What is encoded decodes to itself, and the bytes are those of the rlp package."""
    raw = codec.encode(item)
    assert raw == rlp.encode(item)
    assert codec.decode(raw) == item == rlp.decode(raw)


@given(st.binary(max_size=60) | st.binary(max_size=8).map(lambda b: b"\xf8" + b))
def test_garbage_is_refused_or_canonical(raw: bytes) -> None:
    """Whatever decodes has no other encoding; planted bug: allowing 0x81 before a small byte."""
    try:
        item = codec.decode(raw)
    except InvalidMessage:
        return
    assert codec.encode(item) == raw


@given(st.binary(max_size=40))
def test_decoding_refuses_what_the_rlp_package_refuses(raw: bytes) -> None:
    """Both decoders accept the same bytes."""
    try:
        other = rlp.decode(raw, strict=True)
    except rlp.DecodingError:
        other = None
    try:
        mine = codec.decode(raw)
    except InvalidMessage:
        mine = None
    assert mine == other


@pytest.mark.parametrize("size", [0, 1, 55, 56, 57, 255, 256, 65_535, 65_536])
def test_lengths_around_each_form(size: int) -> None:
    """Each length has the one prefix that the rlp package gives it, as string and as list."""
    assert codec.encode(b"\xff" * size) == rlp.encode(b"\xff" * size)
    assert codec.encode([b"a"] * size) == rlp.encode([b"a"] * size)
    assert codec.decode(codec.encode(b"\xff" * size)) == b"\xff" * size


def test_nesting_is_bounded() -> None:
    """The deepest allowed nesting decodes, one more does not, and a million levels are cheap."""
    raw = b"\xc0"
    for _ in range(codec.NESTING_MAX - 1):
        raw = codec.wrap([raw])
    codec.decode(raw)
    with pytest.raises(InvalidMessage, match="nested deeper"):
        codec.decode(codec.wrap([raw]))
    deep = b"\xc0"
    for _ in range(5_000):
        deep = codec.wrap([deep])
    with pytest.raises(InvalidMessage, match="nested deeper"):
        codec.decode(deep)


@pytest.mark.slow
def test_items_are_bounded() -> None:
    """A message of ITEMS_MAX items decodes; one more is refused, on one level or over several."""
    half = codec.wrap([b"\x01" * (codec.ITEMS_MAX // 2 - 1)])
    assert codec.decode(codec.wrap([half, half]))
    with pytest.raises(InvalidMessage, match="too many items"):
        codec.decode(codec.wrap([half, half, b"\x01"]))
    with pytest.raises(InvalidMessage, match="too many items"):
        codec.decode(codec.wrap([b"\x01" * (codec.ITEMS_MAX + 1)]))


def test_huge_lengths_cost_nothing() -> None:
    """A length of 2^64 - 1 is refused before anything is allocated."""
    started = time.perf_counter()
    for first in (0xBF, 0xFF):
        with pytest.raises(InvalidMessage, match="exceeds"):
            codec.decode(bytes((first,)) + b"\xff" * 8)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "found 0"),
        ("0102", "found 2"),
        ("8100", "non-canonical size"),
        ("b80100", "non-canonical size"),
        ("b90038" + "00" * 56, "non-canonical size"),
        ("f800", "non-canonical size"),
        ("b8", "exceeds"),
        ("8201", "exceeds"),
        ("c101c0", "found 2"),
        ("c28201", "exceeds"),
        ("bf0f000000000000021111", "exceeds"),
    ],
)
def test_each_fault_has_its_words(raw: str, why: str) -> None:
    """A fault in the encoding is refused with what is wrong."""
    with pytest.raises(InvalidMessage, match=why):
        codec.decode(bytes.fromhex(raw))


@given(st.integers(0, 2**300))
def test_integers_round_trip_and_are_bounded(value: int) -> None:
    """An integer is its shortest big-endian bytes; `bits` is an exact bound."""
    raw = codec.uint(value)
    bits = value.bit_length()
    assert rlp.encode(value) == codec.encode(raw)
    assert codec.as_uint(raw, max(bits, 1)) == value
    if bits:
        with pytest.raises(InvalidMessage, match="too long"):
            codec.as_uint(raw, bits - 1)


def test_shapes_are_checked() -> None:
    """A list is no string, a string is no list, and lengths are exact."""
    with pytest.raises(InvalidMessage):
        codec.as_list(b"")
    with pytest.raises(InvalidMessage):
        codec.as_bytes([])
    with pytest.raises(InvalidMessage):
        codec.as_uint([])
    with pytest.raises(InvalidMessage):
        codec.as_uint(b"\x00")
    with pytest.raises(InvalidMessage):
        codec.as_bytes(b"ab", 3)
    with pytest.raises(InvalidMessage):
        codec.decode_list(b"\xc0", 1)
    with pytest.raises(BrokenInvariant):
        codec.encode("text")


def test_official_vectors() -> None:
    """Every official RLP case decodes to its value, or is refused when it is invalid."""
    count = 0
    for path in sorted(vectors("ethereum-tests", "RLPTests").rglob("*.json")):
        for name, case in load_cases(path).items():
            count += 1
            raw = from_hex(case["out"])
            if case["in"] == "INVALID":
                with pytest.raises(InvalidMessage):
                    codec.decode(raw)
            elif case["in"] == "VALID":
                assert codec.encode(codec.decode(raw)) == raw, name
            else:
                assert codec.decode(raw) == _official(case["in"]), name
                assert codec.encode(_official(case["in"])) == raw, name
    assert count > 50


def _official(value: object) -> codec.Item:
    """Return the item that a case's JSON value stands for: #digits are big integers."""
    if isinstance(value, list):
        return [_official(each) for each in value]
    if isinstance(value, int):
        return codec.uint(value)
    assert isinstance(value, str)
    return codec.uint(int(value[1:])) if value.startswith("#") else value.encode()
