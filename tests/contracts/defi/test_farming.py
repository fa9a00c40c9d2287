"""Farming: rewards by share and time, funding, claiming, leaving, and principal kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.defi.bank import rich_token
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    CAROL,
    EVE,
    OWNER,
    UNIT,
    Contract,
    Reverted,
    World,
)

DAY = 86_400
FUND = 864 * UNIT


@dataclass
class Land:
    """A farming contract with one farm."""

    world: World
    farming: Contract
    token: Contract
    reward: Contract

    def earned(self, who: Address) -> int:
        """Return what somebody could claim."""
        found: int = self.farming.read("earned", 0, who)
        return found

    def farm(self) -> dict[str, Any]:
        """Return the books of the farm."""
        names = (
            *("stakeToken", "updated", "timeLeft", "rewardToken", "staked", "left", "perUnit"),
            *("manager", "forfeited"),
        )
        return dict(zip(names, self.farming.read("farmOf", 0), strict=True))


def new_land(name: str = "Farming", policy: Address = ZERO_ADDRESS) -> Land:
    """Deploy a farm of a day that Owner manages."""
    world = World()
    farming = world.deploy(name, OWNER, policy)
    token, reward = rich_token(world, farming), rich_token(world, farming)
    farming.send(OWNER, "createFarm", token.address, reward.address, FUND, DAY)
    return Land(world, farming, token, reward)


@pytest.fixture(scope="module")
def made() -> tuple[Land, tuple[Any, ...]]:
    land = new_land()
    return land, land.world.snapshot()


@pytest.fixture
def land(made: tuple[Land, tuple[Any, ...]]) -> Iterator[Land]:
    found, kept = made
    found.world.restore(kept)
    yield found


def test_rewards_by_share_and_time(land: Land) -> None:
    """Two stakers earn by share of the seconds that both were there; all of the fund is paid."""
    farming = land.farming
    farming.send(ALICE, "stake", 0, UNIT)
    assert farming.read("rewardRate", 0) == FUND * 10**18 // DAY
    land.world.wait(DAY // 2)
    farming.send(BOB, "stake", 0, 3 * UNIT)
    land.world.wait(DAY // 4)
    assert abs(land.earned(ALICE) - (FUND // 2 + FUND // 16)) <= 2
    assert abs(land.earned(BOB) - 3 * FUND // 16) <= 2
    land.world.wait(DAY)
    for who in (ALICE, BOB):
        farming.send(who, "exit", 0)
    assert land.reward.read("balanceOf", farming.address) <= 2
    assert land.token.read("balanceOf", farming.address) == 0
    assert farming.read("rewardRate", 0) == 0
    assert farming.read("count") == 1


def test_nothing_in_one_block(land: Land) -> None:
    """Staking and leaving within one second earns nothing, however large the stake."""
    land.farming.send(ALICE, "stake", 0, UNIT)
    land.world.wait(100)
    land.farming.send(EVE, "stake", 0, 10**29)
    assert land.earned(EVE) == 0
    before = land.earned(ALICE)
    land.farming.send(EVE, "exit", 0)
    assert land.farming.events()[-1][0] == "Withdrawn"
    assert land.earned(ALICE) == before


def test_claim_twice(land: Land) -> None:
    """A claim pays once; the next one in the same second pays nothing."""
    land.farming.send(ALICE, "stake", 0, UNIT)
    land.world.wait(100)
    before = land.reward.read("balanceOf", ALICE)
    land.farming.send(ALICE, "claim", 0)
    paid = land.reward.read("balanceOf", ALICE) - before
    assert abs(paid - FUND * 100 // DAY) <= 1
    land.farming.send(ALICE, "claim", 0)
    assert land.reward.read("balanceOf", ALICE) == before + paid


def test_clock_stands_still_without_stakers(land: Land) -> None:
    """Time without stakers is nobody's: the reward waits, and the first to come earns no more."""
    land.world.wait(10 * DAY)
    assert land.farming.read("periodFinish", 0) == land.world.time + DAY
    land.farming.send(ALICE, "stake", 0, 1)
    assert land.earned(ALICE) == 0
    land.world.wait(DAY // 2)
    land.farming.send(ALICE, "exit", 0)
    assert land.farm()["left"] == FUND // 2
    land.world.wait(DAY)
    land.farming.send(BOB, "stake", 0, 1)
    land.world.wait(DAY // 2)
    assert land.earned(BOB) == FUND // 2


def test_refusals(land: Land) -> None:
    """Nothing, too much, an unknown farm, a bad duration and a token without code are refused."""
    farming = land.farming
    for function, values, error in (
        ("stake", (0, 0), "TooSmall"),
        ("withdraw", (0, 1), "TooSmall"),
        ("withdraw", (0, 0), "TooSmall"),
        ("exit", (0,), "TooSmall"),
        ("emergencyWithdraw", (0,), "TooSmall"),
        ("stake", (1, 1), "UnknownFarm"),
        ("createFarm", (BOB, land.reward.address, 1, DAY), "NoCode"),
        ("createFarm", (land.token.address, land.reward.address, 1, 59), "BadDuration"),
        ("createFarm", (land.token.address, land.reward.address, 1, 2**32), "BadDuration"),
        ("createFarm", (land.token.address, land.reward.address, 0, DAY), "TooSmall"),
        ("fund", (0, 1, DAY), "NotManager"),
        ("reclaim", (0, BOB), "NotManager"),
    ):
        with pytest.raises(Reverted, match=error):
            farming.send(BOB, function, *values)


def test_funding_keeps_the_rate(land: Land) -> None:
    """More may be added and the time made longer, but the rate never falls."""
    farming = land.farming
    farming.send(ALICE, "stake", 0, UNIT)
    land.world.wait(DAY // 2)
    with pytest.raises(Reverted, match="RateWouldFall"):
        farming.send(OWNER, "fund", 0, 1, DAY)
    with pytest.raises(Reverted, match="RateWouldFall"):
        farming.send(OWNER, "fund", 0, FUND // 2 - 1, DAY)
    farming.send(OWNER, "fund", 0, FUND // 2, DAY)
    land.world.wait(DAY)
    assert 0 <= FUND // 2 + FUND - land.earned(ALICE) <= 1
    farming.send(OWNER, "fund", 0, 5, DAY)
    land.world.wait(2 * DAY)
    assert 0 <= FUND // 2 + FUND + 5 - land.earned(ALICE) <= 2


def test_emergency(land: Land) -> None:
    """The principal comes back when the reward token is dead; what was given up is reclaimed."""
    farming = land.farming
    farming.send(ALICE, "stake", 0, UNIT)
    farming.send(BOB, "stake", 0, UNIT)
    land.world.wait(DAY // 2)
    land.reward.send(EVE, "set", 32, 0, ZERO_ADDRESS)
    with pytest.raises(Reverted):
        farming.send(ALICE, "claim", 0)
    before = land.token.read("balanceOf", ALICE)
    farming.send(ALICE, "emergencyWithdraw", 0)
    assert land.token.read("balanceOf", ALICE) - before == UNIT
    assert farming.read("stakeOf", 0, ALICE) == (0, 0, 0)
    land.reward.send(EVE, "set", 0, 0, ZERO_ADDRESS)
    held = land.reward.read("balanceOf", CAROL)
    farming.send(OWNER, "reclaim", 0, CAROL)
    assert land.reward.read("balanceOf", CAROL) - held == FUND // 4
    land.world.wait(DAY)
    assert land.earned(BOB) == FUND // 4 + FUND // 2


def test_farm_of_its_own_token() -> None:
    """Where reward and stake are one token, stakers' principal is never paid as reward."""
    world = World()
    farming = world.deploy("Farming", OWNER, ZERO_ADDRESS)
    token = rich_token(world, farming)
    farming.send(OWNER, "createFarm", token.address, token.address, 1000, DAY)
    farming.send(ALICE, "stake", 0, UNIT)
    farming.send(OWNER, "fund", 0, 1000, DAY)
    world.wait(2 * DAY)
    assert farming.read("earned", 0, ALICE) <= 2000
    farming.send(ALICE, "exit", 0)
    assert token.read("balanceOf", farming.address) <= 1


def test_extremes() -> None:
    """The largest fund on the smallest stake, and the other way round, do not overflow or leak."""
    world = World()
    farming = world.deploy("Farming", OWNER, ZERO_ADDRESS)
    token, reward = rich_token(world, farming), rich_token(world, farming)
    for each in (token, reward):
        for who in (OWNER, ALICE):
            each.send(who, "mint", who, 2**128)
    farming.send(OWNER, "createFarm", token.address, reward.address, 2**128 - 1, 60)
    farming.send(ALICE, "stake", 0, 1)
    world.wait(60)
    farming.send(ALICE, "claim", 0)
    assert reward.read("balanceOf", farming.address) <= 1
    farming.send(OWNER, "createFarm", token.address, reward.address, 1, 60)
    farming.send(ALICE, "stake", 1, 2**127)
    world.wait(60)
    assert farming.read("earned", 1, ALICE) <= 1
    farming.send(ALICE, "exit", 1)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_endless_worthless_rewards_lock_nobody_in(rounds: int) -> None:
    """A manager who funds 2^128 units again and again cannot overflow a staker's way out.

    Planted bug: checked sums of reward per unit, which two rounds on one staked unit overflow.
    """
    land = new_land()
    world, farming = land.world, land.farming
    for _ in range(rounds + 2):
        land.reward.send(OWNER, "mint", OWNER, 2**128)
    farming.send(OWNER, "createFarm", land.token.address, land.reward.address, 2**128 - 1, 60)
    farming.send(EVE, "stake", 1, 1)
    for _ in range(rounds):
        world.wait(60)
        farming.send(OWNER, "fund", 1, 2**128 - 1, 60)
    for who in (ALICE, BOB):
        farming.send(who, "stake", 1, 1000 * UNIT)
    world.wait(60)
    farming.send(OWNER, "fund", 1, 2**128 - 1, 60)
    world.wait(60)
    before = land.token.read("balanceOf", ALICE), land.token.read("balanceOf", BOB)
    farming.send(ALICE, "emergencyWithdraw", 1)
    farming.send(BOB, "withdraw", 1, 1000 * UNIT)
    after = land.token.read("balanceOf", ALICE), land.token.read("balanceOf", BOB)
    assert [new - old for old, new in zip(before, after, strict=True)] == [1000 * UNIT] * 2
    farming.send(EVE, "emergencyWithdraw", 1)
