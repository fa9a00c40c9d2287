"""QXC: every function and every refusal, the burn to the wei, and who may do what."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from contracts import artifact
from contracts.addresses import QXC, STAKING, TIMELOCK
from primitives.crypto.keccak import keccak
from primitives.types import UINT256_MAX, ZERO_ADDRESS, Address
from qenex.abi import call_data, selector
from tests.contracts.world import (
    ALICE,
    BOB,
    CAROL,
    CHAIN_ID,
    DAVE,
    EVE,
    GUARDIAN,
    KEY_OF,
    START,
    Reverted,
    World,
    hexed,
    sign,
    topped,
)

ONE = 10**18
HOURS_72 = 72 * 3600
DAYS_30 = 30 * 86_400
SUPPLY_MAX = 2**104 - 1


@pytest.fixture
def world() -> World:
    made = World.standard()
    topped(made, [ALICE, BOB], 1_000 * ONE)
    return made


def supply(world: World) -> int:
    found = world.read("QXC", "totalSupply")
    assert isinstance(found, int)
    return found


def test_facts(world: World) -> None:
    """Names and fixed addresses are what wallets and other contracts expect."""
    read = world.read
    assert (read("QXC", "name"), read("QXC", "symbol"), read("QXC", "decimals")) == (
        "QENEX",
        "QXC",
        18,
    )
    assert read("QXC", "governance") == hexed(TIMELOCK)
    assert read("QXC", "guardian") == hexed(GUARDIAN)
    assert read("QXC", "isExempt", STAKING) is read("QXC", "isExempt", TIMELOCK) is True
    for each in ("01ffc9a7", "33331994", "36372b07", "9d8ff7da"):
        assert read("QXC", "supportsInterface", bytes.fromhex(each))
    assert not read("QXC", "supportsInterface", b"\xff" * 4)


def test_deposit_and_withdraw(world: World) -> None:
    """Coins become tokens 1:1 and tokens coins, by call, by plain payment, and to another."""
    before, supplied = world.balance(CAROL), supply(world)
    done = world.send(CAROL, "QXC", "deposit", value=5 * ONE)
    assert done.names() == ["Transfer", "Deposit"]
    world.raw(CAROL, QXC, b"", 2 * ONE)
    assert world.qxc(CAROL) == 7 * ONE == supply(world) - supplied
    assert world.balance(QXC) == supply(world)
    world.send(CAROL, "QXC", "withdraw", 3 * ONE)
    done = world.send(CAROL, "QXC", "withdrawTo", DAVE, 4 * ONE)
    assert done.names() == ["Transfer", "Withdrawal"]
    assert world.balance(CAROL) == before - 4 * ONE
    assert world.qxc(CAROL) == 0
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        world.send(CAROL, "QXC", "withdraw", 1)
    with pytest.raises(Reverted, match="PaymentFailed"):
        world.send(ALICE, "QXC", "withdrawTo", STAKING, 1)


@pytest.mark.parametrize(
    ("value", "burned"), [(0, 0), (1, 0), (999, 0), (1000, 1), (1999, 1), (10**20, 10**17)]
)
def test_burn(world: World, value: int, burned: int) -> None:
    """floor(value / 1000) is taken from what the recipient gets, and is gone. Kills: a ceil,
    which would deliver nothing of 1 wei, and a burn from the sender."""
    before, supplied, held = world.qxc(ALICE), supply(world), world.balance(QXC)
    assert world.read("QXC", "quoteTransfer", ALICE, CAROL, value) == (value - burned, burned)
    done = world.send(ALICE, "QXC", "transfer", CAROL, value)
    assert world.qxc(ALICE) == before - value
    assert world.qxc(CAROL) == value - burned
    assert supply(world) == supplied - burned
    assert world.balance(QXC) == held
    gone = [{"from": hexed(ALICE), "to": hexed(ZERO_ADDRESS), "value": burned}] if burned else []
    rest = {"from": hexed(ALICE), "to": hexed(CAROL), "value": value - burned}
    assert [each.fields for each in done.events] == [*gone, rest]


def test_transfer_refusals(world: World) -> None:
    """Nobody overspends, and nothing goes to the zero address."""
    with pytest.raises(Reverted) as caught:
        world.send(ALICE, "QXC", "transfer", BOB, 1_000 * ONE + 1)
    assert caught.value.values == (hexed(ALICE), 1_000 * ONE, 1_000 * ONE + 1)
    for function, values in (("transfer", (ZERO_ADDRESS, 1)), ("approve", (ZERO_ADDRESS, 1))):
        with pytest.raises(Reverted, match="ERC20Invalid"):
            world.send(ALICE, "QXC", function, *values)
    with pytest.raises(Reverted, match="ERC20InsufficientAllowance"):
        world.send(BOB, "QXC", "transferFrom", ALICE, BOB, 1)


def test_transfer_to_self(world: World) -> None:
    """A transfer to oneself changes nothing. Kills: reading both balances before writing."""
    world.send(ALICE, "QXC", "transfer", ALICE, 1_000 * ONE)
    assert world.qxc(ALICE) == 1_000 * ONE
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        world.send(ALICE, "QXC", "transfer", ALICE, 1_000 * ONE + 1)


def test_allowance(world: World) -> None:
    """An allowance shrinks by what is sent, burn included; an endless one never shrinks."""
    world.send(ALICE, "QXC", "approve", BOB, 5000)
    world.send(BOB, "QXC", "transferFrom", ALICE, CAROL, 3000)
    assert world.read("QXC", "allowance", ALICE, BOB) == 2000
    assert world.qxc(CAROL) == 2997
    world.send(ALICE, "QXC", "approve", BOB, UINT256_MAX)
    world.send(BOB, "QXC", "transferFrom", ALICE, CAROL, 3000)
    assert world.read("QXC", "allowance", ALICE, BOB) == UINT256_MAX


def test_explicit_burn(world: World) -> None:
    """Holders may burn; the coins behind it stay locked."""
    before, held = supply(world), world.balance(QXC)
    world.send(ALICE, "QXC", "burn", 7)
    assert (supply(world), world.balance(QXC)) == (before - 7, held)
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        world.send(CAROL, "QXC", "burn", 1)


def permit_digest(world: World, owner: Address, value: int, deadline: int) -> bytes:
    kind = b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    nonce = world.read("QXC", "nonces", owner)
    types = ["bytes32", "address", "address", "uint256", "uint256", "uint256"]
    struct = keccak(encode(types, [keccak(kind), owner, BOB, value, nonce, deadline]))
    domain = world.read("QXC", "DOMAIN_SEPARATOR")
    return bytes(keccak(b"\x19\x01" + domain + struct))


def test_permit(world: World) -> None:
    """A signature sets an allowance once, until its deadline, for this chain and token."""
    domain = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    parts = [keccak(domain), keccak(b"QENEX"), keccak(b"1"), int(CHAIN_ID), QXC]
    types = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    assert world.read("QXC", "DOMAIN_SEPARATOR") == keccak(encode(types, parts))
    raw = sign(KEY_OF[ALICE], permit_digest(world, ALICE, 77, START))
    values = (ALICE, BOB, 77, START, raw[64], raw[:32], raw[32:64])
    world.send(EVE, "QXC", "permit", *values)
    assert world.read("QXC", "allowance", ALICE, BOB) == 77
    with pytest.raises(Reverted, match="PermitInvalid"):
        world.send(EVE, "QXC", "permit", *values)
    other = sign(KEY_OF[EVE], permit_digest(world, ALICE, 77, START))
    with pytest.raises(Reverted, match="PermitInvalid"):
        world.send(EVE, "QXC", "permit", ALICE, BOB, 77, START, other[64], other[:32], other[32:64])
    world.wait(1)
    with pytest.raises(Reverted, match="PermitExpired"):
        world.send(EVE, "QXC", "permit", *values)


def test_exempt_transfers_burn_nothing(world: World) -> None:
    """Either side's exemption is enough; only governance sets it."""
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(GUARDIAN, "QXC", "setExempt", BOB, True)
    world.as_timelock("QXC", "setExempt", BOB, True)
    world.send(ALICE, "QXC", "transfer", BOB, ONE)
    world.send(BOB, "QXC", "transfer", CAROL, ONE)
    assert world.qxc(CAROL) == ONE
    assert world.read("QXC", "quoteTransfer", BOB, CAROL, ONE) == (ONE, 0)
    world.as_timelock("QXC", "setExempt", BOB, False)
    world.send(ALICE, "QXC", "transfer", BOB, 1000)
    assert world.qxc(BOB) == 1_000 * ONE + 999


