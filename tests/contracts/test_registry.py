"""ValidatorRegistry on the real engine: who may change the set, and exactly when it changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.predeploys import registry_account
from primitives.params import POWER_MAX, VALIDATOR_REGISTRY, VALIDATORS_MAX
from primitives.types import ZERO_ADDRESS, ZERO_HASH, Address, Hash32, Power
from primitives.validators import Validator, ValidatorSet
from tests.contracts.chain import Chain, Deployed, Reverted, hex_address


def address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def registry_of(*members: Validator) -> Deployed:
    chain = Chain({VALIDATOR_REGISTRY: registry_account(ValidatorSet.of(members))})
    return Deployed(chain, "ValidatorRegistry", VALIDATOR_REGISTRY)


def equal(powers: Sequence[int]) -> Deployed:
    """A registry of validators 1, 2, ... with `powers`."""
    return registry_of(*(Validator(address(i + 1), Power(p)) for i, p in enumerate(powers)))


def present(registry: Deployed) -> ValidatorSet:
    addresses, powers, hashes = registry.read("getValidators")
    return ValidatorSet(
        tuple(
            Validator(Address(bytes.fromhex(a[2:])), Power(p), Hash32(h))
            for a, p, h in zip(addresses, powers, hashes, strict=True)
        )
    )


def add(registry: Deployed, sender: int, member: int, power: int = 1) -> bytes:
    """Propose as validator `sender`; return the id, which the events name."""
    events = registry.send(address(sender), "proposeChange", address(member), power, ZERO_HASH)
    return bytes(events[0][1]["id"])


members = st.builds(
    Validator,
    address=st.binary(min_size=20, max_size=20).filter(any).map(Address),
    power=st.integers(1, POWER_MAX).map(Power),
    pq_key_hash=st.binary(min_size=32, max_size=32).map(Hash32),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(members, min_size=1, max_size=8, unique_by=lambda each: each.address))
def test_predeploy_storage(found: list[Validator]) -> None:
    """The storage that genesis writes is the set that getValidators reads.

    Kills: slots of members one apart instead of two; power shifted by the wrong offset.
    """
    assert present(registry_of(*found)) == ValidatorSet.of(found)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7])
def test_quorum_is_exact(count: int) -> None:
    """A change happens with the approval that reaches floor(2n/3) + 1, and not one sooner.

    Kills: quorum of ceil(2n/3), which differs where 3 divides n; > for >=.
    """
    registry = equal([1] * count)
    before, quorum = present(registry), count * 2 // 3 + 1
    for sender in range(1, quorum + 1):
        assert present(registry) == before
        add(registry, sender, 99)
    assert address(99) in present(registry)
    assert registry.read("epoch") == 1


@pytest.mark.parametrize(
    ("powers", "approvers", "passes"),
    [
        ([5, 3, 1], [1], False),
        ([5, 3, 1], [1, 3], False),
        ([5, 3, 1], [1, 2], True),
        ([1000, 499, 1], [1], False),
        ([1000, 499, 1], [1, 3], True),
        ([7, 1, 1, 1], [1], True),
        ([6, 1, 1, 1], [1], False),
        ([6, 1, 1, 1], [1, 2], True),
        ([6, 2, 1, 1], [2, 3, 4], False),
    ],
)
def test_quorum_counts_power(powers: list[int], approvers: list[int], passes: bool) -> None:
    """Power decides, not the number of heads. Kills: counting approvers."""
    registry = equal(powers)
    for sender in approvers:
        assert address(99) not in present(registry)
        add(registry, sender, 99)
    assert (address(99) in present(registry)) is passes


def test_approve_and_events() -> None:
    """Proposing counts as approval; approve() completes it; events tell each step."""
    registry = equal([1, 1, 1, 1])
    events = registry.send(address(2), "proposeChange", address(9), 7, b"\x05" * 32)
    assert [name for name, _ in events] == ["ValidatorChangeProposed", "ValidatorChangeApproved"]
    proposed = events[0][1]
    assert proposed["proposer"] == hex_address(address(2))
    assert (proposed["power"], proposed["epoch"]) == (7, 0)
    change = proposed["id"]
    assert registry.read("getChange", change) == (
        hex_address(address(9)),
        7,
        b"\x05" * 32,
        1,
        hex_address(ZERO_ADDRESS),
    )
    approved = registry.send(address(1), "approve", change)
    assert [(e["approving"], e["quorum"]) for _, e in approved] == [(2, 3)]
    done = registry.send(address(4), "approve", change)
    assert [name for name, _ in done] == ["ValidatorChangeApproved", "ValidatorChanged"]
    assert done[1][1] == {
        "validator": hex_address(address(9)),
        "power": 7,
        "pqKeyHash": b"\x05" * 32,
        "epoch": 1,
    }
    assert present(registry).validators[-1] == Validator(address(9), Power(7), Hash32(b"\x05" * 32))


def test_no_vote_counts_twice() -> None:
    """A second approval by one validator is refused, by approve() and by proposing again."""
    registry = equal([1, 1, 1, 1])
    change = add(registry, 1, 9)
    for again in (("approve", change), ("proposeChange", address(9), 1, ZERO_HASH)):
        with pytest.raises(Reverted, match="AlreadyApproved"):
            registry.send(address(1), *again)
    assert registry.read("approvingPower", change) == 1


def test_strangers_have_no_voice() -> None:
    """Who is not a member can neither propose nor approve."""
    registry = equal([1, 1, 1, 1])
    change = add(registry, 1, 9)
    for attempt in (("approve", change), ("proposeChange", address(9), 1, ZERO_HASH)):
        with pytest.raises(Reverted, match="NotValidator"):
            registry.send(address(77), *attempt)


def test_unknown_proposal() -> None:
    """An id that nobody proposed cannot be approved."""
    with pytest.raises(Reverted, match="UnknownProposal"):
        equal([1, 1]).send(address(1), "approve", b"\x01" * 32)


def test_stale_approvals_die() -> None:
    """A change ends every other proposal: its approvals count no more, also when made again.

    Kills: leaving the epoch out of the id, or out of the check of approve().
    """
    registry = equal([1, 1, 1, 1])
    old = add(registry, 1, 8)
    registry.send(address(2), "approve", old)
    for sender in (1, 2, 3):
        add(registry, sender, 9)
    with pytest.raises(Reverted, match="UnknownProposal"):
        registry.send(address(3), "approve", old)
    with pytest.raises(Reverted, match="UnknownProposal"):
        registry.read("getChange", old)
    again = add(registry, 3, 8)
    assert again != old
    assert registry.read("approvingPower", again) == 1
    assert address(8) not in present(registry)


def test_removed_validators_do_not_count() -> None:
    """A removed validator's approvals and voice are gone at once."""
    registry = equal([1, 1, 1, 1])
    for sender in (1, 2, 4):
        registry.send(address(sender), "proposeChange", address(4), 0, ZERO_HASH)
    assert [each.address for each in present(registry).validators] == [
        address(1),
        address(2),
        address(3),
    ]
    with pytest.raises(Reverted, match="NotValidator"):
        add(registry, 4, 9)


