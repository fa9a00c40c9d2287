"""The committed state: reads from the flat tables, and the update that a change set makes.

Reads never walk a trie: ACCOUNT and SLOT hold every account and slot under the hash of its key
(layout in `vm.state`). `StateStore.compute` turns a change set into the new state root and the
writes that bring tables and tries there; it writes nothing itself, so a block that is not decided
costs nothing on disk. Rules: an empty account (EIP-161) without storage is not stored; an account
that goes takes its slots and storage trie along; code and preimages stay.

The update also names what the tables held before, as far as `vm.state.history` keeps it; nearly all
of it was read anyway, so it costs no further read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import repeat
from typing import Final, TypeAlias

from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import StoreCorrupt, ensure
from primitives.keyvalue import Column, KeyValueReader, Write
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, HASH_BYTES, Address, Hash32
from vm.state.changes import ChangeSet, StateReader
from vm.state.encoding import decode_slim, encode_rows, rlp_string, storage_root_of
from vm.state.nodes import NodeCache
from vm.state.trie import Trie

ACCOUNT_TRIE: Final = b"A"
STORAGE_TRIE: Final = b"O"
STORAGE_PATH_AT: Final = len(STORAGE_TRIE) + HASH_BYTES
"""Where the path begins in the key of a storage trie's node."""

HASHES_CACHED_MAX = 65_536
KEPT_DEPTH = 2
"""History keeps old trie nodes down to this many nibbles; what lies below is built again from old
accounts and slots, so that a block keeps at most 273 old nodes of a trie, and a proof builds at
most 1/4096 of one."""


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
    """The root after a change set, and the writes that bring the store there.

    `before` has the same form and leads back: the old values of every changed account and slot,
    and of the changed trie nodes down to KEPT_DEPTH.
    """

    state_root: Hash32
    writes: list[Write]
    before: list[Write] = field(default_factory=list)


_STORAGE: Final = STORAGE_TRIE[0]

