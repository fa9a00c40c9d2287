"""Gas and executed EVM instructions of each operation, beside what others need.

`python -m tests.contracts.defi.gas` measures anew and writes `gas.json` beside this file and the
table in `docs/defi-gas.md`. A test measures too, and fails when an operation costs 5 % more than
what is written. Whole transactions with the plain ERC-20 of `contracts/src`, between accounts that
hold the tokens before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.defi.bank import CAP, FACTORS, FIELDS, ONE
from tests.contracts.defi.exchange import FAR, Exchange, hop, root_of
from tests.contracts.defi.world import (
    ALICE,
    BOB,
    CAROL,
    EVE,
    MAX,
    OWNER,
    UNIT,
    Contract,
    World,
    move,
)

TABLE = Path(__file__).with_name("gas.json")
PAGE = Path(__file__).resolve().parents[3] / "docs" / "defi-gas.md"
NO_SALT = b"\0" * 32
NOTES: Final = """
Goals that are not reached, and what would have to go:

- Repay: a call that books interest writes three words of the market and one of the account and
  tells both. The parameters that name a market are twelve words of call data.
- Liquidate: the same, with a price to be asked for and a second token to be paid out.
- Stake in a farm, first: two new words, reward and unit paid up to, cost 40,000 by themselves;
  three words of the farm keep the rest exact, and what arrives is measured.

Creating a pool writes one word. The first liquidity and the first swap of a later second write
two more, which creation wrote before; a route through a new pool shows that in its row.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What an operation needs here, and what `other` needs for the like."""

    operation: str
    gas: int
    operations: int
    goal: int
    other: str


class Meter:
    """Runs transactions and keeps what they cost."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: list[Row] = []

    def run(self, name: str, goal: int, other: str, send: tuple[Any, ...], value: int = 0) -> None:
        """Measure one call: sender, contract, function, values."""
        sender, contract, function, *values = send
        data = contract.data(function, *values)
        work = self.world.operations(sender, contract.address, data, value)
        contract.send(sender, function, *values, value=value)
        self.rows.append(Row(name, self.world.gas_used, work, goal, other))


def plain_token(world: World, *spenders: Contract) -> Contract:
    """Deploy the plain ERC-20; everybody holds some and has approved the spenders."""
    token = world.deploy("ERC20", "Coin", "CN", 10**30)
    for each in (OWNER, ALICE, BOB, CAROL, EVE):
        if each != OWNER:
            token.send(OWNER, "transfer", each, 10**27)
        for spender in spenders:
            token.send(each, "approve", spender.address, MAX)
    return token


def exchange_rows() -> list[Row]:
    """Measure the exchange."""
    world = World()
    exchange = Exchange(world, world.deploy("Amm", OWNER, ZERO_ADDRESS))
    amm = exchange.amm
    tokens = sorted((plain_token(world, amm) for _ in range(3)), key=lambda each: each.address)
    one, two, three = (each.address for each in tokens)
    key = (one, two, 3000, 60)
    meter = Meter(world)
    v4 = "Uniswap v4 {:,}"
    meter.run("create pool", 60_000, v4.format(51_532), (BOB, amm, "createPool", key, root_of(1)))
    wish = (key, -600, 600, 100 * UNIT, MAX, MAX, NO_SALT, FAR)
    meter.run(
        "add liquidity, new range", 294_748, v4.format(294_748), (BOB, amm, "addLiquidity", wish)
    )
    world.wait(5)
    meter.run(
        "add liquidity, same range", 146_556, v4.format(146_556), (BOB, amm, "addLiquidity", wish)
    )
    out = (key, -600, 600, 50 * UNIT, 0, 0, NO_SALT, BOB, FAR)
    remove = (BOB, amm, "removeLiquidity", out)
    meter.run("remove liquidity", 126_975, v4.format(126_975), remove)
    exchange.add(ALICE, key, -6000, 6000, 100 * UNIT)
    amm.send(BOB, "growHistory", key, 10)
    amm.send(OWNER, "createPool", (two, three, 3000, 60), root_of(1))
    exchange.add(ALICE, (two, three, 3000, 60), -6000, 6000, 100 * UNIT)
    exchange.swap(ALICE, one, [hop(two)], 1000)
    world.wait(5)
    exchange.swap(ALICE, two, [hop(one)], 1000)
    there = (BOB, amm, "swapExactIn", one, [hop(two)], UNIT, 0, BOB, FAR)
    swap = "Uniswap v4 118,512, v3 99,004-114,858"
    meter.run("swap exact in, same second", 120_000, swap, there)
    world.wait(5)
    meter.run("swap exact in, first of a second", 120_000, swap, there)
    back = (BOB, amm, "swapExactOut", two, [hop(one)], UNIT, MAX, BOB, FAR)
    meter.run("swap exact out", 120_000, swap, back)
    route = (BOB, amm, "swapExactIn", one, [hop(two), hop(three)], UNIT, 0, BOB, FAR)
    meter.run("swap over two pools", 180_000, "-", route)
    limit = root_of(Fraction(93, 100))
    cross = (BOB, amm, "swapToPrice", key, True, 100 * UNIT, limit, 0, BOB, FAR)
    meter.run("swap crossing a tick", 155_000, "Uniswap v4 154,474, v3 129,871", cross)
    meter.run("remove liquidity with first fees", 170_000, "-", remove)
    return meter.rows


