"""The operations whose gas and EVM instructions are kept in contracts/gas.json.

Each is measured on the engine, in a world that is made for it, as a whole transaction; gas is after
refunds. `ANCHOR` holds what others need for the same, with where it was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode

from contracts.addresses import QXC, STAKING
from primitives.crypto.keccak import keccak
from primitives.types import UINT256_MAX, Address
from qenex.abi import call_data
from tests.contracts.world import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    EVE,
    KEY_OF,
    SETTINGS,
    World,
    sign,
    topped,
)

ONE = 10**18
CHANGE = encode(["uint256"] * 3, [1500, 30, 10])
PLAIN = "OpenZeppelin ERC20"
GOVERNOR = "OpenZeppelin Governor"
VAULT = "OpenZeppelin ERC4626"


@dataclass(frozen=True, slots=True)
class Operation:
    """One transaction to measure: who calls what, and a like one of others (gas, instructions)."""

    name: str
    sender: Address
    place: str
    function: str
    values: tuple[Any, ...] = ()
    value: int = 0
    anchor: str = ""
    anchor_gas: int | None = None
    anchor_operations: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What an operation took."""

    gas: int
    operations: int


Setup = Callable[[], tuple[World, Operation]]


def token_world() -> World:
    """Three holders with allowances, all of whom hold tokens already."""
    world = World.standard()
    topped(world, [ALICE, BOB, CAROL], 100_000 * ONE)
    world.send(ALICE, "QXC", "approve", CAROL, UINT256_MAX)
    world.send(ALICE, "QXC", "approve", STAKING, UINT256_MAX)
    return world


def operations() -> list[Setup]:
    """Return the operations in the order of the table."""
    return [*_token(), *_staking(), *_governance(), *_accounts()]


def _token() -> list[Setup]:
    def plain(operation: Operation) -> Setup:
        return lambda: (token_world(), operation)

    def exempt() -> tuple[World, Operation]:
        world = token_world()
        world.as_timelock("QXC", "setExempt", BOB, True)
        return world, Operation("QXC transfer, exempt", ALICE, "QXC", "transfer", (BOB, ONE))

    move = Operation("QXC transfer with burn", ALICE, "QXC", "transfer", (BOB, ONE), 0, PLAIN)
    first = Operation(
        "QXC transfer, new recipient", ALICE, "QXC", "transfer", (DAVE, ONE), 0, PLAIN
    )
    taken = Operation(
        "QXC transferFrom with burn", CAROL, "QXC", "transferFrom", (ALICE, BOB, ONE), 0, PLAIN
    )
    allowed = Operation("QXC approve, new", BOB, "QXC", "approve", (DAVE, ONE), 0, PLAIN)
    return [
        plain(_beside(move, 34_513, 309)),
        exempt,
        plain(_beside(first, 51_613, 309)),
        plain(_beside(taken, 40_557, 473)),
        plain(_beside(allowed, 46_294, 243)),
        plain(Operation("QXC deposit", ALICE, "QXC", "deposit", (), ONE)),
        plain(Operation("QXC withdraw", ALICE, "QXC", "withdraw", (ONE,))),
    ]


def _beside(operation: Operation, gas: int, count: int | None = None) -> Operation:
    fields = (operation.name, operation.sender, operation.place, operation.function)
    return Operation(*fields, operation.values, operation.value, operation.anchor, gas, count)


def _staking() -> list[Setup]:
    def prepared(*, staked: bool, cooled: bool = False) -> World:
        world = token_world()
        if staked:
            world.send(ALICE, "Staking", "deposit", 100 * ONE, ALICE)
            world.wait(86_400)
        if cooled:
            world.send(ALICE, "Staking", "requestRedeem", ONE, ALICE, ALICE)
            world.wait(SETTINGS.cooldown_s)
        return world

    deposit = ("Staking", "deposit", (ONE, ALICE), 0)
    first = Operation("stake, first (delegates too)", ALICE, *deposit, VAULT, 108_158)
    again = Operation("stake, again", ALICE, *deposit, VAULT, 56_858)
    ask = Operation("unstake, request", ALICE, "Staking", "requestRedeem", (ONE, ALICE, ALICE))
    paid = Operation("unstake, claim", ALICE, "Staking", "redeem", (ONE, ALICE, ALICE), 0, VAULT)
    return [
        lambda: (prepared(staked=False), first),
        lambda: (prepared(staked=True), again),
        lambda: (prepared(staked=True), ask),
        lambda: (prepared(staked=True, cooled=True), _beside(paid, 57_672)),
    ]


