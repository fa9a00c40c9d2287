"""Calls and estimates: results in geth's words, and no trace in the state."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from primitives.account import GenesisAccount
from primitives.errors import (
    FeeTooLow,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
)
from primitives.receipt import Log
from primitives.types import Address, Gas, Hash32, Wei
from tests.vm.support import (
    ALICE,
    BOB,
    CONTRACT,
    ENGINE,
    ETHER,
    GWEI,
    LOG_ONE,
    NOBODY,
    RETURN_42,
    REVERT_TEXT,
    STORE_1,
    account,
    context,
    initcode,
    reverting,
    signed,
    world,
)
from vm.engine import (
    Call,
    CallResult,
    ExecutionFailed,
    ExecutionReverted,
    ExecutionStopped,
    revert_message,
)
from vm.state.memory import MemoryState
from vm.validate import checksum

RECURSE = bytes.fromhex("5f5f5f5f5f305af100")
"""CALL itself with all gas, STOP."""

DEPTH_STACK_THREADS = 4


def call(code: bytes = b"", *, state: MemoryState | None = None, **changes: Any) -> CallResult:
    fields: dict[str, Any] = {"sender": ALICE, "to": CONTRACT} | changes
    state = state or world({CONTRACT: account(code=code)})
    return ENGINE.call(state, context(), Call(**fields))


def test_a_call_returns_output_gas_and_logs() -> None:
    """The result of code, as eth_call and estimates need it."""
    result = call(RETURN_42)
    assert (result.success, result.error) == (True, None)
    assert result.output == (42).to_bytes(32, "big")
    assert 21_000 < result.gas_used < 21_100
    log = Log(CONTRACT, (Hash32((7).to_bytes(32, "big")),), (255).to_bytes(32, "big"))
    assert call(LOG_ONE).logs == (log,)


def test_a_call_to_nothing_succeeds_emptily() -> None:
    """As in geth, whoever asks a missing contract gets no data."""
    assert call(to=NOBODY).output == b""
    assert call(to=NOBODY).success


def test_a_call_that_creates_returns_the_code() -> None:
    """`to` None runs initcode."""
    assert call(to=None, data=initcode(RETURN_42)).output == RETURN_42


def test_calls_change_nothing() -> None:
    """Storage, nonce and balance of the state are as before."""
    state = world({CONTRACT: account(code=STORE_1)})
    before = (dict(state.accounts), {k: dict(v) for k, v in state.slots.items()})
    assert call(state=state, value=5).success
    ENGINE.estimate(state, context(), Call(ALICE, CONTRACT))
    assert (state.accounts, state.slots) == before


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (reverting(b"\1\2\3"), "execution reverted"),
        (b"\xfe", "invalid opcode: INVALID"),
        (b"\x5f\x50\xef", "invalid opcode: opcode 0xef not defined"),
        (b"\x50", "stack underflow (0 <=> 1)"),
        (b"\x60\x03\x56", "invalid jump destination"),
        (bytes.fromhex("5b5f5f56"), "stack limit reached 1024 (1023)"),
        (bytes.fromhex("60016001 5f3e".replace(" ", "")), "return data out of bounds"),
        (bytes.fromhex("5b600056"), "out of gas"),
    ],
)
def test_errors_are_in_geths_words(code: bytes, error: str) -> None:
    """RPC clients match these texts."""
    result = call(code, gas=Gas(200_000))
    assert (result.success, result.error) == (False, error)
    assert result.output == (b"\1\2\3" if error == "execution reverted" else b"")
    assert result.logs == ()


def test_errors_of_creation_are_in_geths_words() -> None:
    """Code size, reserved byte, storage gas, collision, and writes in a static call."""
    assert call(to=None, data=initcode(bytes(24_577))).error == "max code size exceeded"
    assert call(to=None, data=initcode(b"\xef")).error == ("invalid code: must not begin with 0xef")
    assert call(to=None, data=initcode(bytes(1_000)), gas=Gas(100_000)).error == (
        "contract creation code storage out of gas"
    )


def test_a_failing_precompile_fails() -> None:
    """Pairing with a wrong length: all gas gone, a word of its own."""
    result = call(to=Address(bytes(19) + b"\x08"), data=b"\1", gas=Gas(100_000))
    assert (result.success, result.gas_used) == (False, 100_000)
    assert result.error == "precompiled contract failed"


def test_gas_zero_means_the_blocks_limit() -> None:
    """GAS as the code sees it, with and without a limit given."""
    report = bytes.fromhex("5a5f5260205ff3")
    seen = int.from_bytes(call(report).output, "big")
    assert seen == 10_000_000 - 21_000 - 2
    assert int.from_bytes(call(report, gas=Gas(50_000)).output, "big") == 50_000 - 21_000 - 2


def test_without_a_price_nobody_pays_and_the_base_fee_is_zero() -> None:
    """A sender without money may ask; with a price it must afford it (geth's eth_call)."""
    fees = bytes.fromhex("483a01 5f5260205ff3".replace(" ", ""))
    assert int.from_bytes(call(fees, sender=NOBODY).output, "big") == 0
    price = Wei(2 * GWEI)
    assert int.from_bytes(call(fees, gas_price=price).output, "big") == 3 * GWEI
    with pytest.raises(InsufficientFunds) as caught:
        call(fees, sender=NOBODY, gas=Gas(30_000), gas_price=price)
    assert caught.value.message == (
        f"insufficient funds for gas * price + value: address {checksum(NOBODY)} "
        f"have 0 want {30_000 * price}"
    )
    assert call(fees, gas_price=Wei(GWEI)).success
    with pytest.raises(FeeTooLow):
        call(fees, gas_price=Wei(GWEI - 1))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"sender": NOBODY, "value": 1}, InsufficientFunds, "insufficient funds for transfer"),
        ({"gas": 20_999}, IntrinsicGasTooLow, "intrinsic gas too low: have 20999, want 21000"),
        ({"gas": 24_000, "data": b"\1" * 100}, IntrinsicGasTooLow, "insufficient gas for floor"),
        ({"to": None, "data": bytes(49_153)}, InitcodeTooLarge, "max initcode size exceeded"),
    ],
)
def test_a_call_that_cannot_start_raises(
    changes: Mapping[str, Any], error: type[InvalidTransaction], words: str
) -> None:
    """These are errors of the request, not results of code."""
    with pytest.raises(error) as caught:
        call(RETURN_42, **changes)
    assert caught.value.message.startswith(words)


