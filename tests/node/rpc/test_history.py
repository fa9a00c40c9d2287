"""JSON-RPC at any retained height: state, calls and proofs are those of that block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from node.rpc.methods_proof import SLOTS_MAX
from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, Hash32, Nonce, Wei
from tests.node.rpc.devchain import DevChain
from tests.node.rpc.harness import Rpc, sign, to_hex
from tests.node.rpc.schema import check_result
from tests.node.rpc.test_methods import (
    NOBODY,
    OWNER,
    OWNER_TEXT,
    SECOND,
    SUPPLY,
    balance_data,
    deploy,
    send,
    transfer_data,
)
from tests.vm.test_history import found_by_proof
from vm.state.encoding import encode_account, rlp_uint

SENT = 5


@pytest.fixture
def kept() -> Iterator[Rpc]:
    """A node that keeps two heights below its head."""
    made = Rpc(DevChain(keep=2))
    yield made
    made.close()


def busy(rpc: Rpc) -> str:
    """Deploy a token in block 1 and send some of it in each of the next blocks."""
    token = deploy(rpc)
    for nonce in range(1, 1 + SENT):
        send(rpc, sign(OWNER, nonce, to=token, data=transfer_data(SECOND.address, 10), gas=90_000))
    return token


def test_state_methods_take_any_height(rpc: Rpc) -> None:
    """Nonce, balance, code, slots, calls and estimates are those after the block that is named.

    Kills: a call on old state with the head's height; code of a later deployment.
    """
    token = busy(rpc)
    balances = []
    for height in range(2 + SENT):
        block = rpc.call("eth_getBlockByNumber", hex(height), False)
        for name in (hex(height), {"blockHash": block["hash"]}, block["hash"]):
            nonce = rpc.call("eth_getTransactionCount", OWNER_TEXT, name)
            assert int(nonce, 16) == height
            balances.append(int(rpc.call("eth_getBalance", OWNER_TEXT, name), 16))
            code = rpc.call("eth_getCode", token, name)
            assert (code == "0x") == (height == 0)
        if height:
            supply = rpc.call("eth_getStorageAt", token, "0x2", hex(height))
            assert int(supply, 16) == SUPPLY
            asked = {"to": token, "data": balance_data(SECOND.address)}
            assert int(rpc.call("eth_call", asked, hex(height)), 16) == 10 * (height - 1)
            rpc.call("eth_estimateGas", asked, hex(height))
    assert balances == sorted(balances, reverse=True)
    assert len(set(balances)) == 2 + SENT
    assert rpc.call("eth_getTransactionCount", OWNER_TEXT, "earliest") == "0x0"
    # NUMBER returned from init code: 43 5f 52 60 20 5f f3
    seen = rpc.call("eth_call", {"data": "0x435f5260205ff3"}, "0x3")
    assert int(seen, 16) == 3


def test_pruned_heights_are_error_4444(kept: Rpc) -> None:
    """State before the kept range is error 4444 in go-ethereum's words; blocks stay."""
    token = busy(kept)
    head = 1 + SENT
    pruned = (4444, "pruned history unavailable")
    asked: list[tuple[str, list[Any]]] = [
        ("eth_getBalance", [NOBODY]),
        ("eth_getCode", [NOBODY]),
        ("eth_getTransactionCount", [NOBODY]),
        ("eth_getStorageAt", [NOBODY, "0x0"]),
        ("eth_call", [{"to": token}]),
        ("eth_estimateGas", [{"to": NOBODY}]),
        ("eth_getProof", [NOBODY, []]),
    ]
    for method, parameters in asked:
        assert kept.error(method, *parameters, "earliest") == pruned
        assert kept.error(method, *parameters, hex(head - 3)) == pruned
        if method != "eth_call":
            kept.call(method, *parameters, hex(head - 2))
    assert kept.call("eth_getBlockByNumber", "0x0", True)["number"] == "0x0"


