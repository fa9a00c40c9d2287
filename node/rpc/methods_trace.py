"""Traces of transactions, blocks and calls.

Source: execution-apis debug_trace*; go-ethereum eth/tracers/api.go for words. A block is replayed
on the state before it, so it must be among those whose state the node keeps.
"""

from __future__ import annotations

from node.rpc.arguments import LATEST, BlockRef, CallObject, Data
from node.rpc.backend import Request, resolve
from node.rpc.calls import call_context, message_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import server_error
from node.rpc.lanes import Lane
from node.rpc.replay import Deadline, block_at, place_of, traces_of
from node.rpc.tracing import TraceOptions
from primitives.errors import Invalid
from primitives.ethereum import decode_public_block
from primitives.types import Hash32, Height
from vm.chainrules import AnyBlock
from vm.engine import ExecutionStopped

TABLE = MethodTable()
DEFAULT = TraceOptions()


@TABLE.method("debug_traceTransaction", lane=Lane.CALL)
def trace_transaction(
    request: Request, transaction: Hash32, options: TraceOptions = DEFAULT
) -> object:
    """Return the trace of a committed transaction."""
    height, index = place_of(request, transaction)
    block = block_at(request.view, height)
    wanted, timeout_s = options.request, options.timeout_s
    return traces_of(request, block, wanted, index=index, timeout_s=timeout_s)[0]


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
    if block.height is not None and resolve(request.view, block) is None:
        raise server_error(f"block #{block.height} not found")
    state, context = call_context(request, block, options.state, options.block)
    message = message_of(request, transaction, context)
    engine = request.backend.api.engine()
    stop = Deadline(request, options.timeout_s)
    try:
        return engine.trace_call(state, context, message, options.request, stop=stop)
    except ExecutionStopped:
        raise server_error("execution timeout") from None


@TABLE.method("debug_traceBlock", lane=Lane.CALL)
def trace_block(request: Request, raw: Data, options: TraceOptions = DEFAULT) -> object:
    """Return the traces of a block given as RLP; its parent must be in the chain.

    Its transactions run once untraced before, because a tracer does not check them.
    """
    try:
        block = decode_public_block(raw)
    except Invalid as error:
        raise server_error(f"could not decode block: {error.message}") from None
    parent = request.view.height_of(block.header.parent_hash)
    if parent is None or parent + 1 != block.header.height:
        raise server_error(f"parent {to_hex(block.header.parent_hash)} not found")
    request.backend.api.engine().execute(
        request.view.state_at(parent),
        request.rules.context(block.header, request.view.block_hash),
        block.transactions,
        skip_invalid=False,
        stop=request.is_late,
    )
    return _shown(block, request, options)


def _trace_block(request: Request, height: Height, options: TraceOptions) -> object:
    if height == 0:
        raise server_error("genesis is not traceable")
    return _shown(block_at(request.view, height), request, options)


def _shown(block: AnyBlock, request: Request, options: TraceOptions) -> list[Json]:
    traces = traces_of(request, block, options.request, timeout_s=options.timeout_s)
    return [
        {"txHash": to_hex(tx.hash), "result": trace}
        for tx, trace in zip(block.transactions, traces, strict=True)
    ]
