"""Messages of heights to come wait for their turn, within what one peer may fill."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import NO_POL, Kind, Message, Proposal, Vote
from node.early import HEIGHTS_TAKEN, PEER_BYTES_MAX, PEER_MESSAGES_MAX, EarlyMessages
from primitives.types import Address, Hash32, Height, Round

BLOCK = Hash32(b"\x01" * 32)


def vote(height: int, validator: int = 1, kind: Kind = Kind.PREVOTE) -> Vote:
    return Vote(kind, Height(height), Round(0), BLOCK, Address(bytes([validator]) * 20))


def proposal(height: int, size_bytes: int) -> Proposal:
    body, who = bytes(size_bytes), Address(bytes(20))
    return Proposal(Height(height), Round(0), NO_POL, BLOCK, body, who)


def held(early: EarlyMessages) -> list[Message]:
    """Return all that is held, and forget it."""
    heights = range(PEER_MESSAGES_MAX * 4)
    return [each for height in heights for each in early.take(Height(height))]


def test_what_consensus_takes_is_not_held() -> None:
    """The height above the head and the one above that are for consensus; the past is nobody's."""
    early = EarlyMessages()
    assert [early.hold("a", vote(height), Height(5)) for height in (4, 6, 7, 8)] == [
        *([False] * 3),
        True,
    ]
    assert len(early) == 1


def test_messages_come_out_when_consensus_takes_them() -> None:
    """By height, then as they came; what the head has passed does not come out at all."""
    early = EarlyMessages()
    sent = [vote(6), vote(5, kind=Kind.PRECOMMIT), vote(5, 2), vote(4), vote(3)]
    for each in sent:
        assert early.hold("a", each, Height(0))
    assert early.take(Height(0)) == []
    assert early.take(Height(3)) == [sent[3], sent[1], sent[2]]
    assert early.take(Height(3)) == []
    assert early.take(Height(6)) == []
    assert len(early) == 0


def test_repetitions_take_no_room() -> None:
    """What a peer repeats every second is held once."""
    early = EarlyMessages()
    for _ in range(3):
        assert early.hold("a", vote(9), Height(0))
    assert len(early) == 1


def test_a_peer_displaces_its_own_messages_only() -> None:
    """The oldest of the same peer go, at the limit and not before (bug: one peer fills it all)."""
    early = EarlyMessages()
    early.hold("b", vote(3), Height(0))
    for height in range(3, 3 + PEER_MESSAGES_MAX):
        early.hold("a", vote(height, 2), Height(0))
    assert len(early) == PEER_MESSAGES_MAX + 1
    early.hold("a", vote(200, 2), Height(0))
    assert len(early) == PEER_MESSAGES_MAX + 1
    found = held(early)
    assert vote(3) in found
    assert vote(3, 2) not in found
    assert vote(200, 2) in found


def test_bodies_are_bounded() -> None:
    """Large proposals displace what came before them; one that is too large is not held."""
    early = EarlyMessages()
    half = PEER_BYTES_MAX // 2
    for height in (3, 4):
        early.hold("a", proposal(height, half - 1_000), Height(0))
    assert len(early) == 2
    early.hold("a", proposal(5, half), Height(0))
    assert [each.height for each in held(early)] == [5]
    early.hold("a", proposal(5, PEER_BYTES_MAX), Height(0))
    assert len(early) == 0


def test_who_is_gone_is_forgotten() -> None:
    """A peer that left takes no memory."""
    early = EarlyMessages()
    early.hold("a", vote(9), Height(0))
    early.hold("b", vote(9, 2), Height(0))
    early.forget("a")
    early.forget("never seen")
    assert held(early) == [vote(9, 2)]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 30), st.integers(1, 4)), max_size=40),
    st.lists(st.integers(0, 4), max_size=20),
)
def test_nothing_is_lost_below_the_limit(
    sent: list[tuple[str, int, int]], steps: list[int]
) -> None:
    """Whatever the head does, each message is passed on at once or comes out before its turn."""
    early, head, seen = EarlyMessages(), Height(0), set[Message]()
    pending = [(peer, vote(height, who)) for peer, height, who in sent]
    for step in [*steps, 40]:
        for peer, message in pending[:4]:
            if not early.hold(peer, message, head):
                seen.add(message)
        pending = pending[4:]
        for _ in range(step):
            head = Height(head + 1)
            taken = early.take(head)
            assert all(head < each.height <= head + HEIGHTS_TAKEN for each in taken)
            seen.update(taken)
    given_in = {vote(height, who) for _, height, who in sent[: 4 * (len(steps) + 1)]}
    assert seen == given_in
    assert len(early) == 0
