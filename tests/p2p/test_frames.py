"""Framing: a message has one encoding, and no bytes make a decoder misbehave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.frames import (
    FRAGMENT_BYTES_MAX,
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    KIND_MAX,
    MORE,
    Decoder,
    Message,
    OversizedMessage,
    encode_message,
)
from primitives.errors import BrokenInvariant, InvalidMessage

LIMIT = 3 * FRAGMENT_BYTES_MAX

BODIES = st.one_of(
    st.binary(max_size=40),
    st.integers(-2, 2).map(lambda d: b"x" * (FRAGMENT_BYTES_MAX + d)),
    st.integers(-2, 0).map(lambda d: b"y" * (LIMIT + d)),
)
MESSAGES = st.builds(Message, st.integers(0, KIND_MAX), BODIES)


def frame(kind: int, body: bytes) -> bytes:
    return (len(body) + 1).to_bytes(4, "big") + bytes((kind,)) + body


@given(st.lists(MESSAGES, max_size=4), st.data())
def test_any_chunking(messages: list[Message], data: st.DataObject) -> None:
    """However the bytes are cut, the same messages come out, and little is held meanwhile.

    Kills: forgetting the rest of a chunk; joining fragments in the wrong order.
    """
    wire = b"".join(encode_message(each.kind, each.body) for each in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    decoder, received = Decoder(LIMIT), []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        received += list(decoder.feed(wire[start:end]))
    assert received == messages
    assert decoder.held_bytes == 0


@given(MESSAGES)
def test_frames_fit(message: Message) -> None:
    """No frame exceeds FRAME_BYTES_MAX, all but the last are full, and only they say 'more'."""
    wire = encode_message(message.kind, message.body)
    while wire:
        size = 4 + int.from_bytes(wire[:4], "big")
        assert HEADER_BYTES <= size <= FRAME_BYTES_MAX
        is_last = len(wire) == size
        assert bool(wire[4] & MORE) != is_last
        assert is_last or size == FRAME_BYTES_MAX
        wire = wire[size:]


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_garbage(chunks: list[bytes]) -> None:
    """Garbage raises InvalidMessage or waits for more; it never raises anything else."""
    decoder = Decoder(1_000)
    try:
        for chunk in chunks:
            for message in decoder.feed(chunk):
                assert len(message.body) <= 1_000
            assert decoder.held_bytes <= 1_000 + FRAME_BYTES_MAX
    except InvalidMessage:
        return


def test_limits_from_both_sides() -> None:
    """A message of exactly the limit passes; one byte more is refused by its header alone."""
    assert list(Decoder(10).feed(frame(1, b"x" * 10))) == [Message(1, b"x" * 10)]
    with pytest.raises(OversizedMessage):
        list(Decoder(10).feed((12).to_bytes(4, "big") + b"\x01"))
    with pytest.raises(OversizedMessage):
        list(Decoder(10**9).feed((FRAGMENT_BYTES_MAX + 2).to_bytes(4, "big") + b"\x01"))


def test_reassembly_is_bounded() -> None:
    """Fragments that would exceed the message limit together are refused before they arrive."""
    full = frame(1 | MORE, b"x" * FRAGMENT_BYTES_MAX)
    decoder = Decoder(FRAGMENT_BYTES_MAX + 10)
    assert list(decoder.feed(full)) == []
    with pytest.raises(OversizedMessage):
        list(decoder.feed((12).to_bytes(4, "big") + b"\x01"))


@pytest.mark.parametrize(
    "wire",
    [
        b"\0\0\0\0\0",
        frame(1 | MORE, b"short"),
        frame(1 | MORE, b"x" * FRAGMENT_BYTES_MAX) + frame(1, b""),
        frame(1 | MORE, b"x" * FRAGMENT_BYTES_MAX) + frame(2, b"y"),
    ],
    ids=["no type", "fragment not full", "empty last fragment", "kinds differ"],
)
def test_malformed(wire: bytes) -> None:
    """A second encoding of a message, or none, is InvalidMessage."""
    with pytest.raises(InvalidMessage):
        list(Decoder(LIMIT).feed(wire))


def test_kind_is_ours() -> None:
    """A kind outside 0..127 is our own mistake."""
    with pytest.raises(BrokenInvariant):
        encode_message(128, b"")
