"""Methods that send transactions, and that show the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

from node.rpc.arguments import Count, Data
from node.rpc.backend import Request
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, checksum_address, pool_json, to_hex, transaction_json
from node.rpc.errors import SYNC_TIMEOUT, RpcError, invalid_params
from node.rpc.lanes import Lane
from node.rpc.methods_blocks import find_receipt
from primitives.crypto.keccak import keccak
from primitives.transaction import Transaction
from primitives.types import Address

TABLE = MethodTable()
TIMES = "\u00d7"


def _send_many(request: Request, calls: list[list[object]]) -> list[object]:
    outcomes = request.backend.api.submit_many([cast("bytes", call[0]) for call in calls])
    return [to_hex(each) if isinstance(each, bytes) else each for each in outcomes]


@TABLE.method("eth_sendRawTransaction", lane=Lane.SUBMIT, many=_send_many)
def send_raw_transaction(request: Request, raw: Data) -> str:
    """Take a signed transaction into the pool and return its hash."""
    return to_hex(request.backend.api.submit(raw))


@TABLE.method("eth_sendRawTransactionSync", lane=Lane.SUBMIT)
async def send_raw_transaction_sync(
    request: Request, raw: Data, timeout_ms: Count | None = None
) -> Json:
    """Send a transaction and return its final receipt. Source: EIP-7966.

    Error 4, with the hash as data, says that it waits in the pool but is in no block in time.
    """
    settings = request.backend.settings
    wait_ms = settings.sync_timeout_ms if timeout_ms is None else timeout_ms
    if wait_ms > settings.sync_timeout_max_ms:
        raise invalid_params(f"timeout above {settings.sync_timeout_max_ms} ms")
    transaction_hash = keccak(raw)
    hub, api = request.backend.hub, request.backend.api
    receipt = hub.expect(transaction_hash)
    try:
        await request.backend.lanes.run(Lane.SUBMIT, lambda: api.submit(raw), request)
        committed = find_receipt(api.view(), transaction_hash, request.rules)
        if committed is not None:
            return committed
        async with asyncio.timeout(wait_ms / 1_000):
            return await receipt
    except TimeoutError:
        raise RpcError(
            SYNC_TIMEOUT,
            "The transaction was added to the transaction pool but wasn't processed "
            f"within {wait_ms} ms",
            to_hex(transaction_hash),
        ) from None
    finally:
        hub.forget(transaction_hash, receipt)


@TABLE.method("txpool_status")
def pool_status(request: Request) -> Json:
    """Return how many transactions wait."""
    stats = request.backend.api.pool().stats()
    return {"pending": hex(stats.pending), "queued": hex(stats.queued)}


@TABLE.method("txpool_content", lane=Lane.CALL)
def pool_content(request: Request) -> Json:
    """Return the waiting transactions by sender and nonce."""
    return pool_json(request.backend.api.pool().content())


@TABLE.method("txpool_contentFrom", lane=Lane.CALL)
def pool_content_from(request: Request, address: Address) -> Json:
    """Return the waiting transactions of one sender by nonce."""
    content = request.backend.api.pool().content()

    def of(senders: Mapping[Address, Sequence[Transaction]]) -> Json:
        return {str(each.nonce): transaction_json(each) for each in senders.get(address, ())}

    return {"pending": of(content.pending), "queued": of(content.queued)}


@TABLE.method("txpool_inspect", lane=Lane.CALL)
def pool_inspect(request: Request) -> Json:
    """Return a line of words on each waiting transaction, by sender and nonce."""
    content = request.backend.api.pool().content()

    def shown(senders: Mapping[Address, Sequence[Transaction]]) -> Json:
        return {
            checksum_address(sender): {str(each.nonce): _words(each) for each in waiting}
            for sender, waiting in senders.items()
        }

    return {"pending": shown(content.pending), "queued": shown(content.queued)}


def _words(transaction: Transaction) -> str:
    to = "contract creation" if transaction.to is None else checksum_address(transaction.to)
    gas, price = transaction.gas, transaction.max_fee_per_gas
    return f"{to}: {transaction.value} wei + {gas} gas {TIMES} {price} wei"


@TABLE.method("eth_pendingTransactions", lane=Lane.CALL)
def pending_transactions(request: Request) -> list[Json]:
    """Return nothing: those of the node's own accounts, of which it has none."""
    return []
