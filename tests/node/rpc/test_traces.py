"""Traces, access lists and simulations over JSON-RPC fit their schemas and go-ethereum's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from node.rpc.settings import RpcSettings
from primitives.account import GenesisAccount
from primitives.types import Address, Wei
from tests.node.rpc.devchain import VALIDATOR_KEY, DevChain, funded_keys
from tests.node.rpc.harness import GWEI, Rpc, sign, to_hex
from tests.node.rpc.schema import check_result

OWNER, SECOND = funded_keys(2)
OWNER_TEXT, SECOND_TEXT = to_hex(OWNER.address), to_hex(SECOND.address)
COUNTER = Address(b"\xc1" * 20)
COUNTER_TEXT = to_hex(COUNTER)
COUNTER_CODE = bytes.fromhex("5f546001015f555f545f5260205ff3")
LOOP = Address(b"\xc2" * 20)
NOBODY = "0x" + "99" * 20


@pytest.fixture
def rpc() -> Iterator[Rpc]:
    alloc = {
        COUNTER: GenesisAccount(balance=Wei(7), code=COUNTER_CODE),
        LOOP: GenesisAccount(code=bytes.fromhex("5b5f56")),
    }
    chain = DevChain(alloc=alloc)
    made = Rpc(chain, RpcSettings(call_timeout_s=2.0))
    yield made
    made.close()


def count(rpc: Rpc, nonce: int) -> str:
    """Send a transaction to the counter; returns its hash."""
    raw = sign(OWNER, nonce, to=COUNTER_TEXT, gas=100_000)
    sent: str = rpc.call("eth_sendRawTransaction", to_hex(raw))
    rpc.chain.view()
    return sent


def test_a_transaction_is_replayed_on_the_state_before_it(rpc: Rpc) -> None:
    """The second count reads 1; the default is the struct log. Kills: tracing on the head."""
    count(rpc, 0)
    sent = count(rpc, 1)
    count(rpc, 2)
    found = rpc.call("debug_traceTransaction", sent)
    check_result("debug_traceTransaction", found)
    receipt = rpc.call("eth_getTransactionReceipt", sent)
    assert found["gas"] == int(receipt["gasUsed"], 16)
    assert found["returnValue"] == f"0x{2:064x}"
    load = next(each for each in found["structLogs"] if each["op"] == "SLOAD")
    assert load["storage"] == {f"0x{0:064x}": f"0x{1:064x}"}
    tree = rpc.call("debug_traceTransaction", sent, {"tracer": "callTracer"})
    assert (tree["gasUsed"], tree["output"]) == (receipt["gasUsed"], f"0x{2:064x}")
    diff = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    changed = rpc.call("debug_traceTransaction", sent, diff)
    assert changed["post"][COUNTER_TEXT]["storage"] == {f"0x{0:064x}": f"0x{2:064x}"}


def test_whole_blocks(rpc: Rpc) -> None:
    """By height and by hash; each transaction runs on the state that those before it left."""
    rpc.chain.automine = False
    hashes = [count(rpc, nonce) for nonce in range(3)]
    rpc.chain.mine()
    found = rpc.call("debug_traceBlockByNumber", "latest")
    check_result("debug_traceBlockByNumber", found)
    assert [each["txHash"] for each in found] == hashes
    values = [int(each["result"]["returnValue"], 16) for each in found]
    assert values == [1, 2, 3]
    block_hash = rpc.call("eth_getBlockByNumber", "latest", False)["hash"]
    assert rpc.call("debug_traceBlockByHash", block_hash) == found
    one = rpc.call("debug_traceTransaction", hashes[1])
    assert one == found[1]["result"]
    flat = rpc.call("debug_traceTransaction", hashes[1], {"tracer": "flatCallTracer"})
    assert flat[0]["blockHash"] == block_hash
    assert flat[0]["transactionPosition"] == 1


def test_what_cannot_be_traced(rpc: Rpc) -> None:
    """Genesis, unknown blocks and transactions, unknown tracers, endless code."""
    assert rpc.error("debug_traceBlockByNumber", "0x0") == (-32000, "genesis is not traceable")
    assert rpc.error("debug_traceBlockByNumber", "0x9") == (-32000, "block #9 not found")
    assert rpc.error("debug_traceTransaction", "0x" + "ab" * 32) == (
        -32000,
        "transaction not found",
    )
    assert rpc.error("debug_traceBlockByHash", "0x" + "ab" * 32)[0] == -32000
    call = {"to": COUNTER_TEXT}
    assert rpc.error("debug_traceCall", call, "latest", {"tracer": "x"})[0] == -32602
    bad = {"tracer": "muxTracer", "tracerConfig": {"muxTracer": {}}}
    assert rpc.error("debug_traceCall", call, "latest", bad)[0] == -32602
    assert rpc.error("debug_traceCall", call, "latest", {"timeout": "soon"})[0] == -32602
    slow = {"tracer": "callTracer", "timeout": "30ms"}
    found = rpc.error("debug_traceCall", {"to": to_hex(LOOP)}, "latest", slow)
    assert found == (-32000, "execution timeout")


def test_states_that_are_gone_are_said_to_be(rpc: Rpc) -> None:
    """A node without history answers 4444."""
    del rpc
    plain = Rpc(DevChain())
    raw = sign(OWNER, 0, to=NOBODY)
    sent = plain.call("eth_sendRawTransaction", to_hex(raw))
    if not hasattr(plain.chain.view(), "state_at"):
        assert plain.error("debug_traceTransaction", sent)[0] == 4444
    plain.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True, "withLog": True}},
        {"tracer": "flatCallTracer", "tracerConfig": {"convertParityErrors": True}},
        {"tracer": "prestateTracer", "tracerConfig": {"disableCode": True, "includeEmpty": True}},
        {"tracer": "4byteTracer"},
        {"tracer": "noopTracer"},
        {"tracer": "gasProfileTracer"},
        {"tracer": "muxTracer", "tracerConfig": {"callTracer": None, "4byteTracer": {}}},
        {"enableMemory": True, "enableReturnData": True, "limit": 2, "timeout": "1m0.5s"},
    ],
)
def test_every_tracer_of_a_call(rpc: Rpc, options: dict[str, Any]) -> None:
    """Each answers, with overrides too."""
    call = {"from": OWNER_TEXT, "to": COUNTER_TEXT, "data": "0x01020304"}
    first = rpc.call("debug_traceCall", call, "latest", options)
    assert isinstance(first, (dict, list))
    there = {"stateOverrides": {COUNTER_TEXT: {"code": "0x"}}, "blockOverrides": {"number": "0x9"}}
    assert rpc.call("debug_traceCall", call, "latest", options | there) is not None


def test_calls_with_overrides(rpc: Rpc) -> None:
    """eth_call and eth_estimateGas see the state and the block that they are told."""
    call = {"to": COUNTER_TEXT}
    slot = {COUNTER_TEXT: {"stateDiff": {f"0x{0:064x}": f"0x{41:064x}"}}}
    assert rpc.call("eth_call", call, "latest", slot) == f"0x{42:064x}"
    number = {COUNTER_TEXT: {"code": "0x435f5260205ff3"}}
    assert rpc.call("eth_call", call, "latest", number, {"number": "0x309"}) == f"0x{777:064x}"
    assert int(rpc.call("eth_estimateGas", call, "latest", slot), 16) < int(
        rpc.call("eth_estimateGas", call), 16
    )
    both: dict[str, object] = {COUNTER_TEXT: {"state": {}, "stateDiff": {}}}
    code, message = rpc.error("eth_call", call, "latest", both)
    assert (code, "has both 'state' and 'stateDiff'" in message) == (-32000, True)
    move = {NOBODY: {"movePrecompileToAddress": COUNTER_TEXT}}
    code, message = rpc.error("eth_call", call, "latest", move)
    assert (code, "is not a precompile" in message) == (-32000, True)
    assert rpc.error("eth_call", call, "latest", {"0x1": {}})[0] == -32602
    assert rpc.error("eth_call", call, "latest", {}, {"beaconRoot": "0x"})[0] == -32602
    rich = {NOBODY: {"balance": hex(10**18)}}
    poor = {"from": NOBODY, "to": OWNER_TEXT, "value": "0x1"}
    assert rpc.call("eth_call", poor, "latest", rich) == "0x"


def test_access_lists(rpc: Rpc) -> None:
    """The list, the gas with it, and the error of a call that fails."""
    found = rpc.call("eth_createAccessList", {"from": OWNER_TEXT, "to": COUNTER_TEXT})
    check_result("eth_createAccessList", found)
    assert found["accessList"] == [{"address": COUNTER_TEXT, "storageKeys": [f"0x{0:064x}"]}]
    failed = rpc.call("eth_createAccessList", {"from": OWNER_TEXT, "data": "0x5f54fe"})
    check_result("eth_createAccessList", failed)
    assert failed["error"] == "invalid opcode: INVALID"


def test_simulated_blocks(rpc: Rpc) -> None:
    """Results, logs and blocks fit the schema; the state root is that of a real trie."""
    count(rpc, 0)
    payload: dict[str, Any] = {
        "blockStateCalls": [
            {
                "stateOverrides": {NOBODY: {"balance": "0x64"}},
                "calls": [
                    {"from": NOBODY, "to": COUNTER_TEXT, "value": "0x1"},
                    {"from": NOBODY, "data": "0x5f5ffd"},
                    {"from": NOBODY, "data": "0xfe", "gas": "0x186a0"},
                ],
            },
            {"blockOverrides": {"number": "0x5"}, "calls": [{"to": COUNTER_TEXT}]},
        ],
        "traceTransfers": True,
    }
    found = rpc.call("eth_simulateV1", payload)
    assert [each["number"] for each in found] == ["0x2", "0x3", "0x4", "0x5"]
    first = found[0]["calls"]
    assert [each["status"] for each in first] == ["0x1", "0x0", "0x0"]
    assert first[0]["returnData"] == f"0x{2:064x}"
    assert first[0]["logs"][0]["address"] == "0x" + "ee" * 20
    assert first[0]["logs"][0]["blockHash"] == found[0]["hash"]
    assert first[1]["error"]["code"] == 3
    assert first[2]["error"] == {"code": -32015, "message": "invalid opcode: INVALID"}
    assert found[3]["calls"][0]["returnData"] == f"0x{3:064x}"
    assert found[3]["parentHash"] == found[2]["hash"]
    assert found[1]["stateRoot"] == found[0]["stateRoot"]
    assert found[3]["stateRoot"] != found[0]["stateRoot"]
    payload["blockStateCalls"][0]["calls"].pop()
    full = rpc.call("eth_simulateV1", payload | {"returnFullTransactions": True})
    check_result("eth_simulateV1", full)
    assert full[0]["transactions"][0]["from"] == NOBODY
    again = rpc.call("eth_getBlockByNumber", "latest", False)
    assert again["number"] == "0x1"


def test_a_simulated_block_has_the_root_of_the_real_one(rpc: Rpc) -> None:
    """The same call as a transaction gives the same state, fees included.

    Kills: a root of the overrides alone.
    """
    view = rpc.chain.view()
    before = to_hex(view.head.state_root)
    (found,) = rpc.call("eth_simulateV1", {"blockStateCalls": [{"calls": []}]})
    assert found["stateRoot"] == before
    fee = {"maxFeePerGas": hex(3 * GWEI), "maxPriorityFeePerGas": hex(GWEI), "gas": hex(100_000)}
    call = {"from": OWNER_TEXT, "to": COUNTER_TEXT, "nonce": "0x0", **fee}
    recipient = {"feeRecipient": to_hex(VALIDATOR_KEY.address)}
    wanted = {"calls": [call], "blockOverrides": recipient}
    (found,) = rpc.call("eth_simulateV1", {"blockStateCalls": [wanted], "validation": True})
    count(rpc, 0)
    block = rpc.call("eth_getBlockByNumber", "latest", False)
    for name in ("gasUsed", "baseFeePerGas", "miner", "stateRoot", "receiptsRoot"):
        assert found[name] == block[name], name


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"blockStateCalls": []}, -32602),
        ({"blockStateCalls": [{}] * 257}, -38026),
        ({"blockStateCalls": [{"blockOverrides": {"number": "0x0"}}]}, -38020),
        ({"blockStateCalls": [{"blockOverrides": {"time": "0x0"}}]}, -38021),
        ({"blockStateCalls": [{"calls": [{"from": NOBODY, "value": "0x1"}]}]}, -38014),
        ({"blockStateCalls": [{"calls": [{"gas": "0x1"}]}]}, -38013),
        ({"blockStateCalls": [{"calls": [{}]}], "validation": True}, -38012),
        ({"blockStateCalls": [{"calls": [{"nonce": "0x1"}]}], "validation": True}, -38011),
    ],
)
def test_simulations_that_are_refused(rpc: Rpc, payload: dict[str, Any], code: int) -> None:
    """go-ethereum's codes."""
    assert rpc.error("eth_simulateV1", payload)[0] == code


