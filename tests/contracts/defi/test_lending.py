"""Lending: each function and each refusal, interest, liquidation, bad debt, flash loans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import exp
from typing import Any

import pytest

from tests.contracts.defi.bank import FIELDS, HUNDRED, ONE, YEAR, Bank, new_bank
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    CAROL,
    EVE,
    MAX,
    OWNER,
    UNIT,
    Reverted,
    move,
)


@pytest.fixture(scope="module")
def made() -> tuple[Bank, tuple[Any, ...]]:
    """A market where Alice lends 1000 and Bob borrows 70 on 100 of collateral."""
    bank = new_bank()
    bank.supply(ALICE, 10 * HUNDRED)
    bank.pledge(BOB, HUNDRED)
    bank.borrow(BOB, 70 * UNIT)
    return bank, bank.world.snapshot()


@pytest.fixture
def bank(made: tuple[Bank, tuple[Any, ...]]) -> Iterator[Bank]:
    found, kept = made
    found.world.restore(kept)
    yield found


def test_balances(bank: Bank) -> None:
    """What was moved is what the books say, for each of the three sides."""
    assert bank.balances(ALICE) == (10 * HUNDRED, 0, 0)
    assert bank.balances(BOB) == (0, 70 * UNIT, HUNDRED)
    assert bank.of(bank.loan, bank.lending.address) == 930 * UNIT
    assert bank.lending.read("healthOf", bank.id, BOB) == 80 * 10_000 // 70
    assert bank.lending.read("healthOf", bank.id, ALICE) == MAX
    assert bank.lending.read("paramsOf", bank.id) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("collateralFactor", 8000),
        ("liquidationFactor", 9524),
        ("bonus", 2500),
        ("closeFactor", 0),
        ("closeFactor", 10_001),
        ("reserveFactor", 5001),
        ("kink", 0),
        ("kink", 10_000),
        ("rateJump", 100_000),
        ("oracle", b"\x11" * 20),
        ("loan", b"\x11" * 20),
        ("collateral", b"\x11" * 20),
    ],
)
def test_bad_markets(bank: Bank, field: str, value: Any) -> None:
    """A market that could harm by its parameters alone is not made, nor one by a stranger."""
    params = list(bank.params)
    params[FIELDS.index(field)] = value
    with pytest.raises(Reverted, match="BadParams"):
        bank.lending.send(OWNER, "createMarket", tuple(params), 1, 1, 0)


def test_markets_are_made_once_by_the_owner(bank: Bank) -> None:
    """The same parameters name the same market; an unknown one answers nobody."""
    with pytest.raises(Reverted, match="MarketExists"):
        bank.lending.send(OWNER, "createMarket", bank.params, 1, 1, 0)
    params = (*bank.params[:-1], bank.loan.address)
    with pytest.raises(Reverted, match="OwnableUnauthorized"):
        bank.lending.send(BOB, "createMarket", params, 1, 1, 0)
    for function, values in (
        ("supply", (1, BOB)),
        ("withdraw", (1, BOB, BOB)),
        ("supplyCollateral", (1, BOB)),
        ("withdrawCollateral", (1, BOB, BOB)),
        ("borrow", (1, BOB, BOB)),
        ("repay", (1, BOB)),
        ("liquidate", (BOB, 1, 0)),
        ("accrue", ()),
    ):
        with pytest.raises(Reverted, match="UnknownMarket"):
            bank.lending.send(BOB, function, params, *values)


def test_nothing_is_refused(bank: Bank) -> None:
    """An amount of zero is a mistake everywhere."""
    acts: tuple[Callable[[], None], ...] = (
        lambda: bank.supply(ALICE, 0),
        lambda: bank.withdraw(ALICE, 0),
        lambda: bank.pledge(BOB, 0),
        lambda: bank.unpledge(BOB, 0),
        lambda: bank.borrow(BOB, 0),
        lambda: bank.repay(BOB, 0),
        lambda: bank.repay(CAROL, 5),
        lambda: bank.withdraw(CAROL),
    )
    for act in acts:
        with pytest.raises(Reverted, match="Zero"):
            act()


def test_health_bounds_debt_and_collateral(bank: Bank) -> None:
    """Debt up to exactly the factor is allowed, and not one unit more; so for collateral."""
    bank.borrow(BOB, 5 * UNIT)
    with pytest.raises(Reverted, match="Unhealthy"):
        bank.borrow(BOB, 1)
    with pytest.raises(Reverted, match="Unhealthy"):
        bank.unpledge(BOB, 1)
    bank.repay(BOB, 3 * UNIT)
    bank.unpledge(BOB, 4 * UNIT)
    with pytest.raises(Reverted, match="Unhealthy"):
        bank.unpledge(BOB, 1)
    bank.repay(BOB)
    bank.unpledge(BOB, 96 * UNIT)
    assert bank.shares(BOB) == (0, 0, 0)


def test_only_who_is_allowed(bank: Bank) -> None:
    """Nobody moves another's money, unless as an operator, and only while it is one."""
    calls = (
        ("withdraw", (UNIT, ALICE, EVE)),
        ("borrow", (UNIT, BOB, EVE)),
        ("withdrawCollateral", (1, BOB, EVE)),
    )
    for function, values in calls:
        with pytest.raises(Reverted, match="NotAllowed"):
            bank.lending.send(EVE, function, bank.params, *values)
    for who in (ALICE, BOB):
        bank.lending.send(who, "setOperator", EVE, True)
    for function, values in calls:
        bank.lending.send(EVE, function, bank.params, *values)
    bank.lending.send(ALICE, "setOperator", EVE, False)
    with pytest.raises(Reverted, match="NotAllowed"):
        bank.lending.send(EVE, *calls[0][:1], bank.params, *calls[0][1])


