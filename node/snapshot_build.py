"""Builds a chain folder from a snapshot, beside the real one, and puts it in place at once.

    snapshot.part     a store that is being filled; never read as a chain
    snapshot.ready    the same, whole, proven and durable
    chain.old         what stood in `chain` before, until it is removed

A stop anywhere leaves names that say how far it was: `install` finishes what is ready, and a new
import begins with an empty part (a sync goes on with it). `chain` is replaced by renaming only, so
that no reader ever sees a half of a snapshot.

Every unit of the state is checked when it is complete: the slots of each account give its storage
root, and where the unit's reference is known (a sync), the accounts give that. `finish` checks the
rest: all code, and the state root of the whole. Memory does not grow with the state. Only the last
write is synced: what a power cut takes from a part is its end, so a mark never outlives its rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Final

from node.blockstore import (
    BASE_KEY,
    EMPTY_LIST,
    GENESIS_KEY,
    HEAD_KEY,
    SCHEMA_KEY,
    SCHEMA_VERSION,
    SET_PREFIX,
    STEP_PREFIX,
    is_empty,
    lookup_value,
    read_head,
)
from node.evidence import EVIDENCE_PREFIX
from node.folder import DataFolder
from node.prune import set_tail
from node.rows import transactions_row
from node.snapshot import (
    CODE_BYTES_MAX,
    InvalidSnapshot,
    Point,
    Row,
    codes_of,
    decode_step,
    encode_point,
    unit_of,
    unit_start,
)
from node.store import RocksStore
from primitives.block import Block, encode_header
from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, StoreCorrupt, ensure
from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write
from primitives.types import ADDRESS_BYTES, HASH_BYTES, Hash32
from vm.blocks import Executed
from vm.state.encoding import (
    EMPTY_ITEM,
    decode_slim,
    encode_account,
    encode_slim,
    rlp_string,
)
from vm.state.history import height_key
from vm.state.store import ACCOUNT_TRIE, STORAGE_TRIE
from vm.state.walk import walk_below, walk_trie

ROWS_PER_BATCH: Final = 10_000
PART_POINT: Final = b"part/point"
PART_UNIT: Final = b"part/unit/"
PROGRESS_EVERY: Final = 1_000

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, of how many (0: not known)."""


def part_folder(folder: DataFolder) -> Path:
    """Return where a snapshot is put together."""
    return folder.path / "snapshot.part"


def ready_folder(folder: DataFolder) -> Path:
    """Return where a whole snapshot waits to become the chain."""
    return folder.path / "snapshot.ready"


def old_folder(folder: DataFolder) -> Path:
    """Return where the chain before goes."""
    return folder.path / "chain.old"


def install(folder: DataFolder) -> bool:
    """Make a ready snapshot the folder's chain; return whether there was one.

    Nobody may have either store open. May be stopped anywhere and called again.
    """
    ready, old = ready_folder(folder), old_folder(folder)
    is_ready = ready.is_dir()
    if is_ready:
        rmtree(old, ignore_errors=True)
        if folder.chain.exists():
            folder.chain.rename(old)
            _sync(folder.path)
        ready.rename(folder.chain)
        _sync(folder.path)
    elif old.exists() and not folder.chain.exists():
        old.rename(folder.chain)
        _sync(folder.path)
    rmtree(old, ignore_errors=True)
    return is_ready


