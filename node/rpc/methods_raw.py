"""Blocks, receipts and transactions as they are encoded.

Source: execution-apis debug_getRaw*, debug_getBadBlocks; go-ethereum for eth_getRawTransaction*.
"""

from __future__ import annotations

from node.rpc.arguments import BlockRef, Quantity
from node.rpc.backend import Request, height_at, resolve
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import NOT_FOUND, RpcError
from node.rpc.lanes import Lane
from primitives.block import Header, encode_header
from primitives.ethereum import encode_public_header
from primitives.receipt import encode_receipt
from primitives.transaction import Transaction
from primitives.types import Hash32, Height
from vm.chainrules import AnyHeader

TABLE = MethodTable()


@TABLE.method("debug_getRawHeader")
def get_raw_header(request: Request, block: BlockRef) -> str:
    """Return the RLP of a header."""
    header = request.view.header(height_at(request.view, block))
    return "0x" if header is None else to_hex(_encoded(header))


def _encoded(header: AnyHeader) -> bytes:
    return encode_header(header) if isinstance(header, Header) else encode_public_header(header)


@TABLE.method("debug_getRawBlock", lane=Lane.CALL)
def get_raw_block(request: Request, block: BlockRef) -> str:
    """Return the RLP of a block."""
    return to_hex(request.view.raw_block(height_at(request.view, block)) or b"")


@TABLE.method("debug_getRawReceipts", lane=Lane.CALL)
def get_raw_receipts(request: Request, block: BlockRef) -> list[str]:
    """Return the EIP-2718 encodings of a block's receipts."""
    receipts = request.view.receipts(height_at(request.view, block)) or ()
    return [to_hex(encode_receipt(each)) for each in receipts]


@TABLE.method("debug_getRawTransaction", lane=Lane.CALL)
def get_raw_transaction(request: Request, transaction: Hash32) -> str:
    """Return the EIP-2718 encoding of a committed or waiting transaction, "0x" for an unknown."""
    return _raw(request, transaction)


@TABLE.method("eth_getRawTransactionByHash", lane=Lane.CALL)
def raw_by_hash(request: Request, transaction: Hash32) -> str:
    """Return the EIP-2718 encoding of a committed or waiting transaction, "0x" for an unknown."""
    return _raw(request, transaction)


@TABLE.method("eth_getRawTransactionByBlockNumberAndIndex", lane=Lane.CALL)
def raw_by_number(request: Request, block: BlockRef, index: Quantity) -> str:
    """Return the EIP-2718 encoding of the transaction at an index of a block, or "0x"."""
    return _raw_at(request, resolve(request.view, block), index)


@TABLE.method("eth_getRawTransactionByBlockHashAndIndex", lane=Lane.CALL)
def raw_by_block_hash(request: Request, block: Hash32, index: Quantity) -> str:
    """Return the EIP-2718 encoding of the transaction at an index of a block, or "0x"."""
    return _raw_at(request, request.view.height_of(block), index)


@TABLE.method("debug_getBadBlocks")
def get_bad_blocks(request: Request) -> list[Json]:
    """Return nothing: a block that was refused is in no chain, and is not kept."""
    return []


def _raw_at(request: Request, height: Height | None, index: int) -> str:
    block = None if height is None else request.view.block(height)
    if block is None or index >= len(block.transactions):
        return "0x"
    return to_hex(block.transactions[index].raw)


def _raw(request: Request, transaction: Hash32) -> str:
    found = _find(request, transaction)
    return "0x" if found is None else to_hex(found.raw)


def _find(request: Request, transaction: Hash32) -> Transaction | None:
    place = request.view.transaction_lookup(transaction)
    if place is None:
        return request.backend.api.pool().get(transaction)
    block = request.view.block(place[0])
    return None if block is None else block.transactions[place[1]]


@TABLE.method("eth_getBlockAccessList")
def get_block_access_list(request: Request, block: BlockRef) -> None:
    """Return null: no block carries an access list before EIP-7928, which no chain here follows."""


@TABLE.method("debug_getRawBlockAccessList")
def get_raw_block_access_list(request: Request, block: BlockRef) -> str:
    """Refuse: no block carries an access list before EIP-7928, which no chain here follows."""
    raise RpcError(NOT_FOUND, "Resource not found")
