"""Governance: a proposal's whole life by the token's own calls, each type, and each refusal."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from contracts.addresses import QXC, STAKING, TIMELOCK
from genesis.predeploys import Permissions, permissions_account
from primitives.crypto.keccak import keccak
from primitives.params import ACCOUNT_PERMISSIONS
from primitives.types import ZERO_ADDRESS
from qenex.abi import call_data
from tests.contracts.world import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    EVE,
    SETTINGS,
    Done,
    Reverted,
    World,
    hexed,
    topped,
)
from vm.state.store import genesis_changes

ONE = 10**18
PARAMETER, TREASURY, EXEMPTION, VALIDATOR, PERMISSION, CALLS = range(6)
PENDING, ACTIVE, CANCELED, DEFEATED, SUCCEEDED, QUEUED, EXPIRED, EXECUTED = range(8)
CHANGE = encode(["uint256"] * 3, [1500, 30, 10])
DELAY, PERIOD, WAIT = SETTINGS.voting_delay_s, SETTINGS.voting_period_s, SETTINGS.timelock_s


@pytest.fixture
def world() -> World:
    made = World.standard()
    rights = permissions_account(Permissions(manager=TIMELOCK, senders=(ALICE,)))
    made.state.apply(genesis_changes({ACCOUNT_PERMISSIONS: rights}))
    topped(made, [ALICE, BOB, CAROL], 100_000 * ONE)
    for who, amount in ((ALICE, 60_000), (BOB, 30_000), (CAROL, 999)):
        made.send(who, "QXC", "stake", amount * ONE)
    made.wait(1)
    return made


def propose(world: World, kind: int, data: bytes, text: str = "more") -> int:
    done = world.send(ALICE, "QXC", "createProposal", text, kind, data)
    found = done.fields("ProposalCreated")
    assert found["proposer"] == hexed(ALICE)
    assert isinstance(found["proposalId"], int)
    return found["proposalId"]


def state(world: World, proposal: int) -> int:
    found = world.read("Governance", "state", proposal)
    assert isinstance(found, int)
    return found


def carried(world: World, kind: int, data: bytes, text: str = "more") -> Done:
    """Propose, vote, queue and execute."""
    proposal = propose(world, kind, data, text)
    calls = world.read("Governance", "callsOf", kind, data)
    world.wait(DELAY + 1)
    world.send(ALICE, "QXC", "vote", proposal, True)
    world.wait(PERIOD + 1)
    assert state(world, proposal) == SUCCEEDED
    digest = keccak(text.encode())
    world.send(DAVE, "Governance", "queue", *calls, digest)
    assert state(world, proposal) == QUEUED
    world.wait(WAIT)
    done = world.send(DAVE, "Governance", "execute", *calls, digest)
    assert state(world, proposal) == EXECUTED
    with pytest.raises(Reverted, match="GovernorUnexpectedProposalState"):
        world.send(DAVE, "Governance", "execute", *calls, digest)
    return done


def test_life_of_a_parameter_change(world: World) -> None:
    """ParameterChange(1500, 30, 10): 15 % a year, 30 days of cooldown, a quorum of 10 %."""
    carried(world, PARAMETER, CHANGE)
    assert world.read("Staking", "targetBps") == 1500
    assert world.read("Staking", "cooldown") == 30 * 86_400
    assert world.read("Governance", "quorumNumerator") == 10


def test_each_step_waits(world: World) -> None:
    """No vote before the snapshot, no queueing before the end, nothing before the timelock."""
    proposal = propose(world, PARAMETER, CHANGE)
    calls = (*world.read("Governance", "callsOf", PARAMETER, CHANGE), keccak(b"more"))
    assert state(world, proposal) == PENDING
    with pytest.raises(Reverted, match="GovernorUnexpectedProposalState"):
        world.send(ALICE, "QXC", "vote", proposal, True)
    world.wait(DELAY + 1)
    assert state(world, proposal) == ACTIVE
    world.send(ALICE, "QXC", "vote", proposal, True)
    with pytest.raises(Reverted, match="GovernorAlreadyCastVote"):
        world.send(ALICE, "QXC", "vote", proposal, False)
    with pytest.raises(Reverted, match="GovernorUnexpectedProposalState"):
        world.send(DAVE, "Governance", "queue", *calls)
    world.wait(PERIOD)
    with pytest.raises(Reverted, match="GovernorUnexpectedProposalState"):
        world.send(DAVE, "Governance", "execute", *calls)
    world.send(DAVE, "Governance", "queue", *calls)
    world.wait(WAIT - 1)
    with pytest.raises(Reverted, match="TimelockUnexpectedOperationState"):
        world.send(DAVE, "Governance", "execute", *calls)
    world.wait(1)
    world.send(DAVE, "Governance", "execute", *calls)


def test_treasury(world: World) -> None:
    """A proposal spends tokens and coins of the timelock."""
    world.send(BOB, "QXC", "transfer", TIMELOCK, 50 * ONE)
    world.raw(BOB, TIMELOCK, b"", 7 * ONE)
    kinds = ["address", "address", "uint256"]
    carried(world, TREASURY, encode(kinds, [QXC, EVE, 40 * ONE]), "tokens")
    assert world.qxc(EVE) == 40 * ONE
    before = world.balance(EVE)
    carried(world, TREASURY, encode(kinds, [ZERO_ADDRESS, EVE, 7 * ONE]), "coins")
    assert world.balance(EVE) - before == 7 * ONE


def test_exemption(world: World) -> None:
    """A proposal exempts an account from the burn."""
    carried(world, EXEMPTION, encode(["address", "bool"], [EVE, True]))
    assert world.read("QXC", "isExempt", EVE)


def test_validators(world: World) -> None:
    """A proposal changes the validator set, because genesis named the timelock there."""
    data = encode(["address", "uint64", "bytes32"], [EVE, 3, bytes(32)])
    carried(world, VALIDATOR, data)
    assert world.read("ValidatorRegistry", "powerOf", EVE) == 3
    assert world.read("ValidatorRegistry", "epoch") == 1
    with pytest.raises(Reverted, match="NotGovernance"):
        world.send(EVE, "ValidatorRegistry", "governChange", EVE, 9, bytes(32))


def test_permissions(world: World) -> None:
    """A proposal gives an account the right to send and to deploy."""
    carried(world, PERMISSION, encode(["address", "bool", "bool"], [EVE, True, True]))
    assert world.read("AccountPermissions", "permissionsOf", EVE) == (True, True)


def test_calls(world: World) -> None:
    """A proposal makes any calls, all or none."""
    data = call_data("Staking", "setTarget", (700,))
    values = [[STAKING], [0], [data]]
    carried(world, CALLS, encode(["address[]", "uint256[]", "bytes[]"], values))
    assert world.read("Staking", "targetBps") == 700


def test_who_proposes(world: World) -> None:
    """The threshold is in votes of the past second, for the caller's own account."""
    with pytest.raises(Reverted) as caught:
        world.send(CAROL, "QXC", "createProposal", "x", PARAMETER, CHANGE)
    assert caught.value.name == "GovernorInsufficientProposerVotes"
    assert caught.value.values == (hexed(CAROL), 999 * ONE, 1_000 * ONE)
    with pytest.raises(Reverted, match="GovernorRestrictedProposer"):
        text = f"mine #proposer={hexed(BOB)}"
        world.send(ALICE, "QXC", "createProposal", text, PARAMETER, CHANGE)
    world.send(ALICE, "Governance", "createProposal", "y", PARAMETER, CHANGE)
    with pytest.raises(Reverted, match="GovernorUnexpectedProposalState"):
        world.send(BOB, "Governance", "createProposal", "y", PARAMETER, CHANGE)


