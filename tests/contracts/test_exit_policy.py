"""Compliance as the exit policy of the pools: from a proposal to a refused withdrawal and back.

Nothing stands in for anything here: standard contracts as genesis makes them, votes of staked QXC,
the timelock's delay, claims in the identity registry.
"""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from contracts.addresses import AMM, COMPLIANCE, COUNTRY_MODULE, FARMING, LENDING, QXC
from primitives.crypto.keccak import keccak
from primitives.types import UINT256_MAX, ZERO_ADDRESS, Address
from qenex.abi import call_data
from tests.contracts.world import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    EVE,
    SETTINGS,
    Reverted,
    World,
    topped,
)

ONE = 10**18
KYC, YEAR = 1, 365 * 86_400
FAR = 2**40
RANGE = (-600, 600)
MARKET = (7500, 8000, 500, 5000, 1000, 8000)
CALLS = 5


@pytest.fixture
def world() -> World:
    """Bob is verified, Eve is not; both have liquidity, a stake and a loan to a market."""
    made = World.standard()
    topped(made, [ALICE, BOB, EVE], 100_000 * ONE)
    made.send(ALICE, "QXC", "stake", 50_000 * ONE)
    made.as_timelock("IdentityRegistry", "setAgent", DAVE, True)
    made.as_timelock("IdentityRegistry", "addClaimTopic", KYC)
    made.as_timelock("IdentityRegistry", "setTrustedIssuer", CAROL, [KYC])
    made.send(DAVE, "IdentityRegistry", "registerIdentity", BOB, b"\xbb" * 32, 276)
    values = (b"\xbb" * 32, KYC, b"\x11" * 32, made.now + YEAR)
    made.send(CAROL, "IdentityRegistry", "addClaim", *values)
    token = made.deploy("ERC20", "Coin", "CN", 10**30)
    for who in (BOB, EVE):
        made.send(ALICE, "ERC20", "transfer", who, 10**24)
    for who in (ALICE, BOB, EVE):
        for place in (AMM, LENDING, FARMING):
            made.send(who, "ERC20", "approve", place, UINT256_MAX)
            made.send(who, "QXC", "approve", place, UINT256_MAX)
    made.send(ALICE, "Amm", "createPool", pool(token), 2**96)
    made.as_timelock("Lending", "createMarket", market(token), 2**100, 2**100, 0)
    made.send(ALICE, "Farming", "createFarm", token, token, 864 * ONE, YEAR)
    for who in (BOB, EVE):
        wish = (pool(token), *RANGE, 100 * ONE, UINT256_MAX, UINT256_MAX, bytes(32), FAR)
        made.send(who, "Amm", "addLiquidity", wish)
        made.send(who, "Lending", "supply", market(token), ONE, who)
        made.send(who, "Farming", "stake", 0, ONE)
    made.wait(1)
    return made


def pool(token: Address) -> tuple[Any, ...]:
    return (*sorted((QXC, token)), 3000, 60)


def market(token: Address) -> tuple[Any, ...]:
    """Nobody borrows here, so the oracle is never asked."""
    return (token, *MARKET, QXC, 100, 400, 10_000, COUNTRY_MODULE)


def decided(world: World, text: str, *calls: tuple[Address, bytes]) -> None:
    """Carry calls of the timelock by a vote, with all its waiting."""
    targets, datas = [each for each, _ in calls], [data for _, data in calls]
    act = encode(["address[]", "uint256[]", "bytes[]"], [targets, [0] * len(calls), datas])
    done = world.send(ALICE, "QXC", "createProposal", text, CALLS, act)
    proposal = done.fields("ProposalCreated")["proposalId"]
    world.wait(SETTINGS.voting_delay_s + 1)
    world.send(ALICE, "QXC", "vote", proposal, True)
    world.wait(SETTINGS.voting_period_s + 1)
    whole = (targets, [0] * len(calls), datas, keccak(text.encode()))
    world.send(EVE, "Governance", "queue", *whole)
    world.wait(SETTINGS.timelock_s)
    world.send(EVE, "Governance", "execute", *whole)


