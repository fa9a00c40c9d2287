"""Every method of execution-apis answers by its schema on the official chain of all forks.

Planted bugs that these find: a field of a later fork in an earlier header, a status in a receipt
that holds a root, a quantity with a leading zero, a parameter that is not optional.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account as Wallet

from primitives.ethereum import decode_public_block, split_blocks
from tests.node.rpc.harness import Rpc
from tests.node.rpc.schema import check_params, check_result, method_names
from tests.node.rpc.served import read_only_node
from tests.vectors import load_cases, vectors
from vm.forks import Fork

SENDER = "0x0c2c51a0990aee1d73c1228de158688341557508"
HEAD = "0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
CHAIN_ID = 3503995874084926
FEES = "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df"
ENVIRONMENT = "0x9344b07175800259691961298ca11c824e65032d"
ATTRIBUTES = {
    "timestamp": "0x228",
    "prevRandao": "0x" + "00" * 32,
    "suggestedFeeRecipient": "0x" + "00" * 20,
    "withdrawals": [],
    "parentBeaconBlockRoot": "0x" + "11" * 32,
}
SIGNERS = {"eth_sendTransaction", "eth_sign", "eth_signTransaction"}
"""They need the node to hold a user's key, which only a developer chain does."""

FILTERS = {"eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter"}
SLOT = "0x" + "00" * 32


@pytest.fixture(scope="module")
def rpc() -> Iterator[Rpc]:
    """A dispatcher over the imported chain."""
    made = Rpc(read_only_node())
    yield made
    made.close()


def _wallet() -> Any:
    accounts = load_cases(vectors("execution-apis", "accounts.json"))
    return Wallet.from_key(accounts[SENDER]["key"])


def signed(**fields: object) -> str:
    """Return a transaction of a funded account of the chain."""
    filled: dict[str, object] = {
        "to": FEES,
        "value": 1_000,
        "gas": 100_000,
        "nonce": 0,
        "chainId": CHAIN_ID,
        "maxFeePerGas": 10**9,
        "maxPriorityFeePerGas": 500,
        **fields,
    }
    filled = {name: value for name, value in filled.items() if value is not None}
    if "to" in filled:
        filled["to"] = bytes.fromhex(str(filled["to"])[2:])
    return "0x" + bytes(_wallet().sign_transaction(filled).raw_transaction).hex()


def _transactions() -> list[str]:
    blocks = split_blocks(vectors("execution-apis", "chain.rlp").read_bytes())
    return ["0x" + tx.hash.hex() for raw in blocks for tx in decode_public_block(raw).transactions]


CASES: list[tuple[str, list[Any]]] = [
    ("debug_getBadBlocks", []),
    ("debug_getRawBlock", ["0x5"]),
    ("debug_getRawBlock", ["latest"]),
    ("debug_getRawHeader", ["0x0"]),
    ("debug_getRawReceipts", ["0x4"]),
    ("debug_getRawTransaction", ["0x" + "00" * 31 + "01"]),
    ("debug_traceBlockByHash", [HEAD]),
    ("debug_traceBlockByNumber", ["0x4", {"tracer": "callTracer", "tracerConfig": {}}]),
    ("debug_traceBlockByNumber", ["0x4", {"enableMemory": True, "enableReturnData": True}]),
    ("eth_accounts", []),
    ("eth_baseFee", []),
    ("eth_blobBaseFee", []),
    ("eth_blockNumber", []),
    ("eth_call", [{"to": ENVIRONMENT, "input": "0x33"}]),
    ("eth_call", [{"to": ENVIRONMENT}, HEAD]),
    ("eth_capabilities", []),
    ("eth_chainId", []),
    ("eth_coinbase", []),
    ("eth_config", []),
    ("eth_createAccessList", [{"to": FEES, "input": "0x010203040506"}, "latest"]),
    ("eth_estimateGas", [{"to": FEES, "value": "0x0"}]),
    ("eth_feeHistory", ["0x36", "latest", [10, 50.5, 90]]),
    ("eth_fillTransaction", [{"from": FEES, "to": ENVIRONMENT, "input": "0x33"}]),
    ("eth_gasPrice", []),
    ("eth_getBalance", [FEES, "0x1"]),
    ("eth_getBalance", [FEES]),
    ("eth_getBlockAccessList", ["latest"]),
    ("eth_getBlockByHash", [HEAD, True]),
    ("eth_getBlockReceipts", [HEAD]),
    ("eth_getBlockTransactionCountByHash", [HEAD]),
    ("eth_getBlockTransactionCountByNumber", ["0x2"]),
    ("eth_getCode", [FEES, HEAD]),
    ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x8", "address": FEES}]),
    ("eth_getLogs", [{"blockHash": HEAD}]),
    ("eth_getProof", [FEES, [SLOT], "latest"]),
    ("eth_getProof", [FEES, [SLOT], "0x20"]),
    ("eth_getStorageAt", [FEES, SLOT]),
    ("eth_getStorageValues", [{FEES: [SLOT]}, "latest"]),
    ("eth_getTransactionByBlockHashAndIndex", [HEAD, "0x0"]),
    ("eth_getTransactionByBlockNumberAndIndex", ["0x1", "0x0"]),
    ("eth_getTransactionCount", [FEES, "pending"]),
    ("eth_maxPriorityFeePerGas", []),
    ("eth_newBlockFilter", []),
    ("eth_newFilter", [{"fromBlock": "0x1", "toBlock": "latest", "topics": []}]),
    ("eth_newPendingTransactionFilter", []),
    ("eth_simulateV1", [{"blockStateCalls": [{"calls": [{"to": ENVIRONMENT}]}]}, "latest"]),
    ("eth_syncing", []),
    ("net_version", []),
    ("testing_buildBlockV1", [HEAD, ATTRIBUTES, [], "0x"]),
    ("testing_buildBlockV1", [HEAD, ATTRIBUTES, None, "0x1234"]),
    ("txpool_content", []),
    ("txpool_contentFrom", [FEES]),
    ("txpool_status", []),
]


