"""State and block overrides of calls: what a caller wants to be different.

Overrides make a change set over the state, and another block context; no engine knows them but
for precompiles that are moved. Source: go-ethereum internal/ethapi/override; the errors are its
words, and the account overrides apply in order of address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.errors import Rejected
from primitives.types import (
    EMPTY_CODE_HASH,
    Address,
    Gas,
    Hash32,
    Height,
    Nonce,
    Wei,
)
from vm.engine import BlockContext
from vm.state.changes import ChangeSet, StateReader
from vm.validate import checksum

T = TypeVar("T")


class BadOverride(Rejected):
    """Overrides that contradict themselves or the chain."""


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """What is different about one account; None where it is as it was.

    `state` replaces the whole storage, `state_diff` single slots. `move_precompile_to` gives the
    address's precompile to another; any override takes it from the address itself.
    """

    balance: Wei | None = None
    nonce: Nonce | None = None
    code: bytes | None = None
    state: Mapping[int, int] | None = None
    state_diff: Mapping[int, int] | None = None
    move_precompile_to: Address | None = None


StateOverrides = Mapping[Address, AccountOverride]


@dataclass(frozen=True, slots=True)
class BlockOverrides:
    """What is different about the block; None where it is as it was."""

    number: Height | None = None
    time: int | None = None
    gas_limit: Gas | None = None
    fee_recipient: Address | None = None
    prev_randao: Hash32 | None = None
    base_fee: Wei | None = None
    blob_base_fee: Wei | None = None


def override_block(context: BlockContext, overrides: BlockOverrides) -> BlockContext:
    """Return `context` with what is overridden."""
    return replace(
        context,
        height=_or(overrides.number, context.height),
        timestamp=_or(overrides.time, context.timestamp),
        gas_limit=_or(overrides.gas_limit, context.gas_limit),
        coinbase=_or(overrides.fee_recipient, context.coinbase),
        mix_hash=_or(overrides.prev_randao, context.mix_hash),
        base_fee=_or(overrides.base_fee, context.base_fee),
        blob_base_fee=_or(overrides.blob_base_fee, context.blob_base_fee),
    )


def _or(wanted: T | None, present: T) -> T:
    return present if wanted is None else wanted


def state_changes(state: StateReader, overrides: StateOverrides) -> ChangeSet:
    """Return the change set that `overrides` make on `state`; raises BadOverride."""
    changes = ChangeSet()
    for address, each in sorted(overrides.items()):
        if each.state is not None and each.state_diff is not None:
            raise BadOverride(f"account {checksum(address)} has both 'state' and 'stateDiff'")
        if each == AccountOverride(move_precompile_to=each.move_precompile_to):
            continue
        changes.accounts[address] = _account(state.account(address) or Account(), each, changes)
        slots = each.state if each.state is not None else each.state_diff
        if slots is not None:
            changes.storage[address] = dict(slots)
        if each.state is not None:
            changes.wiped.add(address)
    return changes


def _account(account: Account, override: AccountOverride, changes: ChangeSet) -> Account:
    if override.code is not None:
        code_hash = keccak(override.code) if override.code else EMPTY_CODE_HASH
        changes.codes[code_hash] = override.code
        account = replace(account, code_hash=code_hash)
    if override.nonce is not None:
        account = replace(account, nonce=override.nonce)
    if override.balance is not None:
        account = replace(account, balance=override.balance)
    return account


def moved_precompiles(
    overrides: StateOverrides, precompiles: frozenset[Address]
) -> dict[Address, Address | None]:
    """Return where precompiles are under `overrides`, for `BlockContext.moved_precompiles`.

    `precompiles` are the addresses that have one. Raises BadOverride.
    """
    moved: dict[Address, Address | None] = {}
    for address, each in sorted(overrides.items()):
        if address in moved:
            raise BadOverride(
                f"account {checksum(address)} has already been overridden by a precompile"
            )
        to = each.move_precompile_to
        if to is not None:
            if address not in precompiles:
                raise BadOverride(f"account {checksum(address)} is not a precompile")
            if to in overrides:
                raise BadOverride(f"account {checksum(to)} is already overridden")
            moved[to] = address
        if address in precompiles:
            moved[address] = None
    return moved
