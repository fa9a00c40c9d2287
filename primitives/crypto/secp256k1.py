"""ECDSA over secp256k1 with public-key recovery, as Ethereum signs. Backed by coincurve.

A signature is 65 bytes: r | s | v, where v is 0 or 1 (Solidity's `ecrecover` wants v + 27). Only
the lower half of s is accepted (EIP-2), so nobody can turn one valid signature into another.
A recovery takes about 30 us and releases the interpreter lock, hence `recover_many`. It calls
libsecp256k1 through coincurve's own binding, without the objects that coincurve makes for each
key: their making holds the lock, and two threads would wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Final

import coincurve
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]  # a C module
from coincurve.context import GLOBAL_CONTEXT

from primitives.crypto.keccak import keccak
from primitives.errors import BadSignature, ConfigError, ensure
from primitives.meter import Stage, metered
from primitives.types import ADDRESS_BYTES, HASH_BYTES, Address

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of the group. Source: SEC 2, section 2.4.1."""

HALF_ORDER: Final = ORDER // 2
SIGNATURE_BYTES: Final = 65
PRIVATE_KEY_BYTES: Final = 32

RECOVERY_THREADS_MAX: Final = 4
BATCH_MIN: Final = 64
"""Least number of signatures for which threads pay for themselves."""

BAD_VALUES: Final = "invalid sender: invalid transaction v, r, s values"
NO_PUBLIC_KEY: Final = "invalid sender: no public key fits the signature"

_HALF_ORDER_BYTES: Final = HALF_ORDER.to_bytes(32, "big")
_POINT_BYTES: Final = 65
_UNCOMPRESSED: Final = 2
"""SECP256K1_EC_UNCOMPRESSED of libsecp256k1's header."""


class PrivateKey:
    """A signing key. Its repr shows the address, never the key."""

    __slots__ = ("_key", "address")

    def __init__(self, raw: bytes) -> None:
        """Take the 32 bytes of the scalar; raises ConfigError when it is not in 1..ORDER-1."""
        if len(raw) != PRIVATE_KEY_BYTES or not 0 < int.from_bytes(raw, "big") < ORDER:
            raise ConfigError("a private key is 32 bytes, above zero and below the group's order")
        self._key = coincurve.PrivateKey(bytes(raw))
        self.address = _address_of(self._key.public_key.format(compressed=False))

    @classmethod
    def generate(cls) -> PrivateKey:
        """Return a new key from the operating system's randomness."""
        return cls(coincurve.PrivateKey().secret)

    @property
    def raw(self) -> bytes:
        """The 32 secret bytes."""
        return self._key.secret

    @property
    def public_key(self) -> bytes:
        """The public key, 64 bytes: x and y of its point."""
        return self._key.public_key.format(compressed=False)[1:]

    def sign(self, digest: bytes) -> bytes:
        """Return the 65-byte signature r | s | v of a 32-byte digest, low s. Source: RFC 6979."""
        ensure(len(digest) == HASH_BYTES, "only 32-byte digests are signed", length=len(digest))
        signature = self._key.sign_recoverable(digest, hasher=None)
        ensure(signature[64] < 2, "r is above the group's order: no Ethereum signature")
        return signature

    def __repr__(self) -> str:
        return f"PrivateKey(address=0x{self.address.hex()})"


def recover(digest: bytes, signature: bytes, *, high_s: bool = False) -> Address:
    """Return the address that signed `digest`; raises BadSignature.

    Refuses a length other than 65, v other than 0 and 1, s above half the order (EIP-2) unless
    `high_s` (Frontier had no such rule), and r or s that is zero or not below the order.
    """
    if len(signature) != SIGNATURE_BYTES or len(digest) != HASH_BYTES:
        raise BadSignature("invalid sender: a signature is 65 bytes over a 32-byte digest")
    if not _has_values(signature, high_s):
        raise BadSignature(BAD_VALUES)
    address = _Recovery().address(digest, signature)
    if address is None:
        raise BadSignature(NO_PUBLIC_KEY)
    return address


def _has_values(signature: bytes, high_s: bool) -> bool:
    return signature[64] <= 1 and (high_s or signature[32:64] <= _HALF_ORDER_BYTES)


class _Recovery:
    """Memory for one thread's recoveries, used again for each."""

    def __init__(self) -> None:
        self._signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        self._public = ffi.new("secp256k1_pubkey *")
        self._point = ffi.new("unsigned char[]", _POINT_BYTES)
        self._size = ffi.new("size_t *", _POINT_BYTES)
        self._buffer = ffi.buffer(self._point)

    def address(self, digest: bytes, signature: bytes) -> Address | None:
        """Return who signed, or None; the lengths are checked and v is 0 or 1."""
        context = GLOBAL_CONTEXT.ctx
        if not lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
            context, self._signature, signature[:64], signature[64]
        ):
            return None
        if not lib.secp256k1_ecdsa_recover(context, self._public, self._signature, digest):
            return None
        self._size[0] = _POINT_BYTES
        lib.secp256k1_ec_pubkey_serialize(
            context, self._point, self._size, self._public, _UNCOMPRESSED
        )
        return _address_of(self._buffer[:])


def recover_many(
    pairs: Sequence[tuple[bytes, bytes]], *, high_s: bool = False
) -> list[Address | None]:
    """Return who signed each (digest, signature), or None where the signature is bad.

    Large batches are split over at most RECOVERY_THREADS_MAX threads; `high_s` as in `recover`.
    """
    threads = min(RECOVERY_THREADS_MAX, os.cpu_count() or 1, len(pairs) // (BATCH_MIN // 2))
    if len(pairs) < BATCH_MIN or threads < 2:
        return _recover_each(pairs, high_s)
    share = -(-len(pairs) // threads)
    shares = [pairs[start : start + share] for start in range(0, len(pairs), share)]
    with ThreadPoolExecutor(threads, thread_name_prefix="recover") as pool:
        parts = pool.map(_recover_each, shares, repeat(high_s))
        return [each for part in parts for each in part]


@metered(Stage.DECODE)
def _recover_each(pairs: Sequence[tuple[bytes, bytes]], high_s: bool) -> list[Address | None]:
    find = _Recovery().address
    senders: list[Address | None] = []
    for digest, signature in pairs:
        is_formed = len(signature) == SIGNATURE_BYTES and len(digest) == HASH_BYTES
        may_be = is_formed and _has_values(signature, high_s)
        senders.append(find(digest, signature) if may_be else None)
    return senders


def _address_of(point: bytes) -> Address:
    """Return the address of a public key: 0x04 and both coordinates."""
    return Address(keccak(point[1:])[-ADDRESS_BYTES:])
