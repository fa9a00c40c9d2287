"""An imported public chain on disk: its blocks beside its state, and the views of it.

One batch per block holds state, old values, block, receipts, lookups and head, so a crash leaves
the last block of some batch whole and the import goes on there. The layout is that of
`node.blockstore` where the meaning is the same; what differs:

    BLOCK        "h" + height     header, RLP, in the layout of its fork
                 "r" + height     the whole block, RLP
                 "n" + hash       height
    META         "public"         version of this layout; a chain of a QENEX network has none
                 "difficulty"     difficulty of all blocks up to the head
                 "source"         SHA-256 of the genesis document

There are no certificates: an imported chain is trusted by its head hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final, TypeVar

from node.blockstore import (
    GENESIS_KEY,
    HEAD_KEY,
    is_empty,
    lookup_value,
    read_genesis_hash,
    read_head,
)
from node.cache import Cache
from node.logindex import index_writes, set_indexed_from
from node.prune import set_tail
from primitives.codec import as_bytes, decode_list, encode, uint, wrap
from primitives.errors import ConfigError, Invalid, Rejected, StoreCorrupt, ensure
from primitives.ethereum import (
    PublicBlock,
    PublicHeader,
    decode_public_block,
    decode_public_header,
    encode_public_header,
)
from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write
from primitives.receipt import Receipt, decode_receipt, encode_receipt
from primitives.types import Hash32, Height
from primitives.validators import ValidatorSet
from vm.engine import Engine
from vm.importing import (
    HASHES_KEPT_MAX,
    ChainImporter,
    Imported,
    PublicGenesis,
    Resumption,
    genesis_update,
)
from vm.state.changes import ChangeSet, StateReader
from vm.state.history import PastReader, height_key, history_writes
from vm.state.proofs import Prover
from vm.state.store import StateStore, StoredState

LAYOUT_VERSION: Final = 1
PUBLIC_KEY: Final = b"public"
DIFFICULTY_KEY: Final = b"difficulty"
SOURCE_KEY: Final = b"source"
BLOCKS_CACHED_BYTES_MAX: Final = 64 * 2**20
RECEIPTS_CACHED_BYTES_MAX: Final = 64 * 2**20
HEADERS_CACHED_MAX: Final = 1_024
OBJECT_BYTES: Final = 1_000
EMPTY_BODY: Final = b"\xc0"


def is_public(store: KeyValueReader) -> bool:
    """Return whether the store holds an imported public chain."""
    return store.get(Column.META, PUBLIC_KEY) is not None


class PublicStore:
    """The writer of one imported chain."""

    def __init__(self, store: KeyValue, engine: Engine, document: bytes) -> None:
        """Begin the chain of the genesis `document` in an empty store, or go on with it.

        Raises ConfigError when the document is wrong or the store holds another chain.
        """
        self._store = store
        self.genesis = read_genesis(document)
        digest = hashlib.sha256(document).digest()
        if is_empty(store):
            self._begin(digest)
        self._importer = ChainImporter(engine, self.genesis, store, self._resumption(digest))

    @property
    def importer(self) -> ChainImporter:
        """The importer at the head."""
        return self._importer

    def view(self) -> PublicView:
        """Return the view of what is there now."""
        return PublicView(self._store.snapshot())

    def add(self, raw: bytes) -> Imported:
        """Check, execute and write the block that follows the head; raises Invalid."""
        return self._importer.add(raw, lambda imported: _block_writes(imported, raw))

    def sync(self) -> None:
        """Make durable what was added so far."""
        self._store.write([(Column.META, PUBLIC_KEY, uint(LAYOUT_VERSION))], sync=True)

    def _begin(self, digest: bytes) -> None:
        header = self.genesis.header
        key = height_key(0)
        raw = encode_public_header(header)
        self._store.write(
            [
                *genesis_update(self.genesis.alloc).writes,
                (Column.BLOCK, b"h" + key, raw),
                (Column.BLOCK, b"r" + key, _genesis_block(header, raw)),
                (Column.BLOCK, b"n" + header.hash, key),
                (Column.RECEIPT, key, EMPTY_BODY),
                (Column.META, PUBLIC_KEY, uint(LAYOUT_VERSION)),
                (Column.META, GENESIS_KEY, header.hash),
                (Column.META, SOURCE_KEY, digest),
                (Column.META, DIFFICULTY_KEY, uint(header.difficulty)),
                set_tail(0),
                set_indexed_from(0),
                _head(header, header.hash),
            ],
            sync=True,
        )

    def _resumption(self, digest: bytes) -> Resumption:
        check_public(self._store)
        if self._store.get(Column.META, SOURCE_KEY) != digest:
            raise ConfigError(
                "the data folder holds the import of another genesis document; use an empty folder"
            )
        view = PublicView(self._store.snapshot())
        lowest = max(1, view.head.height - HASHES_KEPT_MAX)
        recent = [view.block(height) for height in range(lowest, view.head.height + 1)]
        total = int.from_bytes(self._store.get(Column.META, DIFFICULTY_KEY) or b"", "big")
        return Resumption(tuple(each for each in recent if each is not None), total)


def read_genesis(document: bytes) -> PublicGenesis:
    """Return the genesis that geth's JSON document describes; raises ConfigError."""
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the genesis document is not JSON: {error}") from None
    return PublicGenesis.of_document(parsed)


