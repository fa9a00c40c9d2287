"""The stored state: any history of change sets equals the state built afresh, to the byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from primitives.account import Account, GenesisAccount
from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.errors import BrokenInvariant, StoreCorrupt
from primitives.keyvalue import Column, MemoryStore
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash32, Nonce, Wei
from vm.state.changes import ChangeSet
from vm.state.first import write_first_state
from vm.state.memory import AllocState, MemoryState
from vm.state.store import STORAGE_TRIE, StateStore, genesis_changes, hash_address, hash_slot

ADDRESSES = [Address(keccak(bytes([n]))[:20]) for n in range(8)]
SLOTS = [0, 1, 2, 2**255, *range(100, 120)]
CODES = [b"", b"\x00", b"\x60\x01"]
STATE_COLUMNS = [Column.ACCOUNT, Column.SLOT, Column.TRIE]

Tables = dict[Column, dict[bytes, bytes]]


def tables(store: MemoryStore) -> Tables:
    return {column: dict(store.scan(column)) for column in STATE_COLUMNS}


def apply(store: MemoryStore, changes: ChangeSet) -> Hash32:
    update = StateStore(store).compute(changes)
    store.write(update.writes, sync=False)
    return update.state_root


def alloc_of(model: MemoryState) -> dict[Address, GenesisAccount]:
    return {
        address: GenesisAccount(
            account.balance,
            account.nonce,
            model.code(account.code_hash),
            model.slots.get(address, {}),
        )
        for address, account in model.accounts.items()
    }


def reference_root(model: MemoryState) -> Hash32:
    """The state root by HexaryTrie and the general codec, key by key."""
    state = HexaryTrie({})
    for address, account in model.accounts.items():
        storage = HexaryTrie({})
        for slot, value in model.slots.get(address, {}).items():
            storage[keccak(slot.to_bytes(32, "big"))] = encode(uint(value))
        fields = [uint(account.nonce), uint(account.balance)]
        state[keccak(address)] = encode([*fields, storage.root_hash, account.code_hash])
    return Hash32(state.root_hash)


@st.composite
def change_sets(draw: st.DrawFn) -> ChangeSet:
    """Change sets as blocks make them, with destroyed and re-created accounts among them."""
    changes = ChangeSet()
    for address in draw(st.lists(st.sampled_from(ADDRESSES), max_size=5, unique=True)):
        kind = draw(st.sampled_from(["set", "set", "slots", "gone", "reborn", "emptied"]))
        slots = draw(
            st.dictionaries(
                st.sampled_from(SLOTS),
                st.sampled_from([0, 0, 1, 127, 128, 2**256 - 1]),
                max_size=24,
            )
        )
        code = draw(st.sampled_from(CODES))
        code_hash = keccak(code) if code else EMPTY_CODE_HASH
        full = Account(
            Nonce(draw(st.integers(1, 3))), Wei(draw(st.integers(0, 2**80))), code_hash=code_hash
        )
        changes.codes[code_hash] = code
        if kind in ("gone", "reborn"):
            changes.wiped.add(address)
        if kind == "gone":
            changes.accounts[address] = None
            continue
        changes.accounts[address] = Account() if kind == "emptied" else full
        if kind != "set":
            changes.storage[address] = slots
    return changes


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(change_sets(), min_size=1, max_size=6))
def test_history_equals_fresh_state(history: list[ChangeSet]) -> None:
    """After each change set root and tables are those of a state built at once from the model.

    Kills: slots or storage nodes of a gone or wiped account left behind; new slots of a reborn
    account compared with wiped ones; an empty account stored; a zero stored as a slot.
    """
    store, model = MemoryStore(), MemoryState()
    for changes in history:
        root = apply(store, changes)
        model.apply(changes)
        fresh = MemoryStore()
        assert apply(fresh, genesis_changes(alloc_of(model))) == root == StateStore(store).root()
        assert tables(store) == tables(fresh)
    assert root == reference_root(model)
    reader = StateStore(store).reader()
    for address in ADDRESSES:
        expected = model.account(address)
        found = reader.account(address)
        assert reader.has_storage(address) == model.has_storage(address)
        assert [reader.storage(address, s) for s in SLOTS] == [
            model.storage(address, s) for s in SLOTS
        ]
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert (found.nonce, found.balance) == (expected.nonce, expected.balance)
            assert reader.code(found.code_hash) == model.code(expected.code_hash)


def test_storage_of_untouched_account() -> None:
    """Slots change under an account that is not in `accounts`; its other fields stay."""
    store = MemoryStore()
    apply(store, genesis_changes({ADDRESSES[0]: GenesisAccount(Wei(9), storage={1: 1})}))
    root = apply(store, ChangeSet(storage={ADDRESSES[0]: {1: 2}}))
    model = MemoryState.of({ADDRESSES[0]: GenesisAccount(Wei(9), storage={1: 2})})
    assert root == reference_root(model)


def test_storage_without_account_is_refused() -> None:
    """A change set with a slot of an account that does not exist is a programmer's mistake."""
    state = StateStore(MemoryStore())
    with pytest.raises(BrokenInvariant, match="gone"):
        state.compute(ChangeSet(storage={ADDRESSES[0]: {1: 1}}))
    assert state.compute(ChangeSet(storage={ADDRESSES[0]: {1: 0}})).state_root == EMPTY_ROOT


