"""NodeRegistry on the real engine: who may connect, and exactly when that changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.nodes import NodeEntry, peer_id_bytes
from genesis.predeploys import node_registry_account, registry_account
from p2p.keys import NodeKey
from primitives.params import NODE_REGISTRY, VALIDATOR_REGISTRY
from primitives.types import ZERO_ADDRESS, ZERO_HASH, Address, Power
from primitives.validators import Validator, ValidatorSet
from tests.contracts.chain import Chain, Deployed, Reverted, hex_address
from tests.vm.support import ENGINE, context
from vm.nodes import RegisteredNode, read_nodes

PEERS = [NodeKey(bytes([seed]) * 32).peer_id for seed in range(1, 12)]
RAW = [peer_id_bytes(each) for each in PEERS]
HERE = ("/ip4/127.0.0.1/tcp/30303",)
LONG = "/dns4/" + "a" * 60 + "." + "b" * 60 + "/tcp/65535"


def address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


class Registry:
    """Both registries on one chain; validators are 1, 2, ... with `powers`."""

    def __init__(self, nodes: Sequence[NodeEntry], powers: Sequence[int] = (1, 1, 1, 1)) -> None:
        members = ValidatorSet.of(
            Validator(address(i + 1), Power(power)) for i, power in enumerate(powers)
        )
        self.chain = Chain(
            {
                VALIDATOR_REGISTRY: registry_account(members),
                NODE_REGISTRY: node_registry_account(nodes, VALIDATOR_REGISTRY),
            }
        )
        self.nodes = Deployed(self.chain, "NodeRegistry", NODE_REGISTRY)
        self.validators = Deployed(self.chain, "ValidatorRegistry", VALIDATOR_REGISTRY)

    def present(self) -> tuple[RegisteredNode, ...]:
        return read_nodes(self.chain.state, ENGINE, context())

    def admit(self, senders: Sequence[int], *change: object) -> bytes:
        for sender in senders:
            events = self.nodes.send(address(sender), "proposeNode", *change)
        return bytes(events[0][1]["id"])

    def remove(self, senders: Sequence[int], raw: bytes) -> bytes:
        for sender in senders:
            events = self.nodes.send(address(sender), "proposeRemoval", raw)
        return bytes(events[0][1]["id"])


def entry(index: int, validator: int = 0, addresses: tuple[str, ...] = HERE) -> NodeEntry:
    return NodeEntry(PEERS[index], addresses, address(validator) if validator else None)


def node(index: int, validator: int = 0, addresses: tuple[str, ...] = HERE) -> RegisteredNode:
    return RegisteredNode(RAW[index], address(validator) if validator else None, addresses)


entries = st.lists(
    st.tuples(
        st.integers(0, 10),
        st.integers(0, 4),
        st.lists(st.sampled_from([*HERE, LONG, "/ip4/1.2.3.4/tcp/5", "x" * 31, "y" * 32])).map(
            lambda found: tuple(found[:8])
        ),
    ),
    max_size=6,
    unique_by=lambda each: each[0],
)


@settings(max_examples=25, deadline=None)
@given(entries)
def test_predeploy_storage(rows: list[tuple[int, int, tuple[str, ...]]]) -> None:
    """The storage that genesis writes is what getNodes reads, in order; places are right, too.

    Kills: short and long strings exchanged, array slots one apart, places counted from 0.
    """
    registry = Registry([entry(*row) for row in rows])
    assert registry.present() == tuple(node(*row) for row in rows)
    for index, raw in enumerate(RAW):
        assert registry.nodes.read("isAdmitted", raw) is any(row[0] == index for row in rows)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7])
def test_quorum_is_exact(count: int) -> None:
    """A node is admitted with the approval that reaches floor(2n/3) + 1, and not one sooner.

    Kills: a quorum of ceil(2n/3); the caller's own approval forgotten or counted twice.
    """
    registry = Registry([entry(0)], [1] * count)
    for sender in range(1, count * 2 // 3 + 2):
        assert registry.present() == (node(0),)
        registry.admit([sender], RAW[1], ZERO_ADDRESS, [])
    assert registry.present() == (node(0), node(1, addresses=()))
    assert registry.nodes.read("epoch") == 1
    assert registry.nodes.gas_used < 700_000


@pytest.mark.parametrize(
    ("powers", "approvers", "passes"),
    [
        ([5, 3, 1], [1, 3], False),
        ([5, 3, 1], [1, 2], True),
        ([7, 1, 1, 1], [1], True),
        ([6, 2, 1, 1], [2, 3, 4], False),
    ],
)
def test_quorum_counts_power(powers: list[int], approvers: list[int], passes: bool) -> None:
    """Power decides, not the number of heads."""
    registry = Registry([], powers)
    registry.admit(approvers, RAW[1], ZERO_ADDRESS, list(HERE))
    assert (len(registry.present()) == 1) is passes


def test_replace_and_remove() -> None:
    """A node's facts are replaced in place; a removal moves the last node, whose place follows.

    Kills: the place of the moved node not updated (its own removal would then hit another).
    """
    registry = Registry([entry(0), entry(1, 9), entry(2, 0, (LONG, *HERE))])
    registry.admit([1, 2, 3], RAW[1], address(8), [LONG])
    assert registry.present() == (node(0), node(1, 8, (LONG,)), node(2, 0, (LONG, *HERE)))
    registry.remove([1, 2, 3], RAW[0])
    assert registry.present() == (node(2, 0, (LONG, *HERE)), node(1, 8, (LONG,)))
    registry.remove([4, 2, 3], RAW[2])
    assert registry.present() == (node(1, 8, (LONG,)),)
    registry.remove([4, 2, 3], RAW[1])
    assert registry.present() == ()
    registry.admit([1, 2, 3], RAW[0], ZERO_ADDRESS, list(HERE))
    assert registry.present() == (node(0),)


def test_approve_and_events() -> None:
    """Proposing counts as approval; approve() completes it; events and views tell each step."""
    registry = Registry([])
    events = registry.nodes.send(address(2), "proposeNode", RAW[1], address(3), list(HERE))
    assert [name for name, _ in events] == ["NodeChangeProposed", "NodeChangeApproved"]
    change = events[0][1]["id"]
    assert events[0][1]["peerId"] == RAW[1]
    assert registry.nodes.read("getOpenChanges") == (change,)
    assert registry.nodes.read("getChange", change) == (
        RAW[1],
        hex_address(address(3)),
        HERE,
        False,
        1,
    )
    assert registry.nodes.read("hasApproved", change, address(2)) is True
    approved = registry.nodes.send(address(1), "approve", change)
    assert [(e["approving"], e["quorum"]) for _, e in approved] == [(2, 3)]
    done = registry.nodes.send(address(4), "approve", change)
    assert [name for name, _ in done] == ["NodeChangeApproved", "NodeAdmitted"]
    assert done[1][1] == {
        "peerId": RAW[1],
        "validator": hex_address(address(3)),
        "addresses": HERE,
        "epoch": 1,
    }
    assert registry.nodes.read("getOpenChanges") == ()
    with pytest.raises(Reverted, match="UnknownProposal"):
        registry.nodes.send(address(3), "approve", change)


def test_no_vote_counts_twice_and_strangers_have_none() -> None:
    """A second approval is refused, and who is no validator can do nothing."""
    registry = Registry([entry(0)])
    change = registry.remove([1], RAW[0])
    for again in (("approve", change), ("proposeRemoval", RAW[0])):
        with pytest.raises(Reverted, match="AlreadyApproved"):
            registry.nodes.send(address(1), *again)
        with pytest.raises(Reverted, match="NotValidator"):
            registry.nodes.send(address(77), *again)
    with pytest.raises(Reverted, match="NotValidator"):
        registry.nodes.send(address(77), "proposeNode", RAW[1], ZERO_ADDRESS, [])


def test_stale_approvals_die() -> None:
    """A change of the nodes or of the validators ends every open proposal.

    Kills: either epoch left out of the id or of the check.
    """
    registry = Registry([entry(0), entry(1)])
    old = registry.remove([1, 2], RAW[0])
    registry.admit([1, 2, 3], RAW[2], ZERO_ADDRESS, [])
    with pytest.raises(Reverted, match="UnknownProposal"):
        registry.nodes.send(address(3), "approve", old)
    newer = registry.remove([1, 2], RAW[0])
    assert newer != old
    for sender in (1, 2, 3):
        registry.validators.send(address(sender), "proposeChange", address(9), 1, ZERO_HASH)
    assert registry.nodes.read("getOpenChanges") == ()
    with pytest.raises(Reverted, match="UnknownProposal"):
        registry.nodes.send(address(3), "approve", newer)
    registry.remove([1, 2, 3], RAW[0])
    assert len(registry.present()) == 3
    registry.nodes.send(address(9), "proposeRemoval", RAW[0])
    assert registry.present() == (node(2, addresses=()), node(1))


def test_a_validator_keeps_a_node() -> None:
    """The last node of a present validator stays; a second one, or no power, sets it free.

    Kills: the count of a validator's nodes not kept by replace, remove or genesis.
    """
    registry = Registry([entry(0, 1), entry(1, 9)])
    attempts: list[tuple[str, *tuple[object, ...]]] = [
        ("proposeRemoval", RAW[0]),
        ("proposeNode", RAW[0], ZERO_ADDRESS, []),
        ("proposeNode", RAW[0], address(2), []),
    ]
    for attempt in attempts:
        with pytest.raises(Reverted, match="LastNodeOf"):
            registry.nodes.send(address(1), *attempt)
    registry.admit([1, 2, 3], RAW[0], address(1), [])
    registry.remove([1, 2, 3], RAW[1])
    registry.admit([1, 2, 3], RAW[2], address(1), list(HERE))
    registry.remove([1, 2, 3], RAW[0])
    with pytest.raises(Reverted, match="LastNodeOf"):
        registry.nodes.send(address(1), "proposeRemoval", RAW[2])
    for sender in (1, 2, 3):
        registry.validators.send(address(sender), "proposeChange", address(1), 0, ZERO_HASH)
    registry.remove([2, 3, 4], RAW[2])
    assert registry.present() == ()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("proposeNode", RAW[1][:-1], ZERO_ADDRESS, []), "BadPeerId"),
        (("proposeNode", RAW[1] + b"\0", ZERO_ADDRESS, []), "BadPeerId"),
        (("proposeNode", b"\x12\x20" + RAW[1][2:], ZERO_ADDRESS, []), "BadPeerId"),
        (("proposeNode", b"", ZERO_ADDRESS, []), "BadPeerId"),
        (("proposeNode", RAW[1], ZERO_ADDRESS, ["/x"] * 9), "BadAddresses"),
        (("proposeNode", RAW[1], ZERO_ADDRESS, ["/x", ""]), "BadAddresses"),
        (("proposeNode", RAW[1], ZERO_ADDRESS, ["x" * 281]), "BadAddresses"),
        (("proposeNode", RAW[0], ZERO_ADDRESS, list(HERE)), "NoChange"),
        (("proposeRemoval", RAW[1]), "UnknownNode"),
        (("proposeRemoval", b"short"), "BadPeerId"),
    ],
)
def test_bad_changes(change: tuple[object, ...], error: str) -> None:
    """A change that is malformed or changes nothing is refused when it is proposed."""
    with pytest.raises(Reverted, match=error):
        Registry([entry(0)]).nodes.send(address(1), *change)  # type: ignore[arg-type]


def test_bounds_are_allowed() -> None:
    """Eight addresses of 280 bytes fit, into a block's gas and through the reader."""
    registry = Registry([], [1])
    most = ["x" * 280] * 8
    registry.admit([1], RAW[1], address(1), most)
    assert registry.present() == (node(1, 1, tuple(most)),)
    assert registry.nodes.gas_used < 6_000_000


@pytest.mark.slow
def test_registry_is_bounded() -> None:
    """Node 1,000 is admitted, node 1,001 is not; a replacement still is, and all are readable."""
    many = [
        NodeEntry(NodeKey(number.to_bytes(32, "big")).peer_id, HERE) for number in range(500, 1499)
    ]
    registry = Registry(many, [1])
    registry.admit([1], RAW[0], ZERO_ADDRESS, [])
    with pytest.raises(Reverted, match="RegistryFull"):
        registry.admit([1], RAW[1], ZERO_ADDRESS, [])
    registry.admit([1], RAW[0], address(1), list(HERE))
    found = registry.present()
    assert len(found) == 1_000
    assert found[-1] == node(0, 1)
