"""The past of the state: at every height tables, reads and proofs are those of that time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.exceptions import BadTrieProof
from trie.hexary import HexaryTrie

from primitives.account import Account, GenesisAccount
from primitives.codec import decode
from primitives.crypto.keccak import keccak
from primitives.errors import BrokenInvariant, StoreCorrupt
from primitives.keyvalue import Column, MemoryStore
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash32, Nonce, Wei
from vm.state.changes import ChangeSet
from vm.state.encoding import encode_account, encode_slim, rlp_uint
from vm.state.history import (
    SKIPPED_MAX,
    PastReader,
    forget_writes,
    height_key,
    history_writes,
    index_key,
    split_diff,
    split_name,
)
from vm.state.memory import MemoryState
from vm.state.paths import nibbles_of
from vm.state.proofs import AccountProof, Prover
from vm.state.store import (
    KEPT_DEPTH,
    StateStore,
    StoredState,
    genesis_changes,
    hash_address,
    hash_slot,
    is_kept,
)


def close_ones(count: int, hashed: bytes | None = None) -> list[int]:
    """Return numbers whose 32-byte forms hash to the same first two bytes."""
    found: list[int] = []
    number = 0
    while len(found) < count:
        start = keccak(number.to_bytes(32, "big"))[:2]
        hashed = hashed or start
        if start == hashed:
            found.append(number)
        number += 1
    return found


def close_addresses(count: int) -> list[Address]:
    """Return addresses whose hashes share three nibbles or more: nodes below KEPT_DEPTH."""
    found: dict[bytes, list[Address]] = {}
    number = 0
    while True:
        address = Address(number.to_bytes(20, "big"))
        start = keccak(address).hex()[: KEPT_DEPTH + 1].encode()
        group = found.setdefault(start, [])
        group.append(address)
        if len(group) == count:
            return group
        number += 1


CLOSE = close_addresses(5)
ADDRESSES = [*CLOSE, *(Address(keccak(bytes([n]))[:20]) for n in range(5))]
SLOTS = [*close_ones(3), *range(100, 130)]
CODES = [b"", b"\x60\x01"]
STRANGER = Address(b"\x77" * 20)


@st.composite
def change_sets(draw: st.DrawFn) -> ChangeSet:
    """Changes of a block: set, slots, destroyed, destroyed and created again, emptied."""
    changes = ChangeSet()
    for address in draw(st.lists(st.sampled_from(ADDRESSES), max_size=6, unique=True)):
        kind = draw(st.sampled_from(["set", "slots", "slots", "gone", "reborn", "emptied"]))
        values = st.sampled_from([0, 0, 1, 128, 2**256 - 1])
        slots = draw(st.dictionaries(st.sampled_from(SLOTS), values, max_size=12))
        code = draw(st.sampled_from(CODES))
        code_hash = keccak(code) if code else EMPTY_CODE_HASH
        changes.codes[code_hash] = code
        if kind in ("gone", "reborn"):
            changes.wiped.add(address)
        if kind == "gone":
            changes.accounts[address] = None
            continue
        full = Account(Nonce(draw(st.integers(1, 3))), Wei(draw(st.integers(0, 2**70))))
        changes.accounts[address] = (
            Account()
            if kind == "emptied"
            else Account(full.nonce, full.balance, code_hash=code_hash)
        )
        if kind != "set":
            changes.storage[address] = slots
    return changes


class Past:
    """A store that moves on block by block, and what was true after each."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.models: list[MemoryState] = []
        self.roots: list[Hash32] = []
        self.stores: list[MemoryStore] = []

    def add(self, changes: ChangeSet) -> None:
        """Apply one block; the first one is genesis and keeps nothing."""
        update = StateStore(self.store).compute(changes)
        kept = {(column, key): value for column, key, value in update.before}
        assert kept == {
            (column, key): self.store.get(column, key)
            for column, key, value in update.writes
            if is_kept(column, key) and self.store.get(column, key) != value
        }
        rows = history_writes(len(self.roots), update.before) if self.roots else []
        self.store.write([*update.writes, *rows], sync=False)
        model = deepcopy(self.models[-1]) if self.models else MemoryState()
        model.apply(changes)
        self.models.append(model)
        self.roots.append(update.state_root)
        self.stores.append(self.store.snapshot())

    def prover(self, height: int) -> Prover:
        """Return what proves at a height of the past."""
        return Prover(PastReader(self.store, height), self.roots[height], is_past=True)


def check_proof(proof: AccountProof, root: Hash32) -> None:
    """The `trie` package finds what the proof says, under the root, from the proof alone."""
    leaf = b"" if proof.account is None else encode_account(proof.account)
    assert found_by_proof(root, hash_address(proof.address), proof.nodes) == leaf
    storage_root = EMPTY_ROOT if proof.account is None else proof.account.storage_root
    for each in proof.slots:
        value = rlp_uint(each.value) if each.value else b""
        assert found_by_proof(storage_root, hash_slot(each.slot), each.nodes) == value