def test_a_sender_with_code_may_call() -> None:
    """eth_call from a contract's address is common and allowed."""
    assert call(RETURN_42, sender=CONTRACT).success


@pytest.mark.slow
def test_calls_run_in_many_threads_to_the_depth_limit() -> None:
    """1,024 nested calls and creations in threads: same results, no crash, no shared state."""
    create = bytes.fromhex("385f5f39385f5ff000")
    state = world({CONTRACT: account(code=RECURSE)})
    deep = Call(ALICE, CONTRACT, gas=Gas(2**62))
    nested = Call(ALICE, None, create, gas=Gas(2**62))
    expected = [ENGINE.call(state, context(), each) for each in (deep, nested)]
    assert all(result.success for result in expected)
    with ThreadPoolExecutor(DEPTH_STACK_THREADS) as threads:
        answers = list(
            threads.map(lambda each: ENGINE.call(state, context(), each), [deep, nested] * 4)
        )
    assert answers == expected * 4


def test_a_call_can_be_stopped() -> None:
    """An endless loop ends when `stop` says so, in a call and in an estimate."""
    state = world({CONTRACT: account(code=bytes.fromhex("5b5f56"))})
    endless = Call(ALICE, CONTRACT, gas=Gas(2**60))
    answers = iter(([False] * 100 + [True]) * 2)
    with pytest.raises(ExecutionStopped, match="execution aborted"):
        ENGINE.call(state, context(), endless, stop=lambda: next(answers))
    with pytest.raises(ExecutionStopped, match="execution aborted"):
        ENGINE.estimate(state, context(), endless, stop=lambda: next(answers))
    assert list(answers) == []


def test_stop_does_not_change_a_result() -> None:
    """A call that is never stopped gives the same with and without `stop`."""
    state = world({CONTRACT: account(code=bytes.fromhex("600456005b") + RETURN_42)})
    once = Call(ALICE, CONTRACT)
    expected = ENGINE.call(state, context(), once)
    assert expected.output == (42).to_bytes(32, "big")
    assert ENGINE.call(state, context(), once, stop=lambda: False) == expected


# --- estimates --------------------------------------------------------------------------------


def estimate(code: bytes = b"", *, more: GenesisAccount | None = None, **changes: Any) -> Gas:
    fields: dict[str, Any] = {"sender": ALICE, "to": CONTRACT} | changes
    state = world({CONTRACT: more or account(code=code)})
    return ENGINE.estimate(state, context(), Call(**fields))


def test_a_transfer_needs_21000() -> None:
    """The short cut of geth: no data, no code."""
    assert estimate(to=BOB, value=1) == 21_000
    assert estimate(to=BOB, value=1, gas=Gas(50_000)) == 21_000


