"""Staking: shares, growth from the reserve and no further, two-step exits, votes."""

from __future__ import annotations

from math import log

import pytest

from contracts.addresses import STAKING, TIMELOCK
from primitives.account import Account
from primitives.types import UINT256_MAX, Address, Wei
from qenex.predeploys import Standard
from tests.contracts.world import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    EVE,
    SETTINGS,
    Reverted,
    World,
    hexed,
    topped,
)

ONE = 10**18
YEAR = 365 * 86_400
DAYS_10 = 10 * 86_400


@pytest.fixture
def world() -> World:
    return prepared(SETTINGS)


def prepared(settings: Standard) -> World:
    made = World.standard(settings)
    topped(made, [ALICE, BOB, CAROL], 10_000_000 * ONE)
    for each in (ALICE, BOB, CAROL):
        made.send(each, "QXC", "approve", STAKING, UINT256_MAX)
    return made


def books(world: World) -> tuple[int, int, int]:
    """Return what is staked, in reserve and owed, and see that all of it is here."""
    found = [world.read("Staking", each) for each in ("totalAssets", "reserve", "owed")]
    assert sum(found) <= world.qxc(STAKING)
    return found[0], found[1], found[2]


def exit_all(world: World, who: Address) -> int:
    """Leave with everything; return what was paid."""
    before = world.qxc(who)
    shares = world.read("Staking", "balanceOf", who)
    world.send(who, "Staking", "requestRedeem", shares, who, who)
    world.wait(DAYS_10)
    world.send(who, "Staking", "redeem", shares, who, who)
    return world.qxc(who) - before


def test_facts(world: World) -> None:
    """The share is an ERC-4626 of QXC whose votes count seconds."""
    read = world.read
    assert (read("Staking", "symbol"), read("Staking", "decimals")) == ("sQXC", 18)
    assert read("Staking", "CLOCK_MODE") == "mode=timestamp"
    assert read("Staking", "clock") == world.now
    assert read("Staking", "governance") == hexed(TIMELOCK)
    assert books(world) == (0, SETTINGS.reserve_wei, 0)
    assert read("Staking", "currentApy") == 12 * 10**16
    assert read("Staking", "runwaySeconds") == UINT256_MAX


def test_stake_by_the_token(world: World) -> None:
    """`stake` on the token moves no burn, gives the caller's shares, and votes with them."""
    done = world.send(ALICE, "QXC", "stake", 1_000 * ONE)
    assert world.read("Staking", "balanceOf", ALICE) == 1_000 * ONE
    assert books(world)[0] == 1_000 * ONE
    assert "Deposit" in done.names()
    assert world.read("Staking", "getVotes", ALICE) == 1_000 * ONE
    assert world.read("Staking", "delegates", ALICE) == hexed(ALICE)


def test_deposit_and_mint(world: World) -> None:
    """The four ERC-4626 ways in and their previews agree."""
    world.send(ALICE, "Staking", "deposit", 7 * ONE, BOB)
    world.wait(YEAR)
    for function, value in (("deposit", 5 * ONE), ("mint", 3 * ONE)):
        preview = world.read("Staking", f"preview{function.title()}", value)
        before, shares = world.qxc(ALICE), world.read("Staking", "balanceOf", BOB)
        world.send(ALICE, "Staking", function, value, BOB)
        paid, got = before - world.qxc(ALICE), world.read("Staking", "balanceOf", BOB) - shares
        assert (paid, got) == ((value, preview) if function == "deposit" else (preview, value))
    with pytest.raises(Reverted, match="NothingToDo"):
        world.send(ALICE, "Staking", "deposit", 0, ALICE)
    with pytest.raises(Reverted, match="ERC20InsufficientAllowance"):
        world.send(DAVE, "Staking", "deposit", 1, DAVE)