def check_replaceable(folder: DataFolder) -> None:
    """Raise ConfigError when the folder holds a chain beyond its first block."""
    if not folder.chain.is_dir():
        return
    store = RocksStore(folder.chain)
    try:
        height = 0 if is_empty(store) else read_head(store)[0]
    finally:
        store.close()
    if height:
        raise ConfigError(
            f"{folder.path} holds a chain of height {height} already; a snapshot goes into a new "
            "folder (or remove its chain/ first)",
            height=height,
        )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Builder:
    """A snapshot on its way into a store of its own; each unit from one thread at a time."""

    def __init__(self, folder: DataFolder, *, fresh: bool) -> None:
        """`fresh` forgets what an earlier try left. Raises ConfigError."""
        self._folder = folder
        self._cursors: dict[int, tuple[bytes, bytes]] = {}
        if fresh:
            rmtree(part_folder(folder), ignore_errors=True)
        self._store = RocksStore(part_folder(folder))

    def close(self) -> None:
        """Let go of the store; what is in it stays."""
        self._store.close()

    @property
    def reader(self) -> KeyValueReader:
        """What was taken so far."""
        return self._store

    # --- progress of a sync -----------------------------------------------------------------------

    def point(self) -> bytes | None:
        """Return the point that this was begun for, as `begin` got it."""
        return self._store.get(Column.META, PART_POINT)

    def begin(self, point: Point) -> None:
        """Note the point; units whose reference stays the same stay, the others are asked for."""
        self._store.write([(Column.META, PART_POINT, encode_point(point))], sync=False)

    def has_unit(self, unit: int, reference: bytes) -> bool:
        """Return whether the unit is here, complete and proven under this reference."""
        return self._store.get(Column.META, PART_UNIT + bytes((unit,))) == reference

    # --- the state --------------------------------------------------------------------------------

    def start_unit(self, unit: int) -> None:
        """Forget what is here of a unit; its rows come next, in order."""
        self._cursors[unit] = (b"", b"")
        self._clear(unit)

    def add(self, unit: int, rows: Sequence[Row]) -> None:
        """Take the next rows of a unit; raises InvalidSnapshot when they are out of place."""
        writes: list[Write] = []
        account, slot = self._cursors[unit]
        for key, value in rows:
            if not key:
                if len(value) > CODE_BYTES_MAX:
                    raise InvalidSnapshot("contract code above its limit")
                writes.append((Column.CODE, keccak(value), value))
                continue
            hashed = keccak(key)
            if len(key) == ADDRESS_BYTES:
                if unit_of(hashed) != unit or hashed <= account:
                    raise InvalidSnapshot("an account of the snapshot is out of its place")
                account, slot = hashed, b""
                _check_account(value)
                writes.append((Column.ACCOUNT, hashed, value))
            else:
                if not account or hashed <= slot:
                    raise InvalidSnapshot("a slot of the snapshot is out of its place")
                if len(value) > HASH_BYTES or value[0] == 0:
                    raise InvalidSnapshot("a slot of the snapshot is no number without zeros")
                slot = hashed
                writes.append((Column.SLOT, account + hashed, value))
            writes.append((Column.PREIMAGE, hashed, key))
        self._cursors[unit] = (account, slot)
        self._store.write(writes, sync=False)

    def finish_unit(self, unit: int, reference: bytes | None = None) -> None:
        """Check a unit whose rows are all here, and keep its storage tries.

        Raises InvalidSnapshot and forgets the unit when something does not fit. Without a
        `reference` the accounts themselves are proven by `finish`.
        """
        try:
            self._prove_unit(unit, reference)
        except InvalidSnapshot:
            self._clear(unit)
            raise
        mark = EMPTY_ITEM if reference is None else reference
        self._store.write([(Column.META, PART_UNIT + bytes((unit,)), mark)], sync=False)

    def _prove_unit(self, unit: int, reference: bytes | None) -> None:
        leaves = self._leaves(unit)
        if reference is None:
            for _ in leaves:
                pass
        elif walk_below(bytes((unit,)), leaves, _ignore) != reference:
            raise InvalidSnapshot(f"part {unit} of the snapshot is not what the header says")

    def missing_codes(self) -> list[Hash32]:
        """Return the hashes of code that accounts have and that is not here yet, each once."""
        return sorted({each for each in codes_of(self._store) if not self._has_code(each)})

    def add_code(self, code: bytes) -> None:
        """Take one contract's code."""
        self._store.write([(Column.CODE, keccak(code), code)], sync=False)

    def _has_code(self, code_hash: Hash32) -> bool:
        return self._store.get(Column.CODE, code_hash) is not None

    def _accounts(self, unit: int) -> Iterator[Row]:
        for key, slim in self._store.scan(Column.ACCOUNT, b"", unit_start(unit)):
            if unit_of(key) != unit:
                return
            yield key, slim

    def _leaves(self, unit: int) -> Iterator[Row]:
        """Yield the unit's leaves of the account trie, the storage of each one checked."""
        for key, slim in self._accounts(unit):
            account = decode_slim(slim)
            with _Nodes(self._store, STORAGE_TRIE + key) as nodes:
                slots = self._store.scan(Column.SLOT, key)
                root = walk_trie(
                    ((full[HASH_BYTES:], rlp_string(value)) for full, value in slots), nodes.visit
                )
            if root != account.storage_root:
                raise InvalidSnapshot("the slots of an account do not give its storage root")
            yield key, encode_account(account)

    def _clear(self, unit: int) -> None:
        rows: list[Write] = [(Column.META, PART_UNIT + bytes((unit,)), None)]
        for key, _ in self._accounts(unit):
            rows += [(Column.ACCOUNT, key, None), (Column.PREIMAGE, key, None)]
            rows += [(Column.SLOT, full, None) for full, _ in self._store.scan(Column.SLOT, key)]
            nodes = self._store.scan(Column.TRIE, STORAGE_TRIE + key)
            rows += [(Column.TRIE, full, None) for full, _ in nodes]
            if len(rows) >= ROWS_PER_BATCH:
                self._store.write(rows, sync=False)
                rows = []
        self._store.write(rows, sync=False)

    # --- the end ----------------------------------------------------------------------------------

    def finish(
        self,
        point: Point,
        block: Block,
        steps: Sequence[bytes],
        genesis: Executed,
        others: Sequence[Write] = (),
        progress: Progress = lambda *_: None,
    ) -> None:
        """Check the whole state, write the chain's rows and make the snapshot ready; then closed.

        `point`, `block` and `steps` are proven already; `others` are rows of the old chain to
        keep. Raises InvalidSnapshot and leaves the part as it is.
        """
        root = self._account_trie(progress)
        if root != point.header.state_root:
            raise InvalidSnapshot(
                f"the snapshot's state has root 0x{root.hex()}, "
                f"its header says 0x{point.header.state_root.hex()}"
            )
        missing = self.missing_codes()
        if missing:
            raise InvalidSnapshot(f"the snapshot lacks the code 0x{missing[0].hex()}")
        marks: list[Write] = [
            (Column.META, key, None) for key, _ in self._store.scan(Column.META, b"part/")
        ]
        rows = [*_chain_rows(point, block, steps, genesis), *others, *marks]
        self._store.write(rows, sync=True)
        self._store.close()
        ready = ready_folder(self._folder)
        rmtree(ready, ignore_errors=True)
        part_folder(self._folder).rename(ready)
        _sync(self._folder.path)

    def _account_trie(self, progress: Progress) -> Hash32:
        with _Nodes(self._store, ACCOUNT_TRIE) as nodes:
            return walk_trie(self._all_leaves(progress), nodes.visit)

    def _all_leaves(self, progress: Progress) -> Iterator[Row]:
        for done, (key, slim) in enumerate(self._store.scan(Column.ACCOUNT), 1):
            if done % PROGRESS_EVERY == 0:
                progress("accounts", done, 0)
            yield key, encode_account(decode_slim(slim))


