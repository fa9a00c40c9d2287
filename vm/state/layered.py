"""What is committed with what is not committed yet on top: a state reader, and a whole store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from primitives.account import Account
from primitives.keyvalue import Column, KeyValueReader, Write
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


class UncommittedStore:
    """The `KeyValueReader` of `below` after `writes`, which nobody has written yet.

    Once they are written, `settle` makes it read what is committed; nothing that it answers
    changes by that. Safe from any thread if `below` is.
    """

    def __init__(self, below: KeyValueReader, writes: Iterable[Write]) -> None:
        rows = {(column, key): value for column, key, value in writes}
        self._layers: tuple[dict[tuple[Column, bytes], bytes | None], KeyValueReader]
        self._layers = rows, below

    def get(self, column: Column, key: bytes) -> bytes | None:
        """Return the value of `key` after the writes, or None."""
        rows, below = self._layers
        if rows:
            try:
                return rows[column, key]
            except KeyError:
                pass
        return below.get(column, key)

    def scan(
        self, column: Column, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order for keys >= `start` that begin with `prefix`."""
        rows, below = self._layers
        found: dict[bytes, bytes | None] = dict(below.scan(column, prefix, start))
        for (where, key), value in rows.items():
            if where is column and key >= start and key.startswith(prefix):
                found[key] = value
        for key, value in sorted(found.items()):
            if value is not None:
                yield key, value

    def settle(self, committed: KeyValueReader) -> None:
        """Read from `committed`, whose state is that of `below` after the writes."""
        self._layers = {}, committed
