"""What a WebSocket client can subscribe to, and how it goes on after a lost connection.

A subscription that names `fromBlock` first gets what it missed: the blocks from there to the
head, then every later one, none twice and none left out. The blocks are final, so nothing that
was sent is ever taken back. More than RESUME_BLOCKS_MAX blocks, or RESUME_NOTICES_MAX notices, are
refused: eth_getLogs and eth_getBlockByNumber catch up from further away.

    newHeads             {"fromBlock": "0x5"}                        each header
    logs                 {"fromBlock", "address", "topics"}          each matching log
    newPendingTransactions  true for whole transactions             each transaction of the pool
    transactionReceipts  {"transactionHashes": [...], "fromBlock"}  a list of receipts per block
    syncing                                                          each change of a catch-up
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from node.rpc.api import SyncStatus
from node.rpc.arguments import BadArgument, FilterObject, parse_filter, parse_hash, parse_quantity
from node.rpc.backend import Request
from node.rpc.encode import Json, header_json, receipts_json
from node.rpc.errors import LIMIT_EXCEEDED, METHOD_NOT_FOUND, RpcError, invalid_params
from node.rpc.hub import BlockEvent
from node.rpc.logs import block_logs, is_match
from primitives.types import Height

RESUME_BLOCKS_MAX: Final = 1_024
RESUME_NOTICES_MAX: Final = 10_000
RECEIPT_HASHES_MAX: Final = 200
"""Transactions of one transactionReceipts subscription, as in go-ethereum."""


@dataclass(slots=True)
class Heads:
    """Each new header above `after`."""

    after: int = -1


@dataclass(slots=True)
class Logs:
    """Each new log that matches, of blocks above `after`."""

    wanted: FilterObject = field(default_factory=FilterObject)
    after: int = -1


@dataclass(slots=True)
class Receipts:
    """The receipts of each new block above `after`; without `hashes` all of them."""

    hashes: frozenset[str] = frozenset()
    after: int = -1


@dataclass(frozen=True, slots=True)
class Pending:
    """Each new transaction of the pool, whole or its hash."""

    full: bool


@dataclass(frozen=True, slots=True)
class Syncing:
    """The present state of a catch-up, then each change."""


Subscription: TypeAlias = Heads | Logs | Receipts | Pending | Syncing
_OfBlocks: TypeAlias = Heads | Logs | Receipts


def parse_subscription(kind: str, options: object) -> tuple[Subscription, int | None]:
    """Return what is wanted, and the height to begin with or None; raises RpcError."""
    try:
        return _parse(kind, options)
    except BadArgument as error:
        raise invalid_params(f"invalid argument 1: {error}") from None


def _parse(kind: str, options: object) -> tuple[Subscription, int | None]:
    match kind:
        case "newHeads":
            return Heads(), _first(_object(options))
        case "logs":
            given = _object(options)
            plain = {name: each for name, each in given.items() if name != "fromBlock"}
            return Logs(parse_filter(plain)), _first(given)
        case "transactionReceipts":
            given = _object(options)
            return Receipts(_hashes(given.get("transactionHashes"))), _first(given)
        case "newPendingTransactions":
            if not isinstance(options, bool | None):
                raise BadArgument("cannot unmarshal non-boolean into bool")
            return Pending(bool(options)), None
        case "syncing":
            return Syncing(), None
        case _:
            raise RpcError(METHOD_NOT_FOUND, f'no "{kind[:64]}" subscription in eth namespace')


def _object(options: object) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadArgument("cannot unmarshal value into subscription options")
    return options


def _first(given: dict[str, Any]) -> int | None:
    value = given.get("fromBlock")
    return None if value in (None, "latest", "pending") else parse_quantity(value, 63)


def _hashes(value: object) -> frozenset[str]:
    if value is None:
        return frozenset()
    if not isinstance(value, list) or len(value) > RECEIPT_HASHES_MAX:
        raise BadArgument(f"want a list of at most {RECEIPT_HASHES_MAX} transaction hashes")
    return frozenset("0x" + parse_hash(each).hex() for each in value)


def notices(wanted: Subscription, event: BlockEvent) -> Iterator[object]:
    """Yield what a committed block means for a subscription."""
    if not isinstance(wanted, Heads | Logs | Receipts):
        return
    if event.block.header.height <= wanted.after:
        return
    if isinstance(wanted, Heads):
        yield event.header
    elif isinstance(wanted, Logs):
        for log, shown in event.shown_logs:
            if is_match(wanted.wanted, log):
                yield shown
    elif not wanted.hashes:
        if event.all_receipts:
            yield event.shown_receipts
    else:
        yield from _batch(wanted, event.all_receipts)


def _batch(wanted: Receipts, found: list[Json]) -> Iterator[object]:
    chosen = [
        each for each in found if not wanted.hashes or each["transactionHash"] in wanted.hashes
    ]
    if chosen:
        yield chosen


def check_resumption(wanted: Subscription, first: int, head: int) -> None:
    """Note that `wanted` goes on above `head`; raises RpcError when `first` is too far back."""
    if not isinstance(wanted, Heads | Logs | Receipts):
        return
    if head - first >= RESUME_BLOCKS_MAX:
        raise RpcError(
            LIMIT_EXCEEDED,
            f"{head - first + 1} blocks were missed, at most {RESUME_BLOCKS_MAX} are sent again: "
            "catch up by eth_getLogs or eth_getBlockByNumber first",
        )
    wanted.after = max(head, first - 1)


def missed(request: Request, wanted: Subscription, first: int, head: int) -> list[object]:
    """Return the notices of the blocks from `first` to `head`; raises RpcError. In a worker."""
    found: list[object] = []
    if not isinstance(wanted, Heads | Logs | Receipts):
        return found
    for height in range(first, head + 1):
        request.check_time()
        found += _at(request, wanted, Height(height))
        if len(found) > RESUME_NOTICES_MAX:
            raise RpcError(
                LIMIT_EXCEEDED, f"more than {RESUME_NOTICES_MAX} notices were missed; ask for less"
            )
    return found


def _at(request: Request, wanted: _OfBlocks, height: Height) -> Iterator[object]:
    view = request.backend.api.view()
    if isinstance(wanted, Logs):
        yield from block_logs(view, wanted.wanted, height)
        return
    header, block_hash = view.header(height), view.block_hash(height)
    if header is None or block_hash is None:
        return
    if isinstance(wanted, Heads):
        yield header_json(header, block_hash)
        return
    block, receipts = view.block(height), view.receipts(height)
    if block is not None and receipts is not None:
        yield from _batch(wanted, receipts_json(block, receipts, request.rules.blob_fee(header)))


def sync_json(status: SyncStatus | None) -> object:
    """Return the state of a catch-up as the syncing subscription shows it."""
    if status is None:
        return False
    return {
        "syncing": True,
        "status": {
            "startingBlock": hex(status.starting),
            "currentBlock": hex(status.current),
            "highestBlock": hex(status.highest),
        },
    }
