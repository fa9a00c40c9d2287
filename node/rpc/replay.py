"""Replays of blocks and transactions for every method that traces, within the request's time."""

from __future__ import annotations

import time

from node.rpc.api import ChainReader
from node.rpc.backend import Request
from node.rpc.errors import server_error
from primitives.types import Hash32, Height
from vm.chainrules import AnyBlock
from vm.engine import ExecutionStopped
from vm.trace.requests import TraceRequest


class Deadline:
    """Says when a trace has taken its time: the request's, or less if the caller wants less."""

    def __init__(self, request: Request, timeout_s: float | None = None) -> None:
        self._request = request
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def __call__(self) -> bool:
        """Return whether the time is over."""
        return self._request.is_late() or (self._end is not None and time.monotonic() > self._end)


def block_at(view: ChainReader, height: Height) -> AnyBlock:
    """Return the block at `height`; raises RpcError when there is none."""
    block = view.block(height)
    if block is None:
        raise server_error(f"block #{height} not found")
    return block


def place_of(request: Request, transaction: Hash32) -> tuple[Height, int]:
    """Return height and index of a committed transaction; raises RpcError."""
    place = request.view.transaction_lookup(transaction)
    if place is None:
        raise server_error("transaction not found")
    return place


def traces_of(
    request: Request,
    block: AnyBlock,
    wanted: TraceRequest,
    *,
    index: int | None = None,
    timeout_s: float | None = None,
) -> tuple[object, ...]:
    """Replay `block` on the state before it and return the traces of its transactions.

    With `index` only that transaction's. Raises RpcError when the time is over, HistoryPruned
    when the state is not kept.
    """
    view, height = request.view, block.header.height
    if height == 0:
        raise server_error("genesis is not traceable")
    try:
        return request.backend.api.engine().trace(
            view.state_at(Height(height - 1)),
            request.rules.context(block.header, view.block_hash),
            block.transactions,
            wanted,
            index=index,
            block_hash=block.hash,
            stop=Deadline(request, timeout_s),
        )
    except ExecutionStopped:
        raise server_error("execution timeout") from None
