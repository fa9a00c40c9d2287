"""Frames: who called whom with what, and how each ended, in go-ethereum's shape and words."""

from __future__ import annotations

from typing import Any

import pytest

from primitives.types import Address, Wei
from tests.vm.support import (
    ALICE,
    BOB,
    ENGINE,
    KEYS,
    LOG_ONE,
    REVERT_TEXT,
    account,
    authorization,
    context,
    initcode,
    reverting,
    signed,
    world,
)
from tests.vm.trace.tracing import A, B, C, D, call_to, code, stored, text, trace, transaction
from vm.pyevm.transition import contract_address
from vm.trace.requests import CallTree, FlatCalls, FourBytes, Noop, Several

RETURN_1 = code("60015f5260205ff3")
TREE = CallTree()


def frames(codes: dict[Address, bytes], **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = trace(TREE, codes, transaction(**changes))
    return found


def child(codes: dict[Address, bytes], **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = frames(codes, **changes)["calls"][0]
    return found


def test_the_first_frame_is_the_transaction() -> None:
    """Gas is the limit and gas used what is paid for: here the floor of EIP-7623."""
    found = frames({A: RETURN_1}, value=3)
    assert found == {
        "from": text(ALICE),
        "gas": hex(400_000),
        "gasUsed": hex(21_000 + 5 * 40),
        "to": text(A),
        "input": "0x0102030405",
        "output": f"0x{1:064x}",
        "value": "0x3",
        "type": "CALL",
    }
    assert list(found) == ["from", "gas", "gasUsed", "to", "input", "output", "value", "type"]


def test_a_plain_transfer_and_a_precompile_are_frames() -> None:
    """Nothing runs, and yet there is a frame."""
    plain = trace(TREE, {}, transaction(to=BOB, data=b"", gas=21_000, value=1))
    assert (plain["type"], plain["gas"], plain["gasUsed"]) == ("CALL", "0x5208", "0x5208")
    assert "output" not in plain
    identity = Address(bytes(19) + b"\4")
    found = trace(TREE, {}, transaction(to=identity, data=b"\7" * 4))
    assert (found["to"], found["output"]) == (text(identity), "0x07070707")


@pytest.mark.parametrize(
    ("op", "kind", "value"),
    [
        ("f1", "CALL", "0x0"),
        ("f2", "CALLCODE", "0x0"),
        ("f4", "DELEGATECALL", "0x5"),
        ("fa", "STATICCALL", None),
    ],
)
def test_each_kind_of_call(op: str, kind: str, value: str | None) -> None:
    """The caller is the contract, the callee the code's address; DELEGATECALL inherits value."""
    codes = {A: code("63a9059cbb60e01b5f52", call_to(B, op), "00"), B: RETURN_1}
    found = child(codes, value=5)
    assert (found["type"], found["from"], found["to"]) == (kind, text(A), text(B))
    assert (found["input"], found["output"]) == ("0xa9059cbb", f"0x{1:064x}")
    assert (found["gas"], found["gasUsed"]) == ("0xffff", "0x10")
    assert found.get("value") == value


def test_a_delegated_account_is_shown_as_itself() -> None:
    """`to` is the account that was called, not the code it delegates to (EIP-7702)."""
    codes = {A: code(call_to(B), "00"), B: code("ef0100", C), C: RETURN_1}
    assert child(codes)["to"] == text(B)


def test_creations() -> None:
    """The contract's address on success, none on failure; output is the code."""
    init = initcode(code("602a"))
    made = child({A: code(stored(init), f"60{len(init):02x}5f6003f000")})
    assert (made["type"], made["to"]) == ("CREATE", text(contract_address(A, 0)))
    assert (made["input"], made["output"], made["value"]) == ("0x" + init.hex(), "0x602a", "0x3")
    bad = child({A: code(stored(code("60aa5f5360015ffd")), "60085f5ff000")})
    assert bad["error"] == "execution reverted"
    assert bad["output"] == "0xaa"
    assert "to" not in bad
    top = trace(TREE, {}, transaction(to=None, data=init))
    assert (top["type"], top["to"]) == ("CREATE", text(contract_address(ALICE, 0)))


def test_calls_that_are_refused_are_frames_that_fail() -> None:
    """No balance, collision, depth: py-evm makes no frame, go-ethereum shows one."""
    poor = child({A: code(call_to(B, value=0xFF), "00"), B: RETURN_1})
    assert poor["error"] == "insufficient balance for transfer"
    assert (poor["gas"], poor["gasUsed"], poor["value"]) == (hex(0xFFFF + 2_300), "0x0", "0xff")
    poor = child({A: code("5f5f62fffffff000")})
    assert (poor["type"], poor["error"]) == ("CREATE", "insufficient balance for transfer")
    init = initcode(code("00"))
    twice = code(stored(init), f"602a60{len(init):02x}5f5ff5" * 2, "00")
    first, second = frames({A: twice})["calls"]
    assert first["to"] == text(Address(bytes.fromhex(first["to"][2:])))
    assert second["error"] == "contract address collision"
    assert second["gas"] == second["gasUsed"]


def test_depth_is_limited() -> None:
    """The frame at depth 1,025 fails; 63/64 of the gas each time needs 30 million and more."""
    codes = {A: code("5f5f5f5f5f", "73", A, "5af1 00")}
    big = context(gas_limit=10**15, base_fee=Wei(0))
    state_gas = 10**14
    tx = signed(to=A, value=0, gas=state_gas, cap=0, tip=0, data=b"")

    state = world({A: account(code=codes[A])})
    found: Any = ENGINE.trace(state, big, [tx], TREE, index=0)[0]
    depth = 0
    while "calls" in found:
        depth += 1
        found = found["calls"][0]
    assert depth == 1_025
    assert (found["error"], found["gasUsed"]) == ("max call depth exceeded", "0x0")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (code("fe"), "invalid opcode: INVALID"),
        (code("1e"), "invalid opcode: CLZ"),
        (code("ef"), "invalid opcode: opcode 0xef not defined"),
        (code("600356"), "invalid jump destination"),
        (code("50"), "stack underflow (0 <=> 1)"),
        (code("5b5f5f56"), "stack limit reached 1024 (1023)"),
        (code("600160015f3e"), "return data out of bounds"),
        (code("5b5f56"), "out of gas"),
        (code("5f5ffd"), "execution reverted"),
    ],
)
def test_errors_in_frames(body: bytes, error: str) -> None:
    """Failures in go-ethereum's words; all but a revert use all gas."""
    found = child({A: code(call_to(B), "00"), B: body})
    assert found["error"] == error
    assert "output" not in found
    assert (found["gas"] == found["gasUsed"]) == (error != "execution reverted")


