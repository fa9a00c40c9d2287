"""What was read and what changed, access lists, and where the gas went."""

from __future__ import annotations

from typing import Any

from primitives.crypto.keccak import keccak
from primitives.types import Address, Gas
from tests.vm.support import (
    ALICE,
    BOB,
    ENGINE,
    ETHER,
    GWEI,
    KEYS,
    NOBODY,
    account,
    authorization,
    context,
    initcode,
    world,
)
from tests.vm.trace.tracing import (
    FEE_RECIPIENT,
    GAS,
    A,
    B,
    C,
    call_to,
    code,
    stored,
    text,
    trace,
    transaction,
)
from vm.engine import Call
from vm.pyevm.transition import contract_address
from vm.state.overlay import Overlay
from vm.trace.hooks import Begin, Budget, End
from vm.trace.prestate import PrestateTracer
from vm.trace.requests import GasProfile, Prestate, StructLogs

DIFF = Prestate(diff=True)


def word(value: int) -> str:
    return f"0x{value:064x}"


def contract(body: bytes, **more: Any) -> dict[str, Any]:
    return {
        "balance": "0x64",
        "code": "0x" + body.hex(),
        "codeHash": "0x" + keccak(body).hex(),
        **more,
    }


def test_prestate_is_what_was_there_before() -> None:
    """Sender before paying, contract with the slots that are touched; empty accounts are left out.

    Kills: reading after the transaction began.
    """
    body = code("60015f55 600254 50 73", NOBODY, "3150 00")
    found = trace(Prestate(), {A: body})
    rich = {"balance": hex(10 * ETHER)}
    assert found == {
        text(ALICE): rich,
        text(A): contract(body, storage={word(0): word(0), word(2): word(0)}),
    }
    assert list(found) == sorted(found)
    everything = trace(Prestate(empty=True), {A: body})
    assert {text(NOBODY), FEE_RECIPIENT} <= set(everything)
    assert everything[text(NOBODY)] == {"balance": "0x0"}
    bare = trace(Prestate(code=False, storage=False), {A: body})
    assert set(bare[text(A)]) == {"balance", "codeHash"}


def test_diff_shows_only_changes() -> None:
    """Before and after of what changed; slots that were zero are not in `pre`."""
    body = code("60015f55 00")
    found = trace(DIFF, {A: body}, transaction(value=5))
    gas = 21_000 + 80 + 3 + 2 + 22_100
    assert found == {
        "post": {
            text(ALICE): {"balance": hex(10 * ETHER - 5 - gas * 2 * GWEI), "nonce": 1},
            text(A): {"balance": hex(105), "storage": {word(0): word(1)}},
            FEE_RECIPIENT: {"balance": hex(gas * GWEI)},
        },
        "pre": {
            text(ALICE): {"balance": hex(10 * ETHER)},
            text(A): contract(body),
        },
    }
    untouched = trace(DIFF, {A: code("5f5450 00")})
    assert set(untouched["pre"]) == {text(ALICE)}


def test_diff_of_creation_and_destruction() -> None:
    """A new contract stands in `post` only; one destroyed in its own transaction in neither."""
    init = initcode(code("602a"))
    made = text(contract_address(A, 0))
    found = trace(DIFF, {A: code(stored(init), f"60{len(init):02x}5f5ff000")})
    assert found["post"][made] == {
        "code": "0x602a",
        "codeHash": "0x" + keccak(b"\x60\x2a").hex(),
        "nonce": 1,
    }
    assert made not in found["pre"]
    gone = trace(DIFF, {A: code(stored(code("33ff")), "60025f6005f000")})
    assert made not in gone["post"]
    assert made not in gone["pre"]
    kept = trace(DIFF, {A: code("73", B, "ff")})
    assert kept["post"][text(A)] == {"balance": "0x0"}


def test_before_cancun_destroyed_contracts_leave_the_diff() -> None:
    """A contract that destroys itself stands in `pre` only, where the fork lets it die."""
    for only_new_die, shown in ((True, {text(A), text(B)}), (False, {text(B)})):
        overlay = Overlay(world({A: account(100, code=b"\xff"), B: account(1)}))
        tracer = PrestateTracer(Budget(), DIFF)
        tracer.on_begin(
            Begin(overlay, NOBODY, A, False, Gas(GAS), B, frozenset(), only_new_die=only_new_die)
        )
        tracer.destroy(A)
        overlay.set_balance(A, 0)
        overlay.set_balance(B, 101)
        tracer.on_end(End(Gas(0), b"", None))
        found: Any = tracer.result()
        assert set(found["post"]) == shown
        assert set(found["pre"]) == {text(A), text(B)}