def test_applied_change_cannot_be_approved_again() -> None:
    """What was done is done."""
    registry = equal([1, 1, 1, 1])
    change = add(registry, 1, 9)
    for sender in (2, 3):
        registry.send(address(sender), "approve", change)
    with pytest.raises(Reverted, match="UnknownProposal"):
        registry.send(address(4), "approve", change)


@pytest.mark.parametrize(
    ("member", "power", "key_hash", "error"),
    [
        (ZERO_ADDRESS, 1, ZERO_HASH, "ZeroAddress"),
        (address(9), POWER_MAX + 1, ZERO_HASH, "PowerOutOfRange"),
        (address(9), 2**64 - 1, ZERO_HASH, "PowerOutOfRange"),
        (address(9), 0, ZERO_HASH, "UnknownValidator"),
        (address(1), 0, b"\x01" * 32, "KeyHashWithRemoval"),
        (address(1), 1, ZERO_HASH, "NoChange"),
    ],
)
def test_bad_changes(member: Address, power: int, key_hash: bytes, error: str) -> None:
    """A change that the set's rules forbid is refused when it is proposed."""
    with pytest.raises(Reverted, match=error):
        equal([1, 1]).send(address(1), "proposeChange", member, power, key_hash)


def test_greatest_power_is_allowed() -> None:
    """Power POWER_MAX is within the bounds, for a new member and for an old one."""
    registry = equal([1])
    add(registry, 1, 9, POWER_MAX)
    assert present(registry).powers[address(9)] == POWER_MAX
    registry = equal([1])
    add(registry, 1, 1, POWER_MAX)
    assert present(registry).powers == {address(1): POWER_MAX}


def test_member_changes_its_key() -> None:
    """A change of an old member sets its power and its key hash. Kills: forgetting either."""
    registry = equal([3, 1])
    registry.send(address(1), "proposeChange", address(2), 1, b"\x07" * 32)
    assert present(registry).validators == (
        Validator(address(1), Power(3)),
        Validator(address(2), Power(1), Hash32(b"\x07" * 32)),
    )


