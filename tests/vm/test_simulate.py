"""Simulated blocks: their order, their errors, their logs; nothing of them stays."""

from __future__ import annotations

from typing import Any

import pytest

from primitives.account import Account
from primitives.block import Header
from primitives.crypto.keccak import keccak
from primitives.receipt import EMPTY_BLOOM, Log
from primitives.types import (
    EMPTY_ROOT,
    ZERO_HASH,
    Address,
    Gas,
    Hash32,
    Height,
    Nonce,
    Wei,
)
from tests.vm.support import (
    ALICE,
    BOB,
    COINBASE,
    CONTRACT,
    ENGINE,
    ETHER,
    GWEI,
    LOG_ONE,
    NOBODY,
    PARAMS,
    REVERT_TEXT,
    account,
    initcode,
    reverting,
    world,
)
from vm.chainrules import OwnRules
from vm.engine import SimulatedCall
from vm.overrides import AccountOverride, BlockOverrides
from vm.simulate import (
    Base,
    SimulatedBlock,
    SimulationRefused,
    WantedBlock,
    Wishes,
    joined,
    simulate,
)
from vm.state.changes import ChangeSet
from vm.trace.transfers import TRANSFER_ADDRESS, TRANSFER_TOPIC

HEAD = Header(
    parent_hash=ZERO_HASH,
    fee_recipient=COINBASE,
    state_root=EMPTY_ROOT,
    transactions_root=EMPTY_ROOT,
    receipts_root=EMPTY_ROOT,
    logs_bloom=EMPTY_BLOOM,
    height=Height(10),
    gas_limit=Gas(10_000_000),
    gas_used=Gas(5_000_000),
    timestamp=1_000,
    extra_data=b"",
    mix_hash=ZERO_HASH,
    base_fee_per_gas=Wei(GWEI),
)
COUNTER = bytes.fromhex("5f546001015f555f545f5260205ff3")
"""Adds one to slot 0 and returns it."""


def run(
    *blocks: WantedBlock,
    codes: dict[Address, bytes] | None = None,
    gas_max: int = 50_000_000,
    **wishes: Any,
) -> tuple[SimulatedBlock, ...]:
    state = world({address: account(code=code) for address, code in (codes or {}).items()})
    roots = iter(range(1, 1_000))
    base = Base(
        HEAD,
        HEAD.hash,
        state,
        lambda height: Hash32(height.to_bytes(32, "big")),
        lambda _: Hash32(next(roots).to_bytes(32, "big")),
    )
    return simulate(ENGINE, OwnRules(PARAMS), base, blocks, Wishes(gas_max=Gas(gas_max), **wishes))


def calls(*wanted: SimulatedCall, **more: Any) -> WantedBlock:
    return WantedBlock(wanted, **more)


def to_contract(**changes: Any) -> SimulatedCall:
    fields: dict[str, Any] = {"sender": ALICE, "to": CONTRACT} | changes
    return SimulatedCall(**fields)


def test_calls_and_blocks_see_those_before() -> None:
    """State goes on from call to call and from block to block; heights and times rise.

    Kills: each block on the base's state.
    """
    one, two = run(
        calls(to_contract(), to_contract()), calls(to_contract()), codes={CONTRACT: COUNTER}
    )
    found = [int.from_bytes(each.output, "big") for each in (*one.results, *two.results)]
    assert found == [1, 2, 3]
    first, second = one.block.header, two.block.header
    assert (first.height, first.timestamp, first.parent_hash) == (11, 1_012, HEAD.hash)
    assert (second.height, second.timestamp, second.parent_hash) == (12, 1_024, one.block.hash)
    assert first.base_fee_per_gas == 0
    assert (first.fee_recipient, first.gas_limit) == (COINBASE, HEAD.gas_limit)
    assert first.gas_used == sum(each.gas_used for each in one.results)
    assert (first.state_root[-1], second.state_root[-1]) == (1, 2)
    nonces = [each.nonce for each in (*one.block.transactions, *two.block.transactions)]
    assert nonces == [0, 1, 2]


