"""ots_*: what the Otterscan explorer asks, API level 8, and erigon_getHeaderByNumber.

Source: Otterscan docs/custom-jsonrpc.md. The searches go through the heights at which an account
changed, which the state's history names, so they cost what they find; a call that changed nothing
of the account is not found. They reach as far back as the node keeps state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from node.rpc.arguments import BlockRef, Count
from node.rpc.backend import Request, resolve, state_at
from node.rpc.changes import created_at, heights_after, heights_before
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, block_json, header_json, receipts_json, to_hex
from node.rpc.errors import invalid_params
from node.rpc.lanes import Lane
from node.rpc.replay import block_at, place_of, traces_of
from primitives.ethereum import PublicBlock
from primitives.types import EMPTY_CODE_HASH, Address, Hash32, Height
from vm.chainrules import AnyBlock
from vm.mining import block_reward, rewards
from vm.trace.requests import CallTree

API_LEVEL: Final = 8
PAGE_MAX: Final = 100
_TRANSFER, _SELFDESTRUCT, _CREATE, _CREATE2 = range(4)
_KINDS: Final = {
    "CALL": _TRANSFER,
    "SELFDESTRUCT": _SELFDESTRUCT,
    "CREATE": _CREATE,
    "CREATE2": _CREATE2,
}

TABLE = MethodTable()


@TABLE.method("ots_getApiLevel")
def get_api_level(request: Request) -> int:
    """Return 8."""
    return API_LEVEL


@TABLE.method("erigon_getHeaderByNumber")
def erigon_header(request: Request, block: BlockRef) -> Json | None:
    """Return a header, or null; the same as eth_getHeaderByNumber."""
    return _header(request, block)


@TABLE.method("ots_getHeaderByNumber")
def get_header(request: Request, block: BlockRef) -> Json | None:
    """Return a header, or null."""
    return _header(request, block)


def _header(request: Request, block: BlockRef) -> Json | None:
    height = resolve(request.view, block)
    if height is None:
        return None
    header, block_hash = request.view.header(height), request.view.block_hash(height)
    return None if header is None or block_hash is None else header_json(header, block_hash)


@TABLE.method("ots_hasCode")
def has_code(request: Request, address: Address, block: BlockRef) -> bool:
    """Return whether an account has code after a block."""
    account = state_at(request.view, block).account(address)
    return account is not None and account.code_hash != EMPTY_CODE_HASH


@TABLE.method("ots_getBlockDetails", lane=Lane.CALL)
def get_block_details(request: Request, block: BlockRef) -> Json | None:
    """Return a block without its transactions, what it issued, and its fees; null if unknown."""
    height = resolve(request.view, block)
    return None if height is None else _details(request, height)


@TABLE.method("ots_getBlockDetailsByHash", lane=Lane.CALL)
def get_block_details_by_hash(request: Request, block: Hash32) -> Json | None:
    """Return a block without its transactions, what it issued, and its fees; null if unknown."""
    height = request.view.height_of(block)
    return None if height is None else _details(request, height)


def _details(request: Request, height: Height) -> Json:
    block = block_at(request.view, height)
    receipts = receipts_json(block, request.view.receipts(height) or ())
    shown = block_json(block, full=False)
    del shown["transactions"]
    shown |= {"logsBloom": None, "transactionCount": len(block.transactions)}
    fees = sum(int(each["gasUsed"], 16) * int(each["effectiveGasPrice"], 16) for each in receipts)
    return {"block": shown, "issuance": _issuance(request, block), "totalFees": hex(fees)}


def _issuance(request: Request, block: AnyBlock) -> Json:
    if not isinstance(block, PublicBlock) or block.header.difficulty == 0:
        return {"blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0"}
    fork = request.rules.rules(block.header).fork
    paid = [value for _, value in rewards(block, fork)]
    base = block_reward(fork) if block.header.height else 0
    total = sum(paid) if block.header.height else 0
    return {"blockReward": hex(base), "uncleReward": hex(total - base), "issuance": hex(total)}


@TABLE.method("ots_getBlockTransactions", lane=Lane.CALL)
def get_block_transactions(
    request: Request, block: BlockRef, page: Count, size: Count
) -> Json | None:
    """Return a page of a block's transactions with their receipts, the newest on page 0.

    Inputs are cut to 4 bytes, and logs and blooms are null, as Otterscan wants them.
    """
    height = resolve(request.view, block)
    if height is None:
        return None
    found = block_at(request.view, height)
    shown = block_json(found, full=True) | {"logsBloom": None}
    receipts = receipts_json(found, request.view.receipts(height) or ())
    count = len(found.transactions)
    end = max(count - page * size, 0)
    start = max(end - size, 0)
    shown["transactionCount"] = count
    shown["transactions"] = [
        each | {"input": each["input"][:10]} for each in shown["transactions"][start:end]
    ]
    cut = [each | {"logs": None, "logsBloom": None} for each in receipts[start:end]]
    return {"fullblock": shown, "receipts": cut}


@TABLE.method("ots_getInternalOperations", lane=Lane.CALL)
def get_internal_operations(request: Request, transaction: Hash32) -> list[Json]:
    """Return transfers of value, creations and destructions within a transaction."""
    found = []
    for frame, depth in _frames(_tree(request, transaction)):
        kind = _KINDS.get(frame["type"])
        value = frame.get("value", "0x0")
        if depth == 0 or kind is None or "error" in frame or (kind == _TRANSFER and value == "0x0"):
            continue
        row = {"type": kind, "from": frame["from"], "to": frame.get("to"), "value": value}
        found.append(row)
    return found


@TABLE.method("ots_traceTransaction", lane=Lane.CALL)
def trace_transaction(request: Request, transaction: Hash32) -> list[Json]:
    """Return the frames of a transaction as a list, each with its depth."""
    return [
        {
            "type": frame["type"],
            "depth": depth,
            "from": frame["from"],
            "to": frame.get("to"),
            "value": frame.get("value"),
            "input": frame.get("input", "0x"),
            "output": frame.get("output", "0x"),
        }
        for frame, depth in _frames(_tree(request, transaction))
    ]


@TABLE.method("ots_getTransactionError", lane=Lane.CALL)
def get_transaction_error(request: Request, transaction: Hash32) -> str:
    """Return the output of a transaction that reverted, "0x" for any other."""
    frame = _tree(request, transaction)
    return str(frame.get("output", "0x")) if "error" in frame else "0x"


@TABLE.method("ots_getTransactionBySenderAndNonce", lane=Lane.CALL)
def get_transaction_by_sender(request: Request, sender: Address, nonce: Count) -> str | None:
    """Return the hash of a sender's transaction with a nonce, or null."""
    return find_by_nonce(request, sender, nonce)


