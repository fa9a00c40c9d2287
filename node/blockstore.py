"""The chain on disk: one atomic, synced batch per committed block, and the views of it.

A block exists when its batch is on the disk: state, block, receipts, lookups, certificate and the
new head go together, so a crash at any byte leaves the last committed block whole. A `ChainView`
is one immutable moment of that; readers in any thread keep the one they began with.

Keys (heights are 8 bytes, big-endian)

    BLOCK        "h" + height     header, RLP
                 "t" + height     list of transactions as the block's encoding has it, RLP
                 "n" + hash       height
    RECEIPT      height           list of the receipts' encodings, RLP
    TRANSACTION  hash             height + index (4 bytes)
    LOG          term + height    nothing; see `node.logindex`
    CERTIFICATE  height           certificate, as the consensus room encodes it; none for genesis
    META         "schema"         version of this layout
                 "genesis"        hash of the genesis block
                 "head"           [height, hash, state root], RLP
                 "tail"           oldest height whose state can be read
                 "base"           oldest height after 0 whose block is here (a snapshot); else 1
                 "step" + height  what led a light client to a snapshot's header (`node.snapshot`)
                 "document"       summary of the genesis document that this chain began with
                 "set" + hash     validator set with that hash, RLP

State of the past is in DIFF and INDEX (`vm.state.history`): a block's old values go into its own
batch, and so does the removal of those that are older than what the node keeps (`node.prune`).

Blocks are final, so views share what is cached of them; none answers above its own head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final, TypeVar

from node.cache import Cache
from node.logindex import begin_index, index_writes, set_indexed_from
from node.prune import Retention, clear, read_tail, set_tail
from node.rows import raw_transactions, receipts_of, transactions_of, transactions_row
from primitives.block import Block, Header, decode_header, encode_header
from primitives.codec import as_bytes, as_uint, decode_list, encode, uint
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, HistoryPruned, Invalid, StoreCorrupt, ensure
from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write
from primitives.receipt import Receipt, encode_receipt
from primitives.transaction import Transaction
from primitives.types import HASH_BYTES, Hash32, Height
from primitives.validators import ValidatorSet, decode_validator_set, encode_validator_set
from vm.blocks import Executed
from vm.state.changes import ChangeSet, StateReader
from vm.state.encoding import rlp_list
from vm.state.first import ROWS_PER_BATCH, WriteRows
from vm.state.history import PastReader, height_key, history_writes
from vm.state.proofs import Prover
from vm.state.store import StateStore, StoredState

SCHEMA_VERSION: Final = 2
SCHEMA_WITHOUT_HISTORY: Final = 1
"""Differs in nothing but that it keeps no old values; opening such a chain moves it to ours."""
HEADERS_CACHED_MAX: Final = 1_024
BLOCKS_CACHED_BYTES_MAX: Final = 8 * 2**20
RECEIPTS_CACHED_BYTES_MAX: Final = 4 * 2**20
OBJECT_BYTES: Final = 1_000
"""What a block, transaction, receipt or log takes in memory beside its data, roughly."""

EMPTY_LIST: Final = b"\xc0"
SCHEMA_KEY: Final = b"schema"
GENESIS_KEY: Final = b"genesis"
HEAD_KEY: Final = b"head"
DOCUMENT_KEY: Final = b"document"
SET_PREFIX: Final = b"set"
BASE_KEY: Final = b"base"
STEP_PREFIX: Final = b"step"


class _Caches:
    """What all views share of the final blocks."""

    def __init__(self) -> None:
        self.headers: Cache[int, tuple[Header, Hash32]] = Cache(HEADERS_CACHED_MAX)
        self.blocks: Cache[int, Block] = Cache(BLOCKS_CACHED_BYTES_MAX)
        self.receipts: Cache[int, tuple[Receipt, ...]] = Cache(RECEIPTS_CACHED_BYTES_MAX)
        self.sets: Cache[Hash32, ValidatorSet] = Cache(16)

    def add_block(self, height: int, block: Block) -> None:
        """Keep a block, by its size in memory."""
        data = sum(2 * len(each.raw) for each in block.transactions)
        weight = data + OBJECT_BYTES * (1 + len(block.transactions))
        self.blocks.put(height, block, weight)

    def add_receipts(self, height: int, receipts: tuple[Receipt, ...]) -> None:
        """Keep a block's receipts, by their size in memory."""
        weight = OBJECT_BYTES
        for receipt in receipts:
            weight += OBJECT_BYTES * (1 + len(receipt.logs))
            weight += sum(len(log.data) for log in receipt.logs)
        self.receipts.put(height, receipts, weight)


