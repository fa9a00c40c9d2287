"""The rest of the evm_, hardhat_ and anvil_ methods, and what unlocked accounts sign.

Planted bugs that these kill: a wish that outlives its block; `drop` that leaves the transaction; a
signature over the bare message; a dump without storage; a developer method in a node's own table.
"""

from __future__ import annotations

import gzip
import json

import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct, encode_typed_data

from node.dev import methods_accounts, methods_chain, methods_state
from node.dev.app import dev_methods
from node.rpc.methods import all_methods
from primitives.types import Address
from tests.node.dev.support import ALICE, BOB, KEYS, NOBODY, RETURNS_42, START, Bench
from tests.node.rpc.devchain import DevChain as NodeChain
from tests.node.rpc.harness import Rpc

OWN = {
    name
    for table in (methods_accounts.TABLE, methods_chain.TABLE, methods_state.TABLE)
    for name in table.methods
}
OF_NODES = {
    *("eth_accounts", "eth_coinbase", "eth_getBlockByNumber"),
    *("admin_datadir", "admin_nodeInfo", "admin_peers"),
}
"""Names that a node may have too, with an answer of its own."""

TYPED = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "chainId", "type": "uint256"},
        ],
        "Order": [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint256"}],
    },
    "primaryType": "Order",
    "domain": {"name": "Test", "chainId": 31_337},
    "message": {"to": BOB, "amount": 5},
}


def test_no_node_has_a_developer_method() -> None:
    """The table that every node serves has none of them; each is method not found there."""
    names = sorted(OWN - OF_NODES)
    assert len(names) > 70
    assert not set(names) & all_methods().keys()
    assert set(names) <= dev_methods().keys()
    rpc = Rpc(NodeChain())
    try:
        for name in names:
            assert rpc.error(name, ALICE, "0x1")[0] == -32601, name
        assert rpc.call("eth_accounts") == []
    finally:
        rpc.close()


def test_no_developer_prefix_in_a_node() -> None:
    """Whatever is added later: evm_, hardhat_, anvil_ and sending for others are of `qenex dev`."""
    prefixes = ("evm_", "hardhat_", "anvil_", "personal_")
    assert not [name for name in all_methods() if name.startswith(prefixes)]
    assert not {"eth_sendTransaction", "eth_sign"} & all_methods().keys()


def test_times_are_as_asked(dev: Bench) -> None:
    """Increase, exact next time, set time in seconds and milliseconds, fixed interval."""

    def mined() -> int:
        dev.call("evm_mine")
        return int(dev.block()["timestamp"], 16)

    first = mined()
    assert dev.call("evm_increaseTime", "0x64") == 100
    assert mined() >= first + 100
    wanted = int(START) + 5_000
    dev.call("evm_setNextBlockTimestamp", wanted)
    assert mined() == wanted
    assert dev.error("evm_setNextBlockTimestamp", wanted)[0] == -32602
    assert dev.call("evm_mine", wanted + 50) == "0x0"
    dev.call("evm_mine", {"timestamp": hex(wanted + 60), "blocks": 2})
    assert int(dev.block()["timestamp"], 16) == wanted + 61
    dev.call("evm_setTime", (wanted + 1_000) * 1_000)
    assert mined() == wanted + 1_000
    dev.call("anvil_setBlockTimestampInterval", 7)
    assert mined() == wanted + 1_007
    dev.call("anvil_removeBlockTimestampInterval")
    assert mined() == wanted + 1_008


def test_wishes_hold_for_one_block(dev: Bench) -> None:
    """Base fee and prevRandao are the next block's; gas limit and fee recipient stay."""
    randao = "0x" + "5a" * 32
    dev.call("hardhat_setNextBlockBaseFeePerGas", "0x7")
    dev.call("hardhat_setPrevRandao", randao)
    dev.call("evm_setBlockGasLimit", "0x1000000")
    dev.call("hardhat_setCoinbase", NOBODY)
    dev.call("evm_mine")
    block = dev.block()
    assert (block["baseFeePerGas"], block["mixHash"]) == ("0x7", randao)
    dev.call("evm_mine")
    block = dev.block()
    assert block["mixHash"] != randao
    assert (block["gasLimit"], block["miner"]) == ("0x1000000", NOBODY)
    assert dev.call("eth_coinbase") == NOBODY
    assert dev.error("evm_setBlockGasLimit", "0x1")[0] == -32602


