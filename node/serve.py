"""What this node answers to peers on the sync stream: certified blocks, and transactions of
proposals that it keeps."""

from __future__ import annotations

import trio

from node.ledger import Ledger
from node.wire import (
    GET_BLOCKS,
    GET_TRANSACTIONS,
    SYNC_BYTES_MAX,
    decode_get_blocks,
    decode_get_transactions,
    encode_certified,
)
from primitives.errors import InvalidMessage, Unavailable


class PeerService:
    """Answers from the ledger alone; every answer has a bound in bytes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def serve(self, _peer: str, kind: int, body: bytes) -> list[bytes]:
        """Return the items that answer a request; raises InvalidMessage or Unavailable."""
        if kind == GET_BLOCKS:
            return await trio.to_thread.run_sync(self._blocks, body)
        if kind == GET_TRANSACTIONS:
            return self._transactions(body)
        raise InvalidMessage(f"unknown kind {kind} of request")

    def _blocks(self, body: bytes) -> list[bytes]:
        first, count = decode_get_blocks(body)
        view = self._ledger.view
        answers: list[bytes] = []
        size = 0
        for height in range(max(first, 1), min(first + count, view.height + 1)):
            block, certificate = view.raw_block(height), view.certificate(height)
            if block is None or certificate is None:
                break
            size += len(block) + len(certificate)
            if answers and size > SYNC_BYTES_MAX:
                break
            answers.append(encode_certified(block, certificate))
        return answers

    def _transactions(self, body: bytes) -> list[bytes]:
        block_hash, indexes = decode_get_transactions(body)
        block = self._ledger.kept(block_hash)
        if block is None:
            raise Unavailable("this block is not kept here")
        transactions = block.transactions
        if any(index >= len(transactions) for index in indexes):
            raise InvalidMessage("the block has fewer transactions")
        return [transactions[index].raw for index in indexes]