def check_public(store: KeyValueReader) -> None:
    """Raise ConfigError unless the store holds an imported public chain of this layout."""
    if not is_public(store):
        raise ConfigError(
            "the data folder does not hold an imported chain; make one with: qenex import"
        )
    version = int.from_bytes(store.get(Column.META, PUBLIC_KEY) or b"", "big")
    if version != LAYOUT_VERSION:
        raise ConfigError(
            f"the imported chain has layout version {version}, this QENEX reads "
            f"{LAYOUT_VERSION}; import it again into an empty folder",
            version=version,
        )


class PublicView:
    """An imported chain up to its head, immutable and safe from any thread.

    Every read raises StoreCorrupt when what stands on the disk cannot be what was written.
    """

    def __init__(self, store: KeyValueReader) -> None:
        self.store = store
        self._headers: Cache[int, tuple[PublicHeader, Hash32]] = Cache(HEADERS_CACHED_MAX)
        self._blocks: Cache[int, PublicBlock] = Cache(BLOCKS_CACHED_BYTES_MAX)
        self._receipts: Cache[int, tuple[Receipt, ...]] = Cache(RECEIPTS_CACHED_BYTES_MAX)
        self.genesis_hash = read_genesis_hash(store)
        self.tail = Height(0)
        height, self.head_hash, _ = read_head(store)
        self.head = self._row(height)[0]
        self.state: StateReader = StateStore(store).reader()

    @property
    def validators(self) -> ValidatorSet:
        """Raises Rejected: nobody votes on an imported chain."""
        raise Rejected("this node serves an imported public chain, which has no validators")

    def validators_at(self, height: Height) -> ValidatorSet | None:
        """Raises Rejected: nobody voted on an imported chain."""
        return self.validators

    def state_at(self, height: Height) -> StateReader:
        """Return the state after the block at `height`, which is not above the head."""
        return self.state if height == self.head.height else StoredState(self._past(height))

    def prover_at(self, height: Height) -> Prover:
        """Return what proves accounts and slots after the block at `height`."""
        root = self._row(height)[0].state_root
        is_past = height != self.head.height
        return Prover(self._past(height) if is_past else self.store, root, is_past=is_past)

    def state_root_with(self, height: Height, changes: ChangeSet) -> Hash32:
        """Return the root of the state after a block and `changes`."""
        store = self.store if height == self.head.height else self._past(height)
        return StateStore(store).compute(changes).state_root

    def _past(self, height: int) -> PastReader:
        ensure(0 <= height <= self.head.height, "no state above the head", height=height)
        return PastReader(self.store, height)

    def header(self, height: Height) -> PublicHeader | None:
        """Return the header at `height`, or None above the head."""
        return self._row(height)[0] if 0 <= height <= self.head.height else None

    def block_hash(self, height: Height) -> Hash32 | None:
        """Return the hash of the block at `height`, or None above the head."""
        return self._row(height)[1] if 0 <= height <= self.head.height else None

    def height_of(self, block_hash: Hash32) -> Height | None:
        """Return the height of the block with this hash, or None."""
        raw = self.store.get(Column.BLOCK, b"n" + block_hash)
        return None if raw is None else Height(int.from_bytes(raw, "big"))

    def block(self, height: int) -> PublicBlock | None:
        """Return the block at `height`, senders recovered, or None above the head."""
        if not 0 <= height <= self.head.height:
            return None
        found = self._blocks.get(height)
        if found is None:
            raw = self._need(Column.BLOCK, b"r" + height_key(height), f"block {height}")
            found = _decoded(f"block {height}", decode_public_block, raw)
            self._blocks.put(height, found, 3 * len(raw) + OBJECT_BYTES * len(found.transactions))
        return found

    def raw_block(self, height: Height) -> bytes | None:
        """Return the block's encoding, or None above the head."""
        if not 0 <= height <= self.head.height:
            return None
        return self._need(Column.BLOCK, b"r" + height_key(height), f"block {height}")

    def transaction_hashes(self, height: Height) -> list[Hash32]:
        """Return the hashes of the block's transactions, none above the head."""
        found = self.block(height)
        return [] if found is None else [each.hash for each in found.transactions]

    def receipts(self, height: Height) -> tuple[Receipt, ...] | None:
        """Return the receipts of the block at `height`, or None above the head."""
        if not 0 <= height <= self.head.height:
            return None
        found = self._receipts.get(height)
        if found is None:
            raw = self._need(Column.RECEIPT, height_key(height), f"receipts of {height}")
            found = _decoded(f"receipts of {height}", _decode_receipts, raw)
            logs = sum(len(each.logs) for each in found)
            self._receipts.put(height, found, len(raw) + OBJECT_BYTES * (len(found) + logs))
        return found

    def certificate(self, height: Height) -> bytes | None:
        """Return None: nobody decided these blocks here."""
        return None

    def transaction_lookup(self, transaction_hash: Hash32) -> tuple[Height, int] | None:
        """Return height and index of a transaction in the chain, or None."""
        raw = self.store.get(Column.TRANSACTION, transaction_hash)
        if raw is None:
            return None
        return Height(int.from_bytes(raw[:8], "big")), int.from_bytes(raw[8:], "big")

    def _row(self, height: int) -> tuple[PublicHeader, Hash32]:
        row = self._headers.get(height)
        if row is None:
            what = f"header {height}"
            raw = self._need(Column.BLOCK, b"h" + height_key(height), what)
            header = _decoded(what, decode_public_header, raw)
            row = (header, header.hash)
            self._headers.put(height, row)
        return row

    def _need(self, column: Column, key: bytes, what: str) -> bytes:
        raw = self.store.get(column, key)
        if raw is None:
            raise StoreCorrupt(f"{what} is missing in the data folder")
        return raw


