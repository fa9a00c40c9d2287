"""Transactions on their way into the pool: from RPC (durable, answered) and from peers (batched).

From RPC: decode and recover, add to the pool, journal with fsync, then answer and tell the peers;
callers that come together share one sync. From peers: the same without journal and answer. What
came from an RPC client or from a node that is no validator is pushed to every peer in batches of
10 ms or 60 kB; what came from a validator is not, because validators form a full mesh.

The node's thread hears of the first transaction at once and of those of the next 10 ms together:
it is woken a hundred times a second at most, however fast they come, and not once for each.

`work` and the listeners run in the trio thread; everything else in any other thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import trio

from node.buildahead import Ahead
from node.journal import BLOATED_RECORDS_MIN, Journal
from node.ledger import BLOCK_BYTES_MAX, Ledger
from node.pool import Pool
from node.wire import TRANSACTIONS, encode_batches
from p2p.events import Stream
from p2p.network import Network
from primitives.errors import InvalidTransaction, QenexError, Rejected, Unavailable
from primitives.meter import Stage, metered
from primitives.transaction import Transaction, decode_transactions
from primitives.types import Hash32
from vm.fees import base_fee

FLUSH_S: Final = 0.01
OUTBOX_MAX: Final = 50_000
RESEND_MAX: Final = 20_000

Listener = Callable[[Sequence[Transaction]], None]


class Intake:
    """The way into the pool and out of it, but for the pool's own reads."""

    def __init__(self, pool: Pool, ledger: Ledger, journal: Journal | None) -> None:
        """`journal`, when given, is loaded by `restore`, which comes first."""
        self.pool = pool
        self._ledger = ledger
        self._journal = journal
        self._commits = GroupCommit(journal) if journal is not None else None
        self._token: trio.lowlevel.TrioToken | None = None
        self._added = trio.Event()
        self._news_lock = threading.Lock()
        self._news: list[tuple[list[Transaction], list[bytes]]] = []
        self.listeners: dict[int, Listener] = {}

    def restore(self) -> int:
        """Pool again what the journal holds; returns how many.

        Raises StoreCorrupt when the file is no journal, OSError when it cannot be read.
        """
        if self._journal is None:
            return 0
        return len(self._add_all(self._journal.load())[0])

    def submit(self, raw: bytes) -> Hash32:
        """Pool and journal a transaction; returns its hash once it is durable.

        Raises InvalidTransaction or Rejected and changes nothing, or Unavailable when the journal
        cannot be written; then the pool does not hold it, nor what it would have replaced.
        """
        (outcome,) = self.submit_many([raw])
        if isinstance(outcome, QenexError):
            raise outcome
        return outcome

    @metered(Stage.POOL)
    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        """Pool transactions in order and journal them together; see `submit`.

        Returns the hash of each one that is durable, for each other what `submit` raises.
        """
        outcomes: list[Hash32 | QenexError] = []
        taken: list[Transaction] = []
        for decoded in decode_transactions(raws):
            try:
                if not isinstance(decoded, Transaction):
                    raise decoded
                self._add(decoded)
            except (InvalidTransaction, Rejected) as error:
                outcomes.append(error)
                continue
            outcomes.append(decoded.hash)
            taken.append(decoded)
        try:
            if self._commits is not None and taken:
                self._commits.append([each.raw for each in taken])
        except OSError as error:
            self.pool.discard([each.hash for each in taken])
            failed = Unavailable(f"the transaction could not be made durable: {error.strerror}")
            return [failed if isinstance(each, bytes) else each for each in outcomes]
        self._tell(taken, [each.raw for each in taken])
        return outcomes

    def add_from_peer(self, raws: list[bytes], *, forward: bool) -> int:
        """Pool what a peer pushed and return how many were malformed; others are passed over."""
        taken, malformed = self._add_all(raws)
        if taken:
            self._tell(taken, [each.raw for each in taken] if forward else [])
        return malformed

    @metered(Stage.POOL)
    def _add_all(self, raws: list[bytes]) -> tuple[list[Transaction], int]:
        taken: list[Transaction] = []
        malformed = 0
        for decoded in decode_transactions(raws):
            if not isinstance(decoded, Transaction):
                malformed += 1
                continue
            try:
                self._add(decoded)
            except (InvalidTransaction, Rejected):
                continue
            taken.append(decoded)
        return taken, malformed

    def _add(self, transaction: Transaction) -> None:
        view = self._ledger.view
        self.pool.add(transaction, view.state, base_fee(view.head, self._ledger.params))

    def _tell(self, transactions: list[Transaction], raws: list[bytes]) -> None:
        if not transactions or self._token is None:
            return
        with self._news_lock:
            is_first = not self._news
            self._news.append((transactions, raws))
        if is_first:
            self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        self._added.set()

    def _hear(self, work: Callable[[], None]) -> list[bytes]:
        """Tell of what has come since the last time; return what is to be pushed to the peers."""
        with self._news_lock:
            news, self._news = self._news, []
        if not news:
            return []
        work()
        transactions = [each for taken, _ in news for each in taken]
        for listener in list(self.listeners.values()):
            listener(transactions)
        return list(islice((raw for _, raws in news for raw in raws), OUTBOX_MAX))

    async def run(self, network: Network, work: Callable[[], None]) -> None:
        """Push new transactions to the peers, for ever; `work` hears of every arrival."""
        self._token = trio.lowlevel.current_trio_token()
        while True:
            await self._added.wait()
            self._added = trio.Event()
            for batch in encode_batches(self._hear(work)):
                network.broadcast(Stream.TX, TRANSACTIONS, batch)
            await trio.sleep(FLUSH_S)

    def batches(self) -> list[bytes]:
        """Return what a newly connected peer should hear of, as TRANSACTIONS bodies."""
        return encode_batches([each.raw for each in islice(self.pool.transactions(), RESEND_MAX)])

    @metered(Stage.POOL)
    def candidates(self, above: Ahead | None = None) -> list[Transaction]:
        """Return the best executable transactions for the next block, in order, bounded.

        With `above` for the block after its parent, which is not committed.
        """
        view, params = self._ledger.view, self._ledger.params
        head, state = (view.head, view.state) if above is None else (above.parent, above.state)
        chosen: list[Transaction] = []
        gas, size = 0, 0
        for transaction in self.pool.best(base_fee(head, params), state):
            size += len(transaction.raw)
            if size > BLOCK_BYTES_MAX or gas > 2 * params.gas_limit:
                break
            chosen.append(transaction)
            gas += transaction.gas
        return chosen

    def has_work(self) -> bool:
        """Return whether a transaction waits that a block could take."""
        return self.pool.stats().pending > 0

    @metered(Stage.POOL)
    def committed(self, transactions: Iterable[Transaction]) -> None:
        """Drop from the pool what a block included or made impossible."""
        self.pool.on_committed(transactions, self._ledger.view.state)

    @metered(Stage.POOL)
    def tidy(self) -> None:
        """Drop expired transactions; compact the journal when most of it is history."""
        self.pool.expire()
        self.compact_when()

    def compact_when(self, bloated_min: int = BLOATED_RECORDS_MIN) -> bool:
        """Rewrite a journal of `bloated_min` records or more when most of them are mined.

        Returns whether it did. Raises OSError; the old journal stays in use then.
        """
        if self._commits is None or self._journal is None:
            return False
        if not self._journal.is_bloated(len(self.pool), bloated_min):
            return False
        self._commits.compact(lambda: {each.raw for each in self.pool.transactions()})
        return True

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()


