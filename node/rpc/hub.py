"""Live events: commits and new pool transactions, from the node's thread into the server's loop.

A listener sees every commit after it joined, once and in order of height, because the node calls
back in order and the loop keeps that order. What most listeners get alike is encoded once, however
many they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Protocol

from node.rpc.api import NodeApi, SyncStatus, Unsubscribe
from node.rpc.encode import (
    Json,
    Place,
    header_json,
    receipt_json,
    receipts_json,
    to_hex,
    transaction_json,
)
from node.rpc.encoded import Encoded, encoded
from node.rpc.logs import LogEntry, entries_of
from primitives.receipt import Log
from primitives.transaction import Transaction
from primitives.types import Hash32
from vm.blocks import Executed

SYNC_POLL_S: Final = 1.0
"""How often the hub looks whether a catch-up began or ended."""


class BlockEvent:
    """One committed block as listeners need it."""

    def __init__(self, executed: Executed) -> None:
        self.block = executed.block
        self.receipts = executed.receipts

    @cached_property
    def header(self) -> Encoded:
        """The header as newHeads shows it."""
        return encoded(header_json(self.block.header, self.block.hash))

    @cached_property
    def logs(self) -> list[LogEntry]:
        """All logs with their JSON."""
        place = Place.of(self.block.header, self.block.hash)
        return entries_of(self.block.transactions, self.receipts, place)

    @cached_property
    def shown_logs(self) -> list[tuple[Log, Encoded]]:
        """All logs, each with its JSON as bytes."""
        return [(each.log, encoded(each.json)) for each in self.logs]

    @cached_property
    def all_receipts(self) -> list[Json]:
        """The receipts of the block."""
        return receipts_json(self.block, self.receipts)

    @cached_property
    def shown_receipts(self) -> Encoded:
        """The receipts of the block as one notice."""
        return encoded(self.all_receipts)


class PendingEvent:
    """Transactions that just entered the pool."""

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self.transactions = tuple(transactions)

    @cached_property
    def hashes(self) -> list[str]:
        """Their hashes as hex."""
        return [to_hex(each.hash) for each in self.transactions]

    @cached_property
    def whole(self) -> list[Json]:
        """The whole transactions as JSON."""
        return [transaction_json(each) for each in self.transactions]

    @cached_property
    def shown(self) -> list[Encoded]:
        """The same as bytes."""
        return [encoded(each) for each in self.whole]


class SyncEvent:
    """A catch-up began, ended or moved."""

    def __init__(self, status: SyncStatus | None) -> None:
        self.status = status


class Listener(Protocol):
    """Gets events in the server's loop; must not block."""

    def committed(self, event: BlockEvent) -> None:
        """Take a committed block."""
        ...

    def pending(self, event: PendingEvent) -> None:
        """Take new pool transactions."""
        ...

    def syncing(self, event: SyncEvent) -> None:
        """Take a change of the catch-up."""
        ...


class Hub:
    """Fans events out; every method runs in the server's loop."""

    def __init__(self, api: NodeApi) -> None:
        self._api = api
        self._listeners: dict[Listener, None] = {}
        self._waiters: dict[Hash32, list[asyncio.Future[Json]]] = {}
        self._leave: list[Unsubscribe] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sync: SyncStatus | None = None
        self._watch: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to receive events, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._leave = [
            self._api.subscribe(lambda executed: self._post(BlockEvent(executed))),
            self._api.subscribe_pending(lambda new: self._post(PendingEvent(new))),
        ]
        self._sync = self._api.syncing()
        self._watch = self._loop.call_later(SYNC_POLL_S, self._look_at_sync)

    def close(self) -> None:
        """Stop receiving events."""
        for leave in self._leave:
            leave()
        self._leave = []
        self._loop = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_at_sync(self) -> None:
        status = self._api.syncing()
        if (status is None) != (self._sync is None):
            for listener in list(self._listeners):
                listener.syncing(SyncEvent(status))
        self._sync = status
        if self._loop is not None:
            self._watch = self._loop.call_later(SYNC_POLL_S, self._look_at_sync)

    def _post(self, event: BlockEvent | PendingEvent) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
                loop.call_soon_threadsafe(self._deliver, event)

    def _deliver(self, event: BlockEvent | PendingEvent) -> None:
        if isinstance(event, BlockEvent):
            self._wake(event)
            for listener in list(self._listeners):
                listener.committed(event)
        else:
            for listener in list(self._listeners):
                listener.pending(event)

    def join(self, listener: Listener) -> None:
        """Deliver later events to `listener`."""
        self._listeners[listener] = None

    def part(self, listener: Listener) -> None:
        """Deliver nothing more to `listener`."""
        self._listeners.pop(listener, None)

    def expect(self, transaction_hash: Hash32) -> asyncio.Future[Json]:
        """Return a future of the transaction's receipt; give it back to `forget`."""
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(transaction_hash, []).append(future)
        return future

    def forget(self, transaction_hash: Hash32, future: asyncio.Future[Json]) -> None:
        """Drop a future that `expect` returned."""
        waiters = self._waiters.get(transaction_hash, [])
        if future in waiters:
            waiters.remove(future)
        if not waiters:
            self._waiters.pop(transaction_hash, None)

    @property
    def awaited(self) -> int:
        """How many transactions have somebody waiting for their receipt."""
        return len(self._waiters)

    def _wake(self, event: BlockEvent) -> None:
        if not self._waiters:
            return
        for index, transaction in enumerate(event.block.transactions):
            for future in self._waiters.get(transaction.hash, ()):
                if not future.done():
                    future.set_result(receipt_json(event.block, event.receipts, index))
