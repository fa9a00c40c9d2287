"""The median oracle and the price of a market: liars, jumps, ages, decimals, the average."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.defi.exchange import FAR, hop, new_exchange
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    OWNER,
    START,
    UNIT,
    Contract,
    Reverted,
    World,
)

REPORTERS = tuple(Address(bytes([0xC0 + i]) * 20) for i in range(4))
ONE = 10**8
SETTINGS = (3600, 60, 500, ONE // 100, 100 * ONE)
"""An hour of age, a minute to confirm, 5 %, from 0.01 to 100."""
NO_KEY = (ZERO_ADDRESS, ZERO_ADDRESS, 0, 0)
NO_AVERAGE = (ZERO_ADDRESS, NO_KEY, 0, 0)


def median(world: World, count: int = 4, name: str = "MedianOracle") -> Contract:
    oracle = world.deploy(name, OWNER, 8, "QXC / USD", SETTINGS)
    for each in REPORTERS[:count]:
        oracle.send(OWNER, "setReporter", each, True)
    return oracle


def say(oracle: Contract, *answers: int) -> None:
    for each, answer in zip(REPORTERS, answers, strict=False):
        oracle.send(each, "report", answer)


def test_needs_more_than_two_thirds() -> None:
    """No round before three of four have spoken; then it is the median of those."""
    world = World()
    oracle = median(world)
    say(oracle, ONE, 3 * ONE)
    with pytest.raises(Reverted, match="NoData"):
        oracle.read("latestRoundData")
    oracle.send(REPORTERS[2], "report", 2 * ONE)
    assert oracle.read("latestRoundData") == (1, 2 * ONE, START, START, 1)
    assert oracle.read("getRoundData", 1)[1] == 2 * ONE
    assert (oracle.read("decimals"), oracle.read("version")) == (8, 1)
    assert oracle.read("description") == "QXC / USD"


def test_only_reporters_within_bounds() -> None:
    """Strangers are refused, and so are answers of zero, below zero and out of range."""
    world = World()
    oracle = median(world)
    with pytest.raises(Reverted, match="NotReporter"):
        oracle.send(BOB, "report", ONE)
    for bad in (0, -1, ONE // 100 - 1, 100 * ONE + 1):
        with pytest.raises(Reverted, match="OutOfRange"):
            oracle.send(REPORTERS[0], "report", bad)
    oracle.send(OWNER, "setReporter", REPORTERS[0], False)
    with pytest.raises(Reverted, match="NotReporter"):
        oracle.send(REPORTERS[0], "report", ONE)
    with pytest.raises(Reverted, match="OwnableUnauthorized"):
        oracle.send(BOB, "setReporter", BOB, True)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(95 * ONE // 100, 105 * ONE // 100), min_size=3, max_size=3),
    st.integers(1, 100 * ONE),
    st.integers(0, 3),
)
def test_one_liar_of_four(honest: list[int], lie: int, place: int) -> None:
    """Whatever one of four says, the answer lies between what the honest say."""
    world = World()
    oracle = median(world)
    answers = [*honest[:place], max(lie, ONE // 100), *honest[place:]]
    say(oracle, *answers)
    answer = oracle.read("latestRoundData")[1]
    assert min(honest) <= answer <= max(honest)


def test_old_reports_do_not_count() -> None:
    """A report older than its bound is left out; too few fresh ones make no round."""
    world = World()
    oracle = median(world)
    say(oracle, ONE, ONE, ONE)
    world.wait(3601)
    oracle.send(REPORTERS[3], "report", ONE)
    oracle.send(BOB, "poke")
    assert oracle.read("latestRoundData")[3] == START


def test_small_steps_pass_and_one_a_second() -> None:
    """Within the bound a round follows at once, but never two in one second."""
    world = World()
    oracle = median(world)
    say(oracle, ONE, ONE, ONE, ONE)
    assert oracle.read("latestRound") == 1
    world.wait(1)
    say(oracle, *[104 * ONE // 100] * 4)
    assert oracle.read("latestRoundData")[:2] == (2, ONE)
    world.wait(1)
    oracle.send(BOB, "poke")
    assert oracle.read("latestRoundData")[:2] == (3, 104 * ONE // 100)


def test_a_jump_waits() -> None:
    """A jump above 5 % is held for a minute, is published when it stays and forgotten when not."""
    world = World()
    oracle = median(world)
    say(oracle, *[ONE] * 4)
    world.wait(10)
    say(oracle, *[2 * ONE] * 4)
    assert oracle.read("latestRoundData")[1] == ONE
    assert oracle.read("pending")[1] == world.time
    world.wait(59)
    oracle.send(BOB, "poke")
    assert oracle.read("latestRoundData")[1] == ONE
    world.wait(1)
    oracle.send(BOB, "poke")
    assert oracle.read("latestRoundData")[1] == 2 * ONE
    assert oracle.read("pending") == (0, 0)
    world.wait(10)
    say(oracle, *[4 * ONE] * 4)
    world.wait(10)
    say(oracle, *[2 * ONE] * 4)
    assert oracle.read("pending") == (0, 0)
    world.wait(100)
    say(oracle, *[ONE] * 4)
    world.wait(59)
    say(oracle, *[4 * ONE] * 4)
    world.wait(1)
    oracle.send(BOB, "poke")
    assert oracle.read("latestRoundData")[1] == 2 * ONE, "the other side begins to wait anew"


def test_settings_are_checked() -> None:
    """Settings that would switch a bound off are refused."""
    world = World()
    oracle = median(world)
    for place, bad in ((0, 0), (1, 0), (2, 10_001), (3, 0), (4, 1)):
        chosen = list(SETTINGS)
        chosen[place] = bad
        with pytest.raises(Reverted, match="BadSettings"):
            oracle.send(OWNER, "setSettings", tuple(chosen))
    with pytest.raises(Reverted, match="OwnableUnauthorized"):
        oracle.send(BOB, "setSettings", SETTINGS)


def test_reporters_have_a_bound() -> None:
    """There are at most 31 reporters; removing one makes room."""
    world = World()
    oracle = median(world, 0)
    many = [Address(i.to_bytes(20, "big")) for i in range(1, 33)]
    for each in many[:31]:
        oracle.send(OWNER, "setReporter", each, True)
    with pytest.raises(Reverted, match="TooManyReporters"):
        oracle.send(OWNER, "setReporter", many[31], True)
    oracle.send(OWNER, "setReporter", many[5], False)
    oracle.send(OWNER, "setReporter", many[31], True)
    assert len(oracle.read("reporters")) == 31
    assert oracle.read("quorum") == 21


def test_price_of_a_market_by_feeds() -> None:
    """Decimals of tokens and feeds are taken into account: raw loan units per raw collateral."""
    world = World()
    for collateral, loan, places, loan_places in ((18, 6, 8, 8), (6, 18, 18, 8), (0, 24, 8, 6)):
        base = world.deploy("Feed", places, 3 * 10**places)
        quote = world.deploy("Feed", loan_places, 2 * 10**loan_places)
        feeds = (base.address, quote.address, 3600, collateral, loan)
        oracle = world.deploy("MarketOracle", feeds, NO_AVERAGE, BOB)
        exact = Fraction(3, 2) * Fraction(10) ** (loan - collateral) * 10**36
        assert abs(oracle.read("price") - exact) < 1
    base = world.deploy("Feed", 8, 3 * ONE)
    alone = world.deploy("MarketOracle", (base.address, ZERO_ADDRESS, 3600, 18, 6), NO_AVERAGE, BOB)
    assert alone.read("price") == 3 * 10**24


@pytest.mark.parametrize(
    ("function", "values"),
    [
        ("set", (0, START)),
        ("set", (-5, START)),
        ("set", (ONE, START - 3601)),
        ("set", (ONE, START + 1)),
        ("set", (2**200, START)),
        ("setRound", (2, 1, False)),
        ("setRound", (1, 1, True)),
    ],
)
def test_bad_feeds_give_no_price(function: str, values: tuple[Any, ...]) -> None:
    """Zero, negative, stale, future, absurd, carried-over and broken rounds are no price."""
    world = World()
    feed = world.deploy("Feed", 8, ONE)
    oracle = world.deploy(
        "MarketOracle", (feed.address, ZERO_ADDRESS, 3600, 18, 18), NO_AVERAGE, BOB
    )
    assert oracle.read("isFeedGood")
    feed.send(BOB, function, *values)
    assert not oracle.read("isFeedGood")
    with pytest.raises(Reverted, match="PriceUnavailable"):
        oracle.read("price")


@pytest.mark.parametrize("side", [0, 1])
def test_average_when_feeds_fail(side: int) -> None:
    """With stale feeds the price is the pool's average: near it, slow to move, never the spot."""
    exchange = new_exchange()
    world = exchange.world
    one, two = exchange.tokens()
    key = exchange.pool(one.address, two.address, Fraction(4))
    exchange.add(ALICE, key, -60_000, 60_000, 1000 * UNIT)
    feed = world.deploy("Feed", 8, 9 * ONE)
    average = (exchange.amm.address, key, 600, 100 * UNIT)
    feeds = (feed.address, ZERO_ADDRESS, 3600, 18, 18)
    oracle = world.deploy("MarketOracle", feeds, average, key[side])
    assert oracle.read("price") == 9 * 10**36
    feed.send(BOB, "set", 9 * ONE, START - 4000)
    with pytest.raises(Reverted, match="PriceUnavailable"):
        oracle.read("price")
    world.wait(601)
    exact = Fraction(4) if side == 0 else Fraction(1, 4)
    assert abs(Fraction(oracle.read("price"), 10**36) / exact - 1) < Fraction(1, 5000)
    exchange.amm.send(BOB, "growHistory", key, 8)
    exchange.swap(BOB, key[0], [hop(key[1])], 500 * UNIT)
    assert abs(Fraction(oracle.read("price"), 10**36) / exact - 1) < Fraction(1, 5000)
    world.wait(6)
    assert abs(Fraction(oracle.read("price"), 10**36) / exact - 1) < Fraction(1, 50)
    exchange.remove(ALICE, key, -60_000, 60_000, 950 * UNIT)
    with pytest.raises(Reverted, match="PriceUnavailable"):
        oracle.read("price")


def test_bad_market_oracles() -> None:
    """An oracle without a source, with a short window or for another token is not made."""
    exchange = new_exchange()
    key = (ALICE, BOB, 3000, 60)
    none = (ZERO_ADDRESS, ZERO_ADDRESS, 3600, 18, 18)
    amm = exchange.amm.address
    for average in (NO_AVERAGE, (amm, key, 59, 1), (amm, key, 60, 0), (amm, key, 60, 1)):
        with pytest.raises(Reverted, match="BadOracle"):
            exchange.world.deploy("MarketOracle", none, average, OWNER)
    assert FAR