def policy(world: World, text: str, place: Address) -> None:
    """Decide on the exit policy of all pools."""
    pools = (("Amm", AMM), ("Lending", LENDING), ("Farming", FARMING))
    calls = [(to, call_data(name, "setExitPolicy", (place,))) for name, to in pools]
    decided(world, text, *calls)


def exits(world: World, who: Address, to: Address) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Return a call out of each pool: contract, function, values."""
    token = world.places["ERC20"]
    wish = (pool(token), *RANGE, ONE, 0, 0, bytes(32), to, FAR)
    return [
        ("Amm", "removeLiquidity", (wish,)),
        ("Amm", "swapExactIn", (token, [(QXC, 3000, 60)], 1000, 0, to, FAR)),
        ("Lending", "withdraw", (market(token), 1000, who, to)),
        *([("Farming", "claim", (0,)), ("Farming", "withdraw", (0, 1000))] if who == to else []),
    ]


def leave(world: World, who: Address, to: Address, error: str = "") -> None:
    """Try each exit a second later; with `error` each must fail with it."""
    world.wait(1)
    for contract, function, values in exits(world, who, to):
        if not error:
            world.send(who, contract, function, *values)
            continue
        with pytest.raises(Reverted, match=error):
            world.send(who, contract, function, *values)


def test_governance_turns_it_on_and_off(world: World) -> None:
    """Off at genesis; on, the unverified take nothing out, for nobody; off again, they do."""
    leave(world, EVE, EVE)
    policy(world, "verified holders only", COMPLIANCE)
    for to in (EVE, BOB):
        leave(world, EVE, to, "ExitRefused")
    leave(world, BOB, EVE, "ExitRefused")
    leave(world, BOB, BOB)
    policy(world, "everybody", ZERO_ADDRESS)
    leave(world, EVE, EVE)


def test_a_claim_that_ends_closes_the_exits(world: World) -> None:
    """Verified is who has a claim today, not who had one when the money came in."""
    policy(world, "verified holders only", COMPLIANCE)
    leave(world, BOB, BOB)
    world.send(CAROL, "IdentityRegistry", "revokeClaim", b"\xbb" * 32, KYC)
    leave(world, BOB, BOB, "ExitRefused")


def test_with_the_tokens_own_hook(world: World) -> None:
    """QXC asks too; pools hold it for others once governance has exempted them."""
    hook = (QXC, call_data("QXC", "setCompliance", (COMPLIANCE,)))
    freed = [(QXC, call_data("QXC", "setExempt", (each, True))) for each in (AMM, FARMING)]
    decided(world, "only verified holders of QXC", hook, *freed)
    policy(world, "and of all else", COMPLIANCE)
    leave(world, BOB, BOB)
    leave(world, EVE, BOB, "ExitRefused")
    token = world.places["ERC20"]
    with pytest.raises(Reverted) as caught:
        world.send(EVE, "Amm", "swapExactIn", QXC, [(token, 3000, 60)], 1000, 0, EVE, FAR)
    assert caught.value.values == (keccak(b"TransferFromFailed()")[:4],)


def test_modules_are_asked_at_exits(world: World) -> None:
    """A country that may not receive QXC receives nothing from the pools either."""
    policy(world, "verified holders only", COMPLIANCE)
    world.as_timelock("Compliance", "addModule", COUNTRY_MODULE)
    leave(world, BOB, BOB)
    world.as_timelock("CountryModule", "setCountry", 276, True)
    leave(world, BOB, BOB, "ExitRefused")


def test_modules_count_only_what_is_qxc(world: World) -> None:
    """An amount of another token is none of QXC. Planted: the amount of any token is passed on."""
    world.as_timelock("Compliance", "addModule", world.weak("LimitModule", 5))
    for token, amount, allowed in (
        (QXC, 5, True),
        (QXC, 6, False),
        (ZERO_ADDRESS, 6, False),
        (world.places["ERC20"], 6, True),
    ):
        assert world.read("Compliance", "canExit", token, BOB, BOB, amount) is allowed