def test_pause_ends_by_itself(world: World) -> None:
    """All that moves tokens rests until the time, not one second longer."""
    until = world.now + HOURS_72
    world.send(GUARDIAN, "QXC", "pause", until)
    world.send(ALICE, "QXC", "approve", BOB, 10)
    for sender, function, values, coins in (
        (ALICE, "transfer", (BOB, 1), 0),
        (BOB, "transferFrom", (ALICE, BOB, 1), 0),
        (ALICE, "withdraw", (1,), 0),
        (ALICE, "burn", (1,), 0),
        (ALICE, "stake", (1,), 0),
        (ALICE, "deposit", (), 5),
    ):
        with pytest.raises(Reverted, match="TransfersPaused"):
            world.send(sender, "QXC", function, *values, value=coins)
    world.wait(HOURS_72 - 1)
    with pytest.raises(Reverted) as caught:
        world.send(ALICE, "QXC", "transfer", BOB, 1)
    assert caught.value.values == (until,)
    world.wait(1)
    world.send(ALICE, "QXC", "transfer", BOB, 1)


def test_the_guardian_cannot_pause_for_ever(world: World) -> None:
    """At most 72 hours, then 72 hours of rest; the rest does not bind governance."""
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(EVE, "QXC", "pause", world.now + 1)
    with pytest.raises(Reverted, match="TooLong"):
        world.send(GUARDIAN, "QXC", "pause", world.now + HOURS_72 + 1)
    with pytest.raises(Reverted, match="TooLong"):
        world.as_timelock("QXC", "pause", world.now + HOURS_72 + 1)
    world.send(GUARDIAN, "QXC", "pause", world.now + 10)
    world.wait(10 + HOURS_72 - 1)
    with pytest.raises(Reverted, match="TooLong"):
        world.send(GUARDIAN, "QXC", "pause", world.now + 10)
    world.as_timelock("QXC", "pause", world.now + 10)
    world.as_timelock("QXC", "pause", 0)
    world.send(ALICE, "QXC", "transfer", BOB, 1)
    world.as_timelock("QXC", "pause", world.now + 10)
    world.wait(10 + HOURS_72)
    world.send(GUARDIAN, "QXC", "pause", world.now + 10)


