"""What this node answers to peers on the sync stream: certified blocks, transactions of proposals
that it keeps, and the state of the heights that it keeps, for new nodes."""

from __future__ import annotations

import trio

from node.ledger import Ledger
from node.snapshot import Place, encode_point, encode_rows, read_chunk, root_node
from node.snapshot_files import read_point, read_step, state_reader
from node.wire import (
    GET_BLOCKS,
    GET_CODES,
    GET_POINT,
    GET_STATE,
    GET_STEP,
    GET_TRANSACTIONS,
    SYNC_BYTES_MAX,
    decode_get_blocks,
    decode_get_codes,
    decode_get_height,
    decode_get_state,
    decode_get_transactions,
    encode_certified,
)
from primitives.errors import InvalidMessage, Unavailable
from primitives.keyvalue import Column


class PeerService:
    """Answers from the ledger alone; every answer has a bound in bytes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._slow = {
            GET_POINT: self._point,
            GET_STEP: self._step,
            GET_STATE: self._state,
            GET_CODES: self._codes,
        }

    async def serve(self, _peer: str, kind: int, body: bytes) -> list[bytes]:
        """Return the items that answer a request; raises InvalidMessage or Unavailable."""
        if kind == GET_BLOCKS:
            return await trio.to_thread.run_sync(self._blocks, body)
        if kind == GET_TRANSACTIONS:
            return self._transactions(body)
        if kind in self._slow:
            return await trio.to_thread.run_sync(self._slow[kind], body)
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

    def _point(self, body: bytes) -> list[bytes]:
        view, height = self._ledger.view, decode_get_height(body)
        if not 0 < height <= view.height:
            raise Unavailable("there is no such block here")
        state = state_reader(view, height)
        return [encode_point(read_point(view, height)), root_node(state)]

    def _step(self, body: bytes) -> list[bytes]:
        view, height = self._ledger.view, decode_get_height(body)
        if not 0 < height <= view.height:
            raise Unavailable("there is no such block here")
        return [read_step(view, height)]

    def _state(self, body: bytes) -> list[bytes]:
        height, unit, account, slot = decode_get_state(body)
        if height > self._ledger.view.height:
            raise Unavailable("there is no such block here")
        state = state_reader(self._ledger.view, height)
        rows, after = read_chunk(state, unit, Place(account, slot))
        return [encode_rows(rows), b"" if after is None else b"\x01"]

    def _codes(self, body: bytes) -> list[bytes]:
        store = self._ledger.view.store
        codes: list[bytes] = []
        for code_hash in decode_get_codes(body):
            code = store.get(Column.CODE, code_hash)
            if code is None:
                break
            codes.append(code)
        return codes

    def _transactions(self, body: bytes) -> list[bytes]:
        block_hash, indexes = decode_get_transactions(body)
        block = self._ledger.kept(block_hash)
        if block is None:
            raise Unavailable("this block is not kept here")
        transactions = block.transactions
        if any(index >= len(transactions) for index in indexes):
            raise InvalidMessage("the block has fewer transactions")
        return [transactions[index].raw for index in indexes]
