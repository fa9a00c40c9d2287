"""Logs, receipts and their bloom filters.

Sources: Yellow Paper 4.3.1; EIP-658 (status), EIP-2718 (typed receipts). A receipt's encoding is
what the receipts trie and the wire hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from primitives.codec import (
    Item,
    as_bytes,
    as_list,
    as_uint,
    decode_list,
    encode,
    list_prefix,
    uint,
)
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidMessage
from primitives.types import ADDRESS_BYTES, HASH_BYTES, Address, Gas, Hash32

BLOOM_BYTES: Final = 256
TOPICS_MAX: Final = 4
EMPTY_BLOOM: Final = bytes(BLOOM_BYTES)

_NOTHING_LOGGED: Final = encode(EMPTY_BLOOM) + encode([])
_TYPE_BYTE: Final = (b"", *(bytes((kind,)) for kind in range(1, 0x80)))


@dataclass(frozen=True, slots=True)
class Log:
    """One event: emitting contract, up to four topics, data."""

    address: Address
    topics: tuple[Hash32, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction left behind; `cumulative_gas_used` counts from the block's start.

    A receipt from before Byzantium holds the `state_root` after its transaction in place of the
    status; no other receipt has one.
    """

    type: int
    status: int
    cumulative_gas_used: Gas
    logs: tuple[Log, ...]
    bloom: bytes
    state_root: Hash32 | None = None


def bloom_of(logs: Sequence[Log]) -> bytes:
    """Return the 2048-bit bloom filter of addresses and topics. Source: Yellow Paper, M(O)."""
    if not logs:
        return EMPTY_BLOOM
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bits |= bloom_bits(item)
    return bits.to_bytes(BLOOM_BYTES, "big")


def bloom_bits(item: bytes) -> int:
    """Return the three bits that `item` sets, as a 2048-bit integer."""
    digest = keccak(item)
    bits = 0
    for i in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return bits


def join_blooms(blooms: Iterable[bytes]) -> bytes:
    """Return the bitwise or of 256-byte blooms."""
    bits = 0
    for bloom in blooms:
        if bloom != EMPTY_BLOOM:
            bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(BLOOM_BYTES, "big")


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the EIP-2718 encoding: RLP for type 0, type byte and RLP for the others."""
    if not receipt.logs and receipt.state_root is None and receipt.bloom == EMPTY_BLOOM:
        used = encode(uint(receipt.cumulative_gas_used))
        body = (b"\x01" if receipt.status else b"\x80") + used + _NOTHING_LOGGED
        return _TYPE_BYTE[receipt.type] + list_prefix(len(body)) + body
    logs: list[Item] = [[log.address, list(log.topics), log.data] for log in receipt.logs]
    outcome = uint(receipt.status) if receipt.state_root is None else receipt.state_root
    body = encode([outcome, uint(receipt.cumulative_gas_used), receipt.bloom, logs])
    return body if receipt.type == 0 else bytes([receipt.type]) + body


def decode_receipt(raw: bytes) -> Receipt:
    """Return the receipt that `raw` encodes; raises InvalidMessage."""
    if not raw:
        raise InvalidMessage("empty receipt")
    kind = raw[0] if raw[0] < 0x80 else 0
    outcome, gas_used, bloom, logs = decode_list(raw[1:] if kind else raw, 4)
    has_root = isinstance(outcome, bytes) and len(outcome) == HASH_BYTES and kind == 0
    return Receipt(
        type=kind,
        status=0 if has_root else as_uint(outcome, 1),
        cumulative_gas_used=Gas(as_uint(gas_used, 64)),
        logs=tuple(_decode_log(log) for log in as_list(logs)),
        bloom=as_bytes(bloom, BLOOM_BYTES),
        state_root=Hash32(as_bytes(outcome)) if has_root else None,
    )


def _decode_log(item: Item) -> Log:
    address, topics, data = as_list(item, 3)
    if len(topics) > TOPICS_MAX:
        raise InvalidMessage(f"a log has at most {TOPICS_MAX} topics, found {len(topics)}")
    return Log(
        Address(as_bytes(address, ADDRESS_BYTES)),
        tuple(Hash32(as_bytes(topic, HASH_BYTES)) for topic in as_list(topics)),
        as_bytes(data),
    )