def test_cash_and_caps(bank: Bank) -> None:
    """Nobody takes more than the market's cash, and caps hold to the unit."""
    with pytest.raises(Reverted, match="NoCash"):
        bank.withdraw(ALICE, 930 * UNIT + 1)
    bank.withdraw(ALICE, 930 * UNIT)
    with pytest.raises(Reverted, match="NoCash"):
        bank.borrow(BOB, 1)
    bank.lending.send(OWNER, "setBounds", bank.id, 100 * UNIT, 72 * UNIT, 0, 0)
    with pytest.raises(Reverted, match="CapReached"):
        bank.supply(CAROL, 30 * UNIT + 1)
    bank.supply(CAROL, 30 * UNIT)
    with pytest.raises(Reverted, match="CapReached"):
        bank.borrow(BOB, 2 * UNIT + 1)
    bank.borrow(BOB, 2 * UNIT)
    with pytest.raises(Reverted, match="OwnableUnauthorized"):
        bank.lending.send(BOB, "setBounds", bank.id, 1, 1, 0, 0)


def test_pause(bank: Bank) -> None:
    """A pause stops new supply and debt, and never withdrawing, repaying or liquidating."""
    bank.lending.send(OWNER, "setBounds", bank.id, MAX >> 128, MAX >> 128, 0, 3)
    with pytest.raises(Reverted, match="Paused"):
        bank.supply(ALICE, 1)
    with pytest.raises(Reverted, match="Paused"):
        bank.borrow(BOB, 1)
    bank.withdraw(ALICE, 1)
    bank.repay(BOB, UNIT)
    bank.set_price(ONE * 8 // 10)
    bank.liquidate(EVE, BOB)


def test_interest(bank: Bank) -> None:
    """A year of interest is the exponential of the rate; the reserve has its tenth."""
    used = Fraction(70, 1000)
    rate = 0.01 + 0.04 * float(used / Fraction(8, 10))
    bank.world.wait(YEAR)
    supplied, debt, _ = bank.balances(ALICE)[0], bank.balances(BOB)[1], 0
    assert abs(debt / (70 * UNIT) / exp(rate) - 1) < 1e-6
    interest = debt - 70 * UNIT
    assert abs((supplied - 10 * HUNDRED) / (interest * 0.9) - 1) < 1e-6
    expected = bank.lending.read("expected", bank.id)
    bank.lending.send(EVE, "accrue", bank.params)
    assert tuple(bank.market().values()) == expected
    assert abs(bank.market()["reserves"] / (interest / 10) - 1) < 1e-6
    bank.lending.send(EVE, "accrue", bank.params)
    assert tuple(bank.market().values()) == expected


def test_rate_above_the_kink() -> None:
    """Above the kink the rate jumps: at full use it is base, slope and jump together."""
    bank = new_bank(collateralFactor=9000, liquidationFactor=9100, bonus=100)
    bank.supply(ALICE, HUNDRED)
    bank.pledge(BOB, 10 * HUNDRED)
    bank.borrow(BOB, HUNDRED)
    bank.world.wait(YEAR // 10)
    expected = exp(1.05 / 10)
    assert abs(bank.balances(BOB)[1] / HUNDRED / expected - 1) < 1e-5


def test_everybody_leaves(bank: Bank) -> None:
    """After years of interest the debt ends with what it says, and the lender gets the rest."""
    bank.world.wait(3 * YEAR)
    bank.repay(BOB)
    assert bank.shares(BOB)[1] == 0 == bank.market()["borrowed"] == bank.market()["borrowShares"]
    bank.unpledge(BOB, HUNDRED)
    bank.withdraw(ALICE)
    reserves = bank.market()["reserves"]
    bank.lending.send(OWNER, "takeReserves", bank.params, reserves, CAROL)
    assert bank.of(bank.loan, bank.lending.address) == bank.market()["supplied"] <= 1
    assert bank.of(bank.collateral, bank.lending.address) == 0


def test_liquidation_is_by_halves(bank: Bank) -> None:
    """Just under water, half of the debt is repaid for its worth and 5 % more."""
    with pytest.raises(Reverted, match="Healthy"):
        bank.liquidate(EVE, BOB)
    bank.set_price(ONE * 87 // 100)
    before = bank.of(bank.loan, EVE), bank.of(bank.collateral, EVE)
    bank.liquidate(EVE, BOB)
    assert before[0] - bank.of(bank.loan, EVE) == 35 * UNIT
    seized = bank.of(bank.collateral, EVE) - before[1]
    assert seized == 35 * UNIT * 105 // 100 * 100 // 87
    assert bank.balances(BOB) == (0, 35 * UNIT, HUNDRED - seized)
    assert bank.lending.read("healthOf", bank.id, BOB) > 10_000


def test_liquidation_bounds(bank: Bank) -> None:
    """A liquidator pays at most what it says and takes at least what it asks for."""
    bank.set_price(ONE * 87 // 100)
    with pytest.raises(Reverted, match="TooLittleSeized"):
        bank.lending.send(EVE, "liquidate", bank.params, BOB, UNIT, 2 * UNIT)
    bank.liquidate(EVE, BOB, UNIT)
    assert bank.balances(BOB)[1] == 69 * UNIT


def test_far_under_water_all_at_once(bank: Bank) -> None:
    """Below a health of 0.95 all of the debt may go at once."""
    bank.set_price(ONE * 80 // 100)
    bank.liquidate(EVE, BOB)
    assert bank.balances(BOB)[1] == 0
    assert bank.balances(BOB)[2] == HUNDRED - 70 * UNIT * 105 // 100 * 100 // 80


def test_bad_debt_is_realised(bank: Bank) -> None:
    """What the collateral does not cover falls on the reserve, then on the suppliers, at once."""
    bank.world.wait(YEAR)
    bank.set_price(ONE // 2)
    before = bank.lending.read("expected", bank.id)
    bank.liquidate(EVE, BOB)
    events = dict(bank.lending.events())
    bad = events["BadDebt"]
    assert bank.shares(BOB) == (0, 0, 0)
    assert bad["fromReserves"] == before[4] > 0
    market = bank.market()
    assert (market["borrowed"], market["borrowShares"], market["reserves"]) == (0, 0, 0)
    assert before[0] - market["supplied"] == bad["assets"] - bad["fromReserves"]
    bank.withdraw(ALICE)
    assert bank.of(bank.loan, bank.lending.address) <= 1


def test_smallest_debt(bank: Bank) -> None:
    """No debt below the minimum is taken or left by a liquidation; small ones go whole."""
    bank.lending.send(OWNER, "setBounds", bank.id, MAX >> 128, MAX >> 128, 40 * UNIT, 0)
    bank.pledge(CAROL, HUNDRED)
    with pytest.raises(Reverted, match="DebtTooSmall"):
        bank.borrow(CAROL, 40 * UNIT - 1)
    bank.borrow(CAROL, 40 * UNIT)
    bank.set_price(ONE * 87 // 100)
    with pytest.raises(Reverted, match="DebtTooSmall"):
        bank.liquidate(EVE, BOB, 31 * UNIT)
    bank.liquidate(EVE, BOB)
    assert bank.balances(BOB)[1] == 0


def test_no_price_no_new_risk(bank: Bank) -> None:
    """Without a price nobody borrows, takes pledged collateral or liquidates; repaying works."""
    bank.feed.send(EVE, "setRound", 1, 1, True)
    acts: tuple[Callable[[], None], ...] = (
        lambda: bank.borrow(BOB, 1),
        lambda: bank.unpledge(BOB, 1),
        lambda: bank.liquidate(EVE, BOB),
    )
    for act in acts:
        with pytest.raises(Reverted):
            act()
    bank.repay(BOB)
    bank.unpledge(BOB, HUNDRED)
    bank.withdraw(ALICE)


def test_reserves(bank: Bank) -> None:
    """Only the owner takes reserves, no more than there are."""
    bank.world.wait(YEAR)
    bank.lending.send(EVE, "accrue", bank.params)
    reserves = bank.market()["reserves"]
    with pytest.raises(Reverted, match="OwnableUnauthorized"):
        bank.lending.send(EVE, "takeReserves", bank.params, 1, EVE)
    with pytest.raises(Reverted):
        bank.lending.send(OWNER, "takeReserves", bank.params, reserves + 1, EVE)
    bank.lending.send(OWNER, "takeReserves", bank.params, reserves, EVE)
    assert bank.market()["reserves"] == 0


def test_flash_loan(bank: Bank) -> None:
    """ERC-3156: fee rounded up, the magic answer, repayment taken by allowance, fees booked."""
    lending, loan = bank.lending, bank.loan
    puppet = bank.world.deploy("Puppet")
    assert lending.read("maxFlashLoan", loan.address) == 930 * UNIT
    assert lending.read("maxFlashLoan", CAROL) == 0
    with pytest.raises(Reverted, match="FlashRefused"):
        lending.read("flashFee", CAROL, 1)
    assert [lending.read("flashFee", loan.address, n) for n in (0, 1, 2000, 2001)] == [0, 1, 1, 2]
    borrow = move(lending, "flashLoan", puppet.address, loan.address, 2001, b"")
    with pytest.raises(Reverted):
        puppet.send(EVE, "run", [borrow])
    loan.send(EVE, "mint", puppet.address, 10)
    puppet.send(EVE, "plan", [move(loan, "approve", lending.address, 2003)])
    puppet.send(EVE, "run", [borrow])
    assert lending.read("flashFees", loan.address) == 2
    puppet.send(EVE, "setMute", True)
    with pytest.raises(Reverted, match="FlashRefused"):
        puppet.send(EVE, "run", [borrow])
    with pytest.raises(Reverted):
        puppet.send(EVE, "run", [move(lending, "flashLoan", EVE, loan.address, 1, b"")])
    lending.send(OWNER, "takeFlashFees", loan.address, CAROL)
    assert lending.read("flashFees", loan.address) == 0


def test_flash_liquidation(bank: Bank) -> None:
    """A loan may be used in the same contract: liquidate with it, and pay it back."""
    lending, loan = bank.lending, bank.loan
    bank.set_price(ONE * 8 // 10)
    puppet = bank.world.deploy("Puppet")
    loan.send(EVE, "mint", puppet.address, UNIT)
    everything = move(loan, "approve", lending.address, MAX)
    puppet.send(
        EVE, "plan", [everything, move(lending, "liquidate", bank.params, BOB, 70 * UNIT, 0)]
    )
    loan.send(EVE, "mint", puppet.address, 70 * UNIT)
    puppet.send(
        EVE, "run", [move(lending, "flashLoan", puppet.address, loan.address, 70 * UNIT, b"")]
    )
    assert bank.of(bank.collateral, puppet.address) > 90 * UNIT
    assert bank.of(loan, lending.address) == 1000 * UNIT + lending.read("flashFees", loan.address)


def test_the_last_share_of_debt_ends_for_nothing(bank: Bank) -> None:
    """Rounding lets one borrower's last unit be paid by another: the share left is worth nothing,
    ends for nothing, and keeps collateral until then, because a later loan gives it worth again."""
    bank.pledge(CAROL, HUNDRED)
    bank.borrow(CAROL, 10 * UNIT + 7)
    bank.world.wait(YEAR)
    bank.lending.send(EVE, "accrue", bank.params)
    bank.repay(CAROL, bank.balances(CAROL)[1] - 1)
    bank.repay(BOB)
    assert bank.market()["borrowed"] == 0 < bank.shares(CAROL)[1]
    with pytest.raises(Reverted, match="Unhealthy"):
        bank.unpledge(CAROL, HUNDRED)
    bank.repay(CAROL)
    assert bank.shares(CAROL)[1] == bank.market()["borrowShares"] == 0
    bank.unpledge(CAROL, HUNDRED)


def test_loan_supplied_as_repayment(bank: Bank) -> None:
    """Supplying the loan to the market does not repay it."""
    lending, loan = bank.lending, bank.loan
    puppet = bank.world.deploy("Puppet")
    moves = [
        move(loan, "approve", lending.address, MAX),
        move(lending, "supply", bank.params, 100 * UNIT, puppet.address),
    ]
    puppet.send(EVE, "plan", moves)
    with pytest.raises(Reverted):
        puppet.send(
            EVE, "run", [move(lending, "flashLoan", puppet.address, loan.address, 100 * UNIT, b"")]
        )


def test_rounding_table() -> None:
    """Each rounding goes against the one who acts: at one unit, and near the maximum."""
    for big in (1, 2**100):
        bank = new_bank(caps=(2**128 - 1, 2**128 - 1))
        for who in (ALICE, CAROL):
            bank.loan.send(who, "mint", who, 2**110)
        bank.collateral.send(BOB, "mint", BOB, 2**110)
        bank.supply(ALICE, 3 * big)
        bank.pledge(BOB, 4 * big)
        bank.borrow(BOB, 2 * big)
        bank.world.wait(7777)
        bank.lending.send(EVE, "accrue", bank.params)
        before = bank.market()
        bank.supply(CAROL, big)
        after = bank.market()
        minted = after["supplyShares"] - before["supplyShares"]
        exact = Fraction(big * (before["supplyShares"] + 10**6), before["supplied"] + 1)
        assert minted == int(exact), "supply mints down"
        got = bank.balances(CAROL)[0]
        assert got <= big, "and is worth no more than was given"
        part = max(got // 2, 1) if got else 0
        if part:
            bank.withdraw(CAROL, part)
            burned = minted - bank.shares(CAROL)[0]
            exact = Fraction(part * (after["supplyShares"] + 10**6), after["supplied"] + 1)
            assert burned == -(-exact.numerator // exact.denominator), "withdraw burns up"
        before = bank.market()
        debt = bank.balances(BOB)[1]
        bank.repay(BOB, big)
        gone = before["borrowShares"] - bank.market()["borrowShares"]
        exact = Fraction(big * (before["borrowShares"] + 10**6), before["borrowed"] + 1)
        assert gone == int(exact) or debt <= big, "repay burns down"
        before = bank.market()
        bank.borrow(BOB, big)
        made = bank.market()["borrowShares"] - before["borrowShares"]
        exact = Fraction(big * (before["borrowShares"] + 10**6), before["borrowed"] + 1)
        assert made == -(-exact.numerator // exact.denominator), "borrow mints up"


def test_interest_never_overflows() -> None:
    """At the largest books a market answers after two centuries, and everybody can leave.

    Shares are 10^6 times assets in 128 bits, so 2^108 is the most that a market holds.
    """
    bank = new_bank(caps=(2**128 - 1, 2**128 - 1), rateJump=90_000)
    bank.loan.send(ALICE, "mint", ALICE, 2**107)
    bank.supply(ALICE, 2**107)
    bank.collateral.send(BOB, "mint", BOB, 2**107)
    bank.pledge(BOB, 2**107)
    bank.borrow(BOB, 2**106)
    bank.world.wait(100 * YEAR)
    bank.lending.send(EVE, "accrue", bank.params)
    market = bank.market()
    assert market["supplied"] < 2**128 and market["borrowed"] < 2**128
    bank.world.wait(100 * YEAR)
    bank.lending.send(EVE, "accrue", bank.params)
    bank.loan.send(BOB, "mint", BOB, 2**129)
    bank.repay(BOB)
    bank.unpledge(BOB, 2**107)
    bank.withdraw(ALICE)


@pytest.mark.parametrize("seconds", [1, YEAR, 2**32, 2**40 - 1_700_000_100])
@pytest.mark.parametrize("part", [1, 2**60, 2**106])
def test_interest_at_its_bounds(seconds: int, part: int) -> None:
    """The highest rates, the largest debts, the longest waits: the series, or what still fits.

    Planted: interest above what still fits in 128 bits, for which nothing else looks.
    """
    bank = new_bank(caps=(2**128 - 1, 2**128 - 1), rateBase=5_000, rateSlope=5_000, rateJump=90_000)
    bank.loan.send(ALICE, "mint", ALICE, 2**107)
    bank.supply(ALICE, 2**107 if part > 2**60 else part * 100 // 95 + 1)
    bank.collateral.send(BOB, "mint", BOB, 2**108)
    bank.pledge(BOB, 2**108)
    bank.borrow(BOB, part)
    before = bank.market()
    bank.world.wait(seconds)
    bank.lending.send(EVE, "accrue", bank.params)
    grown = bank.market()["borrowed"] - before["borrowed"]
    wad, kink = 10**18, 8_000 * 10**18
    used = min(10_000 * wad, part * 10_000 * wad // before["supplied"])
    bps = 5_000 * wad + 5_000 * used // 8_000
    if used > kink:
        bps = 10_000 * wad + 90_000 * (used - kink) // 2_000
    first = bps // (10_000 * YEAR) * seconds
    second = first * first // (2 * wad)
    third = second * first // (3 * wad)
    fits = 2**128 - 1 - max(before["borrowed"], before["supplied"])
    assert grown == min(part * (first + second + third) // wad, fits)


def test_gift_changes_nothing(bank: Bank) -> None:
    """Tokens sent to the contract move no share price and no health."""
    before = bank.balances(ALICE), bank.balances(BOB), bank.lending.read("healthOf", bank.id, BOB)
    for token in (bank.loan, bank.collateral):
        token.send(EVE, "transfer", bank.lending.address, 777 * UNIT)
    after = bank.balances(ALICE), bank.balances(BOB), bank.lending.read("healthOf", bank.id, BOB)
    assert before == after
