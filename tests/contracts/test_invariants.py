"""Invariants of QXC, staking and votes, as state machines on the engine.

The default suite walks a few hundred steps; `python -m scripts.invariants --steps 10000` walks as
many as asked. Each machine keeps a model in plain integers beside the contracts. Planted bugs that
the token machine was seen to find within 2,000 steps: a burn by ceil, a self-transfer from stale
balances, growth above the reserve, an exit whose tokens stay in the stake.
"""

from __future__ import annotations

from typing import ClassVar

from eth_abi.abi import encode
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.addresses import QXC, STAKING, TIMELOCK
from primitives.crypto.keccak import keccak
from primitives.types import UINT256_MAX, Address, Wei
from qenex.predeploys import Standard
from tests.contracts.world import ALICE, BOB, CAROL, EVE, GUARDIAN, Reverted, World, topped

ONE = 10**18
PEOPLE = (ALICE, BOB, CAROL)
HOLDERS = (*PEOPLE, EVE, STAKING, TIMELOCK)
RICH = 1_000_000 * ONE

people = st.sampled_from(PEOPLE)
holders = st.sampled_from((*PEOPLE, EVE))
large = st.sampled_from([ONE, RICH // 3, RICH])
amounts = st.one_of(st.integers(0, 2_000), st.integers(0, RICH), large, st.just(RICH * 10))
gifts = st.integers(0, 5_000 * ONE)
parts = st.integers(1, 4)
times = st.sampled_from([1, 60, 86_400, 11 * 86_400, 400 * 86_400])
STEPS = settings(max_examples=5, stateful_step_count=40, deadline=None)


class TokenMachine(RuleBasedStateMachine):
    """QXC and staking together: every wei is accounted for, whatever people do."""

    SETTINGS: ClassVar = Standard(guardian=GUARDIAN, reserve_wei=Wei(1_000 * ONE), cooldown_s=60)

    @initialize()
    def begin(self) -> None:
        self.world = World.standard(self.SETTINGS)
        topped(self.world, PEOPLE, RICH)
        for each in PEOPLE:
            self.world.send(each, "QXC", "approve", STAKING, UINT256_MAX)
            self.world.send(each, "QXC", "approve", EVE, UINT256_MAX)
        self.balances = dict.fromkeys(PEOPLE, RICH) | {EVE: 0, TIMELOCK: 0}
        self.balances[STAKING] = self.SETTINGS.reserve_wei
        self.exempt = {STAKING, TIMELOCK}
        self.supply = sum(self.balances.values())
        self.coins = self.supply
        self.price = (1, 1)
        self.ends = 0

    def moved(self, sender: Address, receiver: Address, value: int) -> None:
        if sender == receiver:
            return
        burned = 0 if {sender, receiver} & self.exempt else value // 1000
        self.balances[sender] -= value
        self.balances[receiver] += value - burned
        self.supply -= burned

    @property
    def rests(self) -> bool:
        return self.world.now < self.ends

    @rule(sender=people, receiver=holders, value=amounts)
    def transfer(self, sender: Address, receiver: Address, value: int) -> None:
        try:
            self.world.send(sender, "QXC", "transfer", receiver, value)
        except Reverted as error:
            assert error.name == ("TransfersPaused" if self.rests else "ERC20InsufficientBalance")
            assert self.rests or value > self.balances[sender]
            return
        self.moved(sender, receiver, value)

    @rule(owner=people, receiver=holders, value=amounts)
    def transfer_from(self, owner: Address, receiver: Address, value: int) -> None:
        try:
            self.world.send(EVE, "QXC", "transferFrom", owner, receiver, value)
        except Reverted:
            assert self.rests or value > self.balances[owner]
            return
        self.moved(owner, receiver, value)

    @rule(who=holders, value=amounts)
    def deposit(self, who: Address, value: int) -> None:
        try:
            self.world.send(who, "QXC", "deposit", value=value)
        except Reverted:
            assert self.rests
            return
        self.balances[who] += value
        self.supply += value
        self.coins += value

    @rule(who=holders, value=amounts)
    def withdraw(self, who: Address, value: int) -> None:
        try:
            self.world.send(who, "QXC", "withdraw", value)
        except Reverted:
            assert self.rests or value > self.balances[who]
            return
        self.balances[who] -= value
        self.supply -= value
        self.coins -= value

    @rule(who=holders, value=amounts)
    def burn(self, who: Address, value: int) -> None:
        try:
            self.world.send(who, "QXC", "burn", value)
        except Reverted:
            assert self.rests or value > self.balances[who]
            return
        self.balances[who] -= value
        self.supply -= value

    @rule(who=people, value=amounts, by_token=st.booleans())
    def stake(self, who: Address, value: int, *, by_token: bool) -> None:
        try:
            if by_token:
                self.world.send(who, "QXC", "stake", value)
            else:
                self.world.send(who, "Staking", "deposit", value, who)
        except Reverted as error:
            reasons = ("TransfersPaused", "ERC20InsufficientBalance", "NothingToDo")
            assert error.name in reasons
            return
        self.moved(who, STAKING, value)

    @rule(who=people, part=parts)
    def ask(self, who: Address, part: int) -> None:
        shares = self.world.read("Staking", "balanceOf", who) // part
        try:
            self.world.send(who, "Staking", "requestRedeem", shares, who, who)
        except Reverted as error:
            assert error.name == "NothingToDo"

    @rule(who=people, part=parts)
    def redeem(self, who: Address, part: int) -> None:
        shares = self.world.read("Staking", "maxRedeem", who) // part
        before = self.world.qxc(who)
        fixed, whole, _ = self.world.read("Staking", "exitOf", who)
        try:
            self.world.send(who, "Staking", "redeem", shares, who, who)
        except Reverted as error:
            assert error.name in ("ERC4626ExceededMaxRedeem", "TransfersPaused")
            return
        paid = self.world.qxc(who) - before
        assert paid == fixed * shares // whole
        self.moved(STAKING, who, paid)

    @rule(sender=people, receiver=people, part=parts)
    def give_shares(self, sender: Address, receiver: Address, part: int) -> None:
        shares = self.world.read("Staking", "balanceOf", sender) // part
        self.world.send(sender, "Staking", "transfer", receiver, shares)

    @rule(who=people, to=people)
    def delegate(self, who: Address, to: Address) -> None:
        self.world.send(who, "Staking", "delegate", to)

    @rule(who=people, value=gifts, function=st.sampled_from(["fund", "gift"]))
    def fund(self, who: Address, value: int, function: str) -> None:
        try:
            if function == "fund":
                self.world.send(who, "Staking", "fund", value)
            else:
                self.world.send(who, "QXC", "transfer", STAKING, value)
        except Reverted:
            assert self.rests or value > self.balances[who]
            return
        self.moved(who, STAKING, value)

    @rule(bps=st.integers(0, 3000))
    def target(self, bps: int) -> None:
        self.world.as_timelock("Staking", "setTarget", bps)

    @rule(who=people, is_exempt=st.booleans())
    def exemption(self, who: Address, *, is_exempt: bool) -> None:
        self.world.as_timelock("QXC", "setExempt", who, is_exempt)
        self.exempt = self.exempt | {who} if is_exempt else self.exempt - {who}

    @rule(seconds=times)
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @precondition(lambda self: not self.rests)
    @rule()
    def pause(self) -> None:
        self.ends = self.world.now + 3_600
        self.world.as_timelock("QXC", "pause", self.ends)

    @invariant()
    def every_wei_is_known(self) -> None:
        """Balances are the model's, their sum is the supply, and coins back all of it."""
        found = {each: self.world.qxc(each) for each in HOLDERS}
        assert found == self.balances
        assert sum(found.values()) == self.supply == self.world.read("QXC", "totalSupply")
        assert self.world.balance(QXC) == self.coins >= self.supply

    @invariant()
    def staking_is_solvent(self) -> None:
        """What is staked, reserved and owed is here; shares are worth no more than the stake."""
        read = self.world.read
        assets, supply = read("Staking", "totalAssets"), read("Staking", "totalSupply")
        known = assets + read("Staking", "reserve") + read("Staking", "owed")
        assert known <= self.balances[STAKING]
        shares = [read("Staking", "balanceOf", each) for each in PEOPLE]
        assert sum(shares) == supply
        assert sum(read("Staking", "convertToAssets", each) for each in shares) <= assets
        assert sum(read("Staking", "exitOf", each)[0] for each in PEOPLE) == read("Staking", "owed")

    @invariant()
    def a_share_never_loses(self) -> None:
        """The price of a share does not fall."""
        assets = self.world.read("Staking", "totalAssets") + 1
        supply = self.world.read("Staking", "totalSupply") + 1
        old_assets, old_supply = self.price
        assert assets * old_supply >= old_assets * supply
        self.price = (assets, supply)

    @invariant()
    def votes_are_shares(self) -> None:
        """Votes of all delegates are the shares of all who have one."""
        read = self.world.read
        nobody = "0x" + "00" * 20
        held = sum(
            read("Staking", "balanceOf", each)
            for each in PEOPLE
            if read("Staking", "delegates", each) != nobody
        )
        assert sum(read("Staking", "getVotes", each) for each in PEOPLE) == held


class GovernanceMachine(RuleBasedStateMachine):
    """One proposal after another: what acts had a majority, its quorum and its wait, once."""

    SETTINGS: ClassVar = Standard(
        guardian=GUARDIAN, voting_delay_s=10, voting_period_s=100, late_quorum_s=20, timelock_s=30
    )

    @initialize()
    def begin(self) -> None:
        self.world = World.standard(self.SETTINGS)
        topped(self.world, PEOPLE, RICH)
        self.held = dict(zip(PEOPLE, (50_000 * ONE, 40_000 * ONE, 9_000 * ONE), strict=True))
        for each, value in self.held.items():
            self.world.send(each, "QXC", "stake", value)
        self.world.wait(1)
        self.number = 0
        self.target = 1_200
        self.proposal: int | None = None

    @precondition(lambda self: self.proposal is None)
    @rule(who=people)
    def propose(self, who: Address) -> None:
        self.number += 1
        self.data = encode(["uint256"] * 3, [self.number, 1, 10])
        self.text = f"number {self.number}"
        done = self.world.send(who, "QXC", "createProposal", self.text, 0, self.data)
        self.proposal = done.fields("ProposalCreated")["proposalId"]
        self.snapshot = self.world.now + 10
        self.deadline = self.snapshot + 100
        self.votes: dict[Address, bool] = {}
        self.queued_at: int | None = None

    @precondition(lambda self: self.proposal is not None)
    @rule(who=people, support=st.booleans())
    def vote(self, who: Address, *, support: bool) -> None:
        is_open = self.snapshot < self.world.now <= self.deadline
        try:
            done = self.world.send(who, "QXC", "vote", self.proposal, support)
        except Reverted:
            assert not is_open or who in self.votes
            return
        assert is_open
        assert who not in self.votes
        assert done.fields("VoteCast")["weight"] == self.held[who]
        had, self.votes[who] = self.has_quorum(), support
        if self.has_quorum() and not had:
            self.deadline = max(self.deadline, self.world.now + 20)

    def has_quorum(self) -> bool:
        return sum(self.held[each] for each, yes in self.votes.items() if yes) >= 9_900 * ONE

    def is_carried(self) -> bool:
        yes = sum(self.held[each] for each, support in self.votes.items() if support)
        no = sum(self.held[each] for each, support in self.votes.items() if not support)
        return self.has_quorum() and yes > no and self.world.now > self.deadline

    def step(self, function: str) -> bool:
        calls = self.world.read("Governance", "callsOf", 0, self.data)
        digest = keccak(self.text.encode())
        try:
            self.world.send(EVE, "Governance", function, *calls, digest)
        except Reverted:
            return False
        return True

    @precondition(lambda self: self.proposal is not None)
    @rule()
    def queue(self) -> None:
        expected = self.is_carried() and self.queued_at is None
        assert self.step("queue") == expected
        if expected:
            self.queued_at = self.world.now

    @precondition(lambda self: self.proposal is not None)
    @rule()
    def execute(self) -> None:
        ready = self.queued_at is not None and self.world.now >= self.queued_at + 30
        assert self.step("execute") == ready
        if ready:
            self.target = self.number
            assert not self.step("execute")
            self.proposal = None

    @precondition(lambda self: self.proposal is not None and self.world.now > self.deadline)
    @rule()
    def give_up(self) -> None:
        if not self.is_carried():
            self.proposal = None

    @rule(seconds=st.sampled_from([1, 11, 30, 80, 101]))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @invariant()
    def only_proposals_act(self) -> None:
        """The target is that of the last executed proposal, and nobody else's."""
        assert self.world.read("Staking", "targetBps") == self.target


TokenMachine.TestCase.settings = STEPS
GovernanceMachine.TestCase.settings = STEPS
TestTokenInvariants = TokenMachine.TestCase
TestGovernanceInvariants = GovernanceMachine.TestCase