class ChainView:
    """The chain up to one head, immutable and safe from any thread.

    Every read raises StoreCorrupt when what stands on the disk cannot be what was written, and
    HistoryPruned for a block below `base`, which this node never had.
    """

    def __init__(self, store: KeyValueReader, caches: _Caches | None = None) -> None:
        self.store = store
        self._caches = caches or _Caches()
        self.genesis_hash = read_genesis_hash(store)
        self.base = Height(int.from_bytes(store.get(Column.META, BASE_KEY) or b"\x01", "big"))
        """Oldest height after 0 whose block is here: above 1 after a snapshot (`node.snapshot`)."""
        height, self.head_hash, state_root = read_head(store)
        self.head = self._header_at(height)
        found = (self.head.height, self._hash_at(height), self.head.state_root)
        if found != (height, self.head_hash, state_root):
            raise StoreCorrupt(f"the head record and the block at height {height} differ")
        self.state: StateReader = StateStore(store).reader()
        self.tail = read_tail(store)

    @property
    def height(self) -> Height:
        """Height of the head."""
        return self.head.height

    @cached_property
    def validators(self) -> ValidatorSet:
        """The validators that decide the height after the head."""
        return self._set(Hash32(self.head.extra_data))

    def state_at(self, height: int) -> StateReader:
        """Return the state after the block at `height`, which is not above the head.

        Raises HistoryPruned when this node does not keep it any more.
        """
        if height == self.head.height:
            return self.state
        return StoredState(self._past(height))

    def prover_at(self, height: int) -> Prover:
        """Return what proves accounts and slots after the block at `height`, as `state_at`."""
        root, is_past = self._header_at(height).state_root, height != self.head.height
        return Prover(self._past(height) if is_past else self.store, root, is_past=is_past)

    def _past(self, height: int) -> PastReader:
        ensure(0 <= height <= self.head.height, "no state above the head", height=height)
        if height < self.tail:
            raise HistoryPruned("pruned history unavailable", height=height, oldest=self.tail)
        return PastReader(self.store, height)

    def state_root_with(self, height: int, changes: ChangeSet) -> Hash32:
        """Return the root of the state after a block and `changes`; raises as `state_at`."""
        store = self.store if height == self.head.height else self._past(height)
        return StateStore(store).compute(changes).state_root

    def validators_at(self, height: int) -> ValidatorSet | None:
        """Return the validators that decided `height` (1 to head + 1), or None beyond."""
        before = self.header(height - 1)
        return None if before is None else self._set(Hash32(before.extra_data))

    def encoded_set(self, set_hash: bytes) -> bytes:
        """Return the encoding of a validator set that a header of this chain names."""
        return self._need(Column.META, SET_PREFIX + set_hash, "validator set")

    def header(self, height: int) -> Header | None:
        """Return the header at `height`, or None above the head."""
        return self._header_at(height) if 0 <= height <= self.head.height else None

    def block_hash(self, height: int) -> Hash32 | None:
        """Return the hash of the block at `height`, or None above the head."""
        return self._hash_at(height) if 0 <= height <= self.head.height else None

    def height_of(self, block_hash: bytes) -> Height | None:
        """Return the height of the block with this hash, or None."""
        raw = self.store.get(Column.BLOCK, b"n" + block_hash)
        return None if raw is None else Height(int.from_bytes(raw, "big"))

    def block(self, height: int) -> Block | None:
        """Return the block at `height`, senders recovered, or None above the head."""
        header = self.header(height)
        if header is None:
            return None
        found = self._caches.blocks.get(height)
        if found is None:
            found = Block(header, self._transactions(height), self._hash_at(height))
            self._caches.add_block(height, found)
        return found

    def raw_block(self, height: int) -> bytes | None:
        """Return the block's encoding (`primitives.block.encode_block`) without decoding it."""
        if not 0 <= height <= self.head.height:
            return None
        key = height_key(height)
        header = self._need(Column.BLOCK, b"h" + key, f"header {height}", height)
        transactions = self._need(Column.BLOCK, b"t" + key, f"transactions of {height}", height)
        return rlp_list([header, transactions, EMPTY_LIST, EMPTY_LIST])

    def raw_transactions(self, height: int) -> list[bytes] | None:
        """Return the encodings of the block's transactions, no sender recovered, or None."""
        if not 0 <= height <= self.head.height:
            return None
        what = f"transactions of {height}"
        return raw_transactions(self._need(Column.BLOCK, b"t" + height_key(height), what, height))

    def transaction_hashes(self, height: int) -> list[Hash32]:
        """Return the hashes of the block's transactions, none above the head."""
        return [keccak(raw) for raw in self.raw_transactions(height) or ()]

    def receipts(self, height: int) -> tuple[Receipt, ...] | None:
        """Return the receipts of the block at `height`, or None above the head."""
        if not 0 <= height <= self.head.height:
            return None
        found = self._caches.receipts.get(height)
        if found is None:
            what = f"receipts of {height}"
            raw = self._need(Column.RECEIPT, height_key(height), what, height)
            found = _decoded(what, receipts_of, raw)
            self._caches.add_receipts(height, found)
        return found

    def certificate(self, height: int) -> bytes | None:
        """Return the certificate of the block at `height`; None for genesis and above the head."""
        if 0 < height < self.base:
            raise HistoryPruned("pruned history unavailable", height=height, oldest=self.base)
        return self.store.get(Column.CERTIFICATE, height_key(height)) if height >= 0 else None

    def transaction_lookup(self, transaction_hash: bytes) -> tuple[Height, int] | None:
        """Return height and index of a transaction in the chain, or None."""
        raw = self.store.get(Column.TRANSACTION, transaction_hash)
        if raw is None:
            return None
        return Height(int.from_bytes(raw[:8], "big")), int.from_bytes(raw[8:], "big")

    def _transactions(self, height: int) -> tuple[Transaction, ...]:
        what = f"transactions of {height}"
        raw = self._need(Column.BLOCK, b"t" + height_key(height), what, height)
        return _decoded(what, transactions_of, raw)

    def _header_row(self, height: int) -> tuple[Header, Hash32]:
        row = self._caches.headers.get(height)
        if row is None:
            what = f"header {height}"
            raw = self._need(Column.BLOCK, b"h" + height_key(height), what, height)
            row = (_decoded(what, decode_header, raw), keccak(raw))
            self._caches.headers.put(height, row)
        return row

    def _header_at(self, height: int) -> Header:
        return self._header_row(height)[0]

    def _hash_at(self, height: int) -> Hash32:
        return self._header_row(height)[1]

    def _set(self, set_hash: Hash32) -> ValidatorSet:
        found = self._caches.sets.get(set_hash)
        if found is None:
            raw = self._need(Column.META, SET_PREFIX + set_hash, "validator set")
            found = _decoded("validator set", decode_validator_set, raw)
            if found.hash != set_hash:
                raise StoreCorrupt("a stored validator set has another hash than its key")
            self._caches.sets.put(set_hash, found)
        return found

    def _need(self, column: Column, key: bytes, what: str, height: int = 0) -> bytes:
        raw = self.store.get(column, key)
        if raw is None and 0 < height < self.base:
            raise HistoryPruned("pruned history unavailable", height=height, oldest=self.base)
        if raw is None:
            raise StoreCorrupt(f"{what} is missing in the data folder")
        return raw