def found_by_proof(root: Hash32, key: Hash32, nodes: tuple[bytes, ...]) -> bytes:
    """Return the value that the reference finds, b"" for none; raises BadTrieProof."""
    if root == EMPTY_ROOT:
        assert nodes == ()
        return b""
    find: Callable[..., bytes] = HexaryTrie.get_from_proof
    for at in range(len(nodes)):
        with pytest.raises(BadTrieProof):
            find(root, key, [decode(node) for node in (*nodes[:at], *nodes[at + 1 :])])
    return find(root, key, [decode(node) for node in nodes])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(change_sets(), min_size=2, max_size=7), st.data())
def test_every_height_is_as_it_was(history: list[ChangeSet], data: st.DataObject) -> None:
    """At each height reads equal the model's, scans the tables of that time, proofs verify.

    Kills: the value after a change instead of before it; an absent old value read as the present
    one; slots of a wiped account not kept; a scan that leaves out what was deleted later; a node
    below the kept depth taken from the present trie.
    """
    past = Past()
    for changes in history:
        past.add(changes)
    for height, model in enumerate(past.models):
        reader = PastReader(past.store, height)
        state = StoredState(reader)
        for column in (Column.ACCOUNT, Column.SLOT):
            assert list(reader.scan(column)) == list(past.stores[height].scan(column))
        for address in [*ADDRESSES, STRANGER]:
            found, expected = state.account(address), model.account(address)
            assert (found is None) == (expected is None)
            if found is not None and expected is not None:
                assert (found.nonce, found.balance) == (expected.nonce, expected.balance)
                assert state.code(found.code_hash) == model.code(expected.code_hash)
            assert [state.storage(address, slot) for slot in SLOTS] == [
                model.storage(address, slot) for slot in SLOTS
            ]
            assert state.has_storage(address) == model.has_storage(address)
    height = data.draw(st.integers(0, len(history) - 1))
    for address in [*ADDRESSES, STRANGER]:
        check_proof(past.prover(height).prove(address, tuple(SLOTS[:6])), past.roots[height])
        now = Prover(past.store, past.roots[-1], is_past=False)
        check_proof(now.prove(address, tuple(SLOTS[:6])), past.roots[-1])


def test_past_and_present_proofs_are_the_same_bytes() -> None:
    """A proof of the past is that which the head gave at its time, deep nodes among them."""
    past = Past()
    past.add(genesis_changes({a: GenesisAccount(Wei(1), storage=_slots(1)) for a in ADDRESSES}))
    then = Prover(past.stores[0], past.roots[0], is_past=False)
    expected = {a: then.prove(a, tuple(SLOTS)) for a in [*ADDRESSES, STRANGER]}
    assert max(len(proof.nodes) for proof in expected.values()) > KEPT_DEPTH + 1
    past.add(ChangeSet(accounts={CLOSE[0]: None}, storage={CLOSE[1]: {SLOTS[0]: 0, SLOTS[1]: 7}}))
    past.add(ChangeSet(accounts={a: Account(Nonce(5), Wei(7)) for a in ADDRESSES[1:]}))
    prover = past.prover(0)
    assert {a: prover.prove(a, tuple(SLOTS)) for a in [*ADDRESSES, STRANGER]} == expected


def _slots(value: int) -> dict[int, int]:
    return dict.fromkeys(SLOTS, value)


