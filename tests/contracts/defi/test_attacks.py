"""Famous attacks: each succeeds against a copy with one defence taken out, and fails against ours.

The copies are built by `weak.py`. An attack is one function that returns what the attacker gained
or the victim lost, in units; it is run against both, and only the name of the contract differs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from primitives.types import ZERO_ADDRESS
from tests.contracts.defi.bank import HUNDRED, ONE, Bank, new_bank, rich_token
from tests.contracts.defi.exchange import FAR, hop, new_exchange, root_of
from tests.contracts.defi.machine_amm import price_at
from tests.contracts.defi.weak import (
    ARTIFACTS,
    HELPERS,
    WEAKNESSES,
    digest,
    texts_of,
    texts_of_helper,
)
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    CAROL,
    EVE,
    MAX,
    NATIVE,
    OWNER,
    UNIT,
    Reverted,
    World,
    move,
)

STOPPED = 0
"""What an attack returns when it was refused outright."""


def burning_token_drains_the_pool(amm: str) -> int:
    """STA on Balancer, 2020: a pool that books what was sent pays out more than it got."""
    exchange = new_exchange(amm)
    plain, burning = exchange.token(), exchange.token(1)
    key = exchange.pool(plain.address, burning.address)
    exchange.add(ALICE, key, -6000, 6000, 1000 * UNIT)
    for _ in range(4):
        exchange.swap(EVE, burning.address, [hop(plain.address)], 100 * UNIT)
        back = plain.read("balanceOf", EVE) - 10**30
        exchange.swap(EVE, plain.address, [hop(burning.address)], back)
    try:
        exchange.remove(ALICE, key, -6000, 6000, 1000 * UNIT)
    except Reverted:
        return 1000 * UNIT
    return 0


def rounding_in_exact_out(amm: str) -> int:
    """Balancer v2, November 2025: outputs of one unit that cost nothing, many times."""
    exchange = new_exchange(amm)
    one, two = exchange.tokens()
    key = exchange.pool(one.address, two.address, 4)
    exchange.add(ALICE, key, 6000, 24_000, 10**6)
    start = [each.read("balanceOf", EVE) for each in (one, two)]
    for _ in range(20):
        exchange.swap(EVE, one.address, [hop(two.address)], 1, out=True)
    end = [each.read("balanceOf", EVE) for each in (one, two)]
    return int(max(0, sum(end) - sum(start)))


def crossing_a_tick_twice(amm: str) -> int:
    """KyberSwap Elastic, November 2023: stop exactly on a tick and cross it again."""
    exchange = new_exchange(amm)
    one, two = exchange.tokens()
    key = exchange.pool(one.address, two.address)
    exchange.add(ALICE, key, -6000, 6000, 100 * UNIT)
    exchange.add(ALICE, key, -600, -60, 1000 * UNIT)
    on_tick = (key, True, 10**6 * UNIT, price_at(-60), 0, EVE, FAR)
    exchange.amm.send(EVE, "swapToPrice", *on_tick)
    below = (key, True, 10**6 * UNIT, price_at(-61), 0, EVE, FAR)
    exchange.amm.send(EVE, "swapToPrice", *below)
    invented = int(exchange.amm.read("poolOf", key)[2]) - 1100 * UNIT
    return max(0, invented)


def reading_in_between(amm: str) -> int:
    """Curve's liquidity prices, 2022-23: read a pool from the receiver of its native coin.

    The price of liquidity as a lender would read it: what lies there by what liquidity is left.
    """
    exchange = new_exchange(amm)
    token = exchange.token()
    key = exchange.pool(NATIVE, token.address)
    exchange.add(ALICE, key, -600, 600, UNIT)
    world, puppet = exchange.world, exchange.world.deploy("Puppet")
    world.give(puppet.address, 10**24)
    token.send(EVE, "mint", puppet.address, 10**24)
    wish = (key, -600, 600, 99 * UNIT)
    bounds = (10**24, 10**24, b"\0" * 32)
    moves = [
        move(token, "approve", exchange.amm.address, MAX),
        move(exchange.amm, "addLiquidity", (*wish, *bounds, FAR), value=10**23),
    ]
    puppet.send(EVE, "run", moves)
    before = Fraction(exchange.held(token.address), exchange.amm.read("poolOf", key)[2])
    look = move(exchange.amm, "poolOf", key, fails=True)
    puppet.send(EVE, "plan", [look, move(token, "balanceOf", exchange.amm.address)])
    leave = (*wish, 0, 0, b"\0" * 32, puppet.address, FAR)
    puppet.send(EVE, "run", [move(exchange.amm, "removeLiquidity", leave)])
    worked, outputs = puppet.read("results")
    if not worked[-3]:
        return STOPPED
    liquidity = int.from_bytes(outputs[-3][64:96], "big")
    seen = Fraction(int.from_bytes(outputs[-2], "big"), liquidity)
    return int(seen / before) - 1


def gift_before_the_first_supplier(lending: str) -> int:
    """Hundred, Sonne, Onyx 2023-24: one share, a gift, and the next supplier's money is shared."""
    bank = new_bank(lending)
    bank.supply(EVE, 1)
    bank.loan.send(EVE, "transfer", bank.lending.address, 1000 * UNIT)
    before = bank.of(bank.loan, ALICE)
    bank.supply(ALICE, 1000 * UNIT)
    bank.withdraw(ALICE)
    lost = before - bank.of(bank.loan, ALICE)
    return 0 if lost <= 1 else lost


