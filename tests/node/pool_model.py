"""A naive pool: one list, everything worked out anew at each question. The pool must equal it."""

from dataclasses import dataclass, field, replace

from node.pool import EVICTIONS_MAX, PoolLimits
from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.errors import (
    AlreadyKnown,
    InsufficientFunds,
    NonceTooLow,
    PoolFull,
    QenexError,
    ReplacementUnderpriced,
    SenderQuotaFull,
)
from primitives.transaction import Transaction
from primitives.types import Address, ChainId, Gas, Hash32, Nonce, Wei

CHAIN = ChainId(7)
GAS = Gas(21_000)
SENDERS = tuple(Address(bytes([n]) * 20) for n in range(1, 6))


def make(
    sender: Address, nonce: int, fee: int = 10, tip: int = 1, *, value: int = 0, size: int = 100
) -> Transaction:
    """Return a transaction as the decoder would, with a raw form of `size` bytes."""
    raw = repr((sender, nonce, fee, tip, value)).encode().ljust(size, b".")
    return Transaction(
        type=2,
        chain_id=CHAIN,
        nonce=Nonce(nonce),
        max_priority_fee_per_gas=Wei(tip),
        max_fee_per_gas=Wei(fee),
        gas=GAS,
        to=Address(bytes(20)),
        value=Wei(value),
        data=b"",
        access_list=(),
        authorizations=(),
        y_parity=0,
        r=1,
        s=1,
        sender=sender,
        hash=keccak(raw),
        raw=raw,
    )


class FakeState:
    """A state of accounts only; counts its reads."""

    def __init__(self) -> None:
        self.accounts: dict[Address, Account] = {}
        self.codes: dict[Hash32, bytes] = {}
        self.reads = 0

    def account(self, address: Address) -> Account | None:
        self.reads += 1
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        raise AssertionError("the pool reads no storage")

    def code(self, code_hash: Hash32) -> bytes:
        return self.codes[code_hash]

    def has_storage(self, address: Address) -> bool:
        raise AssertionError("the pool reads no storage")

    def fund(self, address: Address, balance: int, nonce: int = 0) -> None:
        """Set an account."""
        self.accounts[address] = Account(nonce=Nonce(nonce), balance=Wei(balance))


@dataclass
class Waiting:
    """A transaction in the model."""

    transaction: Transaction
    arrival: float
    order: int


