"""Headers and blocks: Ethereum's Prague layout, 21 header fields, hash = keccak(rlp(header)).

Nothing in a header is special to QENEX, so every Ethereum tool computes the same hash. The names
are ours (`height`, `fee_recipient`); JSON-RPC renames them. Fields of proof of work and of blobs
keep fixed values that the chain's rules check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from primitives.codec import Cut, Item, as_bytes, as_uint, decode_list, encode, split, uint, wrap
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidMessage
from primitives.params import BLOCK_TRANSACTIONS_MAX
from primitives.receipt import BLOOM_BYTES
from primitives.transaction import OURS, Form, Transaction, decode_transactions
from primitives.types import (
    ADDRESS_BYTES,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_ROOT,
    GAS_ZERO,
    HASH_BYTES,
    ZERO_HASH,
    Address,
    Gas,
    Hash32,
    Height,
    Wei,
)

HEADER_FIELDS: Final = 21
BLOCK_PARTS: Final = 4
EMPTY_LIST: Final = b"\xc0"
FIRST_BYTE_LEGACY_MIN: Final = 0x80
"""First bytes below are types. Source: EIP-2718."""


@dataclass(frozen=True, slots=True)
class Header:
    """The 21 fields of a Prague header, in order of encoding."""

    parent_hash: Hash32
    fee_recipient: Address
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    logs_bloom: bytes
    height: Height
    gas_limit: Gas
    gas_used: Gas
    timestamp: int
    extra_data: bytes
    mix_hash: Hash32
    base_fee_per_gas: Wei
    ommers_hash: Hash32 = EMPTY_OMMERS_HASH
    difficulty: int = 0
    nonce: bytes = bytes(8)
    withdrawals_root: Hash32 = EMPTY_ROOT
    blob_gas_used: Gas = GAS_ZERO
    excess_blob_gas: Gas = GAS_ZERO
    parent_beacon_block_root: Hash32 = ZERO_HASH
    requests_hash: Hash32 = EMPTY_REQUESTS_HASH

    @property
    def hash(self) -> Hash32:
        """The block hash; computed at each call (about 15 us), keep it where it is needed often."""
        return keccak(encode_header(self))


@dataclass(frozen=True, slots=True)
class Block:
    """A header with its transactions; ommers and withdrawals are always empty."""

    header: Header
    transactions: tuple[Transaction, ...]
    hash: Hash32

    @classmethod
    def of(cls, header: Header, transactions: tuple[Transaction, ...]) -> Block:
        """Return the block and its hash."""
        return cls(header, transactions, header.hash)


def _header_items(header: Header) -> list[Item]:
    return [
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
        uint(header.base_fee_per_gas),
        header.withdrawals_root,
        uint(header.blob_gas_used),
        uint(header.excess_blob_gas),
        header.parent_beacon_block_root,
        header.requests_hash,
    ]


def encode_header(header: Header) -> bytes:
    """Return the RLP list of the 21 fields."""
    return encode(_header_items(header))


def decode_header(raw: bytes) -> Header:
    """Return the header that `raw` encodes; raises InvalidMessage. Checks form, not rules."""
    items = decode_list(raw, HEADER_FIELDS)

    def fixed(index: int) -> Hash32:
        return Hash32(as_bytes(items[index], HASH_BYTES))

    return Header(
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
        nonce=as_bytes(items[14], 8),
        base_fee_per_gas=Wei(as_uint(items[15])),
        withdrawals_root=fixed(16),
        blob_gas_used=Gas(as_uint(items[17], 64)),
        excess_blob_gas=Gas(as_uint(items[18], 64)),
        parent_beacon_block_root=fixed(19),
        requests_hash=fixed(20),
    )


def encode_block(block: Block) -> bytes:
    """Return RLP [header, transactions, ommers, withdrawals]; typed transactions are strings."""
    transactions = wrap(encode(each.raw) if each.type else each.raw for each in block.transactions)
    return wrap((encode_header(block.header), transactions, EMPTY_LIST, EMPTY_LIST))


def decode_block(raw: bytes) -> Block:
    """Return the block that `raw` encodes, senders recovered; raises InvalidMessage.

    A transaction in it that does not decode raises InvalidTransaction.
    """
    parts, places = block_parts(raw)
    if len(parts) != BLOCK_PARTS:
        raise InvalidMessage(f"a block has {BLOCK_PARTS} parts, found {len(parts)}")
    if raw[places[2] :] != EMPTY_LIST * 2:
        raise InvalidMessage("a block has no ommers and no withdrawals")
    header = decode_header(raw[places[0] : places[1]])
    return Block.of(header, decode_body(raw, parts[1], OURS, BLOCK_TRANSACTIONS_MAX))


def block_parts(raw: bytes) -> tuple[list[Cut], list[int]]:
    """Return the parts of an encoded block, and where each begins; raises InvalidMessage."""
    outer, _ = split(raw, 0, len(raw))
    if len(outer) != 1 or isinstance(outer[0], bytes):
        raise InvalidMessage("a block is one RLP list")
    return split(raw, *outer[0])


def decode_body(raw: bytes, part: Cut, form: Form, limit: int) -> tuple[Transaction, ...]:
    """Return the transactions of a block's second part, at most `limit`, senders recovered.

    Raises InvalidMessage, or the InvalidTransaction of one that does not decode.
    """
    decoded = []
    for each in decode_transactions(_transaction_raws(raw, part, limit), form):
        if not isinstance(each, Transaction):
            raise each
        decoded.append(each)
    return tuple(decoded)


def _transaction_raws(raw: bytes, part: Cut, limit: int) -> list[bytes]:
    """Cut the list of transactions: a legacy one is a list, a typed one is a string."""
    if isinstance(part, bytes):
        raise InvalidMessage("the transactions of a block are an RLP list")
    items, starts = split(raw, *part, limit=limit)
    raws = []
    for item, start in zip(items, starts, strict=True):
        if isinstance(item, bytes) and (not item or item[0] >= FIRST_BYTE_LEGACY_MIN):
            raise InvalidMessage("a string in a block must hold a typed transaction")
        raws.append(item if isinstance(item, bytes) else raw[start : item[1]])
    return raws