def test_block(world: World) -> None:
    """A blocked account neither sends, receives nor withdraws; others do."""
    world.send(GUARDIAN, "QXC", "blockAccount", BOB, world.now + DAYS_30)
    for sender, function, values in (
        (BOB, "transfer", (ALICE, 1)),
        (ALICE, "transfer", (BOB, 1)),
        (BOB, "withdraw", (1,)),
        (BOB, "burn", (1,)),
        (ALICE, "withdrawTo", (BOB, 1)),
    ):
        with pytest.raises(Reverted, match="Blocked"):
            world.send(sender, "QXC", function, *values)
    with pytest.raises(Reverted, match="Blocked"):
        world.send(BOB, "QXC", "deposit", value=1)
    world.send(ALICE, "QXC", "transfer", CAROL, 1)
    world.wait(DAYS_30)
    world.send(BOB, "QXC", "transfer", ALICE, 1)


def test_who_blocks(world: World) -> None:
    """The guardian: 30 days, then a rest, never a system contract. Governance: as it decides."""
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(EVE, "QXC", "blockAccount", BOB, world.now + 1)
    with pytest.raises(Reverted, match="TooLong"):
        world.send(GUARDIAN, "QXC", "blockAccount", BOB, world.now + DAYS_30 + 1)
    with pytest.raises(Reverted, match="SystemAccount"):
        world.send(GUARDIAN, "QXC", "blockAccount", STAKING, world.now + 1)
    world.send(GUARDIAN, "QXC", "blockAccount", BOB, world.now + DAYS_30)
    world.wait(DAYS_30 + 1)
    with pytest.raises(Reverted, match="TooLong"):
        world.send(GUARDIAN, "QXC", "blockAccount", BOB, world.now + 1)
    for_ever = 2**40 - 1
    with pytest.raises(Reverted, match="TooLong"):
        world.as_timelock("QXC", "blockAccount", BOB, for_ever + 1)
    balance = world.qxc(BOB)
    world.as_timelock("QXC", "blockAccount", BOB, for_ever)
    assert world.read("QXC", "blockedUntil", BOB) == for_ever
    assert world.qxc(BOB) == balance
    world.as_timelock("QXC", "blockAccount", BOB, 0)
    world.send(BOB, "QXC", "transfer", ALICE, 1)