def test_pending_block_is_the_next_one(dev: Bench) -> None:
    """It holds what waits and has no hash; asking for it changes nothing."""
    dev.call("evm_setAutomine", False)
    sent = dev.send()
    pending = dev.call("eth_getBlockByNumber", "pending", False)
    assert (pending["number"], pending["hash"]) == ("0x1", None)
    assert pending["transactions"] == [sent]
    assert dev.height() == 0
    assert dev.call("txpool_status")["pending"] == "0x1"


def test_waiting_transactions_are_dropped(dev: Bench) -> None:
    """One by its hash, or all; a mined one cannot be dropped."""
    mined = dev.send()
    dev.call("evm_setAutomine", False)
    first, second = dev.send(), dev.send()
    assert dev.call("hardhat_dropTransaction", second) is True
    assert dev.call("anvil_dropTransaction", second) is None
    assert dev.error("hardhat_dropTransaction", mined)[0] == -32000
    assert dev.call("eth_getTransactionByHash", first) is not None
    dev.call("anvil_dropAllTransactions")
    assert dev.call("txpool_status")["pending"] == "0x0"


def test_signatures_are_those_of_a_wallet(dev: Bench) -> None:
    """Personal messages and typed data are signed as eth_account signs them."""
    key = KEYS[0].raw
    wanted = Wallet.sign_message(encode_defunct(b"hello"), key).signature.to_0x_hex()
    data = "0x" + b"hello".hex()
    assert dev.call("eth_sign", ALICE, data) == wanted
    assert dev.call("personal_sign", data, ALICE) == wanted
    assert dev.call("personal_sign", "hello", ALICE, "password") == wanted
    typed = Wallet.sign_message(encode_typed_data(full_message=TYPED), key).signature.to_0x_hex()
    assert dev.call("eth_signTypedData_v4", ALICE, TYPED) == typed
    assert dev.call("eth_signTypedData_v4", ALICE, json.dumps(TYPED)) == typed
    assert dev.error("eth_signTypedData_v4", ALICE, "{")[0] == -32602
    assert dev.error("eth_signTypedData_v4", ALICE, {"types": {}})[0] == -32602
    assert dev.error("eth_sign", NOBODY, data)[0] == -32602


def test_signed_transaction_is_one_that_can_be_sent(dev: Bench) -> None:
    """eth_signTransaction sends nothing; its raw bytes do."""
    signed = dev.call("eth_signTransaction", {"from": ALICE, "to": BOB, "gasPrice": "0x77359400"})
    assert dev.height() == 0
    assert signed["tx"]["type"] == "0x0"
    assert dev.call("eth_sendRawTransaction", signed["raw"]) == signed["tx"]["hash"]
    assert dev.height() == 1


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "0x2"),
        ({"gasPrice": "0x77359400"}, "0x0"),
        ({"gasPrice": "0x77359400", "accessList": []}, "0x1"),
        ({"maxFeePerGas": "0x77359400"}, "0x2"),
        ({"type": "0x0"}, "0x0"),
    ],
)
def test_what_is_left_out_is_filled_in(dev: Bench, fields: dict[str, object], kind: str) -> None:
    """Type, fees, nonce and gas follow from what the caller gave."""
    sent = dev.call("eth_getTransactionByHash", dev.send(**fields))
    assert (sent["type"], sent["gas"], sent["nonce"]) == (kind, "0x5208", "0x0")


@pytest.mark.parametrize(
    "wrong", [{"chainId": "0x1"}, {"type": "0x9"}, {"value": 5}, {"authorizationList": 1}, [], "0x"]
)
def test_wrong_transactions_are_refused(dev: Bench, wrong: object) -> None:
    """Each by -32602 and in words, and nothing is sent."""
    given = {"from": ALICE, "to": BOB, **wrong} if isinstance(wrong, dict) else wrong
    assert dev.error("eth_sendTransaction", given)[0] == -32602
    assert dev.height() == 0


