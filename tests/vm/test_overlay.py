"""The undo log: any history of writes, checkpoints and reverts equals a model that copies dicts."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.errors import BrokenInvariant
from primitives.keyvalue import MemoryStore
from primitives.types import EMPTY_CODE_HASH, Address, Nonce, Wei
from tests.vm.support import ALICE, BOB, CONTRACT, NOBODY, account, world
from vm.state.layered import LayeredState
from vm.state.memory import MemoryState
from vm.state.overlay import Overlay
from vm.state.store import StateStore, genesis_changes

ADDRESSES = [Address(bytes([index]) * 20) for index in range(1, 6)]
ALLOC = {
    ADDRESSES[0]: account(10, 1, s1=11, s2=12),
    ADDRESSES[1]: account(20, 2, b"\x60\x01"),
    ADDRESSES[2]: account(0, 1, b"\x60\x02", s1=31),
}


@dataclass
class Model:
    """The same state, written the slow and obvious way."""

    accounts: dict[Address, tuple[int, int, bytes]] = field(default_factory=dict)
    slots: dict[tuple[Address, int], int] = field(default_factory=dict)
    warm: set[object] = field(default_factory=set)
    transient: dict[tuple[Address, int], bytes] = field(default_factory=dict)
    touched: set[Address] = field(default_factory=set)

    def put(self, address: Address, nonce: int, balance: int, code: bytes) -> None:
        self.accounts[address] = (nonce, balance, code)
        self.touched.add(address)

    def get(self, address: Address) -> tuple[int, int, bytes]:
        return self.accounts.get(address, (0, 0, b""))

    def wipe(self, address: Address) -> None:
        self.slots = {key: value for key, value in self.slots.items() if key[0] != address}

    def finish(self) -> None:
        for address in self.touched:
            if self.get(address) == (0, 0, b""):
                self.accounts.pop(address, None)
                self.wipe(address)
        self.touched, self.warm, self.transient = set(), set(), {}


def model_of_alloc() -> Model:
    model = Model()
    for address, entry in ALLOC.items():
        model.accounts[address] = (entry.nonce, entry.balance, entry.code)
        for slot, value in entry.storage.items():
            model.slots[address, slot] = value
    return model


where = st.sampled_from(ADDRESSES)
slot = st.integers(0, 3)
operations = st.one_of(
    st.tuples(st.just("balance"), where, st.integers(0, 2)),
    st.tuples(st.just("nonce"), where, st.integers(0, 2)),
    st.tuples(st.just("code"), where, st.sampled_from([b"", b"\x01", b"\x02"])),
    st.tuples(st.just("slot"), where, st.tuples(slot, st.integers(0, 2))),
    st.tuples(st.just("transient"), where, st.tuples(slot, st.binary(max_size=2))),
    st.tuples(st.just("warm"), where, slot),
    st.tuples(st.just("touch"), where, st.none()),
    st.tuples(st.just("delete"), where, st.none()),
    st.tuples(st.just("record"), where, st.none()),
    st.tuples(st.just("discard"), where, st.integers(0, 3)),
    st.tuples(st.just("finish"), where, st.none()),
)


def apply(operation: tuple[str, Address, object], overlay: Overlay, model: Model) -> None:
    match operation:
        case ("balance", address, int(value)):
            overlay.set_balance(address, value)
            nonce, _, code = model.get(address)
            model.put(address, nonce, value, code)
        case ("nonce", address, int(value)):
            overlay.set_nonce(address, value)
            _, balance, code = model.get(address)
            model.put(address, value, balance, code)
        case ("code", address, bytes(value)):
            if value:
                overlay.set_code(address, value)
            else:
                overlay.delete_code(address)
            nonce, balance, _ = model.get(address)
            model.put(address, nonce, balance, value)
        case ("slot", address, (int(key), int(value))):
            if address in model.accounts:  # code runs only where an account is
                overlay.set_storage(address, key, value)
                model.slots[address, key] = value
        case ("transient", address, (int(key), bytes(data))):
            overlay.set_transient_storage(address, key, data)
            model.transient[address, key] = data
        case ("warm", address, int(key)):
            overlay.mark_address_warm(address)
            overlay.mark_storage_warm(address, key)
            model.warm |= {address, (address, key)}
        case ("touch", address, _):
            overlay.touch_account(address)
            model.put(address, *model.get(address))
        case ("delete", address, _):
            overlay.delete_account(address)
            model.accounts.pop(address, None)
            model.wipe(address)


def assert_same(overlay: Overlay, model: Model) -> None:
    for address in ADDRESSES:
        nonce, balance, code = model.get(address)
        assert overlay.get_nonce(address) == nonce
        assert overlay.get_balance(address) == balance
        assert overlay.get_code(address) == code
        assert overlay.get_code_hash(address) == (keccak(code) if code else EMPTY_CODE_HASH)
        assert overlay.account_exists(address) == (address in model.accounts)
        assert overlay.account_is_empty(address) == ((nonce, balance, code) == (0, 0, b""))
        assert overlay.is_address_warm(address) == (address in model.warm)
        for key in range(4):
            assert overlay.get_storage(address, key) == model.slots.get((address, key), 0)
            assert overlay.is_storage_warm(address, key) == ((address, key) in model.warm)
            stored = overlay.get_transient_storage(address, key)
            assert stored == model.transient.get((address, key), b"")


@pytest.mark.slow
@given(st.lists(operations, max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_history_equals_the_model(history: list[tuple[str, Address, object]]) -> None:
    """Values, checkpoints, the transaction's end, and the change set applied to a real store.

    Kills: a journal entry left out, undone in the wrong order, or not cleared at the end.
    """
    before = MemoryState.of(ALLOC)
    overlay, model = Overlay(before), model_of_alloc()
    marks: list[tuple[int, Model]] = []
    for operation in history:
        match operation:
            case ("record", _, _):
                marks.append((overlay.record(), copy.deepcopy(model)))
            case ("discard", _, int(back)):
                if marks:
                    mark, model = marks[-1 - back % len(marks)]
                    del marks[-1 - back % len(marks) :]
                    overlay.discard(mark)
            case ("finish", _, _):
                overlay.finish_transaction()
                model.finish()
                marks.clear()
            case _:
                apply(operation, overlay, model)
        assert_same(overlay, model)
    overlay.finish_transaction()
    model.finish()
    assert_same(overlay, model)
    assert_same(Overlay(LayeredState(before, overlay.changes())), model)
    assert_stored(overlay, model)


def assert_stored(overlay: Overlay, model: Model) -> None:
    store = MemoryStore()
    store.write(StateStore(store).compute(genesis_changes(ALLOC)).writes, sync=False)
    changed = Overlay(StateStore(store).reader())
    changed_store = StateStore(store)
    update = changed_store.compute(overlay.changes())
    store.write(update.writes, sync=False)
    assert changed_store.root() == update.state_root
    assert_same(changed, model)


def test_the_original_value_is_that_before_the_transaction() -> None:
    """EIP-2200: neither an earlier write nor a revert moves it; the next transaction does."""
    overlay = Overlay(world({CONTRACT: account(code=b"\0", s0=5)}))
    mark = overlay.record()
    overlay.set_storage(CONTRACT, 0, 6)
    overlay.set_storage(CONTRACT, 0, 7)
    assert overlay.get_storage(CONTRACT, 0, False) == 5
    overlay.discard(mark)
    assert overlay.get_storage(CONTRACT, 0, False) == overlay.get_storage(CONTRACT, 0) == 5
    overlay.set_storage(CONTRACT, 0, 8)
    overlay.finish_transaction()
    assert overlay.get_storage(CONTRACT, 0, False) == 8


def test_an_untouched_empty_account_stays_and_a_touched_one_goes() -> None:
    """EIP-161 removes what a transaction touches and leaves empty, and nothing else."""
    state = MemoryState()
    state.accounts[NOBODY] = Account()
    overlay = Overlay(state)
    overlay.set_balance(BOB, 1)
    overlay.finish_transaction()
    assert overlay.account_exists(NOBODY)
    overlay.touch_account(NOBODY)
    overlay.finish_transaction()
    assert not overlay.account_exists(NOBODY)


def test_a_reverted_touch_removes_nothing() -> None:
    """What is undone was not touched."""
    state = MemoryState()
    state.accounts[NOBODY] = Account()
    overlay = Overlay(state)
    mark = overlay.record()
    overlay.touch_account(NOBODY)
    overlay.discard(mark)
    overlay.finish_transaction()
    assert overlay.account_exists(NOBODY)


def test_storage_blocks_creation() -> None:
    """EIP-7610: storage alone forbids a contract at an address, in the store and in the overlay."""
    overlay = Overlay(world({CONTRACT: account(1, s3=1)}))
    assert overlay.account_has_code_or_nonce(CONTRACT)
    assert not overlay.account_has_code_or_nonce(NOBODY)
    overlay.delete_storage(CONTRACT)
    assert not overlay.account_has_code_or_nonce(CONTRACT)
    overlay.set_storage(CONTRACT, 9, 1)
    assert overlay.account_has_code_or_nonce(CONTRACT)


def test_changes_hold_only_what_differs() -> None:
    """Writes that come back to the old value leave no trace, and unused code is left out."""
    overlay = Overlay(world({CONTRACT: account(code=b"\0", s0=5)}))
    overlay.set_balance(ALICE, 1)
    overlay.set_balance(ALICE, 10 * 10**18)
    overlay.set_storage(CONTRACT, 0, 6)
    overlay.set_storage(CONTRACT, 0, 5)
    overlay.set_code(CONTRACT, b"\1")
    overlay.set_code(CONTRACT, b"\0")
    overlay.finish_transaction()
    changes = overlay.changes()
    assert (changes.accounts, changes.storage, changes.wiped) == ({}, {}, set())
    assert changes.codes == {}


def test_balances_out_of_range_are_an_invariant_broken() -> None:
    """An overdraft that slipped through validation stops the node instead of being stored."""
    for balance in (-1, 2**256):
        overlay = Overlay(world())
        overlay.set_balance(ALICE, balance)
        with pytest.raises(BrokenInvariant):
            overlay.changes()
    overlay = Overlay(world())
    overlay.set_balance(ALICE, 2**256 - 1)
    assert overlay.changes().accounts[ALICE] == replace(
        Account(), balance=Wei(2**256 - 1), nonce=Nonce(0)
    )


amount = st.integers(0, 3)


@given(st.lists(st.tuples(where, where, where, amount, amount, amount), max_size=6), st.booleans())
def test_a_direct_transfer_equals_its_single_steps(
    moves: list[tuple[Address, Address, Address, int, int, int]], keeps_empty: bool
) -> None:
    """Nonce, value, fee and tip in one step leave the same changes, empty accounts included."""
    reader = MemoryState.of(ALLOC)
    direct = Overlay(reader, keeps_empty=keeps_empty)
    stepwise = Overlay(reader, keeps_empty=keeps_empty)
    for sender, to, recipient, value, fee, tip in moves:
        direct.transfer(sender, to, Wei(value), Wei(fee), fee_recipient=recipient, tip=Wei(tip))
        stepwise.increment_nonce(sender)
        for address, change in ((sender, -value - fee), (to, value), (recipient, tip)):
            stepwise.set_balance(address, stepwise.get_balance(address) + change)
        stepwise.finish_transaction()
    for address in ADDRESSES:
        assert direct.account(address) == stepwise.account(address)
        assert direct.has_storage(address) == stepwise.has_storage(address)


def test_a_direct_transfer_inside_a_transaction_is_refused() -> None:
    """It keeps no undo entries, so what began before it could not be reverted."""
    overlay = Overlay(MemoryState.of(ALLOC))
    overlay.touch_account(ADDRESSES[0])
    with pytest.raises(BrokenInvariant, match="between transactions"):
        overlay.transfer(
            ADDRESSES[0], ADDRESSES[1], Wei(1), Wei(1), fee_recipient=ADDRESSES[2], tip=Wei(0)
        )