@pytest.mark.parametrize(
    ("code", "slots"),
    [
        (RETURN_42, {}),
        (STORE_1, {}),
        (bytes.fromhex("5f5f5500"), {"s0": 1}),
        (LOG_ONE, {}),
        (bytes.fromhex("5f5f5f5f5f7355" + "00" * 18 + "115af160005500"), {}),
    ],
    ids=["return", "store", "refund", "log", "call"],
)
def test_an_estimate_suffices_and_is_near_the_least(code: bytes, slots: dict[str, int]) -> None:
    """The estimate succeeds as a transaction's limit; 2.5 % less than the estimate may not."""
    there = account(code=code, **slots)
    gas = estimate(more=there)
    state = world({CONTRACT: there})
    tx = signed(to=CONTRACT, gas=gas, value=0)
    execution = ENGINE.execute(state, context(), [tx], skip_invalid=False)
    assert execution.receipts[0].status == 1
    assert gas <= least_gas(state) * 1.0153 + 1


def least_gas(state: MemoryState) -> int:
    low, high = 20_999, 10_000_000
    while low + 1 < high:
        middle = (low + high) // 2
        try:
            good = ENGINE.call(state, context(), Call(ALICE, CONTRACT, gas=Gas(middle))).success
        except IntrinsicGasTooLow:
            good = False
        low, high = (low, middle) if good else (middle, high)
    return high


def test_an_estimate_covers_the_floor_of_data() -> None:
    """EIP-7623: not less than the floor, even where code uses less."""
    assert estimate(b"\0", data=b"\1" * 1_000) >= 21_000 + 40_000


def test_an_estimate_of_a_creation_suffices() -> None:
    """Deploying with the estimate works."""
    data = initcode(RETURN_42)
    gas = estimate(to=None, data=data)
    tx = signed(to=None, data=data, gas=gas)
    execution = ENGINE.execute(world(), context(), [tx], skip_invalid=False)
    assert execution.created != (None,)


def test_an_estimate_of_a_revert_gives_its_reason_and_data() -> None:
    """JSON-RPC code 3 needs both."""
    with pytest.raises(ExecutionReverted) as caught:
        estimate(reverting(REVERT_TEXT))
    assert caught.value.message == "execution reverted: nope"
    assert caught.value.output == REVERT_TEXT


def test_an_estimate_of_other_failures_names_them() -> None:
    """An invalid opcode; and gas that never suffices."""
    with pytest.raises(ExecutionFailed, match="invalid opcode: INVALID"):
        estimate(b"\xfe")
    with pytest.raises(ExecutionFailed, match=r"gas required exceeds allowance \(90000\)"):
        estimate(bytes.fromhex("5b5f56"), gas=Gas(90_000))
    with pytest.raises(ExecutionFailed, match=r"gas required exceeds allowance \(21500\)"):
        estimate(STORE_1, gas=Gas(21_500))


def test_the_balance_caps_the_estimate_only_with_a_price() -> None:
    """Without a price a poor sender may estimate; with one it can pay so much gas and no more."""
    assert estimate(STORE_1, sender=NOBODY) > 40_000
    with pytest.raises(ExecutionFailed, match=r"allowance \(0\)"):
        estimate(STORE_1, sender=NOBODY, gas_price=Wei(GWEI))
    price = Wei(ETHER // 4_000)
    with pytest.raises(ExecutionFailed, match=r"allowance \(40000\)"):
        estimate(STORE_1, gas_price=price)
    with pytest.raises(InsufficientFunds, match="insufficient funds for transfer"):
        estimate(STORE_1, gas_price=price, value=Wei(10 * ETHER))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (b"", "execution reverted"),
        (REVERT_TEXT, "execution reverted: nope"),
        (REVERT_TEXT[:70], "execution reverted"),
        (b"\x12\x34\x56\x78" + bytes(64), "execution reverted"),
        (
            bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big"),
            "execution reverted: arithmetic underflow or overflow",
        ),
        (
            bytes.fromhex("4e487b71") + (0x99).to_bytes(32, "big"),
            "execution reverted: unknown panic code: 0x99",
        ),
        (bytes.fromhex("4e487b71"), "execution reverted"),
        (bytes.fromhex("08c379a0") + b"\xff" * 64, "execution reverted"),
        (
            bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + b"\xff" * 32,
            "execution reverted",
        ),
    ],
)
def test_revert_data_is_read_as_geth_reads_it(output: bytes, message: str) -> None:
    """Error(string), Panic(uint256), custom errors, and garbage that looks like them."""
    assert revert_message(output) == message