@pytest.mark.parametrize(("method", "params"), CASES)
def test_requests_and_answers_fit_the_specification(
    rpc: Rpc, method: str, params: list[Any]
) -> None:
    """Both sides of each method fit execution-apis' schemas."""
    check_params(method, params)
    check_result(method, rpc.call(method, *params))


@pytest.mark.parametrize("height", range(55))
def test_blocks_and_receipts_of_every_fork_fit(rpc: Rpc, height: int) -> None:
    """Each block has the fields of its fork and no other; receipts and transactions fit."""
    tag = hex(height)
    block = rpc.call("eth_getBlockByNumber", tag, True)
    check_result("eth_getBlockByNumber", block)
    check_result("eth_getBlockByNumber", rpc.call("eth_getBlockByNumber", tag, False))
    check_result("eth_getBlockReceipts", rpc.call("eth_getBlockReceipts", tag))
    fork = _fork(height)
    assert ("baseFeePerGas" in block) == (fork >= Fork.LONDON)
    assert ("withdrawals" in block) == (fork >= Fork.SHANGHAI)
    assert ("blobGasUsed" in block) == (fork >= Fork.CANCUN)
    assert ("requestsHash" in block) == (fork >= Fork.PRAGUE)
    assert "totalDifficulty" not in block
    for receipt in rpc.call("eth_getBlockReceipts", tag):
        assert ("root" in receipt) == (fork < Fork.BYZANTIUM)
        assert ("status" in receipt) == (fork >= Fork.BYZANTIUM)
        assert ("blobGasPrice" in receipt) == (receipt["type"] == "0x3")


def _fork(height: int) -> Fork:
    starts = {0: Fork.HOMESTEAD, 9: Fork.BYZANTIUM, 27: Fork.LONDON, 36: Fork.PARIS}
    starts |= {39: Fork.SHANGHAI, 42: Fork.CANCUN, 45: Fork.PRAGUE}
    return starts[max(start for start in starts if start <= height)]


def test_transactions_of_every_kind_fit(rpc: Rpc) -> None:
    """Each of the 249 is found by its hash with its receipt, its bytes and its trace."""
    kinds = set()
    for name in _transactions():
        found = rpc.call("eth_getTransactionByHash", name)
        check_result("eth_getTransactionByHash", found)
        check_result("eth_getTransactionReceipt", rpc.call("eth_getTransactionReceipt", name))
        check_result("debug_getRawTransaction", rpc.call("debug_getRawTransaction", name))
        kinds.add(found["type"])
    assert kinds == {"0x0", "0x1", "0x2", "0x3", "0x4"}
    newest = _transactions()[-1]
    check_result("debug_traceTransaction", rpc.call("debug_traceTransaction", newest))


@pytest.mark.parametrize(
    ("fields", "block", "words"),
    [
        ({"accessList": []}, "0x17", "access list tx"),
        ({"blobVersionedHashes": ["0x01" + "00" * 31]}, "0x29", "blob tx"),
        ({"maxFeePerBlobGas": "0x1"}, "0x29", "blob tx"),
        ({"authorizationList": [dict.fromkeys(("chainId", "nonce", "yParity", "r", "s"), "0x0")]},
         "0x2c", "setcode tx"),
        ({"maxFeePerGas": "0x0"}, "0x1a", "before London"),
        ({"maxPriorityFeePerGas": "0x1"}, "0x1a", "before London"),
    ],
)  # fmt: skip
def test_calls_have_the_fields_of_their_block(
    rpc: Rpc, fields: dict[str, Any], block: str, words: str
) -> None:
    """A field that the block's fork does not have is -32000, even empty; the next fork has it."""
    for each in fields.get("authorizationList", []):
        each["address"] = FEES
    call = {"from": SENDER, "to": "0x01" + "00" * 19, **fields}
    for method in ("eth_call", "eth_estimateGas"):
        code, message = rpc.error(method, call, block)
        assert code == -32000
        assert words in message
    fees = {"maxFeePerGas": hex(10**10)} if "maxPriorityFeePerGas" in fields else {}
    assert "result" in rpc.ask("eth_call", call | fees, hex(int(block, 16) + 1))


