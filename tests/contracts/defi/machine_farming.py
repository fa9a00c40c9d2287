"""Farming and the oracle under any sequence of actions.

The weakened copies that fail against an attack are in test_attacks.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.defi.bank import rich_token
from tests.contracts.defi.machines import USERS, Machine, amounts, users
from tests.contracts.defi.world import ALICE, BOB, EVE, OWNER, UNIT, Contract, World

DAY = 86_400
farms = st.integers(0, 1)


@dataclass
class Scene:
    """A farming contract; farm 0 pays another token, farm 1 its own staking token."""

    world: World
    farming: Contract
    tokens: list[Contract]


def scene_with(name: str = "Farming") -> Scene:
    """Deploy two farms."""
    world = World()
    farming = world.deploy(name, OWNER, ZERO_ADDRESS)
    tokens = [rich_token(world, farming) for _ in range(2)]
    stake, reward = (each.address for each in tokens)
    farming.send(OWNER, "createFarm", stake, reward, 1000 * UNIT, DAY)
    farming.send(OWNER, "createFarm", stake, stake, 1000 * UNIT + 7, DAY)
    return Scene(world, farming, tokens)


class FarmingMachine(Machine):
    """Stakers come and go in two farms that share a token."""

    def build(self) -> Scene:
        return scene_with()

    def begin(self) -> None:
        self.farming: Contract = self.scene.farming
        self.funded = [1000 * UNIT, 1000 * UNIT + 7]
        self.paid = [0, 0]
        self.staked: list[dict[Address, int]] = [{}, {}]
        for farm in (0, 1):
            for who in (ALICE, BOB):
                self.farming.send(who, "stake", farm, UNIT)
                self.staked[farm][who] = UNIT

    def reward_of(self, farm: int) -> Contract:
        found: Contract = self.scene.tokens[1 - farm]
        return found

    def earned(self, farm: int) -> dict[Address, int]:
        return {who: self.farming.read("earned", farm, who) for who in USERS}

    def act(self, name: str, farm: int, who: Address, *values: Any) -> bool:
        """Run one action; nobody else's stake or reward may change by it."""
        before = [self.earned(each) for each in (0, 1)]
        done = self.attempt(name, lambda: self.farming.send(who, name, farm, *values))
        after = [self.earned(each) for each in (0, 1)]
        assert before[1 - farm] == after[1 - farm]
        for each in USERS:
            if each != who:
                assert before[farm][each] == after[farm][each], "another's reward changed"
            elif name in ("stake", "withdraw"):
                assert before[farm][each] == after[farm][each], "reward out of nothing"
        return done

    @rule(who=users, farm=farms, amount=amounts)
    def stake(self, who: Address, farm: int, amount: int) -> None:
        if self.act("stake", farm, who, amount):
            self.staked[farm][who] = self.staked[farm].get(who, 0) + amount

    @rule(who=users, farm=farms, part=st.integers(0, 4))
    def withdraw(self, who: Address, farm: int, part: int) -> None:
        amount = self.staked[farm].get(who, 0) * part // 4
        if self.act("withdraw", farm, who, amount):
            self.staked[farm][who] -= amount

    @rule(who=users, farm=farms)
    def claim(self, who: Address, farm: int) -> None:
        token = self.reward_of(farm)
        due, purse = self.farming.read("earned", farm, who), token.read("balanceOf", who)
        assert self.act("claim", farm, who)
        got = token.read("balanceOf", who) - purse
        assert got == due
        assert self.farming.read("earned", farm, who) == 0, "claimed twice"
        self.paid[farm] += got

    @rule(who=users, farm=farms)
    def exit(self, who: Address, farm: int) -> None:
        due = self.farming.read("earned", farm, who)
        if self.act("exit", farm, who):
            self.staked[farm][who] = 0
            self.paid[farm] += due

    @rule(who=users, farm=farms)
    def emergency(self, who: Address, farm: int) -> None:
        if self.act("emergencyWithdraw", farm, who):
            self.staked[farm][who] = 0

    @rule(farm=farms, amount=amounts, days=st.integers(1, 20))
    def fund(self, farm: int, amount: int, days: int) -> None:
        if self.act("fund", farm, OWNER, amount, days * DAY // 4):
            self.funded[farm] += amount

    @rule(farm=farms, often=st.integers(0, 3))
    def reclaim(self, farm: int, often: int) -> None:
        if often:
            return
        token = self.reward_of(farm)
        purse = token.read("balanceOf", OWNER)
        assert self.act("reclaim", farm, OWNER, OWNER)
        self.paid[farm] += token.read("balanceOf", OWNER) - purse

    @rule(token=st.integers(0, 1), amount=amounts)
    def gift(self, token: int, amount: int) -> None:
        before = [self.earned(each) for each in (0, 1)]
        self.scene.tokens[token].send(EVE, "transfer", self.farming.address, amount)
        assert before == [self.earned(each) for each in (0, 1)]

    @rule(seconds=st.one_of(st.integers(1, 100), st.integers(1, 2 * DAY)))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @invariant()
    def rewards_come_from_the_fund(self) -> None:
        """What is paid, earned, given up and left is never more than was funded, and is there."""
        owed = [0, 0]
        for farm in (0, 1):
            books = self.farming.read("farmOf", farm)
            staked, left, forfeited = books[4], books[5], books[8]
            assert staked == sum(self.staked[farm].values()), "principal"
            for who in USERS:
                assert self.farming.read("stakeOf", farm, who)[0] == self.staked[farm].get(who, 0)
            earned = sum(self.earned(farm).values())
            assert self.paid[farm] + earned + forfeited <= self.funded[farm]
            assert left <= self.funded[farm] - self.paid[farm]
            owed[0] += staked
            owed[1 - farm] += self.funded[farm] - self.paid[farm]
        for token, amount in zip(self.scene.tokens, owed, strict=True):
            assert token.read("balanceOf", self.farming.address) >= amount, "principal was paid out"

    def teardown(self) -> None:
        """Everybody leaves with principal and reward; only roundings stay."""
        if not hasattr(self, "farming"):
            return
        for farm in (0, 1):
            for who in USERS:
                if self.staked[farm].get(who):
                    self.farming.send(who, "exit", farm)
                else:
                    self.farming.send(who, "claim", farm)
            assert self.farming.read("farmOf", farm)[4] == 0


REPORTERS = tuple(Address(bytes([0xC0 + i]) * 20) for i in range(4))
ONE = 10**8


class OracleMachine(Machine):
    """Four reporters, one of them lying: the answer follows the honest, and never in a jump."""

    def build(self) -> Scene:
        world = World()
        settings = (3600, 60, 500, 1, 10**15)
        oracle = world.deploy("MedianOracle", OWNER, 8, "test", settings)
        for each in REPORTERS:
            oracle.send(OWNER, "setReporter", each, True)
        return Scene(world, oracle, [])

    def begin(self) -> None:
        self.oracle: Contract = self.scene.farming
        self.said: dict[Address, tuple[int, int]] = {}
        self.rounds: list[tuple[int, int]] = []
        self.held_since = 0

    @rule(who=st.sampled_from(REPORTERS[:3]), answer=st.integers(ONE // 2, 2 * ONE))
    def honest(self, who: Address, answer: int) -> None:
        self.report(who, answer)

    @rule(who=st.sampled_from(REPORTERS[:3]), percent=st.integers(96, 104))
    def near(self, who: Address, percent: int) -> None:
        if self.rounds:
            self.report(who, self.rounds[-1][0] * percent // 100)

    @rule(answer=st.integers(1, 10**15))
    def liar(self, answer: int) -> None:
        self.report(REPORTERS[3], answer)

    def report(self, who: Address, answer: int) -> None:
        self.said[who] = (answer, self.world.time)
        self.attempt("report", lambda: self.oracle.send(who, "report", answer))
        self.look()

    @rule()
    def poke(self) -> None:
        self.attempt("poke", lambda: self.oracle.send(EVE, "poke"))
        self.look()

    @rule(seconds=st.one_of(st.integers(1, 70), st.integers(1, 4000)))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    def look(self) -> None:
        """Judge the newest round."""
        waiting = self.oracle.read("pending")[1]
        count = self.oracle.read("latestRound")
        assert count - len(self.rounds) in (0, 1)
        if count > len(self.rounds):
            _, answer, _, time, _ = self.oracle.read("latestRoundData")
            fresh = [a for a, t in self.said.values() if t + 3600 >= self.world.time]
            honest = [
                self.said[each][0]
                for each in REPORTERS[:3]
                if each in self.said and self.said[each][1] + 3600 >= self.world.time
            ]
            assert len(fresh) >= 3 and time == self.world.time
            if len(honest) == 3 or REPORTERS[3] in self.said:
                low, high = min(honest), max(honest)
                assert low <= answer <= high, "a liar chose the answer"
            if self.rounds:
                last, when = self.rounds[-1]
                assert time > when, "two rounds in one second"
                if abs(answer - last) * 10_000 > last * 500:
                    assert self.held_since and time - self.held_since >= 60, "a jump at once"
            self.rounds.append((answer, time))
        self.held_since = waiting
