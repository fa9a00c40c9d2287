"""JSON of committed blocks, receipts and logs, made once and kept as bytes.

A block that exists never changes, so its JSON is kept by its hash: on a developer chain that goes
back, another block of the same height has another hash. Bounded by ENCODED_BYTES_MAX.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from node.cache import Cache

ENCODED_BYTES_MAX: Final = 32 * 2**20
ROW_BYTES: Final = 200
"""What an entry takes in memory beside its JSON, roughly."""

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)


class Encoded:
    """A result that is JSON already."""

    __slots__ = ("json",)

    def __init__(self, encoded: bytes) -> None:
        self.json = encoded


class EncodedObject(Encoded):
    """A JSON object."""

    __slots__ = ()


class EncodedList(Encoded):
    """A JSON array."""

    __slots__ = ()


_Kind = TypeVar("_Kind", bound=Encoded)
EncodedCache: TypeAlias = Cache[tuple[str, bytes, int], Encoded]
"""Encoded results by what they show, the hash of their block, and an index in it or 0."""


def new_cache() -> EncodedCache:
    """Return an empty cache."""
    return Cache(ENCODED_BYTES_MAX)


def to_json(value: object) -> bytes:
    """Return compact JSON in ASCII; what is encoded already comes back as it is."""
    if isinstance(value, Encoded):
        return value.json
    return _ENCODER.encode(value).encode("ascii")


def encoded(value: object) -> Encoded:
    """Return a result whose JSON is made now, for many to get."""
    return Encoded(to_json(value))


def kept(
    cache: EncodedCache,
    key: tuple[str, bytes, int],
    kind: type[_Kind],
    make: Callable[[], object],
) -> _Kind:
    """Return the encoded value of `key`, from the cache or of what `make` returns."""
    found = cache.get(key)
    if not isinstance(found, kind):
        found = kind(to_json(make()))
        cache.put(key, found, len(found.json) + ROW_BYTES)
    return found
