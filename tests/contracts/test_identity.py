"""Identity and compliance (ERC-3643): who is verified, what expires, and that the token asks."""

from __future__ import annotations

import pytest

from contracts.addresses import COMPLIANCE, COUNTRY_MODULE, STAKING
from primitives.types import ZERO_ADDRESS, Address
from tests.contracts.world import ALICE, BOB, CAROL, DAVE, EVE, Reverted, World, hexed, topped

ONE = 10**18
KYC, ACCREDITED = 1, 7
SALTED = b"\x11" * 32
ID_ALICE, ID_BOB = b"\xaa" * 32, b"\xbb" * 32
YEAR = 365 * 86_400


@pytest.fixture
def world() -> World:
    """Dave registers holders, Carol issues claims; Alice and Bob are verified."""
    made = World.standard()
    topped(made, [ALICE, BOB, EVE], 1_000 * ONE)
    made.as_timelock("IdentityRegistry", "setAgent", DAVE, True)
    made.as_timelock("IdentityRegistry", "addClaimTopic", KYC)
    made.as_timelock("IdentityRegistry", "setTrustedIssuer", CAROL, [KYC])
    for who, identity, country in ((ALICE, ID_ALICE, 756), (BOB, ID_BOB, 276)):
        made.send(DAVE, "IdentityRegistry", "registerIdentity", who, identity, country)
        made.send(CAROL, "IdentityRegistry", "addClaim", identity, KYC, SALTED, made.now + YEAR)
    return made


def verified(world: World, who: Address) -> bool:
    return bool(world.read("IdentityRegistry", "isVerified", who))


def test_verified(world: World) -> None:
    """A registered holder with a claim on every topic; a claim ends at its second."""
    assert verified(world, ALICE)
    assert verified(world, BOB)
    assert not verified(world, EVE)
    world.as_timelock("IdentityRegistry", "addClaimTopic", ACCREDITED)
    assert not verified(world, ALICE)
    world.as_timelock("IdentityRegistry", "removeClaimTopic", ACCREDITED)
    world.wait(YEAR - 1)
    assert verified(world, ALICE)
    world.wait(1)
    assert not verified(world, ALICE)


def test_issuers_end(world: World) -> None:
    """Revoked claims, and all claims of an issuer that is trusted no longer, count nothing."""
    world.send(CAROL, "IdentityRegistry", "revokeClaim", ID_ALICE, KYC)
    assert world.read("IdentityRegistry", "getClaim", ID_ALICE, KYC, CAROL) == (bytes(32), 0)
    assert (verified(world, ALICE), verified(world, BOB)) == (False, True)
    world.as_timelock("IdentityRegistry", "setTrustedIssuer", CAROL, [])
    assert not verified(world, BOB)
    assert world.read("IdentityRegistry", "getTrustedIssuers") == ()
    world.send(CAROL, "IdentityRegistry", "revokeClaim", ID_BOB, KYC)
    with pytest.raises(Reverted, match="BadValue"):
        world.send(CAROL, "IdentityRegistry", "revokeClaim", ID_BOB, KYC)


def test_another_issuer_is_enough(world: World) -> None:
    """Topics and issuers are sets; the trust in one issuer is for its topics alone."""
    world.as_timelock("IdentityRegistry", "setTrustedIssuer", EVE, [KYC, ACCREDITED])
    assert world.read("IdentityRegistry", "getTrustedIssuers") == (hexed(CAROL), hexed(EVE))
    assert world.read("IdentityRegistry", "getTrustedIssuerClaimTopics", EVE) == (KYC, ACCREDITED)
    world.as_timelock("IdentityRegistry", "setTrustedIssuer", CAROL, [ACCREDITED])
    assert not verified(world, ALICE)
    world.send(EVE, "IdentityRegistry", "addClaim", ID_ALICE, KYC, SALTED, world.now + 1)
    assert verified(world, ALICE)
    assert world.read("IdentityRegistry", "isTrustedIssuer", BOB) is False


