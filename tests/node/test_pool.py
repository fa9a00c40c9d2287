"""The pool keeps each sender's nonces in order, follows the state, and never exceeds its bounds."""

import threading
from dataclasses import replace

import pytest
from eth_account import Account as Signer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.pool import Pool, PoolLimits
from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.errors import (
    AlreadyKnown,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceTooLow,
    PoolFull,
    QenexError,
    Rejected,
    ReplacementUnderpriced,
    SenderNotEOA,
    SenderQuotaFull,
    Underpriced,
    WrongChain,
)
from primitives.params import ChainParams
from primitives.transaction import Authorization, Transaction
from primitives.types import Address, ChainId, Gas, Nonce, Wei
from tests.node.pool_model import CHAIN, GAS, SENDERS, FakeState, Model, cost, make, spend

PARAMS = ChainParams(chain_id=CHAIN)
ALICE, BOB, CAROL = SENDERS[:3]
RICH = 10**18


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def world(limits: PoolLimits | None = None) -> tuple[Pool, FakeState, Clock]:
    """Return an empty pool over a state in which everybody is rich."""
    state, clock = FakeState(), Clock()
    for sender in SENDERS:
        state.fund(sender, RICH)
    return Pool(limits or PoolLimits(), PARAMS, clock), state, clock


def nonces(pool: Pool, sender: Address) -> tuple[list[int], list[int]]:
    """Return the sender's pending and queued nonces."""
    content = pool.content()
    pending, queued = content.pending.get(sender, ()), content.queued.get(sender, ())
    return [each.nonce for each in pending], [each.nonce for each in queued]


def test_gaps_are_queued_until_they_close() -> None:
    """A transaction behind a gap waits; the missing nonce promotes all behind it."""
    pool, state, _ = world()
    for nonce in (2, 0, 3):
        pool.add(make(ALICE, nonce), state, Wei(1))
    assert nonces(pool, ALICE) == ([0], [2, 3])
    assert pool.pending_nonce(ALICE, state) == 1
    pool.add(make(ALICE, 1), state, Wei(1))
    assert nonces(pool, ALICE) == ([0, 1, 2, 3], [])
    assert pool.pending_nonce(ALICE, state) == 4
    assert pool.pending_nonce(BOB, state) == 0
    assert [each.nonce for each in pool.best(Wei(1), state)] == [0, 1, 2, 3]


def test_best_goes_by_tip_then_arrival_and_keeps_nonce_order() -> None:
    """The highest effective tip comes first; a good tip behind a poor nonce waits for it."""
    pool, state, _ = world()
    pool.add(make(ALICE, 0, fee=100, tip=1), state, Wei(10))
    pool.add(make(ALICE, 1, fee=100, tip=50), state, Wei(10))
    pool.add(make(BOB, 0, fee=12, tip=12), state, Wei(10))
    pool.add(make(CAROL, 0, fee=100, tip=2), state, Wei(10))
    found = [(each.sender, each.nonce) for each in pool.best(Wei(10), state)]
    assert found == [(BOB, 0), (CAROL, 0), (ALICE, 0), (ALICE, 1)]
    without_bob = [each.sender for each in pool.best(Wei(13), state)]
    assert without_bob == [CAROL, ALICE, ALICE]


def test_best_follows_a_state_that_is_ahead() -> None:
    """When a block was committed but not yet told, included nonces are passed over."""
    pool, state, _ = world()
    for nonce in range(3):
        pool.add(make(ALICE, nonce), state, Wei(0))
    pool.add(make(BOB, 0), state, Wei(0))
    state.fund(ALICE, RICH, nonce=2)
    state.fund(BOB, RICH, nonce=5)
    assert [(each.sender, each.nonce) for each in pool.best(Wei(0), state)] == [(ALICE, 2)]
    assert pool.pending_nonce(BOB, state) == 5


def test_best_is_not_disturbed_by_changes() -> None:
    """An iteration yields the pool as it was when it was asked for."""
    pool, state, _ = world()
    for nonce in range(3):
        pool.add(make(ALICE, nonce), state, Wei(0))
    iteration = pool.best(Wei(0), state)
    first = next(iteration)
    pool.discard([make(ALICE, 1).hash, first.hash])
    assert [each.nonce for each in iteration] == [1, 2]


