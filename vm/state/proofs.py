"""Merkle proofs of accounts and slots, present and past, of what is there and of what is not.

A proof is the list of trie nodes from the root to where the key ends: its value, or the place where
another path begins. Nodes that fit into their parent stand there and not in the list, as in
EIP-1186. Each node is compared with the hash its parent has, so what is returned always verifies,
or StoreCorrupt is raised.

At the head all nodes are stored. Of the past only those near the root are; what lies below one of
them is built again from the accounts or slots of that time (at most about 1/4096 of the trie).
Sources: Yellow Paper appendix D, EIP-1186.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.errors import StoreCorrupt
from primitives.keyvalue import Column, KeyValueReader
from primitives.types import EMPTY_ROOT, Address, Hash32
from vm.state.encoding import (
    EMPTY_ITEM,
    LIST,
    decode_slim,
    encode_account,
    rlp_string,
    string_of,
)
from vm.state.nodes import decode_node
from vm.state.paths import Nibbles, nibbles_of
from vm.state.store import ACCOUNT_TRIE, KEPT_DEPTH, STORAGE_TRIE, hash_address, hash_slot
from vm.state.walk import walk_below

ROWS_PER_TICK: Final = 256

Tick = Callable[[], None]
"""Called now and then while a proof is made; raises to end it."""


@dataclass(frozen=True, slots=True)
class SlotProof:
    """A slot's value (0: not there) and the nodes that prove it against the storage root."""

    slot: int
    value: int
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AccountProof:
    """An account (None: not there) and the nodes that prove it against the state root."""

    address: Address
    account: Account | None
    nodes: tuple[bytes, ...]
    slots: tuple[SlotProof, ...]


@dataclass(frozen=True, slots=True)
class _Trie:
    """One trie: where its nodes, and where its leaves are; `owner` begins the leaves' keys."""

    nodes: bytes
    column: Column
    owner: bytes
    root: Hash32


def no_tick() -> None:
    """Go on."""


class Prover:
    """Proves against one state root; `store` holds that state.

    `is_past` says that the deeper trie nodes of `store` are not those of this state (they are a
    `PastReader`'s). Not for use by two threads at once.
    """

    def __init__(self, store: KeyValueReader, root: Hash32, *, is_past: bool) -> None:
        self._store = store
        self._root = root
        self._is_past = is_past

    def prove(
        self, address: Address, slots: tuple[int, ...] = (), tick: Tick = no_tick
    ) -> AccountProof:
        """Return the proof of an account and some of its slots; raises StoreCorrupt."""
        key = hash_address(address)
        nodes, _ = self._walk(_Trie(ACCOUNT_TRIE, Column.ACCOUNT, b"", self._root), key, tick)
        raw = self._store.get(Column.ACCOUNT, key)
        account = None if raw is None else decode_slim(raw)
        root = EMPTY_ROOT if account is None else account.storage_root
        storage = _Trie(STORAGE_TRIE + key, Column.SLOT, key, root)
        return AccountProof(
            address, account, nodes, tuple(self._prove_slot(storage, slot, tick) for slot in slots)
        )

    def _prove_slot(self, storage: _Trie, slot: int, tick: Tick) -> SlotProof:
        nodes, value = self._walk(storage, hash_slot(slot), tick)
        return SlotProof(slot, int.from_bytes(string_of(value), "big") if value else 0, nodes)

    def _walk(self, trie: _Trie, key: Hash32, tick: Tick) -> tuple[tuple[bytes, ...], bytes]:
        """Return the nodes on the way to `key`, and its value, b"" when it is not there."""
        tick()
        target, path = nibbles_of(key), b""
        reference = EMPTY_ITEM if trie.root == EMPTY_ROOT else b"\xa0" + trie.root
        built: dict[Nibbles, bytes] = {}
        nodes: list[bytes] = []
        while reference != EMPTY_ITEM:
            encoded = reference
            if reference[0] < LIST:
                encoded = self._node(trie, target, path, built, tick)
                if b"\xa0" + keccak(encoded) != reference:
                    raise StoreCorrupt(f"trie node at path {path.hex()!r} is not its parent's")
                nodes.append(encoded)
            node = decode_node(encoded)
            if isinstance(node, list):
                nibble = target[len(path)]
                reference, path = node[nibble], target[: len(path) + 1]
                continue
            is_leaf, head, item = node
            path += head
            if is_leaf or not target.startswith(path):
                return tuple(nodes), string_of(item) if path == target else b""
            reference = item
        return tuple(nodes), b""

    def _node(
        self,
        trie: _Trie,
        target: Nibbles,
        path: Nibbles,
        built: dict[Nibbles, bytes],
        tick: Tick,
    ) -> bytes:
        """Return the node at `path`, stored or built again; of the built ones `built` keeps those
        on the way to `target`.
        """
        if not self._is_past or len(path) <= KEPT_DEPTH:
            stored = self._store.get(Column.TRIE, trie.nodes + path)
        else:
            if not built:

                def visit(at: Nibbles, node: bytes | None) -> None:
                    if node is not None and target.startswith(at):
                        built[at] = node

                walk_below(path, self._leaves(trie, path, tick), visit)
            stored = built.get(path)
        if stored is None:
            raise StoreCorrupt(f"trie node at path {path.hex()!r} is missing", path=path)
        return stored

    def _leaves(self, trie: _Trie, path: Nibbles, tick: Tick) -> Iterator[tuple[bytes, bytes]]:
        """Yield the leaves below `path`; an odd last nibble is compared row by row."""
        even = bytes(high << 4 | low for high, low in zip(path[:-1:2], path[1::2], strict=False))
        start = even + bytes((path[-1] << 4,)) if len(path) & 1 else even
        at = len(trie.owner)
        rows = self._store.scan(trie.column, trie.owner + even, trie.owner + start)
        for count, (key, raw) in enumerate(rows):
            if len(path) & 1 and key[at + len(even)] >> 4 != path[-1]:
                return
            if count % ROWS_PER_TICK == 0:
                tick()
            is_account = trie.column is Column.ACCOUNT
            yield key[at:], encode_account(decode_slim(raw)) if is_account else rlp_string(raw)