class BlockStore:
    """The writer of one chain; there is one per store, used from one thread at a time.

    Made by `create` or `open`. `view` may be called from any thread. `keep` is how many heights
    below the head stay readable; None: all.
    """

    def __init__(self, store: KeyValue, keep: int | None = None) -> None:
        self._store = store
        self._caches = _Caches()
        self._retention = Retention(store, keep)
        self._view = ChainView(store.snapshot(), self._caches)

    @classmethod
    def create(cls, store: KeyValue, genesis: Executed, *, keep: int | None = None) -> BlockStore:
        """Begin a chain with a block that is made already; otherwise as `begin`."""
        return cls.begin(store, lambda write: genesis, keep=keep)

    @classmethod
    def begin(
        cls,
        store: KeyValue,
        make: Callable[[WriteRows], Executed],
        *,
        keep: int | None = None,
        document: bytes | None = None,
    ) -> BlockStore:
        """Begin a chain with the block that `make` returns; raises ConfigError if there is one.

        `make` may hand on rows of the first state. They are written before the batch that makes the
        chain be there; what a crash before it left is removed the next time. `document` is the
        summary of the genesis document, see `read_document`.
        """
        if not is_empty(store):
            raise ConfigError("the data folder already holds a chain")
        clear(store)
        genesis = make(lambda rows: store.write(rows, sync=False))
        ensure(genesis.block.header.height == 0, "a chain begins at height 0")
        rows = [*_block_writes(genesis, None, b""), set_tail(0), set_indexed_from(0)]
        rows += [
            (Column.META, SCHEMA_KEY, uint(SCHEMA_VERSION)),
            (Column.META, GENESIS_KEY, genesis.block.hash),
            (Column.META, DOCUMENT_KEY, document),
        ]
        last = len(genesis.update.writes) // ROWS_PER_BATCH * ROWS_PER_BATCH
        for at in range(0, last, ROWS_PER_BATCH):
            store.write(rows[at : at + ROWS_PER_BATCH], sync=False)
        store.write(rows[last:], sync=True)
        return cls(store, keep)

    @classmethod
    def open(
        cls,
        store: KeyValue,
        genesis_hash: bytes,
        *,
        keep: int | None = None,
        document: bytes | None = None,
    ) -> BlockStore:
        """Open the chain that begins with the block of `genesis_hash`.

        A chain without history becomes one whose history begins at its head. A `document` that
        gave this genesis is noted. Raises ConfigError for another chain, an unknown layout or an
        empty store, StoreCorrupt when the head is damaged; each line names the way out.
        """
        _upgrade(store)
        check_layout(store)
        found = read_genesis_hash(store)
        if found != genesis_hash:
            raise ConfigError(
                f"the data folder holds another chain: its genesis block is 0x{found.hex()}, "
                f"the genesis document's is 0x{genesis_hash.hex()}",
                found=found,
                expected=genesis_hash,
            )
        if document is not None and document != store.get(Column.META, DOCUMENT_KEY):
            store.write([(Column.META, DOCUMENT_KEY, document)], sync=True)
        begin_index(store, read_head(store)[0])
        made = cls(store, keep)
        root = StateStore(made.view().store).root()
        if root != made.view().head.state_root:
            raise StoreCorrupt(
                f"the state in the data folder has root 0x{root.hex()}, the head "
                f"says 0x{made.view().head.state_root.hex()}"
            )
        return made

    def commit(self, executed: Executed, certificate: bytes) -> ChainView:
        """Make `executed` the durable head in one atomic batch; return the view of it.

        Raises BrokenInvariant when the block does not follow the head, Fatal when the disk fails.
        """
        head, header = self._view.head, executed.block.header
        ensure(
            header.height == head.height + 1 and header.parent_hash == self._view.head_hash,
            "a committed block must follow the head",
            height=header.height,
            head=head.height,
        )
        ensure(certificate, "a block is committed with its certificate", height=header.height)
        writes = _block_writes(executed, certificate, head.extra_data)
        writes += history_writes(header.height, executed.update.before)
        writes += self._retention.prune_writes(header.height)
        self._store.write(writes, sync=True)
        self._remember(executed)
        self._view = ChainView(self._store.snapshot(), self._caches)
        return self._view

    def view(self) -> ChainView:
        """Return the view of the newest committed block."""
        return self._view

    def _remember(self, executed: Executed) -> None:
        block, height = executed.block, executed.block.header.height
        self._caches.headers.put(height, (block.header, block.hash))
        self._caches.add_block(height, block)
        self._caches.add_receipts(height, executed.receipts)


