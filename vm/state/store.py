"""The committed state: reads from the flat tables, and the update that a change set makes.

Reads never walk a trie: ACCOUNT and SLOT hold every account and slot under the hash of its key
(layout in `vm.state`). `StateStore.compute` turns a change set into the new state root and the
writes that bring tables and tries there; it writes nothing itself, so a block that is not decided
costs nothing on disk. Rules: an empty account (EIP-161) without storage is not stored; an account
that goes takes its slots and storage trie along; code and preimages stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import StoreCorrupt, ensure
from primitives.keyvalue import Column, KeyValueReader, Write
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash32
from vm.state.changes import ChangeSet, StateReader
from vm.state.encoding import decode_slim, encode_account, encode_slim, rlp_string
from vm.state.trie import update_trie

ACCOUNT_TRIE = b"A"
STORAGE_TRIE = b"O"
HASHES_CACHED_MAX = 65_536

_Table = dict[tuple[Column, bytes], bytes | None]


@lru_cache(maxsize=HASHES_CACHED_MAX)
def hash_address(address: Address) -> Hash32:
    """Return keccak(address), the key of an account; the newest 65,536 answers are kept."""
    return keccak(address)


@lru_cache(maxsize=HASHES_CACHED_MAX)
def hash_slot(slot: int) -> Hash32:
    """Return keccak of the slot's 32 bytes, the key of a slot; the newest 65,536 are kept."""
    return keccak(slot.to_bytes(32, "big"))


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """The root after a change set, and the writes that bring the store there."""

    state_root: Hash32
    writes: list[Write]


class StoredState:
    """A `StateReader` over flat tables; as thread-safe as the reader below it (a snapshot is)."""

    def __init__(self, store: KeyValueReader) -> None:
        self._get = store.get

    def account(self, address: Address) -> Account | None:
        """Return the account, or None when there is none."""
        raw = self._get(Column.ACCOUNT, hash_address(address))
        return None if raw is None else decode_slim(raw)

    def storage(self, address: Address, slot: int) -> int:
        """Return the value of a storage slot; 0 when it was never set."""
        raw = self._get(Column.SLOT, hash_address(address) + hash_slot(slot))
        return 0 if raw is None else int.from_bytes(raw, "big")

    def code(self, code_hash: Hash32) -> bytes:
        """Return the code with this hash; raises StoreCorrupt when it is not there."""
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self._get(Column.CODE, code_hash)
        if code is None:
            raise StoreCorrupt(f"code {code_hash.hex()} is missing", code_hash=code_hash)
        return code

    def has_storage(self, address: Address) -> bool:
        """Return whether any slot is not zero."""
        account = self.account(address)
        return account is not None and account.storage_root != EMPTY_ROOT


