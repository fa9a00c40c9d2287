"""Traces of a block that somebody hands over as bytes, committed here or not (debug_traceBlock).

The block must decode and its transactions be valid on its parent's state: they run once untraced,
because a tracer does not check. Roots and seals are not compared: what happened is shown, not
whether the header says so. Source: go-ethereum eth/tracers/api.go TraceBlock.
"""

from __future__ import annotations

from collections.abc import Callable

from primitives.block import Block, Header, decode_block
from primitives.params import ChainParams
from primitives.types import Hash32, Height
from vm.blocks import block_context
from vm.engine import Engine
from vm.state.changes import StateReader
from vm.trace.requests import TraceRequest


def trace_raw_block(
    engine: Engine,
    raw: bytes,
    params: ChainParams,
    parent_state: Callable[[Header], StateReader],
    block_hash: Callable[[Height], Hash32 | None],
    request: TraceRequest,
    *,
    stop: Callable[[], bool] | None = None,
) -> tuple[Block, tuple[object, ...]]:
    """Return the block that `raw` encodes and the traces of its transactions, in their order.

    `parent_state` gives the state after the parent that a header names, and raises where there is
    none. Raises InvalidBlock and InvalidTransaction, and what `Engine.trace` raises.
    """
    block = decode_block(raw)
    state = parent_state(block.header)
    context = block_context(block.header, params, block_hash)
    engine.execute(state, context, block.transactions, skip_invalid=False, stop=stop)
    traces = engine.trace(
        state, context, block.transactions, request, block_hash=block.hash, stop=stop
    )
    return block, traces
