"""A transaction in the pool, and one sender's run of them: the parts that `node.pool` is made of.

A run is pending as far as its nonces follow the state's nonce without a gap and the balance covers
their summed cost (gas at the maximum fee, plus value). What is behind that end is queued.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from primitives.account import Account
from primitives.errors import InsufficientFunds, ReplacementUnderpriced
from primitives.transaction import Transaction
from primitives.types import Address, Wei
from vm.state.changes import StateReader

PRICE_BUMP_PERCENT: Final = 10
"""How much higher both fees of a replacement must be. Source: geth, txpool.pricebump."""

OVERHEAD_BYTES: Final = 2_000
RAW_COPIES: Final = 4
"""Estimated memory of a pooled transaction: OVERHEAD_BYTES + RAW_COPIES * its raw bytes."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """A transaction in the pool: when it came (clock of the pool, s), its place, its cost."""

    transaction: Transaction
    arrival: float
    order: int
    cost: Wei

    @property
    def size_bytes(self) -> int:
        """Estimated memory."""
        return size_of(self.transaction)


@dataclass(slots=True)
class Sender:
    """One sender's transactions: pending are the nonces in range(nonce, end).

    `cost` is the sum of the pending ones, `last` the highest nonce; `nonce` and `balance` are the
    state's.
    """

    address: Address
    nonce: int
    balance: int
    end: int
    cost: int = 0
    last: int = -1
    pooled: dict[int, Pooled] = field(default_factory=dict)

    @property
    def queued(self) -> int:
        """How many of its transactions are not pending."""
        return len(self.pooled) - (self.end - self.nonce)

    def extend(self) -> None:
        """Move the end of the pending run as far as nonces and balance allow."""
        while (following := self.pooled.get(self.end)) is not None:
            if self.cost + following.cost > self.balance:
                return
            self.cost += following.cost
            self.end += 1

    def forget(self, nonce: int) -> Pooled:
        """Take one transaction out; what was pending behind it is queued now."""
        gone = self.pooled.pop(nonce)
        if nonce < self.end:
            self.cost -= gone.cost + sum(self.pooled[n].cost for n in range(nonce + 1, self.end))
            self.end = nonce
        if nonce == self.last:
            self.last = max(self.pooled, default=-1) if self.queued else self.end - 1
        return gone


def cost_of(transaction: Transaction) -> Wei:
    """Return the most that `transaction` can take from its sender, in wei."""
    return Wei(transaction.gas * transaction.max_fee_per_gas + transaction.value)


def size_of(transaction: Transaction) -> int:
    """Return the estimated memory of a pooled transaction, in bytes."""
    return OVERHEAD_BYTES + RAW_COPIES * len(transaction.raw)


def tip_of(transaction: Transaction, base_fee: Wei) -> int:
    """Return the effective priority fee per gas; below zero when the base fee is not met."""
    return min(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas - base_fee)


def check_funds(sender: Sender, old: Pooled | None, cost: Wei) -> None:
    """Raise unless the balance covers `cost` beside the sender's other pending transactions."""
    spent = sender.cost
    if old is not None and old.transaction.nonce < sender.end:
        spent -= old.cost
    if spent + cost > sender.balance:
        raise InsufficientFunds(
            f"insufficient funds for gas * price + value: balance {sender.balance}, "
            f"queued cost {spent}, tx cost {cost}, overshot {spent + cost - sender.balance}",
            balance=sender.balance,
            spent=spent,
            cost=cost,
        )


def check_bump(old: Transaction, new: Transaction) -> None:
    """Raise unless both fees of `new` are above those of `old`, and by PRICE_BUMP_PERCENT."""
    for before, after in (
        (old.max_fee_per_gas, new.max_fee_per_gas),
        (old.max_priority_fee_per_gas, new.max_priority_fee_per_gas),
    ):
        if after <= before or after * 100 < before * (100 + PRICE_BUMP_PERCENT):
            raise ReplacementUnderpriced(
                "replacement transaction underpriced", hash=old.hash, nonce=old.nonce
            )


def by_tip(
    runs: dict[Address, list[Pooled]], base_fee: Wei, state: StateReader
) -> Iterator[Transaction]:
    """Merge the senders' runs by tip, then arrival; a heap holds the next of each sender."""
    heap = [_entry(run, 0, base_fee) for run in runs.values()]
    heapq.heapify(heap)
    followed: set[Address] = set()
    while heap:
        minus_tip, _, address, at = heap[0]
        if minus_tip > 0:
            return
        if address not in followed:
            followed.add(address)
            nonce = (state.account(address) or Account()).nonce
            skip = nonce - runs[address][0].transaction.nonce
            if skip:
                heapq.heappop(heap)
                if 0 < skip < len(runs[address]):
                    runs[address] = runs[address][skip:]
                    heapq.heappush(heap, _entry(runs[address], 0, base_fee))
                continue
        run = runs[address]
        yield run[at].transaction
        if at + 1 < len(run):
            heapq.heapreplace(heap, _entry(run, at + 1, base_fee))
        else:
            heapq.heappop(heap)


def _entry(run: list[Pooled], at: int, base_fee: Wei) -> tuple[int, int, Address, int]:
    pooled = run[at]
    return -tip_of(pooled.transaction, base_fee), pooled.order, pooled.transaction.sender, at