def test_an_account_that_an_override_leaves_empty_is_in_the_state() -> None:
    """It is there in its block and the next; a missing one that a call touches is not.

    Planted bug: the root without empty accounts. Source: go-ethereum, whose overrides are no
    transaction that would clear it (EIP-161).
    """
    seen: list[ChangeSet] = []

    def root(changes: ChangeSet) -> Hash32:
        seen.append(changes)
        return ZERO_HASH

    base = Base(HEAD, HEAD.hash, world({}), lambda _: ZERO_HASH, root)
    made, touched = Address(b"\x0e" * 20), Address(b"\x0f" * 20)
    first = calls(to_contract(to=touched), state={made: AccountOverride(code=b"")})
    wishes = Wishes(gas_max=Gas(10**7))
    simulate(ENGINE, OwnRules(PARAMS), base, [first, calls(to_contract())], wishes)
    for changes in seen:
        assert changes.keeps_empty
        assert changes.accounts[made] == Account()
        assert changes.accounts.get(touched) is None
    assert len(seen) == 2


def test_gaps_are_filled_with_empty_blocks() -> None:
    """Each 12 seconds after the one before, and BLOCKHASH knows them."""
    code = bytes.fromhex("600c405f5260205ff3")
    found = run(
        calls(block=BlockOverrides(number=Height(12))),
        calls(to_contract(), block=BlockOverrides(number=Height(14), time=2_000)),
        codes={CONTRACT: code},
    )
    assert [each.block.header.height for each in found] == [11, 12, 13, 14]
    assert [each.block.header.timestamp for each in found] == [1_012, 1_024, 1_036, 2_000]
    assert found[3].results[0].output == found[1].block.hash


@pytest.mark.parametrize(
    ("block", "code", "words"),
    [
        (BlockOverrides(number=Height(10)), -38020, "block numbers must be in order: 10 <= 10"),
        (BlockOverrides(number=Height(267)), -38026, "too many blocks"),
        (BlockOverrides(time=1_000), -38021, "block timestamps must be in order: 1000 <= 1000"),
    ],
)
def test_order_is_checked(block: BlockOverrides, code: int, words: str) -> None:
    """Codes and words are go-ethereum's."""
    with pytest.raises(SimulationRefused, match=words) as caught:
        run(calls(block=block))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "validate", "code"),
    [
        ({"nonce": Nonce(1), "max_fee_per_gas": Wei(2 * GWEI)}, True, -38011),
        ({"max_fee_per_gas": Wei(1)}, True, -38012),
        ({}, True, -38012),
        ({"gas": Gas(20_000)}, False, -38013),
        ({"value": Wei(11 * ETHER)}, False, -38014),
        ({"gas": Gas(10_000_001)}, False, -38015),
        ({"max_priority_fee_per_gas": Wei(1)}, False, -32602),
        ({"to": None, "data": bytes(49_153)}, False, -38025),
    ],
)
def test_calls_that_cannot_run_refuse_the_whole(
    change: dict[str, Any], validate: bool, code: int
) -> None:
    """As in a block with an invalid transaction."""
    with pytest.raises(SimulationRefused) as caught:
        run(calls(to_contract(**change)), validate=validate)
    assert caught.value.code == code


def test_a_nonce_too_low_needs_validation_to_matter() -> None:
    """Without it any nonce passes, and names the created contract."""
    again = to_contract(nonce=Nonce(0), max_fee_per_gas=Wei(2 * GWEI))
    words = "err: nonce too low: .* state: 1 \\(supplied gas [0-9]+\\)"
    with pytest.raises(SimulationRefused, match=words) as caught:
        run(calls(again, again), validate=True)
    assert caught.value.code == -38010
    assert run(calls(again, again))