class StateStore:
    """The state of one committed block, read from `store` (best a snapshot)."""

    def __init__(self, store: KeyValueReader) -> None:
        self._store = store

    def reader(self) -> StateReader:
        """Return the reader that execution uses."""
        return StoredState(self._store)

    def root(self) -> Hash32:
        """Return the state root: the hash of the account trie's root node."""
        node = self._store.get(Column.TRIE, ACCOUNT_TRIE)
        return EMPTY_ROOT if node is None else keccak(node)

    def compute(self, changes: ChangeSet) -> StateUpdate:
        """Return the state after `changes`; writes nothing.

        Raises StoreCorrupt when stored nodes contradict each other, BrokenInvariant when the
        change set gives storage to an account that does not exist.
        """
        table: _Table = {}
        leaves: dict[bytes, bytes] = {}
        touched = changes.accounts.keys() | changes.storage.keys() | changes.wiped
        for address in sorted(touched):
            self._change_account(address, changes, table, leaves)
        for code_hash, code in changes.codes.items():
            if code:
                table[Column.CODE, code_hash] = code
        update = update_trie(self._trie_reader(ACCOUNT_TRIE), self.root(), leaves)
        for path, node in update.nodes.items():
            table[Column.TRIE, ACCOUNT_TRIE + path] = node
        return StateUpdate(
            update.root, [(column, key, value) for (column, key), value in table.items()]
        )

    def _change_account(
        self, address: Address, changes: ChangeSet, table: _Table, leaves: dict[bytes, bytes]
    ) -> None:
        """Add one account's writes to `table` and its leaf, when it changed, to `leaves`."""
        key = hash_address(address)
        raw = self._store.get(Column.ACCOUNT, key)
        old = None if raw is None else decode_slim(raw)
        new = changes.accounts.get(address, old)
        root = EMPTY_ROOT if old is None else old.storage_root
        if root != EMPTY_ROOT and (new is None or address in changes.wiped):
            self._wipe(key, table)
            root = EMPTY_ROOT
        slots = changes.storage.get(address)
        if slots and new is not None:
            root = self._change_storage(key, root, slots, table)
        elif slots:
            ensure(not any(slots.values()), "storage for an account that is gone", address=address)
        if new is not None and new.is_empty and root == EMPTY_ROOT:
            new = None
        if new is None:
            if old is not None:
                table[Column.ACCOUNT, key] = None
                leaves[key] = b""
            return
        new = replace(new, storage_root=root)
        if new == old:
            return
        if old is None:
            table[Column.PREIMAGE, key] = address
        table[Column.ACCOUNT, key] = encode_slim(new)
        leaves[key] = encode_account(new)

    def _wipe(self, account: Hash32, table: _Table) -> None:
        """Delete all slots and all storage trie nodes of an account."""
        for key, _ in self._store.scan(Column.SLOT, account):
            table[Column.SLOT, key] = None
        for key, _ in self._store.scan(Column.TRIE, STORAGE_TRIE + account):
            table[Column.TRIE, key] = None

    def _change_storage(
        self, account: Hash32, root: Hash32, slots: Mapping[int, int], table: _Table
    ) -> Hash32:
        """Add the writes of changed slots to `table`; return the new storage root.

        `root` is EMPTY_ROOT when nothing older counts, whatever the tables still hold.
        """
        is_new = root == EMPTY_ROOT
        leaves: dict[bytes, bytes] = {}
        for slot, value in slots.items():
            hashed = hash_slot(slot)
            key = account + hashed
            old = None if is_new else self._store.get(Column.SLOT, key)
            raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
            if raw == (old or b""):
                continue
            if old is None:
                table[Column.PREIMAGE, hashed] = slot.to_bytes(32, "big")
            table[Column.SLOT, key] = raw or None
            leaves[hashed] = rlp_string(raw) if raw else b""
        prefix = STORAGE_TRIE + account
        update = update_trie(self._trie_reader(prefix), root, leaves)
        for path, node in update.nodes.items():
            table[Column.TRIE, prefix + path] = node
        return update.root

    def _trie_reader(self, prefix: bytes) -> _NodeReader:
        return _NodeReader(self._store, prefix)


class _NodeReader:
    """Reads the nodes of one trie by path."""

    def __init__(self, store: KeyValueReader, prefix: bytes) -> None:
        self._get = store.get
        self._prefix = prefix

    def __call__(self, path: bytes) -> bytes | None:
        return self._get(Column.TRIE, self._prefix + path)


def genesis_changes(alloc: Mapping[Address, GenesisAccount]) -> ChangeSet:
    """Return the change set that makes the empty state the one of a genesis `alloc`."""
    changes = ChangeSet()
    for address, entry in alloc.items():
        code_hash = keccak(entry.code) if entry.code else EMPTY_CODE_HASH
        changes.accounts[address] = Account(entry.nonce, entry.balance, EMPTY_ROOT, code_hash)
        if entry.code:
            changes.codes[code_hash] = entry.code
        slots = {slot: value for slot, value in entry.storage.items() if value}
        if slots:
            changes.storage[address] = slots
    return changes