def liquidating_oneself(lending: str) -> int:
    """Euler, March 2023: make oneself unhealthy, liquidate oneself, leave the debt to others."""
    bank = new_bank(lending)
    bank.supply(ALICE, 1000 * UNIT)
    bank.pledge(EVE, 100 * UNIT)
    bank.borrow(EVE, 75 * UNIT)
    try:
        bank.unpledge(EVE, 99 * UNIT)
    except Reverted as error:
        assert error.error == "Unhealthy"
        return STOPPED
    bank.liquidate(CAROL, EVE)
    before = bank.of(bank.loan, ALICE)
    bank.withdraw(ALICE)
    return 1000 * UNIT - (bank.of(bank.loan, ALICE) - before)


def supplying_twice_with_one_transfer(lending: str) -> int:
    """Lendf.me, Cream 2020-21: a token that calls back in the middle of a measured transfer."""
    bank = new_bank(lending)
    bank.supply(ALICE, 1000 * UNIT)
    world, loan = bank.world, bank.loan
    puppet = world.deploy("Puppet")
    loan.send(EVE, "mint", puppet.address, 20 * UNIT)
    inner = move(bank.lending, "supply", bank.params, 10 * UNIT, puppet.address, fails=True)
    puppet.send(EVE, "plan", [inner])
    loan.send(EVE, "set", 8, 0, puppet.address)
    moves = [
        move(loan, "approve", bank.lending.address, MAX),
        move(bank.lending, "supply", bank.params, 10 * UNIT, puppet.address),
        move(bank.lending, "withdraw", bank.params, MAX, puppet.address, puppet.address),
    ]
    puppet.send(EVE, "run", moves)
    return int(max(0, loan.read("balanceOf", puppet.address) - 20 * UNIT))


def borrowing_on_a_price_of_one_block(oracle: str) -> int:
    """Mango, bZx: push a pool, borrow against its price in the same block, and keep the loan."""
    exchange = new_exchange()
    world = exchange.world
    lending = world.deploy("Lending", OWNER, ZERO_ADDRESS)
    loan, collateral = (exchange.token() for _ in range(2))
    for token in (loan, collateral):
        for who in (ALICE, EVE):
            token.send(who, "approve", lending.address, MAX)
    key = exchange.pool(loan.address, collateral.address)
    exchange.add(ALICE, key, -60_000, 60_000, 1000 * UNIT)
    exchange.amm.send(ALICE, "growHistory", key, 10)
    world.wait(1000)
    none = (ZERO_ADDRESS, ZERO_ADDRESS, 3600, 18, 18)
    average = (exchange.amm.address, key, 600, UNIT)
    priced = world.deploy(oracle, none, average, collateral.address)
    params = (
        *(loan.address, 7500, 8000, 500, 5000, 1000, 8000),
        *(collateral.address, 100, 400, 10_000, priced.address),
    )
    lending.send(OWNER, "createMarket", params, 10**30, 10**30, 0)
    lending.send(ALICE, "supply", params, 10_000 * UNIT, ALICE)
    start = [each.read("balanceOf", EVE) for each in (loan, collateral)]
    lending.send(EVE, "supplyCollateral", params, 100 * UNIT, EVE)
    push = 9_000 * UNIT
    exchange.swap(EVE, loan.address, [hop(collateral.address)], push)
    bought = collateral.read("balanceOf", EVE) - (start[1] - 100 * UNIT)
    try:
        lending.send(EVE, "borrow", params, 2_000 * UNIT, EVE, EVE)
    except Reverted as error:
        assert error.error == "Unhealthy"
    exchange.swap(EVE, collateral.address, [hop(loan.address)], bought)
    end = [each.read("balanceOf", EVE) for each in (loan, collateral)]
    return int(max(0, sum(end) - sum(start)))


def answer_of_one_block(oracle: str) -> int:
    """Three of four reporters are stolen for a moment: by how much does the answer move?"""
    world = World()
    made = world.deploy(oracle, OWNER, 8, "test", (3600, 60, 500, 1, 10**15))
    reporters = (ALICE, BOB, CAROL, EVE)
    for each in reporters:
        made.send(OWNER, "setReporter", each, True)
        made.send(each, "report", 10**8)
    world.wait(1)
    for each in reporters[1:]:
        made.send(each, "report", 10**12)
    world.wait(1)
    made.send(EVE, "poke")
    return int(made.read("latestRoundData")[1]) - 10**8