def test_filters_fit(rpc: Rpc) -> None:
    """A polling filter's methods answer by their schemas."""
    name = rpc.call("eth_newFilter", {"fromBlock": "0x0", "toBlock": "0x5"})
    for method in ("eth_getFilterLogs", "eth_uninstallFilter"):
        check_params(method, [name])
        check_result(method, rpc.call(method, name))
    pool = rpc.call("eth_newPendingTransactionFilter")
    sent = rpc.call("eth_sendRawTransaction", signed(nonce=7))
    rpc.turn()
    check_params("eth_getFilterChanges", [pool])
    changes = rpc.call("eth_getFilterChanges", pool)
    check_result("eth_getFilterChanges", changes)
    assert changes == [sent]


def test_all_logs_of_the_chain_come_within_the_time_of_a_call(rpc: Rpc) -> None:
    """The largest answer of the chain, 21 MB of logs, is made within the default limits.

    A call that took longer than `call_timeout_s` would be answered with an error.
    """
    logs = rpc.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    assert sum(len(each["data"]) for each in logs) > 20_000_000
    some = rpc.call("eth_getLogs", {"fromBlock": "0x0", "address": logs[0]["address"]})
    assert some == [each for each in logs if each["address"] == logs[0]["address"]]


def test_nothing_that_is_specified_is_missing() -> None:
    """Each method of the specification is in a case here, or needs a user's key in the node."""
    others = {"eth_getBlockByNumber", "eth_getTransactionByHash", "eth_getTransactionReceipt"}
    others |= {"debug_traceTransaction", "eth_sendRawTransaction", "debug_getRawBlockAccessList"}
    covered = {method for method, _ in CASES} | others | FILTERS | SIGNERS
    assert covered == set(method_names())


@pytest.fixture
def empty() -> Iterator[Rpc]:
    """A dispatcher over the imported chain with an empty pool."""
    made = Rpc(read_only_node())
    yield made
    made.close()


def test_the_pool_takes_transactions_and_no_block_comes(empty: Rpc) -> None:
    """Sent transactions wait, are shown, are built into a block on demand, and stay."""
    rpc = empty
    raws = [
        signed(),
        signed(nonce=1, to=None, data="0x6001600255"),
        signed(nonce=2, accessList=[{"address": FEES, "storageKeys": [SLOT]}]),
    ]
    for raw in raws:
        check_params("eth_sendRawTransaction", [raw])
        check_result("eth_sendRawTransaction", rpc.call("eth_sendRawTransaction", raw))
    assert rpc.call("txpool_status") == {"pending": "0x3", "queued": "0x0"}
    content = rpc.call("txpool_content")
    check_result("txpool_content", content)
    sender = _wallet().address
    assert list(content["pending"]) == [sender]
    check_result("txpool_contentFrom", rpc.call("txpool_contentFrom", sender))
    assert rpc.call("eth_getTransactionCount", sender, "pending") == "0x3"
    built = rpc.call("testing_buildBlockV1", HEAD, ATTRIBUTES, None, "0x")
    check_result("testing_buildBlockV1", built)
    assert built["executionPayload"]["transactions"] == raws
    assert int(built["blockValue"], 16) > 0
    assert rpc.call("eth_blockNumber") == "0x36"
    assert rpc.error("eth_sendRawTransaction", raws[0]) == (-32000, "already known")
    code, words = rpc.error("testing_buildBlockV1", HEAD, ATTRIBUTES, [signed(nonce=999)], "0x")
    assert (code, words.partition(":")[0]) == (-32000, "nonce too high")


def test_a_read_only_node_tells_what_it_has_not(rpc: Rpc) -> None:
    """Consensus, peers and votes are refused in words; nothing is invented."""
    for method in ("qenex_validators", "qenex_consensusState", "admin_nodeInfo", "admin_peers"):
        assert rpc.error(method)[0] == -32000
    assert rpc.error("debug_getRawBlockAccessList", "latest")[0] == -32001
    assert rpc.call("qenex_getCertificate", "latest") is None
    assert rpc.call("qenex_status")["readOnly"] is True
