"""The matrix: every protocol with every hostile token keeps its books, and harms no other token.

Rows: what the token does. Columns: exchange, lending, farming. Where a token can be used it is used
and everybody leaves with what the books say; where it cannot, the refusal is clean. In each cell a
pool, market or farm of good tokens lies in the same contract and must stay whole to the unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from primitives.types import ZERO_ADDRESS
from tests.contracts.defi.bank import FACTORS, FIELDS, Bank, new_bank, rich_token
from tests.contracts.defi.exchange import Exchange, hop, new_exchange
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    CAROL,
    EVE,
    MAX,
    OWNER,
    UNIT,
    Contract,
    Reverted,
    move,
)

FEE, NO_RETURN, RETURNS_FALSE, REENTER, BLACKLIST, PAUSED = 1, 2, 4, 8, 16, 32
USABLE = {"fee": FEE, "no return": NO_RETURN, "fee, no return": FEE | NO_RETURN}


class ExchangeCell:
    """A pool of a hostile and a good token beside a pool of good tokens."""

    def __init__(self, modes: int = 0, decimals: int = 18) -> None:
        self.exchange: Exchange = new_exchange()
        self.world = self.exchange.world
        self.bad = self.exchange.token(modes & ~RETURNS_FALSE & ~PAUSED, decimals)
        self.good, self.other = self.exchange.token(), self.exchange.token()
        self.key = self.exchange.pool(self.bad.address, self.good.address)
        self.safe = self.exchange.pool(self.good.address, self.other.address)
        self.deep = 100 * 10 ** max(decimals, 6)
        self.exchange.add(ALICE, self.key, -6000, 6000, self.deep)
        self.exchange.add(BOB, self.safe, -6000, 6000, 100 * UNIT)
        self.spender: Contract = self.exchange.amm

    def use(self) -> None:
        one = self.deep // 100
        for start, end in ((self.bad, self.good), (self.good, self.bad)):
            self.exchange.swap(CAROL, start.address, [hop(end.address)], one)
            self.exchange.swap(CAROL, start.address, [hop(end.address)], one, out=True)

    def leave(self) -> None:
        self.exchange.remove(ALICE, self.key, -6000, 6000, self.deep)

    def others_leave(self) -> None:
        self.exchange.remove(BOB, self.safe, -6000, 6000, 100 * UNIT)
        told = self.exchange.amm.events()[-1][1]
        assert told["fees0"] == told["fees1"] == 0
        assert min(-told["amount0"], -told["amount1"]) > 25 * UNIT

    def reenter(self) -> list[Any]:
        hops, amm = [hop(self.other.address)], self.exchange.amm
        swap = (self.good.address, hops, UNIT, 0, CAROL, 2**40)
        return [
            move(amm, "swapExactIn", *swap, fails=True),
            move(amm, "poolOf", self.key, fails=True),
            move(amm, "createPool", (*self.safe[:2], 500, 10), 2**96, fails=True),
        ]


class LendingCell:
    """A market that lends a hostile token, one that pledges it, and one of good tokens."""

    def __init__(self, modes: int = 0, decimals: int = 18) -> None:
        usable = modes & ~RETURNS_FALSE & ~PAUSED
        self.bank: Bank = new_bank()
        self.world, lending = self.bank.world, self.bank.lending
        self.bad = rich_token(self.world, lending, usable, decimals)
        self.one = 10 ** max(decimals, 6)
        self.lends = self._market(self.bad, self.bank.collateral)
        self.pledges = self._market(self.bank.loan, self.bad)
        self.bank.supply(BOB, 100 * UNIT)
        self.bank.pledge(BOB, 100 * UNIT)
        self.lends.supply(ALICE, 100 * self.one)
        self.lends.pledge(CAROL, 100 * self.one)
        self.pledges.supply(ALICE, 100 * self.one)
        self.pledges.pledge(CAROL, 100 * self.one)
        self.spender = lending

    def _market(self, loan: Contract, collateral: Contract) -> Bank:
        chosen: dict[str, Any] = {**FACTORS, "loan": loan.address, "collateral": collateral.address}
        chosen["oracle"] = self.bank.feed.address
        params = tuple(chosen[each] for each in FIELDS)
        lending = self.bank.lending
        lending.send(OWNER, "createMarket", params, 10**36, 10**36, 0)
        made = lending.read("idOf", params)
        return Bank(self.world, lending, loan, collateral, self.bank.feed, params, made)

    def use(self) -> None:
        for market in (self.lends, self.pledges):
            market.borrow(CAROL, 10 * self.one)
            self.world.wait(1000)
            market.repay(CAROL, 5 * self.one)
            market.repay(CAROL)
            assert market.shares(CAROL)[1] == 0

    def leave(self) -> None:
        for market in (self.lends, self.pledges):
            market.unpledge(CAROL, market.shares(CAROL)[2])
            market.withdraw(ALICE)

    def others_leave(self) -> None:
        before = self.bank.of(self.bank.loan, BOB), self.bank.of(self.bank.collateral, BOB)
        self.bank.withdraw(BOB)
        self.bank.unpledge(BOB, 100 * UNIT)
        after = self.bank.of(self.bank.loan, BOB), self.bank.of(self.bank.collateral, BOB)
        assert [new - old for old, new in zip(before, after, strict=True)] == [100 * UNIT] * 2

    def reenter(self) -> list[Any]:
        lending = self.bank.lending
        return [
            move(lending, "supply", self.bank.params, UNIT, CAROL, fails=True),
            move(lending, "accrue", self.bank.params, fails=True),
            move(lending, "marketOf", self.bank.id, fails=True),
        ]


class FarmingCell:
    """A farm that takes a hostile token, one that pays it, and one of good tokens."""

    def __init__(self, modes: int = 0, decimals: int = 18) -> None:
        usable = modes & ~RETURNS_FALSE & ~PAUSED
        bank = new_bank()
        self.world = bank.world
        self.farming = self.world.deploy("Farming", OWNER, ZERO_ADDRESS)
        self.bad = rich_token(self.world, self.farming, usable, decimals)
        self.good = rich_token(self.world, self.farming)
        self.one = 10 ** max(decimals, 6)
        for stake, reward in ((self.bad, self.good), (self.good, self.bad), (self.good, self.good)):
            pair = (stake.address, reward.address)
            self.farming.send(OWNER, "createFarm", *pair, 1000 * self.one, 1000)
        for farm in (0, 1):
            self.farming.send(ALICE, "stake", farm, self.one)
        self.farming.send(BOB, "stake", 2, self.one)
        self.spender = self.farming

    def use(self) -> None:
        for farm in (0, 1):
            self.farming.send(CAROL, "stake", farm, self.one)
            self.world.wait(100)
            self.farming.send(CAROL, "claim", farm)

    def leave(self) -> None:
        for farm in (0, 1):
            self.farming.send(CAROL, "exit", farm)
            self.farming.send(ALICE, "exit", farm)

    def others_leave(self) -> None:
        self.world.wait(1000)
        before = self.good.read("balanceOf", BOB)
        self.farming.send(BOB, "exit", 2)
        assert self.good.read("balanceOf", BOB) - before >= self.one + 1000 * self.one - 1

    def reenter(self) -> list[Any]:
        return [
            move(self.farming, "stake", 2, 1, fails=True),
            move(self.farming, "claim", 0, fails=True),
            move(self.farming, "earned", 0, ALICE, fails=True),
        ]


CELLS: tuple[Callable[..., Any], ...] = (ExchangeCell, LendingCell, FarmingCell)
cells = pytest.mark.parametrize("cell", CELLS, ids=lambda each: each.__name__)


@cells
@pytest.mark.parametrize("modes", USABLE.values(), ids=USABLE)
def test_usable(cell: Any, modes: int) -> None:
    """Tokens that burn a part or return nothing work, and everybody leaves."""
    place = cell(modes)
    place.use()
    place.leave()
    place.others_leave()


@cells
@pytest.mark.parametrize("decimals", [0, 6, 18, 24])
def test_decimals(cell: Any, decimals: int) -> None:
    """Amounts of any scale work: nothing assumes 18 places."""
    place = cell(0, decimals)
    place.use()
    place.leave()
    place.others_leave()


@cells
@pytest.mark.parametrize("modes", [RETURNS_FALSE, PAUSED], ids=["returns false", "paused"])
def test_dead_token(cell: Any, modes: int) -> None:
    """A token that refuses or answers false blocks only itself; later everything is there."""
    place = cell(modes)
    place.bad.send(EVE, "set", modes, 0, ZERO_ADDRESS)
    kept = place.world.snapshot()
    for act in (place.use, place.leave):
        with pytest.raises(Reverted):
            act()
        place.world.restore(kept)
    place.others_leave()
    place.world.restore(kept)
    place.bad.send(EVE, "set", 0, 0, ZERO_ADDRESS)
    place.use()
    place.leave()
    place.others_leave()


@cells
def test_blacklisted_user(cell: Any) -> None:
    """One listed user is stuck alone; the others use the token and leave."""
    place = cell(BLACKLIST)
    place.bad.send(EVE, "list", EVE, True)
    place.use()
    place.bad.send(EVE, "list", CAROL, True)
    with pytest.raises(Reverted):
        place.use()
    place.bad.send(EVE, "list", CAROL, False)
    place.leave()
    place.others_leave()


@cells
def test_reentrant_token(cell: Any) -> None:
    """What the token calls in the middle of a transfer is refused, views of prices included."""
    place = cell(REENTER)
    puppet = place.world.deploy("Puppet")
    puppet.send(EVE, "plan", place.reenter())
    place.bad.send(EVE, "set", REENTER, 0, puppet.address)
    place.use()
    worked, _ = puppet.read("results")
    assert worked == (False, False, False)
    place.leave()
    place.others_leave()


@cells
@pytest.mark.parametrize("percent", [50, 200])
def test_rebasing_token(cell: Any, percent: int) -> None:
    """A token that shrinks is short for its own users alone; one that grows gives nobody more."""
    place = cell()
    place.bad.send(EVE, "rebase", percent * 10**16)
    if percent < 100:
        with pytest.raises(Reverted):
            place.leave()
    else:
        place.use()
        place.leave()
        assert place.bad.read("balanceOf", place.spender.address) > 0
    place.others_leave()


def test_blacklisted_borrower_is_liquidated() -> None:
    """Liquidating needs nothing of the borrower: listing does not save him."""
    cell = LendingCell(BLACKLIST)
    cell.pledges.borrow(CAROL, 70 * cell.one)
    cell.bad.send(EVE, "list", CAROL, True)
    cell.bank.set_price(10**36 * 8 // 10)
    cell.pledges.liquidate(EVE, CAROL)
    assert cell.pledges.balances(CAROL)[1] == 0


def test_burning_debt_is_closed_exactly() -> None:
    """A debt in a burning token ends exactly when the payer allows for what is burned."""
    cell = LendingCell(FEE)
    market = cell.lends
    market.borrow(CAROL, 10 * cell.one)
    debt = market.balances(CAROL)[1]
    purse = cell.bad.read("balanceOf", CAROL)
    market.repay(CAROL, debt)
    assert 0 < market.balances(CAROL)[1] <= debt // 100 + 1
    market.repay(CAROL, MAX)
    assert market.shares(CAROL)[1] == 0
    paid = purse - cell.bad.read("balanceOf", CAROL)
    assert abs(paid * 99 // 100 - debt) <= 4


def test_burning_liquidity_is_paid_in_full() -> None:
    """Liquidity in a burning token costs its owner what is burned, and the pool gets all of it."""
    cell = ExchangeCell(FEE)
    held = cell.exchange.held(cell.bad.address)
    purse = cell.bad.read("balanceOf", CAROL)
    cell.exchange.add(CAROL, cell.key, -600, 600, 10 * UNIT)
    told = cell.exchange.amm.events()[-1][1]
    side = "amount0" if cell.key[0] == cell.bad.address else "amount1"
    assert cell.exchange.held(cell.bad.address) - held == told[side]
    paid = purse - cell.bad.read("balanceOf", CAROL)
    assert abs(paid * 99 // 100 - told[side]) <= 4
    with pytest.raises(Reverted, match="TooMuch"):
        cell.exchange.add(CAROL, cell.key, -600, 600, 10 * UNIT, most=told[side] + 1)
