"""What a change set means, shown on the state in dicts that other tests compare with."""

from __future__ import annotations

import pytest

from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import StoreCorrupt
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash32, Nonce, Wei
from vm.state.changes import ChangeSet, StateReader
from vm.state.memory import MemoryState

ALICE = Address(b"\xa1" * 20)
BOB = Address(b"\xb0" * 20)
ALLOC = {
    ALICE: GenesisAccount(Wei(5), Nonce(1), b"\x60\x00", {1: 10, 2: 20, 3: 0}),
    BOB: GenesisAccount(Wei(7)),
}


def test_alloc_is_read_back() -> None:
    """A state made from an alloc answers with its balances, code and slots; zeros are no slots."""
    state: StateReader = MemoryState.of(ALLOC)
    account = state.account(ALICE)
    assert account is not None
    assert (account.balance, account.nonce) == (5, 1)
    assert state.code(account.code_hash) == b"\x60\x00"
    assert [state.storage(ALICE, slot) for slot in (1, 2, 3)] == [10, 20, 0]
    assert (state.has_storage(ALICE), state.has_storage(BOB)) == (True, False)
    assert state.account(Address(bytes(20))) is None
    assert state.code(EMPTY_CODE_HASH) == b""


def test_wiped_goes_before_storage() -> None:
    """Older slots of a wiped account go, the slots of the same change set stay."""
    state = MemoryState.of(ALLOC)
    state.apply(ChangeSet(storage={ALICE: {2: 22}}, wiped={ALICE}))
    assert state.slots[ALICE] == {2: 22}


def test_account_that_goes_takes_its_slots() -> None:
    """None deletes account and slots, and so does an account that is empty without storage."""
    state = MemoryState.of(ALLOC)
    state.apply(ChangeSet(accounts={ALICE: None, BOB: Account()}))
    assert (state.account(ALICE), state.account(BOB)) == (None, None)
    assert not state.has_storage(ALICE)


def test_empty_account_with_storage_stays() -> None:
    """An account with nothing but storage (possible in a genesis document) is kept."""
    state = MemoryState.of({ALICE: GenesisAccount(storage={1: 1})})
    account = state.account(ALICE)
    assert account is not None
    assert account.storage_root != EMPTY_ROOT
    state.apply(ChangeSet(accounts={ALICE: Account()}, storage={ALICE: {1: 0}}))
    assert state.account(ALICE) is None


def test_unknown_code_is_damage() -> None:
    """Code that an account names and nobody stored raises StoreCorrupt."""
    with pytest.raises(StoreCorrupt, match="missing"):
        MemoryState().code(Hash32(keccak(b"nobody")))