def test_authorities_are_read_before_they_change() -> None:
    """A delegation is a change of code and nonce; taking it back leaves no code."""
    grant = authorization(KEYS[1], B)
    found = trace(DIFF, {B: b"\0"}, transaction(kind=4, to=NOBODY, authorizations=(grant,)))
    designator = b"\xef\x01\x00" + B
    assert found["pre"][text(BOB)] == {"balance": hex(10 * ETHER)}
    assert found["post"][text(BOB)] == {
        "code": "0x" + designator.hex(),
        "codeHash": "0x" + keccak(designator).hex(),
        "nonce": 1,
    }


def test_a_step_without_gas_touches_nothing() -> None:
    """SLOAD that cannot be paid is not in the prestate. Kills: not undoing the last step."""
    body = code("5b60015f5450 61ffff54 600056")
    found = trace(Prestate(), {A: code("600154 5b 5a54 600356")}, transaction(gas=30_000))
    steps = trace(StructLogs(), {A: code("600154 5b 5a54 600356")}, transaction(gas=30_000))
    paid = [each for each in steps["structLogs"] if each["op"] == "SLOAD" and "error" not in each]
    starved = [each for each in steps["structLogs"] if each["op"] == "SLOAD" and "error" in each]
    assert len(starved) == 1
    assert len(found[text(A)]["storage"]) == len(paid)
    assert body


def access(body: bytes, more: dict[Address, bytes] | None = None, **changes: Any) -> Any:
    codes = {A: body, **(more or {})}
    state = world({address: account(100, code=each) for address, each in codes.items()})
    fields: dict[str, Any] = {"sender": ALICE, "to": A, "gas": Gas(GAS)} | changes
    call = Call(**fields)
    return ENGINE.access_list(state, context(), call)


def test_access_lists() -> None:
    """Slots of the recipient, accounts and slots of others; no sender, recipient, precompile."""
    identity = Address(bytes(19) + b"\4")
    body = code("5f54 600755", call_to(B), call_to(identity), "73", ALICE, "3150 00")
    found, result = access(body, {B: code("600354")})
    assert found == ((A, (0, 7)), (B, (3,)))
    assert result.error is None
    again, same = access(body, {B: code("600354")}, access_list=found)
    assert (again, same.gas_used) == (found, result.gas_used)
    failed, result = access(code("5f54fe"))
    assert (failed, result.error) == (((A, (0,)),), "invalid opcode: INVALID")


def test_access_lists_are_run_until_nothing_is_new() -> None:
    """Code whose path depends on its gas still gets a list that fits. Kills: a single run."""
    body = code("5f5450 5a 62050000 11 600f57 600154 50 00 5b 600254 50 00")
    found, _ = access(body)
    tried, _ = access(body, access_list=found)
    assert tried == found


def test_gas_profile_counts_each_contracts_own_gas() -> None:
    """What a call hands on is counted in the callee; the sum is the execution's gas.

    Kills: counting a call's handed-on gas twice.
    """
    codes = {A: code(call_to(B), call_to(C, "f4"), "00"), B: code("60015f5500"), C: code("5f5400")}
    found = trace(GasProfile(), codes)
    own = {address: each["gas"] for address, each in found["contracts"].items()}
    assert sum(own.values()) == found["gasUsed"] - 21_000 - 80
    assert own[text(B)] == 3 + 2 + 22_100
    first = found["contracts"][text(A)]
    assert first["opcodes"]["SLOAD"] == {"count": 1, "gas": 2_100}
    assert first["opcodes"]["CALL"]["gas"] == 3 + 2_600
    assert first["frames"] == 2
    init = initcode(code("602a"))
    made = trace(GasProfile(), {A: code(stored(init), f"60{len(init):02x}5f5ff000")})
    total = sum(each["gas"] for each in made["contracts"].values())
    assert total == made["gasUsed"] - 21_000 - 80 - 200 * 2
