"""The log gives back what was synced, whatever is torn; the guard never permits two signatures."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import Kind, Message, Vote
from consensus.signing import sign_digest
from consensus.wal import (
    GUARD_DIGESTS_MAX,
    Checkpoint,
    Entered,
    Intent,
    Kept,
    Record,
    SignGuard,
    Valid,
    encode_record,
    needed,
    read_records,
)
from primitives.errors import DoubleSignRefused, StoreCorrupt
from primitives.types import Hash32, Height, Round
from tests.consensus.makers import BLOCK_A, BLOCK_B, CHAIN, H1, ME, R1, records, vote

GOLDEN = Path(__file__).parents[1] / "golden" / "consensus"


def intent(kind: Kind, block_hash: Hash32, round_: int = 0, height: int = 1) -> Intent:
    return Intent(Vote(kind, Height(height), Round(round_), block_hash, ME))


LOG: tuple[Record, ...] = (
    Checkpoint(H1, 0),
    intent(Kind.PREVOTE, BLOCK_A),
    Valid(H1, R1, BLOCK_A, b"body", True, ((ME, vote(0, Kind.PREVOTE, BLOCK_A).signature),)),
    Kept(H1, BLOCK_A, b"transactions"),
    intent(Kind.PRECOMMIT, BLOCK_A),
    Entered(H1, R1),
)


@given(st.lists(records(), max_size=5))
def test_records_round_trip(log: list[Record]) -> None:
    """Reading gives back all records and the whole length."""
    data = b"".join(map(encode_record, log))
    assert read_records(data) == (tuple(log), len(data))


def test_a_log_cut_at_any_byte_keeps_whole_records() -> None:
    """A cut anywhere loses exactly the record that it cuts and those after it."""
    frames = [encode_record(record) for record in LOG]
    data = b"".join(frames)
    ends = [sum(map(len, frames[:count])) for count in range(len(frames) + 1)]
    for cut in range(len(data) + 1):
        whole = sum(end <= cut for end in ends) - 1
        assert read_records(data[:cut]) == (LOG[:whole], ends[whole])


def test_any_changed_bit_ends_the_log_there() -> None:
    """A flipped bit anywhere never yields another record: the log ends before it."""
    frames = [encode_record(record) for record in LOG[:2]]
    data = b"".join(frames)
    for index in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[index] ^= 1 << bit
            kept, length = read_records(bytes(changed))
            assert kept == LOG[: 0 if index < len(frames[0]) else 1]
            assert length == (0 if index < len(frames[0]) else len(frames[0]))


def test_a_tail_of_zeros_is_no_record() -> None:
    """Space that a file system filled with zeros reads as a torn tail."""
    data = encode_record(LOG[0])
    assert read_records(data + bytes(4_096)) == (LOG[:1], len(data))


def test_foreign_content_with_a_right_checksum_is_corrupt() -> None:
    """A frame that this program cannot have written stops the node."""
    length = (2).to_bytes(4, "big")
    content = b"\x09\x80"
    frame = length + crc32(length + content).to_bytes(4, "big") + content
    with pytest.raises(StoreCorrupt):
        read_records(frame)


def test_bytes_are_pinned() -> None:
    """The log on disk has the bytes of the first release."""
    golden = bytes.fromhex((GOLDEN / "log.hex").read_text())
    assert b"".join(map(encode_record, LOG)) == golden
    assert read_records(golden) == (LOG, len(golden))


@given(st.lists(records(), max_size=8))
def test_needed_starts_with_the_last_checkpoint(log: list[Record]) -> None:
    """A new segment holds the last checkpoint and everything after it."""
    kept = needed(log)
    assert log[len(log) - len(kept) :] == list(kept)
    assert not any(isinstance(record, Checkpoint) for record in kept[1:])
    assert isinstance(kept[0], Checkpoint) if len(kept) < len(log) else True


# --- the guard ------------------------------------------------------------------------------------

steps = st.one_of(
    st.builds(
        intent,
        st.sampled_from((Kind.PREVOTE, Kind.PRECOMMIT)),
        st.sampled_from((BLOCK_A, BLOCK_B)),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
    st.builds(Checkpoint, st.integers(1, 3).map(Height), st.sampled_from((0, 0, 0, 1))),
    st.just("restart"),
    st.just("new segment"),
)


@given(st.lists(steps, max_size=40))
def test_guard_never_permits_two_digests(history: list[Record | str]) -> None:
    """Whatever is asked, across restarts and new segments, one place gets one digest.

    Kills: comparing with `<` instead of `<=`, forgetting the checkpoint's height in a new
    segment, not refusing what was forgotten, permitting what was not reserved.
    """
    guard = SignGuard(CHAIN)
    log: list[Record] = []
    given_out: dict[tuple[int, int, int], Hash32] = {}
    for step in history:
        if step == "restart":
            guard = SignGuard(CHAIN, log)
        elif step == "new segment":
            log = list(needed(log))
        elif not isinstance(step, str):
            try:
                guard.reserve(step)
            except DoubleSignRefused:
                continue
            log.append(step)
            if isinstance(step, Intent):
                guard.permit(step.message)
                place = step.message.height, step.message.round, step.message.kind
                digest = sign_digest(step.message, CHAIN)
                assert given_out.setdefault(place, digest) == digest


def refused(guard: SignGuard, record: Record) -> bool:
    try:
        guard.reserve(record)
    except DoubleSignRefused:
        return True
    return False


def test_guard_needs_a_checkpoint_first() -> None:
    """Without a checkpoint nothing is signed: an empty log is a key without a past."""
    assert refused(SignGuard(CHAIN), intent(Kind.PREVOTE, BLOCK_A))


def test_guard_refuses_a_watching_key() -> None:
    """While the checkpoint says so, no intent passes; the next checkpoint may free the key."""
    guard = SignGuard(CHAIN, [Checkpoint(H1, 2)])
    assert refused(guard, intent(Kind.PREVOTE, BLOCK_A))
    guard.reserve(Checkpoint(Height(2), 0))
    guard.reserve(intent(Kind.PREVOTE, BLOCK_A, height=2))


def test_guard_accepts_the_same_again_and_nothing_else() -> None:
    """The same digest is fine for ever, another one never, a step back never."""
    guard = SignGuard(CHAIN, LOG)
    guard.reserve(intent(Kind.PREVOTE, BLOCK_A))
    guard.permit(Vote(Kind.PREVOTE, H1, Round(0), BLOCK_A, ME))
    assert refused(guard, intent(Kind.PREVOTE, BLOCK_B))
    assert refused(guard, Intent(proposal_of(BLOCK_A)))
    assert refused(guard, Checkpoint(Height(1), 0)) is False
    assert refused(guard, intent(Kind.PREVOTE, BLOCK_A, height=2)) is False
    assert refused(guard, intent(Kind.PREVOTE, BLOCK_A, round_=1))


def proposal_of(block_hash: Hash32) -> Message:
    return Vote(Kind.PREVOTE, H1, Round(0), Hash32(block_hash[::-1][:31] + b"!"), ME)


def test_guard_does_not_permit_what_was_not_reserved() -> None:
    """A message that is not in the log is not signed."""
    guard = SignGuard(CHAIN, [Checkpoint(H1, 0)])
    with pytest.raises(DoubleSignRefused):
        guard.permit(Vote(Kind.PREVOTE, H1, Round(0), BLOCK_A, ME))


def test_guard_checkpoints_do_not_go_back() -> None:
    """A checkpoint below the newest is refused; below it nothing is signed."""
    guard = SignGuard(CHAIN, [Checkpoint(Height(5), 0)])
    assert refused(guard, Checkpoint(Height(4), 0))
    assert refused(guard, intent(Kind.PREVOTE, BLOCK_A, height=4))


def test_guard_memory_is_bounded_and_forgotten_means_refused() -> None:
    """After so many digests the oldest is forgotten, and then even the same one is refused."""
    guard = SignGuard(CHAIN, [Checkpoint(H1, 0)])
    for round_ in range(GUARD_DIGESTS_MAX):
        guard.reserve(intent(Kind.PREVOTE, BLOCK_A, round_))
    guard.reserve(intent(Kind.PREVOTE, BLOCK_A, 0))
    guard.reserve(intent(Kind.PREVOTE, BLOCK_A, GUARD_DIGESTS_MAX))
    assert refused(guard, intent(Kind.PREVOTE, BLOCK_A, 0))
