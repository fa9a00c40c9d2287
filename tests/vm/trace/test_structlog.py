"""Every step is there, with go-ethereum's prices, words and formats, derived by hand."""

from __future__ import annotations

from typing import Any

import pytest

from primitives.types import Gas
from tests.node.rpc.schema import check_result
from tests.vm.trace.tracing import A, B, C, call_to, code, stored, trace, trace_call, transaction
from vm.trace.hooks import Budget, TraceTooLarge
from vm.trace.opcodes import CONSTANT_GAS, OPCODE_NAMES, STACK_NEEDS
from vm.trace.requests import CallTree, StructLogs

FULL = StructLogs(memory=True, return_data=True)


def steps(codes: dict[Any, bytes], request: StructLogs = FULL) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = trace(request, codes)["structLogs"]
    return found


def word(value: int) -> str:
    return f"0x{value:064x}"


def test_a_whole_trace_byte_for_byte() -> None:
    """PUSH1 7, PUSH0, SSTORE (cold, from zero), implicit STOP. Kills: storage of before."""
    intrinsic = 21_000 + 5 * 16
    gas = 400_000 - intrinsic
    found = trace(StructLogs(), {A: code("6007 5f 55")})
    assert found == {
        "gas": intrinsic + 3 + 2 + 22_100,
        "failed": False,
        "returnValue": "0x",
        "structLogs": [
            {"pc": 0, "op": "PUSH1", "gas": gas, "gasCost": 3, "depth": 1, "stack": [],
             "refund": 0},
            {"pc": 2, "op": "PUSH0", "gas": gas - 3, "gasCost": 2, "depth": 1,
             "stack": ["0x7"], "refund": 0},
            {"pc": 3, "op": "SSTORE", "gas": gas - 5, "gasCost": 22_100, "depth": 1,
             "stack": ["0x7", "0x0"], "storage": {word(0): word(7)}, "refund": 0},
            {"pc": 4, "op": "STOP", "gas": gas - 22_105, "gasCost": 0, "depth": 1, "stack": [],
             "refund": 0},
        ],
    }  # fmt: skip
    order = ["pc", "op", "gas", "gasCost", "depth", "stack", "storage", "refund"]
    assert list(found["structLogs"][2]) == order
    check_result("debug_traceTransaction", found)


def test_options_leave_out_and_add() -> None:
    """Stack, storage, memory, return data and the limit follow the request."""
    codes = {A: code("602a5f52", call_to(B), "5f5155"), B: code("602a5f5260205ff3")}
    bare = steps(codes, StructLogs(stack=False, storage=False, limit=3))
    assert [set(each) for each in bare] == [{"pc", "op", "gas", "gasCost", "depth", "refund"}] * 3
    full = steps(codes)
    assert full[3]["memory"] == [word(42)]
    last_inside = max(at for at, each in enumerate(full) if each["depth"] == 2)
    after_call = full[last_inside + 1]
    assert after_call["returnData"] == word(42)
    assert "returnData" not in full[0]
    assert "memory" not in full[0]
    assert trace(FULL, codes)["returnValue"] == "0x"
    check_result("debug_traceTransaction", trace(FULL, codes))


def test_storage_is_what_the_contract_has_seen_so_far() -> None:
    """SLOAD shows the value read, SSTORE the value written; each contract has its own."""
    found = steps({A: code("60015f55 600154 50", call_to(B, "f4"), "00"), B: code("600254")})
    shown = [each["storage"] for each in found if each["op"] in ("SLOAD", "SSTORE")]
    assert shown == [
        {word(0): word(1)},
        {word(0): word(1), word(1): word(0)},
        {word(0): word(1), word(1): word(0), word(2): word(0)},
    ]
    assert all("storage" not in each for each in found if each["op"] not in ("SLOAD", "SSTORE"))


def test_a_call_costs_what_it_hands_on() -> None:
    """CALL: cold account 2,600, value 9,000, the gas handed on; without the stipend of 2,300."""
    codes = {A: code(call_to(B, value=7, gas=1_000), "00"), B: code("00")}
    call = next(each for each in steps(codes) if each["op"] == "CALL")
    assert call["gasCost"] == 3 + 2_600 + 9_000 + 1_000
    inner = next(each for each in steps(codes) if each["depth"] == 2)
    assert inner["gas"] == 1_000 + 2_300


def test_a_creation_costs_without_its_frame() -> None:
    """CREATE: 32,000, memory and 2 a word of initcode; the rest is handed on after the step."""
    init = code("60015ff3")
    codes = {A: code(stored(init), f"60{len(init):02x}5f5ff000")}
    create = next(each for each in steps(codes) if each["op"] == "CREATE")
    assert create["gasCost"] == 32_000 + 2
    after = steps(codes)[-1]
    assert after["op"] == "STOP"
    assert after["stack"][-1] != "0x0"


