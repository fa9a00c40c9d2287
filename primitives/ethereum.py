"""Headers and blocks of public Ethereum chains, of every fork: 15 to 21 header fields, ommers.

A QENEX block has one layout (`primitives.block`); these are for reading other chains. A field that
a fork added is None in headers from before it, and a header's encoding ends with its last field
that is there. Sources: Yellow Paper 4.4; EIP-1559, 4895, 4844, 4788, 7685.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Final

from primitives.block import block_parts, decode_body
from primitives.codec import (
    ITEMS_MAX,
    Item,
    as_bytes,
    as_list,
    as_uint,
    decode_list,
    encode,
    split,
    uint,
    wrap,
)
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidMessage
from primitives.receipt import BLOOM_BYTES
from primitives.transaction import PUBLIC, Transaction
from primitives.types import ADDRESS_BYTES, HASH_BYTES, Address, Gas, Hash32, Height, Wei

FIELD_COUNTS: Final = (15, 16, 17, 20, 21)
"""Lengths of a header: Frontier, London, Shanghai, Cancun, Prague."""

OMMERS_MAX: Final = 2
GWEI: Final = 10**9
NONCE_BYTES: Final = 8
LIST_MIN: Final = 0xC0
LONG_LIST_MIN: Final = 0xF8
BLOCK_BYTES_READ_MAX: Final = 64 << 20
"""Most bytes of a block in a file; the largest that a public chain allows is a sixth of it."""


@dataclass(frozen=True, slots=True)
class PublicHeader:
    """A header of a public chain, its fields in order of encoding."""

    parent_hash: Hash32
    ommers_hash: Hash32
    fee_recipient: Address
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    logs_bloom: bytes
    difficulty: int
    height: Height
    gas_limit: Gas
    gas_used: Gas
    timestamp: int
    extra_data: bytes
    mix_hash: Hash32
    nonce: bytes
    base_fee_per_gas: Wei | None = None
    withdrawals_root: Hash32 | None = None
    blob_gas_used: Gas | None = None
    excess_blob_gas: Gas | None = None
    parent_beacon_block_root: Hash32 | None = None
    requests_hash: Hash32 | None = None

    @property
    def hash(self) -> Hash32:
        """The block hash; computed at each call."""
        return keccak(encode_public_header(self))


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What the consensus layer pays out to an address; `amount_gwei` is in gwei (EIP-4895)."""

    index: int
    validator_index: int
    address: Address
    amount_gwei: int

    @property
    def amount(self) -> Wei:
        """The amount in wei."""
        return Wei(self.amount_gwei * GWEI)


@dataclass(frozen=True, slots=True)
class PublicBlock:
    """A block of a public chain; `withdrawals` None before Shanghai."""

    header: PublicHeader
    transactions: tuple[Transaction, ...]
    ommers: tuple[PublicHeader, ...]
    withdrawals: tuple[Withdrawal, ...] | None
    hash: Hash32
    size_bytes: int


def header_items(header: PublicHeader) -> list[Item]:
    """Return the fields that are there, as they are encoded."""
    items: list[Item] = [
        header.parent_hash,
        header.ommers_hash,
        header.fee_recipient,
        header.state_root,
        header.transactions_root,
        header.receipts_root,
        header.logs_bloom,
        uint(header.difficulty),
        uint(header.height),
        uint(header.gas_limit),
        uint(header.gas_used),
        uint(header.timestamp),
        header.extra_data,
        header.mix_hash,
        header.nonce,
    ]
    later: tuple[int | bytes | None, ...] = (
        header.base_fee_per_gas,
        header.withdrawals_root,
        header.blob_gas_used,
        header.excess_blob_gas,
        header.parent_beacon_block_root,
        header.requests_hash,
    )
    for field in later:
        if field is None:
            break
        items.append(uint(field) if isinstance(field, int) else field)
    return items


def encode_public_header(header: PublicHeader) -> bytes:
    """Return the RLP list of the fields that are there."""
    return encode(header_items(header))


def decode_public_header(raw: bytes) -> PublicHeader:
    """Return the header that `raw` encodes; raises InvalidMessage. Checks form, not rules."""
    return _header(decode_list(raw))


