"""Methods answer as go-ethereum does; every specified result fits its execution-apis schema."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account as Wallet
from eth_utils.address import to_checksum_address

from consensus.certificate import check_certificate, decode_certificate
from consensus.messages import Claim, Evidence, Kind, decode_message
from consensus.signing import sign_digest
from contracts import artifact
from node.rpc.api import SyncStatus
from node.rpc.encode import block_size, checksum_address, contract_address
from primitives.block import Header, encode_block
from primitives.crypto.keccak import keccak
from primitives.types import Address, Gas, Hash32, Height, Round, Wei
from tests.node.rpc.devchain import funded_keys
from tests.node.rpc.harness import GWEI, Rpc, sign, to_hex
from tests.node.rpc.schema import check_result, specified

OWNER, SECOND, THIRD = funded_keys(3)
OWNER_TEXT, SECOND_TEXT, THIRD_TEXT = (to_hex(each.address) for each in (OWNER, SECOND, THIRD))
SUPPLY = 10**24
TRANSFER_TOPIC = to_hex(keccak(b"Transfer(address,address,uint256)"))
NOBODY = "0x" + "99" * 20
UNKNOWN_HASH = "0x" + "ab" * 32


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _text(value: bytes) -> bytes:
    return _word(len(value)) + value.ljust(32, b"\0")


CREATION = artifact("ERC20").bytecode + b"".join(
    (_word(96), _word(160), _word(SUPPLY), _text(b"Coin"), _text(b"CO"))
)


def transfer_data(to: Address, value: int) -> str:
    """Return the call data of an ERC-20 transfer."""
    return to_hex(
        keccak(b"transfer(address,uint256)")[:4] + _word(int.from_bytes(to)) + _word(value)
    )


def balance_data(who: Address) -> str:
    """Return the call data of balanceOf."""
    return to_hex(keccak(b"balanceOf(address)")[:4] + _word(int.from_bytes(who)))


def deploy(rpc: Rpc) -> str:
    """Deploy the ERC-20 from the owner's nonce 0 and return its address."""
    raw = sign(OWNER, 0, to=None, data=to_hex(CREATION), gas=2_000_000)
    receipt = rpc.call("eth_getTransactionReceipt", rpc.call("eth_sendRawTransaction", to_hex(raw)))
    assert receipt["status"] == "0x1"
    return str(receipt["contractAddress"])


def send(rpc: Rpc, raw: bytes) -> str:
    """Send a raw transaction and return its hash."""
    return str(rpc.call("eth_sendRawTransaction", to_hex(raw)))


def _busy(rpc: Rpc) -> list[str]:
    """Send one transaction of each type, a creation and a reverting call; return the hashes."""
    address = deploy(rpc)
    access = [{"address": address, "storageKeys": ["0x" + "00" * 31 + "01"]}]
    hashes = [
        send(rpc, sign(OWNER, 1, value=7, gasPrice=2 * GWEI)),
        send(rpc, sign(OWNER, 2, gasPrice=2 * GWEI, accessList=access, gas=30_000)),
        send(rpc, sign(OWNER, 3, to=address, data=transfer_data(SECOND.address, 9), gas=90_000)),
        send(rpc, sign(THIRD, 0, to=address, data=transfer_data(SECOND.address, 9), gas=90_000)),
    ]
    authorization = {"chainId": 20_260, "address": address, "nonce": 0}
    signed = Wallet.from_key(SECOND.raw).sign_authorization(authorization)
    hashes.append(send(rpc, sign(OWNER, 4, gas=100_000, authorizationList=[signed])))
    return hashes


