"""Requests of a block to the consensus layer, and the hash that its header holds (EIP-7685)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from primitives.types import Hash32


def requests_hash(requests: Iterable[bytes]) -> Hash32:
    """Return sha256 over the sha256 of each request that holds data beside its type byte."""
    digests = (sha256(each).digest() for each in requests if len(each) > 1)
    return Hash32(sha256(b"".join(digests)).digest())
