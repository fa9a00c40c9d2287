"""The exchange: pools, positions, exact swaps, routes, fees, history, flash loans, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from primitives.types import ZERO_ADDRESS
from tests.contracts.defi.exchange import FAR, MAX_TICK, Exchange, hop, new_exchange, root_of
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    CAROL,
    MAX,
    NATIVE,
    OWNER,
    UNIT,
    Contract,
    Reverted,
    move,
    text,
)

DEEP = 1000 * UNIT


@pytest.fixture(scope="module")
def made() -> tuple[Exchange, Contract, Contract, tuple[Any, ...], tuple[Any, ...]]:
    """One exchange with a pool at price 1 and a position around it; tests go back to here."""
    exchange = new_exchange()
    first, second = exchange.tokens()
    key = exchange.pool(first.address, second.address)
    exchange.add(ALICE, key, -6000, 6000, DEEP)
    return exchange, first, second, key, exchange.world.snapshot()


@pytest.fixture
def world(made: Any) -> Iterator[tuple[Exchange, Contract, Contract, tuple[Any, ...]]]:
    exchange, first, second, key, kept = made
    exchange.world.restore(kept)
    yield exchange, first, second, key


def test_pool_is_created_once_and_sorted(world: Any) -> None:
    """A pool needs sorted tokens with code, an allowed tier and a price, and opens once."""
    exchange, _first, _second, key = world
    amm = exchange.amm
    for bad, error in (
        (key, "PoolExists"),
        ((key[1], key[0], 3000, 60), "BadKey"),
        ((key[0], key[0], 3000, 60), "BadKey"),
        ((key[0], key[1], 3000, 10), "BadTier"),
        ((key[0], b"\xff" * 20, 3000, 60), "NoCode"),
    ):
        with pytest.raises(Reverted, match=error):
            amm.send(BOB, "createPool", bad, root_of(1))
    other = (key[0], key[1], 500, 10)
    for price in (0, 1, 2**160 - 1):
        with pytest.raises(Reverted):
            amm.send(BOB, "createPool", other, price)
    with pytest.raises(Reverted, match="OwnableUnauthorized"):
        amm.send(BOB, "allowTier", 3000, 10)
    amm.send(OWNER, "allowTier", 3000, 10)
    amm.send(BOB, "createPool", (key[0], key[1], 3000, 10), root_of(4))
    assert amm.read("poolOf", (key[0], key[1], 3000, 10))[1] == 13_863


def test_position_takes_and_gives_back(world: Any) -> None:
    """Liquidity costs what it is worth, rounded up, and comes back rounded down: one unit less."""
    exchange, first, second, key = world
    before = [each.read("balanceOf", BOB) for each in (first, second)]
    exchange.add(BOB, key, -60, 60, 10**6)
    paid = [
        old - each.read("balanceOf", BOB) for old, each in zip(before, (first, second), strict=True)
    ]
    assert paid == [2996, 2996]
    exchange.remove(BOB, key, -60, 60, 10**6)
    after = [each.read("balanceOf", BOB) for each in (first, second)]
    assert [old - new for old, new in zip(before, after, strict=True)] == [1, 1]


def test_position_outside_holds_one_token(world: Any) -> None:
    """Above the price a position is all token0, below it all token1."""
    exchange, _first, _second, key = world
    exchange.add(BOB, key, 60, 120, 10**6)
    told = exchange.amm.events()[0][1]
    assert told["amount0"] > 0 and told["amount1"] == 0
    exchange.add(BOB, key, -120, -60, 10**6)
    told = exchange.amm.events()[0][1]
    assert told["amount0"] == 0 and told["amount1"] > 0


@pytest.mark.parametrize(("lower", "upper"), [(0, 0), (60, -60), (-61, 60), (0, MAX_TICK + 8)])
def test_bad_ranges(world: Any, lower: int, upper: int) -> None:
    """Ends of positions are in order, on the spacing and in bounds."""
    exchange, _, _, key = world
    with pytest.raises(Reverted, match="BadRange"):
        exchange.add(BOB, key, lower, upper, 1)


def test_liquidity_bounds(world: Any) -> None:
    """Nothing, more than a tick may carry, and more than is there are refused."""
    exchange, _, _, key = world
    with pytest.raises(Reverted, match="NoLiquidity"):
        exchange.add(BOB, key, -60, 60, 0)
    most = (2**128 - 1) // (2 * 14_787 + 1) + 1
    with pytest.raises(Reverted, match="TickFull"):
        exchange.add(BOB, key, -60, 60, most)
    with pytest.raises(Reverted):
        exchange.remove(BOB, key, -60, 60, 1)
    with pytest.raises(Reverted, match="NoLiquidity"):
        exchange.remove(BOB, key, -60, 60, 0)


def test_position_slippage_and_deadline(world: Any) -> None:
    """Bounds on both sides, and a deadline, stop a change of a position."""
    exchange, _, _, key = world
    with pytest.raises(Reverted, match="TooMuch"):
        exchange.add(BOB, key, -60, 60, 10**6, most=2995)
    exchange.add(BOB, key, -60, 60, 10**6, most=2996)
    wish = (key, -60, 60, 10**6, 2996, 0, b"\0" * 32, BOB, FAR)
    with pytest.raises(Reverted, match="TooLittle"):
        exchange.amm.send(BOB, "removeLiquidity", wish)
    with pytest.raises(Reverted, match="Expired"):
        exchange.amm.send(BOB, "removeLiquidity", (*wish[:-1], exchange.world.time - 1))


def test_exact_in_matches_the_formula(world: Any) -> None:
    """One swap within one range gives what x * y = L^2 gives, less the fee, rounded down."""
    exchange, _first, second, key = world
    before = second.read("balanceOf", BOB)
    exchange.swap(BOB, key[0], [hop(key[1])], UNIT)
    got = second.read("balanceOf", BOB) - before
    taken = Fraction(UNIT * 997, 1000)
    exact = DEEP - Fraction(DEEP * DEEP, 1) / (DEEP + taken)
    assert 0 <= exact - got < 2
    assert exchange.amm.events()[-1][1]["amountIn"] == UNIT


def test_exact_out_costs_what_exact_in_gives(world: Any) -> None:
    """Asking for what a swap would give costs its input, or one unit less or more by rounding."""
    exchange, first, second, key = world
    quoter = exchange.world.deploy("AmmQuoter", exchange.amm.address)
    out = quoter.read("quoteExactIn", key[0], [hop(key[1])], UNIT)
    cost = quoter.read("quoteExactOut", key[0], [hop(key[1])], out)
    assert 0 <= UNIT - cost <= 2
    before = first.read("balanceOf", BOB), second.read("balanceOf", BOB)
    exchange.swap(BOB, key[0], [hop(key[1])], out, out=True)
    assert before[0] - first.read("balanceOf", BOB) == cost
    assert second.read("balanceOf", BOB) - before[1] == out


def test_slippage_deadline_and_unknown_pool(world: Any) -> None:
    """A swap below its bound, after its deadline or through no pool does nothing."""
    exchange, _first, _second, key = world
    route = [hop(key[1])]
    with pytest.raises(Reverted, match="TooLittle"):
        exchange.swap(BOB, key[0], route, UNIT, bound=UNIT)
    with pytest.raises(Reverted, match="TooMuch"):
        exchange.swap(BOB, key[0], route, UNIT, out=True, bound=UNIT)
    with pytest.raises(Reverted, match="Expired"):
        exchange.swap(BOB, key[0], route, UNIT, deadline=exchange.world.time - 1)
    with pytest.raises(Reverted, match="UnknownPool"):
        exchange.swap(BOB, key[0], [hop(key[1], 500)], UNIT)
    for hops in ([], route * 7):
        with pytest.raises(Reverted, match="BadRoute"):
            exchange.swap(BOB, key[0], hops, UNIT)


def test_swap_larger_than_the_pool(world: Any) -> None:
    """A swap that the pool cannot fill is refused whole, unless it has a price limit."""
    exchange, first, _second, key = world
    with pytest.raises(Reverted, match="Unfilled"):
        exchange.swap(BOB, key[0], [hop(key[1])], 10**6 * UNIT)
    with pytest.raises(Reverted, match="Unfilled"):
        exchange.swap(BOB, key[0], [hop(key[1])], 2 * DEEP, out=True)
    limit = root_of(Fraction(9, 10))
    before = first.read("balanceOf", BOB)
    exchange.amm.send(BOB, "swapToPrice", key, True, 10**6 * UNIT, limit, 0, BOB, FAR)
    assert exchange.price(key) == limit
    told = exchange.amm.events()[-1][1]
    assert before - first.read("balanceOf", BOB) == told["amountIn"] < 100 * UNIT
    for bad in (limit, limit + 1, 0):
        with pytest.raises(Reverted, match="BadPriceLimit"):
            exchange.amm.send(BOB, "swapToPrice", key, True, UNIT, bad, 0, BOB, FAR)


def test_crossing_ticks_there_and_back(world: Any) -> None:
    """Crossing positions changes the liquidity exactly by theirs, and back again."""
    exchange, _first, _second, key = world
    exchange.add(BOB, key, -1200, -600, DEEP)
    exchange.add(BOB, key, -600, 600, 2 * DEEP)
    for limit, expected in (
        (root_of(Fraction(95, 100)), 3 * DEEP),
        (root_of(Fraction(90, 100)), 2 * DEEP),
        (root_of(Fraction(85, 100)), DEEP),
    ):
        exchange.amm.send(BOB, "swapToPrice", key, True, 10**6 * UNIT, limit, 0, BOB, FAR)
        assert exchange.amm.read("poolOf", key)[2] == expected
    exchange.amm.send(BOB, "swapToPrice", key, False, 10**6 * UNIT, root_of(1), 0, BOB, FAR)
    assert exchange.amm.read("poolOf", key)[2] == 3 * DEEP


def test_fees_go_to_those_in_range(world: Any) -> None:
    """Who is in range earns by share; who is out of range earns nothing; no unit too much."""
    exchange, _first, _second, key = world
    exchange.add(BOB, key, -6000, 6000, 3 * DEEP)
    exchange.add(CAROL, key, 6000, 6060, DEEP)
    exchange.swap(CAROL, key[0], [hop(key[1])], 10 * UNIT)
    earned = {}
    for who, ends in ((ALICE, (-6000, 6000)), (BOB, (-6000, 6000)), (CAROL, (6000, 6060))):
        exchange.remove(who, key, *ends, 0)
        told = exchange.amm.events()[-1][1]
        earned[who] = told["fees0"], told["fees1"]
    fee = 10 * UNIT * 3 // 1000
    assert earned[CAROL] == (0, 0)
    assert earned[BOB][1] == earned[ALICE][1] == 0
    assert 0 <= fee - earned[ALICE][0] - earned[BOB][0] <= 2
    assert abs(earned[BOB][0] - 3 * earned[ALICE][0]) <= 3
    exchange.remove(ALICE, key, -6000, 6000, 0)
    assert exchange.amm.events()[-1][1]["fees0"] == 0


def test_earned_fees_pay_for_more_liquidity(world: Any) -> None:
    """Adding to a position nets what it earned against what it costs, both ways."""
    exchange, first, _second, key = world
    exchange.swap(BOB, key[0], [hop(key[1])], 100 * UNIT)
    before = first.read("balanceOf", ALICE)
    exchange.add(ALICE, key, -6000, 6000, 1)
    told = exchange.amm.events()[-1][1]
    assert first.read("balanceOf", ALICE) - before == told["fees0"] - told["amount0"] > 0


def test_protocol_share(world: Any) -> None:
    """A tenth of the fees goes to the treasury when the owner says so, and only then."""
    exchange, first, _second, key = world
    amm = exchange.amm
    with pytest.raises(Reverted, match="OwnableUnauthorized"):
        amm.send(BOB, "setProtocolShare", key, 10)
    for bad in (1, 3, 21):
        with pytest.raises(Reverted, match="BadShare"):
            amm.send(OWNER, "setProtocolShare", key, bad)
    amm.send(OWNER, "setProtocolShare", key, 10)
    exchange.swap(BOB, key[0], [hop(key[1])], 10 * UNIT)
    assert amm.read("protocolFees", key[0]) == 10 * UNIT * 3 // 1000 // 10
    before = first.read("balanceOf", CAROL)
    amm.send(OWNER, "takeProtocolFees", key[0], CAROL)
    assert first.read("balanceOf", CAROL) - before == 3 * 10**15
    assert amm.read("protocolFees", key[0]) == 0
    exchange.remove(ALICE, key, -6000, 6000, 0)
    assert abs(amm.events()[-1][1]["fees0"] - 27 * 10**15) <= 1


def test_route_over_three_pools(world: Any) -> None:
    """A route moves the first and the last token only, and quotes tell exactly what happens."""
    exchange, first, second, key = world
    third = exchange.token()
    exchange.add(ALICE, exchange.pool(key[1], third.address, fee=500), -6000, 6000, DEEP)
    native = exchange.pool(NATIVE, third.address, fee=100)
    exchange.add(ALICE, native, -6000, 6000, DEEP)
    route = [hop(key[1]), hop(third.address, 500), hop(NATIVE, 100)]
    quoter = exchange.world.deploy("AmmQuoter", exchange.amm.address)
    out = quoter.read("quoteExactIn", key[0], route, UNIT)
    before = exchange.world.balance(BOB), second.read("balanceOf", BOB)
    exchange.swap(BOB, key[0], route, UNIT)
    assert exchange.world.balance(BOB) - before[0] == out
    assert second.read("balanceOf", BOB) == before[1]
    cost = quoter.read("quoteExactOut", key[0], route, UNIT)
    held = first.read("balanceOf", BOB), exchange.world.balance(CAROL)
    exchange.swap(BOB, key[0], route, UNIT, out=True, to=CAROL)
    assert held[0] - first.read("balanceOf", BOB) == cost
    assert exchange.world.balance(CAROL) - held[1] == UNIT
    back = [hop(third.address, 100), hop(key[1], 500), hop(key[0])]
    exchange.swap(BOB, NATIVE, back, UNIT, out=True, bound=2 * UNIT)
    told = exchange.amm.events()[0][1]
    assert told["zeroForOne"] in (True, False)


def test_native_coin(world: Any) -> None:
    """The native coin is paid with the call, what is not needed goes back, nothing else enters."""
    exchange, _first, _second, key = world
    native = exchange.pool(NATIVE, key[0])
    before = exchange.world.balance(ALICE)
    exchange.add(ALICE, native, -600, 600, DEEP, value=10**24)
    paid = before - exchange.world.balance(ALICE)
    assert paid == exchange.held(NATIVE) == exchange.amm.events()[-1][1]["amount0"]
    with pytest.raises(Reverted, match="WrongValue"):
        exchange.add(ALICE, native, -600, 600, DEEP, value=1)
    with pytest.raises(Reverted, match="WrongValue"):
        exchange.add(ALICE, key, -600, 600, DEEP, value=1)
    with pytest.raises(Reverted, match="WrongValue"):
        exchange.world.transact(BOB, exchange.amm.address, b"", 1)
    args = (key[0], [hop(key[1])], UNIT, 0, BOB, FAR)
    with pytest.raises(Reverted, match="WrongValue"):
        exchange.amm.send(BOB, "swapExactIn", *args, value=1)
    with pytest.raises(Reverted, match="WrongValue"):
        exchange.amm.send(BOB, "swapExactIn", NATIVE, [hop(key[0])], 2, 0, BOB, FAR, value=1)
    start = exchange.world.balance(BOB)
    exchange.swap(BOB, NATIVE, [hop(key[0])], UNIT, out=True, bound=3 * UNIT)
    cost = exchange.amm.events()[-1][1]["amountIn"]
    assert start - exchange.world.balance(BOB) == cost


def test_average_price(world: Any) -> None:
    """The history weighs each tick by the seconds that it held; a swap now changes nothing yet."""
    exchange, _first, _second, key = world
    amm, clock = exchange.amm, exchange.world
    assert amm.read("observe", key, [0])[0] == 0
    with pytest.raises(Reverted, match="TooShortHistory"):
        amm.read("observe", key, [1])
    amm.send(BOB, "growHistory", key, 5)
    total, ticks, times = 0, [], []
    for seconds in (10, 20, 5, 40, 7):
        clock.wait(seconds)
        tick = amm.read("poolOf", key)[1]
        ticks.append(tick)
        total += tick * seconds
        exchange.swap(BOB, key[1], [hop(key[0])], 3 * UNIT)
        exchange.swap(BOB, key[1], [hop(key[0])], 3 * UNIT)
        assert amm.read("observe", key, [0])[0] == total
        times.append((clock.time, total))
    for time, expected in times[1:]:
        assert amm.read("observe", key, [clock.time - time])[0] == expected
    middle = amm.read("observe", key, [7 + 13])[0]
    assert middle == times[2][1] + ticks[3] * 27
    clock.wait(100)
    now = amm.read("poolOf", key)[1]
    assert amm.read("observe", key, [30])[0] == total + 70 * now
    with pytest.raises(Reverted, match="TooShortHistory"):
        amm.read("observe", key, [183])


def test_history_begins_with_the_pool() -> None:
    """The first second of a pool is known before anything is written of it, and stays known.

    Planted: an unwritten first observation that is taken for one of the year 1970.
    """
    exchange = new_exchange()
    one, two = (each.address for each in exchange.tokens())
    key, clock, amm = exchange.pool(one, two, Fraction(3, 2)), exchange.world, exchange.amm
    tick, born = amm.read("poolOf", key)[1], clock.time
    assert tick != 0
    clock.wait(50)
    assert amm.read("observe", key, [0, 20, 50]) == (50 * tick, 30 * tick, 0)
    with pytest.raises(Reverted, match="TooShortHistory") as caught:
        amm.read("observe", key, [51])
    assert caught.value.values == (born,)
    amm.send(BOB, "growHistory", key, 1)
    assert amm.read("observationOf", key, 0) == (0, 0)
    amm.send(BOB, "growHistory", key, 3)
    assert amm.read("observationOf", key, 0) == (born, 0)
    exchange.add(ALICE, key, -60_000, 60_000, UNIT)
    exchange.swap(BOB, one, [hop(two)], 1000)
    clock.wait(10)
    after = amm.read("poolOf", key)[1]
    sums = amm.read("observe", key, [0, 10, 30, 60])
    assert sums == (50 * tick + 10 * after, 50 * tick, 30 * tick, 0)
    with pytest.raises(Reverted, match="TooShortHistory"):
        amm.read("observe", key, [61])


def test_history_has_a_bound(world: Any) -> None:
    """Room for observations stops at its maximum and never shrinks."""
    exchange, _, _, key = world
    exchange.amm.send(BOB, "growHistory", key, 40)
    exchange.amm.send(BOB, "growHistory", key, 3)
    assert exchange.amm.read("observationOf", key, 39)[0] == 1
    with pytest.raises(Reverted, match="UnknownPool"):
        exchange.amm.send(BOB, "growHistory", (key[0], key[1], 500, 10), 3)


def test_flash_loan(world: Any) -> None:
    """A loan comes back with the fee, rounded up, which positions earn; else nothing happens."""
    exchange, first, _second, key = world
    puppet = exchange.world.deploy("Puppet")
    amm = exchange.amm
    first.send(BOB, "mint", puppet.address, UNIT)
    borrow = move(amm, "flash", key, 1001, 0, b"")

    def lend(back: int) -> None:
        puppet.send(BOB, "plan", [move(first, "transfer", amm.address, back)])
        puppet.send(BOB, "run", [borrow])

    with pytest.raises(Reverted, match="NotRepaid"):
        lend(1001 + 3)
    lend(1001 + 4)
    assert amm.events()[-1][1]["paid0"] == 4
    lend(1001 + 10**12)
    exchange.remove(ALICE, key, -6000, 6000, 0)
    assert 0 <= 10**12 + 4 - amm.events()[-1][1]["fees0"] <= 1
    puppet.send(BOB, "setMute", True)
    with pytest.raises(Reverted, match="NotAcknowledged"):
        lend(1005)


def test_flash_loan_locks_the_exchange(world: Any) -> None:
    """Within a loan neither positions nor swaps work, and no view answers."""
    exchange, first, _second, key = world
    puppet = exchange.world.deploy("Puppet")
    amm = exchange.amm
    first.send(BOB, "mint", puppet.address, UNIT)
    tries = [
        move(amm, "swapExactIn", key[0], [hop(key[1])], 1, 0, BOB, FAR, fails=True),
        move(amm, "addLiquidity", (key, 0, 60, 1, 9, 9, b"\0" * 32, FAR), fails=True),
        move(amm, "flash", key, 1, 0, b"", fails=True),
        move(amm, "poolOf", key, fails=True),
        move(amm, "observe", key, [0], fails=True),
        move(first, "transfer", amm.address, 1004),
    ]
    puppet.send(BOB, "plan", tries)
    puppet.send(BOB, "run", [move(amm, "flash", key, 1000, 0, b"")])
    worked, _ = puppet.read("results")
    assert worked == (False,) * 5 + (True, True)


def test_liquidity_for_amounts(world: Any) -> None:
    """The quoter's liquidity costs no more than the amounts, and nearly all of one of them."""
    exchange, _, _, key = world
    quoter = exchange.world.deploy("AmmQuoter", exchange.amm.address)
    for lower, upper in ((-600, 600), (60, 120), (-120, -60)):
        for amounts in ((UNIT, UNIT), (10**6, 10**9), (1, 1), (0, UNIT)):
            liquidity, need0, need1 = quoter.read("liquidityFor", key, lower, upper, *amounts)
            assert need0 <= amounts[0] and need1 <= amounts[1]
            if liquidity > 10**6:
                assert need0 > amounts[0] * 0.999 or need1 > amounts[1] * 0.999
                exchange.add(BOB, key, lower, upper, liquidity)
                told = exchange.amm.events()[-1][1]
                assert (told["amount0"], told["amount1"]) == (need0, need1)


def test_quotes_tell_why_not(world: Any) -> None:
    """A quote without a pool fails with the reason; a simulation never stays."""
    exchange, _, _, key = world
    quoter = exchange.world.deploy("AmmQuoter", exchange.amm.address)
    with pytest.raises(Reverted, match="NoQuote"):
        quoter.read("quoteExactIn", key[0], [hop(key[1], 500)], UNIT)
    with pytest.raises(Reverted, match="Quoted") as caught:
        exchange.amm.send(BOB, "simulate", key[0], [hop(key[1])], -UNIT)
    assert caught.value.values[0] == UNIT
    assert exchange.price(key) == root_of(1)


def test_owner_in_two_steps(world: Any) -> None:
    """The owner is handed on only to who takes it."""
    exchange, _, _, _ = world
    exchange.amm.send(OWNER, "transferOwnership", BOB)
    assert exchange.amm.read("owner") == text(OWNER)
    exchange.amm.send(BOB, "acceptOwnership")
    assert exchange.amm.read("owner") == text(BOB)
    assert exchange.amm.read("exitPolicy") == text(ZERO_ADDRESS)
    assert MAX