@pytest.mark.parametrize(
    ("body", "op", "error", "cost"),
    [
        ("600101", "ADD", "stack underflow (1 <=> 2)", 3),
        ("600155", "SSTORE", "stack underflow (1 <=> 2)", 0),
        ("f1", "CALL", "stack underflow (0 <=> 7)", 100),
        ("5f82", "DUP3", "stack underflow (1 <=> 3)", 3),
        ("5f92", "SWAP3", "stack underflow (1 <=> 4)", 3),
        ("5b5f5f56", "PUSH0", "stack limit reached 1024 (1023)", 2),
        ("5b600056", "JUMP", "out of gas", 8),
        ("5f630fffffff52", "MSTORE", "out of gas", 3 + 137_464_152_067),
        ("5ffe", "INVALID", None, 0),
        ("5f0c", "opcode 0xc not defined", None, 0),
        ("600356", "JUMP", None, 8),
        ("5f5ffd", "REVERT", None, 0),
    ],
)
def test_the_failing_step(body: str, op: str, error: str | None, cost: int) -> None:
    """A step that fails before it runs says why; one that fails while it runs does not."""
    found = trace(StructLogs(), {A: code(body)})
    last = found["structLogs"][-1]
    assert found["failed"]
    assert (last["op"], last.get("error"), last["gasCost"]) == (op, error, cost)


def test_revert_data_is_returned_and_other_failures_return_nothing() -> None:
    """`returnValue` is "0x" unless there is success or a revert."""
    assert trace(StructLogs(), {A: code("60ff5f5360015ffd")})["returnValue"] == "0xff"
    assert trace(StructLogs(), {A: code("60ff5f5360015ff3")})["returnValue"] == "0xff"
    assert trace(StructLogs(), {A: code("60ff5f53fe")})["returnValue"] == "0x"


def test_gas_is_counted_before_a_write_or_a_read_is_refused() -> None:
    """RETURNDATACOPY beyond the data, SSTORE and LOG1 in a static call: their whole price.

    Kills: py-evm's order, which refuses first and shows nothing or the constant part.
    """
    codes = {A: code("60015f60213e")}
    last = steps(codes)[-1]
    assert (last["op"], last["gasCost"]) == ("RETURNDATACOPY", 3 + 3 + 2 * 3)
    for body, op, cost in (
        ("60015f55", "SSTORE", 22_100),
        ("600560215fa1", "LOG1", 375 + 375 + 8 * 33 + 2 * 3),
    ):
        inner = steps({A: code(call_to(B, "fa"), "00"), B: code(body)})
        refused = [each for each in inner if each["depth"] == 2][-1]
        assert (refused["op"], refused["gasCost"]) == (op, cost)
        assert "error" not in refused


def test_too_little_gas_is_named_before_a_refusal() -> None:
    """The same opcodes with less gas than they cost end by "out of gas", as in go-ethereum."""
    for body, gas in (("60015f61ffff3e", 21_000 + 3_000), ("60015f55", 21_000 + 2_200)):
        found = trace_call(CallTree(), {A: code(body)}, gas=Gas(gas))
        assert found["error"] == "out of gas"


def test_refunds_count_over_frames_and_vanish_with_them() -> None:
    """19,900 for a slot set and cleared stands from the SSTORE on; a reverted child loses its own.

    Kills: a refund counter of each frame.
    """
    clear = "60015f55 5f5f55"
    found = steps({A: code(call_to(B, "f4"), call_to(C, "f4"), "00"),
                   B: code(clear, "00"), C: code(clear, "5f5ffd")})  # fmt: skip
    refunds = {(each["depth"], each["op"]): each["refund"] for each in found}
    assert refunds[2, "STOP"] == 19_900
    assert refunds[2, "REVERT"] == 2 * 19_900
    assert found[-1]["refund"] == 19_900


def test_plain_transfers_and_empty_accounts_have_no_steps() -> None:
    """No code, no steps; the gas is the transaction's."""
    found = trace(StructLogs(), {}, transaction(data=b"", gas=30_000))
    assert found == {"gas": 21_000, "failed": False, "returnValue": "0x", "structLogs": []}
    assert trace_call(StructLogs(), {A: b""})["structLogs"] == []


def test_a_trace_that_is_too_large_is_refused() -> None:
    """Memory is bounded whatever the code does. Kills: no budget for memory."""
    with pytest.raises(TraceTooLarge):
        trace(StructLogs(memory=True), {A: code("5f61100053 5b600556")})
    budget = Budget(100)
    budget.spend(100)
    with pytest.raises(TraceTooLarge):
        budget.spend(1)


def test_tables_agree() -> None:
    """Each named opcode has its needs and its constant gas, and none has more."""
    assert set(OPCODE_NAMES) == set(STACK_NEEDS) == set(CONSTANT_GAS)
    assert len(set(OPCODE_NAMES.values())) == len(OPCODE_NAMES) == 150
