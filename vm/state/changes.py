"""What execution reads and what it leaves behind: the state reader and the change set.

A `StateReader` answers the four questions that an engine may ask of one committed state. A
`ChangeSet` is the only product of execution that touches state: trie, flat tables and history
consume change sets and know no engine, so that engines are interchangeable and comparable.

Rules of a change set
- `accounts` maps an address to its new account, or to None when the account is gone. The
  `storage_root` in these accounts is the root BEFORE the change; the trie step computes the new
  one. An account that is empty in the sense of EIP-161 and has no storage left counts as gone,
  unless `keeps_empty` says that the block was before that EIP.
- `storage` maps an address to its changed slots; the value 0 deletes a slot. An account named here
  but not in `accounts` keeps its nonce, balance and code; it must exist.
- `wiped` names accounts whose older slots all go before `storage` applies (an account that was
  destroyed, or destroyed and created again). An account that is gone is wiped by that alone.
- `codes` maps code hashes to new code; code is never deleted, because others may share it.

Entries equal to the old state are legal and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from primitives.account import Account
from primitives.types import Address, Hash32


class StateReader(Protocol):
    """Reads of one committed state; safe to call from any thread."""

    def account(self, address: Address) -> Account | None:
        """Return the account, or None when there is none."""
        ...

    def storage(self, address: Address, slot: int) -> int:
        """Return the value of a storage slot; 0 when it was never set."""
        ...

    def code(self, code_hash: Hash32) -> bytes:
        """Return the code with this hash; b"" for EMPTY_CODE_HASH.

        Raises StoreCorrupt when the code of an existing account is not there.
        """
        ...

    def has_storage(self, address: Address) -> bool:
        """Return whether any slot is not zero. Source: EIP-7610."""
        ...


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The new values of all that one block (or call) changed. See the module's rules."""

    accounts: dict[Address, Account | None] = field(default_factory=dict)
    storage: dict[Address, dict[int, int]] = field(default_factory=dict)
    wiped: set[Address] = field(default_factory=set)
    codes: dict[Hash32, bytes] = field(default_factory=dict)
    keeps_empty: bool = False