def test_state_is_dumped_and_loaded(dev: Bench) -> None:
    """A dump holds balances, nonces, code and storage; loading gives them back, and only them."""
    dev.send(value="0x5")
    dev.call("hardhat_setCode", NOBODY, "0x" + RETURNS_42)
    dev.call("hardhat_setStorageAt", NOBODY, "0x1", "0x9")
    dump = dev.call("anvil_dumpState")
    document = json.loads(gzip.decompress(bytes.fromhex(dump[2:])))
    assert document["accounts"][NOBODY]["storage"] == {"0x" + "1".zfill(64): "0x" + "9".zfill(64)}
    balance = dev.balance(BOB)
    dev.call("hardhat_reset")
    assert dev.call("anvil_loadState", dump) is True
    assert dev.balance(BOB) == balance
    assert dev.call("eth_getTransactionCount", ALICE) == "0x1"
    assert int(dev.call("eth_getStorageAt", NOBODY, "0x1"), 16) == 9
    assert dev.call("eth_call", {"to": NOBODY}) == "0x" + "2a".zfill(64)
    of_anvil = {"accounts": {BOB: {"nonce": 3, "balance": "0x1", "code": "0x", "storage": {}}}}
    dev.call("anvil_loadState", "0x" + gzip.compress(json.dumps(of_anvil).encode()).hex())
    assert (dev.balance(BOB), dev.call("eth_getTransactionCount", BOB)) == (1, "0x3")


@pytest.mark.parametrize("wrong", [b"", b"{}", b'{"accounts":{"0x1":{}}}', b"\x1f\x8b\x00", b"[1]"])
def test_wrong_dump_is_refused(dev: Bench, wrong: bytes) -> None:
    """Bytes that are no dump change nothing."""
    assert dev.error("anvil_loadState", "0x" + wrong.hex())[0] == -32602


def test_numbers_come_in_three_forms(dev: Bench) -> None:
    """Hex with or without leading zeros, decimal text, JSON numbers; nothing else."""
    for each in ("0x0a", "0xa", "10", 10, 10.0):
        dev.call("hardhat_setBalance", NOBODY, each)
        assert dev.balance(NOBODY) == 10
    refused: list[object] = [True, "ten", "0xg", -1, 1.5, [], hex(2**256), "9" * 79]
    for wrong in refused:
        assert dev.error("hardhat_setBalance", NOBODY, wrong)[0] == -32602


def test_descriptions_of_the_chain(dev: Bench) -> None:
    """Metadata and node info name the head that is there; intervals are told back."""
    dev.call("evm_mine")
    metadata, info = dev.call("hardhat_metadata"), dev.call("anvil_nodeInfo")
    assert metadata["latestBlockHash"] == info["currentBlockHash"] == dev.block()["hash"]
    assert (metadata["chainId"], info["hardFork"]) == (31_337, "prague")
    assert dev.call("eth_accounts") == dev.call("eth_requestAccounts")
    assert len(dev.call("eth_accounts")) == 10
    assert dev.call("anvil_getIntervalMining") is None
    dev.call("evm_setIntervalMining", [500, 2_000])
    assert dev.call("anvil_getIntervalMining") == 2
    dev.call("anvil_setIntervalMining", 3)
    assert (dev.call("anvil_getIntervalMining"), dev.call("anvil_getAutomine")) == (3, False)
    assert dev.error("evm_setIntervalMining", 10**9)[0] == -32602


def test_bounds_of_accounts_and_blocks(dev: Bench) -> None:
    """Impersonated accounts and blocks of one call are bounded by name."""
    accounts = dev.chain.accounts
    for n in range(10_000):
        accounts.impersonate(Address(n.to_bytes(20, "big")))
    assert dev.error("hardhat_impersonateAccount", NOBODY)[0] == -32000
    assert dev.error("hardhat_mine", hex(10**7))[0] == -32602


def test_logs_of_an_impersonated_sender_name_its_transaction(dev: Bench) -> None:
    """eth_getLogs after a revert and a new block: one log, of the hash that the sending gave.

    Kills: logs whose transaction is named by the bytes of a draft that nobody signed, and rows of
    the logs index that outlive the block that a revert took back.
    """
    emitter = "0x" + "cd" * 20
    dev.call("hardhat_setCode", emitter, "0x60016000526001602060" + "00a100")
    dev.call("hardhat_impersonateAccount", NOBODY)
    dev.call("hardhat_setBalance", NOBODY, hex(10**20))
    moment = dev.call("evm_snapshot")
    for _ in range(2):
        dev.call("eth_sendTransaction", {"from": NOBODY, "to": emitter, "gas": hex(100_000)})
    dev.call("evm_revert", moment)
    sent = dev.call("eth_sendTransaction", {"from": NOBODY, "to": emitter, "gas": hex(100_000)})
    logs = dev.call("eth_getLogs", {"address": emitter, "fromBlock": "0x0"})
    assert [each["transactionHash"] for each in logs] == [sent]
