"""The node key: a node's network identity, an Ed25519 key of its own, never the validator's key.

The peer id is libp2p's: base58 of the identity multihash of the protobuf of the public key. It is
computed here without libp2p, so that commands which only handle keys start quickly.
Source: libp2p specs, peer-ids. The file holds `ed25519:` and the 32-byte seed in hex, mode 0600.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from primitives.errors import ConfigError, ensure

SEED_BYTES: Final = 32
KEY_PREFIX: Final = "ed25519:"
PUBLIC_KEY_PREFIX: Final = bytes.fromhex("002408011220")
"""Identity multihash of 36 bytes | protobuf: type Ed25519, 32 bytes of data."""
BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PEER_ID_BYTES: Final = len(PUBLIC_KEY_PREFIX) + 32
PEER_ID_CHARACTERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class NodeKey:
    """The secret of a node's identity; its text form never shows the seed."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        ensure(len(self.seed) == SEED_BYTES, "a node key has a seed of 32 bytes")

    @property
    def peer_id(self) -> str:
        """The peer id that others know this node by."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return _base58(PUBLIC_KEY_PREFIX + public)


def generate_node_key() -> NodeKey:
    """Return a new node key from the system's randomness."""
    return NodeKey(secrets.token_bytes(SEED_BYTES))


def save_node_key(path: Path, key: NodeKey) -> None:
    """Write the key to a new file with mode 0600; raises ConfigError when the file exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"node key {path} exists and is not overwritten") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{KEY_PREFIX}{key.seed.hex()}\n")
        file.flush()
        os.fsync(file.fileno())


def load_node_key(path: Path) -> NodeKey:
    """Return the key in the file; raises ConfigError that says what is wrong with it."""
    try:
        text = path.read_text(encoding="ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"node key {path} cannot be read: {type(error).__name__}") from None
    if mode & 0o077:
        raise ConfigError(f"node key {path} can be read by others; run: chmod 600 {path}")
    try:
        seed = bytes.fromhex(text.removeprefix(KEY_PREFIX))
    except ValueError:
        seed = b""
    if not text.startswith(KEY_PREFIX) or len(seed) != SEED_BYTES:
        raise ConfigError(f"node key {path} is not '{KEY_PREFIX}' and 64 hex digits")
    return NodeKey(seed)


def check_peer_id(peer_id: str) -> None:
    """Raise ConfigError unless `peer_id` is the peer id of an Ed25519 key."""
    raw = _from_base58(peer_id) if len(peer_id) <= PEER_ID_CHARACTERS_MAX else b""
    if len(raw) != PEER_ID_BYTES or not raw.startswith(PUBLIC_KEY_PREFIX):
        raise ConfigError(f"{peer_id[:PEER_ID_CHARACTERS_MAX]!r} is not an Ed25519 peer id")


def _base58(raw: bytes) -> str:
    """Return `raw` in base58 (Bitcoin's alphabet)."""
    number, digits = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = BASE58[digit] + digits
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return BASE58[0] * zeros + digits


def _from_base58(text: str) -> bytes:
    """Return the bytes that `text` encodes, or nothing when it is not base58."""
    number = 0
    for character in text:
        digit = BASE58.find(character)
        if digit < 0:
            return b""
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(BASE58[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