def test_nothing_new_writes_nothing() -> None:
    """Values equal to the old ones, and accounts that never were, cost no write at all."""
    store = MemoryStore()
    alloc = {ADDRESSES[0]: GenesisAccount(Wei(9), storage={1: 1})}
    root = apply(store, genesis_changes(alloc))
    again = genesis_changes(alloc)
    again.accounts[ADDRESSES[1]] = None
    again.accounts[ADDRESSES[2]] = Account()
    again.storage[ADDRESSES[0]][7] = 0
    update = StateStore(store).compute(again)
    assert (update.state_root, update.writes) == (root, [])


def test_compute_writes_nothing() -> None:
    """The store is as before until the writes are applied, so undecided blocks leave no trace."""
    store = MemoryStore()
    update = StateStore(store).compute(genesis_changes({ADDRESSES[0]: GenesisAccount(Wei(9))}))
    assert update.writes
    assert all(not rows for rows in tables(store).values())
    assert StateStore(store).root() == EMPTY_ROOT


def test_writes_do_not_depend_on_order() -> None:
    """The same changes in another order give the same writes in the same order."""
    alloc = {address: GenesisAccount(Wei(9), storage={1: 1}) for address in ADDRESSES}
    turned = dict(reversed(alloc.items()))
    one = StateStore(MemoryStore()).compute(genesis_changes(alloc))
    other = StateStore(MemoryStore()).compute(genesis_changes(turned))
    assert one == other


def test_preimages_code_and_layout() -> None:
    """Addresses and slots are found by their hashes; code outlives its account."""
    store, address = MemoryStore(), ADDRESSES[0]
    apply(store, genesis_changes({address: GenesisAccount(Wei(9), code=b"\x60", storage={5: 6})}))
    assert store.get(Column.PREIMAGE, hash_address(address)) == address
    assert store.get(Column.PREIMAGE, hash_slot(5)) == (5).to_bytes(32, "big")
    assert store.get(Column.SLOT, hash_address(address) + hash_slot(5)) == b"\x06"
    assert store.get(Column.TRIE, b"A") is not None
    assert store.get(Column.TRIE, STORAGE_TRIE + hash_address(address)) is not None
    assert apply(store, ChangeSet(accounts={address: None})) == EMPTY_ROOT
    assert store.get(Column.CODE, keccak(b"\x60")) == b"\x60"
    assert all(not rows for rows in tables(store).values())


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(change_sets(), min_size=1, max_size=3), st.integers(1, 200))
def test_first_state_equals_computed_one(history: list[ChangeSet], rows_max: int) -> None:
    """What is written on the way is what a change set of the same accounts gives, in batches.

    Kills: an empty account written; an account with slots alone left out; a zero slot written; the
    last batch forgotten.
    """
    model = MemoryState()
    for changes in history:
        model.apply(changes)
    alloc = alloc_of(model) | {Address(bytes(20)): GenesisAccount(storage={1: 0})}
    alloc[Address(b"\x01" * 20)] = GenesisAccount(storage={1: 5, 2: 0})
    written, computed, done = MemoryStore(), MemoryStore(), list[tuple[int, int]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vm.state.first.ROWS_PER_BATCH", rows_max)
        root = write_first_state(
            alloc,
            lambda rows: written.write(rows, sync=False),
            lambda at, total: done.append((at, total)),
        )
    assert root == apply(computed, genesis_changes(alloc)) == StateStore(written).root()
    assert all(list(written.scan(column)) == list(computed.scan(column)) for column in Column)
    assert done == sorted(done)
    reader = AllocState(alloc)
    for address in alloc:
        assert reader.storage(address, 1) == StateStore(written).reader().storage(address, 1)


def test_neighbours_survive_a_wipe() -> None:
    """A destroyed account's neighbour keeps slots and nodes (prefix scans end where they must)."""
    store = MemoryStore()
    alloc = {a: GenesisAccount(Wei(1), storage=dict.fromkeys(range(1, 40), 3)) for a in ADDRESSES}
    apply(store, genesis_changes(alloc))
    apply(store, ChangeSet(accounts={ADDRESSES[3]: None}))
    fresh = MemoryStore()
    del alloc[ADDRESSES[3]]
    apply(fresh, genesis_changes(alloc))
    assert tables(store) == tables(fresh)


def test_missing_code_and_damaged_account() -> None:
    """Code that is gone and bytes that are no account raise StoreCorrupt."""
    store = MemoryStore()
    store.write([(Column.ACCOUNT, hash_address(ADDRESSES[0]), b"\xc1\x01")], sync=False)
    reader = StateStore(store).reader()
    with pytest.raises(StoreCorrupt):
        reader.account(ADDRESSES[0])
    with pytest.raises(StoreCorrupt, match="code"):
        reader.code(keccak(b"code"))


def test_reader_of_a_snapshot_in_threads() -> None:
    """Readers of a snapshot see one state from many threads while the store moves on."""
    store = MemoryStore()
    apply(store, genesis_changes({a: GenesisAccount(Wei(1), storage={1: 1}) for a in ADDRESSES}))
    reader = StateStore(store.snapshot()).reader()

    def read(_: int) -> set[int]:
        return {reader.storage(address, 1) for address in ADDRESSES}

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(read, range(50))
        for value in range(2, 12):
            apply(store, ChangeSet(storage={address: {1: value} for address in ADDRESSES}))
        assert set().union(*answers) == {1}
