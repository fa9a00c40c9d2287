"""The undo-log overlay: a mutable state over a `StateReader`, from which a `ChangeSet` comes.

Every write is made in place and its old value pushed on one journal, so that a checkpoint is the
journal's length and a revert pops back to it: both cost nothing when nothing fails. The journal
covers accounts, storage, wiped storage, warm sets and transient storage. It lives as long as one
transaction: `finish_transaction` removes what EIP-161 calls dead and forgets original values,
warm sets and transient storage.

Method names and arguments are those of py-evm's account database, which lets the engine use an
overlay in its place; nothing of py-evm is imported here. Not for use by two threads at once.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.errors import ensure
from primitives.types import (
    EMPTY_CODE_HASH,
    UINT64_MAX,
    UINT256_MAX,
    Address,
    Hash32,
    Nonce,
    Wei,
)
from vm.state.changes import ChangeSet, StateReader

_Warm: TypeAlias = "Address | tuple[Address, int]"
_Slots: TypeAlias = "dict[int, int]"
_Undo: TypeAlias = "tuple[int, Any, Any, Any]"
"""Kind, table or key, key, old value; `_undo` is the only place that reads one."""


class _Unset:
    """Marks the absence of an entry where None is a value."""


_UNSET: Final = _Unset()
_NOTHING: Final = Account()
_ACCOUNT, _STORAGE, _WIPE, _WARM, _TRANSIENT = range(5)


class Overlay:
    """A state that can be changed, reverted and turned into a change set."""

    def __init__(self, reader: StateReader, *, keeps_empty: bool = False) -> None:
        """Begin on the state of `reader`; `keeps_empty` leaves EIP-161 out (before that fork)."""
        self._reader = reader
        self._keeps_empty = keeps_empty
        self._read: dict[Address, Account | None] = {}
        self._read_storage: dict[tuple[Address, int], int] = {}
        self._accounts: dict[Address, Account | None] = {}
        self._storage: dict[Address, _Slots] = {}
        self._wiped: set[Address] = set()
        self._codes: dict[Hash32, bytes] = {}
        self._original: dict[tuple[Address, int], int] = {}
        self._warm: set[_Warm] = set()
        self._transient: dict[tuple[Address, int], bytes] = {}
        self._journal: list[_Undo] = []

    # --- accounts -----------------------------------------------------------------------------

    def account(self, address: Address) -> Account | None:
        """Return the account as it is now, or None. Its storage root is the committed one."""
        found = self._accounts.get(address, _UNSET)
        return self._committed(address) if isinstance(found, _Unset) else found

    def _committed(self, address: Address) -> Account | None:
        try:
            return self._read[address]
        except KeyError:
            found = self._read[address] = self._reader.account(address)
            return found

    def _put(self, address: Address, account: Account | None) -> None:
        self._journal.append((_ACCOUNT, address, None, self._accounts.get(address, _UNSET)))
        self._accounts[address] = account

    def account_exists(self, address: Address) -> bool:
        """Return whether the account is there, be it empty."""
        return self.account(address) is not None

    def account_is_empty(self, address: Address) -> bool:
        """Return whether nonce, balance and code are all nothing (EIP-161)."""
        account = self.account(address)
        return account is None or account.is_empty

    def account_has_code_or_nonce(self, address: Address) -> bool:
        """Return whether a contract may not be created here: code, nonce or storage (EIP-7610)."""
        account = self.account(address) or _NOTHING
        return (
            account.nonce != 0 or account.code_hash != EMPTY_CODE_HASH or self.has_storage(address)
        )

    def touch_account(self, address: Address) -> None:
        """Make the account exist; at the transaction's end it goes again if it is empty."""
        self._put(address, self.account(address) or _NOTHING)

    def delete_account(self, address: Address) -> None:
        """Remove the account with its storage."""
        self.delete_storage(address)
        self._put(address, None)

    def get_balance(self, address: Address) -> int:
        """Return the balance in wei."""
        account = self.account(address)
        return 0 if account is None else account.balance

    def set_balance(self, address: Address, balance: int) -> None:
        """Set the balance in wei."""
        old = self.account(address) or _NOTHING
        new = Account(old.nonce, Wei(balance), old.storage_root, old.code_hash)
        self._put(address, new)

    def get_nonce(self, address: Address) -> int:
        """Return the nonce."""
        account = self.account(address)
        return 0 if account is None else account.nonce

    def set_nonce(self, address: Address, nonce: int) -> None:
        """Set the nonce."""
        old = self.account(address) or _NOTHING
        new = Account(Nonce(nonce), old.balance, old.storage_root, old.code_hash)
        self._put(address, new)

    def increment_nonce(self, address: Address) -> None:
        """Add one to the nonce."""
        self.set_nonce(address, self.get_nonce(address) + 1)

    # --- code ---------------------------------------------------------------------------------

    def get_code_hash(self, address: Address) -> Hash32:
        """Return the hash of the account's code."""
        account = self.account(address)
        return EMPTY_CODE_HASH if account is None else account.code_hash

    def get_code(self, address: Address) -> bytes:
        """Return the account's code; empty where there is none."""
        code_hash = self.get_code_hash(address)
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self._codes.get(code_hash)
        if code is None:
            code = self._codes[code_hash] = self._reader.code(code_hash)
        return code

    def set_code(self, address: Address, code: bytes) -> None:
        """Set the account's code."""
        code_hash = keccak(code)
        self._codes[code_hash] = code
        self._put_code_hash(address, code_hash)

    def delete_code(self, address: Address) -> None:
        """Leave the account without code."""
        self._put_code_hash(address, EMPTY_CODE_HASH)

    def _put_code_hash(self, address: Address, code_hash: Hash32) -> None:
        old = self.account(address) or _NOTHING
        self._put(address, Account(old.nonce, old.balance, old.storage_root, code_hash))

    # --- storage ------------------------------------------------------------------------------

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """Return a slot's value; its value before the transaction unless `from_journal`."""
        if not from_journal:
            original = self._original.get((address, slot))
            if original is not None:
                return original
        slots = self._storage.get(address)
        if slots is not None:
            value = slots.get(slot)
            if value is not None:
                return value
        return 0 if address in self._wiped else self._committed_storage(address, slot)

    def _committed_storage(self, address: Address, slot: int) -> int:
        key = (address, slot)
        value = self._read_storage.get(key)
        if value is None:
            value = self._read_storage[key] = self._reader.storage(address, slot)
        return value

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        """Set a slot's value."""
        old = self.get_storage(address, slot)
        self._original.setdefault((address, slot), old)
        slots = self._storage.setdefault(address, {})
        self._journal.append((_STORAGE, slots, slot, slots.get(slot)))
        slots[slot] = value

    def has_storage(self, address: Address) -> bool:
        """Return whether a slot is not zero; exact for accounts that never ran code."""
        if any(self._storage.get(address, {}).values()):
            return True
        return address not in self._wiped and self._reader.has_storage(address)

    def delete_storage(self, address: Address) -> None:
        """Set all slots to zero; does nothing where there is no storage."""
        if address in self._storage or self.has_storage(address):
            old = self._storage.pop(address, None)
            self._journal.append((_WIPE, address, old, address in self._wiped))
            self._wiped.add(address)

    def get_transient_storage(self, address: Address, slot: int) -> bytes:
        """Return a transient slot as the bytes that were set; empty when unset (EIP-1153)."""
        return self._transient.get((address, slot), b"")

    def set_transient_storage(self, address: Address, slot: int, value: bytes) -> None:
        """Set a transient slot (EIP-1153)."""
        key = (address, slot)
        self._journal.append((_TRANSIENT, key, None, self._transient.get(key)))
        self._transient[key] = value

    # --- warm sets (EIP-2929) -----------------------------------------------------------------

    def is_address_warm(self, address: Address) -> bool:
        """Return whether the account was accessed in this transaction."""
        return address in self._warm

    def mark_address_warm(self, address: Address) -> None:
        """Note that the account was accessed."""
        self._mark(address)

    def is_storage_warm(self, address: Address, slot: int) -> bool:
        """Return whether the slot was accessed in this transaction."""
        return (address, slot) in self._warm

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        """Note that the slot was accessed."""
        self._mark((address, slot))

    def _mark(self, key: _Warm) -> None:
        if key not in self._warm:
            self._warm.add(key)
            self._journal.append((_WARM, key, None, None))

    # --- checkpoints --------------------------------------------------------------------------

    def record(self) -> int:
        """Return a checkpoint of now, good until the transaction's end."""
        return len(self._journal)

    def discard(self, checkpoint: int) -> None:
        """Undo everything since `checkpoint`."""
        journal = self._journal
        while len(journal) > checkpoint:
            self._undo(journal.pop())

    def _undo(self, entry: _Undo) -> None:
        kind, where, key, old = entry
        if kind == _ACCOUNT:
            _restore(self._accounts, where, old, _UNSET)
        elif kind == _STORAGE:
            _restore(where, key, old, None)
        elif kind == _WARM:
            self._warm.discard(where)
        elif kind == _TRANSIENT:
            _restore(self._transient, where, old, None)
        else:
            self._unwipe(where, key, was_wiped=old)

    def _unwipe(self, address: Address, slots: _Slots | None, *, was_wiped: bool) -> None:
        if not was_wiped:
            self._wiped.discard(address)
        if slots is None:
            self._storage.pop(address, None)
        else:
            self._storage[address] = slots

    def finish_transaction(self) -> None:
        """Remove accounts that this transaction touched and left empty; begin the next one.

        Sources: EIP-161; EIP-2200 and EIP-1153 for what is forgotten.
        """
        for entry in () if self._keeps_empty else self._journal:
            if entry[0] == _ACCOUNT:
                address = entry[1]
                account = self._accounts[address]
                if account is not None and account.is_empty:
                    self._remove(address)
        self._journal.clear()
        self._original.clear()
        self._warm.clear()
        self._transient.clear()

    def _remove(self, address: Address) -> None:
        self._accounts[address] = None
        self._storage.pop(address, None)
        if address not in self._wiped and self._reader.has_storage(address):
            self._wiped.add(address)

    def transfer(
        self,
        sender: Address,
        to: Address,
        value: Wei,
        fee: Wei,
        *,
        fee_recipient: Address,
        tip: Wei,
    ) -> None:
        """Make a whole transaction that runs no code: value, fee, nonce; it cannot be undone.

        `sender` pays `value` and `fee`, `fee_recipient` gets `tip`, all in wei. For use between
        transactions, and equal to setting nonce and balances and finishing the transaction.
        """
        ensure(not self._journal, "a direct transfer stands between transactions")
        self._add(sender, -value - fee, 1)
        self._add(to, value)
        self._add(fee_recipient, tip)
        for address in () if self._keeps_empty else (to, fee_recipient):
            account = self._accounts[address]
            if account is not None and account.is_empty:
                self._remove(address)

    def _add(self, address: Address, amount: int, nonces: int = 0) -> None:
        old = self.account(address) or _NOTHING
        self._accounts[address] = Account(
            Nonce(old.nonce + nonces), Wei(old.balance + amount), old.storage_root, old.code_hash
        )

    # --- result -------------------------------------------------------------------------------

    def changes(self) -> ChangeSet:
        """Return all that differs from the committed state; the overlay stays usable.

        Raises BrokenInvariant when a balance or nonce is out of range.
        """
        changed = ChangeSet(wiped=set(self._wiped), keeps_empty=self._keeps_empty)
        for address, account in self._accounts.items():
            if account != self._committed(address):
                changed.accounts[address] = account
                if account is not None:
                    self._check(address, account)
        for address, slots in self._storage.items():
            if different := self._different(address, slots):
                changed.storage[address] = different
                changed.accounts.setdefault(address, self.account(address))
        for account in changed.accounts.values():
            code_hash = EMPTY_CODE_HASH if account is None else account.code_hash
            if code_hash != EMPTY_CODE_HASH and code_hash in self._codes:
                changed.codes[code_hash] = self._codes[code_hash]
        return changed

    def _different(self, address: Address, slots: _Slots) -> _Slots:
        if address in self._wiped:
            return {slot: value for slot, value in slots.items() if value}
        return {
            slot: value
            for slot, value in slots.items()
            if value != self._committed_storage(address, slot)
        }

    def _check(self, address: Address, account: Account) -> None:
        in_range = 0 <= account.balance <= UINT256_MAX and 0 <= account.nonce <= UINT64_MAX
        ensure(in_range, "balance or nonce is out of range", address=address, account=account)


def _restore(table: dict[Any, Any], key: object, old: object, absent: object) -> None:
    if old is absent:
        del table[key]
    else:
        table[key] = old