def check_answer(answer: dict[str, Any], state_root: str) -> None:
    """The answer proves itself from the state root alone."""
    account = Account(
        Nonce(int(answer["nonce"], 16)),
        Wei(int(answer["balance"], 16)),
        Hash32(bytes.fromhex(answer["storageHash"][2:])),
        Hash32(bytes.fromhex(answer["codeHash"][2:])),
    )
    leaf = found_by_proof(
        _hash(state_root),
        keccak(bytes.fromhex(answer["address"][2:])),
        _nodes(answer["accountProof"]),
    )
    absent = account == Account()
    assert leaf == (b"" if absent else encode_account(account))
    for each in answer["storageProof"]:
        key = keccak(int(each["key"], 16).to_bytes(32, "big"))
        value = int(each["value"], 16)
        found = found_by_proof(account.storage_root, key, _nodes(each["proof"]))
        assert found == (rlp_uint(value) if value else b"")


def _hash(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text[2:]))


def _nodes(proof: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(each[2:]) for each in proof)


def test_proofs_hold_at_every_height(rpc: Rpc) -> None:
    """eth_getProof fits its schema, and the `trie` package verifies it at each height."""
    token = busy(rpc)
    long_key = "0x" + "00" * 31 + "02"
    for height in range(2 + SENT):
        root = rpc.call("eth_getBlockByNumber", hex(height), False)["stateRoot"]
        for address in (OWNER_TEXT, token, NOBODY):
            answer = rpc.call("eth_getProof", address, ["0x0", long_key, "0x7"], hex(height))
            check_answer(answer, root)
    assert [each["key"] for each in answer["storageProof"]] == ["0x0", long_key, "0x7"]
    now = rpc.call("eth_getProof", token, [long_key])
    assert int(now["storageProof"][0]["value"], 16) == SUPPLY


def test_proof_fits_its_schema(rpc: Rpc) -> None:
    """The result has the fields and forms that execution-apis fixes."""
    token = busy(rpc)
    check_result("eth_getProof", rpc.call("eth_getProof", token, ["0x0", "0x02"], "0x2"))


def test_absent_account_is_the_empty_one(rpc: Rpc) -> None:
    """What is not there has the fields of the empty account and no storage proof nodes."""
    answer = rpc.call("eth_getProof", NOBODY, ["0x1"], "latest")
    assert (answer["nonce"], answer["balance"]) == ("0x0", "0x0")
    assert answer["codeHash"] == to_hex(EMPTY_CODE_HASH)
    assert answer["storageHash"] == to_hex(EMPTY_ROOT)
    assert answer["storageProof"] == [{"key": "0x1", "value": "0x0", "proof": []}]


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        (["0x"], ["0x0"]),
        (["0x0"], ["0x0"]),
        (["0x00"], ["0x0"]),
        (["7"], ["0x7"]),
        (["0x" + "0" * 63], ["0x" + "0" * 64]),
        (["0x" + "0" * 64], ["0x" + "0" * 64]),
        (["0x" + "0" * 62], ["0x0"]),
        ([], []),
    ],
)
def test_storage_keys_are_read_kindly(rpc: Rpc, keys: list[str], shown: list[str]) -> None:
    """Short keys pass, as in go-ethereum, and come back as quantities; whole ones as they are."""
    answer = rpc.call("eth_getProof", OWNER_TEXT, keys)
    assert [each["key"] for each in answer["storageProof"]] == shown


def test_wrong_storage_keys_are_refused(rpc: Rpc) -> None:
    """Keys that are too long, no hex, no list or too many are -32602; the bound itself passes."""
    wrong: list[object] = [["0x" + "0" * 65], ["0xzz"], [5], "0x0", {}, ["0x0"] * (SLOTS_MAX + 1)]
    for keys in wrong:
        assert rpc.error("eth_getProof", OWNER_TEXT, keys)[0] == -32602
    answer = rpc.call("eth_getProof", OWNER_TEXT, ["0x0"] * SLOTS_MAX)
    assert len(answer["storageProof"]) == SLOTS_MAX
    assert rpc.error("eth_getProof", OWNER_TEXT, [], "0x99") == (-32000, "header not found")
