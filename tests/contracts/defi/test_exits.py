"""The exit policy: who may take value out of exchange, lending and farming, once one is set.

Each exit of each protocol is tried with a holder that the policy refuses and with a recipient that
it refuses; whatever brings value in, or lowers a debt, is never asked. A planted bug (an exit that
asks about the recipient alone, or about nobody) fails `test_every_exit_asks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.defi.bank import CAP, FACTORS, FIELDS, ONE
from tests.contracts.defi.exchange import FAR, NO_SALT, Exchange, hop
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    CAROL,
    EVE,
    MAX,
    NATIVE,
    OWNER,
    PEOPLE,
    RICHES,
    UNIT,
    Contract,
    Reverted,
    World,
    move,
    text,
)


@dataclass
class Town:
    """All protocols with one policy. Alice is in each of them; Carol's loan can be liquidated."""

    world: World
    policy: Contract
    amm: Contract
    lending: Contract
    farming: Contract
    key: tuple[Any, ...]
    coins: tuple[Any, ...]
    market: tuple[Any, ...]
    puppet: Contract

    def everywhere(self, policy: Address) -> None:
        """Set the policy of every protocol."""
        for each in (self.amm, self.lending, self.farming):
            each.send(OWNER, "setExitPolicy", policy)

    def refuse(self, *accounts: Address) -> None:
        """Have the policy refuse these."""
        for each in accounts:
            self.policy.send(OWNER, "refuse", each, True)