@pytest.mark.parametrize(
    ("fee", "tip", "taken"),
    [(110, 11, True), (109, 11, False), (110, 10, False), (120, 10, False), (200, 20, True)],
)
def test_replacement_needs_ten_percent_on_both_fees(fee: int, tip: int, taken: bool) -> None:
    """Ten percent on one fee is not enough; planted bug: comparing only the maximum fee."""
    pool, state, _ = world()
    old, new = make(ALICE, 0, fee=100, tip=10), make(ALICE, 0, fee=fee, tip=tip)
    pool.add(old, state, Wei(1))
    pool.add(make(ALICE, 1), state, Wei(1))
    if taken:
        pool.add(new, state, Wei(1))
        assert (pool.get(old.hash), pool.get(new.hash)) == (None, new)
    else:
        with pytest.raises(ReplacementUnderpriced, match="replacement transaction underpriced"):
            pool.add(new, state, Wei(1))
        assert pool.by_hashes([old.hash, new.hash]) == [old, None]
    assert nonces(pool, ALICE) == ([0, 1], [])


def test_free_transactions_are_replaced_by_one_wei_more() -> None:
    """On a chain without fees an equal replacement is refused, 1 wei on both is enough."""
    pool, state, _ = world()
    pool.add(make(ALICE, 0, fee=0, tip=0), state, Wei(0))
    for fee, tip in ((0, 0), (1, 0)):
        with pytest.raises(ReplacementUnderpriced):
            pool.add(make(ALICE, 0, fee=fee, tip=tip, value=1), state, Wei(0))
    pool.add(make(ALICE, 0, fee=1, tip=1), state, Wei(0))


def test_what_is_refused() -> None:
    """Each rule at the door has its error, and a refusal changes nothing."""
    pool, state, _ = world(PoolLimits(tip_min_wei=Wei(2)))
    state.fund(BOB, RICH, nonce=5)
    code = b"\x60\x00"
    state.accounts[CAROL] = replace(Account(balance=Wei(RICH)), code_hash=keccak(code))
    state.codes[keccak(code)] = code
    good = make(ALICE, 0, tip=2)
    pool.add(good, state, Wei(1))
    foreign = replace(make(ALICE, 1, tip=2), chain_id=ChainId(8))
    no_gas = replace(make(ALICE, 1, tip=2), gas=Gas(20_999))
    refused: list[tuple[type[QenexError], Transaction, str]] = [
        (AlreadyKnown, good, "already known"),
        (WrongChain, foreign, "invalid chain id"),
        (IntrinsicGasTooLow, no_gas, "intrinsic gas too low"),
        (Underpriced, make(ALICE, 1, tip=1), "transaction underpriced"),
        (NonceTooLow, make(BOB, 4, tip=2), "nonce too low"),
        (SenderNotEOA, make(CAROL, 0, tip=2), "sender not an eoa"),
        (InsufficientFunds, make(ALICE, 1, tip=2, value=RICH), "insufficient funds for gas"),
        (InsufficientFunds, make(Address(b"\x99" * 20), 0, tip=2), "insufficient funds"),
    ]
    for error, transaction, words in refused:
        with pytest.raises(error, match=words):
            pool.add(transaction, state, Wei(1))
    assert pool.transactions() == [good]
    assert len(pool) == 1


def test_delegated_accounts_may_send() -> None:
    """A sender whose code is an EIP-7702 delegation is an externally owned account."""
    pool, state, _ = world()
    code = bytes.fromhex("ef0100") + bytes(20)
    state.accounts[ALICE] = replace(Account(balance=Wei(RICH)), code_hash=keccak(code))
    state.codes[keccak(code)] = code
    pool.add(make(ALICE, 0), state, Wei(1))
    assert len(pool) == 1


def test_funds_count_all_pending_transactions() -> None:
    """The balance must cover all pending of a sender; planted bug: each by itself only."""
    pool, state, _ = world()
    each = cost(make(ALICE, 0))
    state.fund(ALICE, 2 * each)
    pool.add(make(ALICE, 0), state, Wei(1))
    pool.add(make(ALICE, 1), state, Wei(1))
    with pytest.raises(InsufficientFunds, match=f"queued cost {2 * each}, tx cost {each}"):
        pool.add(make(ALICE, 2), state, Wei(1))
    with pytest.raises(InsufficientFunds):
        pool.add(make(ALICE, 1, fee=20, tip=2), state, Wei(1))
    state.fund(ALICE, 3 * each)
    pool.add(make(ALICE, 1, fee=20, tip=2), state, Wei(1))
    assert nonces(pool, ALICE) == ([0, 1], [])


