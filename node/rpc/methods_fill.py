"""eth_fillTransaction: a transaction with what it leaves out filled in, ready to be signed.

Source: execution-apis eth_fillTransaction; go-ethereum TransactionArgs.setDefaults: twice the base
fee and the suggested tip, the next nonce of the pool, the estimated gas.
"""

from __future__ import annotations

from dataclasses import replace

from node.rpc.arguments import LATEST, CallObject
from node.rpc.backend import Request
from node.rpc.calls import call_context, message_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex, transaction_json
from node.rpc.errors import invalid_params, server_error
from node.rpc.lanes import Lane
from node.rpc.methods_fees import next_base_fee, suggested_tip
from primitives.types import ZERO_ADDRESS, Gas, Nonce, Wei
from vm.engine import SimulatedCall
from vm.unsigned import unsigned_transaction

TABLE = MethodTable()


@TABLE.method("eth_fillTransaction", lane=Lane.CALL)
def fill_transaction(request: Request, transaction: CallObject) -> Json:
    """Return the filled transaction and its encoding with an empty signature."""
    chain_id = request.rules.chain_id
    if transaction.chain_id is not None and transaction.chain_id != chain_id:
        raise invalid_params(
            f"chainId does not match node's (have={transaction.chain_id}, want={chain_id})"
        )
    if transaction.to is None and not transaction.data:
        raise server_error("contract creation without any data provided")
    priced = _priced(request, transaction)
    sender = priced.sender or ZERO_ADDRESS
    nonce = priced.nonce
    if nonce is None:
        account = request.view.state.account(sender)
        waiting = request.backend.api.pool().pending_nonce(sender)
        nonce = max(waiting, account.nonce if account else 0)
    gas = _estimated(request, priced) if priced.gas is None else priced.gas
    filled = SimulatedCall(
        sender=sender,
        to=priced.to,
        data=priced.data,
        value=Wei(priced.value),
        gas_price=None if priced.gas_price is None else Wei(priced.gas_price),
        max_fee_per_gas=Wei(priced.max_fee_per_gas or 0),
        max_priority_fee_per_gas=Wei(priced.max_priority_fee_per_gas or 0),
        access_list=priced.access_list or (),
        authorizations=priced.authorizations,
        blob_hashes=priced.blob_hashes,
        max_fee_per_blob_gas=Wei(priced.blob_price or 0),
    )
    unsigned = unsigned_transaction(filled, chain_id, Nonce(nonce), Gas(gas))
    shown = transaction_json(unsigned)
    if not unsigned.type:
        shown |= {"v": "0x0", "chainId": hex(chain_id)}
    return {"raw": to_hex(unsigned.raw), "tx": shown}


def _priced(request: Request, wanted: CallObject) -> CallObject:
    if wanted.gas_price is not None:
        return wanted
    tip = wanted.max_priority_fee_per_gas
    if tip is None:
        tip = suggested_tip(request)
        if wanted.max_fee_per_gas is not None:
            tip = min(tip, wanted.max_fee_per_gas)
    cap = wanted.max_fee_per_gas
    if cap is None:
        cap = 2 * next_base_fee(request) + tip
    if cap < tip:
        raise server_error(f"maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})")
    return replace(wanted, max_fee_per_gas=cap, max_priority_fee_per_gas=tip)


def _estimated(request: Request, wanted: CallObject) -> int:
    plain = replace(
        wanted, gas_price=None, max_fee_per_gas=None, max_priority_fee_per_gas=None, nonce=None
    )
    state, context = call_context(request, LATEST, None, None)
    message = message_of(request, plain, context)
    engine = request.backend.api.engine()
    return engine.estimate(state, context, message, stop=request.is_late)
