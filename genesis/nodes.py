"""Nodes of a network: peer ids and the addresses where they listen.

A peer id is libp2p's name of an Ed25519 public key: base58 of the identity multihash of the key's
protobuf (libp2p specification, "Peer Ids and Keys"). It begins with 12D3KooW.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from primitives.errors import ConfigError
from primitives.types import Address

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519_PREFIX: Final = bytes.fromhex("002408011220")
_PUBLIC_KEY_BYTES: Final = 32
_PEER_ID_CHARS_MAX: Final = 60
_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_PORT_MAX: Final = 65_535


class Role(StrEnum):
    """What a node does in the network; the value stands in documents and on the wire."""

    VALIDATOR = "validator"
    OBSERVER = "observer"


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One node that the network admits: peer id, multiaddresses, the validator it signs for."""

    peer_id: str
    addresses: tuple[str, ...] = ()
    validator: Address | None = None
    role: Role = Role.OBSERVER


def check_peer_id(text: str) -> None:
    """Raise ConfigError unless `text` is the peer id of an Ed25519 key."""
    peer_id_bytes(text)


def peer_id_bytes(text: str) -> bytes:
    """Return the 38 bytes that a peer id spells in base58; raises ConfigError."""
    raw = _decode_base58(text) if len(text) <= _PEER_ID_CHARS_MAX else None
    if (
        raw is None
        or len(raw) != len(_ED25519_PREFIX) + _PUBLIC_KEY_BYTES
        or not raw.startswith(_ED25519_PREFIX)
    ):
        raise ConfigError(f"must be the peer id of an Ed25519 key (12D3KooW...), found {text!r}")
    return raw


def peer_id_text(raw: bytes) -> str:
    """Return the base58 text of a peer id; raises ConfigError unless an Ed25519 key has it."""
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    text = "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text
    check_peer_id(text)
    return text


def check_multiaddr(text: str) -> None:
    """Raise ConfigError unless `text` is /ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT."""
    parts = text.split("/")
    if (
        len(parts) != 5
        or parts[0] != ""
        or parts[3] != "tcp"
        or not _is_host(parts[1], parts[2])
        or not _is_port(parts[4])
    ):
        raise ConfigError(f"must look like /ip4/192.0.2.7/tcp/30303, found {text!r}")


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _PORT_MAX


def _is_host(kind: str, host: str) -> bool:
    if kind in ("dns", "dns4", "dns6"):
        return _NAME.fullmatch(host) is not None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return kind == f"ip{address.version}" and "%" not in host


def _decode_base58(text: str) -> bytes | None:
    number = 0
    for char in text:
        digit = _BASE58.find(char)
        if digit < 0:
            return None
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