def test_unfunded_transactions_leave_after_a_block() -> None:
    """When the balance falls, what no longer fits is demoted, what cannot be paid is dropped."""
    pool, state, _ = world()
    each = cost(make(ALICE, 0))
    for nonce in range(4):
        pool.add(make(ALICE, nonce), state, Wei(1))
    pool.add(make(ALICE, 4, value=each), state, Wei(1))
    state.fund(ALICE, each * 3 // 2, nonce=1)
    pool.on_committed([make(ALICE, 0)], state)
    assert nonces(pool, ALICE) == ([1], [2, 3])
    state.fund(ALICE, 3 * each, nonce=1)
    pool.refresh([ALICE], state)
    assert nonces(pool, ALICE) == ([1, 2, 3], [])


def test_only_senders_of_the_block_are_read() -> None:
    """A block costs one account read for each of its senders that has something pooled."""
    pool, state, _ = world()
    for sender in (ALICE, BOB):
        pool.add(make(sender, 0), state, Wei(1))
    assert state.reads == 2
    pool.on_committed([make(ALICE, 0), make(ALICE, 1), make(CAROL, 0)], state)
    assert state.reads == 3


def test_signers_of_authorizations_are_followed() -> None:
    """A set-code transaction of somebody else moves the nonce of who signed the authorization."""
    signer = Signer.from_key(keccak(b"signer"))
    address = Address(bytes.fromhex(signer.address[2:]))
    signed = signer.sign_authorization({"chainId": CHAIN, "address": "0x" + "11" * 20, "nonce": 0})
    entry = Authorization(CHAIN, Address(b"\x11" * 20), 0, signed.y_parity, signed.r, signed.s)
    pool, state, _ = world()
    state.fund(address, RICH)
    pool.add(make(address, 0), state, Wei(1))
    state.fund(address, RICH, nonce=1)
    pool.on_committed([replace(make(BOB, 0), type=4, authorizations=(entry,))], state)
    assert len(pool) == 0


def test_an_older_view_changes_nothing() -> None:
    """A state older than what the pool has seen does not bring nonces back."""
    pool, state, _ = world()
    pool.add(make(ALICE, 0), state, Wei(1))
    pool.add(make(ALICE, 1), state, Wei(1))
    newer = FakeState()
    newer.fund(ALICE, RICH, nonce=1)
    pool.on_committed([make(ALICE, 0)], newer)
    with pytest.raises(NonceTooLow):
        pool.add(make(ALICE, 0, fee=90, tip=9), state, Wei(1))
    pool.refresh([ALICE], state)
    assert nonces(pool, ALICE) == ([1], [])


def test_sender_quotas() -> None:
    """A sender has its share of the pool and of the queue; both bounds are exact."""
    pool, state, _ = world(PoolLimits(per_sender_max=3, queued_per_sender_max=2))
    pool.add(make(ALICE, 5), state, Wei(1))
    pool.add(make(ALICE, 6), state, Wei(1))
    with pytest.raises(SenderQuotaFull, match="account limit exceeded"):
        pool.add(make(ALICE, 7), state, Wei(1))
    pool.add(make(ALICE, 0), state, Wei(1))
    with pytest.raises(SenderQuotaFull, match="account limit exceeded"):
        pool.add(make(ALICE, 1), state, Wei(1))
    pool.add(make(ALICE, 0, fee=20, tip=2), state, Wei(1))
    assert nonces(pool, ALICE) == ([0], [5, 6])


def test_the_queue_of_all_senders_is_bounded() -> None:
    """All gapped transactions together have a bound; a better one takes the cheapest's place."""
    pool, state, _ = world(PoolLimits(queued_max=2))
    pool.add(make(ALICE, 0, tip=1), state, Wei(0))
    pool.add(make(ALICE, 5, tip=3), state, Wei(0))
    pool.add(make(BOB, 5, tip=4), state, Wei(0))
    with pytest.raises(PoolFull, match="txpool is full"):
        pool.add(make(CAROL, 5, tip=3), state, Wei(0))
    pool.add(make(CAROL, 5, tip=4), state, Wei(0))
    assert [nonces(pool, each) for each in (ALICE, BOB, CAROL)] == [([0], []), ([], [5]), ([], [5])]
    pool.add(make(CAROL, 0), state, Wei(0))
    assert pool.stats().queued == 2


def test_a_full_pool_drops_the_cheapest_tail() -> None:
    """A better newcomer pushes out the cheapest tail, gapped ones first; an equal one is not."""
    pool, state, _ = world(PoolLimits(transactions_max=3))
    pool.add(make(ALICE, 0, tip=5), state, Wei(0))
    pool.add(make(ALICE, 2, tip=9), state, Wei(0))
    pool.add(make(BOB, 0, tip=3), state, Wei(0))
    pool.add(make(CAROL, 0, tip=1), state, Wei(0))
    assert nonces(pool, ALICE) == ([0], [])
    with pytest.raises(PoolFull, match="txpool is full"):
        pool.add(make(SENDERS[3], 0, tip=1), state, Wei(0))
    pool.add(make(SENDERS[3], 0, tip=2), state, Wei(0))
    assert {each.sender for each in pool.transactions()} == {ALICE, BOB, SENDERS[3]}
    with pytest.raises(PoolFull):
        pool.add(make(SENDERS[3], 1, tip=9), state, Wei(0))


def test_a_newcomer_too_large_leaves_the_pool_as_it_was() -> None:
    """When making room fails half way, what was pushed out is put back."""
    small, large = make(ALICE, 0, tip=1), make(CAROL, 0, tip=3, size=3_000)
    per = 2_000 + 4 * len(small.raw)
    pool, state, _ = world(PoolLimits(bytes_max=4 * per))
    pool.add(small, state, Wei(0))
    pool.add(make(ALICE, 1, tip=1), state, Wei(0))
    pool.add(make(BOB, 0, tip=5), state, Wei(0))
    before = pool.content(), pool.size_bytes, pool.stats()
    with pytest.raises(PoolFull):
        pool.add(large, state, Wei(0))
    assert (pool.content(), pool.size_bytes, pool.stats()) == before
    assert len(list(pool.best(Wei(0), state))) == 3


def test_expiry() -> None:
    """Gapped transactions expire sooner than pending ones; the bound itself is not too old."""
    pool, state, clock = world(PoolLimits(expiry_s=100, queued_expiry_s=10))
    pool.add(make(ALICE, 0), state, Wei(0))
    pool.add(make(ALICE, 2), state, Wei(0))
    clock.now = 10.0
    assert pool.expire() == 0
    clock.now = 10.5
    assert pool.expire() == 1
    assert nonces(pool, ALICE) == ([0], [])
    clock.now = 101.0
    assert pool.expire() == 1
    assert (len(pool), pool.size_bytes) == (0, 0)


def test_discarding_in_the_middle_demotes_the_rest() -> None:
    """What was behind a discarded transaction waits for its nonce to come again."""
    pool, state, _ = world()
    for nonce in range(4):
        pool.add(make(ALICE, nonce), state, Wei(0))
    pool.discard([make(ALICE, 1).hash, keccak(b"unknown")])
    assert nonces(pool, ALICE) == ([0], [2, 3])
    pool.add(make(ALICE, 1, value=1), state, Wei(0))
    assert nonces(pool, ALICE) == ([0, 1, 2, 3], [])


def test_many_threads() -> None:
    """Adding, reading and committing from several threads loses and invents nothing."""
    pool, state, _ = world()
    failures: list[BaseException] = []

    def work(sender: Address) -> None:
        try:
            for nonce in range(60):
                pool.add(make(sender, nonce), state, Wei(0))
                pool.stats()
                pool.content()
                list(pool.best(Wei(0), state))
        except (QenexError, RuntimeError, KeyError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(sender,)) for sender in SENDERS[:3]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert pool.stats().pending == 180


SMALL = PoolLimits(
    transactions_max=10,
    bytes_max=11 * 2_400,
    per_sender_max=5,
    queued_max=4,
    queued_per_sender_max=3,
    expiry_s=40,
    queued_expiry_s=15,
)
UNIT = 10 * GAS
base_fees = st.sampled_from((0, 3, 8)).map(Wei)


class PoolMachine(RuleBasedStateMachine):
    """The pool equals the naive model after every step.

    Planted bugs that it finds: forgetting the replaced transaction's cost; counting queued
    transactions wrongly when a gap closes; an eviction order that is not brought up to date;
    leaving pending what stands behind a discarded transaction; dropping too little when the
    balance falls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.state = FakeState()
        for sender in SENDERS:
            self.state.fund(sender, 6 * UNIT)
        self.pool = Pool(SMALL, PARAMS, self.clock)
        self.model = Model(SMALL, self.state)

    @rule(
        sender=st.sampled_from(SENDERS),
        ahead=st.sampled_from((0, 0, 0, 1, 2, 3, -1)),
        from_state=st.booleans(),
        fees=st.tuples(st.integers(0, 24), st.integers(0, 12)),
        value=st.sampled_from((0, 0, UNIT, 3 * UNIT)),
        size=st.sampled_from((100, 100, 100, 900)),
        base_fee=base_fees,
    )
    def add(
        self,
        sender: Address,
        ahead: int,
        from_state: bool,
        fees: tuple[int, int],
        value: int,
        size: int,
        base_fee: Wei,
    ) -> None:
        start = (self.state.accounts[sender]).nonce
        if not from_state:
            start = Nonce(self.pool.pending_nonce(sender, self.state))
        fee, tip = max(fees), min(fees)
        new = make(sender, max(0, start + ahead), fee, tip, value=value, size=size)
        expected = self.model.add(new, base_fee, self.clock.now)
        reads = self.state.reads
        try:
            self.pool.add(new, self.state, base_fee)
            found = None
        except (InvalidTransaction, Rejected) as error:
            found = type(error)
        assert found == expected
        assert self.state.reads <= reads + 1

    @rule(count=st.integers(1, 4), base_fee=base_fees, foreign=st.sampled_from((None, *SENDERS)))
    def commit(self, count: int, base_fee: Wei, foreign: Address | None) -> None:
        block = list(self.pool.best(base_fee, self.state))[:count]
        if foreign is not None:
            following = [each.nonce for each in block if each.sender == foreign]
            nonce = max(following) + 1 if following else self.state.accounts[foreign].nonce
            block.append(make(foreign, nonce, fee=1, tip=1, value=2 * UNIT))
        for each in block:
            self.state.accounts[each.sender] = spend(self.state.accounts[each.sender], cost(each))
        self.pool.on_committed(block, self.state)
        for sender in {each.sender for each in block}:
            self.model.observe(sender)

    @rule(sender=st.sampled_from(SENDERS), amount=st.sampled_from((UNIT, 4 * UNIT)))
    def receive(self, sender: Address, amount: int) -> None:
        account = self.state.accounts[sender]
        self.state.accounts[sender] = replace(account, balance=Wei(account.balance + amount))

    @rule(sender=st.sampled_from(SENDERS), units=st.integers(0, 4))
    def lose(self, sender: Address, units: int) -> None:
        account = self.state.accounts[sender]
        self.state.accounts[sender] = replace(account, balance=Wei(units * UNIT))
        self.pool.refresh([sender], self.state)
        self.model.observe(sender)

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        waiting = self.pool.transactions()
        if waiting:
            chosen = data.draw(st.sampled_from(waiting))
            self.pool.discard([chosen.hash])
            self.model.remove([e for e in self.model.waiting if e.transaction == chosen])

    @rule(seconds=st.integers(1, 20))
    def wait_and_expire(self, seconds: int) -> None:
        self.clock.now += seconds
        assert self.pool.expire() == self.model.expire(self.clock.now)

    @invariant()
    def equals_the_model(self) -> None:
        content = self.pool.content()
        for sender in SENDERS:
            pending = [each.transaction for each in self.model.pending(sender)]
            queued = [each.transaction for each in self.model.queued(sender)]
            assert list(content.pending.get(sender, ())) == pending
            assert list(content.queued.get(sender, ())) == queued
        stats = self.pool.stats()
        assert stats.pending == sum(map(len, content.pending.values()))
        assert stats.queued == sum(map(len, content.queued.values()))
        assert len(self.pool) == len(self.model.waiting) <= SMALL.transactions_max
        assert self.pool.size_bytes == self.model.size() <= SMALL.bytes_max
        for base_fee in (Wei(0), Wei(5)):
            assert list(self.pool.best(base_fee, self.state)) == self.model.best(base_fee)


TestPoolMachine = pytest.mark.slow(PoolMachine.TestCase)
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
