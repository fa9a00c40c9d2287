"""State snapshots: what one is made of, as files and on the wire.

A snapshot is the whole state after one block, with what proves that block and what a node needs to
go on from it:

    point   [header, certificate, deciding set, next set, [earlier header], block, [receipt]]
    steps   [step, ...]           leads a light client from the genesis block to the header
    chunk   [[key, value], ...]   rows of the state, in the order of the hashed keys
    step    [header, certificate, next set or empty, parent header, deciding set]

A row's key is what was hashed, so that a row proves its own place: an account is [address (20
bytes), slim account]; its slots follow it as [slot (32 bytes), value]; contract code is [empty,
code]. The state is cut in UNITS by the first nibble of an account's hash, the children of the root
of the account trie: each can be had from another peer and is proven by itself.

Nothing of a snapshot is believed: the header by certificates from a set that is trusted already
(`consensus.lightclient`), the rest by the header's roots and the links between headers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consensus.certificate import decode_certificate
from consensus.lightclient import (
    InvalidLightBlock,
    Leap,
    LightBlock,
    NotEnoughTrust,
    Rules,
    Trusted,
    follow,
    skip,
)
from primitives.block import Block, Header, decode_block, decode_header, encode_header
from primitives.codec import Item, as_bytes, as_list, decode_list, encode
from primitives.crypto.keccak import keccak
from primitives.errors import Invalid, InvalidMessage, StoreCorrupt
from primitives.keyvalue import Column, KeyValueReader
from primitives.receipt import bloom_of, decode_receipt, join_blooms
from primitives.types import ADDRESS_BYTES, EMPTY_CODE_HASH, HASH_BYTES, ChainId, Hash32, Height
from primitives.validators import decode_validator_set
from vm.state.encoding import EMPTY_ITEM, decode_slim
from vm.state.nodes import Short, decode_node, encode_node
from vm.state.roots import ordered_root
from vm.state.store import ACCOUNT_TRIE

UNITS: Final = 16
HEADERS_BEFORE: Final = 256
"""How many headers before the snapshot's block come along: as many as BLOCKHASH can name."""
CHUNK_BYTES_MAX: Final = 1_000_000
"""A chunk ends with the first row that brings it to this size."""
ROW_BYTES_MAX: Final = 100_000
CODE_BYTES_MAX: Final = 65_536
STEPS_MAX: Final = 4_096
TRUST_SECONDS: Final = 2**40
"""For how long a set is trusted: for ever, as the sync block by block does. Whoever was given a
hash by somebody in the present names it instead."""

Row = tuple[bytes, bytes]


class InvalidSnapshot(Invalid):
    """The snapshot is damaged, forged, or of another chain."""


@dataclass(frozen=True, slots=True)
class Point:
    """A block to go on from. `earlier` are the headers before it, oldest first."""

    header: Header
    certificate: bytes
    deciding_set: bytes
    next_set: bytes
    earlier: tuple[Header, ...]
    block: bytes
    receipts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a read of the state goes on: behind this account and, when not empty, this slot."""

    account: bytes = b""
    slot: bytes = b""


# --- encoding -------------------------------------------------------------------------------------


def encode_point(point: Point) -> bytes:
    """Return the encoding of a point."""
    earlier: list[Item] = [encode_header(each) for each in point.earlier]
    return encode(
        [
            encode_header(point.header),
            point.certificate,
            point.deciding_set,
            point.next_set,
            earlier,
            point.block,
            list(point.receipts),
        ]
    )


def decode_point(raw: bytes) -> Point:
    """Return the point that `raw` encodes; raises InvalidMessage. Proves nothing yet."""
    header, certificate, deciding, following, earlier, block, receipts = decode_list(raw, 7)
    headers = as_list(earlier)
    if len(headers) > HEADERS_BEFORE:
        raise InvalidMessage(f"more than {HEADERS_BEFORE} earlier headers")
    return Point(
        decode_header(as_bytes(header)),
        as_bytes(certificate),
        as_bytes(deciding),
        as_bytes(following),
        tuple(decode_header(as_bytes(each)) for each in headers),
        as_bytes(block),
        tuple(as_bytes(each) for each in as_list(receipts)),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What a light client needs to come to one height, sequentially or by a leap."""

    block: LightBlock
    leap: Leap

    @property
    def height(self) -> Height:
        """The height that it leads to."""
        return Height(self.block.header.height)