def test_growth_is_twelve_percent_a_year(world: World) -> None:
    """One year gives 12 %, compounded; how often somebody touches it changes nothing."""
    world.send(ALICE, "QXC", "stake", 1_000_000 * ONE)
    world.wait(YEAR)
    quiet = books(world)[0]
    assert abs(quiet - 1_120_000 * ONE) < 10**9
    other = prepared(SETTINGS)
    other.send(ALICE, "QXC", "stake", 1_000_000 * ONE)
    other.send(BOB, "QXC", "approve", STAKING, UINT256_MAX)
    for _ in range(73):
        other.wait(YEAR // 73)
        other.send(BOB, "Staking", "fund", 1)
    assert abs(books(other)[0] - quiet) < 10**9


def test_runway(world: World) -> None:
    """The view names the second at which the reserve is empty; afterwards nothing grows."""
    small = Standard(guardian=EVE, reserve_wei=Wei(120_000 * ONE))
    world = prepared(small)
    world.send(ALICE, "QXC", "stake", 1_000_000 * ONE)
    left = world.read("Staking", "runwaySeconds")
    assert abs(left - YEAR) <= 1
    assert log(1 + 120_000 / 1_000_000) / log(1.12) * YEAR == pytest.approx(left)
    world.wait(left - 60)
    assert books(world)[1] > 0
    world.wait(120)
    assert books(world)[:2] == (1_120_000 * ONE, 0)
    assert world.read("Staking", "currentApy") == world.read("Staking", "runwaySeconds") == 0
    world.wait(10 * YEAR)
    assert books(world)[0] == 1_120_000 * ONE
    assert exit_all(world, ALICE) in (1_120_000 * ONE - 1, 1_120_000 * ONE)


def test_unfunded_staking_is_solvent() -> None:
    """Without a reserve nothing grows, and everybody gets all of it back."""
    world = prepared(Standard(guardian=EVE, reserve_wei=Wei(0)))
    world.send(ALICE, "QXC", "stake", 5 * ONE)
    world.wait(5 * YEAR)
    assert world.read("Staking", "currentApy") == 0
    assert exit_all(world, ALICE) == 5 * ONE


def test_fund(world: World) -> None:
    """Anybody adds to the reserve, and stakers' principal never counts as reward."""
    staked, reserve, _ = books(world)
    done = world.send(CAROL, "Staking", "fund", 9 * ONE)
    assert done.names()[-1] == "Funded"
    assert books(world) == (staked, reserve + 9 * ONE, 0)


def test_exit(world: World) -> None:
    """Shares, votes and growth end at once; tokens come after the cooldown, to the wei fixed."""
    world.send(ALICE, "QXC", "stake", 100 * ONE)
    world.send(BOB, "QXC", "stake", 100 * ONE)
    world.wait(YEAR)
    worth = world.read("Staking", "convertToAssets", 40 * ONE)
    world.send(ALICE, "Staking", "requestRedeem", 40 * ONE, ALICE, ALICE)
    assert world.read("Staking", "getVotes", ALICE) == 60 * ONE
    assert world.read("Staking", "exitOf", ALICE) == (worth, 40 * ONE, world.now + DAYS_10)
    assert books(world)[2] == worth
    assert world.read("Staking", "pendingRedeemRequest", 0, ALICE) == 40 * ONE
    assert world.read("Staking", "maxRedeem", ALICE) == 0
    world.wait(DAYS_10 - 1)
    with pytest.raises(Reverted, match="StillCooling"):
        world.send(ALICE, "Staking", "redeem", 1, ALICE, ALICE)
    world.wait(1)
    assert world.read("Staking", "maxRedeem", ALICE) == 40 * ONE
    assert world.read("Staking", "maxWithdraw", ALICE) == worth
    before = world.qxc(DAVE)
    world.send(ALICE, "Staking", "withdraw", ONE, DAVE, ALICE)
    assert world.qxc(DAVE) - before == ONE
    shares = world.read("Staking", "maxRedeem", ALICE)
    world.send(ALICE, "Staking", "redeem", shares, DAVE, ALICE)
    assert world.qxc(DAVE) - before == worth
    assert books(world)[2] == 0
    assert world.read("Staking", "exitOf", ALICE) == (0, 0, 0)


def test_all_tokens_there_can_be(world: World) -> None:
    """The whole supply is staked, grows by all the reserve, and leaves: 104 bits hold each number.

    Planted: fields of an exit one bit narrower lose tokens here.
    """
    rest = 2**104 - 1 - world.read("QXC", "totalSupply")
    world.state.accounts[ALICE] = Account(
        balance=Wei(rest), nonce=world.state.accounts[ALICE].nonce
    )
    world.send(ALICE, "QXC", "deposit", value=rest)
    whole = world.qxc(ALICE)
    world.send(ALICE, "QXC", "stake", whole)
    world.wait(100 * YEAR)
    staked, reserve, _ = books(world)
    assert (staked, reserve) == (whole + SETTINGS.reserve_wei, 0)
    paid = exit_all(world, ALICE)
    assert paid > 2**103 and staked - paid <= 1


def test_exit_refusals(world: World) -> None:
    """Only the owner leaves, with what it has, to be paid once."""
    world.send(ALICE, "QXC", "stake", 100 * ONE)
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        world.send(ALICE, "Staking", "requestRedeem", 101 * ONE, ALICE, ALICE)
    with pytest.raises(Reverted, match="ERC20InsufficientAllowance"):
        world.send(EVE, "Staking", "requestRedeem", 1, ALICE, ALICE)
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(EVE, "Staking", "requestRedeem", 1, EVE, ALICE)
    with pytest.raises(Reverted, match="NothingToDo"):
        world.send(ALICE, "Staking", "requestRedeem", 0, ALICE, ALICE)
    world.send(ALICE, "Staking", "requestRedeem", 10 * ONE, ALICE, ALICE)
    world.wait(DAYS_10)
    for function in ("redeem", "withdraw"):
        with pytest.raises(Reverted, match="Unauthorized"):
            world.send(EVE, "Staking", function, 1, EVE, ALICE)
        for value in (0, 10 * ONE + 1):
            with pytest.raises(Reverted, match="ERC4626Exceeded"):
                world.send(ALICE, "Staking", function, value, ALICE, ALICE)
    for function in ("previewRedeem", "previewWithdraw"):
        with pytest.raises(Reverted, match="AsynchronousExit"):
            world.read("Staking", function, 1)


def test_an_allowance_lets_another_ask(world: World) -> None:
    """A spender of shares may start the exit; the tokens remain the owner's."""
    world.send(ALICE, "QXC", "stake", 100 * ONE)
    world.send(ALICE, "Staking", "approve", BOB, 30 * ONE)
    world.send(BOB, "Staking", "requestRedeem", 30 * ONE, ALICE, ALICE)
    assert world.read("Staking", "exitOf", ALICE)[1] == 30 * ONE
    with pytest.raises(Reverted, match="ERC20InsufficientAllowance"):
        world.send(BOB, "Staking", "requestRedeem", 1, ALICE, ALICE)


def test_a_second_request_waits_anew(world: World) -> None:
    """Nobody keeps a finished request open to slip out with a later, larger stake."""
    world.send(ALICE, "QXC", "stake", 100 * ONE)
    world.send(ALICE, "Staking", "requestRedeem", ONE, ALICE, ALICE)
    world.wait(DAYS_10)
    world.send(ALICE, "Staking", "requestRedeem", 99 * ONE, ALICE, ALICE)
    with pytest.raises(Reverted, match="StillCooling"):
        world.send(ALICE, "Staking", "redeem", ONE, ALICE, ALICE)


def test_governed(world: World) -> None:
    """Target and cooldown have bounds in code, and change by governance alone."""
    for function in ("setTarget", "setCooldown"):
        with pytest.raises(Reverted, match="Unauthorized"):
            world.send(EVE, "Staking", function, 1)
    with pytest.raises(Reverted, match="TargetTooHigh"):
        world.as_timelock("Staking", "setTarget", 3001)
    with pytest.raises(Reverted, match="CooldownTooLong"):
        world.as_timelock("Staking", "setCooldown", 90 * 86_400 + 1)
    world.send(ALICE, "QXC", "stake", 1_000_000 * ONE)
    world.wait(YEAR)
    world.as_timelock("Staking", "setTarget", 0)
    world.wait(YEAR)
    assert abs(books(world)[0] - 1_120_000 * ONE) < 10**9
    assert world.read("Staking", "runwaySeconds") == UINT256_MAX
    world.as_timelock("Staking", "setTarget", 3000)
    world.wait(YEAR)
    assert abs(books(world)[0] - 1_456_000 * ONE) < 10**9


def test_deposit_from_token_is_the_tokens(world: World) -> None:
    """Nobody else says that tokens have come."""
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(EVE, "Staking", "depositFromToken", EVE, ONE)


def test_staking_that_is_taxed_takes_nothing(world: World) -> None:
    """If governance ends the exemption, deposits are refused instead of booked at face value.
    Kills: booking the sent amount (the Balancer and MasterChef mistake)."""
    world.as_timelock("QXC", "setExempt", STAKING, False)
    with pytest.raises(Reverted, match="NotExempt"):
        world.send(ALICE, "Staking", "deposit", 10_000, ALICE)
    with pytest.raises(Reverted, match="NotExempt"):
        world.send(ALICE, "QXC", "stake", 10_000)


def test_gifts_change_nothing(world: World) -> None:
    """Tokens that are merely sent move neither the price of a share nor the reserve."""
    world.send(ALICE, "QXC", "stake", ONE)
    before = books(world)
    world.send(BOB, "QXC", "transfer", STAKING, 1_000_000 * ONE)
    assert books(world) == before
    assert world.read("Staking", "convertToAssets", ONE) == ONE


def test_recovery(world: World) -> None:
    """A lost account's shares, votes and exit go to its successor, by QXC's agent alone."""
    world.send(BOB, "QXC", "stake", 100 * ONE)
    world.send(BOB, "Staking", "requestRedeem", 40 * ONE, BOB, BOB)
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(EVE, "Staking", "recoverAccount", BOB, EVE)
    world.as_timelock("QXC", "setAgent", DAVE)
    with pytest.raises(Reverted, match="NothingToDo"):
        world.send(DAVE, "Staking", "recoverAccount", BOB, BOB)
    world.send(DAVE, "Staking", "recoverAccount", BOB, CAROL)
    assert world.read("Staking", "balanceOf", CAROL) == 60 * ONE
    assert world.read("Staking", "getVotes", CAROL) == 60 * ONE
    assert world.read("Staking", "getVotes", BOB) == 0
    assert world.read("Staking", "exitOf", CAROL)[:2] == (40 * ONE, 40 * ONE)
    assert world.read("Staking", "exitOf", BOB) == (0, 0, 0)


def test_empty_again(world: World) -> None:
    """After the last staker left, the next one begins at a fair price and the reserve is whole."""
    world.send(ALICE, "QXC", "stake", 3 * ONE)
    world.wait(YEAR)
    exit_all(world, ALICE)
    reserve = books(world)[1]
    world.wait(YEAR)
    assert books(world)[1] == reserve
    world.send(BOB, "QXC", "stake", 5 * ONE)
    assert abs(exit_all(world, BOB) - 5 * ONE) <= 2
