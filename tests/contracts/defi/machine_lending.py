"""Lending under any sequence of actions keeps its books, in two markets that share their tokens.

The names are those of Morpho's public specifications. The weakened copies that fail against an
attack are in test_attacks.py.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from primitives.types import Address
from tests.contracts.defi.bank import FACTORS, FIELDS, ONE, Bank, new_bank
from tests.contracts.defi.machines import USERS, Machine, amounts, users
from tests.contracts.defi.world import ALICE, BOB, CAROL, EVE, MAX, OWNER, UNIT, move

markets = st.integers(0, 1)


def scene_with(name: str = "Lending", loan: int = 0, collateral: int = 0) -> list[Bank]:
    """Return two markets: tokens of the second one are those of the first one, swapped."""
    first = new_bank(name, loan, collateral)
    feed = first.world.deploy("Feed", 36, 2 * ONE)
    chosen: dict[str, Any] = {**FACTORS, "reserveFactor": 2500, "bonus": 1000}
    chosen |= {"loan": first.collateral.address, "collateral": first.loan.address}
    params = tuple({**chosen, "oracle": feed.address}[each] for each in FIELDS)
    first.lending.send(OWNER, "createMarket", params, 10**30, 10**30, 1000)
    made = first.lending.read("idOf", params)
    parts = (first.world, first.lending, first.collateral, first.loan, feed, params, made)
    puppet = first.world.deploy("Puppet")
    for token in (first.loan, first.collateral):
        token.send(EVE, "mint", puppet.address, 10**30)
        puppet.send(EVE, "run", [move(token, "approve", first.lending.address, MAX)])
    second = Bank(*parts)
    second.puppet = puppet  # type: ignore[attr-defined]
    return [first, second]


class LendingMachine(Machine):
    """Suppliers, borrowers, liquidators, time and prices."""

    def build(self) -> list[Bank]:
        return scene_with()

    def world_of(self, scene: Any) -> Any:
        return scene[0].world

    def begin(self) -> None:
        self.banks: list[Bank] = self.scene
        self.lending = self.banks[0].lending
        for bank in self.banks:
            bank.supply(ALICE, 1000 * UNIT)
            for who in (BOB, CAROL):
                bank.pledge(who, 100 * UNIT)
                bank.borrow(who, 60 * UNIT)

    def facts(self, bank: Bank) -> dict[Any, Any]:
        """Return the books of a market with the interest up to now, and of everybody in it."""
        names = ("supplied", "supplyShares", "borrowed", "borrowShares", "reserves")
        books: dict[Any, Any] = dict(
            zip(names, self.lending.read("expected", bank.id)[:5], strict=True)
        )
        return books | {who: bank.shares(who) for who in USERS}

    def healthy(self, bank: Bank, facts: dict[Any, Any], who: Address) -> bool:
        _, shares, collateral = facts[who]
        if not shares:
            return True
        if shares == facts["borrowShares"]:
            debt = facts["borrowed"]
        else:
            debt = -(-shares * (facts["borrowed"] + 1) // (facts["borrowShares"] + 10**6))
        most = collateral * bank.feed.read("price") // ONE * bank.params[2] // 10_000
        return bool(min(debt, facts["borrowed"]) <= most)

    def act(self, name: str, which: int, who: Address, function: str, *values: Any) -> bool:
        """Run one action and compare the books before and after it."""
        bank = self.banks[which]
        before = [self.facts(each) for each in self.banks]
        calls = (bank.params, *values)
        done = self.attempt(name, lambda: self.lending.send(who, function, *calls))
        after = [self.facts(each) for each in self.banks]
        assert before[1 - which] == after[1 - which], "one market moved another"
        self.compare(bank, before[which], after[which], who, (function, values))
        if not done:
            assert before == after, "a refused action changed the books"
        return done

    def compare(
        self,
        bank: Bank,
        before: dict[Any, Any],
        after: dict[Any, Any],
        who: Address,
        call: tuple[str, tuple[Any, ...]],
    ) -> None:
        function, values = call
        liquidated = values[0] if function == "liquidate" else None
        for each in USERS:
            if each not in (who, liquidated):
                assert before[each][0] <= after[each][0], "userCannotLoseSupplyShares"
                assert before[each][2] <= after[each][2], "userCannotLoseCollateral"
                assert before[each][1] >= after[each][1], "debt grew without the borrower"
            if self.healthy(bank, before, each):
                assert self.healthy(bank, after, each), "stayHealthy"
        bad_debt = any(name == "BadDebt" for name, _ in self.lending.events())
        if bad_debt and before != after:
            self.steps[f"{self.name()} (bad debt realised)"] += 1
        old, new = (
            (f["supplied"] + 1) * 10**40 // (f["supplyShares"] + 10**6) for f in (before, after)
        )
        assert new >= old or bad_debt, "the price of a supply share fell"
        if after["borrowShares"]:
            old, new = (
                (f["borrowed"] + 1) * 10**40 // (f["borrowShares"] + 10**6) for f in (before, after)
            )
            assert new <= old, "onlyAccrueInterestCanIncreaseBorrowExchangeRate"

    # Actions -----------------------------------------------------------------------------------

    @rule(who=users, which=markets, amount=amounts)
    def supply(self, who: Address, which: int, amount: int) -> None:
        self.act("supply", which, who, "supply", amount, who)

    @rule(who=users, which=markets, amount=st.one_of(amounts, st.just(MAX)))
    def withdraw(self, who: Address, which: int, amount: int) -> None:
        self.act("withdraw", which, who, "withdraw", amount, who, who)

    @rule(who=users, which=markets, amount=amounts)
    def pledge(self, who: Address, which: int, amount: int) -> None:
        self.act("pledge", which, who, "supplyCollateral", amount, who)

    @rule(who=users, which=markets, part=st.integers(1, 8))
    def unpledge(self, who: Address, which: int, part: int) -> None:
        amount = self.banks[which].shares(who)[2] * part // 8
        self.act("unpledge", which, who, "withdrawCollateral", amount, who, who)

    @rule(who=users, which=markets, amount=amounts)
    def borrow(self, who: Address, which: int, amount: int) -> None:
        self.act("borrow", which, who, "borrow", amount, who, who)

    @rule(who=users, which=markets, parts=st.integers(1, 101))
    def borrow_to_the_edge(self, who: Address, which: int, parts: int) -> None:
        """Borrow a part of what the collateral carries, up to all of it and one percent more."""
        bank = self.banks[which]
        _, debt, collateral = bank.balances(who)
        most = collateral * bank.feed.read("price") // ONE * bank.params[1] // 10_000
        amount = max(most * parts // 100 - debt, 0)
        self.act("borrow to edge", which, who, "borrow", amount, who, who)

    @rule(who=users, which=markets, amount=st.one_of(amounts, st.just(MAX)))
    def repay(self, who: Address, which: int, amount: int) -> None:
        done = self.act("repay", which, who, "repay", amount, who)
        if done and amount == MAX:
            assert self.banks[which].shares(who)[1] == 0, "canRepayAll"

    @rule(who=users, borrower=users, which=markets, amount=st.one_of(amounts, st.just(MAX)))
    def liquidate(self, who: Address, borrower: Address, which: int, amount: int) -> None:
        bank = self.banks[which]
        facts = self.facts(bank)
        healthy = self.healthy(bank, facts, borrower)
        done = self.act("liquidate", which, who, "liquidate", borrower, amount, 0)
        assert not (done and healthy), "a healthy account was liquidated"

    @rule(
        who=users,
        borrower=users,
        which=markets,
        percent=st.integers(20, 99),
        part=st.integers(1, 4),
    )
    def crash(self, who: Address, borrower: Address, which: int, percent: int, part: int) -> None:
        """The price falls so that the borrower is under water by some, and somebody acts on it."""
        bank = self.banks[which]
        _, debt, collateral = bank.balances(borrower)
        if not debt or not collateral:
            return
        edge = debt * 10_000 * ONE // (collateral * bank.params[2])
        bank.set_price(min(max(edge * percent // 100, ONE // 1000), 1000 * ONE))
        amount = MAX if part == 4 else debt * part // 4
        self.act("liquidate", which, who, "liquidate", borrower, amount, 0)

    @rule(who=users, which=markets, amount=amounts)
    def supply_withdraw(self, who: Address, which: int, amount: int) -> None:
        """What is supplied and taken back at once is never more than before."""
        bank = self.banks[which]
        purse, shares = bank.of(bank.loan, who), bank.shares(who)[0]
        if not self.act("supply, then", which, who, "supply", amount, who):
            return
        facts = self.facts(bank)
        minted = bank.shares(who)[0] - shares
        back = minted * (facts["supplied"] + 1) // (facts["supplyShares"] + 10**6)
        if back:
            self.act("withdraw it", which, who, "withdraw", back, who, who)
        assert bank.of(bank.loan, who) <= purse and bank.shares(who)[0] >= shares

    @rule(who=users, which=markets, amount=amounts)
    def borrow_repay(self, who: Address, which: int, amount: int) -> None:
        """What is borrowed and repaid at once never costs less than it brought."""
        bank = self.banks[which]
        shares = bank.shares(who)[1]
        if self.act("borrow, then", which, who, "borrow", amount, who, who):
            self.act("repay it", which, who, "repay", amount, who)
            # A share below a unit, paid by another's rounding, may end with the loan.
            assert bank.shares(who)[1] >= shares or shares < 10**6

    @rule(which=markets, amount=amounts)
    def flash(self, which: int, amount: int) -> None:
        """A flash loan leaves books and shares alone."""
        bank, puppet = self.banks[which], self.banks[1].puppet  # type: ignore[attr-defined]
        before = [self.facts(each) for each in self.banks]
        values = (puppet.address, bank.loan.address, amount, b"")
        self.attempt("flash", lambda: self.lending.send(EVE, "flashLoan", *values))
        assert before == [self.facts(each) for each in self.banks]

    @rule(which=markets, part=st.integers(1, 4))
    def take_reserves(self, which: int, part: int) -> None:
        amount = self.facts(self.banks[which])["reserves"] * part // 4
        self.act("reserves", which, OWNER, "takeReserves", amount, OWNER)

    @rule(who=users, which=markets, amount=amounts)
    def gift(self, who: Address, which: int, amount: int) -> None:
        """Tokens sent to the contract change no book and no health."""
        before = [self.facts(each) for each in self.banks]
        loan = self.banks[which].loan
        self.attempt("gift", lambda: loan.send(who, "transfer", self.lending.address, amount))
        assert before == [self.facts(each) for each in self.banks]

    @rule(seconds=st.one_of(st.integers(1, 100), st.integers(1, 10**7)))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @rule(which=markets, percent=st.integers(40, 200))
    def price_moves(self, which: int, percent: int) -> None:
        bank = self.banks[which]
        price = bank.feed.read("price") * percent // 100
        bank.set_price(min(max(price, ONE // 1000), 1000 * ONE))

    # Invariants --------------------------------------------------------------------------------

    @invariant()
    def books_add_up(self) -> None:
        for bank in self.banks:
            facts = self.facts(bank)
            shares = [facts[who] for who in USERS]
            assert sum(each[0] for each in shares) == facts["supplyShares"], "sumSupplyShares"
            assert sum(each[1] for each in shares) == facts["borrowShares"], "sumBorrowShares"
            assert facts["borrowed"] <= facts["supplied"] + facts["reserves"], (
                "borrowLessThanSupply"
            )
            assert facts["borrowShares"] or not facts["borrowed"], "repayAllResets"
            for _, debt, collateral in shares:
                assert collateral or not debt, "alwaysCollateralized"

    @invariant()
    def tokens_cover_the_books(self) -> None:
        """What each market could pay out, all collateral and all fees lie in the contract."""
        for bank, other in (self.banks, reversed(self.banks)):
            facts, across = self.facts(bank), self.facts(other)
            cash = facts["supplied"] + facts["reserves"] - facts["borrowed"]
            pledged = sum(across[who][2] for who in USERS)
            fees = self.lending.read("flashFees", bank.loan.address)
            held = bank.of(bank.loan, self.lending.address)
            assert held >= cash + pledged + fees, "idleAmountLessThanBalance"

    def teardown(self) -> None:
        """Everybody repays, takes the collateral and leaves: nobody is locked in."""
        if not hasattr(self, "banks"):
            return
        for bank in self.banks:
            for who in USERS:
                if bank.shares(who)[1]:
                    for token in (bank.loan,):
                        token.send(who, "mint", who, 10**45)
                    bank.repay(who)
                if bank.shares(who)[2]:
                    bank.unpledge(who, bank.shares(who)[2])
            facts = self.facts(bank)
            assert facts["borrowed"] == facts["borrowShares"] == 0
            for who in USERS:
                if bank.shares(who)[0]:
                    bank.withdraw(who)
            facts = self.facts(bank)
            assert facts["supplyShares"] == 0


class BurningLendingMachine(LendingMachine):
    """The same, where the first market's loan token burns 1 % of each transfer."""

    def build(self) -> list[Bank]:
        return scene_with(loan=1)