class _Nodes:
    """Writes the nodes of one trie in batches, those of an earlier try removed before."""

    def __init__(self, store: KeyValue, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix
        self._rows: list[Write] = [
            (Column.TRIE, key, None) for key, _ in store.scan(Column.TRIE, prefix)
        ]

    def __enter__(self) -> _Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.write(self._rows, sync=False)

    def visit(self, path: bytes, node: bytes | None) -> None:
        """Take one node."""
        self._rows.append((Column.TRIE, self._prefix + path, node))
        if len(self._rows) >= ROWS_PER_BATCH:
            self._store.write(self._rows, sync=False)
            self._rows = []


def _ignore(path: bytes, node: bytes | None) -> None:
    return None


def _check_account(slim: bytes) -> None:
    try:
        canonical = encode_slim(decode_slim(slim))
    except (StoreCorrupt, IndexError):
        raise InvalidSnapshot("an account of the snapshot is damaged") from None
    if canonical != slim:
        raise InvalidSnapshot("an account of the snapshot is not in its one form")


def _chain_rows(
    point: Point, block: Block, steps: Sequence[bytes], genesis: Executed
) -> list[Write]:
    """Return the rows of a chain that has its first block, some headers and the point's block."""
    header, first = point.header, genesis.block
    ensure(header.height > 0, "a snapshot is of a block after the first")
    key = height_key(header.height)
    head = encode([uint(header.height), block.hash, header.state_root])
    writes: list[Write] = [
        (Column.META, SCHEMA_KEY, uint(SCHEMA_VERSION)),
        (Column.META, GENESIS_KEY, first.hash),
        (Column.META, HEAD_KEY, head),
        (Column.META, BASE_KEY, key),
        set_tail(header.height),
        (Column.META, SET_PREFIX + header.extra_data, point.next_set),
        (Column.META, SET_PREFIX + point.earlier[-1].extra_data, point.deciding_set),
        (Column.BLOCK, b"t" + height_key(0), EMPTY_LIST),
        (Column.RECEIPT, height_key(0), EMPTY_LIST),
        (Column.RECEIPT, key, encode(list(point.receipts))),
        (Column.CERTIFICATE, key, point.certificate),
        (Column.BLOCK, b"t" + key, transactions_row(block.transactions)),
    ]
    for each in (first.header, *point.earlier, header):
        raw = encode_header(each)
        writes.append((Column.BLOCK, b"h" + height_key(each.height), raw))
        writes.append((Column.BLOCK, b"n" + keccak(raw), height_key(each.height)))
    for index, transaction in enumerate(block.transactions):
        place = lookup_value(header.height, index)
        writes.append((Column.TRANSACTION, transaction.hash, place))
    names = [STEP_PREFIX + height_key(decode_step(raw).height) for raw in steps]
    return [*writes, *((Column.META, name, raw) for name, raw in zip(names, steps, strict=True))]


def kept_rows(store: KeyValueReader) -> list[Write]:
    """Return the rows of an old chain that a snapshot must not lose: evidence."""
    return [(Column.META, key, value) for key, value in store.scan(Column.META, EVIDENCE_PREFIX)]