@dataclass(slots=True)
class _Ticket:
    raws: list[bytes]
    error: OSError | None = None
    is_done: bool = False


class GroupCommit:
    """Many threads, one fsync: whoever comes first writes for all that wait."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._queue_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._waiting: list[_Ticket] = []

    def append(self, raws: list[bytes]) -> None:
        """Return when `raws` are durable; raises the OSError of the write that they shared."""
        ticket = _Ticket(raws)
        with self._queue_lock:
            self._waiting.append(ticket)
        with self._write_lock:
            if not ticket.is_done:
                self._write()
        if ticket.error is not None:
            raise ticket.error

    @metered(Stage.JOURNAL)
    def compact(self, needed: Callable[[], set[bytes]]) -> None:
        """Rewrite the journal with what is `needed`; raises OSError and keeps the old one.

        `needed` is asked while nothing can be written, and a record is written only after its
        transaction was pooled: what is in the file and not needed then was mined or has expired.
        """
        with self._write_lock:
            self._journal.compact(needed().__contains__)

    @metered(Stage.JOURNAL)
    def _write(self) -> None:
        with self._queue_lock:
            batch, self._waiting = self._waiting, []
        error: OSError | None = None
        try:
            self._journal.append_many([raw for ticket in batch for raw in ticket.raws])
        except OSError as failure:
            error = failure
        for ticket in batch:
            ticket.error, ticket.is_done = error, True