def test_writes_in_static_calls_and_reasons() -> None:
    """Write protection; `revertReason` is the decoded text."""
    assert child({A: code(call_to(B, "fa"), "00"), B: code("5f5f55")})["error"] == (
        "write protection"
    )
    found = child({A: code(call_to(B), "00"), B: reverting(REVERT_TEXT)})
    assert (found["revertReason"], found["output"]) == ("nope", "0x" + REVERT_TEXT.hex())


def test_selfdestruct_is_a_frame() -> None:
    """From the contract to its heir, with its balance and no gas."""
    found = child({A: code("73", B, "ff")})
    assert found == {
        "from": text(A), "gas": "0x0", "gasUsed": "0x0", "to": text(B), "input": "0x",
        "value": "0x64", "type": "SELFDESTRUCT",
    }  # fmt: skip


def test_logs_go_with_their_frames() -> None:
    """Index counts in the block, position among the frame's calls; failed frames lose theirs.

    Kills: an index that does not fall back with a revert.
    """
    failing = code(LOG_ONE[:-1], "5f5ffd")
    codes = {A: code(LOG_ONE[:-1], call_to(B), call_to(C), LOG_ONE), B: LOG_ONE, C: failing}
    one, two = trace(CallTree(logs=True), codes, transaction(), transaction(nonce=1), index=None)
    assert [(each["index"], each["position"]) for each in one["logs"]] == [
        ("0x0", "0x0"),
        ("0x2", "0x2"),
    ]
    assert one["calls"][0]["logs"][0]["index"] == "0x1"
    assert "logs" not in one["calls"][1]
    assert two["logs"][0]["index"] == "0x3"
    assert two["logs"][0]["topics"] == [f"0x{7:064x}"]
    top_only = trace(CallTree(only_top=True, logs=True), codes)
    assert "calls" not in top_only
    nested = code(call_to(D), "5f5ffd")
    lost = trace(CallTree(logs=True), {A: code(call_to(B), "00"), B: nested, D: LOG_ONE})
    assert "logs" not in lost["calls"][0]["calls"][0]


def test_flat_frames() -> None:
    """A list with addresses; precompiles only when wanted; failures in Parity's words if wanted."""
    identity = Address(bytes(19) + b"\4")
    codes = {
        A: code(call_to(identity), call_to(B), call_to(C, "fa"), "73", D, "ff"),
        B: code(call_to(D), "00"),
        C: code("fe"),
    }
    found = trace(FlatCalls(parity_errors=True), codes)
    assert [each["traceAddress"] for each in found] == [[], [0], [0, 0], [1], [2]]
    assert [each["subtraces"] for each in found] == [3, 1, 0, 0, 0]
    assert [each["type"] for each in found] == ["call", "call", "call", "call", "suicide"]
    assert found[3]["error"] == "Bad instruction"
    assert "result" not in found[3]
    assert found[1]["result"] == {"gasUsed": found[1]["result"]["gasUsed"], "output": "0x"}
    assert found[4]["action"] == {
        "address": text(A), "balance": "0x64", "refundAddress": text(D),
    }  # fmt: skip
    assert found[3]["action"]["callType"] == "staticcall"
    assert found[3]["action"]["value"] == "0x0"
    assert found[0]["blockNumber"] == 10
    assert found[0]["transactionHash"] == "0x" + transaction().hash.hex()
    assert len(trace(FlatCalls(precompiles=True), codes)) == 6
    made = trace(FlatCalls(), {}, transaction(to=None, data=initcode(code("00"))))[0]
    assert made["result"]["code"] == "0x00"
    assert made["action"]["init"] == "0x" + initcode(code("00")).hex()


def test_selectors_are_counted() -> None:
    """By selector and length of the rest; precompiles and short data do not count."""
    identity = Address(bytes(19) + b"\4")
    body = code("63a9059cbb60e01b5f52", call_to(B), call_to(B), call_to(identity), "00")
    assert trace(FourBytes(), {A: body, B: b"\0"}) == {"0x01020304-1": 1, "0xa9059cbb-0": 2}


def test_several_tracers_in_one_run() -> None:
    """Each under its name, equal to a run alone."""
    codes = {A: code(call_to(B), "00"), B: RETURN_1}
    parts = (("callTracer", TREE), ("4byteTracer", FourBytes()), ("noopTracer", Noop()))
    found = trace(Several(parts), codes)
    assert found == {name: trace(each, codes) for name, each in parts}


def test_delegations_of_the_transaction_are_followed() -> None:
    """A call to an account that delegates runs its code in its name."""
    grant = authorization(KEYS[1], B)
    tx = transaction(kind=4, to=BOB, authorizations=(grant,))
    found = trace(TREE, {B: code(call_to(C), "00")}, tx)
    assert (found["to"], found["calls"][0]["from"]) == (text(BOB), text(BOB))