def test_holders(world: World) -> None:
    """Batches, countries and deletion; one identity may have several accounts."""
    values = ([CAROL, EVE], [ID_ALICE, ID_BOB], [756, 840])
    world.send(DAVE, "IdentityRegistry", "batchRegisterIdentity", *values)
    assert verified(world, CAROL)
    world.send(DAVE, "IdentityRegistry", "updateCountry", EVE, 36)
    assert world.read("IdentityRegistry", "investorCountry", EVE) == 36
    assert world.read("IdentityRegistry", "identity", EVE) == ID_BOB
    world.send(DAVE, "IdentityRegistry", "deleteIdentity", EVE)
    assert world.read("IdentityRegistry", "contains", EVE) is False


def test_registry_refusals(world: World) -> None:
    """Each role does its own, with sound values, within the bounds."""
    send = world.send
    calls: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("registerIdentity", (EVE, ID_BOB, 1)),
        ("batchRegisterIdentity", ([], [], [])),
        ("updateCountry", (ALICE, 1)),
        ("deleteIdentity", (ALICE,)),
        ("setAgent", (EVE, True)),
        ("addClaimTopic", (5,)),
        ("removeClaimTopic", (KYC,)),
        ("setTrustedIssuer", (EVE, [KYC])),
        ("addClaim", (ID_BOB, KYC, SALTED, world.now + 9)),
    )
    for function, values in calls:
        with pytest.raises(Reverted, match="Unauthorized"):
            send(EVE, "IdentityRegistry", function, *values)
    refused: tuple[tuple[str, tuple[object, ...], str], ...] = (
        ("registerIdentity", (ALICE, ID_BOB, 1), "AlreadyRegistered"),
        ("registerIdentity", (EVE, bytes(32), 1), "BadValue"),
        ("registerIdentity", (ZERO_ADDRESS, ID_BOB, 1), "BadValue"),
        ("batchRegisterIdentity", ([EVE], [ID_BOB], []), "BadCount"),
        ("batchRegisterIdentity", ([EVE] * 201, [ID_BOB] * 201, [1] * 201), "BadCount"),
        ("updateCountry", (EVE, 1), "NotRegistered"),
        ("deleteIdentity", (EVE,), "NotRegistered"),
    )
    for function, values, error in refused:
        with pytest.raises(Reverted, match=error):
            send(DAVE, "IdentityRegistry", function, *values)
    for values in (
        (bytes(32), KYC, SALTED, world.now + 9),
        (ID_BOB, KYC, bytes(32), world.now + 9),
        (ID_BOB, KYC, SALTED, world.now),
    ):
        with pytest.raises(Reverted, match="BadValue"):
            send(CAROL, "IdentityRegistry", "addClaim", *values)
    with pytest.raises(Reverted, match="Unauthorized"):
        send(CAROL, "IdentityRegistry", "addClaim", ID_BOB, ACCREDITED, SALTED, world.now + 9)
    with pytest.raises(Reverted, match="BadValue"):
        world.as_timelock("IdentityRegistry", "addClaimTopic", KYC)
    with pytest.raises(Reverted, match="UnknownTopic"):
        world.as_timelock("IdentityRegistry", "removeClaimTopic", 99)
    with pytest.raises(Reverted, match="BadValue"):
        world.as_timelock("IdentityRegistry", "setTrustedIssuer", ZERO_ADDRESS, [KYC])


def test_bounds(world: World) -> None:
    """15 topics, 50 issuers, 8 modules, and not one more."""
    for topic in range(100, 114):
        world.as_timelock("IdentityRegistry", "addClaimTopic", topic)
    with pytest.raises(Reverted, match="BadCount"):
        world.as_timelock("IdentityRegistry", "addClaimTopic", 200)
    with pytest.raises(Reverted, match="BadCount"):
        world.as_timelock("IdentityRegistry", "setTrustedIssuer", EVE, list(range(16)))
    for number in range(49):
        issuer = Address(bytes([number + 1]) * 20)
        world.as_timelock("IdentityRegistry", "setTrustedIssuer", issuer, [KYC])
    with pytest.raises(Reverted, match="BadCount"):
        world.as_timelock("IdentityRegistry", "setTrustedIssuer", EVE, [KYC])
    for number in range(8):
        world.as_timelock("Compliance", "addModule", Address(bytes([number + 1]) * 20))
    with pytest.raises(Reverted, match="TooManyModules"):
        world.as_timelock("Compliance", "addModule", EVE)


