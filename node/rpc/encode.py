"""Blocks, transactions, receipts and logs as the JSON of go-ethereum.

Source: execution-apis openrpc.json. Quantities have no leading zeros, hashes and addresses are
lower-case hex. Names such as `number` and `gasUsed` are fixed by JSON-RPC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.rpc.api import PoolContent
from primitives.block import encode_header
from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.ethereum import PublicBlock, Withdrawal, encode_public_header
from primitives.receipt import Log, Receipt
from primitives.transaction import Transaction
from primitives.types import WEI_ZERO, Address, Hash32, Wei
from vm.chainrules import AnyBlock, AnyHeader
from vm.fees import BLOB_GAS

Json = dict[str, Any]

EIP155_V_OFFSET: Final = 35
LEGACY_V_OFFSET: Final = 27


def to_hex(data: bytes) -> str:
    """Return the bytes as 0x hex."""
    return "0x" + data.hex()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands: its block's hash, height and time, and its index."""

    block_hash: str
    block_number: str
    timestamp: str
    base_fee: Wei
    blob_fee: Wei = WEI_ZERO

    @classmethod
    def of(cls, header: AnyHeader, block_hash: Hash32, blob_fee: Wei = WEI_ZERO) -> Place:
        """Return the place that all transactions of one block share.

        `blob_fee` is the block's price of blob gas, which receipts of blob transactions show.
        """
        return cls(
            to_hex(block_hash),
            hex(header.height),
            hex(header.timestamp),
            header.base_fee_per_gas or WEI_ZERO,
            blob_fee,
        )


def header_json(header: AnyHeader, block_hash: Hash32) -> Json:
    """Return the header as eth_getHeaderByNumber and newHeads show it.

    What the block's fork did not have yet is left out.
    """
    answer: Json = {
        "number": hex(header.height),
        "hash": to_hex(block_hash),
        "parentHash": to_hex(header.parent_hash),
        "nonce": to_hex(header.nonce),
        "mixHash": to_hex(header.mix_hash),
        "sha3Uncles": to_hex(header.ommers_hash),
        "logsBloom": to_hex(header.logs_bloom),
        "stateRoot": to_hex(header.state_root),
        "miner": to_hex(header.fee_recipient),
        "difficulty": hex(header.difficulty),
        "extraData": to_hex(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "transactionsRoot": to_hex(header.transactions_root),
        "receiptsRoot": to_hex(header.receipts_root),
    }
    later = (
        ("baseFeePerGas", header.base_fee_per_gas),
        ("withdrawalsRoot", header.withdrawals_root),
        ("blobGasUsed", header.blob_gas_used),
        ("excessBlobGas", header.excess_blob_gas),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root),
        ("requestsHash", header.requests_hash),
    )
    for name, value in later:
        if value is not None:
            answer[name] = hex(value) if isinstance(value, int) else to_hex(value)
    return answer


def block_json(block: AnyBlock, *, full: bool) -> Json:
    """Return the block with its transactions, whole when `full`, else their hashes."""
    answer = header_json(block.header, block.hash)
    answer["size"] = hex(block_size(block))
    if isinstance(block, PublicBlock):
        answer["uncles"] = [to_hex(each.hash) for each in block.ommers]
        if block.withdrawals is not None:
            answer["withdrawals"] = [_withdrawal_json(each) for each in block.withdrawals]
    else:
        answer["uncles"] = []
        answer["withdrawals"] = []
    if full:
        place = Place.of(block.header, block.hash)
        answer["transactions"] = [
            transaction_json(each, place, index) for index, each in enumerate(block.transactions)
        ]
    else:
        answer["transactions"] = [to_hex(each.hash) for each in block.transactions]
    return answer


def ommer_json(block: PublicBlock, index: int) -> Json | None:
    """Return an ommer as eth_getUncleBy* shows it: a block without transactions."""
    if index >= len(block.ommers):
        return None
    ommer = block.ommers[index]
    size = hex(_with_prefix(len(encode_public_header(ommer)) + 2))
    return header_json(ommer, ommer.hash) | {"size": size, "uncles": [], "transactions": []}


