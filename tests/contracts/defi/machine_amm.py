"""The exchange under any sequence of actions keeps its books; one token burns 1 % of transfers.

Named after the end-to-end properties of Trail of Bits' audit of Uniswap v3 (numbers 13 to 23,
public in that repository's `audits/tob`), plus: every pool together stays solvent, the bitmap and
the ticks agree with the positions, the history equals a model, there-and-back never profits, and
at the end everybody can leave. Kills, each seen to fail when planted: crossing a tick twice,
rounding exact outputs down, booking what was sent instead of what arrived.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from primitives.types import Address
from tests.contracts.defi.exchange import MAX_TICK, MIN_TICK, Q96, Exchange, hop, new_exchange
from tests.contracts.defi.machines import USERS, Machine, amounts, users
from tests.contracts.defi.world import ALICE, EVE, NATIVE, OWNER, UNIT, Reverted, move

ENDS = (-6000, -600, -60, 0, 60, 600, 6000)
Q128 = 2**128
HUGE = 2**256


def price_at(tick: int) -> int:
    """Return the root of 1.0001^tick with 96 binary places, as the library computes it."""
    ratio = 0xFFFCB933BD6FAD37AA2D162D1A594001 if tick & 1 else 1 << 128
    factors = (
        *(0xFFF97272373D413259A46990580E213A, 0xFFF2E50F5F656932EF12357CF3C7FDCC),
        *(0xFFE5CACA7E10E4E61C3624EAA0941CD0, 0xFFCB9843D60F6159C9DB58835C926644),
        *(0xFF973B41FA98C081472E6896DFB254C0, 0xFF2EA16466C96A3843EC78B326B52861),
        *(0xFE5DEE046A99A2A811C461F1969C3053, 0xFCBE86C7900A88AEDCFFC83B479AA3A4),
        *(0xF987A7253AC413176F2B074CF7815E54, 0xF3392B0822B70005940C7A398E4B70F3),
        *(0xE7159475A2C29B7443B29C7FA6E889D9, 0xD097F3BDFD2022B8845AD8F792AA5825),
        *(0xA9F746462D870FDF8A65DC1F90E061E5, 0x70D869A156D2A1B890BB3DF62BAF32F7),
        *(0x31BE135F97D08FD981231505542FCFA6, 0x9AA508B5B7A84E1C677DE54F3E99BC9),
        *(0x5D6AF8DEDB81196699C329225EE604, 0x2216E584F5FA1EA926041BEDFE98),
        0x48A170391F7DC42444E8FA2,
    )
    for bit, factor in enumerate(factors, 1):
        if abs(tick) >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = (HUGE - 1) // ratio
    return -(-ratio >> 32) if ratio % (1 << 32) else ratio >> 32


def amounts_of(liquidity: int, lower: int, upper: int, root: int) -> tuple[int, int]:
    """Return what a position would get of both tokens, rounded down."""
    low, high = price_at(lower), price_at(upper)
    at = min(max(root, low), high)
    amount0 = int(Fraction(liquidity * Q96 * (high - at), high * at)) if at < high else 0
    return amount0, liquidity * (at - low) // Q96


@dataclass
class Book:
    """What the model knows of one pool."""

    key: tuple[Any, ...]
    positions: dict[tuple[Address, int, int], int] = field(default_factory=dict)
    tick_sum: int = 0
    counted: int = 0


def scene_with(name: str = "Amm") -> Exchange:
    """Return an exchange with three tokens and two pools; the second token burns."""
    exchange = new_exchange(name)
    plain, burning = exchange.token(), exchange.token(1)
    exchange.keys = (  # type: ignore[attr-defined]
        exchange.pool(plain.address, burning.address),
        exchange.pool(NATIVE, plain.address, fee=3000),
    )
    exchange.puppet = exchange.world.deploy("Puppet")  # type: ignore[attr-defined]
    for token in (plain, burning):
        token.send(EVE, "mint", exchange.puppet.address, 10**30)  # type: ignore[attr-defined]
    exchange.by_address = {plain.address: plain, burning.address: burning}  # type: ignore[attr-defined]
    return exchange


class AmmMachine(Machine):
    """Positions and swaps in two pools that share a token."""

    def build(self) -> Exchange:
        return scene_with()

    def begin(self) -> None:
        self.exchange: Exchange = self.scene
        self.amm = self.exchange.amm
        self.books = [Book(key, counted=self.world.time) for key in self.scene.keys]
        for book in self.books:
            self.exchange.add(ALICE, book.key, -6000, 6000, 1000 * UNIT)
            book.positions[ALICE, -6000, 6000] = 1000 * UNIT

    def state(self, book: Book) -> tuple[int, ...]:
        root, tick, liquidity, _ = self.amm.read("poolOf", book.key)
        return (root, tick, liquidity, *self.amm.read("feeGrowthOf", book.key))

    def wealth(self, who: Address, token: Address) -> int:
        if token == NATIVE:
            return self.world.balance(who)
        found: int = self.scene.by_address[token].read("balanceOf", who)
        return found

    # Actions -----------------------------------------------------------------------------------

    @rule(who=users, pool=st.integers(0, 1), ends=st.permutations(ENDS), amount=amounts)
    def add(self, who: Address, pool: int, ends: list[int], amount: int) -> None:
        """Add liquidity between two ends."""
        book, (lower, upper) = self.books[pool], sorted(ends[:2])
        if self.attempt("add", lambda: self.exchange.add(who, book.key, lower, upper, amount)):
            place = (who, lower, upper)
            book.positions[place] = book.positions.get(place, 0) + amount

    @rule(pool=st.integers(0, 1), pick=st.integers(0, 99), part=st.sampled_from((0, 1, 2, 3, 4)))
    def remove(self, pool: int, pick: int, part: int) -> None:
        """Take a part of a position out, or only what it earned."""
        book = self.books[pool]
        if not book.positions:
            return
        place = sorted(book.positions)[pick % len(book.positions)]
        amount = book.positions[place] * part // 4
        if self.attempt(
            "remove", lambda: self.exchange.remove(place[0], book.key, *place[1:], amount)
        ):
            book.positions[place] -= amount
            if not book.positions[place]:
                del book.positions[place]

    @rule(who=users, pool=st.integers(0, 1), up=st.booleans(), amount=amounts, out=st.booleans())
    def swap(self, who: Address, pool: int, up: bool, amount: int, out: bool) -> None:
        """Swap in one pool: what is sold and bought obeys properties 13 to 19."""
        book = self.books[pool]
        sold, bought = (book.key[1], book.key[0]) if up else (book.key[0], book.key[1])
        before = self.state(book)
        purse = [self.wealth(who, each) for each in (sold, bought)]
        route = [hop(bought)]
        done = self.attempt("swap", lambda: self.exchange.swap(who, sold, route, amount, out=out))
        after = self.state(book)
        paid = purse[0] - self.wealth(who, sold)
        got = self.wealth(who, bought) - purse[1]
        self.check_swap(before, after, up, done)
        if not done:
            assert before == after and paid == got == 0, "a refused swap changed something"
        else:
            assert paid > 0 or got <= 0, "18, 19: no payment, no receipt"

    @rule(who=users, pool=st.integers(0, 1), up=st.booleans(), crumb=st.integers(1, 3))
    def crumbs(self, who: Address, pool: int, up: bool, crumb: int) -> None:
        """Ask for a unit or some exactly: they cost at least their worth, rounded up, and a fee."""
        book = self.books[pool]
        sold, bought = (book.key[1], book.key[0]) if up else (book.key[0], book.key[1])
        root, purse = self.state(book)[0], self.wealth(who, sold)
        price = Fraction(root, Q96) ** 2
        worth = crumb * (price if up else 1 / price)
        if self.attempt(
            "crumbs", lambda: self.exchange.swap(who, sold, [hop(bought)], crumb, out=True)
        ):
            assert purse - self.wealth(who, sold) > worth, "an exact output was too cheap"

    @rule(who=users, pool=st.integers(0, 1), end=st.sampled_from(ENDS), shift=st.integers(-1, 1))
    def swap_to_end(self, who: Address, pool: int, end: int, shift: int) -> None:
        """Swap until the price is exactly that of an end of positions, or one unit beside it."""
        book = self.books[pool]
        before = self.state(book)
        limit = price_at(end) + shift
        up = limit > before[0]
        amount = 10**26
        value = amount if book.key[0] == NATIVE and not up else 0
        values = (book.key, not up, amount, limit, 0, who, 2**40)
        done = self.attempt(
            "swap to end", lambda: self.amm.send(who, "swapToPrice", *values, value=value)
        )
        after = self.state(book)
        self.check_swap(before, after, up, done)
        assert not done or after[0] == limit

    def check_swap(
        self, before: tuple[int, ...], after: tuple[int, ...], up: bool, done: bool
    ) -> None:
        sold, bought = (4, 3) if up else (3, 4)
        assert after[sold] >= before[sold], "13, 15: fee growth of the sold side fell"
        assert after[bought] == before[bought], "14, 16: fee growth of the bought side moved"
        if before[1] == after[1]:
            assert before[2] == after[2], "17: same tick, other liquidity"
        assert not done or (after[0] >= before[0] if up else after[0] <= before[0])

    @rule(who=users, pool=st.integers(0, 1), up=st.booleans(), amount=amounts)
    def there_and_back(self, who: Address, pool: int, up: bool, amount: int) -> None:
        """Selling and buying back in one go never profits."""
        key = self.books[pool].key
        one, two = (key[1], key[0]) if up else (key[0], key[1])
        purse = self.wealth(who, one), self.wealth(who, two)
        if not self.attempt("there", lambda: self.exchange.swap(who, one, [hop(two)], amount)):
            return
        got = self.wealth(who, two) - purse[1]
        if got > 0:
            self.attempt("back", lambda: self.exchange.swap(who, two, [hop(one)], got))
        if self.wealth(who, two) == purse[1]:
            assert self.wealth(who, one) <= purse[0], "there and back made money"

    @rule(who=users, back=st.booleans(), amount=amounts, out=st.booleans())
    def route(self, who: Address, back: bool, amount: int, out: bool) -> None:
        """Swap over both pools."""
        shared = self.books[1].key[1]
        other = next(each for each in self.books[0].key[:2] if each != shared)
        start, last = (other, NATIVE) if back else (NATIVE, other)
        hops = [hop(shared), hop(last)]
        self.attempt("route", lambda: self.exchange.swap(who, start, hops, amount, out=out))

    @rule(amount=amounts, extra=st.integers(0, 10**18), side=st.integers(0, 1))
    def flash(self, amount: int, extra: int, side: int) -> None:
        """Borrow within a call and give back with something on top."""
        key, puppet = self.books[0].key, self.scene.puppet
        token = self.scene.by_address[key[side]]
        fee = -(-amount * 3000 // 10**6)
        back = (amount + fee) * 102 // 100 + 2 + extra
        lent = (amount, 0) if side == 0 else (0, amount)

        def act() -> None:
            puppet.send(EVE, "plan", [move(token, "transfer", self.amm.address, back)])
            puppet.send(EVE, "run", [move(self.amm, "flash", key, *lent, b"")])

        self.attempt("flash", act)

    @rule(pool=st.integers(0, 1), share=st.sampled_from((0, 4, 10, 20)))
    def protocol_share(self, pool: int, share: int) -> None:
        """The owner changes the protocol's part."""
        key = self.books[pool].key
        self.attempt("share", lambda: self.amm.send(OWNER, "setProtocolShare", key, share))

    @rule(token=st.integers(0, 2))
    def take_protocol_fees(self, token: int) -> None:
        """The treasury takes its part."""
        chosen = (NATIVE, *self.scene.by_address)[token]
        self.attempt("take", lambda: self.amm.send(OWNER, "takeProtocolFees", chosen, OWNER))

    @rule(who=users, amount=amounts, token=st.integers(0, 1))
    def gift(self, who: Address, amount: int, token: int) -> None:
        """Somebody sends tokens to the exchange: no price and no share moves."""
        chosen = list(self.scene.by_address.values())[token]
        before = [self.state(book) for book in self.books]
        self.attempt("gift", lambda: chosen.send(who, "transfer", self.amm.address, amount))
        assert before == [self.state(book) for book in self.books]

    @rule(seconds=st.integers(1, 10_000), room=st.integers(0, 12))
    def wait(self, seconds: int, room: int) -> None:
        """Time passes; the tick that holds now is counted."""
        for book in self.books:
            if room:
                key = book.key
                self.attempt("grow", lambda k=key: self.amm.send(EVE, "growHistory", k, room))  # type: ignore[misc]
            book.tick_sum += self.state(book)[1] * seconds
        self.world.wait(seconds)

    # Invariants --------------------------------------------------------------------------------

    @invariant()
    def ticks_agree_with_positions(self) -> None:
        """Properties 20 to 23, the bitmap, and gross and net of every tick from the positions."""
        for book in self.books:
            root, tick, liquidity, growth0, growth1 = self.state(book)
            # Equal at the upper end after a swap that fell exactly onto a tick and crossed it.
            assert price_at(tick) <= root <= price_at(min(tick + 1, MAX_TICK))
            ends = {end for place in book.positions for end in place[1:]}
            total = below = 0
            for end in ENDS:
                gross, net, outside0, outside1 = self.amm.read("tickOf", book.key, end)
                here = [(p, v) for p, v in book.positions.items() if end in p[1:]]
                assert gross == sum(value for _, value in here)
                assert net == sum(v if p[1] == end else -v for p, v in here)
                compressed = end // 60
                word = self.amm.read("bitmapOf", book.key, compressed >> 8)
                assert bool(word >> (compressed & 255) & 1) == (end in ends)
                total += net
                below += net if end <= tick else 0
                if gross:
                    assert outside0 <= growth0 and outside1 <= growth1, "22, 23: outside too large"
            assert total == 0, "20: net liquidity does not add up to nothing"
            assert below == liquidity, "21: liquidity is not the sum of net up to the tick"
            assert MIN_TICK <= tick <= MAX_TICK

    @invariant()
    def solvent(self) -> None:
        """The exchange holds at least what all positions and the treasury would get."""
        owed: dict[Address, int] = dict.fromkeys((NATIVE, *self.scene.by_address), 0)
        for book in self.books:
            root = self.state(book)[0]
            for (who, lower, upper), liquidity in book.positions.items():
                fees = self.amm.read("feesInside", book.key, lower, upper)
                kept = self.amm.read("positionOf", book.key, who, lower, upper, b"\0" * 32)
                assert kept[0] == liquidity
                worth = amounts_of(liquidity, lower, upper, root)
                for side in (0, 1):
                    earned = (fees[side] - kept[1 + side]) % HUGE * liquidity // Q128
                    owed[book.key[side]] += worth[side] + earned
        for token, amount in owed.items():
            fees = self.amm.read("protocolFees", token)
            assert self.exchange.held(token) >= amount + fees, (
                "the exchange owes more than it holds"
            )

    @invariant()
    def history_is_the_model(self) -> None:
        """The sum of ticks times seconds is what a plain sum gives."""
        for book in self.books:
            assert self.amm.read("observe", book.key, [0])[0] == book.tick_sum

    def teardown(self) -> None:
        """Everybody leaves: every position and every fee is paid out."""
        if not hasattr(self, "books"):
            return
        for book in self.books:
            for (who, lower, upper), liquidity in sorted(book.positions.items()):
                self.exchange.remove(who, book.key, lower, upper, liquidity)
            assert self.state(book)[2] == 0
            book.positions.clear()
        for token in (NATIVE, *self.scene.by_address):
            try:
                self.amm.send(OWNER, "takeProtocolFees", token, OWNER)
            except Reverted as error:
                raise AssertionError("the treasury cannot be paid") from error
        assert len(USERS) == 4