def _head(header: PublicHeader, block_hash: Hash32) -> Write:
    record = encode([uint(header.height), block_hash, header.state_root])
    return (Column.META, HEAD_KEY, record)


def _genesis_block(header: PublicHeader, raw_header: bytes) -> bytes:
    empty = [EMPTY_BODY] * (2 if header.withdrawals_root is None else 3)
    return wrap((raw_header, *empty))


def _block_writes(imported: Imported, raw: bytes) -> list[Write]:
    block, header = imported.block, imported.block.header
    key = height_key(header.height)
    writes: list[Write] = [
        *history_writes(header.height, imported.update.before),
        (Column.BLOCK, b"h" + key, encode_public_header(header)),
        (Column.BLOCK, b"r" + key, raw),
        (Column.BLOCK, b"n" + block.hash, key),
        (Column.RECEIPT, key, encode([encode_receipt(each) for each in imported.receipts])),
        (Column.META, DIFFICULTY_KEY, uint(imported.total_difficulty)),
        _head(header, block.hash),
        *index_writes(header.height, imported.receipts),
    ]
    for index, transaction in enumerate(block.transactions):
        writes.append((Column.TRANSACTION, transaction.hash, lookup_value(header.height, index)))
    return writes


_Result = TypeVar("_Result")


def _decoded(what: str, decoder: Callable[[bytes], _Result], raw: bytes) -> _Result:
    try:
        return decoder(raw)
    except Invalid as error:
        raise StoreCorrupt(f"{what} in the data folder is damaged: {error}") from None


def _decode_receipts(raw: bytes) -> tuple[Receipt, ...]:
    return tuple(decode_receipt(as_bytes(item)) for item in decode_list(raw))