def principal_paid_as_reward(farming: str) -> int:
    """StakingRewards with one token: a fund of one unit pays the stakers' principal out."""
    world = World()
    made = world.deploy(farming, OWNER, ZERO_ADDRESS)
    token = rich_token(world, made)
    made.send(ALICE, "createFarm", token.address, token.address, UNIT, 86_400)
    made.send(ALICE, "stake", 0, 1000 * UNIT)
    made.send(EVE, "createFarm", token.address, token.address, 1, 60)
    before = token.read("balanceOf", EVE)
    made.send(EVE, "stake", 1, UNIT)
    world.wait(60)
    made.send(EVE, "exit", 1)
    return int(max(0, token.read("balanceOf", EVE) - before - 1))


ATTACKS: tuple[tuple[str, str, Callable[[str], int]], ...] = (
    ("AmmBooksWhatWasSent", "Amm", burning_token_drains_the_pool),
    ("AmmRoundsDownExactOut", "Amm", rounding_in_exact_out),
    ("AmmCrossesTwice", "Amm", crossing_a_tick_twice),
    ("AmmAnswersInBetween", "Amm", reading_in_between),
    ("LendingByBalance", "Lending", gift_before_the_first_supplier),
    ("LendingLetsCollateralGo", "Lending", liquidating_oneself),
    ("LendingUnlocked", "Lending", supplying_twice_with_one_transfer),
    ("MarketOracleBySpot", "MarketOracle", borrowing_on_a_price_of_one_block),
    ("MedianOracleJumps", "MedianOracle", answer_of_one_block),
    ("FarmingByBalance", "Farming", principal_paid_as_reward),
)


def test_every_weakness_has_its_attack() -> None:
    """No weakened copy without an attack on it."""
    assert [each.name for each in WEAKNESSES] == [weak for weak, _, _ in ATTACKS]


def test_copies_are_of_our_sources() -> None:
    """Each copy was made of the sources as they are now, with its edits and no other."""
    wanted = {each.name: digest(texts_of(each)) for each in WEAKNESSES}
    wanted |= {name: digest(texts_of_helper(name)) for name in HELPERS}
    found = {each.stem: json.loads(each.read_text())["textsSha256"] for each in ARTIFACTS.iterdir()}
    assert found == wanted, "run: python -m tests.contracts.defi.weak"


@pytest.mark.parametrize(("weak", "ours", "attack"), ATTACKS, ids=[a[0] for a in ATTACKS])
def test_attack(weak: str, ours: str, attack: Callable[[str], int]) -> None:
    """The attack works where the defence is missing, and gains nothing here."""
    assert attack(weak) > 0, "the attack is not shown: it fails even without the defence"
    assert attack(ours) == 0


def test_self_liquidation_after_a_fall_is_no_gift() -> None:
    """Who liquidates himself after a fall of the price gains nothing over repaying."""
    bank: Bank = new_bank()
    bank.supply(ALICE, 1000 * UNIT)
    bank.pledge(EVE, HUNDRED)
    bank.borrow(EVE, 75 * UNIT)
    bank.set_price(ONE * 90 // 100)
    bank.liquidate(EVE, EVE)
    bank.repay(EVE)
    bank.unpledge(EVE, bank.shares(EVE)[2])
    assert bank.of(bank.loan, EVE) <= 10**30 and bank.of(bank.collateral, EVE) <= 10**30


def test_flash_loan_cannot_move_a_market() -> None:
    """Within a flash loan of everything, shares, debts and health are what they were."""
    bank = new_bank()
    bank.supply(ALICE, 1000 * UNIT)
    bank.pledge(BOB, HUNDRED)
    bank.borrow(BOB, 70 * UNIT)
    before = bank.lending.read("healthOf", bank.id, BOB), bank.balances(ALICE)
    puppet = bank.world.deploy("Puppet")
    bank.loan.send(EVE, "mint", puppet.address, UNIT)
    looks = [
        move(bank.lending, "healthOf", bank.id, BOB),
        move(bank.lending, "balancesOf", bank.id, ALICE),
        move(bank.loan, "approve", bank.lending.address, MAX),
    ]
    puppet.send(EVE, "plan", looks)
    loan = move(bank.lending, "flashLoan", puppet.address, bank.loan.address, 930 * UNIT, b"")
    puppet.send(EVE, "run", [loan])
    _, outputs = puppet.read("results")
    words: list[Any] = [int.from_bytes(outputs[0], "big")]
    words.append(tuple(int.from_bytes(outputs[1][i : i + 32], "big") for i in (0, 32, 64)))
    assert tuple(words) == before
    assert root_of(1) == 2**96