def is_empty(store: KeyValueReader) -> bool:
    """Return whether no chain was ever created in this store."""
    return next(iter(store.scan(Column.META)), None) is None


def check_layout(store: KeyValueReader) -> None:
    """Raise ConfigError, in one line, unless the store holds a chain in the layout of this file."""
    if is_empty(store):
        raise ConfigError("the data folder holds no chain")
    version = _version(store)
    if version == SCHEMA_WITHOUT_HISTORY:
        raise ConfigError(
            f"the data folder has layout version {version}, before state history; "
            "run the node on it once, which brings it up to date",
            version=version,
        )
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"the data folder has layout version {version}, this QENEX reads {SCHEMA_VERSION}; "
            "use the QENEX that wrote it, or an empty folder",
            version=version,
        )


def read_document(store: KeyValueReader) -> bytes | None:
    """Return the summary of the genesis document that is known to give this chain, or None."""
    return store.get(Column.META, DOCUMENT_KEY)


def lookup_value(height: int, index: int) -> bytes:
    """Return the value of a transaction's lookup entry."""
    return height_key(height) + index.to_bytes(4, "big")


def _version(store: KeyValueReader) -> int:
    return int.from_bytes(store.get(Column.META, SCHEMA_KEY) or b"", "big")


def _upgrade(store: KeyValue) -> None:
    """Bring a chain without history to this layout; its history begins at its head."""
    if _version(store) == SCHEMA_WITHOUT_HISTORY:
        schema: Write = (Column.META, SCHEMA_KEY, uint(SCHEMA_VERSION))
        store.write([set_tail(read_head(store)[0]), schema], sync=True)