def test_roles(world: World) -> None:
    """Guardian, agent, bridge and compliance are set by governance alone."""
    for function in ("setGuardian", "setAgent", "setBridge", "setCompliance"):
        with pytest.raises(Reverted, match="Unauthorized"):
            world.send(GUARDIAN, "QXC", function, EVE)
    world.as_timelock("QXC", "setGuardian", EVE)
    world.send(EVE, "QXC", "pause", world.now + 1)
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(GUARDIAN, "QXC", "pause", world.now + 1)


def test_agent(world: World) -> None:
    """Freeze, forced transfer and recovery: the agent alone, and nobody while there is none."""
    calls = (
        ("setFrozenTokens", (BOB, 1)),
        ("forcedTransfer", (BOB, EVE, 1, bytes(32))),
        ("recoverAccount", (BOB, EVE)),
    )
    for function, values in calls:
        for sender in (EVE, ZERO_ADDRESS, GUARDIAN):
            with pytest.raises(Reverted, match="Unauthorized"):
                world.send(sender, "QXC", function, *values)
    world.as_timelock("QXC", "setAgent", DAVE)
    world.send(DAVE, "QXC", "setFrozenTokens", BOB, 999 * ONE)
    assert world.read("QXC", "getFrozenTokens", BOB) == 999 * ONE
    with pytest.raises(Reverted) as caught:
        world.send(BOB, "QXC", "transfer", ALICE, ONE + 1)
    assert caught.value.values == (hexed(BOB), ONE, ONE + 1)
    world.send(BOB, "QXC", "transfer", ALICE, ONE)
    world.send(ALICE, "QXC", "transfer", BOB, ONE)
    with pytest.raises(Reverted, match="SupplyTooGreat"):
        world.send(DAVE, "QXC", "setFrozenTokens", BOB, SUPPLY_MAX + 1)


def test_the_agent_takes_nothing_from_system_contracts(world: World) -> None:
    """What staking holds is its users': no order reaches it. Kills: an agent that drains it."""
    world.as_timelock("QXC", "setAgent", DAVE)
    world.send(ALICE, "QXC", "stake", 10 * ONE)
    for function, values in (
        ("setFrozenTokens", (STAKING, 1)),
        ("forcedTransfer", (STAKING, DAVE, 1, bytes(32))),
        ("recoverAccount", (STAKING, DAVE)),
    ):
        with pytest.raises(Reverted, match="SystemAccount"):
            world.send(DAVE, "QXC", function, *values)


def test_forced_transfer(world: World) -> None:
    """It passes pause, block and freeze, burns nothing, thaws what left, and tells its reason."""
    world.as_timelock("QXC", "setAgent", DAVE)
    world.send(DAVE, "QXC", "setFrozenTokens", BOB, 1_000 * ONE)
    world.as_timelock("QXC", "blockAccount", BOB, 2**40 - 1)
    world.send(GUARDIAN, "QXC", "pause", world.now + 9)
    done = world.send(DAVE, "QXC", "forcedTransfer", BOB, CAROL, 400 * ONE, b"order 7".ljust(32))
    assert done.fields("TransferForced")["reason"] == b"order 7".ljust(32)
    assert (world.qxc(BOB), world.qxc(CAROL)) == (600 * ONE, 400 * ONE)
    assert world.read("QXC", "getFrozenTokens", BOB) == 600 * ONE
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        world.send(DAVE, "QXC", "forcedTransfer", BOB, CAROL, 601 * ONE, bytes(32))
    with pytest.raises(Reverted, match="ERC20InvalidReceiver"):
        world.send(DAVE, "QXC", "forcedTransfer", BOB, ZERO_ADDRESS, 1, bytes(32))