def test_specified_results_fit_their_schemas(rpc: Rpc) -> None:
    """Blocks, transactions of all types, receipts, logs, fees and the rest fit openrpc.json."""
    hashes = _busy(rpc)
    rpc.chain.automine = False
    send(rpc, sign(OWNER, 5))
    send(rpc, sign(OWNER, 9, gasPrice=2 * GWEI))
    asked: list[tuple[str, list[object]]] = [
        ("eth_blockNumber", []),
        ("eth_chainId", []),
        ("eth_accounts", []),
        ("eth_syncing", []),
        ("eth_gasPrice", []),
        ("eth_maxPriorityFeePerGas", []),
        ("eth_blobBaseFee", []),
        ("eth_baseFee", []),
        ("net_version", []),
        ("txpool_status", []),
        ("txpool_content", []),
        ("eth_feeHistory", ["0x6", "latest", [5, 50, 95.5]]),
        ("eth_getLogs", [{"fromBlock": "earliest"}]),
        ("eth_getBalance", [OWNER_TEXT, "latest"]),
        ("eth_getCode", [SECOND_TEXT, "latest"]),
        ("eth_getStorageAt", [OWNER_TEXT, "0x0", "latest"]),
        ("eth_getTransactionCount", [OWNER_TEXT, "pending"]),
        ("eth_call", [{"to": OWNER_TEXT}, "latest"]),
        ("eth_estimateGas", [{"to": THIRD_TEXT, "value": "0x1", "from": OWNER_TEXT}]),
    ]
    for each in [*hashes, UNKNOWN_HASH]:
        asked += [("eth_getTransactionByHash", [each]), ("eth_getTransactionReceipt", [each])]
    for height in range(8):
        tag = hex(height)
        asked += [
            ("eth_getBlockByNumber", [tag, False]),
            ("eth_getBlockByNumber", [tag, True]),
            ("eth_getBlockReceipts", [tag]),
            ("eth_getBlockTransactionCountByNumber", [tag]),
            ("eth_getTransactionByBlockNumberAndIndex", [tag, "0x0"]),
        ]
    for method, params in asked:
        assert specified(method), method
        check_result(method, rpc.call(method, *params))


def test_the_schema_check_bites() -> None:
    """A result with a wrong, missing or surplus field does not pass the schema check."""
    good = {"pending": "0x1", "queued": "0x0"}
    check_result("txpool_status", good)
    wrong: tuple[object, ...] = ({"pending": "0x01", "queued": "0x0"}, {"pending": "0x1"}, [], None)
    for bad in wrong:
        with pytest.raises(AssertionError):
            check_result("txpool_status", bad)
    with pytest.raises(AssertionError):
        check_result("eth_syncing", {"startingBlock": "0x0", "surplus": "0x0"})


def test_block_reads_agree(rpc: Rpc) -> None:
    """A block is the same by number, hash and tag; its parts are the same wherever they appear."""
    hashes = _busy(rpc)
    latest = rpc.call("eth_getBlockByNumber", "latest", True)
    assert latest["number"] == rpc.call("eth_blockNumber") == "0x6"
    for tag in ("safe", "finalized", "pending", latest["number"]):
        assert rpc.call("eth_getBlockByNumber", tag, True) == latest
    assert rpc.call("eth_getBlockByHash", latest["hash"], True) == latest
    assert latest["transactions"] == [rpc.call("eth_getTransactionByHash", hashes[-1])]
    assert (
        rpc.call("eth_getTransactionByBlockHashAndIndex", latest["hash"], "0x0")
        in (latest["transactions"])
    )
    assert rpc.call("eth_getTransactionByBlockHashAndIndex", latest["hash"], "0x1") is None
    receipts = rpc.call("eth_getBlockReceipts", latest["hash"])
    assert receipts == [rpc.call("eth_getTransactionReceipt", hashes[-1])]
    assert rpc.call("eth_getBlockTransactionCountByHash", latest["hash"]) == "0x1"
    header = rpc.call("eth_getHeaderByNumber", "latest")
    assert header.items() <= latest.items()
    assert header == rpc.call("eth_getHeaderByHash", latest["hash"])
    assert rpc.call("eth_getBlockByNumber", "earliest")["number"] == "0x0"


def test_a_header_in_json_has_the_hash_that_it_names(rpc: Rpc) -> None:
    """All 21 fields of a header are shown, each under its name: they hash to the block's hash."""
    _busy(rpc)
    for height in range(7):
        shown = rpc.call("eth_getHeaderByNumber", hex(height))

        def raw(name: str, shown: dict[str, str] = shown) -> bytes:
            return bytes.fromhex(shown[name][2:])

        def number(name: str, shown: dict[str, str] = shown) -> int:
            return int(shown[name], 16)

        header = Header(
            parent_hash=Hash32(raw("parentHash")),
            fee_recipient=Address(raw("miner")),
            state_root=Hash32(raw("stateRoot")),
            transactions_root=Hash32(raw("transactionsRoot")),
            receipts_root=Hash32(raw("receiptsRoot")),
            logs_bloom=raw("logsBloom"),
            height=Height(number("number")),
            gas_limit=Gas(number("gasLimit")),
            gas_used=Gas(number("gasUsed")),
            timestamp=number("timestamp"),
            extra_data=raw("extraData"),
            mix_hash=Hash32(raw("mixHash")),
            base_fee_per_gas=Wei(number("baseFeePerGas")),
            ommers_hash=Hash32(raw("sha3Uncles")),
            difficulty=number("difficulty"),
            nonce=raw("nonce"),
            withdrawals_root=Hash32(raw("withdrawalsRoot")),
            blob_gas_used=Gas(number("blobGasUsed")),
            excess_blob_gas=Gas(number("excessBlobGas")),
            parent_beacon_block_root=Hash32(raw("parentBeaconBlockRoot")),
            requests_hash=Hash32(raw("requestsHash")),
        )
        assert to_hex(header.hash) == shown["hash"]


