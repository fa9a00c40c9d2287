"""Methods that read accounts, and that run calls without a transaction.

Each takes any block whose state the node keeps (`state.history`); one before that gets code 4444.
Calls see the height, time and fees of that block, as in go-ethereum.
"""

from __future__ import annotations

from node.rpc.arguments import LATEST, BlockRef, CallObject, Slot
from node.rpc.backend import Request, state_at
from node.rpc.calls import call_context, message_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import to_hex
from node.rpc.errors import reverted, server_error
from node.rpc.lanes import Lane
from node.rpc.overrides import StateArgument
from primitives.types import Address
from vm.engine import REVERTED
from vm.overrides import BlockOverrides

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
    state_overrides: StateArgument | None = None,
    block_overrides: BlockOverrides | None = None,
) -> str:
    """Run a message on a state and return its output; a revert is error 3 with its data."""
    accounts = state_overrides.accounts if state_overrides else None
    state, context = call_context(request, block, accounts, block_overrides)
    message = message_of(request, transaction, context)
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
    state_overrides: StateArgument | None = None,
    block_overrides: BlockOverrides | None = None,
) -> str:
    """Return a gas limit with which the message succeeds."""
    accounts = state_overrides.accounts if state_overrides else None
    state, context = call_context(request, block, accounts, block_overrides)
    message = message_of(request, transaction, context, is_estimate=True)
    engine = request.backend.api.engine()
    return hex(engine.estimate(state, context, message, stop=request.is_late))