def test_only_the_token_speaks_for_others(world: World) -> None:
    """The forwarders are the token's. Kills: a `voteFromToken` that asks nobody."""
    with pytest.raises(Reverted, match="NotToken"):
        world.send(EVE, "Governance", "proposeFromToken", ALICE, "x", PARAMETER, CHANGE)
    with pytest.raises(Reverted, match="NotToken"):
        world.send(EVE, "Governance", "voteFromToken", ALICE, 1, True)


def test_defeat(world: World) -> None:
    """More against than for, or no quorum, and nothing can be queued."""
    proposal = propose(world, PARAMETER, CHANGE)
    other = propose(world, PARAMETER, CHANGE, "quiet")
    world.wait(DELAY + 1)
    world.send(ALICE, "QXC", "vote", proposal, False)
    world.send(BOB, "QXC", "vote", proposal, True)
    world.send(CAROL, "QXC", "vote", other, True)
    world.wait(PERIOD + 1)
    assert state(world, proposal) == state(world, other) == DEFEATED
    calls = (*world.read("Governance", "callsOf", PARAMETER, CHANGE), keccak(b"more"))
    with pytest.raises(Reverted, match="GovernorUnexpectedProposalState"):
        world.send(DAVE, "Governance", "queue", *calls)


def test_cancel(world: World) -> None:
    """The proposer takes a proposal back while it is pending."""
    proposal = propose(world, PARAMETER, CHANGE)
    calls = (*world.read("Governance", "callsOf", PARAMETER, CHANGE), keccak(b"more"))
    with pytest.raises(Reverted, match="GovernorUnableToCancel"):
        world.send(BOB, "Governance", "cancel", *calls)
    world.send(ALICE, "Governance", "cancel", *calls)
    assert state(world, proposal) == CANCELED


