"""Calls with delegations and blobs, the most gas used at once, and words of a stack too low."""

from __future__ import annotations

import pytest

from primitives.account import GenesisAccount
from primitives.errors import BadBlobs, FeeTooLow, IntrinsicGasTooLow
from primitives.types import Address, Gas, Hash32, Nonce, Wei
from tests.vm.support import (
    ALICE,
    BOB,
    CONTRACT,
    ENGINE,
    KEYS,
    RETURN_42,
    authorization,
    context,
    contract,
    world,
)
from vm.engine import Call
from vm.forks import BLOBS, Fork, Rules
from vm.pyevm.engine import make_engine

BLOB = Hash32(b"\x01" + b"\xaa" * 31)
SHOWS_BLOB = bytes.fromhex("5f495f5260205ff3")
GAS = Gas(200_000)


def test_a_call_sets_delegations_before_it_runs() -> None:
    """The authority runs the contract's code, 25,000 gas dearer; without that gas nothing runs."""
    state = world(contract(RETURN_42))
    given = authorization(KEYS[1], CONTRACT)
    call = Call(ALICE, BOB, gas=GAS, authorizations=(given,))
    result = ENGINE.call(state, context(), call)
    plain = ENGINE.call(state, context(), Call(ALICE, CONTRACT, gas=GAS))
    assert result.output == plain.output == (42).to_bytes(32, "big")
    assert result.gas_used + result.gas_refunded == plain.gas_used + 25_000
    with pytest.raises(IntrinsicGasTooLow):
        ENGINE.call(state, context(), Call(ALICE, BOB, gas=Gas(45_000), authorizations=(given,)))
    estimate = ENGINE.estimate(state, context(), Call(ALICE, BOB, authorizations=(given,)))
    assert estimate > 46_000


def test_a_call_sees_its_blobs_and_pays_for_them_if_it_names_a_price() -> None:
    """BLOBHASH gives the hash; a price under the block's is refused, and so are strange hashes."""
    cancun = context(rules=Rules(Fork.CANCUN, BLOBS[Fork.CANCUN]))
    state = world(contract(SHOWS_BLOB))
    call = Call(ALICE, CONTRACT, gas=GAS, blob_hashes=(BLOB,))
    assert ENGINE.call(state, cancun, call).output == BLOB
    dear = context(rules=cancun.rules, excess_blob_gas=Gas(100_000_000))
    with pytest.raises(FeeTooLow):
        ENGINE.call(
            state,
            dear,
            Call(ALICE, CONTRACT, gas=GAS, blob_hashes=(BLOB,), max_fee_per_blob_gas=Wei(1)),
        )
    with pytest.raises(BadBlobs):
        ENGINE.call(state, cancun, Call(ALICE, CONTRACT, blob_hashes=(Hash32(bytes(32)),)))
    with pytest.raises(BadBlobs):
        ENGINE.call(state, cancun, Call(ALICE, None, blob_hashes=(BLOB,)))


def test_used_and_refunded_gas_are_the_most_that_was_used_at_once() -> None:
    """With the floor of EIP-7623 above what was used: the floor. Without: used before refunds."""
    clears = bytes.fromhex("5f5f555f600155")
    state = world({CONTRACT: contract(clears)[CONTRACT], **_with_slots(clears)})
    small = ENGINE.call(state, context(), Call(ALICE, _CLEARER, gas=GAS))
    assert small.gas_refunded > 0
    assert small.gas_used + small.gas_refunded == 21_000 + 2 * 5_000 + 2 + 2 + 2 + 3
    data = b"\x01" * 1_000
    large = ENGINE.call(state, context(), Call(ALICE, _CLEARER, data, gas=GAS))
    assert large.gas_used == 21_000 + 40 * 1_000
    assert large.gas_used + large.gas_refunded == 21_000 + 40 * 1_000


_CLEARER = Address(b"\xce" * 20)


def _with_slots(code: bytes) -> dict[Address, GenesisAccount]:
    return {_CLEARER: GenesisAccount(Wei(0), Nonce(1), code, {0: 1, 1: 1})}


@pytest.mark.parametrize("kind", ["tuned", "plain"])
def test_a_stack_too_low_is_named_before_the_gas_that_is_missing(kind: str) -> None:
    """MULMOD on two items with 1 gas left: go-ethereum looks at the stack first, py-evm at gas."""
    engine = make_engine(kind)
    state = world(contract(bytes.fromhex("5f5f09")))
    result = engine.call(state, context(), Call(ALICE, CONTRACT, gas=Gas(21_005)))
    assert result.error == "stack underflow (2 <=> 3)"
    enough = engine.call(state, context(), Call(ALICE, CONTRACT, gas=Gas(21_050)))
    assert enough.error == result.error
    full = world(contract(bytes.fromhex("5f5f5f09")))
    assert (
        engine.call(full, context(), Call(ALICE, CONTRACT, gas=Gas(21_007))).error == "out of gas"
    )