def lending_rows() -> list[Row]:
    """Measure lending."""
    world = World()
    lending = world.deploy("Lending", OWNER, ZERO_ADDRESS)
    loan, collateral = plain_token(world, lending), plain_token(world, lending)
    feed = world.deploy("Feed", 36, ONE)
    chosen = {**FACTORS, "loan": loan.address, "collateral": collateral.address}
    params = tuple({**chosen, "oracle": feed.address}[each] for each in FIELDS)
    meter = Meter(world)
    morpho = "Morpho {:,}"

    def run(name: str, other: int, goal: int, who: Address, function: str, *values: Any) -> None:
        send = (who, lending, function, params, *values)
        meter.run(name, goal, morpho.format(other), send)

    run("create market", 172_819, 180_000, OWNER, "createMarket", CAP, CAP, 0)
    run("supply, first", 115_623, 127_185, ALICE, "supply", 100 * UNIT, ALICE)
    lending.send(CAROL, "supply", params, 100 * UNIT, CAROL)
    world.wait(5)
    run("supply, again", 64_323, 70_755, ALICE, "supply", 100 * UNIT, ALICE)
    run("supply collateral", 91_119, 100_230, BOB, "supplyCollateral", 100 * UNIT, BOB)
    lending.send(CAROL, "supplyCollateral", params, UNIT, CAROL)
    lending.send(CAROL, "borrow", params, UNIT // 2, CAROL, CAROL)
    world.wait(5)
    run("borrow", 86_098, 94_707, BOB, "borrow", 50 * UNIT, BOB, BOB)
    world.wait(5)
    run("repay", 64_273, 70_700, BOB, "repay", 10 * UNIT, BOB)
    run("withdraw", 0, 75_000, ALICE, "withdraw", 10 * UNIT, ALICE, ALICE)
    feed.send(EVE, "set", ONE // 2, world.time)
    lending.send(EVE, "liquidate", params, CAROL, 1000, 0)
    world.wait(5)
    run("liquidate", 90_760, 100_000, EVE, "liquidate", BOB, UNIT, 0)
    puppet = world.deploy("Puppet")
    for each in (loan,):
        each.send(EVE, "transfer", puppet.address, UNIT)
    puppet.send(EVE, "run", [move(loan, "approve", lending.address, MAX)])
    send = (EVE, lending, "flashLoan", puppet.address, loan.address, UNIT, b"")
    lending.send(EVE, "flashLoan", puppet.address, loan.address, UNIT, b"")
    meter.run("flash loan", 80_000, "Morpho 74,256, Aave 138,077", send)
    return meter.rows


def farming_rows() -> list[Row]:
    """Measure farming."""
    world = World()
    farming = world.deploy("Farming", OWNER, ZERO_ADDRESS)
    token, reward = plain_token(world, farming), plain_token(world, farming)
    meter = Meter(world)
    other = "StakingRewards {}"
    create = (OWNER, farming, "createFarm", token.address, reward.address, 86_400 * UNIT, 86_400)
    meter.run("create farm", 300_000, "-", create)
    farming.send(ALICE, "stake", 0, UNIT)
    for _ in range(2):
        world.wait(5)
        farming.send(ALICE, "stake", 0, UNIT)
    world.wait(5)
    stake = (BOB, farming, "stake", 0, UNIT)
    meter.run("stake, first", 100_000, other.format("97,074"), stake)
    world.wait(5)
    meter.run("claim", 70_000, other.format("64,258"), (BOB, farming, "claim", 0))
    world.wait(5)
    meter.run(
        "withdraw stake", 92_321, other.format("92,321"), (BOB, farming, "withdraw", 0, UNIT // 2)
    )
    return meter.rows


PARTS: Final[tuple[Callable[[], list[Row]], ...]] = (exchange_rows, lending_rows, farming_rows)


def page(rows: list[Row]) -> str:
    """Return the table as a page."""
    lines = [
        "# Gas and work of exchange, lending and farming",
        "",
        "Whole transactions with a plain ERC-20, Prague, solc 0.8.37 with the settings of",
        "[contracts/settings.json](../contracts/settings.json), no exit policy set. The work",
        "is the number of EVM instructions, which decides the speed of a node in Python. The goals",
        "come from what others were measured at. `python -m tests.contracts.defi.gas` writes this",
        "page; a test fails when an operation costs 5 % more than what stands here.",
        "",
        "| operation | gas | instructions | goal, gas | others, gas |",
        "|---|---:|---:|---:|---|",
    ]
    for each in rows:
        numbers = f"{each.gas:,} | {each.operations:,} | {each.goal:,}"
        lines.append(f"| {each.operation} | {numbers} | {each.other.replace('Morpho 0', '-')} |")
    return "\n".join(lines) + "\n" + NOTES


def measure() -> list[Row]:
    """Return every row."""
    return [row for part in PARTS for row in part()]


def main() -> None:
    """Write the table and the page, and print them."""
    rows = measure()
    table = {each.operation: [each.gas, each.operations] for each in rows}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    PAGE.write_text(page(rows))
    sys.stdout.write(page(rows))


if __name__ == "__main__":
    main()
