"""The pool: transactions that wait for a block, ordered by nonce in each sender and by tip across.

A sender's transactions form two parts. **Pending** is the longest run of nonces from the state's
nonce on whose summed cost (gas at the maximum fee, plus value) the balance covers; these can enter
the next block. **Queued** is the rest: behind a gap, or beyond the balance. Promotion and demotion
are nothing but moving the end of that run.

Rules at the door, in this order: unknown, valid by itself, priority fee of at least `tip_min_wei`,
valid against the state (nonce not used, no code, funds), funds beside the sender's pending ones,
10 % above *both* fees of the one it replaces (and more than it), bounds. A full pool makes room by
dropping the cheapest tail (last nonce of some sender), queued ones first, if the newcomer is
strictly better and the tail is not its own sender's. Error words are geth's.

The pool follows the state by `on_committed`: only senders of that block are looked at. It reads
one account for each transaction added. All methods are safe to call from any thread; none waits
for anything but the lock, and state is read outside of it.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from node.pooled import (
    Pooled,
    Sender,
    by_tip,
    check_bump,
    check_funds,
    cost_of,
    size_of,
    tip_of,
)
from node.rpc.api import PoolContent, PoolStats
from primitives.account import Account
from primitives.errors import (
    AlreadyKnown,
    NonceTooLow,
    PoolFull,
    SenderQuotaFull,
    Underpriced,
)
from primitives.params import ChainParams
from primitives.transaction import Transaction, authority
from primitives.types import EMPTY_CODE_HASH, WEI_ZERO, Address, Hash32, Wei
from vm.forks import Rules, latest_rules
from vm.permissions import account_rules
from vm.state.changes import StateReader
from vm.validate import check_against_state, check_static

EVICTIONS_MAX: Final = 256
"""Most transactions that one newcomer may push out."""

TAILS_STALE_MAX: Final = 10_000

_Tail: TypeAlias = tuple[bool, int, int, Address]
"""Eviction order of a sender's last transaction: pending, tip, minus order of arrival, sender."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of the pool; bytes are the estimated memory, times are seconds."""

    transactions_max: int = 20_000
    bytes_max: int = 64 << 20
    per_sender_max: int = 1_024
    queued_max: int = 5_000
    queued_per_sender_max: int = 64
    expiry_s: float = 10_800.0
    queued_expiry_s: float = 1_800.0
    tip_min_wei: Wei = WEI_ZERO


