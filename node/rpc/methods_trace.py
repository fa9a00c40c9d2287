"""Traces of transactions, blocks and calls.

Source: execution-apis debug_trace*; go-ethereum eth/tracers/api.go for words. A block is replayed
on the state before it, so it must be among those whose state the node keeps.
"""

from __future__ import annotations

import time

from node.rpc.api import ChainReader
from node.rpc.arguments import LATEST, BlockRef, CallObject
from node.rpc.backend import Request, resolve
from node.rpc.calls import call_context, message_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import to_hex
from node.rpc.errors import server_error
from node.rpc.lanes import Lane
from node.rpc.tracing import TraceOptions
from primitives.block import Block
from primitives.types import Hash32, Height
from vm.blocks import block_context
from vm.engine import ExecutionStopped

TABLE = MethodTable()
DEFAULT = TraceOptions()


@TABLE.method("debug_traceTransaction", lane=Lane.CALL)
def trace_transaction(
    request: Request, transaction: Hash32, options: TraceOptions = DEFAULT
) -> object:
    """Return the trace of a committed transaction."""
    place = request.view.transaction_lookup(transaction)
    if place is None:
        raise server_error("transaction not found")
    height, index = place
    return _trace(request, height, options, index)[0]


@TABLE.method("debug_traceBlockByNumber", lane=Lane.CALL)
def trace_block_by_number(
    request: Request, block: BlockRef, options: TraceOptions = DEFAULT
) -> object:
    """Return the traces of all transactions of a block, each with its transaction's hash."""
    height = resolve(request.view, block)
    if height is None:
        raise server_error(f"block #{block.height} not found")
    return _trace_block(request, height, options)


@TABLE.method("debug_traceBlockByHash", lane=Lane.CALL)
def trace_block_by_hash(
    request: Request, block_hash: Hash32, options: TraceOptions = DEFAULT
) -> object:
    """Return the traces of all transactions of a block, each with its transaction's hash."""
    height = request.view.height_of(block_hash)
    if height is None:
        raise server_error(f"block {to_hex(block_hash)} not found")
    return _trace_block(request, height, options)


@TABLE.method("debug_traceCall", lane=Lane.CALL)
def trace_call(
    request: Request,
    transaction: CallObject,
    block: BlockRef = LATEST,
    options: TraceOptions = DEFAULT,
) -> object:
    """Return the trace of a message on the state after a block, with overrides."""
    state, context = call_context(request, block, options.state, options.block)
    message = message_of(request, transaction, context)
    engine = request.backend.api.engine()
    stop = _Deadline(request, options)
    try:
        return engine.trace_call(state, context, message, options.request, stop=stop)
    except ExecutionStopped:
        raise server_error("execution timeout") from None


class _Deadline:
    """Says when a trace has taken its time: the request's, or less if the caller wants less."""

    def __init__(self, request: Request, options: TraceOptions) -> None:
        self._request = request
        wanted = options.timeout_s
        self._end = None if wanted is None else time.monotonic() + wanted

    def __call__(self) -> bool:
        """Return whether the time is over."""
        return self._request.is_late() or (self._end is not None and time.monotonic() > self._end)


def _trace_block(request: Request, height: Height, options: TraceOptions) -> object:
    if height == 0:
        raise server_error("genesis is not traceable")
    block = _block(request.view, height)
    traces = _trace(request, height, options, None)
    return [
        {"txHash": to_hex(tx.hash), "result": trace}
        for tx, trace in zip(block.transactions, traces, strict=True)
    ]


def _trace(
    request: Request, height: Height, options: TraceOptions, index: int | None
) -> tuple[object, ...]:
    view = request.view
    block = _block(view, height)
    try:
        return request.backend.api.engine().trace(
            view.state_at(Height(height - 1)),
            block_context(block.header, request.backend.api.params, view.block_hash),
            block.transactions,
            options.request,
            index=index,
            block_hash=block.hash,
            stop=_Deadline(request, options),
        )
    except ExecutionStopped:
        raise server_error("execution timeout") from None


def _block(view: ChainReader, height: Height) -> Block:
    block = view.block(height)
    if block is None:
        raise server_error(f"block #{height} not found")
    return block