def _header(items: list[Item]) -> PublicHeader:
    count = len(items)
    if count not in FIELD_COUNTS:
        raise InvalidMessage(f"a header has {FIELD_COUNTS} fields, found {count}")

    def fixed(index: int) -> Hash32:
        return Hash32(as_bytes(items[index], HASH_BYTES))

    return PublicHeader(
        parent_hash=fixed(0),
        ommers_hash=fixed(1),
        fee_recipient=Address(as_bytes(items[2], ADDRESS_BYTES)),
        state_root=fixed(3),
        transactions_root=fixed(4),
        receipts_root=fixed(5),
        logs_bloom=as_bytes(items[6], BLOOM_BYTES),
        difficulty=as_uint(items[7]),
        height=Height(as_uint(items[8], 64)),
        gas_limit=Gas(as_uint(items[9], 64)),
        gas_used=Gas(as_uint(items[10], 64)),
        timestamp=as_uint(items[11], 64),
        extra_data=as_bytes(items[12]),
        mix_hash=fixed(13),
        nonce=as_bytes(items[14], NONCE_BYTES),
        base_fee_per_gas=Wei(as_uint(items[15])) if count > 15 else None,
        withdrawals_root=fixed(16) if count > 16 else None,
        blob_gas_used=Gas(as_uint(items[17], 64)) if count > 17 else None,
        excess_blob_gas=Gas(as_uint(items[18], 64)) if count > 17 else None,
        parent_beacon_block_root=fixed(19) if count > 17 else None,
        requests_hash=fixed(20) if count > 20 else None,
    )


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    """Return the RLP of a withdrawal, as the withdrawals trie holds it."""
    return encode(
        [
            uint(withdrawal.index),
            uint(withdrawal.validator_index),
            withdrawal.address,
            uint(withdrawal.amount_gwei),
        ]
    )


def _withdrawal(item: Item) -> Withdrawal:
    index, validator, address, amount = as_list(item, 4)
    return Withdrawal(
        as_uint(index, 64),
        as_uint(validator, 64),
        Address(as_bytes(address, ADDRESS_BYTES)),
        as_uint(amount, 64),
    )


def encode_public_block(block: PublicBlock) -> bytes:
    """Return the RLP list of header, transactions, ommers and, since Shanghai, withdrawals."""
    transactions = wrap(encode(each.raw) if each.type else each.raw for each in block.transactions)
    parts = [
        encode_public_header(block.header),
        transactions,
        encode([header_items(each) for each in block.ommers]),
    ]
    if block.withdrawals is not None:
        parts.append(wrap(encode_withdrawal(each) for each in block.withdrawals))
    return wrap(parts)


def split_blocks(raw: bytes) -> list[bytes]:
    """Return the encoded blocks that stand one after the other in `raw`; raises InvalidMessage."""
    items, starts = split(raw, 0, len(raw))
    blocks = []
    for item, start in zip(items, starts, strict=True):
        if isinstance(item, bytes):
            raise InvalidMessage("a block is an RLP list, found a string")
        blocks.append(raw[start : item[1]])
    return blocks


def read_block(stream: BinaryIO, size_bytes_max: int = BLOCK_BYTES_READ_MAX) -> bytes | None:
    """Return the next encoded block of `stream`, or None at its end; raises InvalidMessage.

    For files that are too long to be read whole; `split_blocks` is for those that are not.
    """
    first = stream.read(1)
    if not first:
        return None
    if first[0] < LIST_MIN:
        raise InvalidMessage("a block is an RLP list, found a string")
    prefix, size = first, first[0] - LIST_MIN
    if first[0] >= LONG_LIST_MIN:
        length = stream.read(first[0] - LONG_LIST_MIN + 1)
        prefix, size = first + length, int.from_bytes(length, "big")
    if size > size_bytes_max:
        raise InvalidMessage(f"a block has at most {size_bytes_max} bytes, found {size}")
    payload = stream.read(size)
    if len(payload) < size:
        raise InvalidMessage("the file ends within a block")
    return prefix + payload


def decode_public_block(raw: bytes) -> PublicBlock:
    """Return the block that `raw` encodes, senders recovered.

    Raises InvalidMessage, or the InvalidTransaction of a transaction that does not decode.
    """
    parts, starts = block_parts(raw)
    if len(parts) not in (3, 4):
        raise InvalidMessage(f"a block has 3 or 4 parts, found {len(parts)}")
    header = decode_public_header(raw[starts[0] : starts[1]])
    ends = [*starts[1:], len(raw)]
    ommers = as_list(decode_list(raw[starts[2] : ends[2]]))
    if len(ommers) > OMMERS_MAX:
        raise InvalidMessage(f"a block has at most {OMMERS_MAX} ommers, found {len(ommers)}")
    withdrawals = decode_list(raw[starts[3] : ends[3]]) if len(parts) == 4 else None
    return PublicBlock(
        header=header,
        transactions=decode_body(raw, parts[1], PUBLIC, ITEMS_MAX),
        ommers=tuple(_header(as_list(each)) for each in ommers),
        withdrawals=None if withdrawals is None else tuple(map(_withdrawal, withdrawals)),
        hash=keccak(raw[starts[0] : starts[1]]),
        size_bytes=len(raw),
    )