def _withdrawal_json(withdrawal: Withdrawal) -> Json:
    return {
        "index": hex(withdrawal.index),
        "validatorIndex": hex(withdrawal.validator_index),
        "address": to_hex(withdrawal.address),
        "amount": hex(withdrawal.amount_gwei),
    }


def block_size(block: AnyBlock) -> int:
    """Return the length of the block's RLP in bytes, without encoding the transactions again."""
    if isinstance(block, PublicBlock):
        return block.size_bytes
    bodies = sum(
        len(each.raw) if each.type == 0 else _string_length(each.raw) for each in block.transactions
    )
    empty_lists = 2
    payload = len(encode_header(block.header)) + _with_prefix(bodies) + empty_lists
    return _with_prefix(payload)


def _with_prefix(payload: int) -> int:
    if payload < 56:
        return payload + 1
    return payload + 1 + (payload.bit_length() + 7) // 8


def _string_length(raw: bytes) -> int:
    return 1 if len(raw) == 1 and raw[0] < 0x80 else _with_prefix(len(raw))


def transaction_json(transaction: Transaction, place: Place | None = None, index: int = 0) -> Json:
    """Return a transaction; one that still waits has no `place` and null block fields."""
    if place is None:
        price = transaction.max_fee_per_gas
        position: Json = dict.fromkeys(
            ("blockHash", "blockNumber", "blockTimestamp", "transactionIndex")
        )
    else:
        price = transaction.effective_gas_price(place.base_fee)
        position = {
            "blockHash": place.block_hash,
            "blockNumber": place.block_number,
            "blockTimestamp": place.timestamp,
            "transactionIndex": hex(index),
        }
    answer: Json = {
        **position,
        "from": to_hex(transaction.sender),
        "gas": hex(transaction.gas),
        "gasPrice": hex(price),
        "hash": to_hex(transaction.hash),
        "input": to_hex(transaction.data),
        "nonce": hex(transaction.nonce),
        "to": None if transaction.to is None else to_hex(transaction.to),
        "value": hex(transaction.value),
        "type": hex(transaction.type),
        "v": hex(_signature_v(transaction)),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }
    if transaction.chain_id is not None:
        answer["chainId"] = hex(transaction.chain_id)
    if transaction.type:
        answer["yParity"] = hex(transaction.y_parity)
        answer["accessList"] = _access_list_json(transaction)
    if transaction.type >= 2:
        answer["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        answer["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    if transaction.type == 3:
        answer["maxFeePerBlobGas"] = hex(transaction.max_fee_per_blob_gas)
        answer["blobVersionedHashes"] = [to_hex(each) for each in transaction.blob_hashes]
    if transaction.type == 4:
        answer["authorizationList"] = _authorizations_json(transaction)
    return answer


def _signature_v(transaction: Transaction) -> int:
    if transaction.type:
        return transaction.y_parity
    if transaction.chain_id is None:
        return transaction.y_parity + LEGACY_V_OFFSET
    return transaction.chain_id * 2 + EIP155_V_OFFSET + transaction.y_parity


def _access_list_json(transaction: Transaction) -> list[Json]:
    return [
        {
            "address": to_hex(address),
            "storageKeys": [f"0x{slot:064x}" for slot in slots],
        }
        for address, slots in transaction.access_list
    ]


def _authorizations_json(transaction: Transaction) -> list[Json]:
    return [
        {
            "chainId": hex(each.chain_id),
            "address": to_hex(each.address),
            "nonce": hex(each.nonce),
            "yParity": hex(each.y_parity),
            "r": hex(each.r),
            "s": hex(each.s),
        }
        for each in transaction.authorizations
    ]


def contract_address(sender: Address, nonce: int) -> Address:
    """Return where a creation by `sender` with `nonce` puts its contract (Yellow Paper, 7)."""
    return Address(keccak(encode([sender, uint(nonce)]))[12:])


def receipts_json(
    block: AnyBlock, receipts: Sequence[Receipt], blob_fee: Wei = WEI_ZERO
) -> list[Json]:
    """Return the receipts of a whole block; `blob_fee` is its price of blob gas."""
    place = Place.of(block.header, block.hash, blob_fee)
    answers = []
    gas_before = 0
    logs_before = 0
    for index, receipt in enumerate(receipts):
        transaction = block.transactions[index]
        answers.append(_receipt_json(transaction, receipt, place, (index, gas_before, logs_before)))
        gas_before = receipt.cumulative_gas_used
        logs_before += len(receipt.logs)
    return answers


def receipt_json(
    block: AnyBlock, receipts: Sequence[Receipt], index: int, blob_fee: Wei = WEI_ZERO
) -> Json:
    """Return one receipt; the block's other receipts give its gas and its first log's index."""
    before = receipts[:index]
    gas_before = before[-1].cumulative_gas_used if before else 0
    logs_before = sum(len(each.logs) for each in before)
    place = Place.of(block.header, block.hash, blob_fee)
    return _receipt_json(
        block.transactions[index], receipts[index], place, (index, gas_before, logs_before)
    )


def _receipt_json(
    transaction: Transaction,
    receipt: Receipt,
    place: Place,
    position: tuple[int, int, int],
) -> Json:
    index, gas_before, logs_before = position
    created = None
    if transaction.to is None:
        created = to_hex(contract_address(transaction.sender, transaction.nonce))
    answer = {
        "blockHash": place.block_hash,
        "blockNumber": place.block_number,
        "contractAddress": created,
        "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
        "effectiveGasPrice": hex(transaction.effective_gas_price(place.base_fee)),
        "from": to_hex(transaction.sender),
        "gasUsed": hex(receipt.cumulative_gas_used - gas_before),
        "logs": [
            log_json(log, place, (to_hex(transaction.hash), index), logs_before + offset)
            for offset, log in enumerate(receipt.logs)
        ],
        "logsBloom": to_hex(receipt.bloom),
        "to": None if transaction.to is None else to_hex(transaction.to),
        "transactionHash": to_hex(transaction.hash),
        "transactionIndex": hex(index),
        "type": hex(receipt.type),
    }
    if receipt.state_root is None:
        answer["status"] = hex(receipt.status)
    else:
        answer["root"] = to_hex(receipt.state_root)
    if transaction.blob_hashes:
        answer["blobGasUsed"] = hex(len(transaction.blob_hashes) * BLOB_GAS)
        answer["blobGasPrice"] = hex(place.blob_fee)
    return answer


def log_json(log: Log, place: Place, transaction: tuple[str, int], log_index: int) -> Json:
    """Return one log; `transaction` is its transaction's (hash, index)."""
    return {
        "address": to_hex(log.address),
        "topics": [to_hex(topic) for topic in log.topics],
        "data": to_hex(log.data),
        "blockNumber": place.block_number,
        "transactionHash": transaction[0],
        "transactionIndex": hex(transaction[1]),
        "blockHash": place.block_hash,
        "blockTimestamp": place.timestamp,
        "logIndex": hex(log_index),
        "removed": False,
    }


def checksum_address(address: Address) -> str:
    """Return the address in mixed case. Source: EIP-55."""
    digits = address.hex()
    digest = keccak(digits.encode()).hex()
    pairs = zip(digits, digest, strict=False)
    return "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in pairs)


def pool_json(content: PoolContent) -> Json:
    """Return the pool as txpool_content shows it: sender, then decimal nonce."""

    def by_nonce(transactions: Iterable[Transaction]) -> Json:
        return {str(each.nonce): transaction_json(each) for each in transactions}

    return {
        "pending": {checksum_address(a): by_nonce(b) for a, b in content.pending.items()},
        "queued": {checksum_address(a): by_nonce(b) for a, b in content.queued.items()},
    }
