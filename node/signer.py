"""Signing keys behind one protocol, and the guard that never lets one sign twice.

A `Signer` signs a 32-byte digest; where its key lives (memory, later a hardware module) is its own
business. The runtime signs only what the write-ahead log's guard (consensus/wal.py) permits.
"""

from __future__ import annotations

from typing import Protocol

from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import Address, Hash32


class Signer(Protocol):
    """Something that holds one validator key."""

    @property
    def address(self) -> Address:
        """The validator's address."""
        ...

    def sign(self, digest: Hash32) -> bytes:
        """Return the 65-byte signature (r, s, v in {0, 1}, low s) of `digest`."""
        ...


class LocalSigner:
    """A key in this process's memory; deterministic signatures (RFC 6979)."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    @property
    def address(self) -> Address:
        """The validator's address."""
        return self._key.address

    def sign(self, digest: Hash32) -> bytes:
        """Return the signature of `digest`."""
        return self._key.sign(digest)
