"""The methods that explorers and tracing tools call: trace_, ots_, ranges, raw encodings.

On the official chain, whose blocks hold creations, destructions, reverts and ommers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]  # the package has no annotations

from primitives.block import decode_block
from primitives.ethereum import decode_public_block
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import Rpc, sign, to_hex
from tests.node.rpc.served import read_only_node
from tests.node.rpc.test_methods import CREATION, transfer_data

ENVIRONMENT = "0x9344b07175800259691961298ca11c824e65032d"
DEPLOYER = "0x7435ed30a8b4aeb0877cef0c6e8cffe834eb865f"
EMIT = "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df"
COUNTER = "0x6000546001018060005560005260206000f3"
BUSY = "600060006001f05060006000600060006001335af15033ff"
"""Creates a contract with 1 wei, pays its caller 1 wei, and destroys itself in its favour."""

ALL = ["trace", "vmTrace", "stateDiff"]


@pytest.fixture(scope="module")
def rpc() -> Iterator[Rpc]:
    """A dispatcher over the imported chain."""
    made = Rpc(read_only_node())
    yield made
    made.close()


def test_traces_of_a_block_agree(rpc: Rpc) -> None:
    """Block, filter, single transactions and replays give the same frames; rewards stand last."""
    block = rpc.call("eth_getBlockByNumber", "0x9", True)
    frames = rpc.call("trace_block", "0x9")
    plain = [each for each in frames if each["type"] != "reward"]
    paid = [each["action"] for each in frames[len(plain) :]]
    assert [each["rewardType"] for each in paid] == ["block", *["uncle"] * len(block["uncles"])]
    single = [rpc.call("trace_transaction", each["hash"]) for each in block["transactions"]]
    assert [frame for each in single for frame in each] == plain
    asked = {"fromBlock": "0x9", "toBlock": "0x9"}
    assert rpc.call("trace_filter", asked) == frames
    assert rpc.call("trace_filter", asked | {"after": 1, "count": 2}) == frames[1:3]
    chosen = rpc.call("trace_filter", asked | {"fromAddress": [DEPLOYER]})
    assert chosen == [each for each in plain if each["action"].get("from") == DEPLOYER]
    replays = rpc.call("trace_replayBlockTransactions", "0x9", ["trace"])
    assert [each["transactionHash"] for each in replays] == [
        each["hash"] for each in block["transactions"]
    ]
    for each, transaction in zip(replays, block["transactions"], strict=True):
        alone = rpc.call("trace_replayTransaction", transaction["hash"], ["trace"])
        assert alone["trace"] == each["trace"]
        assert [frame["action"] for frame in each["trace"]] == [
            frame["action"] for frame in rpc.call("trace_transaction", transaction["hash"])
        ]
    name = block["transactions"][0]["hash"]
    assert rpc.call("trace_get", name, ["0x0"]) is None or plain


def test_calls_in_a_row_see_each_other(rpc: Rpc) -> None:
    """trace_callMany runs on what those before left; trace_call never does."""
    call: dict[str, Any] = {"from": DEPLOYER, "data": "0x6012600c60003960126000f3" + COUNTER[2:]}
    made = rpc.call("trace_callMany", [[call, ["trace"]]], "latest")[0]["trace"][0]
    place = made["result"]["address"]
    bump = {"from": DEPLOYER, "to": place, "gas": "0x30d40"}
    row = [[call, ["trace"]], [bump, ALL], [bump, ["stateDiff"]], [bump, []]]
    first, *bumps = rpc.call("trace_callMany", row, "latest")
    assert first["trace"][0]["result"]["code"] == COUNTER
    assert [int(each["output"], 16) for each in bumps] == [1, 2, 3]
    assert bumps[0]["stateDiff"][place]["storage"]["0x" + "00" * 32]["*"]["to"][-1] == "1"
    (store,) = [
        each["ex"]["store"] for each in bumps[0]["vmTrace"]["ops"] if each["op"] == "SSTORE"
    ]
    assert store == {"key": "0x0", "val": "0x1"}
    assert rpc.call("trace_call", bump, ["trace"])["output"] == "0x"
    assert rpc.error("trace_call", bump, ["storm"])[0] == -32602
    assert rpc.error("trace_callMany", [[bump]])[0] == -32602


def test_an_explorer_finds_its_pages(rpc: Rpc) -> None:
    """Otterscan's calls agree with the plain methods."""
    assert rpc.call("ots_getApiLevel") == 8
    assert rpc.call("ots_hasCode", ENVIRONMENT, "latest")
    assert not rpc.call("ots_hasCode", DEPLOYER, "latest")
    head = rpc.call("eth_getBlockByNumber", "latest", False)
    assert rpc.call("erigon_getHeaderByNumber", "latest")["hash"] == head["hash"]
    details = rpc.call("ots_getBlockDetails", "0x9")
    assert details["issuance"]["blockReward"] == hex(3 * 10**18)
    assert details == rpc.call("ots_getBlockDetailsByHash", details["block"]["hash"])
    page = rpc.call("ots_getBlockTransactions", "0x2", 0, 5)
    whole = rpc.call("eth_getBlockByNumber", "0x2", True)
    assert details["block"]["transactionCount"] > 0
    assert [each["hash"] for each in page["fullblock"]["transactions"]] == [
        each["hash"] for each in whole["transactions"][-5:]
    ]
    assert rpc.call("ots_getBlockTransactions", "0x2", 100, 5)["receipts"] == []
    creator = rpc.call("ots_getContractCreator", ENVIRONMENT)
    receipt = rpc.call("eth_getTransactionReceipt", creator["hash"])
    assert (creator["creator"], receipt["contractAddress"]) == (DEPLOYER, ENVIRONMENT)
    for nonce in (0, 17, 240):
        name = rpc.call("ots_getTransactionBySenderAndNonce", DEPLOYER, nonce)
        assert rpc.call("eth_getTransactionByHash", name)["nonce"] == hex(nonce)
    assert rpc.call("ots_getTransactionBySenderAndNonce", DEPLOYER, 100_000) is None