def read_head(store: KeyValueReader) -> tuple[Height, Hash32, Hash32]:
    """Return height, hash and state root of the head; raises StoreCorrupt."""
    raw = store.get(Column.META, HEAD_KEY)
    if raw is None:
        raise StoreCorrupt("the head record is missing in the data folder")
    return _decoded("head record", _decode_head, raw)


def read_genesis_hash(store: KeyValueReader) -> Hash32:
    """Return the hash of the genesis block; raises StoreCorrupt."""
    raw = store.get(Column.META, GENESIS_KEY)
    if raw is None or len(raw) != HASH_BYTES:
        raise StoreCorrupt("the genesis hash is missing in the data folder")
    return Hash32(raw)


def _block_writes(executed: Executed, certificate: bytes | None, known_set: bytes) -> list[Write]:
    block, header = executed.block, executed.block.header
    ensure(
        executed.validators.hash == header.extra_data
        and executed.update.state_root == header.state_root,
        "an executed block names its own state root and validators",
        height=header.height,
    )
    key = height_key(header.height)
    head = encode([uint(header.height), block.hash, header.state_root])
    writes: list[Write] = [
        *executed.update.writes,
        (Column.BLOCK, b"h" + key, encode_header(header)),
        (Column.BLOCK, b"t" + key, transactions_row(block.transactions)),
        (Column.BLOCK, b"n" + block.hash, key),
        (Column.RECEIPT, key, encode([encode_receipt(each) for each in executed.receipts])),
        (Column.META, HEAD_KEY, head),
        *index_writes(header.height, executed.receipts),
    ]
    if header.extra_data != known_set:
        encoded = encode_validator_set(executed.validators)
        writes.append((Column.META, SET_PREFIX + header.extra_data, encoded))
    for index, transaction in enumerate(block.transactions):
        value = lookup_value(header.height, index)
        writes.append((Column.TRANSACTION, transaction.hash, value))
    if certificate is not None:
        writes.append((Column.CERTIFICATE, key, certificate))
    return writes


_Result = TypeVar("_Result")


def _decoded(what: str, decoder: Callable[[bytes], _Result], raw: bytes) -> _Result:
    try:
        return decoder(raw)
    except Invalid as error:
        raise StoreCorrupt(f"{what} in the data folder is damaged: {error}") from None


def _decode_head(raw: bytes) -> tuple[Height, Hash32, Hash32]:
    height, block_hash, root = decode_list(raw, 3)
    return (
        Height(as_uint(height, 64)),
        Hash32(as_bytes(block_hash, HASH_BYTES)),
        Hash32(as_bytes(root, HASH_BYTES)),
    )
