"""What nodes say to each other beyond consensus votes: bodies, transactions, blocks.

All bodies are canonical RLP. Kinds are the frame types of `p2p`:

    stream      kind               body
    consensus   (consensus.messages owns its kinds)
    tx          TRANSACTIONS       [raw, ...]
    sync        GET_BLOCKS         [first height, count]    -> one [block, certificate] a message
    sync        GET_TRANSACTIONS   [block hash, index, ...] -> one raw transaction a message
    sync        GET_POINT          [height]                 -> a point, the state's root node
    sync        GET_STEP           [height]                 -> a step of a light client
    sync        GET_STATE          [height, unit, account hash, slot hash], the hashes behind which
                                   to go on, or empty       -> a chunk of rows, 1 if there are more
    sync        GET_CODES          [code hash, ...]         -> one contract's code a message

The body of a proposal is [header, transaction hash, ...]: a peer takes the transactions from its
pool and asks for those it lacks. Points, steps, units and chunks are those of `node.snapshot`.
Every decoder raises InvalidMessage and has a named bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from primitives.block import Header, decode_header, encode_header
from primitives.codec import Item, as_bytes, as_uint, decode_list, encode, uint
from primitives.errors import InvalidMessage
from primitives.params import BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX
from primitives.types import HASH_BYTES, Hash32, Height

TRANSACTIONS: Final = 1
GET_BLOCKS: Final = 1
GET_TRANSACTIONS: Final = 2
GET_POINT: Final = 3
GET_STEP: Final = 4
GET_STATE: Final = 5
GET_CODES: Final = 6
CODES_MAX: Final = 64

BATCH_BYTES_MAX: Final = 60_000
BATCH_TRANSACTIONS_MAX: Final = 4_096
SYNC_BLOCKS_MAX: Final = 64
SYNC_BYTES_MAX: Final = 3_000_000
GET_TRANSACTIONS_MAX: Final = BLOCK_TRANSACTIONS_MAX


def encode_body(header: Header, transactions: Sequence[Hash32]) -> bytes:
    """Return the body of a proposal: its header and the hashes of its transactions."""
    return encode([encode_header(header), b"".join(transactions)])


def decode_body(raw: bytes) -> tuple[Header, tuple[Hash32, ...]]:
    """Return header and transaction hashes of a proposal's body; raises InvalidMessage."""
    header, joined = decode_list(raw, 2)
    hashes = as_bytes(joined)
    if len(hashes) % HASH_BYTES or len(hashes) > HASH_BYTES * BLOCK_TRANSACTIONS_MAX:
        raise InvalidMessage("a body names whole hashes, at most BLOCK_TRANSACTIONS_MAX")
    named = tuple(Hash32(hashes[i : i + HASH_BYTES]) for i in range(0, len(hashes), HASH_BYTES))
    if len(set(named)) != len(named):
        raise InvalidMessage("a body names a transaction twice")
    return decode_header(as_bytes(header)), named


def encode_batches(raws: Sequence[bytes]) -> list[bytes]:
    """Return TRANSACTIONS bodies that hold `raws` in order, each about BATCH_BYTES_MAX."""
    batches: list[bytes] = []
    part: list[Item] = []
    size = 0
    for raw in raws:
        if part and (size + len(raw) > BATCH_BYTES_MAX or len(part) == BATCH_TRANSACTIONS_MAX):
            batches.append(encode(part))
            part, size = [], 0
        part.append(raw)
        size += len(raw)
    if part:
        batches.append(encode(part))
    return batches


def decode_batch(kind: int, raw: bytes) -> list[bytes]:
    """Return the raw transactions of a message of the tx stream; raises InvalidMessage."""
    if kind != TRANSACTIONS:
        raise InvalidMessage(f"unknown kind {kind} on the transaction stream")
    raws = [as_bytes(each) for each in decode_list(raw)]
    if len(raws) > BATCH_TRANSACTIONS_MAX:
        raise InvalidMessage(f"more than {BATCH_TRANSACTIONS_MAX} transactions in a batch")
    if any(len(each) > TRANSACTION_BYTES_MAX for each in raws):
        raise InvalidMessage(f"a transaction above {TRANSACTION_BYTES_MAX} bytes in a batch")
    return raws


