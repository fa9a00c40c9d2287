"""RLP, strictly: one value has one encoding, and anything else is refused.

Sources: Yellow Paper appendix B; EIP-2718 for typed payloads. Items are `bytes` or lists of items;
integers are big-endian without leading zeros. Error words are geth's.

Written for bytes from strangers: nesting is bounded by NESTING_MAX, the number of items by
ITEMS_MAX, and a length is compared with what is there before anything is cut. The cost is linear
in the input. Written by hand because the `rlp` package copies every list once for each level above
it and recurses without a bound; the tests hold both against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from primitives.errors import BrokenInvariant, InvalidMessage

NESTING_MAX: Final = 16
"""Deepest nesting of lists; our own messages need seven."""

ITEMS_MAX: Final = 1 << 20
"""Most items in one message, all levels together."""

Item: TypeAlias = "bytes | Sequence[Item]"

Cut: TypeAlias = "bytes | tuple[int, int]"
"""An item that `split` found: the bytes of a string, or where the payload of a list lies."""


def encode(item: Item) -> bytes:
    """Return the RLP encoding of bytes or of a nested list of bytes."""
    if isinstance(item, bytes):
        size = len(item)
        if size == 1 and item[0] < 0x80:
            return item
        return (bytes((0x80 + size,)) if size < 56 else _long_prefix(size, 0xB7)) + item
    if not isinstance(item, list | tuple):
        raise BrokenInvariant(f"RLP encodes bytes, lists and tuples, not {type(item).__name__}")
    return wrap([encode(each) for each in item])


def wrap(encoded: Iterable[bytes]) -> bytes:
    """Return the RLP list of items that are encoded already."""
    payload = b"".join(encoded)
    return list_prefix(len(payload)) + payload


def list_prefix(size: int) -> bytes:
    """Return what stands before a list's payload of `size` bytes."""
    return bytes((0xC0 + size,)) if size < 56 else _long_prefix(size, 0xF7)


def _long_prefix(size: int, base: int) -> bytes:
    width = (size.bit_length() + 7) // 8
    return bytes((base + width,)) + size.to_bytes(width, "big")


def split(raw: bytes, at: int, end: int, limit: int = ITEMS_MAX) -> tuple[list[Cut], list[int]]:
    """Return the items of one level in raw[at:end], and where each begins.

    Lists are not entered: call again with their bounds. Raises InvalidMessage for an encoding
    that is not canonical and for more than `limit` items.
    """
    items: list[Cut] = []
    starts: list[int] = []
    while at < end:
        starts.append(at)
        first = raw[at]
        at += 1
        if first < 0x80:
            items.append(raw[at - 1 : at])
            continue
        if first < 0xB8:
            stop = at + first - 0x80
            if first == 0x81 and stop <= end and raw[at] < 0x80:
                raise InvalidMessage("rlp: non-canonical size information")
        elif 0xC0 <= first < 0xF8:
            stop = at + first - 0xC0
        else:
            at, stop = _long_form(raw, at, first - (0xB7 if first < 0xC0 else 0xF7), end)
        if stop > end:
            raise InvalidMessage("rlp: value size exceeds available input length")
        items.append(raw[at:stop] if first < 0xC0 else (at, stop))
        at = stop
        if len(items) > limit:
            break
    if len(items) > limit:
        raise InvalidMessage("rlp: too many items")
    return items, starts


def _long_form(raw: bytes, at: int, width: int, end: int) -> tuple[int, int]:
    """Return where the payload of a long item lies; `width` bytes of length stand at `at`."""
    start = at + width
    if start > end:
        raise InvalidMessage("rlp: value size exceeds available input length")
    size = int.from_bytes(raw[at:start], "big")
    if raw[at] == 0 or size < 56:
        raise InvalidMessage("rlp: non-canonical size information")
    return start, start + size


def decode(raw: bytes) -> Item:
    """Return the item that `raw` encodes canonically; raises InvalidMessage."""
    items, _ = split(raw, 0, len(raw))
    if len(items) != 1:
        raise InvalidMessage(f"rlp: expected one value, found {len(items)}")
    return _enter(raw, items[0], NESTING_MAX, [ITEMS_MAX])


def _enter(raw: bytes, item: Cut, levels: int, budget: list[int]) -> Item:
    if isinstance(item, bytes):
        return item
    if levels == 0:
        raise InvalidMessage(f"rlp: lists nested deeper than {NESTING_MAX}")
    inner, _ = split(raw, *item, limit=budget[0])
    budget[0] -= len(inner)
    return [
        each if isinstance(each, bytes) else _enter(raw, each, levels - 1, budget) for each in inner
    ]


def decode_list(raw: bytes, length: int | None = None) -> list[Item]:
    """Return the list that `raw` encodes, of `length` items when given; raises InvalidMessage."""
    return as_list(decode(raw), length)


def as_list(item: Item, length: int | None = None) -> list[Item]:
    """Return `item` as a list of `length` items when given; raises InvalidMessage."""
    if isinstance(item, bytes):
        raise InvalidMessage("expected an RLP list, found a string")
    if length is not None and len(item) != length:
        raise InvalidMessage(f"expected {length} RLP items, found {len(item)}")
    return list(item)


def as_bytes(item: Item, length: int | None = None) -> bytes:
    """Return `item` as a byte string of `length` bytes when given; raises InvalidMessage."""
    if not isinstance(item, bytes):
        raise InvalidMessage("expected an RLP string, found a list")
    if length is not None and len(item) != length:
        raise InvalidMessage(f"expected {length} bytes, found {len(item)}")
    return item


def as_uint(item: Item | Cut, bits: int = 256) -> int:
    """Return `item` as an unsigned integer below 2^bits; raises InvalidMessage."""
    if not isinstance(item, bytes):
        raise InvalidMessage("rlp: expected input string or byte for an integer, found a list")
    if item[:1] == b"\x00":
        raise InvalidMessage("rlp: non-canonical integer (leading zero bytes)")
    value = int.from_bytes(item, "big")
    if value.bit_length() > bits:
        raise InvalidMessage(f"rlp: input string too long for uint{bits}")
    return value


def uint(value: int) -> bytes:
    """Return the canonical bytes of an unsigned integer; zero is the empty string."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
