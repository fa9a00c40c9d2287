"""Methods that read committed blocks, transactions and receipts, at any height."""

from __future__ import annotations

from typing import Final

from node.rpc.api import ChainReader
from node.rpc.arguments import BlockRef, Quantity
from node.rpc.backend import Request, resolve
from node.rpc.dispatch import MethodTable
from node.rpc.encode import (
    Json,
    Place,
    block_json,
    header_json,
    receipt_json,
    receipts_json,
    transaction_json,
)
from node.rpc.lanes import Lane
from primitives.block import Block
from primitives.types import Hash32, Height

TABLE = MethodTable()


RECENT_BLOCKS: Final = 4
"""Blocks up to the head that are surely decoded already; older ones are read in a worker."""


def _is_cold(request: Request, height: Height | None) -> bool:
    return height is not None and request.view.head.height - height >= RECENT_BLOCKS


def _is_block_slow(request: Request, block: BlockRef, full: bool = False) -> bool:
    return full or _is_cold(request, resolve(request.view, block))


def _is_hash_slow(request: Request, block: Hash32, full: bool = False) -> bool:
    return full or _is_cold(request, request.view.height_of(block))


def _is_indexed_slow(request: Request, block: BlockRef, _index: int) -> bool:
    return _is_cold(request, resolve(request.view, block))


def _is_hash_indexed_slow(request: Request, block: Hash32, _index: int) -> bool:
    return _is_cold(request, request.view.height_of(block))


def _is_transaction_slow(request: Request, transaction: Hash32) -> bool:
    place = request.view.transaction_lookup(transaction)
    return place is not None and _is_cold(request, place[0])


def _block_at(view: ChainReader, block: BlockRef) -> Block | None:
    height = resolve(view, block)
    return None if height is None else view.block(height)


def _block_of(view: ChainReader, block_hash: Hash32) -> Block | None:
    return _block_at(view, BlockRef(hash=block_hash))


@TABLE.method("eth_blockNumber")
def block_number(request: Request) -> str:
    """Return the height of the head."""
    return hex(request.view.head.height)


@TABLE.method("eth_getBlockByNumber", lane=Lane.CALL, offload=_is_block_slow)
def get_block_by_number(request: Request, block: BlockRef, full: bool = False) -> Json | None:
    """Return a block by tag or height; null when it does not exist yet."""
    found = _block_at(request.view, block)
    return None if found is None else block_json(found, full=full)


@TABLE.method("eth_getBlockByHash", lane=Lane.CALL, offload=_is_hash_slow)
def get_block_by_hash(request: Request, block: Hash32, full: bool = False) -> Json | None:
    """Return a block by hash; null when it is unknown."""
    found = _block_of(request.view, block)
    return None if found is None else block_json(found, full=full)


@TABLE.method("eth_getHeaderByNumber")
def get_header_by_number(request: Request, block: BlockRef) -> Json | None:
    """Return a header by tag or height."""
    return _header(request.view, resolve(request.view, block))


@TABLE.method("eth_getHeaderByHash")
def get_header_by_hash(request: Request, block: Hash32) -> Json | None:
    """Return a header by hash."""
    return _header(request.view, request.view.height_of(block))


def _header(view: ChainReader, height: Height | None) -> Json | None:
    if height is None:
        return None
    header, block_hash = view.header(height), view.block_hash(height)
    return None if header is None or block_hash is None else header_json(header, block_hash)


@TABLE.method("eth_getBlockTransactionCountByNumber", lane=Lane.CALL, offload=_is_block_slow)
def transaction_count_by_number(request: Request, block: BlockRef) -> str | None:
    """Return how many transactions a block holds."""
    found = _block_at(request.view, block)
    return None if found is None else hex(len(found.transactions))


@TABLE.method("eth_getBlockTransactionCountByHash", lane=Lane.CALL, offload=_is_hash_slow)
def transaction_count_by_hash(request: Request, block: Hash32) -> str | None:
    """Return how many transactions a block holds."""
    found = _block_of(request.view, block)
    return None if found is None else hex(len(found.transactions))


@TABLE.method("eth_getUncleCountByBlockNumber")
def uncle_count_by_number(request: Request, block: BlockRef) -> str | None:
    """Return 0: this chain has no uncles."""
    return None if resolve(request.view, block) is None else "0x0"


@TABLE.method("eth_getUncleCountByBlockHash")
def uncle_count_by_hash(request: Request, block: Hash32) -> str | None:
    """Return 0: this chain has no uncles."""
    return None if request.view.height_of(block) is None else "0x0"


@TABLE.method("eth_getUncleByBlockNumberAndIndex")
def uncle_by_number(request: Request, block: BlockRef, index: Quantity) -> None:
    """Return null: this chain has no uncles."""


@TABLE.method("eth_getUncleByBlockHashAndIndex")
def uncle_by_hash(request: Request, block: Hash32, index: Quantity) -> None:
    """Return null: this chain has no uncles."""


@TABLE.method("eth_getTransactionByHash", lane=Lane.CALL, offload=_is_transaction_slow)
def get_transaction(request: Request, transaction: Hash32) -> Json | None:
    """Return a committed or waiting transaction, or null."""
    place = request.view.transaction_lookup(transaction)
    if place is None:
        waiting = request.backend.api.pool().get(transaction)
        if waiting is not None:
            return transaction_json(waiting)
        # It may have left the pool for a block that is newer than this request's view.
        request.view = request.backend.api.view()
        place = request.view.transaction_lookup(transaction)
    if place is None:
        return None
    height, index = place
    return _transaction_in(request.view.block(height), index)


def _transaction_in(block: Block | None, index: int) -> Json | None:
    if block is None or index >= len(block.transactions):
        return None
    place = Place.of(block.header, block.hash)
    return transaction_json(block.transactions[index], place, index)


@TABLE.method("eth_getTransactionByBlockNumberAndIndex", lane=Lane.CALL, offload=_is_indexed_slow)
def get_transaction_by_number(request: Request, block: BlockRef, index: Quantity) -> Json | None:
    """Return the transaction at an index of a block, or null."""
    return _transaction_in(_block_at(request.view, block), index)


@TABLE.method(
    "eth_getTransactionByBlockHashAndIndex", lane=Lane.CALL, offload=_is_hash_indexed_slow
)
def get_transaction_by_block_hash(request: Request, block: Hash32, index: Quantity) -> Json | None:
    """Return the transaction at an index of a block, or null."""
    return _transaction_in(_block_of(request.view, block), index)


@TABLE.method("eth_getTransactionReceipt", lane=Lane.CALL, offload=_is_transaction_slow)
def get_receipt(request: Request, transaction: Hash32) -> Json | None:
    """Return the receipt of a committed transaction; null while it waits. It never changes."""
    return find_receipt(request.view, transaction)


def find_receipt(view: ChainReader, transaction: Hash32) -> Json | None:
    """Return the receipt as JSON, or None when the transaction is in no block of the view."""
    place = view.transaction_lookup(transaction)
    if place is None:
        return None
    height, index = place
    block, receipts = view.block(height), view.receipts(height)
    return None if block is None or receipts is None else receipt_json(block, receipts, index)


@TABLE.method("eth_getBlockReceipts", lane=Lane.CALL)
def get_block_receipts(request: Request, block: BlockRef) -> list[Json] | None:
    """Return all receipts of a block, or null when it does not exist."""
    height = resolve(request.view, block)
    if height is None:
        return None
    found, receipts = request.view.block(height), request.view.receipts(height)
    return None if found is None or receipts is None else receipts_json(found, receipts)