def test_rotation_is_one_step() -> None:
    """One proposal takes the old key out and the new one in, with the old power, in order.

    Kills: the successor at the old one's place (the set would not ascend); power of 1; the old
    key left in; the proposal surviving its epoch.
    """
    registry = equal([1, 5, 1, 1])
    events = registry.send(address(2), "proposeRotation", address(2), address(9), b"\x05" * 32)
    assert [name for name, _ in events] == ["ValidatorRotationProposed", "ValidatorChangeApproved"]
    change = events[0][1]["id"]
    assert registry.read("getOpenChanges") == (change,)
    assert registry.read("getChange", change)[-1] == hex_address(address(9))
    assert address(2) in present(registry)
    done = registry.send(address(1), "approve", change)
    assert [(name, e.get("power")) for name, e in done][1:] == [
        ("ValidatorChanged", 0),
        ("ValidatorChanged", 5),
    ]
    assert present(registry).validators == (
        Validator(address(1)),
        Validator(address(3)),
        Validator(address(4)),
        Validator(address(9), Power(5), Hash32(b"\x05" * 32)),
    )
    assert registry.read("epoch") == 1
    assert registry.read("getOpenChanges") == ()
    for sender, error in ((2, "NotValidator"), (3, "UnknownProposal")):
        with pytest.raises(Reverted, match=error):
            registry.send(address(sender), "approve", change)


def test_the_only_validator_rotates() -> None:
    """A set of one hands over to a new key; it is never empty."""
    registry = equal([3])
    registry.send(address(1), "proposeRotation", address(1), address(9), ZERO_HASH)
    assert present(registry).validators == (Validator(address(9), Power(3)),)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (address(1), ZERO_ADDRESS, "ZeroAddress"),
        (address(1), address(1), "AlreadyValidator"),
        (address(1), address(2), "AlreadyValidator"),
        (address(9), address(8), "UnknownValidator"),
    ],
)
def test_bad_rotations(old: Address, new: Address, error: str) -> None:
    """Nobody, a member, and a stranger's key cannot be rotated to or from."""
    with pytest.raises(Reverted, match=error):
        equal([1, 1]).send(address(1), "proposeRotation", old, new, ZERO_HASH)
    with pytest.raises(Reverted, match="NotValidator"):
        equal([1, 1]).send(address(7), "proposeRotation", address(1), address(9), ZERO_HASH)


def test_last_validator_stays() -> None:
    """The set never becomes empty; from two members one can go."""
    registry = equal([1, 1])
    with pytest.raises(Reverted, match="LastValidator"):
        equal([1]).send(address(1), "proposeChange", address(1), 0, ZERO_HASH)
    for sender in (1, 2):
        registry.send(address(sender), "proposeChange", address(2), 0, ZERO_HASH)
    assert len(present(registry)) == 1


@pytest.mark.slow
def test_set_is_bounded() -> None:
    """Member 100 joins, member 101 does not; the worst insertion fits in a block's gas."""
    heavy = [Validator(address(1000), Power(POWER_MAX))]
    rest = [Validator(address(1001 + i)) for i in range(VALIDATORS_MAX - 2)]
    registry = registry_of(*heavy, *rest)
    add(registry, 1000, 1)
    assert len(present(registry)) == VALIDATORS_MAX
    assert registry.gas_used < 6_000_000
    with pytest.raises(Reverted, match="SetFull"):
        add(registry, 1000, 2)
    add(registry, 1000, 1005, 2)
    assert present(registry).powers[address(1005)] == 2


changes = st.tuples(st.integers(1, 9), st.sampled_from([0, 1, 2, 5, POWER_MAX]))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(1, 9), changes), max_size=25),
)
def test_follows_the_model(powers: list[int], steps: list[tuple[int, tuple[int, int]]]) -> None:
    """Any sequence of proposals leaves the set and its order as a model in Python has them."""
    registry = equal(powers)
    model = {address(i + 1): power for i, power in enumerate(powers)}
    votes: dict[tuple[int, int], set[Address]] = {}
    for sender, (member, power) in steps:
        voter, target = address(sender), address(member)
        allowed = (
            voter in model
            and model.get(target, 0) != power
            and not (power == 0 and len(model) == 1)
            and voter not in votes.get((member, power), set())
        )
        try:
            add(registry, sender, member, power)
        except Reverted:
            assert not allowed
            continue
        assert allowed
        voters = votes.setdefault((member, power), set())
        voters.add(voter)
        if sum(model[each] for each in voters) >= sum(model.values()) * 2 // 3 + 1:
            model[target] = power
            model = {each: p for each, p in model.items() if p}
            votes.clear()
        assert present(registry).powers == model
    assert registry.read("totalPower") == sum(model.values())
    assert registry.read("quorumPower") == sum(model.values()) * 2 // 3 + 1
