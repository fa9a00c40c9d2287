"""Paths of trie nodes: one byte, 0..15, for each nibble, and their hex-prefix encoding.

Source: Yellow Paper appendix C.
"""

from __future__ import annotations

from typing import TypeAlias

Nibbles: TypeAlias = bytes
"""A path: one byte, 0..15, for each nibble."""

_NIBBLE_OF_HEX = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))
_HEX_OF_NIBBLE = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")


def nibbles_of(key: bytes) -> Nibbles:
    """Return the path of a key, two nibbles a byte."""
    return key.hex().encode().translate(_NIBBLE_OF_HEX)


def key_of(path: Nibbles) -> bytes:
    """Return the key of a path of even length."""
    return bytes.fromhex(path.translate(_HEX_OF_NIBBLE).decode())


def pack_path(path: Nibbles, is_leaf: bool) -> bytes:
    """Return the hex-prefix encoding of a path. Source: Yellow Paper appendix C."""
    flag = (b"3" if is_leaf else b"1") if len(path) & 1 else (b"20" if is_leaf else b"00")
    return bytes.fromhex((flag + path.translate(_HEX_OF_NIBBLE)).decode())


def unpack_path(packed: bytes) -> tuple[Nibbles, bool]:
    """Return the path and whether it is a leaf's, from its hex-prefix encoding."""
    path = nibbles_of(packed)
    flag = path[0]
    return path[1 if flag & 1 else 2 :], flag >= 2


def shared_length(one: Nibbles, other: Nibbles, start: int) -> int:
    """Return the length of the common beginning of two paths that share `start` nibbles."""
    end = min(len(one), len(other))
    at = start
    while at < end and one[at] == other[at]:
        at += 1
    return at
