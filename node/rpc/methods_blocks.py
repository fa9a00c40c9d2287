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
    ommer_json,
    receipt_json,
    receipts_json,
    transaction_json,
)
from node.rpc.encoded import EncodedList, EncodedObject, kept
from node.rpc.lanes import Lane
from primitives.ethereum import PublicBlock
from primitives.types import Hash32, Height
from vm.chainrules import AnyBlock, ChainRules

TABLE = MethodTable()


RECEIPTS: Final = "receipts"
RECENT_BLOCKS: Final = 4
"""Blocks up to the head that are surely decoded already; older ones are read in a worker."""


def _is_cold(request: Request, height: Height | None) -> bool:
    return height is not None and request.view.head.height - height >= RECENT_BLOCKS


def _is_block_slow(request: Request, block: BlockRef, full: bool = False) -> bool:
    height = resolve(request.view, block)
    if _is_encoded(request, height, _kind(full=full)):
        return False
    return full or _is_cold(request, height)


def _is_hash_slow(request: Request, block: Hash32, full: bool = False) -> bool:
    return _is_block_slow(request, BlockRef(hash=block), full)


def _are_receipts_slow(request: Request, block: BlockRef) -> bool:
    return not _is_encoded(request, resolve(request.view, block), RECEIPTS)


def _kind(*, full: bool) -> str:
    return "full block" if full else "block"


def _is_encoded(request: Request, height: Height | None, kind: str) -> bool:
    block_hash = None if height is None else request.view.block_hash(height)
    return block_hash is not None and (kind, block_hash, 0) in request.backend.encoded


def _is_indexed_slow(request: Request, block: BlockRef, _index: int) -> bool:
    return _is_cold(request, resolve(request.view, block))


def _is_hash_indexed_slow(request: Request, block: Hash32, _index: int) -> bool:
    return _is_cold(request, request.view.height_of(block))


def _is_transaction_slow(request: Request, transaction: Hash32) -> bool:
    place = request.view.transaction_lookup(transaction)
    return place is not None and _is_cold(request, place[0])


def _block_at(view: ChainReader, block: BlockRef) -> AnyBlock | None:
    height = resolve(view, block)
    return None if height is None else view.block(height)


def _block_of(view: ChainReader, block_hash: Hash32) -> AnyBlock | None:
    return _block_at(view, BlockRef(hash=block_hash))


@TABLE.method("eth_blockNumber")
def block_number(request: Request) -> str:
    """Return the height of the head."""
    return hex(request.view.head.height)


@TABLE.method("eth_getBlockByNumber", lane=Lane.CALL, offload=_is_block_slow)
def get_block_by_number(
    request: Request, block: BlockRef, full: bool = False
) -> EncodedObject | None:
    """Return a block by tag or height; null when it does not exist yet."""
    return _encoded_block(request, resolve(request.view, block), full=full)


@TABLE.method("eth_getBlockByHash", lane=Lane.CALL, offload=_is_hash_slow)
def get_block_by_hash(request: Request, block: Hash32, full: bool = False) -> EncodedObject | None:
    """Return a block by hash; null when it is unknown."""
    return _encoded_block(request, request.view.height_of(block), full=full)


def _encoded_block(request: Request, height: Height | None, *, full: bool) -> EncodedObject | None:
    view = request.view
    block_hash = None if height is None else view.block_hash(height)
    if height is None or block_hash is None:
        return None

    def make() -> Json | None:
        block = view.block(height)
        return None if block is None else block_json(block, full=full)

    return kept(request.backend.encoded, (_kind(full=full), block_hash, 0), EncodedObject, make)


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


@TABLE.method("eth_getUncleCountByBlockNumber", lane=Lane.CALL, offload=_is_block_slow)
def uncle_count_by_number(request: Request, block: BlockRef) -> str | None:
    """Return how many ommers a block has; none but in imported proof-of-work blocks."""
    return _ommer_count(_block_at(request.view, block))


@TABLE.method("eth_getUncleCountByBlockHash", lane=Lane.CALL, offload=_is_hash_slow)
def uncle_count_by_hash(request: Request, block: Hash32) -> str | None:
    """Return how many ommers a block has; none but in imported proof-of-work blocks."""
    return _ommer_count(_block_of(request.view, block))


@TABLE.method("eth_getUncleByBlockNumberAndIndex", lane=Lane.CALL, offload=_is_indexed_slow)
def uncle_by_number(request: Request, block: BlockRef, index: Quantity) -> Json | None:
    """Return an ommer of a block, or null."""
    return _ommer(_block_at(request.view, block), index)


@TABLE.method("eth_getUncleByBlockHashAndIndex", lane=Lane.CALL, offload=_is_hash_indexed_slow)
def uncle_by_hash(request: Request, block: Hash32, index: Quantity) -> Json | None:
    """Return an ommer of a block, or null."""
    return _ommer(_block_of(request.view, block), index)


def _ommer_count(block: AnyBlock | None) -> str | None:
    if block is None:
        return None
    return hex(len(block.ommers) if isinstance(block, PublicBlock) else 0)


def _ommer(block: AnyBlock | None, index: int) -> Json | None:
    return ommer_json(block, index) if isinstance(block, PublicBlock) else None


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


def _transaction_in(block: AnyBlock | None, index: int) -> Json | None:
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
    return find_receipt(request.view, transaction, request.rules)


def find_receipt(view: ChainReader, transaction: Hash32, rules: ChainRules) -> Json | None:
    """Return the receipt as JSON, or None when the transaction is in no block of the view."""
    place = view.transaction_lookup(transaction)
    if place is None:
        return None
    height, index = place
    block, receipts = view.block(height), view.receipts(height)
    if block is None or receipts is None:
        return None
    return receipt_json(block, receipts, index, rules.blob_fee(block.header))


@TABLE.method("eth_getBlockReceipts", lane=Lane.CALL, offload=_are_receipts_slow)
def get_block_receipts(request: Request, block: BlockRef) -> EncodedList | None:
    """Return all receipts of a block, or null when it does not exist."""
    view, rules = request.view, request.rules
    height = resolve(view, block)
    block_hash = None if height is None else view.block_hash(height)
    if height is None or block_hash is None:
        return None

    def make() -> list[Json] | None:
        found, receipts = view.block(height), view.receipts(height)
        if found is None or receipts is None:
            return None
        return receipts_json(found, receipts, rules.blob_fee(found.header))

    return kept(request.backend.encoded, (RECEIPTS, block_hash, 0), EncodedList, make)
