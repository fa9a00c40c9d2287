"""Changes of the state by hand: as if the newest block had made them.

The header of that block stays as it is, so its state root no longer fits until the next block is
made; hardhat and anvil do the same. Heights below the newest keep what they were: the old values
join those that the newest block replaced (`vm.state.history`).
"""

from __future__ import annotations

from dataclasses import replace

from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.errors import InvalidRequest
from primitives.keyvalue import Column, KeyValueReader, Write
from primitives.types import EMPTY_CODE_HASH, UINT64_MAX, Address, Nonce, Wei
from vm.state.changes import ChangeSet, StateReader
from vm.state.history import height_key, index_key, split_diff
from vm.state.store import StateStore


def with_balance(state: StateReader, address: Address, balance: int) -> ChangeSet:
    """Return the change that gives an account this balance, in wei."""
    account = state.account(address) or Account()
    return ChangeSet(accounts={address: replace(account, balance=Wei(balance))})


def with_nonce(state: StateReader, address: Address, nonce: int) -> ChangeSet:
    """Return the change that gives an account this nonce; raises InvalidRequest for a lower one."""
    account = state.account(address) or Account()
    if nonce < account.nonce or nonce >= UINT64_MAX:
        raise InvalidRequest(
            f"New nonce ({nonce}) must not be smaller than the existing nonce ({account.nonce}), "
            "nor 2^64 - 1"
        )
    return ChangeSet(accounts={address: replace(account, nonce=Nonce(nonce))})


def with_code(state: StateReader, address: Address, code: bytes) -> ChangeSet:
    """Return the change that gives an account this code."""
    account = state.account(address) or Account()
    code_hash = keccak(code) if code else EMPTY_CODE_HASH
    changes = ChangeSet(accounts={address: replace(account, code_hash=code_hash)})
    if code:
        changes.codes[code_hash] = code
    return changes


def with_slot(state: StateReader, address: Address, slot: int, value: int) -> ChangeSet:
    """Return the change that gives a storage slot this value."""
    account = state.account(address) or Account()
    return ChangeSet(accounts={address: account}, storage={address: {slot: value}})


def edit_writes(store: KeyValueReader, head: int, changes: ChangeSet) -> list[Write]:
    """Return the writes that make `changes` part of the state after the block at `head`."""
    update = StateStore(store).compute(changes)
    if head == 0:
        return update.writes
    at = height_key(head)
    diff = store.get(Column.DIFF, at) or b""
    known = set(split_diff(diff))
    rows: list[Write] = []
    for column, key, old in update.before:
        name = index_key(column, key)
        if name not in known:
            diff += name
            rows.append((Column.INDEX, name + at, old or b""))
    return [*update.writes, *rows, (Column.DIFF, at, diff)]
