"""A change set over a state reads as the state after it."""

from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.types import Address, Nonce, Wei
from tests.vm.support import ALICE, BOB, CAROL, CONTRACT, NOBODY, account, world
from vm.state.changes import ChangeSet
from vm.state.layered import LayeredState

BELOW = world(
    {CONTRACT: account(1, 1, b"\0", s0=5, s1=6), CAROL: account(3, s0=7), BOB: account(2, s0=8)}
)
NEW = Account(Nonce(1), Wei(9))
CHANGES = ChangeSet(
    accounts={ALICE: NEW, CAROL: None},
    storage={CONTRACT: {0: 0, 2: 4}, BOB: {3: 1}},
    wiped={BOB},
    codes={keccak(b"\1"): b"\1"},
)


def test_changed_values_hide_those_below_and_the_others_show() -> None:
    """Accounts, slots and code of both layers."""
    state = LayeredState(BELOW, CHANGES)
    assert state.account(ALICE) == NEW
    assert state.account(CAROL) is None
    assert state.account(NOBODY) is None
    assert state.account(CONTRACT) == BELOW.account(CONTRACT)
    assert [state.storage(CONTRACT, slot) for slot in range(3)] == [0, 6, 4]
    assert (state.code(keccak(b"\1")), state.code(keccak(b"\0"))) == (b"\1", b"\0")


def test_wiped_and_gone_accounts_have_no_old_storage() -> None:
    """An account that is gone is wiped by that alone (`vm.state.changes`)."""
    state = LayeredState(BELOW, CHANGES)
    assert [state.storage(BOB, slot) for slot in (0, 3)] == [0, 1]
    assert state.storage(CAROL, 0) == 0
    owners: list[Address] = [who for who in (ALICE, BOB, CAROL, CONTRACT) if state.has_storage(who)]
    assert owners == [BOB, CONTRACT]
    assert not LayeredState(BELOW, ChangeSet(wiped={BOB})).has_storage(BOB)
    assert not LayeredState(BELOW, ChangeSet(accounts={BOB: None})).has_storage(BOB)