def test_validation_computes_the_base_fee_and_charges() -> None:
    """Half-full parent, so the base fee stays; the sender pays."""
    fee = {"max_fee_per_gas": Wei(2 * GWEI), "max_priority_fee_per_gas": Wei(1)}
    poor = AccountOverride(balance=Wei(100))
    with pytest.raises(SimulationRefused, match="insufficient funds"):
        run(calls(to_contract(**fee), state={ALICE: poor}), validate=True)
    (found,) = run(calls(to_contract(**fee, gas=Gas(50_000))), validate=True)
    assert found.block.header.base_fee_per_gas == GWEI
    code = bytes.fromhex("485f5260205ff3")
    (seen,) = run(calls(to_contract(), block=BlockOverrides(base_fee=Wei(9))),
                  codes={CONTRACT: code})  # fmt: skip
    assert int.from_bytes(seen.results[0].output, "big") == 9


def test_failures_are_results() -> None:
    """A revert or a failure of one call leaves the others."""
    (found,) = run(
        calls(*(to_contract(to=each, gas=Gas(90_000)) for each in (CONTRACT, NOBODY, BOB))),
        codes={CONTRACT: reverting(REVERT_TEXT), NOBODY: b"\xfe"},
    )
    assert [each.error for each in found.results] == [
        "execution reverted",
        "invalid opcode: INVALID",
        None,
    ]
    assert found.results[0].output == REVERT_TEXT


def test_transfers_are_logged_if_wanted() -> None:
    """Of calls, creations and destructions; frames that fail lose theirs with their indexes.

    Kills: an index that goes on counting after a revert.
    """
    failing = bytes.fromhex("5f5f5f5f600173") + BOB + bytes.fromhex("61fffff15f5ffd")
    rich = {CONTRACT: AccountOverride(balance=Wei(100))}
    (found,) = run(
        calls(
            to_contract(value=Wei(3)),
            to_contract(to=BOB, value=Wei(4)),
            to_contract(to=None, data=initcode(b"\0"), value=Wei(5)),
            state=rich,
        ),
        codes={CONTRACT: failing},
        transfers=True,
    )
    assert found.logs[0] == ()
    ((log, index),) = found.logs[1]
    assert index == 0
    assert log == Log(
        TRANSFER_ADDRESS,
        (TRANSFER_TOPIC, Hash32(bytes(12) + ALICE), Hash32(bytes(12) + BOB)),
        (4).to_bytes(32, "big"),
    )
    assert len(found.logs[2]) == 1
    assert found.block.header.logs_bloom == EMPTY_BLOOM
    (plain,) = run(calls(to_contract(value=Wei(3))), codes={CONTRACT: LOG_ONE})
    assert [index for _, index in plain.logs[0]] == [0]


def test_gas_is_shared_by_all_calls() -> None:
    """The cap of the whole request limits what a call may use."""
    loop = bytes.fromhex("5b5f56")
    with pytest.raises(SimulationRefused) as caught:
        run(calls(to_contract(), to_contract()), codes={CONTRACT: loop}, gas_max=100_000)
    assert caught.value.code == -38013


def test_unsigned_transactions_have_stable_hashes() -> None:
    """The hash is that of the encoding with a signature of zeros."""
    (found,) = run(calls(to_contract(gas=Gas(50_000)), to_contract(gas_price=Wei(0))))
    dynamic, legacy = found.block.transactions
    assert (dynamic.type, legacy.type) == (2, 0)
    assert dynamic.hash == keccak(dynamic.raw)
    assert dynamic.raw[0] == 2
    assert legacy.raw.endswith(b"\x80\x80\x80")


def test_joined_changes() -> None:
    """Slots of both, the later value wins; what the second wipes is gone."""
    first = ChangeSet(storage={ALICE: {1: 1, 2: 2}, BOB: {1: 1}})
    second = ChangeSet(storage={ALICE: {2: 3}}, wiped={BOB})
    both = joined(first, second)
    assert both.storage == {ALICE: {1: 1, 2: 3}}
    assert both.wiped == {BOB}
    gone = joined(first, ChangeSet(accounts={ALICE: None}))
    assert ALICE not in gone.storage
    assert ALICE in gone.wiped
