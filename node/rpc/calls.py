"""From a call object to what an engine runs: the message, the state, the block, overrides.

A call sees the block that it names: its state, height, time and fees, as in go-ethereum.
"""

from __future__ import annotations

from dataclasses import replace

from node.rpc.arguments import BlockRef, CallObject
from node.rpc.backend import Request, resolve, state_at
from node.rpc.encode import checksum_address
from node.rpc.errors import invalid_params, server_error
from primitives.types import ZERO_ADDRESS, Gas, Wei
from vm.chainrules import AnyHeader
from vm.engine import BlockContext, Call
from vm.forks import Fork
from vm.overrides import (
    BlockOverrides,
    StateOverrides,
    moved_precompiles,
    override_block,
    state_changes,
)
from vm.state.changes import StateReader
from vm.state.layered import LayeredState


def message_of(
    request: Request, wanted: CallObject, context: BlockContext, *, is_estimate: bool = False
) -> Call:
    """Return the message of a call object, with what it leaves out filled in."""
    chain_id = request.rules.chain_id
    if wanted.chain_id is not None and wanted.chain_id != chain_id:
        raise invalid_params(
            f"chainId does not match node's (have={wanted.chain_id}, want={chain_id})"
        )
    check_fork(request, wanted, context, is_estimate=is_estimate)
    gas_max = min(request.backend.settings.call_gas_max, context.gas_limit)
    return Call(
        sender=wanted.sender or ZERO_ADDRESS,
        to=wanted.to,
        data=wanted.data,
        value=Wei(wanted.value),
        gas=Gas(min(wanted.gas or gas_max, gas_max)),
        gas_price=_gas_price(wanted, context.base_fee),
        access_list=wanted.access_list or (),
        authorizations=wanted.authorizations,
        blob_hashes=wanted.blob_hashes,
        max_fee_per_blob_gas=Wei(wanted.blob_price or 0),
    )


def check_fork(
    request: Request, wanted: CallObject, context: BlockContext, *, is_estimate: bool = False
) -> None:
    """Raise RpcError, in go-ethereum's words, for fields that the block's fork does not have."""
    fork = context.rules.fork
    has_fees = wanted.max_fee_per_gas is not None or wanted.max_priority_fee_per_gas is not None
    if has_fees and fork < Fork.LONDON:
        raise server_error(
            "maxFeePerGas and maxPriorityFeePerGas are not valid before London is active"
        )
    no_blobs = context.rules.blobs is None
    kind = None
    if wanted.authorizations and fork < Fork.PRAGUE:
        kind = "setcode tx"
    elif no_blobs and (wanted.blob_hashes or (wanted.blob_price and fork < Fork.CANCUN)):
        kind = "blob tx"
    elif wanted.access_list is not None and fork < Fork.BERLIN:
        kind = "access list tx"
    if kind is not None:
        name = checksum_address(wanted.sender or ZERO_ADDRESS)
        most = request.backend.settings.call_gas_max
        supplied = min(wanted.gas or most, most)
        words = f"transaction type not supported: {kind} (sender {name})"
        raise server_error(
            f"failed with {supplied} gas: {words}"
            if is_estimate
            else f"err: {words} (supplied gas {supplied})"
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


def call_context(
    request: Request,
    block: BlockRef,
    accounts: StateOverrides | None,
    different: BlockOverrides | None,
) -> tuple[StateReader, BlockContext]:
    """Return the state after `block` and the block that a call runs in, with overrides.

    Raises RpcError when there is no such block or its state is gone, and BadOverride.
    """
    state = state_at(request.view, block)
    context = request.rules.context(header_of(request, block), request.view.block_hash)
    if different is not None:
        context = override_block(context, different)
    if accounts:
        moved = moved_precompiles(accounts, request.backend.api.engine().precompiles(context))
        context = replace(context, moved_precompiles=moved)
        state = LayeredState(state, state_changes(state, accounts))
    return state, context


def header_of(request: Request, block: BlockRef) -> AnyHeader:
    """Return the header that `block` names; raises RpcError when there is none."""
    height = resolve(request.view, block)
    header = None if height is None else request.view.header(height)
    if header is None:
        raise server_error("header for hash not found" if block.hash else "header not found")
    return header