def test_late_quorum_extends_the_vote(world: World) -> None:
    """A quorum in the last second leaves the others two days to answer. Kills: no guard."""
    proposal = propose(world, PARAMETER, CHANGE)
    world.wait(DELAY + PERIOD)
    done = world.send(ALICE, "QXC", "vote", proposal, True)
    assert "ProposalExtended" in done.names()
    assert world.read("Governance", "proposalDeadline", proposal) == (
        world.now + SETTINGS.late_quorum_s
    )
    world.wait(SETTINGS.late_quorum_s)
    world.send(BOB, "QXC", "vote", proposal, False)


def test_parameters_are_the_timelocks(world: World) -> None:
    """Nobody changes governance or the timelock but the timelock."""
    for function, values in (
        ("setVotingDelay", (1,)),
        ("setVotingPeriod", (1,)),
        ("setProposalThreshold", (1,)),
        ("setLateQuorumVoteExtension", (1,)),
        ("updateQuorumNumerator", (1,)),
        ("updateTimelock", (EVE,)),
        ("relay", (EVE, 0, b"")),
    ):
        with pytest.raises(Reverted, match="GovernorOnlyExecutor"):
            world.send(EVE, "Governance", function, *values)
    with pytest.raises(Reverted, match="AccessControlUnauthorizedAccount"):
        world.send(EVE, "Timelock", "schedule", EVE, 0, b"", bytes(32), bytes(32), WAIT)
    with pytest.raises(Reverted, match="TimelockUnauthorizedCaller"):
        world.send(EVE, "Timelock", "updateDelay", 1)
    with pytest.raises(Reverted, match="AccessControlUnauthorizedAccount"):
        world.send(EVE, "Timelock", "grantRole", bytes(32), EVE)


def test_exit_after_the_vote_costs_the_cooldown(world: World) -> None:
    """Who votes and leaves waits longer than the vote lasts."""
    assert world.read("Staking", "cooldown") >= DELAY + PERIOD
    proposal = propose(world, PARAMETER, CHANGE)
    world.wait(DELAY + 1)
    world.send(ALICE, "QXC", "vote", proposal, True)
    world.send(ALICE, "Staking", "requestRedeem", 60_000 * ONE, ALICE, ALICE)
    assert world.read("Governance", "proposalVotes", proposal) == (0, 60_000 * ONE, 0)