def encode_step(header: bytes, certificate: bytes, following: bytes, leap: list[bytes]) -> bytes:
    """Return the encoding of a step; `leap` is the parent header and the deciding set."""
    return encode([header, certificate, following, *leap])


def decode_step(raw: bytes) -> Step:
    """Return the step that `raw` encodes; raises InvalidMessage. Proves nothing yet."""
    header, certificate, following, parent, deciding = map(as_bytes, decode_list(raw, 5))
    light = LightBlock(decode_header(header), decode_certificate(certificate), following)
    return Step(light, Leap(decode_header(parent), deciding))


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Return the encoding of a chunk."""
    return encode([[key, value] for key, value in rows])


def decode_rows(raw: bytes) -> list[Row]:
    """Return the rows of a chunk; raises InvalidMessage."""
    rows = []
    for item in decode_list(raw):
        key, value = map(as_bytes, as_list(item, 2))
        if len(key) not in (0, ADDRESS_BYTES, HASH_BYTES) or not 0 < len(value) <= ROW_BYTES_MAX:
            raise InvalidMessage("a row of a snapshot has a key or a value of another size")
        rows.append((key, value))
    return rows


# --- proof of the header --------------------------------------------------------------------------


def advance(trusted: Trusted, step: Step, chain_id: ChainId) -> Trusted:
    """Return the trust in the step's header; raises InvalidLightBlock."""
    rules = Rules(chain_id, TRUST_SECONDS)
    if step.height == trusted.height + 1:
        return follow(trusted, step.block, rules, trusted.timestamp)
    return skip(trusted, step.leap, step.block, rules, trusted.timestamp)


