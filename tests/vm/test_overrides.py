"""Overrides change what a call sees and nothing else; contradictions are refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from primitives.types import Address, Gas, Hash32, Height, Nonce, Wei
from tests.vm.support import (
    ALICE,
    CONTRACT,
    ENGINE,
    NOBODY,
    RETURN_42,
    account,
    context,
    world,
)
from vm.engine import Call, CallResult
from vm.overrides import (
    AccountOverride,
    BadOverride,
    BlockOverrides,
    moved_precompiles,
    override_block,
    state_changes,
)
from vm.state.layered import LayeredState

IDENTITY = Address(bytes(19) + b"\4")
ELSEWHERE = Address(b"\xee" * 20)
RETURN_SLOT_0 = bytes.fromhex("5f545f5260205ff3")


def run(
    overrides: dict[Address, AccountOverride],
    block: BlockOverrides | None = None,
    **changes: Any,
) -> CallResult:
    base = context()
    moved = moved_precompiles(overrides, ENGINE.precompiles(base))
    seen = override_block(context(moved_precompiles=moved), block or BlockOverrides())
    state = world({CONTRACT: account(code=RETURN_SLOT_0, s0=5, s1=6)})
    layered = LayeredState(state, state_changes(state, overrides))
    fields: dict[str, Any] = {"sender": ALICE, "to": CONTRACT} | changes
    call = Call(**fields)
    return ENGINE.call(layered, seen, call)


def number(result: CallResult) -> int:
    return int.from_bytes(result.output, "big")


def test_storage_in_part_and_as_a_whole() -> None:
    """`stateDiff` leaves other slots, `state` clears them. Kills: `state` as `stateDiff`."""
    assert number(run({})) == 5
    assert number(run({CONTRACT: AccountOverride(state_diff={1: 9})})) == 5
    assert number(run({CONTRACT: AccountOverride(state_diff={0: 9})})) == 9
    assert number(run({CONTRACT: AccountOverride(state={1: 9})})) == 0
    both = AccountOverride(state={}, state_diff={})
    with pytest.raises(BadOverride, match="has both 'state' and 'stateDiff'"):
        run({CONTRACT: both})


def test_balance_nonce_and_code() -> None:
    """New code keeps the storage; an account need not be there before."""
    assert number(run({CONTRACT: AccountOverride(code=RETURN_42)})) == 42
    assert number(run({NOBODY: AccountOverride(code=RETURN_42)}, to=NOBODY)) == 42
    assert run({CONTRACT: AccountOverride(code=b"")}).output == b""
    asks = b"\x73" + NOBODY + bytes.fromhex("315f5260205ff3")
    rich = {CONTRACT: AccountOverride(code=asks), NOBODY: AccountOverride(balance=Wei(77))}
    assert number(run(rich)) == 77
    made = run({ALICE: AccountOverride(nonce=Nonce(7))}, to=None, data=bytes.fromhex("30ff"))
    assert made.success


@pytest.mark.parametrize(
    ("opcode", "override", "seen"),
    [
        ("43", BlockOverrides(number=Height(777)), 777),
        ("42", BlockOverrides(time=888), 888),
        ("45", BlockOverrides(gas_limit=Gas(9_999_999)), 9_999_999),
        ("41", BlockOverrides(fee_recipient=NOBODY), int.from_bytes(NOBODY, "big")),
        ("44", BlockOverrides(prev_randao=Hash32(b"\5" * 32)), int.from_bytes(b"\5" * 32, "big")),
        ("48", BlockOverrides(base_fee=Wei(5)), 5),
        ("4a", BlockOverrides(blob_base_fee=Wei(6)), 6),
    ],
)
def test_each_block_field(opcode: str, override: BlockOverrides, seen: int) -> None:
    """Opcodes see the block as overridden."""
    code = bytes.fromhex(opcode + "5f5260205ff3")
    accounts = {CONTRACT: AccountOverride(code=code), ALICE: AccountOverride(balance=Wei(10**18))}
    assert number(run(accounts, override, gas_price=Wei(10**9), gas=Gas(100_000))) == seen


def test_precompiles_move() -> None:
    """The target runs the precompile, the old address nothing, or the code it is given."""
    data = b"\1\2\3"
    move = AccountOverride(move_precompile_to=ELSEWHERE)
    assert run({}, to=IDENTITY, data=data).output == data
    assert run({IDENTITY: move}, to=ELSEWHERE, data=data).output == data
    assert run({IDENTITY: move}, to=IDENTITY, data=data).output == b""
    replaced = AccountOverride(code=RETURN_42, move_precompile_to=ELSEWHERE)
    assert number(run({IDENTITY: replaced}, to=IDENTITY)) == 42
    assert run({IDENTITY: replaced}, to=ELSEWHERE, data=data).output == data
    assert run({IDENTITY: AccountOverride()}, to=IDENTITY, data=data).output == b""


def test_precompiles_that_cannot_move() -> None:
    """No precompile there; the target is overridden itself."""
    with pytest.raises(BadOverride, match="is not a precompile"):
        run({NOBODY: AccountOverride(move_precompile_to=ELSEWHERE)})
    move = AccountOverride(move_precompile_to=ELSEWHERE)
    with pytest.raises(BadOverride, match="is already overridden"):
        run({IDENTITY: move, ELSEWHERE: AccountOverride(code=b"\0")})


def test_two_precompiles_may_move_to_one_place() -> None:
    """The one of the higher address is there then, as in go-ethereum."""
    move = AccountOverride(move_precompile_to=ELSEWHERE)
    sha = Address(bytes(19) + b"\2")
    assert run({IDENTITY: move, sha: move}, to=ELSEWHERE, data=b"\1").output == b"\1"


def test_the_state_itself_stays() -> None:
    """Overrides are a layer; what is below does not change."""
    state = world({CONTRACT: account(code=RETURN_SLOT_0, s0=5)})
    state_changes(state, {CONTRACT: AccountOverride(state={}, balance=Wei(1))})
    assert state.storage(CONTRACT, 0) == 5
    assert number(run({CONTRACT: AccountOverride(state_diff={0: 0})})) == 0
