"""Famous attacks: each succeeds against a weakened copy (tests/contracts/weak), not against ours.

The copies keep the one mistake that the attack needs. If an attack here ever fails against its
copy, the test of ours beside it proves nothing any more.
"""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from contracts.addresses import QXC, STAKING
from primitives.crypto.keccak import keccak
from primitives.types import UINT256_MAX, Address, Wei
from qenex.abi import call_data
from qenex.predeploys import Standard
from tests.contracts.test_staking import exit_all, prepared
from tests.contracts.world import ALICE, BOB, CAROL, DAVE, EVE, SETTINGS, Reverted, World, topped

ONE = 10**18
YEAR = 365 * 86_400


def weak_vault(world: World) -> Address:
    vault = world.weak("WeakVault", QXC)
    for who in (ALICE, BOB, CAROL):
        world.send(who, "QXC", "approve", vault, UINT256_MAX)
    return vault


def inflate(world: World, vault: Address) -> int:
    """Alice takes the first wei of shares and gives 1000; return what Bob's 1000 are worth."""
    world.weakly(ALICE, "WeakVault", vault, "deposit", 1, ALICE)
    world.send(ALICE, "QXC", "transfer", vault, 1_000 * ONE)
    shares = world.weakly(BOB, "WeakVault", vault, "deposit", 1_000 * ONE, BOB)
    found = world.weakly(BOB, "WeakVault", vault, "convertToAssets", shares)
    assert isinstance(found, int)
    return found


def test_inflation_of_the_first_share() -> None:
    """A gift to the vault rounds the victim's shares away; ours does not look at gifts."""
    world = prepared(SETTINGS)
    vault = weak_vault(world)
    world.as_timelock("QXC", "setExempt", vault, True)
    assert inflate(world, vault) < 700 * ONE
    ours = prepared(SETTINGS)
    assert inflate(ours, STAKING) == 1_000 * ONE


def test_fee_on_transfer_drains_a_vault_that_believes() -> None:
    """Loops of deposit and exit burn the other's tokens where the sent amount is booked."""
    world = prepared(SETTINGS)
    vault = weak_vault(world)
    world.weakly(BOB, "WeakVault", vault, "deposit", 1_000 * ONE, BOB)
    for _ in range(5):
        shares = world.weakly(ALICE, "WeakVault", vault, "deposit", 1_000 * ONE, ALICE)
        world.weakly(ALICE, "WeakVault", vault, "redeem", shares, ALICE, ALICE)
    mine = world.weakly(BOB, "WeakVault", vault, "maxWithdraw", BOB)
    assert mine < 998 * ONE
    ours = prepared(SETTINGS)
    ours.as_timelock("QXC", "setExempt", STAKING, False)
    with pytest.raises(Reverted, match="NotExempt"):
        ours.send(BOB, "Staking", "deposit", 1_000 * ONE, BOB)


def test_unfunded_rewards() -> None:
    """A fixed rate without reserve pays the first out of the principal of the last."""
    world = prepared(Standard(guardian=EVE, reserve_wei=Wei(0)))
    weak = world.weak("WeakStaking", QXC)
    world.as_timelock("QXC", "setExempt", weak, True)
    for who in (ALICE, BOB):
        world.send(who, "QXC", "approve", weak, UINT256_MAX)
        world.weakly(who, "WeakStaking", weak, "stake", 100 * ONE)
        world.send(who, "QXC", "stake", 100 * ONE)
    world.wait(YEAR)
    world.weakly(ALICE, "WeakStaking", weak, "exit")
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        world.weakly(BOB, "WeakStaking", weak, "exit")
    assert exit_all(world, ALICE) == exit_all(world, BOB) == 100 * ONE


def attacker(world: World, coins: int) -> Address:
    made = world.weak("Attacker")
    world.raw(EVE, made, b"", coins)
    return made


def test_reentrancy() -> None:
    """Withdrawing from within the payment empties what pays before it books; ours it does not."""
    world = World.standard()
    topped(world, [ALICE], 100 * ONE)
    weak = world.weak("WeakWrap")
    world.raw(ALICE, weak, call_data("QXC", "deposit", ()), 100 * ONE)
    thief = attacker(world, 10 * ONE)
    world.weakly(EVE, "Attacker", thief, "reenter", weak, 10 * ONE, 9)
    assert world.balance(thief) == 100 * ONE
    other = attacker(world, 10 * ONE)
    before = world.balance(QXC)
    world.weakly(EVE, "Attacker", other, "reenter", QXC, 10 * ONE, 9)
    assert (world.balance(other), world.balance(QXC)) == (10 * ONE, before)
    refusal = world.weakly(EVE, "Attacker", other, "lastError")
    assert refusal[:4] == keccak4("ERC20InsufficientBalance(address,uint256,uint256)")


def keccak4(signature: str) -> bytes:
    return bytes(keccak(signature.encode())[:4])


def test_flash_loan_votes() -> None:
    """A majority for one transaction rules whoever counts balances; ours counts the past."""
    world = World.standard()
    topped(world, [ALICE], 100 * ONE)
    weak = world.weak("WeakGovernance", QXC)
    world.send(ALICE, "QXC", "transfer", weak, 90 * ONE)
    supply = world.read("QXC", "totalSupply")
    whale = attacker(world, 2 * supply)
    steal = call_data("QXC", "transfer", (EVE, 80 * ONE))
    data = decide(QXC, steal)
    world.weakly(EVE, "Attacker", whale, "flash", QXC, 2 * supply, [weak], [data])
    assert world.qxc(EVE) > 79 * ONE

    world.send(ALICE, "QXC", "stake", 10**18)
    world.wait(1)
    change = encode(["uint256"] * 3, [3000, 0, 100])
    calls = [
        call_data("QXC", "approve", (STAKING, UINT256_MAX)),
        call_data("Staking", "deposit", (supply, whale)),
        call_data("QXC", "createProposal", ("mine", 0, change)),
    ]
    with pytest.raises(Reverted) as caught:
        targets = [QXC, STAKING, QXC]
        world.weakly(EVE, "Attacker", whale, "flash", QXC, 2 * supply, targets, calls)
    assert caught.value.name == "GovernorInsufficientProposerVotes"
    assert caught.value.values[1] == 0


def test_flash_loan_votes_on_a_running_proposal() -> None:
    """Shares that come after the snapshot weigh nothing, whoever lends them."""
    world = World.standard()
    topped(world, [ALICE, BOB], 200_000 * ONE)
    world.send(ALICE, "QXC", "stake", 10_000 * ONE)
    world.wait(1)
    change = encode(["uint256"] * 3, [3000, 0, 100])
    done = world.send(ALICE, "QXC", "createProposal", "x", 0, change)
    proposal = done.fields("ProposalCreated")["proposalId"]
    world.wait(SETTINGS.voting_delay_s + 1)
    world.send(BOB, "QXC", "stake", 200_000 * ONE)
    done = world.send(BOB, "QXC", "vote", proposal, False)
    assert done.fields("VoteCast")["weight"] == 0
    world.wait(1)
    world.send(ALICE, "Staking", "transfer", DAVE, 10_000 * ONE)
    world.send(DAVE, "Staking", "delegate", DAVE)
    assert world.send(DAVE, "QXC", "vote", proposal, True).fields("VoteCast")["weight"] == 0
    world.send(ALICE, "QXC", "vote", proposal, True)
    assert world.read("Governance", "proposalVotes", proposal) == (0, 10_000 * ONE, 0)


def decide(target: Address, data: bytes) -> bytes:
    return keccak4("decide(address,bytes)") + encode(["address", "bytes"], [target, data])