def _town() -> Town:
    world = World()
    made = [world.deploy(each, OWNER, ZERO_ADDRESS) for each in ("Amm", "Lending", "Farming")]
    amm, lending, farming = made
    puppet = world.deploy("Puppet")
    tokens = sorted((world.deploy("HostileToken", 0, 18) for _ in "12"), key=lambda t: t.address)
    for token in tokens:
        for who in (*PEOPLE, puppet.address):
            token.send(OWNER, "mint", who, RICHES)
        for place in made:
            for who in PEOPLE:
                token.send(who, "approve", place.address, MAX)
            puppet.send(OWNER, "run", [move(token, "approve", place.address, MAX)])
    one, two = (each.address for each in tokens)
    exchange = Exchange(world, amm)
    key, coins = exchange.pool(one, two), exchange.pool(NATIVE, two)
    for each in (key, coins):
        exchange.add(ALICE, each, -600, 600, 100 * UNIT)
    exchange.add(ALICE, key, -1200, -600, UNIT)
    exchange.add(ALICE, key, 600, 1200, UNIT)
    exchange.swap(BOB, one, [hop(two)], UNIT)
    amm.send(OWNER, "setProtocolShare", key, 4)
    exchange.swap(BOB, two, [hop(one)], UNIT)
    feed = world.deploy("Feed", 36, ONE)
    market = tuple(
        {**FACTORS, "loan": one, "collateral": two, "oracle": feed.address}[each] for each in FIELDS
    )
    lending.send(OWNER, "createMarket", market, CAP, CAP, 0)
    lending.send(ALICE, "supply", market, 100 * UNIT, ALICE)
    for who in (ALICE, CAROL):
        lending.send(who, "supplyCollateral", market, 100 * UNIT, who)
    lending.send(ALICE, "borrow", market, UNIT, ALICE, ALICE)
    lending.send(CAROL, "borrow", market, 70 * UNIT, CAROL, CAROL)
    farming.send(ALICE, "createFarm", one, two, 864 * UNIT, 86_400)
    farming.send(ALICE, "stake", 0, UNIT)
    farming.send(BOB, "stake", 0, UNIT)
    world.wait(3_600)
    farming.send(BOB, "emergencyWithdraw", 0)
    feed.send(OWNER, "set", ONE * 8 // 10, world.time)
    puppet.send(EVE, "run", [move(lending, "flashLoan", puppet.address, one, UNIT, b"")])
    policy = world.deploy("Policy")
    return Town(world, policy, amm, lending, farming, key, coins, market, puppet)


@pytest.fixture(scope="module")
def made() -> tuple[Town, tuple[Any, ...]]:
    town = _town()
    town.everywhere(town.policy.address)
    return town, town.world.snapshot()


@pytest.fixture
def town(made: tuple[Town, tuple[Any, ...]]) -> Iterator[Town]:
    found, kept = made
    found.world.restore(kept)
    yield found


Way = Callable[[Town, Address], None]


def _remove(town: Town, to: Address) -> None:
    wish = (town.key, -600, 600, UNIT, 0, 0, NO_SALT, to, FAR)
    town.amm.send(ALICE, "removeLiquidity", wish)


def _remove_first_token(town: Town, to: Address) -> None:
    town.amm.send(ALICE, "removeLiquidity", (town.key, 600, 1200, UNIT, 0, 0, NO_SALT, to, FAR))


def _remove_second_token(town: Town, to: Address) -> None:
    town.amm.send(ALICE, "removeLiquidity", (town.key, -1200, -600, UNIT, 0, 0, NO_SALT, to, FAR))


def _earnings(town: Town, to: Address) -> None:
    wish = (town.key, -600, 600, 0, 0, 0, NO_SALT, to, FAR)
    town.amm.send(ALICE, "removeLiquidity", wish)


def _excess(town: Town, to: Address) -> None:
    wish = (town.key, -600, 600, 1, MAX, MAX, NO_SALT, FAR)
    town.amm.send(to, "addLiquidity", wish)


def _swap_in(town: Town, to: Address) -> None:
    values = (town.key[0], [hop(town.key[1])], 1000, 0, to, FAR)
    town.amm.send(ALICE, "swapExactIn", *values)


def _swap_out(town: Town, to: Address) -> None:
    values = (town.key[0], [hop(town.key[1])], 1000, MAX, to, FAR)
    town.amm.send(ALICE, "swapExactOut", *values)


def _swap_to_coins(town: Town, to: Address) -> None:
    values = (town.coins[1], [hop(NATIVE)], 1000, 0, to, FAR)
    town.amm.send(ALICE, "swapExactIn", *values)


def _swap_to_price(town: Town, to: Address) -> None:
    values = (town.key, True, 1000, 2**80, 0, to, FAR)
    town.amm.send(ALICE, "swapToPrice", *values)


def _amm_flash(town: Town, _: Address) -> None:
    repay = move(
        Contract(town.world, "HostileToken", town.key[0]), "transfer", town.amm.address, 2000
    )
    town.puppet.send(ALICE, "plan", [repay])
    town.puppet.send(ALICE, "run", [move(town.amm, "flash", town.key, 1000, 0, b"")])


def _protocol_fees(town: Town, to: Address) -> None:
    town.amm.send(OWNER, "takeProtocolFees", town.key[1], to)


def _withdraw(town: Town, to: Address) -> None:
    town.lending.send(ALICE, "withdraw", town.market, 1000, ALICE, to)


def _unpledge(town: Town, to: Address) -> None:
    town.lending.send(ALICE, "withdrawCollateral", town.market, 1000, ALICE, to)


def _borrow(town: Town, to: Address) -> None:
    town.lending.send(ALICE, "borrow", town.market, 1000, ALICE, to)


def _by_operator(town: Town, to: Address) -> None:
    town.lending.send(ALICE, "setOperator", BOB, True)
    town.lending.send(BOB, "withdraw", town.market, 1000, ALICE, to)


def _liquidate(town: Town, _: Address) -> None:
    town.lending.send(ALICE, "liquidate", town.market, CAROL, UNIT, 0)


def _flash_loan(town: Town, _: Address) -> None:
    values = (town.puppet.address, town.market[0], 1000, b"")
    town.lending.send(ALICE, "flashLoan", *values)


def _reserves(town: Town, to: Address) -> None:
    town.lending.send(OWNER, "takeReserves", town.market, 1, to)


def _flash_fees(town: Town, to: Address) -> None:
    town.lending.send(OWNER, "takeFlashFees", town.market[0], to)


def _unstake(town: Town, _: Address) -> None:
    town.farming.send(ALICE, "withdraw", 0, 1)


def _claim(town: Town, _: Address) -> None:
    town.farming.send(ALICE, "claim", 0)


def _exit(town: Town, _: Address) -> None:
    town.farming.send(ALICE, "exit", 0)


def _emergency(town: Town, _: Address) -> None:
    town.farming.send(ALICE, "emergencyWithdraw", 0)


def _reclaim(town: Town, to: Address) -> None:
    town.farming.send(ALICE, "reclaim", 0, to)


TO_ANYBODY: tuple[tuple[Way, Address], ...] = (
    *((each, ALICE) for each in (_remove, _earnings, _swap_in, _swap_out, _swap_to_coins)),
    *((each, ALICE) for each in (_remove_first_token, _remove_second_token)),
    *((each, ALICE) for each in (_swap_to_price, _withdraw, _unpledge, _borrow, _by_operator)),
    *((each, OWNER) for each in (_protocol_fees, _reserves, _flash_fees)),
    (_reclaim, ALICE),
)
"""Exits with a recipient to choose, and whose value leaves."""
TO_ONESELF: tuple[Way, ...] = (_excess, _liquidate, _unstake, _claim, _exit, _emergency)


def _name(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("way", "holder"), TO_ANYBODY, ids=_name)
def test_every_exit_asks(way: Way, holder: Address, town: Town) -> None:
    """Neither who had the value nor who receives it may be refused; Eve is refused, Bob is not."""
    kept = town.world.snapshot()
    way(town, BOB)
    town.world.restore(kept)
    town.refuse(EVE)
    with pytest.raises(Reverted, match="ExitRefused"):
        way(town, EVE)
    town.world.restore(kept)
    town.refuse(holder)
    with pytest.raises(Reverted, match="ExitRefused"):
        way(town, BOB)


@pytest.mark.parametrize("way", TO_ONESELF, ids=_name)
def test_exits_to_oneself(way: Way, town: Town) -> None:
    """What goes to the caller alone is asked about the caller."""
    town.refuse(ALICE)
    with pytest.raises(Reverted, match="ExitRefused"):
        way(town, ALICE)
    town.policy.send(OWNER, "refuse", ALICE, False)
    way(town, ALICE)


@pytest.mark.parametrize("way", [_amm_flash, _flash_loan], ids=_name)
def test_flash_loans_ask_about_their_receiver(way: Way, town: Town) -> None:
    """Whoever holds the loan must be allowed to, if only for one call."""
    town.refuse(town.puppet.address)
    with pytest.raises(Reverted, match="ExitRefused"):
        way(town, ALICE)
    town.policy.send(OWNER, "refuse", town.puppet.address, False)
    way(town, ALICE)


def test_what_comes_in_asks_nobody(town: Town) -> None:
    """Refused accounts add, supply, pledge, stake, repay and are liquidated."""
    town.refuse(ALICE, CAROL)
    wish = (town.key, -6000, 6000, UNIT, MAX, MAX, NO_SALT, FAR)
    town.amm.send(ALICE, "addLiquidity", wish)
    town.lending.send(ALICE, "supply", town.market, UNIT, ALICE)
    town.lending.send(ALICE, "supplyCollateral", town.market, UNIT, ALICE)
    town.lending.send(ALICE, "repay", town.market, MAX, ALICE)
    town.lending.send(EVE, "liquidate", town.market, CAROL, UNIT, 0)
    town.farming.send(ALICE, "stake", 0, UNIT)


def test_unspent_coins_go_back(town: Town) -> None:
    """What a caller brought and the call did not need is its own; the policy is not asked of it."""
    town.refuse(ALICE)
    before = town.world.balance(ALICE)
    wish = (town.coins, 60, 120, UNIT, MAX, MAX, NO_SALT, FAR)
    town.amm.send(ALICE, "addLiquidity", wish, value=UNIT)
    assert before - UNIT < town.world.balance(ALICE) < before


def test_a_policy_that_fails_locks_nothing_for_ever(town: Town) -> None:
    """A policy that burns all gas stops exits, and nothing else; the owner takes it away."""
    town.policy.send(OWNER, "breakDown")
    for way in (_remove, _withdraw, _claim):
        with pytest.raises(Reverted):
            way(town, ALICE)
    town.lending.send(ALICE, "repay", town.market, MAX, ALICE)
    town.everywhere(ZERO_ADDRESS)
    for way in (_remove, _withdraw, _claim):
        way(town, ALICE)


def test_the_owner_alone_sets_it(town: Town) -> None:
    """It is an account with code or nobody, and each change is told."""
    for each in (town.amm, town.lending, town.farming):
        assert each.read("exitPolicy") == text(town.policy.address)
        with pytest.raises(Reverted, match="OwnableUnauthorizedAccount"):
            each.send(ALICE, "setExitPolicy", ZERO_ADDRESS)
        with pytest.raises(Reverted, match="NoCode"):
            each.send(OWNER, "setExitPolicy", ALICE)
        each.send(OWNER, "setExitPolicy", ZERO_ADDRESS)
        assert each.events() == [("ExitPolicySet", {"policy": text(ZERO_ADDRESS)})]
        assert each.read("exitPolicy") == text(ZERO_ADDRESS)
    made = town.world.deploy("Farming", OWNER, town.policy.address)
    assert made.read("exitPolicy") == text(town.policy.address)
    with pytest.raises(Reverted, match="NoCode"):
        town.world.deploy("Farming", OWNER, ALICE)