def test_searches_turn_every_page(rpc: Rpc) -> None:
    """Forwards and backwards the pages hold each transaction of the account once."""
    wanted = [
        transaction["hash"]
        for height in range(54, 0, -1)
        for transaction in reversed(
            rpc.call("eth_getBlockByNumber", hex(height), True)["transactions"]
        )
        if EMIT in (transaction["to"], transaction["from"])
    ]
    found, height = [], 0
    while True:
        page = rpc.call("ots_searchTransactionsBefore", EMIT, height, 7)
        found += [each["hash"] for each in page["txs"]]
        if page["lastPage"]:
            break
        height = int(page["txs"][-1]["blockNumber"], 16)
    assert set(wanted) <= set(found)
    assert len(found) == len(set(found))
    after: list[str] = []
    height = 0
    while True:
        page = rpc.call("ots_searchTransactionsAfter", EMIT, height, 7)
        after = [each["hash"] for each in page["txs"]] + after
        if page["firstPage"]:
            break
        height = int(page["txs"][0]["blockNumber"], 16)
    assert after == found
    assert rpc.error("ots_searchTransactionsAfter", EMIT, 0, 0)[0] == -32602


def test_operations_and_errors_of_transactions() -> None:
    """Creations, transfers and destructions within; a revert's own words; no error otherwise."""
    chain = DevChain()
    with closing(Rpc(chain)) as rpc:
        owner, second = funded_keys(2)
        size = f"{len(BUSY) // 2:02x}"
        init = f"0x60{size}600c60003960{size}6000f3{BUSY}"
        chain.submit(sign(owner, 0, to=None, data=init, gas=200_000))
        place = rpc.call("eth_getTransactionReceipt", _newest(chain))["contractAddress"]
        chain.submit(sign(owner, 1, to=place, value=3, gas=200_000))
        name = _newest(chain)
        caller = to_hex(owner.address)
        made, paid, ended = rpc.call("ots_getInternalOperations", name)
        assert (made["type"], made["from"], made["value"]) == (2, place, "0x1")
        assert paid == {"type": 0, "from": place, "to": caller, "value": "0x1"}
        assert ended == {"type": 1, "from": place, "to": caller, "value": "0x1"}
        frames = rpc.call("ots_traceTransaction", name)
        assert [each["depth"] for each in frames] == [0, 1, 1, 1]
        assert rpc.call("ots_getTransactionError", name) == "0x"
        assert rpc.call("ots_getContractCreator", made["to"]) is None, "it has no code"
        chain.submit(sign(owner, 2, to=None, data=to_hex(CREATION), gas=2_000_000))
        token = rpc.call("eth_getTransactionReceipt", _newest(chain))["contractAddress"]
        data = transfer_data(owner.address, 10**30)
        chain.submit(sign(second, 0, to=token, data=data, gas=90_000))
        assert len(rpc.call("ots_getTransactionError", _newest(chain))) >= 10


def _newest(chain: DevChain) -> str:
    block = chain.view().block(chain.view().head.height)
    assert block is not None
    return to_hex(block.transactions[-1].hash)