class Pool:
    """Transactions that wait for a block. See the module's rules."""

    def __init__(
        self,
        limits: PoolLimits,
        params: ChainParams,
        now: Callable[[], float],
        rules: Rules | None = None,
    ) -> None:
        """Make an empty pool; `now` is a clock in seconds that never goes back.

        `rules` are those of the next block; None for the newest that `params` know.
        """
        self._limits = limits
        self._params = params
        self._rules = rules or latest_rules(params)
        self._now = now
        self._lock = threading.Lock()
        self._senders: dict[Address, Sender] = {}
        self._by_hash: dict[Hash32, Pooled] = {}
        self._size_bytes = 0
        self._queued = 0
        self._order = 0
        self._tails: list[_Tail] | None = None
        self._tails_fee = WEI_ZERO

    def add(self, transaction: Transaction, state: StateReader, base_fee: Wei) -> None:
        """Take `transaction` in, or raise InvalidTransaction or Rejected and change nothing.

        `state` is the committed state, `base_fee` that of the next block. A fee below the base
        fee is no reason to refuse: the transaction waits until the base fee has fallen.
        """
        if transaction.hash in self._by_hash:
            raise AlreadyKnown("already known", hash=transaction.hash)
        check_static(transaction, self._params, rules=self._rules)
        if transaction.max_priority_fee_per_gas < self._limits.tip_min_wei:
            raise Underpriced(
                "transaction underpriced: "
                f"gas tip cap {transaction.max_priority_fee_per_gas}, "
                f"minimum needed {self._limits.tip_min_wei}"
            )
        if rules := account_rules(state, self._params):
            rules.check(transaction)
        account = state.account(transaction.sender) or Account()
        has_code = account.code_hash != EMPTY_CODE_HASH
        gapped = transaction.nonce > account.nonce
        check_against_state(
            transaction,
            replace(account, nonce=transaction.nonce) if gapped else account,
            state.code(account.code_hash) if has_code else b"",
            WEI_ZERO,
        )
        with self._lock:
            self._admit(transaction, account, base_fee)

    def _admit(self, transaction: Transaction, account: Account, base_fee: Wei) -> None:
        if transaction.hash in self._by_hash:
            raise AlreadyKnown("already known", hash=transaction.hash)
        sender = self._senders.get(transaction.sender)
        if sender is not None:
            self._observe(sender, account)
        if sender is None or not sender.pooled:
            nonce, balance = account.nonce, account.balance
            sender = Sender(transaction.sender, nonce, balance, end=nonce)
        if transaction.nonce < sender.nonce:
            raise NonceTooLow(
                f"nonce too low: tx: {transaction.nonce} state: {sender.nonce}",
                have=transaction.nonce,
                want=sender.nonce,
            )
        old = sender.pooled.get(transaction.nonce)
        cost = cost_of(transaction)
        check_funds(sender, old, cost)
        if old is not None:
            check_bump(old.transaction, transaction)
        self._make_room(transaction, sender, old, base_fee)
        if old is not None:
            self._take_out(sender, transaction.nonce)
        self._order += 1
        self._put_in(sender, Pooled(transaction, self._now(), self._order, cost))

    def best(self, base_fee: Wei, state: StateReader) -> Iterator[Transaction]:
        """Yield what the next block can take: highest tip at `base_fee` first, then by arrival.

        Nonces of one sender come in order. The pool as it is now is what is iterated, whatever
        happens to it meanwhile; senders whose nonce in `state` has moved on are followed.
        """
        with self._lock:
            runs = {
                sender.address: [sender.pooled[n] for n in range(sender.nonce, sender.end)]
                for sender in self._senders.values()
                if sender.end > sender.nonce
            }
        return by_tip(runs, base_fee, state)

    def on_committed(self, transactions: Iterable[Transaction], state: StateReader) -> None:
        """Follow a block: drop what it made impossible, promote and demote the rest.

        `transactions` are the block's, `state` is the state after it. Signers of authorizations
        count as senders, because their nonce moves too.
        """
        touched: set[Address] = set()
        for transaction in transactions:
            touched.add(transaction.sender)
            for each in transaction.authorizations:
                signer = authority(each)
                if signer is not None:
                    touched.add(signer)
        self.refresh(touched, state)

    def refresh(self, addresses: Iterable[Address], state: StateReader) -> None:
        """Look at these senders' nonces and balances again; one account read for each."""
        known = [address for address in addresses if address in self._senders]
        accounts = [(address, state.account(address) or Account()) for address in known]
        with self._lock:
            for address, account in accounts:
                sender = self._senders.get(address)
                if sender is not None:
                    self._observe(sender, account)

    def discard(self, hashes: Iterable[Hash32]) -> None:
        """Drop these transactions; unknown hashes are passed over."""
        with self._lock:
            for each in hashes:
                pooled = self._by_hash.get(each)
                if pooled is not None:
                    self._drop(pooled.transaction)

    def expire(self) -> int:
        """Drop what has waited too long; returns how many."""
        with self._lock:
            now = self._now()
            old = [each for each in self._by_hash.values() if self._is_expired(each, now)]
            for each in old:
                self._drop(each.transaction)
            return len(old)

    def _is_expired(self, pooled: Pooled, now: float) -> bool:
        age = now - pooled.arrival
        if age > self._limits.expiry_s:
            return True
        if age <= self._limits.queued_expiry_s:
            return False
        transaction = pooled.transaction
        return transaction.nonce >= self._senders[transaction.sender].end

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        """Return the waiting transaction with this hash, or None."""
        pooled = self._by_hash.get(transaction_hash)
        return pooled.transaction if pooled is not None else None

    def by_hashes(self, hashes: Sequence[Hash32]) -> list[Transaction | None]:
        """Return for each hash the waiting transaction or None."""
        return [self.get(each) for each in hashes]

    def transactions(self) -> list[Transaction]:
        """Return all waiting transactions in order of arrival."""
        with self._lock:
            return [each.transaction for each in self._by_hash.values()]

    def pending_nonce(self, address: Address, state: StateReader) -> int:
        """Return the next nonce after the sender's committed and pending transactions."""
        account = state.account(address) or Account()
        with self._lock:
            sender = self._senders.get(address)
            return max(account.nonce, sender.end if sender is not None else 0)

    def stats(self) -> PoolStats:
        """Return how many transactions are pending and queued."""
        with self._lock:
            pending = len(self._by_hash) - self._queued
            return PoolStats(pending, self._queued, self._size_bytes)

    def content(self) -> PoolContent:
        """Return all waiting transactions by sender, in order of nonce."""
        pending: dict[Address, list[Transaction]] = {}
        queued: dict[Address, list[Transaction]] = {}
        with self._lock:
            for address, sender in self._senders.items():
                for nonce in sorted(sender.pooled):
                    part = pending if nonce < sender.end else queued
                    part.setdefault(address, []).append(sender.pooled[nonce].transaction)
        return PoolContent(pending=pending, queued=queued)

    @property
    def size_bytes(self) -> int:
        """Estimated memory of all waiting transactions."""
        return self._size_bytes

    def __len__(self) -> int:
        return len(self._by_hash)

    # What follows is called with the lock held.

    def _observe(self, sender: Sender, account: Account) -> None:
        """Follow the state's account; an account older than what is known is passed over."""
        if account.nonce < sender.nonce:
            return
        if account.nonce == sender.nonce and account.balance == sender.balance:
            return
        before = sender.queued
        self._queued -= before
        for nonce in [each for each in sender.pooled if each < account.nonce]:
            self._erase(sender.pooled.pop(nonce))
        sender.nonce = sender.end = account.nonce
        sender.balance = account.balance
        sender.cost = 0
        sender.extend()
        behind = sorted(nonce for nonce in sender.pooled if nonce >= sender.end)
        funded = [nonce for nonce in behind if sender.pooled[nonce].cost <= sender.balance]
        kept = set(funded[: self._limits.queued_per_sender_max])
        for nonce in behind:
            if nonce not in kept:
                self._erase(sender.pooled.pop(nonce))
        sender.last = max(sender.pooled, default=-1)
        self._queued += sender.queued
        self._settle(sender)

    def _put_in(self, sender: Sender, pooled: Pooled) -> None:
        nonce = pooled.transaction.nonce
        self._senders[sender.address] = sender
        before = sender.queued
        sender.pooled[nonce] = pooled
        sender.last = max(sender.last, nonce)
        sender.extend()
        self._queued += sender.queued - before
        self._by_hash[pooled.transaction.hash] = pooled
        self._size_bytes += pooled.size_bytes
        self._settle(sender)

    def _take_out(self, sender: Sender, nonce: int) -> Pooled:
        before = sender.queued
        gone = sender.forget(nonce)
        self._queued += sender.queued - before
        self._erase(gone)
        return gone

    def _drop(self, transaction: Transaction) -> None:
        sender = self._senders[transaction.sender]
        self._take_out(sender, transaction.nonce)
        self._settle(sender)

    def _erase(self, pooled: Pooled) -> None:
        del self._by_hash[pooled.transaction.hash]
        self._size_bytes -= pooled.size_bytes

    def _settle(self, sender: Sender) -> None:
        """Forget an empty sender; note the tail of another for evictions."""
        if not sender.pooled:
            self._senders.pop(sender.address, None)
        elif self._tails is not None:
            heapq.heappush(self._tails, self._tail(sender))
            if len(self._tails) > TAILS_STALE_MAX + 2 * len(self._senders):
                self._tails = None

    def _make_room(
        self, transaction: Transaction, sender: Sender, old: Pooled | None, base_fee: Wei
    ) -> None:
        """Drop cheap tails until `transaction` fits, or raise and leave all as it was."""
        limits = self._limits
        joins = transaction.nonce <= sender.end
        fresh = old is None
        if fresh and len(sender.pooled) >= limits.per_sender_max:
            raise SenderQuotaFull("account limit exceeded", limit=limits.per_sender_max)
        if fresh and not joins and sender.queued >= limits.queued_per_sender_max:
            raise SenderQuotaFull("account limit exceeded", limit=limits.queued_per_sender_max)
        size = size_of(transaction) - (old.size_bytes if old is not None else 0)
        worth = (joins, tip_of(transaction, base_fee))
        evicted: list[tuple[Sender, Pooled]] = []

        def is_over() -> bool:
            return (
                len(self._by_hash) + fresh > limits.transactions_max
                or self._size_bytes + size > limits.bytes_max
                or (fresh and not joins and self._queued >= limits.queued_max)
            )

        while is_over():
            tail = self._cheapest(base_fee)
            own = tail is None or tail[3] == transaction.sender
            if tail is None or own or tail[:2] >= worth or len(evicted) == EVICTIONS_MAX:
                for victim, pooled in reversed(evicted):
                    self._put_in(victim, pooled)
                raise PoolFull("txpool is full", transactions=len(self._by_hash))
            victim = self._senders[tail[3]]
            evicted.append((victim, self._take_out(victim, victim.last)))
            self._settle(victim)

    def _cheapest(self, base_fee: Wei) -> _Tail | None:
        """Return the tail to drop first. Rebuilt when the base fee changed, else kept up to date.

        Entries that no longer hold are dropped when they come up.
        """
        if self._tails is None or self._tails_fee != base_fee:
            self._tails_fee = base_fee
            self._tails = [self._tail(sender) for sender in self._senders.values()]
            heapq.heapify(self._tails)
        while self._tails:
            top = self._tails[0]
            sender = self._senders.get(top[3])
            if sender is not None and self._tail(sender) == top:
                return top
            heapq.heappop(self._tails)
        return None

    def _tail(self, sender: Sender) -> _Tail:
        last = sender.pooled[sender.last]
        tip = tip_of(last.transaction, self._tails_fee)
        return sender.last < sender.end, tip, -last.order, sender.address