_Rows: TypeAlias = dict[bytes, bytes | None]
"""Values of one column by key; None where there is none."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """New values of each column, and the old ones of what history keeps among them.

    `old_nodes` are those of all opened nodes near the roots; what is not in it was not there.
    """

    accounts: list[Write] = field(default_factory=list)
    old_accounts: list[Write] = field(default_factory=list)
    slots: _Rows = field(default_factory=dict)
    old_slots: _Rows = field(default_factory=dict)
    nodes: _Rows = field(default_factory=dict)
    old_nodes: _Rows = field(default_factory=dict)
    others: list[Write] = field(default_factory=list)

    def writes(self) -> list[Write]:
        """Return all new values."""
        slots = zip(repeat(Column.SLOT), self.slots, self.slots.values(), strict=False)
        nodes = zip(repeat(Column.TRIE), self.nodes, self.nodes.values(), strict=False)
        return [*self.accounts, *slots, *nodes, *self.others]

    def before(self) -> list[Write]:
        """Return the old values of what changed and is kept."""
        rows, slots, nodes = self.old_accounts, self.old_slots.get, self.old_nodes.get
        for key, value in self.slots.items():
            if slots(key) != value:
                rows.append((Column.SLOT, key, slots(key)))
        near = len(ACCOUNT_TRIE) + KEPT_DEPTH
        for key in [each for each in self.nodes if len(each) <= near or each[0] == _STORAGE]:
            if is_kept(Column.TRIE, key) and nodes(key) != self.nodes[key]:
                rows.append((Column.TRIE, key, nodes(key)))
        return rows


def is_kept(column: Column, key: bytes) -> bool:
    """Return whether history keeps the old values of this key."""
    if column is Column.TRIE:
        path_at = 1 if key.startswith(ACCOUNT_TRIE) else STORAGE_PATH_AT
        return len(key) - path_at <= KEPT_DEPTH
    return column in (Column.ACCOUNT, Column.SLOT)


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
    """The state of one committed block, read from `store` (best a snapshot).

    `cache` may be shared by all states of a chain, and of others.
    """

    def __init__(self, store: KeyValueReader, cache: NodeCache | None = None) -> None:
        self._store = store
        self._cache = cache

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
        draft = _Draft()
        leaves: _Rows = {}
        others = changes.storage.keys() | changes.wiped
        for address, account in changes.accounts.items():
            if account is None or account.is_empty or address in others:
                others.add(address)
            else:
                self._put_account(address, account, draft, leaves)
        for address in sorted(others):
            self._change_account(address, changes, draft, leaves)
        for code_hash, code in changes.codes.items():
            if code:
                draft.others.append((Column.CODE, code_hash, code))
        root = self._change_trie(ACCOUNT_TRIE, self.root(), leaves, draft)
        return StateUpdate(root, draft.writes(), draft.before())

    def _change_account(
        self, address: Address, changes: ChangeSet, draft: _Draft, leaves: _Rows
    ) -> None:
        """Add one account's writes to `draft` and its leaf, when it changed, to `leaves`."""
        key = hash_address(address)
        raw = self._store.get(Column.ACCOUNT, key)
        root = EMPTY_ROOT if raw is None else storage_root_of(raw)
        if address in changes.accounts:
            new = changes.accounts[address]
        else:
            new = None if raw is None else decode_slim(raw)
        if root != EMPTY_ROOT and (new is None or address in changes.wiped):
            self._wipe(key, draft)
            root = EMPTY_ROOT
        slots = changes.storage.get(address)
        if slots and new is not None:
            root = self._change_storage(key, root, slots, draft)
        elif slots:
            ensure(not any(slots.values()), "storage for an account that is gone", address=address)
        is_gone = new is None or (
            not new.balance and new.is_empty and root == EMPTY_ROOT and not changes.keeps_empty
        )
        if new is None or is_gone:
            if raw is not None:
                draft.accounts.append((Column.ACCOUNT, key, None))
                draft.old_accounts.append((Column.ACCOUNT, key, raw))
                leaves[key] = None
            return
        _add_account(address, key, raw, encode_rows(new, root), draft, leaves)

    def _put_account(
        self, address: Address, account: Account, draft: _Draft, leaves: _Rows
    ) -> None:
        """The same for one that is not empty and whose storage stays: nearly all of a block."""
        key = hash_address(address)
        raw = self._store.get(Column.ACCOUNT, key)
        root = EMPTY_ROOT if raw is None else storage_root_of(raw)
        _add_account(address, key, raw, encode_rows(account, root), draft, leaves)

    def _wipe(self, account: Hash32, draft: _Draft) -> None:
        """Delete all slots and all storage trie nodes of an account."""
        for key, value in self._store.scan(Column.SLOT, account):
            draft.slots[key] = None
            draft.old_slots[key] = value
        for key, value in self._store.scan(Column.TRIE, STORAGE_TRIE + account):
            draft.nodes[key] = None
            if is_kept(Column.TRIE, key):
                draft.old_nodes[key] = value

    def _change_storage(
        self, account: Hash32, root: Hash32, slots: Mapping[int, int], draft: _Draft
    ) -> Hash32:
        """Add the writes of changed slots to `draft`; return the new storage root.

        `root` is EMPTY_ROOT when nothing older counts, whatever the tables still hold.
        """
        is_new = root == EMPTY_ROOT
        leaves: _Rows = {}
        for slot, value in slots.items():
            hashed = hash_slot(slot)
            key = account + hashed
            old = None
            if not is_new:
                old = draft.old_slots[key] = self._store.get(Column.SLOT, key)
            raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
            if raw == (old or b""):
                continue
            if old is None:
                draft.others.append((Column.PREIMAGE, hashed, slot.to_bytes(32, "big")))
            draft.slots[key] = raw or None
            leaves[hashed] = rlp_string(rlp_string(raw)) if raw else None
        return self._change_trie(STORAGE_TRIE + account, root, leaves, draft)

    def _change_trie(self, prefix: bytes, root: Hash32, leaves: _Rows, draft: _Draft) -> Hash32:
        """Add the node writes of one trie to `draft`; return its new root."""
        trie = Trie(
            partial(self._store.get, Column.TRIE),
            draft.nodes,
            self._cache,
            prefix=prefix,
            opened=draft.old_nodes,
            opened_nibbles_max=KEPT_DEPTH,
        )
        return trie.update(root, leaves)


def _add_account(
    address: Address,
    key: Hash32,
    old: bytes | None,
    rows: tuple[bytes, bytes],
    draft: _Draft,
    leaves: _Rows,
) -> None:
    """Note what an account is from now on, unless it is as it was."""
    slim, leaf = rows
    if slim == old:
        return
    if old is None:
        draft.others.append((Column.PREIMAGE, key, address))
    draft.accounts.append((Column.ACCOUNT, key, slim))
    draft.old_accounts.append((Column.ACCOUNT, key, old))
    leaves[key] = leaf


def genesis_changes(
    alloc: Mapping[Address, GenesisAccount], *, keeps_empty: bool = False
) -> ChangeSet:
    """Return the change set that makes the empty state the one of a genesis `alloc`.

    Accounts with nothing in them are left out unless `keeps_empty`, as public chains have it.
    """
    changes = ChangeSet(keeps_empty=keeps_empty)
    for address, entry in alloc.items():
        code_hash = keccak(entry.code) if entry.code else EMPTY_CODE_HASH
        changes.accounts[address] = Account(entry.nonce, entry.balance, EMPTY_ROOT, code_hash)
        if entry.code:
            changes.codes[code_hash] = entry.code
        slots = {slot: value for slot, value in entry.storage.items() if value}
        if slots:
            changes.storage[address] = slots
    return changes