def _governance() -> list[Setup]:
    def at(step: int) -> tuple[World, Operation]:
        world = token_world()
        for each in (ALICE, BOB):
            world.send(each, "QXC", "stake", 10_000 * ONE)
        world.wait(1)
        act = encode(
            ["address[]", "uint256[]", "bytes[]"],
            [[STAKING], [0], [call_data("Staking", "setTarget", (700,))]],
        )
        values = ("x", 5, act)
        propose = Operation(
            "propose, 1 action", ALICE, "QXC", "createProposal", values, 0, GOVERNOR
        )
        if step == 0:
            return world, _beside(propose, 78_427, 3_303)
        done = world.send(ALICE, "QXC", "createProposal", *values)
        proposal = done.fields("ProposalCreated")["proposalId"]
        world.wait(SETTINGS.voting_delay_s + 1)
        vote = Operation("vote, first", ALICE, "QXC", "vote", (proposal, True), 0, GOVERNOR)
        if step == 1:
            return world, _beside(vote, 85_604, 1_604)
        world.send(ALICE, "QXC", "vote", proposal, True)
        if step == 2:
            other = Operation("vote, next", BOB, "QXC", "vote", (proposal, True), 0, GOVERNOR)
            return world, _beside(other, 68_504, 1_604)
        world.wait(SETTINGS.voting_period_s + 1)
        calls = (*world.read("Governance", "callsOf", 5, act), keccak(b"x"))
        queue = Operation("queue", EVE, "Governance", "queue", calls, 0, GOVERNOR)
        if step == 3:
            return world, _beside(queue, 145_421, 5_568)
        world.send(EVE, "Governance", "queue", *calls)
        world.wait(SETTINGS.timelock_s)
        execute = Operation("execute", EVE, "Governance", "execute", calls, 0, GOVERNOR)
        return world, _beside(execute, 121_758, 5_247)

    return [lambda step=step: at(step) for step in range(5)]  # type: ignore[misc]  # bound now


def _accounts() -> list[Setup]:
    people = sorted((ALICE, BOB, CAROL), key=keccak)
    making = ([bytes(each) for each in people], [1, 1, 1], 2, bytes(32))

    def create() -> tuple[World, Operation]:
        made = Operation("multisig, create 2 of 3", EVE, "MultiSigFactory", "create", making)
        return token_world(), Operation(
            *(made.name, made.sender, made.place, made.function, made.values, 0),
            *("Safe 1.5.0", 273_498),
        )

    def pay() -> tuple[World, Operation]:
        world = token_world()
        place = world.read("MultiSigFactory", "addressOf", *making)
        world.send(EVE, "MultiSigFactory", "create", *making)
        account = Address(bytes.fromhex(place[2:]))
        world.name("MultiSigAccount", account, "account")
        world.send(ALICE, "QXC", "transfer", account, 10 * ONE)
        calls = [(QXC, 0, call_data("QXC", "transfer", (BOB, ONE)))]
        world.send(EVE, "QXC", "deposit", value=1)
        signers = people[:2]
        for _ in range(2):
            digest = world.read("account", "operationHash", calls, UINT256_MAX)
            raws = [sign(KEY_OF[each], digest) for each in signers]
            joined = encode(["bytes[]", "bytes[]"], [list(map(bytes, signers)), raws])
            values = (calls, UINT256_MAX, joined)
            if world.read("account", "nonce") == 0:
                world.send(EVE, "account", "execute", *values)
        name = "multisig, 2 of 3 send QXC"
        return world, Operation(name, EVE, "account", "execute", values, 0, "Safe 1.5.0", 72_233)

    return [create, pay]


def measure(setup: Setup) -> tuple[Operation, Measured]:
    """Return an operation and what it took."""
    world, each = setup()
    count = world.operations(each.sender, each.place, each.function, *each.values, value=each.value)
    done = world.send(each.sender, each.place, each.function, *each.values, value=each.value)
    return each, Measured(done.gas, count)
