"""The first state of a chain, written while it is computed.

A genesis document may hold millions of accounts. They are taken in the order of their keys, which
is that of the trie: each account's rows and each node are made once and handed on in batches, so
that memory does not grow with what is written. What it leaves is what `StateStore.compute` of the
same `alloc` would write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final

from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.keyvalue import Column, Write
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, HASH_BYTES, Address, Hash32
from vm.state.encoding import encode_rows, rlp_string
from vm.state.store import ACCOUNT_TRIE, STORAGE_TRIE
from vm.state.trie import Trie, no_node
from vm.state.walk import build_in_parts

ROWS_PER_BATCH: Final = 50_000
"""A batch of millions of rows would leave a file too large to search."""

WriteRows = Callable[[list[Write]], None]
Progress = Callable[[int, int], None]
"""Called with how many accounts are done, of how many."""

_Leaf = tuple[bytes, bytes]


def no_progress(done: int, total: int) -> None:
    """Take no notice."""


def write_first_state(
    alloc: Mapping[Address, GenesisAccount], write: WriteRows, progress: Progress = no_progress
) -> Hash32:
    """Hand all rows of the state that `alloc` describes to `write`, and return its root.

    Accounts with nothing in them are left out (EIP-161).
    """
    return _FirstState(alloc, write, progress).root()


class _FirstState:
    """The rows that are made but not handed on yet."""

    def __init__(
        self, alloc: Mapping[Address, GenesisAccount], write: WriteRows, progress: Progress
    ) -> None:
        self._alloc = alloc
        self._write = write
        self._progress = progress
        self._rows: list[Write] = []

    def root(self) -> Hash32:
        root = build_in_parts(self._parts(), self._node, ACCOUNT_TRIE)
        self._write(self._rows)
        return root

    def _node(self, key: bytes, node: bytes | None) -> None:
        self._rows.append((Column.TRIE, key, node))

    def _parts(self) -> Iterator[list[_Leaf]]:
        """Yield the leaves of the account trie, those with one first byte together."""
        order = sorted(keccak(address) + address for address in self._alloc)
        done = 0
        for _, names in groupby(order, itemgetter(0)):
            part = [leaf for name in names for leaf in self._account(name)]
            done += len(part)
            self._progress(done, len(order))
            if part:
                yield part
            if len(self._rows) >= ROWS_PER_BATCH:
                self._write(self._rows)
                self._rows = []

    def _account(self, name: bytes) -> Iterator[_Leaf]:
        """Make the rows of one account; yield its leaf, unless nothing is in it."""
        key, address = Hash32(name[:HASH_BYTES]), Address(name[HASH_BYTES:])
        entry = self._alloc[address]
        code_hash = keccak(entry.code) if entry.code else EMPTY_CODE_HASH
        account = Account(entry.nonce, entry.balance, EMPTY_ROOT, code_hash)
        root = self._storage(key, entry.storage) if entry.storage else EMPTY_ROOT
        if root == EMPTY_ROOT and account.is_empty:
            return
        slim, leaf = encode_rows(account, root)
        self._rows.append((Column.ACCOUNT, key, slim))
        self._rows.append((Column.PREIMAGE, key, address))
        if entry.code:
            self._rows.append((Column.CODE, code_hash, entry.code))
        yield key, leaf

    def _storage(self, owner: Hash32, storage: Mapping[int, int]) -> Hash32:
        """Make the rows of one account's slots; return its storage root."""
        leaves: dict[bytes, bytes | None] = {}
        for slot, value in storage.items():
            if value:
                plain, raw = slot.to_bytes(32, "big"), value.to_bytes(32, "big").lstrip(b"\x00")
                key = keccak(plain)
                leaves[key] = rlp_string(rlp_string(raw))
                self._rows.append((Column.SLOT, owner + key, raw))
                self._rows.append((Column.PREIMAGE, key, plain))
        nodes: dict[bytes, bytes | None] = {}
        root = Trie(no_node, nodes, prefix=STORAGE_TRIE + owner).update(EMPTY_ROOT, leaves)
        self._rows += [(Column.TRIE, key, node) for key, node in nodes.items()]
        return root
