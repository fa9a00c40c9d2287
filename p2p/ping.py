"""Our own ping: once a second on the consensus stream, with the sender's head.

Ping body: RLP [stamp, height, head hash]; pong body: RLP [stamp], the stamp of the ping it answers
(an opaque 64-bit number of the pinger). A link that hears nothing at all for SILENT_SECONDS_MAX is
closed and dialled again; TCP alone would not notice a stopped or unreachable peer for minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from primitives.codec import as_bytes, as_uint, decode_list, encode, uint
from primitives.types import HASH_BYTES, Hash32, Height

PING: Final = 0x7F
PONG: Final = 0x7E
APPLICATION_KIND_MAX: Final = 0x6F
PING_SECONDS: Final = 1.0
PONG_SECONDS_MIN: Final = 0.1
SILENT_SECONDS_MAX: Final = 3.0
SUSPECT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping: the pinger's stamp and head."""

    stamp: int
    height: Height
    head_hash: Hash32


def encode_ping(ping: Ping) -> bytes:
    """Return the body of a ping."""
    return encode([uint(ping.stamp), uint(ping.height), ping.head_hash])


def decode_ping(body: bytes) -> Ping:
    """Return the ping that `body` encodes; raises InvalidMessage."""
    stamp, height, head_hash = decode_list(body, 3)
    return Ping(
        as_uint(stamp, 64), Height(as_uint(height, 64)), Hash32(as_bytes(head_hash, HASH_BYTES))
    )


def encode_pong(stamp: int) -> bytes:
    """Return the body of the answer to the ping with `stamp`."""
    return encode([uint(stamp)])


def decode_pong(body: bytes) -> int:
    """Return the stamp in a pong; raises InvalidMessage."""
    return as_uint(decode_list(body, 1)[0], 64)