def test_the_token_asks(world: World) -> None:
    """Once governance sets it, unverified accounts neither send, receive, deposit nor leave."""
    world.send(ALICE, "QXC", "transfer", EVE, ONE)
    world.as_timelock("QXC", "setCompliance", COMPLIANCE)
    world.send(ALICE, "QXC", "transfer", BOB, ONE)
    for sender, function, values, coins in (
        (ALICE, "transfer", (EVE, 1), 0),
        (EVE, "transfer", (ALICE, 1), 0),
        (EVE, "withdraw", (1,), 0),
        (EVE, "stake", (1,), 0),
        (EVE, "deposit", (), 1),
    ):
        with pytest.raises(Reverted, match="NotCompliant"):
            world.send(sender, "QXC", function, *values, value=coins)
    world.as_timelock("QXC", "setCompliance", ZERO_ADDRESS)
    world.send(ALICE, "QXC", "transfer", EVE, 1)


def test_exits_are_checked(world: World) -> None:
    """A system contract launders nobody: what leaves staking goes to verified accounts."""
    world.as_timelock("QXC", "setCompliance", COMPLIANCE)
    world.send(ALICE, "QXC", "stake", 10 * ONE)
    world.send(ALICE, "Staking", "requestRedeem", ONE, ALICE, ALICE)
    world.wait(10 * 86_400)
    with pytest.raises(Reverted, match="NotCompliant"):
        world.send(ALICE, "Staking", "redeem", ONE, EVE, ALICE)
    world.send(ALICE, "Staking", "redeem", ONE, BOB, ALICE)
    assert world.read("Compliance", "isAllowed", STAKING) is True
    assert world.read("Compliance", "isAllowed", EVE) is False


def test_modules(world: World) -> None:
    """A country module stops what goes to a country, and only governance adds and removes it."""
    world.as_timelock("QXC", "setCompliance", COMPLIANCE)
    for place, function, values in (
        ("Compliance", "addModule", (COUNTRY_MODULE,)),
        ("Compliance", "removeModule", (COUNTRY_MODULE,)),
        ("CountryModule", "setCountry", (276, True)),
        ("Compliance", "transferred", (ALICE, BOB, 1)),
    ):
        with pytest.raises(Reverted, match="Unauthorized"):
            world.send(EVE, place, function, *values)
    world.as_timelock("Compliance", "addModule", COUNTRY_MODULE)
    with pytest.raises(Reverted, match="KnownModule"):
        world.as_timelock("Compliance", "addModule", COUNTRY_MODULE)
    world.as_timelock("CountryModule", "setCountry", 276, True)
    with pytest.raises(Reverted, match="NotCompliant"):
        world.send(ALICE, "QXC", "transfer", BOB, 1)
    world.send(BOB, "QXC", "transfer", ALICE, 1)
    assert world.read("Compliance", "getModules") == (hexed(COUNTRY_MODULE),)
    world.as_timelock("Compliance", "removeModule", COUNTRY_MODULE)
    world.send(ALICE, "QXC", "transfer", BOB, 1)
    with pytest.raises(Reverted, match="UnknownModule"):
        world.as_timelock("Compliance", "removeModule", COUNTRY_MODULE)


def test_recovery_needs_one_holder(world: World) -> None:
    """A lost account's tokens go to another account of the same identity, and to no other."""
    world.as_timelock("QXC", "setCompliance", COMPLIANCE)
    world.as_timelock("QXC", "setAgent", DAVE)
    with pytest.raises(Reverted, match="NotSameHolder"):
        world.send(DAVE, "QXC", "recoverAccount", ALICE, BOB)
    world.send(DAVE, "IdentityRegistry", "registerIdentity", CAROL, ID_ALICE, 756)
    world.send(DAVE, "QXC", "recoverAccount", ALICE, CAROL)
    assert world.qxc(CAROL) == 1_000 * ONE