def test_transactions_show_their_signature(rpc: Rpc) -> None:
    """v of a legacy transaction holds the chain id (EIP-155), of a typed one the parity alone."""
    for each in _busy(rpc):
        shown = rpc.call("eth_getTransactionByHash", each)
        v, chain_id = int(shown["v"], 16), int(shown["chainId"], 16)
        if shown["type"] == "0x0":
            assert v in (chain_id * 2 + 35, chain_id * 2 + 36)
            assert "yParity" not in shown
        else:
            assert v == int(shown["yParity"], 16) in (0, 1)


def test_what_does_not_exist_is_null(rpc: Rpc) -> None:
    """Unknown hashes, heights above the head and uncles are null, not errors."""
    for method in (
        "eth_getBlockByHash",
        "eth_getHeaderByHash",
        "eth_getBlockReceipts",
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "eth_getUncleCountByBlockHash",
        "eth_getBlockTransactionCountByHash",
    ):
        assert rpc.call(method, UNKNOWN_HASH) is None
    for method in (
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "qenex_getCertificate",
        "eth_getHeaderByNumber",
        "eth_getUncleCountByBlockNumber",
    ):
        assert rpc.call(method, "0x99") is None
    assert rpc.call("eth_getUncleCountByBlockNumber", "latest") == "0x0"
    assert rpc.call("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None


def test_block_size_is_the_length_of_its_encoding(rpc: Rpc) -> None:
    """`size` counts the bytes of the block's RLP, for legacy and typed transactions alike."""
    _busy(rpc)
    view = rpc.chain.view()
    for height in range(view.head.height + 1):
        block = view.block(Height(height))
        assert block is not None
        assert block_size(block) == len(encode_block(block))


def test_receipts_count_gas_and_logs_within_the_block(rpc: Rpc) -> None:
    """In a block of several transactions gas is each one's own and log indexes run on."""
    address = deploy(rpc)
    rpc.chain.automine = False
    data = transfer_data(SECOND.address, 1)
    for nonce in (1, 2, 3):
        send(rpc, sign(OWNER, nonce, to=address, data=data, gas=90_000))
    rpc.chain.mine()
    receipts = rpc.call("eth_getBlockReceipts", "latest")
    assert [int(each["logs"][0]["logIndex"], 16) for each in receipts] == [0, 1, 2]
    assert [int(each["transactionIndex"], 16) for each in receipts] == [0, 1, 2]
    total = 0
    for each in receipts:
        total += int(each["gasUsed"], 16)
        assert int(each["cumulativeGasUsed"], 16) == total
        assert each == rpc.call("eth_getTransactionReceipt", each["transactionHash"])
    assert rpc.call("eth_getLogs", {}) == [each["logs"][0] for each in receipts]
    assert int(rpc.call("eth_getBlockByNumber", "latest")["gasUsed"], 16) == total


def test_state_reads_at_the_head(rpc: Rpc) -> None:
    """Balance, nonce, code and storage are those of the head, by tag, height or hash."""
    address = deploy(rpc)
    head = rpc.call("eth_getBlockByNumber", "latest")
    for block in (
        "latest",
        "pending",
        "0x1",
        {"blockNumber": "0x1"},
        {"blockHash": head["hash"], "requireCanonical": True},
        head["hash"],
    ):
        assert rpc.call("eth_getTransactionCount", OWNER_TEXT, block) == "0x1"
    code = rpc.call("eth_getCode", address)
    assert code == to_hex(artifact("ERC20").deployed_bytecode)
    assert rpc.call("eth_getCode", NOBODY) == "0x"
    assert rpc.call("eth_getBalance", NOBODY) == "0x0"
    for slot in ("0x2", "0x02", "2", "0x" + "0" * 63 + "2"):
        assert int(rpc.call("eth_getStorageAt", address, slot), 16) == SUPPLY
    assert rpc.call("eth_getBalance", OWNER_TEXT.upper().replace("X", "x"), "latest") != "0x0"


def test_state_of_the_future_is_unknown(rpc: Rpc) -> None:
    """State above the head is `header not found`."""
    send(rpc, sign(OWNER, 0))
    for method in ("eth_getBalance", "eth_getCode", "eth_getTransactionCount"):
        assert rpc.error(method, NOBODY, "0x7") == (-32000, "header not found")
        unknown = {"blockHash": UNKNOWN_HASH}
        assert rpc.error(method, NOBODY, unknown) == (-32000, "header for hash not found")


def test_calls_return_output_and_reverts_carry_data(rpc: Rpc) -> None:
    """eth_call answers with output; a revert is code 3 with its data, in call and estimate."""
    address = deploy(rpc)
    got = rpc.call("eth_call", {"to": address, "data": balance_data(OWNER.address)})
    assert int(got, 16) == SUPPLY
    poor = {"from": THIRD_TEXT, "to": address, "input": transfer_data(SECOND.address, 1)}
    for method in ("eth_call", "eth_estimateGas"):
        error = rpc.ask(method, poor)["error"]
        assert error["code"] == 3
        assert error["message"] == "execution reverted"
        selector = keccak(b"ERC20InsufficientBalance(address,uint256,uint256)")[:4]
        assert error["data"].startswith(to_hex(selector))
    rich = {**poor, "from": OWNER_TEXT}
    assert int(rpc.call("eth_call", rich), 16) == 1
    gas = int(rpc.call("eth_estimateGas", rich), 16)
    raw = sign(OWNER, 1, to=address, data=rich["input"], gas=gas)
    assert rpc.call("eth_getTransactionReceipt", send(rpc, raw))["status"] == "0x1"


def _reverting(reason: bytes) -> str:
    """Return creation code that reverts with `reason`."""
    size = len(reason)
    return to_hex(bytes.fromhex(f"61{size:04x}80600c6000396000fd") + reason)


def test_revert_reasons_are_in_the_message(rpc: Rpc) -> None:
    """`Error(string)` and `Panic(uint256)` stand in the message, as wallets show them."""
    reason = keccak(b"Error(string)")[:4] + _word(32) + _text(b"not today")
    panic = keccak(b"Panic(uint256)")[:4] + _word(0x11)
    error = rpc.ask("eth_call", {"data": _reverting(reason)})["error"]
    assert error == {"code": 3, "message": "execution reverted: not today", "data": to_hex(reason)}
    error = rpc.ask("eth_call", {"data": _reverting(panic)})["error"]
    assert error["message"] == "execution reverted: arithmetic underflow or overflow"
    assert rpc.ask("eth_call", {"data": "0xfe"})["error"]["code"] == -32000


def test_call_objects_are_checked(rpc: Rpc) -> None:
    """Contradictions, other chains and blobs are refused in words."""
    assert rpc.error("eth_call", {"gasPrice": "0x1", "maxFeePerGas": "0x1"})[0] == -32602
    assert rpc.error("eth_call", {"data": "0x01", "input": "0x02"})[0] == -32602
    code, message = rpc.error("eth_call", {"chainId": "0x1"})
    assert (code, message) == (-32602, "chainId does not match node's (have=1, want=20260)")
    assert rpc.error("eth_call", {"blobVersionedHashes": []})[0] == -32602
    assert "result" in rpc.ask("eth_call", {"to": NOBODY}, "latest", {}, None)
    code, message = rpc.error("eth_call", {"to": NOBODY, "maxFeePerGas": "0x1"})
    assert message.startswith("max fee per gas less than block base fee")
    poor = rpc.ask("eth_call", {"from": NOBODY, "to": OWNER_TEXT, "value": "0x1"})["error"]
    assert poor["code"] == -32000
    assert "insufficient" in poor["message"]
    assert "data" not in poor, "web3.py takes data of a failed call for a revert"
    assert (
        "insufficient"
        in rpc.error("eth_estimateGas", {"from": NOBODY, "to": OWNER_TEXT, "value": "0x1"})[1]
    )


def test_sending_refuses_in_geths_words(rpc: Rpc) -> None:
    """Bad transactions are -32000 with the words that wallets match, and facts as data."""
    send(rpc, sign(OWNER, 0))
    used = rpc.ask("eth_sendRawTransaction", to_hex(sign(OWNER, 0, value=1)))["error"]
    assert used["data"], "a wallet can read the facts without parsing words"
    cases: list[tuple[bytes, str]] = [
        (sign(OWNER, 0, value=1), "nonce too low"),
        (sign(OWNER, 1, chainId=1), "invalid chain id"),
        (sign(OWNER, 1, value=10**24), "insufficient funds for gas \\* price \\+ value"),
        (sign(OWNER, 1, gas=20_000), "intrinsic gas too low"),
        (sign(OWNER, 1, gas=10**9), "gas limit"),
        (b"\x03" + sign(OWNER, 1)[1:], "transaction type not supported|blob"),
        (b"\x01\x02", ""),
        (b"", ""),
    ]
    for raw, words in cases:
        code, message = rpc.error("eth_sendRawTransaction", to_hex(raw))
        assert code == -32000
        assert re.search(words, message), f"{words}: {message}"
    rpc.chain.automine = False
    waiting = sign(OWNER, 1)
    send(rpc, waiting)
    assert rpc.error("eth_sendRawTransaction", to_hex(waiting)) == (-32000, "already known")
    code, message = rpc.error("eth_sendRawTransaction", to_hex(sign(OWNER, 1, value=1)))
    assert (code, message) == (-32000, "replacement transaction underpriced")
    assert rpc.error("eth_sendRawTransaction", "0x1")[0] == -32602


def test_a_batch_of_sends_is_taken_together_in_order(rpc: Rpc) -> None:
    """Each send of a batch has its own answer, and a call between sends sees those before it.

    Planted bug that this kills: answers of accepted sends given to the refused ones' ids.
    """
    rpc.chain.automine = False

    def send_of(number: int, raw: object) -> dict[str, object]:
        name = "eth_sendRawTransaction"
        return {"jsonrpc": "2.0", "id": number, "method": name, "params": [raw]}

    raws = [sign(OWNER, nonce) for nonce in range(4)]
    silent = send_of(9, to_hex(raws[2]))
    del silent["id"]
    count = {"jsonrpc": "2.0", "id": 3, "method": "eth_getTransactionCount"}
    body = [
        send_of(0, to_hex(raws[0])),
        send_of(1, to_hex(sign(OWNER, 1, chainId=1))),
        send_of(2, to_hex(raws[1])),
        send_of(4, "0x1"),
        silent,
        count | {"params": [OWNER_TEXT, "pending"]},
        send_of(5, to_hex(raws[3])),
    ]
    answers = rpc.send(json.dumps(body).encode())
    assert [each["id"] for each in answers] == [0, 1, 2, 4, 3, 5]
    results = {each["id"]: each.get("result") for each in answers}
    assert results[0] == to_hex(keccak(raws[0]))
    assert results[2] == to_hex(keccak(raws[1]))
    assert results[3] == "0x3"
    errors = {each["id"]: each["error"]["code"] for each in answers if "error" in each}
    assert errors == {1: -32000, 4: -32602}
    rpc.chain.mine()
    assert rpc.call("eth_getTransactionCount", OWNER_TEXT, "latest") == "0x4"


def test_waiting_transactions_are_seen(rpc: Rpc) -> None:
    """The pool shows in pending nonces, by hash with null block fields, and in txpool_."""
    rpc.chain.automine = False
    first, gapped = send(rpc, sign(OWNER, 0)), send(rpc, sign(OWNER, 5))
    assert rpc.call("eth_getTransactionCount", OWNER_TEXT, "pending") == "0x1"
    assert rpc.call("eth_getTransactionCount", OWNER_TEXT, "latest") == "0x0"
    shown = rpc.call("eth_getTransactionByHash", first)
    assert shown["blockHash"] is shown["blockNumber"] is shown["transactionIndex"] is None
    assert rpc.call("eth_getTransactionReceipt", first) is None
    assert rpc.call("txpool_status") == {"pending": "0x1", "queued": "0x1"}
    owner = checksum_address(OWNER.address)
    content = rpc.call("txpool_content")
    assert content["pending"][owner]["0"] == shown
    assert content["queued"][owner]["5"]["hash"] == gapped
    rpc.chain.mine()
    assert rpc.call("eth_getTransactionByHash", first)["blockNumber"] == "0x1"


def test_send_sync_returns_the_final_receipt(rpc: Rpc) -> None:
    """EIP-7966: the receipt at once where a block comes, error 4 with the hash where none does."""
    receipt = rpc.call("eth_sendRawTransactionSync", to_hex(sign(OWNER, 0)))
    assert receipt == rpc.call("eth_getTransactionReceipt", receipt["transactionHash"])
    rpc.chain.automine = False
    raw = sign(OWNER, 1)
    error = rpc.ask("eth_sendRawTransactionSync", to_hex(raw), 1)["error"]
    assert error["code"] == 4
    assert error["data"] == to_hex(keccak(raw))
    assert rpc.error("eth_sendRawTransactionSync", to_hex(raw), 10**6)[0] == -32602
    assert rpc.error("eth_sendRawTransactionSync", "0x01")[0] == -32000
    assert rpc.awaited == 0


def test_contract_addresses_follow_sender_and_nonce() -> None:
    """A creation's address is keccak(rlp([sender, nonce])); golden values of the test account."""
    assert contract_address(OWNER.address, 0).hex() == "5fbdb2315678afecb367f032d93f642f64180aa3"
    assert contract_address(OWNER.address, 1).hex() == "e7f1725e7734ce288f8367e1bb143e90bb3f0512"


@pytest.mark.parametrize("key", funded_keys(10))
def test_checksums_are_those_of_eip_55(key: Any) -> None:
    """Mixed-case addresses agree with eth-utils."""
    assert checksum_address(key.address) == to_checksum_address(key.address)


def test_node_methods(rpc: Rpc) -> None:
    """The small methods answer what tools expect of them."""
    assert rpc.call("net_version") == "20260"
    assert rpc.call("net_listening") is True
    assert rpc.call("net_peerCount") == "0x3"
    assert rpc.call("eth_accounts") == []
    assert rpc.call("rpc_modules")["eth"] == "1.0"
    assert rpc.call("eth_protocolVersion").startswith("0x")
    assert rpc.call("web3_clientVersion")
    assert rpc.call("web3_sha3", "0x68656c6c6f") == to_hex(keccak(b"hello"))
    assert rpc.call("qenex_status")["height"] == 0
    assert rpc.call("eth_syncing") is False
    rpc.chain.sync = SyncStatus(Height(1), Height(2), Height(30))
    assert rpc.call("eth_syncing") == {
        "startingBlock": "0x1",
        "currentBlock": "0x2",
        "highestBlock": "0x1e",
    }


def test_certificates_prove_blocks(rpc: Rpc) -> None:
    """A wallet can check a block offline with the certificate and the validators that RPC gives."""
    send(rpc, sign(OWNER, 0))
    shown = rpc.call("qenex_getCertificate", "latest")
    assert shown["blockHash"] == rpc.call("eth_getBlockByNumber", "latest")["hash"]
    view = rpc.chain.view()
    raw = bytes.fromhex(shown["certificate"][2:])
    check_certificate(decode_certificate(raw), view.validators, rpc.chain.params.chain_id)
    members = rpc.call("qenex_validators")
    assert [each["address"] for each in members["validators"]] == [
        each["validator"] for each in shown["signatures"]
    ]
    assert members["hash"] == rpc.call("eth_getBlockByNumber", "latest")["extraData"]
    assert rpc.call("qenex_getCertificate", "0x0") is None


def test_evidence_is_told_as_the_contract_takes_it(rpc: Rpc) -> None:
    """Every double signature with both claims, and the bytes that the verifier contract accepts."""
    assert rpc.call("qenex_getEvidence") == []
    claims = [
        Claim(
            Kind.PROPOSAL,
            Height(300),
            Round(2),
            Hash32(bytes([number]) * 32),
            Round(number - 2),
            Hash32(b"\x07" * 32),
            OWNER.address,
            b"",
        )
        for number in (1, 2)
    ]
    one, two = (
        replace(each, signature=OWNER.sign(sign_digest(each, rpc.chain.params.chain_id)))
        for each in claims
    )
    rpc.chain.found.append(Evidence(one, two))
    (shown,) = rpc.call("qenex_getEvidence")
    assert decode_message(bytes.fromhex(shown["evidence"][2:])) == Evidence(one, two)
    assert (shown["kind"], shown["height"], shown["round"]) == ("proposal", "0x12c", "0x2")
    assert shown["validator"] == OWNER_TEXT
    assert [each["polRound"] for each in shown["claims"]] == [None, "0x0"]
    assert shown["claims"][0]["signature"] == to_hex(one.signature)


def test_subscriptions_need_a_websocket(rpc: Rpc) -> None:
    """Over HTTP eth_subscribe says so in geth's words."""
    assert rpc.error("eth_subscribe", "newHeads") == (-32601, "notifications not supported")
    assert rpc.error("eth_unsubscribe", "0x1") == (-32601, "notifications not supported")