def encode_get_blocks(first: Height, count: int) -> bytes:
    """Return a GET_BLOCKS body for `count` blocks from height `first` on."""
    return encode([uint(first), uint(count)])


def decode_get_blocks(raw: bytes) -> tuple[Height, int]:
    """Return (first height, count <= SYNC_BLOCKS_MAX); raises InvalidMessage."""
    first, count = decode_list(raw, 2)
    wanted = as_uint(count, 32)
    if not 1 <= wanted <= SYNC_BLOCKS_MAX:
        raise InvalidMessage(f"a request is for 1 to {SYNC_BLOCKS_MAX} blocks")
    return Height(as_uint(first, 64)), wanted


def encode_certified(block: bytes, certificate: bytes) -> bytes:
    """Return one answer to GET_BLOCKS: an encoded block and its encoded certificate."""
    return encode([block, certificate])


def decode_certified(raw: bytes) -> tuple[bytes, bytes]:
    """Return (encoded block, encoded certificate); raises InvalidMessage."""
    block, certificate = decode_list(raw, 2)
    return as_bytes(block), as_bytes(certificate)


def encode_get_transactions(block_hash: Hash32, indexes: Sequence[int]) -> bytes:
    """Return a GET_TRANSACTIONS body for the transactions of a proposed block by index."""
    return encode([block_hash, [uint(each) for each in indexes]])


def decode_get_transactions(raw: bytes) -> tuple[Hash32, list[int]]:
    """Return (block hash, indexes); raises InvalidMessage."""
    block_hash, rows = decode_list(raw, 2)
    if isinstance(rows, bytes):
        raise InvalidMessage("indexes are a list")
    if len(rows) > GET_TRANSACTIONS_MAX:
        raise InvalidMessage(f"more than {GET_TRANSACTIONS_MAX} indexes")
    return Hash32(as_bytes(block_hash, HASH_BYTES)), [as_uint(each, 32) for each in rows]


def encode_get_height(height: int) -> bytes:
    """Return a GET_POINT or GET_STEP body."""
    return encode([uint(height)])


def decode_get_height(raw: bytes) -> Height:
    """Return the height of a GET_POINT or GET_STEP body; raises InvalidMessage."""
    [height] = decode_list(raw, 1)
    return Height(as_uint(height, 64))


def encode_get_state(height: int, unit: int, account: bytes, slot: bytes) -> bytes:
    """Return a GET_STATE body; the hashes are empty where there is nothing to go on behind."""
    return encode([uint(height), uint(unit), account, slot])


def decode_get_state(raw: bytes) -> tuple[Height, int, bytes, bytes]:
    """Return (height, unit below 16, account hash or empty, slot hash or empty).

    Raises InvalidMessage.
    """
    height, unit, account, slot = decode_list(raw, 4)
    after = [as_bytes(account), as_bytes(slot)]
    if any(len(each) not in (0, HASH_BYTES) for each in after) or (after[1] and not after[0]):
        raise InvalidMessage("a place in the state is an account's hash and a slot's")
    return Height(as_uint(height, 64)), as_uint(unit, 4), after[0], after[1]


def encode_get_codes(hashes: Sequence[Hash32]) -> bytes:
    """Return a GET_CODES body."""
    return encode(list(hashes))


def decode_get_codes(raw: bytes) -> list[Hash32]:
    """Return the code hashes of a GET_CODES body; raises InvalidMessage."""
    hashes = decode_list(raw)
    if not 1 <= len(hashes) <= CODES_MAX:
        raise InvalidMessage(f"a request is for 1 to {CODES_MAX} pieces of code")
    return [Hash32(as_bytes(each, HASH_BYTES)) for each in hashes]