@dataclass
class Model:
    """The rules of `node.pool`, slowly. `seen` is each pooled sender as last looked at."""

    limits: PoolLimits
    state: FakeState
    waiting: list[Waiting] = field(default_factory=list)
    seen: dict[Address, Account] = field(default_factory=dict)
    order: int = 0

    def of(self, sender: Address) -> dict[int, Waiting]:
        """The sender's transactions by nonce."""
        mine = [each for each in self.waiting if each.transaction.sender == sender]
        return {each.transaction.nonce: each for each in mine}

    def pending(self, sender: Address) -> list[Waiting]:
        """The funded run of nonces."""
        account = self.seen.get(sender) or self.state.accounts.get(sender) or Account()
        mine, run, spent = self.of(sender), list[Waiting](), 0
        nonce = int(account.nonce)
        while nonce in mine and spent + cost(mine[nonce].transaction) <= account.balance:
            spent += cost(mine[nonce].transaction)
            run.append(mine[nonce])
            nonce += 1
        return run

    def queued(self, sender: Address) -> list[Waiting]:
        """The others, by nonce."""
        run = self.pending(sender)
        rest = [each for each in self.of(sender).values() if each not in run]
        return sorted(rest, key=lambda each: each.transaction.nonce)

    def size(self) -> int:
        """Estimated memory."""
        return sum(2_000 + 4 * len(each.transaction.raw) for each in self.waiting)

    def observe(self, sender: Address) -> None:
        """Look at the sender's account again."""
        account = self.state.accounts.get(sender) or Account()
        if sender not in self.seen or self.seen[sender] == account:
            return
        self.seen[sender] = account
        self.remove(
            [e for e in self.of(sender).values() if e.transaction.nonce < account.nonce],
        )
        queued = self.queued(sender)
        funded = [each for each in queued if cost(each.transaction) <= account.balance]
        kept = funded[: self.limits.queued_per_sender_max]
        self.remove([each for each in queued if each not in kept])

    def remove(self, gone: list[Waiting]) -> None:
        """Take transactions out."""
        self.waiting = [each for each in self.waiting if each not in gone]
        left = {each.transaction.sender for each in self.waiting}
        self.seen = {sender: account for sender, account in self.seen.items() if sender in left}

    def add(self, new: Transaction, base_fee: Wei, now: float) -> type[QenexError] | None:
        """Take `new` in; returns the error it deserves, or None."""
        account = self.state.accounts.get(new.sender) or Account()
        if any(each.transaction.hash == new.hash for each in self.waiting):
            return AlreadyKnown
        if new.nonce < account.nonce:
            return NonceTooLow
        if cost(new) > account.balance:
            return InsufficientFunds
        self.observe(new.sender)
        run, mine = self.pending(new.sender), self.of(new.sender)
        spent = sum(cost(e.transaction) for e in run if e.transaction.nonce != new.nonce)
        if spent + cost(new) > account.balance:
            return InsufficientFunds
        old = mine.get(new.nonce)
        if old is not None and not is_bumped(old.transaction, new):
            return ReplacementUnderpriced
        joins = new.nonce <= account.nonce + len(run)
        if old is None:
            if len(mine) >= self.limits.per_sender_max:
                return SenderQuotaFull
            if not joins and len(self.queued(new.sender)) >= self.limits.queued_per_sender_max:
                return SenderQuotaFull
        before = self.waiting, self.seen
        if not self.make_room(new, old, joins, base_fee):
            self.waiting, self.seen = before
            return PoolFull
        if old is not None:
            self.waiting = [each for each in self.waiting if each is not old]
        self.order += 1
        self.waiting.append(Waiting(new, now, self.order))
        self.seen[new.sender] = account
        return None

    def make_room(self, new: Transaction, old: Waiting | None, joins: bool, base_fee: Wei) -> bool:
        """Drop the cheapest tails; false when that cannot or must not be."""
        grows = 2_000 + 4 * len(new.raw)
        grows -= 2_000 + 4 * len(old.transaction.raw) if old is not None else 0
        for _ in range(EVICTIONS_MAX + 1):
            queued = sum(len(self.queued(sender)) for sender in SENDERS)
            if not (
                len(self.waiting) + (old is None) > self.limits.transactions_max
                or self.size() + grows > self.limits.bytes_max
                or (old is None and not joins and queued >= self.limits.queued_max)
            ):
                return True
            tails = [self.tail(sender, base_fee) for sender in SENDERS if self.of(sender)]
            if not tails:
                return False
            worst = min(tails)
            if worst[3] == new.sender or worst[:2] >= (joins, tip_of(new, base_fee)):
                return False
            mine = self.of(worst[3])
            self.remove([mine[max(mine)]])
        return False

    def tail(self, sender: Address, base_fee: Wei) -> tuple[bool, int, int, Address]:
        """The eviction order of the sender's last transaction."""
        mine = self.of(sender)
        last = mine[max(mine)]
        tip = tip_of(last.transaction, base_fee)
        return last in self.pending(sender), tip, -last.order, sender

    def best(self, base_fee: Wei) -> list[Transaction]:
        """Take the best head again and again."""
        runs = {sender: self.pending(sender) for sender in SENDERS}
        chosen: list[Transaction] = []
        while True:
            heads = [run[0] for run in runs.values() if run]
            heads = [each for each in heads if tip_of(each.transaction, base_fee) >= 0]
            if not heads:
                return chosen
            head = max(heads, key=lambda e: (tip_of(e.transaction, base_fee), -e.order))
            chosen.append(head.transaction)
            runs[head.transaction.sender].pop(0)

    def expire(self, now: float) -> int:
        """Drop what is too old."""
        queued = [each for sender in SENDERS for each in self.queued(sender)]
        old = [
            each
            for each in self.waiting
            if now - each.arrival > self.limits.expiry_s
            or (each in queued and now - each.arrival > self.limits.queued_expiry_s)
        ]
        self.remove(old)
        return len(old)


def cost(transaction: Transaction) -> int:
    """Gas at the maximum fee, plus value."""
    return transaction.gas * transaction.max_fee_per_gas + transaction.value


def tip_of(transaction: Transaction, base_fee: Wei) -> int:
    """The effective tip per gas."""
    return min(transaction.max_fee_per_gas - base_fee, transaction.max_priority_fee_per_gas)


def is_bumped(old: Transaction, new: Transaction) -> bool:
    """True when both fees are 10 % and at least 1 wei above."""
    fees = (
        (old.max_fee_per_gas, new.max_fee_per_gas),
        (old.max_priority_fee_per_gas, new.max_priority_fee_per_gas),
    )
    return all(after > before and 10 * after >= 11 * before for before, after in fees)


def spend(account: Account, amount: int) -> Account:
    """Return the account after one of its transactions."""
    return replace(
        account, nonce=Nonce(account.nonce + 1), balance=Wei(max(0, account.balance - amount))
    )