def prove(
    trusted: Trusted, target: int, chain_id: ChainId
) -> Generator[Height, bytes, tuple[Trusted, list[bytes]]]:
    """Ask for steps by height (send their encodings) until `target` is trusted.

    Leaps as far as the trusted set allows and halves the way when it does not. Returns the trust
    in `target` and the steps that led there. Raises InvalidLightBlock or InvalidMessage.
    """
    steps: list[bytes] = []
    wanted = Height(target)
    while trusted.height < target:
        if len(steps) >= STEPS_MAX:
            raise InvalidLightBlock("too many steps to the trusted header", height=target)
        raw = yield wanted
        step = decode_step(raw)
        if step.height != wanted:
            raise InvalidLightBlock("a step to another height than asked for", height=wanted)
        try:
            trusted = advance(trusted, step, chain_id)
        except NotEnoughTrust:
            wanted = Height((trusted.height + wanted) // 2)
            continue
        steps.append(raw)
        wanted = Height(target)
    return trusted, steps


def check_point(point: Point, trusted: Trusted) -> Block:
    """Return the point's block when all of it follows from the trusted header.

    Raises InvalidSnapshot or another Invalid.
    """
    header = point.header
    if header.hash != trusted.block_hash:
        raise InvalidSnapshot("the snapshot's header is not the one that was proven")
    if decode_validator_set(point.next_set).hash != header.extra_data:
        raise InvalidSnapshot("the snapshot names another validator set than its header")
    least = min(header.height, HEADERS_BEFORE)
    if len(point.earlier) != least:
        raise InvalidSnapshot(f"the snapshot must hold {least} headers before its own")
    child = header
    for each in reversed(point.earlier):
        if each.hash != child.parent_hash or each.height != child.height - 1:
            raise InvalidSnapshot(f"the snapshot has no parent of block {child.height}")
        child = each
    if decode_validator_set(point.deciding_set).hash != point.earlier[-1].extra_data:
        raise InvalidSnapshot("the snapshot's set is not the one that decided its block")
    certificate = decode_certificate(point.certificate)
    if (certificate.height, certificate.block_hash) != (header.height, trusted.block_hash):
        raise InvalidSnapshot("the snapshot's certificate is for another block")
    block = decode_block(point.block)
    if block.hash != trusted.block_hash:
        raise InvalidSnapshot("the snapshot's block is not its header's")
    if ordered_root([each.raw for each in block.transactions]) != header.transactions_root:
        raise InvalidSnapshot("the transactions of the snapshot's block are not its header's")
    receipts = [decode_receipt(each) for each in point.receipts]
    blooms = join_blooms([bloom_of(each.logs) for each in receipts])
    if (ordered_root(point.receipts), blooms) != (header.receipts_root, header.logs_bloom):
        raise InvalidSnapshot("the receipts of the snapshot's block are not its header's")
    return block


# --- reading the state ----------------------------------------------------------------------------


def unit_of(account: bytes) -> int:
    """Return the unit that holds the account with this hash."""
    return account[0] >> 4


def unit_start(unit: int) -> bytes:
    """Return the lowest hash of a unit."""
    return bytes((unit << 4,))


def read_chunk(store: KeyValueReader, unit: int, after: Place) -> tuple[list[Row], Place | None]:
    """Return rows of one unit behind `after`, and where to go on; None when the unit is over.

    `store` is the state at one height. Raises StoreCorrupt.
    """
    rows: list[Row] = []
    size = 0
    for place, row in _rows_after(store, unit, after):
        rows.append(row)
        size += len(row[0]) + len(row[1])
        if size >= CHUNK_BYTES_MAX:
            return rows, place
    return rows, None


def _rows_after(store: KeyValueReader, unit: int, after: Place) -> Iterator[tuple[Place, Row]]:
    if after.account and after.slot != b"\xff" * HASH_BYTES:
        yield from _slots(store, after.account, after.slot)
    for account, slim in store.scan(Column.ACCOUNT, b"", after.account or unit_start(unit)):
        if account == after.account:
            continue
        if unit_of(account) != unit:
            return
        yield Place(account), (_plain(store, account), slim)
        yield from _slots(store, account, b"")


def _slots(store: KeyValueReader, account: bytes, after: bytes) -> Iterator[tuple[Place, Row]]:
    for key, value in store.scan(Column.SLOT, account, account + after):
        slot = key[HASH_BYTES:]
        if slot == after:
            continue
        yield Place(account, slot), (_plain(store, slot), value)


def _plain(store: KeyValueReader, hashed: bytes) -> bytes:
    plain = store.get(Column.PREIMAGE, hashed)
    if plain is None:
        raise StoreCorrupt("the plain form of a stored key is missing", key=hashed)
    return plain


def last_place(before: Place, rows: Sequence[Row]) -> Place:
    """Return where to go on behind `rows`, which came behind `before`."""
    place = before
    for key, _ in rows:
        hashed = keccak(key)
        place = Place(hashed) if len(key) == ADDRESS_BYTES else Place(place.account, hashed)
    return place


def codes_of(store: KeyValueReader) -> Iterator[Hash32]:
    """Yield the code hash of every account with code, in order of accounts."""
    for _, slim in store.scan(Column.ACCOUNT):
        code_hash = decode_slim(slim).code_hash
        if code_hash != EMPTY_CODE_HASH:
            yield code_hash


def unit_reference(root: bytes, unit: int) -> bytes:
    """Return the reference that the account trie's root node (its encoding) has for a unit.

    EMPTY_ITEM when the unit holds no account. Raises StoreCorrupt when it is no trie node.
    """
    node = decode_node(root)
    if isinstance(node, list):
        return node[unit]
    is_leaf, path, item = node
    if not path or path[0] != unit:
        return EMPTY_ITEM
    if not is_leaf and len(path) == 1:
        return item
    rest: Short = (is_leaf, path[1:], item)
    encoded = encode_node(rest)
    return encoded if len(encoded) < HASH_BYTES else _by_hash(encoded)


def _by_hash(encoded: bytes) -> bytes:
    return b"\xa0" + keccak(encoded)


def root_node(store: KeyValueReader) -> bytes:
    """Return the encoding of the account trie's root node; raises StoreCorrupt without one."""
    node = store.get(Column.TRIE, ACCOUNT_TRIE)
    if node is None:
        raise StoreCorrupt("the account trie has no root node")
    return node
