"""A state in dicts: the reader over a genesis `alloc`, and the plain model that tests compare with.

It keeps no trie, so the `storage_root` of its accounts is only a mark: EMPTY_ROOT without storage,
ZERO_HASH with some. Nothing here is meant to be large or durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import StoreCorrupt
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, ZERO_HASH, Address, Hash32
from vm.state.changes import ChangeSet
from vm.state.store import genesis_changes


class MemoryState:
    """A `StateReader` over dicts; `apply` moves it to the next state in place."""

    def __init__(self) -> None:
        self.accounts: dict[Address, Account] = {}
        self.slots: dict[Address, dict[int, int]] = {}
        self.codes: dict[Hash32, bytes] = {EMPTY_CODE_HASH: b""}

    @classmethod
    def of(cls, alloc: Mapping[Address, GenesisAccount]) -> MemoryState:
        """Return the state that a genesis `alloc` describes."""
        state = cls()
        state.apply(genesis_changes(alloc))
        return state

    def account(self, address: Address) -> Account | None:
        """Return the account, or None when there is none."""
        found = self.accounts.get(address)
        if found is None:
            return None
        return replace(found, storage_root=ZERO_HASH if self.slots.get(address) else EMPTY_ROOT)

    def storage(self, address: Address, slot: int) -> int:
        """Return the value of a storage slot; 0 when it was never set."""
        return self.slots.get(address, {}).get(slot, 0)

    def code(self, code_hash: Hash32) -> bytes:
        """Return the code with this hash; raises StoreCorrupt when it is unknown."""
        found = self.codes.get(code_hash)
        if found is None:
            raise StoreCorrupt(f"code {code_hash.hex()} is missing", code_hash=code_hash)
        return found

    def has_storage(self, address: Address) -> bool:
        """Return whether any slot is not zero."""
        return bool(self.slots.get(address))

    def apply(self, changes: ChangeSet) -> None:
        """Move to the state after `changes`, by the rules of `vm.state.changes`."""
        for address in changes.wiped:
            self.slots.pop(address, None)
        for address, slots in changes.storage.items():
            table = self.slots.setdefault(address, {})
            table.update(slots)
            self.slots[address] = {slot: value for slot, value in table.items() if value}
        for address, account in changes.accounts.items():
            is_kept = changes.keeps_empty or self.slots.get(address)
            if account is None or (account.is_empty and not is_kept):
                self.accounts.pop(address, None)
                self.slots.pop(address, None)
            else:
                self.accounts[address] = account
        self.codes.update(changes.codes)


class AllocState:
    """The `StateReader` of a genesis `alloc` as it stands: nothing is copied."""

    def __init__(self, alloc: Mapping[Address, GenesisAccount]) -> None:
        self._alloc = alloc
        self._codes = {keccak(code): code for code in {each.code for each in alloc.values()}}

    def account(self, address: Address) -> Account | None:
        """Return the account, or None when there is none."""
        entry = self._alloc.get(address)
        if entry is None:
            return None
        root = ZERO_HASH if self.has_storage(address) else EMPTY_ROOT
        return Account(entry.nonce, entry.balance, root, keccak(entry.code))

    def storage(self, address: Address, slot: int) -> int:
        """Return the value of a storage slot; 0 when it was never set."""
        entry = self._alloc.get(address)
        return 0 if entry is None else entry.storage.get(slot, 0)

    def code(self, code_hash: Hash32) -> bytes:
        """Return the code with this hash; raises StoreCorrupt when it is unknown."""
        if code_hash not in self._codes:
            raise StoreCorrupt(f"code {code_hash.hex()} is missing", code_hash=code_hash)
        return self._codes[code_hash]

    def has_storage(self, address: Address) -> bool:
        """Return whether any slot is not zero."""
        entry = self._alloc.get(address)
        return entry is not None and any(entry.storage.values())
