"""Methods that read accounts, and that run calls without a transaction.

State is kept for the head only; a block below it gets code 4444. Calls see the head's height and
time, as in go-ethereum.
"""

from __future__ import annotations

from node.rpc.api import ChainReader
from node.rpc.arguments import LATEST, BlockRef, CallObject, Overrides, Slot
from node.rpc.backend import Request, state_at
from node.rpc.dispatch import MethodTable
from node.rpc.encode import to_hex
from node.rpc.errors import invalid_params, reverted, server_error
from node.rpc.lanes import Lane
from primitives.params import ChainParams
from primitives.types import ZERO_ADDRESS, Address, Gas, Wei
from vm.engine import REVERTED, BlockContext, Call

TABLE = MethodTable()


@TABLE.method("eth_getBalance")
def get_balance(request: Request, address: Address, block: BlockRef = LATEST) -> str:
    """Return the balance in wei."""
    account = state_at(request.view, block).account(address)
    return hex(account.balance if account else 0)


@TABLE.method("eth_getTransactionCount")
def get_transaction_count(request: Request, address: Address, block: BlockRef = LATEST) -> str:
    """Return the next nonce; with `pending` it counts the sender's waiting transactions."""
    account = state_at(request.view, block).account(address)
    nonce = account.nonce if account else 0
    if block.tag == "pending":
        return hex(max(nonce, request.backend.api.pool().pending_nonce(address)))
    return hex(nonce)


@TABLE.method("eth_getCode")
def get_code(request: Request, address: Address, block: BlockRef = LATEST) -> str:
    """Return the code of an account, "0x" where there is none."""
    state = state_at(request.view, block)
    account = state.account(address)
    return to_hex(state.code(account.code_hash)) if account else "0x"


@TABLE.method("eth_getStorageAt")
def get_storage_at(request: Request, address: Address, slot: Slot, block: BlockRef = LATEST) -> str:
    """Return the 32-byte value of a storage slot."""
    return f"0x{state_at(request.view, block).storage(address, slot):064x}"


@TABLE.method("eth_call", lane=Lane.CALL)
def call(
    request: Request,
    transaction: CallObject,
    block: BlockRef = LATEST,
    state_overrides: Overrides | None = None,
    block_overrides: Overrides | None = None,
) -> str:
    """Run a message on a state and return its output; a revert is error 3 with its data."""
    state = state_at(request.view, block)
    message = _message(request, transaction)
    context = _context(request.view, request.backend.api.params)
    engine = request.backend.api.engine()
    result = engine.call(state, context, message, stop=request.is_late)
    if result.success:
        return to_hex(result.output)
    if result.error == REVERTED:
        raise reverted(result.output)
    raise server_error(result.error or "execution failed")


@TABLE.method("eth_estimateGas", lane=Lane.CALL)
def estimate_gas(
    request: Request,
    transaction: CallObject,
    block: BlockRef = LATEST,
    state_overrides: Overrides | None = None,
    block_overrides: Overrides | None = None,
) -> str:
    """Return a gas limit with which the message succeeds."""
    state = state_at(request.view, block)
    message = _message(request, transaction)
    context = _context(request.view, request.backend.api.params)
    engine = request.backend.api.engine()
    return hex(engine.estimate(state, context, message, stop=request.is_late))


def _message(request: Request, wanted: CallObject) -> Call:
    chain_id = request.backend.api.params.chain_id
    if wanted.chain_id is not None and wanted.chain_id != chain_id:
        raise invalid_params(
            f"chainId does not match node's (have={wanted.chain_id}, want={chain_id})"
        )
    gas_max = min(request.backend.settings.call_gas_max, request.view.head.gas_limit)
    return Call(
        sender=wanted.sender or ZERO_ADDRESS,
        to=wanted.to,
        data=wanted.data,
        value=Wei(wanted.value),
        gas=Gas(min(wanted.gas or gas_max, gas_max)),
        gas_price=_gas_price(wanted, request.view.head.base_fee_per_gas),
        access_list=wanted.access_list,
    )


def _gas_price(wanted: CallObject, base_fee: Wei) -> Wei:
    if wanted.gas_price is not None:
        return Wei(wanted.gas_price)
    cap, tip = wanted.max_fee_per_gas, wanted.max_priority_fee_per_gas
    if cap is None:
        return Wei(base_fee + tip if tip else 0)
    if tip is not None and tip > cap:
        raise server_error(
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"
        )
    if 0 < cap < base_fee:
        raise server_error(
            f"max fee per gas less than block base fee: maxFeePerGas: {cap}, baseFee: {base_fee}"
        )
    return Wei(min(cap, base_fee + (tip or 0)))


def _context(view: ChainReader, params: ChainParams) -> BlockContext:
    head = view.head
    return BlockContext(
        height=head.height,
        timestamp=head.timestamp,
        coinbase=head.fee_recipient,
        gas_limit=head.gas_limit,
        base_fee=head.base_fee_per_gas,
        mix_hash=head.mix_hash,
        chain_id=params.chain_id,
        block_hash=view.block_hash,
    )