def test_recovery(world: World) -> None:
    """Everything moves: balance, frozen part and block; the lost account keeps its block."""
    world.as_timelock("QXC", "setAgent", DAVE)
    world.send(DAVE, "QXC", "setFrozenTokens", BOB, 10)
    world.send(GUARDIAN, "QXC", "blockAccount", BOB, world.now + 100)
    world.send(DAVE, "QXC", "recoverAccount", BOB, CAROL)
    assert (world.qxc(BOB), world.qxc(CAROL)) == (0, 1_000 * ONE)
    assert world.read("QXC", "getFrozenTokens", CAROL) == 10
    assert world.read("QXC", "getFrozenTokens", BOB) == 0
    for each in (BOB, CAROL):
        assert world.read("QXC", "blockedUntil", each) == world.now + 100
    for lost, successor in ((CAROL, CAROL), (CAROL, ZERO_ADDRESS)):
        with pytest.raises(Reverted, match="NotSameHolder"):
            world.send(DAVE, "QXC", "recoverAccount", lost, successor)


def bridged() -> World:
    world = World.standard()
    setup: tuple[object, ...] = (TIMELOCK, GUARDIAN, STAKING, EVE, True, [])
    world.deploy("QXC", setup)
    world.as_timelock("QXC", "setBridge", DAVE)
    return world


def test_bridged_mode() -> None:
    """On another chain the gateway alone mints and burns, and there is nothing to deposit."""
    world = bridged()
    for function, values in (("crosschainMint", (ALICE, 1)), ("crosschainBurn", (ALICE, 1))):
        with pytest.raises(Reverted, match="Unauthorized"):
            world.send(EVE, "QXC", function, *values)
    done = world.send(DAVE, "QXC", "crosschainMint", ALICE, 5_000)
    assert done.names() == ["Transfer", "CrosschainMint"]
    done = world.send(DAVE, "QXC", "crosschainBurn", ALICE, 2_000)
    assert done.names() == ["Transfer", "CrosschainBurn"]
    assert world.qxc(ALICE) == supply(world) == 3_000
    with pytest.raises(Reverted, match="ERC20InvalidReceiver"):
        world.send(DAVE, "QXC", "crosschainMint", ZERO_ADDRESS, 1)
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        world.send(DAVE, "QXC", "crosschainBurn", ALICE, 3_001)
    closed: list[tuple[str, tuple[int, ...], int]] = [("deposit", (), 1), ("withdraw", (1,), 0)]
    for name, parts, coins in closed:
        with pytest.raises(Reverted, match="WrongChain"):
            world.send(ALICE, "QXC", name, *parts, value=coins)


def test_mint_passes_a_pause() -> None:
    """A refund from the bridge arrives although transfers rest; a burn waits."""
    world = bridged()
    world.send(GUARDIAN, "QXC", "pause", world.now + 9)
    world.send(DAVE, "QXC", "crosschainMint", ALICE, 5)
    with pytest.raises(Reverted, match="TransfersPaused"):
        world.send(DAVE, "QXC", "crosschainBurn", ALICE, 5)


def test_supply_has_a_bound() -> None:
    """The greatest supply can be minted and moved, and not one wei more."""
    world = bridged()
    world.send(DAVE, "QXC", "crosschainMint", ALICE, SUPPLY_MAX)
    for value in (1, UINT256_MAX):
        with pytest.raises(Reverted, match="SupplyTooGreat"):
            world.send(DAVE, "QXC", "crosschainMint", BOB, value)
    world.send(ALICE, "QXC", "transfer", BOB, SUPPLY_MAX)
    assert world.qxc(BOB) == supply(world) == SUPPLY_MAX - SUPPLY_MAX // 1000


def test_home_chain_has_no_gateway(world: World) -> None:
    """Where coins back the token nobody mints, though governance set a bridge. Kills: a mint that
    asks for the caller alone."""
    world.as_timelock("QXC", "setBridge", DAVE)
    with pytest.raises(Reverted, match="Unauthorized"):
        world.send(DAVE, "QXC", "crosschainMint", DAVE, 1)


def test_selectors_do_not_meet() -> None:
    """The token's ABI has one entry for each name, so that names are enough to call it."""
    functions = [each for each in artifact("QXC").abi if each["type"] == "function"]
    assert len({each["name"] for each in functions}) == len(functions)
    assert (
        selector(next(e for e in functions if e["name"] == "transfer"))[:4]
        == call_data("QXC", "transfer", (ALICE, 1))[:4]
    )