def test_hot_keys_are_passed_by_a_seek() -> None:
    """A scan reads few of the rows of a key that changed in every block, at any height.

    Kills: reading through all changes of a hot key.
    """
    blocks = 40 * SKIPPED_MAX
    past = Past()
    past.add(genesis_changes({a: GenesisAccount(Wei(1)) for a in ADDRESSES}))
    rows = []
    for height in range(1, blocks):
        name = index_key(Column.ACCOUNT, hash_address(ADDRESSES[0]))
        rows.append((Column.INDEX, name + height_key(height), height.to_bytes(4, "big")))
    past.store.write(rows, sync=False)

    class Counting(MemoryStore):
        read = 0

        def scan(
            self, column: Column, prefix: bytes = b"", start: bytes = b""
        ) -> Iterator[tuple[bytes, bytes]]:
            for row in past.store.scan(column, prefix, start):
                self.read += column is Column.INDEX
                yield row

    for height in (0, blocks // 2, blocks - 2):
        store = Counting()
        found = dict(PastReader(store, height).scan(Column.ACCOUNT))
        assert found[hash_address(ADDRESSES[0])] == (height + 1).to_bytes(4, "big")
        assert len(found) == len(ADDRESSES)
        assert store.read <= 2 * SKIPPED_MAX + 4


def test_layout_of_the_rows() -> None:
    """Golden rows: DIFF lists the names, INDEX holds the old values, and forgetting takes all."""
    account, slot = hash_address(ADDRESSES[0]), hash_address(ADDRESSES[0]) + hash_slot(1)
    before = [(Column.ACCOUNT, account, b"\xc1\x80"), (Column.SLOT, slot, None)]
    rows = history_writes(5, [*before, (Column.TRIE, b"A\x01", b"node")])
    height = bytes(7) + b"\x05"
    names = [b"a\x20" + account, b"s\x40" + slot, b"t\x02A\x01"]
    assert rows == [
        (Column.DIFF, height, b"".join(names)),
        (Column.INDEX, names[0] + height, b"\xc1\x80"),
        (Column.INDEX, names[1] + height, b""),
        (Column.INDEX, names[2] + height, b"node"),
    ]
    assert split_diff(b"".join(names)) == names
    assert [split_name(name) for name in names] == [
        (Column.ACCOUNT, account),
        (Column.SLOT, slot),
        (Column.TRIE, b"A\x01"),
    ]
    store = MemoryStore()
    store.write(rows, sync=False)
    store.write(forget_writes(5, b"".join(names)), sync=False)
    assert not list(store.scan(Column.DIFF))
    assert not list(store.scan(Column.INDEX))


@given(st.binary(max_size=40))
def test_garbage_diffs_are_refused(raw: bytes) -> None:
    """Any bytes are a list of names or StoreCorrupt, and a list is read to its end."""
    try:
        names = split_diff(raw)
    except StoreCorrupt:
        return
    assert b"".join(names) == raw


def test_short_paths_do_not_hide_behind_longer_ones() -> None:
    """A trie path that begins another one has a history of its own.

    Kills: index keys without the length, in which a path and the zeros of a height mix.
    """
    store = MemoryStore()
    short, longer = b"A\x00", b"A\x00\x00"
    store.write(history_writes(3, [(Column.TRIE, longer, b"old")]), sync=False)
    store.write([(Column.TRIE, short, b"now"), (Column.TRIE, longer, b"new")], sync=False)
    reader = PastReader(store, 1)
    assert (reader.get(Column.TRIE, short), reader.get(Column.TRIE, longer)) == (b"now", b"old")


def test_only_what_was_kept_can_be_scanned() -> None:
    """The tries of the past cannot be scanned: their deeper nodes are not those of that time."""
    with pytest.raises(BrokenInvariant):
        next(PastReader(MemoryStore(), 0).scan(Column.TRIE))


def test_damage_is_no_proof() -> None:
    """A changed node, or an account that the past is built from, raises StoreCorrupt instead of
    giving a proof that does not hold.

    Kills: nodes that are not compared with the hash that their parent has.
    """
    past = Past()
    past.add(genesis_changes({a: GenesisAccount(Wei(1)) for a in ADDRESSES}))
    past.add(ChangeSet(accounts={ADDRESSES[-1]: Account(balance=Wei(2))}))
    good = past.store.snapshot()
    lie = encode_slim(Account(balance=Wei(3)))
    past.store.write([(Column.ACCOUNT, hash_address(CLOSE[0]), lie)], sync=False)
    with pytest.raises(StoreCorrupt, match="not its parent's"):
        past.prover(0).prove(CLOSE[1])
    head = Prover(good, past.roots[1], is_past=False)
    for at in range(len(head.prove(CLOSE[0]).nodes)):
        path = nibbles_of(hash_address(CLOSE[0]))[:at]
        node = good.get(Column.TRIE, b"A" + path)
        if node is None:
            continue
        store = good.snapshot()
        # The last byte of a hash in a branch, or of a leaf's code hash.
        changed = node[:-2] + bytes([node[-2] ^ 1]) + node[-1:]
        store.write([(Column.TRIE, b"A" + path, changed)], sync=False)
        with pytest.raises(StoreCorrupt):
            Prover(store, past.roots[1], is_past=False).prove(CLOSE[0])


def test_long_proofs_can_be_ended() -> None:
    """The caller is asked at each key, and its error ends the proof."""
    past = Past()
    past.add(genesis_changes({ADDRESSES[0]: GenesisAccount(Wei(1), storage=_slots(1))}))

    def tick() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        Prover(past.store, past.roots[0], is_past=False).prove(ADDRESSES[0], (1,), tick)


@pytest.mark.parametrize("diff", [b"a", b"a\x02k", b"a\x01kt", b"x\x01k", b"a\x01k\x00\x01k"])
def test_damaged_list_of_keys(diff: bytes) -> None:
    """A DIFF row that ends inside a name, or names an unknown table, raises StoreCorrupt.

    Kills: a last name that lacks one byte; a letter that is not looked at.
    """
    assert split_diff(b"a\x01kt\x00") == [b"a\x01k", b"t\x00"]
    with pytest.raises(StoreCorrupt, match="changed keys"):
        split_diff(diff)
