"""A traced run is the run: same gas, outcome, logs and changes, whatever the code is.

Kills: hooks that charge gas, prices taken after gas came back, a frame that is not closed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.types import Address, Gas, Wei
from tests.vm.support import ALICE, ENGINE, account, context, world
from tests.vm.trace.tracing import A, B, C, call_to, transaction
from vm.engine import Call
from vm.pyevm.state import State
from vm.pyevm.tracing import run_traced
from vm.pyevm.transition import order_of, run
from vm.state.overlay import Overlay
from vm.trace.build import tracer_of
from vm.trace.hooks import Budget
from vm.trace.requests import (
    CallTree,
    FlatCalls,
    FourBytes,
    GasProfile,
    Place,
    Prestate,
    Several,
    StructLogs,
)

ALL = Several(
    (
        ("steps", StructLogs(memory=True, return_data=True)),
        ("calls", CallTree(logs=True)),
        ("flat", FlatCalls(precompiles=True)),
        ("pre", Prestate(empty=True)),
        ("diff", Prestate(diff=True)),
        ("bytes", FourBytes()),
        ("gas", GasProfile()),
    )
)
pushes = st.integers(0, 255).map(lambda value: bytes([0x60, value]))
plain = st.integers(0, 255).map(lambda value: bytes([value]))
frames = st.sampled_from(
    [
        *(call_to(to, op) for to in (B, C) for op in ("f1", "f2", "f4", "fa")),
        *(call_to(to, "f1", value=9) for to in (B, C)),
        call_to(Address(bytes(19) + b"\5")),
        call_to(Address(bytes(19) + b"\2"), "fa"),
        bytes.fromhex("60055f5ff0"),
        bytes.fromhex("600160055f6001f5"),
        bytes.fromhex("63602a5ff35f5260206000f0"),
    ]
)
storage = st.sampled_from([bytes.fromhex(each) for each in ("6001600155", "5f600155", "60015450")])
codes = st.lists(st.one_of(pushes, pushes, plain, frames, storage), max_size=40).map(b"".join)


def _state(bodies: tuple[bytes, bytes, bytes]) -> Any:
    named = zip((A, B, C), bodies, strict=True)
    return world({address: account(100, code=body, s1=3) for address, body in named})


@settings(max_examples=150, deadline=None)
@given(st.tuples(codes, codes, codes), st.sampled_from([30_000, 120_000, 900_000]))
def test_traced_runs_equal_untraced_ones(bodies: tuple[bytes, bytes, bytes], gas: int) -> None:
    """Also: steps of one frame follow from each other, and frames nest."""
    tx = transaction(gas=gas, value=1)
    state, block = _state(bodies), context()
    order = order_of(tx, block.base_fee)
    before, after = Overlay(state), Overlay(state)
    outcome = run(State(before, block), order)
    tracer = tracer_of(ALL, Place(block.height), Budget())
    traced = run_traced(after, block, order, tracer)
    found: Any = tracer.result()
    short = None if outcome.error is None else outcome.error.partition(" (")[0]
    words = (traced.error or "").partition(" (")[0]
    # py-evm takes the gas of a call or creation before it looks at the stack, geth after.
    assert words == (short or "") or (words, short) == ("stack underflow", "out of gas")
    assert (traced.output, traced.gas_used) == (outcome.output, outcome.gas_used)
    assert (traced.gas_refunded, traced.logs) == (outcome.gas_refunded, outcome.logs)
    assert before.changes() == after.changes()
    assert found["steps"]["gas"] == outcome.gas_used
    _check_steps(found["steps"]["structLogs"])
    assert len(found["flat"]) == _count(found["calls"])
    shown = sum(len(each.get("logs", [])) for each in _all(found["calls"]))
    assert shown == len(outcome.logs)


def _check_steps(steps: list[dict[str, Any]]) -> None:
    """Gas falls by the cost where no frame is between, and depth changes by one going down."""
    for one, two in pairwise(steps):
        if one["depth"] == two["depth"] and one["op"] not in _HANDING_ON:
            assert two["gas"] == one["gas"] - one["gasCost"]
        assert two["depth"] <= one["depth"] + 1


_HANDING_ON = {"CALL", "CALLCODE", "DELEGATECALL", "STATICCALL", "CREATE", "CREATE2"}


def _all(frame: dict[str, Any]) -> list[dict[str, Any]]:
    return [frame, *(each for child in frame.get("calls", []) for each in _all(child))]


def _count(frame: dict[str, Any]) -> int:
    return len(_all(frame))


@settings(max_examples=50, deadline=None)
@given(st.tuples(codes, codes, codes))
def test_access_lists_are_stable_and_cover_the_run(bodies: tuple[bytes, bytes, bytes]) -> None:
    """Run with its list, a call touches nothing new."""
    call = Call(ALICE, A, gas=Gas(500_000), value=Wei(0))
    found, _ = ENGINE.access_list(_state(bodies), context(), call)
    again, _ = ENGINE.access_list(
        _state(bodies), context(), Call(ALICE, A, gas=Gas(500_000), access_list=found)
    )
    assert again == found