def test_an_endless_simulation_ends(rpc: Rpc) -> None:
    """The call's time limit holds for all blocks together."""
    loop = {"to": to_hex(LOOP)}
    code, _ = rpc.error("eth_simulateV1", {"blockStateCalls": [{"calls": [loop]}]})
    assert code in (-32000, -32002)


def test_old_blocks_are_traced_and_simulated_on(rpc: Rpc) -> None:
    """Traces and simulations of an old height see its state, to the root of the real block."""
    hashes = [
        rpc.call("eth_sendRawTransaction", to_hex(sign(OWNER, nonce, to=COUNTER_TEXT, gas=100_000)))
        for nonce in range(4)
    ]
    for nonce, each in enumerate(hashes):
        trace = rpc.call("debug_traceTransaction", each, {"tracer": "callTracer"})
        assert int(trace["output"], 16) == nonce + 1
        block = rpc.call("eth_getBlockByNumber", hex(nonce + 1), False)
        fees = {"maxFeePerGas": hex(3 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}
        call = {"from": OWNER_TEXT, "to": COUNTER_TEXT, "gas": hex(100_000), **fees}
        wanted = {
            "calls": [call],
            "blockOverrides": {"feeRecipient": block["miner"], "time": block["timestamp"]},
        }
        payload = {"blockStateCalls": [wanted], "validation": True}
        (found,) = rpc.call("eth_simulateV1", payload, hex(nonce))
        for key in ("stateRoot", "gasUsed", "baseFeePerGas"):
            assert found[key] == block[key], key
        assert int(rpc.call("eth_call", {"to": COUNTER_TEXT}, hex(nonce)), 16) == nonce + 1