def test_raw_encodings_decode_to_the_same(rpc: Rpc) -> None:
    """Blocks of every fork, by number; transactions by place; unknown ones are empty."""
    for height in range(0, 55, 6):
        raw = rpc.call("debug_getRawBlock", hex(height))
        block = decode_public_block(bytes.fromhex(raw[2:]))
        assert to_hex(block.hash) == rpc.call("eth_getBlockByNumber", hex(height), False)["hash"]
        for index, transaction in enumerate(block.transactions):
            place = [hex(height), hex(index)]
            found = rpc.call("eth_getRawTransactionByBlockNumberAndIndex", *place)
            assert found == to_hex(transaction.raw)
            assert rpc.call("eth_getRawTransactionByHash", to_hex(transaction.hash)) == found
    assert rpc.call("eth_getRawTransactionByBlockNumberAndIndex", "0x1", "0xffff") == "0x"
    traced = rpc.call("debug_traceBlock", rpc.call("debug_getRawBlock", "0x1b"))
    assert traced == rpc.call("debug_traceBlockByNumber", "0x1b")
    assert rpc.error("debug_traceBlock", "0xc0")[0] == -32000
    items = rlp.decode(bytes.fromhex(rpc.call("debug_getRawBlock", "0x1b")[2:]))
    items[1] = [*items[1], *items[1]]  # each again: its nonce is used
    assert rpc.error("debug_traceBlock", to_hex(rlp.encode(items)))[1].startswith("nonce too low")


def test_ranges_list_every_slot_and_account_once(rpc: Rpc) -> None:
    """Pages of slots and accounts join to the whole, at the head and in the past."""
    slots: dict[str, Any] = {}
    start: Any = "0x"
    while start is not None:
        page = rpc.call("debug_storageRangeAt", "0x20", 0, EMIT, start, 5)
        assert not slots.keys() & page["storage"].keys()
        slots |= page["storage"]
        start = page["nextKey"]
    assert slots
    assert rpc.call("debug_storageRangeAt", "0x20", 0, EMIT, "0x", 256)["storage"] == slots
    later = rpc.call("debug_storageRangeAt", "0x36", 0, EMIT, "0x", 256)["storage"]
    assert len(later) > len(slots)
    assert "within a block" in rpc.error("debug_storageRangeAt", "0x9", 1, EMIT, "0x", 1)[1]
    page = rpc.call("debug_accountRange", "latest", "0x", 3)
    assert len(page["accounts"]) == 3
    assert page["next"]


def test_our_own_chain_has_them_too() -> None:
    """The same methods on a QENEX chain: traces, explorer, raw blocks, configuration, blocks."""
    chain = DevChain()
    with closing(Rpc(chain)) as rpc:
        owner, second = funded_keys(2)
        chain.submit(sign(owner, 0, to=None, data=to_hex(CREATION), gas=2_000_000))
        block = chain.view().block(1)
        assert block is not None
        name = to_hex(block.transactions[0].hash)
        token = rpc.call("eth_getTransactionReceipt", name)["contractAddress"]
        chain.submit(sign(owner, 1, to=token, data=transfer_data(second.address, 5), gas=90_000))
        assert rpc.call("ots_getContractCreator", token)["hash"] == name
        assert [each["type"] for each in rpc.call("trace_block", "0x2")] == ["call"]
        assert rpc.call("trace_replayTransaction", name, ALL)["trace"][0]["type"] == "create"
        raw = bytes.fromhex(rpc.call("debug_getRawBlock", "latest")[2:])
        assert decode_block(raw).hash == chain.view().head_hash
        config = rpc.call("eth_config")
        assert (config["current"]["activationTime"], config["next"]) == (0, None)
        assert "P256VERIFY" not in config["current"]["precompiles"]
        filled = rpc.call(
            "eth_fillTransaction", {"from": to_hex(owner.address), "to": to_hex(second.address)}
        )
        assert (filled["tx"]["nonce"], filled["tx"]["type"]) == ("0x2", "0x2")
        assert rpc.call("qbft_getValidatorsByBlockNumber", "latest") == rpc.call(
            "ibft_getValidatorsByBlockNumber", "latest"
        )
        certificate = rpc.call("qenex_getCertificate", "0x1")
        assert certificate["header"]["hash"] == certificate["blockHash"]
        assert rpc.error("admin_addPeer", "x") == (
            -32604, "Method not enabled: admin_addPeer needs rpc.operator = true"
        )  # fmt: skip
        document = rpc.call("rpc.discover")
        assert {each["name"] for each in document["methods"]} >= {"eth_call", "trace_block"}
        assert rpc.call("rpc_modules")["ots"] == "1.0"
