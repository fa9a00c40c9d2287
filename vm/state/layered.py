"""A state reader over a committed state and a change set that is not committed yet."""

from __future__ import annotations

from primitives.account import Account
from primitives.types import Address, Hash32
from vm.state.changes import ChangeSet, StateReader


class LayeredState:
    """The `StateReader` of the state after `changes`; both must stay as they are.

    The storage root of a changed account is the one from before, as in the change set.
    """

    def __init__(self, below: StateReader, changes: ChangeSet) -> None:
        self._below = below
        self._changes = changes

    def account(self, address: Address) -> Account | None:
        """Return the account after the changes, or None."""
        if address in self._changes.accounts:
            return self._changes.accounts[address]
        return self._below.account(address)

    def storage(self, address: Address, slot: int) -> int:
        """Return the value of a slot after the changes."""
        value = self._changes.storage.get(address, {}).get(slot)
        if value is not None:
            return value
        return 0 if self._is_cut_off(address) else self._below.storage(address, slot)

    def code(self, code_hash: Hash32) -> bytes:
        """Return the code with this hash, new or old."""
        code = self._changes.codes.get(code_hash)
        return self._below.code(code_hash) if code is None else code

    def has_storage(self, address: Address) -> bool:
        """Return whether any slot is not zero, counting slots below that no change names.

        A slot that the changes set to zero still counts while others below are unknown; only
        accounts without code and nonce are ever asked about, and none can clear a slot.
        """
        if any(self._changes.storage.get(address, {}).values()):
            return True
        return not self._is_cut_off(address) and self._below.has_storage(address)

    def _is_cut_off(self, address: Address) -> bool:
        changes = self._changes
        return address in changes.wiped or changes.accounts.get(address, self) is None
