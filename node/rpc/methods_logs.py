"""Logs, polling filters and subscriptions."""

from __future__ import annotations

from collections.abc import Sequence

from node.rpc.api import ChainReader
from node.rpc.arguments import BlockRef, FilterObject, Name, Options
from node.rpc.backend import Request, Session, resolve
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import METHOD_NOT_FOUND, RpcError, invalid_params, server_error
from node.rpc.filters import BlockFilter, LogFilter, PendingFilter
from node.rpc.lanes import Lane
from node.rpc.logs import Search, block_logs
from node.rpc.subscriptions import (
    Logs,
    Syncing,
    check_resumption,
    missed,
    parse_subscription,
    sync_json,
)
from primitives.types import Height

TABLE = MethodTable()


@TABLE.method("eth_getLogs", lane=Lane.CALL)
def get_logs(request: Request, wanted: FilterObject) -> list[Json]:
    """Return the matching logs of a block or of a range of blocks, the head by default."""
    _check_size(request, wanted)
    view = request.view
    if wanted.block_hash is not None:
        height = view.height_of(wanted.block_hash)
        if height is None:
            raise server_error("unknown block")
        return block_logs(view, wanted, height)
    first, last = _range(view, wanted)
    return _search(request, wanted, first, last)


def _check_size(request: Request, wanted: FilterObject) -> None:
    most = request.backend.settings.filter_addresses_max
    if len(wanted.addresses) > most or any(len(each) > most for each in wanted.topics):
        raise invalid_params(f"exceed max addresses or topics per search position: {most}")


def _range(view: ChainReader, wanted: FilterObject) -> tuple[Height, Height]:
    first = _bound(view, wanted.from_block)
    last = _bound(view, wanted.to_block)
    if first > last:
        raise invalid_params("invalid block range params")
    if last > view.head.height:
        raise invalid_params("block range extends beyond current head block")
    return first, last


def _bound(view: ChainReader, block: BlockRef | None) -> Height:
    if block is None:
        return view.head.height
    if block.height is not None:
        return block.height
    height = resolve(view, block)
    return view.head.height if height is None else height


def _search(request: Request, wanted: FilterObject, first: Height, last: Height) -> list[Json]:
    settings = request.backend.settings
    if last - first >= settings.logs_range_max:
        raise invalid_params(f"block range exceeds {settings.logs_range_max} blocks")
    search = Search(settings.logs_max, request.check_time)
    return search.run(request.view, wanted, first, last)


@TABLE.method("eth_newFilter")
def new_filter(request: Request, wanted: FilterObject) -> str:
    """Begin to collect matching logs; returns the filter's id."""
    _check_size(request, wanted)
    if wanted.block_hash is not None:
        raise invalid_params("block hash filters cannot be polled; use eth_getLogs")
    if wanted.from_block and wanted.to_block:
        first, last = (_bound(request.view, each) for each in (wanted.from_block, wanted.to_block))
        if wanted.to_block.height is not None and first > last:
            raise invalid_params("invalid block range params")
    return request.backend.filters.add(LogFilter(wanted, request.view.head.height + 1))


@TABLE.method("eth_newBlockFilter")
def new_block_filter(request: Request) -> str:
    """Begin to collect block hashes; returns the filter's id."""
    return request.backend.filters.add(BlockFilter(request.view.head.height + 1))


@TABLE.method("eth_newPendingTransactionFilter")
def new_pending_filter(request: Request, full: bool = False) -> str:
    """Begin to collect pool transactions; returns the filter's id."""
    return request.backend.filters.add(PendingFilter(full))


@TABLE.method("eth_uninstallFilter")
def uninstall_filter(request: Request, name: Name) -> bool:
    """Forget a filter; false when there is none of that id."""
    return request.backend.filters.remove(name)


@TABLE.method("eth_getFilterChanges", lane=Lane.CALL)
def get_filter_changes(request: Request, name: Name) -> Sequence[str | Json]:
    """Return what is new since the last poll."""
    found = request.backend.filters.get(name)
    with found.lock:
        request.view = view = request.backend.api.view()
        if isinstance(found, PendingFilter):
            waiting = list(found.queue)
            found.queue.clear()
            return waiting
        first, last = found.next_height, view.head.height
        if isinstance(found, BlockFilter):
            last = Height(min(last, first + request.backend.settings.logs_range_max - 1))
            hashes = [view.block_hash(Height(height)) for height in range(first, last + 1)]
            found.next_height = max(first, last + 1)
            return [to_hex(each) for each in hashes if each is not None]
        logs = _log_changes(request, found, Height(last))
        found.next_height = max(first, last + 1)
        return logs


def _log_changes(request: Request, found: LogFilter, last: Height) -> list[Json]:
    first, wanted = found.next_height, found.wanted
    if wanted.from_block is not None and wanted.from_block.height is not None:
        first = max(first, wanted.from_block.height)
    if wanted.to_block is not None and wanted.to_block.height is not None:
        last = Height(min(last, wanted.to_block.height))
    return _search(request, wanted, Height(first), last) if first <= last else []


@TABLE.method("eth_getFilterLogs", lane=Lane.CALL)
def get_filter_logs(request: Request, name: Name) -> list[Json]:
    """Return all logs that a log filter matches, from its first block to its last."""
    found = request.backend.filters.get(name)
    if not isinstance(found, LogFilter):
        raise server_error("filter not found")
    view = request.view
    first = _bound(view, found.wanted.from_block)
    last = Height(min(_bound(view, found.wanted.to_block), view.head.height))
    return _search(request, found.wanted, first, last) if first <= last else []


def _session(request: Request) -> Session:
    if request.session is None:
        raise RpcError(METHOD_NOT_FOUND, "notifications not supported")
    return request.session


@TABLE.method("eth_subscribe")
async def subscribe(request: Request, kind: Name, options: Options | None = None) -> str:
    """Begin to send notices over this WebSocket; returns the subscription's id.

    Kinds: newHeads, logs, newPendingTransactions, transactionReceipts, syncing. The first two and
    the receipts take `fromBlock`: what a lost connection missed is sent first, nothing twice.
    """
    session = _session(request)
    wanted, first = parse_subscription(kind, options)
    if isinstance(wanted, Logs):
        _check_size(request, wanted.wanted)
    head = request.backend.api.view().head.height
    if first is not None:
        check_resumption(wanted, first, head)
    name = session.subscribe(wanted)
    try:
        if first is not None and first <= head:
            start = first
            found = await request.backend.lanes.run(
                Lane.CALL, lambda: missed(request, wanted, start, head), request
            )
            session.send_first(name, found)
        elif isinstance(wanted, Syncing):
            session.send_first(name, [sync_json(request.backend.api.syncing())])
    except RpcError:
        session.unsubscribe(name)
        raise
    return name


@TABLE.method("eth_unsubscribe")
def unsubscribe(request: Request, name: Name) -> bool:
    """End a subscription."""
    if not _session(request).unsubscribe(name):
        raise server_error("subscription not found")
    return True