def find_by_nonce(request: Request, sender: Address, nonce: int) -> str | None:
    """Return the hash of the committed transaction of `sender` with `nonce`, or None."""
    for height in heights_before(request, sender, request.view.head.height):
        request.check_time()
        block = block_at(request.view, height)
        for tx in block.transactions:
            if tx.sender == sender and tx.nonce == nonce:
                return to_hex(tx.hash)
        if any(tx.sender == sender and tx.nonce < nonce for tx in block.transactions):
            return None
    return None


@TABLE.method("ots_getContractCreator", lane=Lane.CALL)
def get_contract_creator(request: Request, address: Address) -> Json | None:
    """Return the transaction and the account that created a contract; null if unknown."""
    account = request.view.state.account(address)
    if account is None or account.code_hash == EMPTY_CODE_HASH:
        return None
    height = created_at(request, address)
    if height is None or height == 0:
        return None
    block = block_at(request.view, height)
    wanted = to_hex(address)
    traces = traces_of(request, block, CallTree())
    for tx, tree in zip(block.transactions, traces, strict=True):
        for frame, _ in _frames(tree):
            made = frame["type"] in ("CREATE", "CREATE2") and frame.get("to") == wanted
            if made and "error" not in frame:
                return {"hash": to_hex(tx.hash), "creator": frame["from"]}
    return None


@TABLE.method("ots_searchTransactionsBefore", lane=Lane.CALL)
def search_before(request: Request, address: Address, height: Count, size: Count) -> Json:
    """Return transactions that touched an account below a height (0: the newest), newest first.

    Whole blocks are given, so a page may hold more than `size`.
    """
    head = request.view.head.height
    start = head if height == 0 else min(height - 1, head)
    found = _search(request, address, heights_before(request, address, Height(start)), size)
    return _page(found, is_first=height == 0 or height > head, is_last=found.is_all)


@TABLE.method("ots_searchTransactionsAfter", lane=Lane.CALL)
def search_after(request: Request, address: Address, height: Count, size: Count) -> Json:
    """Return transactions that touched an account above a height (0: the oldest), newest first.

    Whole blocks are given, so a page may hold more than `size`.
    """
    heights = heights_after(request, address, Height(height + 1))
    found = _search(request, address, heights, size)
    found.rows.reverse()
    return _page(found, is_first=found.is_all, is_last=height == 0)


class _Found:
    def __init__(self) -> None:
        self.rows: list[list[tuple[Json, Json]]] = []
        self.is_all = True


def _search(request: Request, address: Address, heights: Iterator[Height], size: int) -> _Found:
    if not 0 < size <= PAGE_MAX:
        raise invalid_params(f"invalid argument 2: want a page of 1 to {PAGE_MAX} transactions")
    found, count = _Found(), 0
    for height in heights:
        request.check_time()
        if count >= size:
            found.is_all = False
            break
        rows = _touching(request, address, height)
        if rows:
            found.rows.append(rows)
            count += len(rows)
    return found


def _touching(request: Request, address: Address, height: Height) -> list[tuple[Json, Json]]:
    """Return the transactions of a block in whose frames the account is, newest first."""
    block = block_at(request.view, height)
    if height == 0 or not block.transactions:
        return []
    shown = block_json(block, full=True)["transactions"]
    receipts = receipts_json(block, request.view.receipts(height) or ())
    wanted = to_hex(address)
    traces = traces_of(request, block, CallTree())
    rows = []
    for index, tree in enumerate(traces):
        if any(wanted in (frame["from"], frame.get("to")) for frame, _ in _frames(tree)):
            receipt = receipts[index] | {"timestamp": block.header.timestamp}
            rows.append((shown[index], receipt))
    return rows[::-1]


def _page(found: _Found, *, is_first: bool, is_last: bool) -> Json:
    rows = [row for rows in found.rows for row in rows]
    return {
        "txs": [tx for tx, _ in rows],
        "receipts": [receipt for _, receipt in rows],
        "firstPage": is_first,
        "lastPage": is_last,
    }


def _tree(request: Request, transaction: Hash32) -> Json:
    height, index = place_of(request, transaction)
    (tree,) = traces_of(request, block_at(request.view, height), CallTree(), index=index)
    return tree if isinstance(tree, dict) else {}


def _frames(tree: Any) -> Iterator[tuple[Json, int]]:
    """Yield the frames of a call tree with their depths, parents before children."""
    waiting = [(tree, 0)]
    while waiting:
        frame, depth = waiting.pop()
        yield frame, depth
        waiting += [(each, depth + 1) for each in reversed(frame.get("calls", ()))]
