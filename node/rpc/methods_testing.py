"""testing_buildBlockV1: a block as it would be, for tests; nothing of it is kept.

Source: execution-apis testing_buildBlockV1; go-ethereum miner for the gas limit, which moves by
at most 1/1024 towards 60 million.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from node.rpc.arguments import Data, Raws
from node.rpc.backend import Request
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import server_error
from node.rpc.lanes import Lane
from node.rpc.payload import PayloadAttributes
from primitives.errors import InvalidTransaction
from primitives.ethereum import PublicBlock, PublicHeader, encode_withdrawal
from primitives.receipt import EMPTY_BLOOM, encode_receipt, join_blooms
from primitives.transaction import PUBLIC, Transaction, decode_transactions
from primitives.types import EMPTY_OMMERS_HASH, EMPTY_ROOT, GAS_ZERO, Gas, Hash32, Height, Wei
from vm.chainrules import AnyHeader
from vm.engine import Execution
from vm.fees import BLOB_GAS
from vm.forks import Fork
from vm.requests import requests_hash
from vm.state.roots import ordered_root

GAS_LIMIT_TARGET: Final = 60_000_000
GAS_LIMIT_DIVISOR: Final = 1_024

TABLE = MethodTable()


@TABLE.method("testing_buildBlockV1", lane=Lane.CALL)
def build_block(
    request: Request,
    parent: Hash32,
    attributes: PayloadAttributes,
    raws: Raws | None = None,
    extra_data: Data | None = None,
) -> Json:
    """Return the execution payload of a child of `parent` with these transactions.

    Without a list of transactions it takes what waits in the pool. A transaction that cannot
    enter is an error, in the words of the rule that it breaks.
    """
    view = request.view
    height = view.height_of(parent)
    header = None if height is None else view.header(height)
    if header is None or height is None:
        raise server_error("unknown parent block")
    if attributes.timestamp <= header.timestamp:
        raise server_error(f"timestamp {attributes.timestamp} is not after the parent's")
    draft = _draft(request, header, attributes, extra_data or b"")
    context = replace(
        request.rules.context(draft, view.block_hash),
        credits=tuple((each.address, each.amount) for each in attributes.withdrawals),
    )
    transactions = _decoded(raws) if raws is not None else _waiting(request, draft)
    execution = request.backend.api.engine().execute(
        view.state_at(height),
        context,
        transactions,
        skip_invalid=raws is None,
        stop=request.is_late,
    )
    root = view.state_root_with(height, execution.changes)
    return _payload(_finished(draft, execution, root), execution, attributes)


def _draft(
    request: Request, parent: AnyHeader, wanted: PayloadAttributes, extra_data: bytes
) -> PublicHeader:
    rules = request.rules
    fork = rules.child_rules(parent, wanted.timestamp).fork
    root = ordered_root([encode_withdrawal(each) for each in wanted.withdrawals])
    has_blobs = fork >= Fork.CANCUN
    return PublicHeader(
        parent_hash=request.view.block_hash(parent.height) or parent.hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        fee_recipient=wanted.fee_recipient,
        state_root=EMPTY_ROOT,
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=0,
        height=Height(parent.height + 1),
        gas_limit=_gas_limit(parent.gas_limit) if rules.is_public else parent.gas_limit,
        gas_used=GAS_ZERO,
        timestamp=wanted.timestamp,
        extra_data=extra_data,
        mix_hash=wanted.prev_randao,
        nonce=bytes(8),
        base_fee_per_gas=rules.child_base_fee(parent),
        withdrawals_root=root if fork >= Fork.SHANGHAI else None,
        blob_gas_used=GAS_ZERO if has_blobs else None,
        excess_blob_gas=rules.child_excess(parent, wanted.timestamp) if has_blobs else None,
        parent_beacon_block_root=wanted.beacon_root if has_blobs else None,
        requests_hash=requests_hash(()) if fork >= Fork.PRAGUE else None,
    )


def _gas_limit(parent: Gas) -> Gas:
    step = parent // GAS_LIMIT_DIVISOR - 1
    if parent < GAS_LIMIT_TARGET:
        return Gas(min(parent + step, GAS_LIMIT_TARGET))
    return Gas(max(parent - step, GAS_LIMIT_TARGET))


def _decoded(raws: Sequence[bytes]) -> list[Transaction]:
    found = []
    for each in decode_transactions(raws, PUBLIC):
        if isinstance(each, InvalidTransaction):
            raise each
        found.append(each)
    return found


def _waiting(request: Request, draft: PublicHeader) -> Iterable[Transaction]:
    """Return the pool's pending transactions, the best tip first, in order within a sender."""
    fee = draft.base_fee_per_gas or Wei(0)
    runs = [list(each) for each in request.backend.api.pool().content().pending.values() if each]
    found = []
    while runs:
        runs.sort(key=lambda run: run[0].effective_gas_price(fee) - fee, reverse=True)
        found.append(runs[0].pop(0))
        runs = [each for each in runs if each]
    return found


def _finished(draft: PublicHeader, execution: Execution, root: Hash32) -> PublicBlock:
    blobs = sum(len(each.blob_hashes) for each in execution.transactions)
    header = replace(
        draft,
        state_root=root,
        transactions_root=ordered_root([tx.raw for tx in execution.transactions]),
        receipts_root=ordered_root([encode_receipt(each) for each in execution.receipts]),
        logs_bloom=join_blooms(each.bloom for each in execution.receipts),
        gas_used=execution.gas_used,
        blob_gas_used=None if draft.blob_gas_used is None else Gas(blobs * BLOB_GAS),
        requests_hash=(None if draft.requests_hash is None else requests_hash(execution.requests)),
    )
    return PublicBlock(header, execution.transactions, (), (), header.hash, 0)


def _payload(block: PublicBlock, execution: Execution, wanted: PayloadAttributes) -> Json:
    header = block.header
    fee = header.base_fee_per_gas or Wei(0)
    value = sum(
        gas * (tx.effective_gas_price(fee) - fee)
        for tx, gas in zip(execution.transactions, execution.gas_used_each, strict=True)
    )
    payload: Json = {
        "parentHash": to_hex(header.parent_hash),
        "feeRecipient": to_hex(header.fee_recipient),
        "stateRoot": to_hex(header.state_root),
        "receiptsRoot": to_hex(header.receipts_root),
        "logsBloom": to_hex(header.logs_bloom),
        "prevRandao": to_hex(header.mix_hash),
        "blockNumber": hex(header.height),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": to_hex(header.extra_data),
        "baseFeePerGas": hex(fee),
        "blockHash": to_hex(block.hash),
        "transactions": [to_hex(tx.raw) for tx in block.transactions],
        "withdrawals": [
            {
                "index": hex(each.index),
                "validatorIndex": hex(each.validator_index),
                "address": to_hex(each.address),
                "amount": hex(each.amount_gwei),
            }
            for each in wanted.withdrawals
        ],
        "blobGasUsed": hex(header.blob_gas_used or 0),
        "excessBlobGas": hex(header.excess_blob_gas or 0),
    }
    return {
        "executionPayload": payload,
        "blockValue": hex(value),
        "blobsBundle": {"commitments": [], "proofs": [], "blobs": []},
        "executionRequests": [to_hex(each) for each in execution.requests if len(each) > 1],
        "shouldOverrideBuilder": False,
    }
