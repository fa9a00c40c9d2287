"""Framing: messages in, frames out, and back.

    frame = 4-byte big-endian length | 1-byte type | body          length counts type and body
    type  = kind (0..127) | 0x80 when another fragment of the same message follows

A frame is at most FRAME_BYTES_MAX bytes in all, so that it fits one yamux frame and one Noise
packet. A longer message is cut into fragments: all but the last are full, the last is not empty,
all carry one kind, and nothing stands between them. So a message has exactly one encoding, and
the number of fragments is bounded by the message's size. Anything else is InvalidMessage, after
which the stream must not be used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from p2p.transport import ByteStream
from primitives.errors import InvalidMessage, ensure

LENGTH_BYTES: Final = 4
HEADER_BYTES: Final = LENGTH_BYTES + 1
FRAME_BYTES_MAX: Final = 64_000
FRAGMENT_BYTES_MAX: Final = FRAME_BYTES_MAX - HEADER_BYTES
MORE: Final = 0x80
KIND_MAX: Final = 0x7F


@dataclass(frozen=True, slots=True)
class Message:
    """A kind (0..127) and its body."""

    kind: int
    body: bytes


class OversizedMessage(InvalidMessage):
    """A frame or message above its limit."""


def encode_message(kind: int, body: bytes) -> bytes:
    """Return the frames of one message, one after the other."""
    ensure(0 <= kind <= KIND_MAX, "kind is outside 0..127", kind=kind)
    if len(body) <= FRAGMENT_BYTES_MAX:
        return (len(body) + 1).to_bytes(LENGTH_BYTES, "big") + bytes((kind,)) + body
    return b"".join(_fragments(kind, body))


def _fragments(kind: int, body: bytes) -> Iterator[bytes]:
    """Yield headers and slices of a body that needs more than one frame."""
    for start in range(0, len(body), FRAGMENT_BYTES_MAX):
        piece = body[start : start + FRAGMENT_BYTES_MAX]
        more = MORE if start + FRAGMENT_BYTES_MAX < len(body) else 0
        yield (len(piece) + 1).to_bytes(LENGTH_BYTES, "big") + bytes((kind | more,))
        yield piece


class Decoder:
    """Turns received bytes into messages of at most `body_bytes_max` bytes each.

    Holds at most one message and one frame, however the bytes are cut.
    """

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._buffer = bytearray()
        self._kind = -1
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for the rest of their message."""
        return len(self._buffer) + self._parts_bytes

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take `data` and yield the messages that are now whole; raises InvalidMessage."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= HEADER_BYTES:
                length = int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
                self._check_frame(length, buffer[start + LENGTH_BYTES])
                end = start + LENGTH_BYTES + length
                if len(buffer) < end:
                    return
                kind = buffer[start + LENGTH_BYTES]
                body = bytes(buffer[start + HEADER_BYTES : end])
                start = end
                message = self._join(kind, body)
                if message is not None:
                    yield message
        finally:
            del buffer[:start]

    def _check_frame(self, length: int, kind: int) -> None:
        """Raise InvalidMessage when a frame's header alone shows that it is wrong."""
        if length == 0:
            raise InvalidMessage("frame without a type")
        body_bytes = length - 1
        if body_bytes > FRAGMENT_BYTES_MAX:
            raise OversizedMessage(f"frame of {length} bytes", limit=FRAME_BYTES_MAX)
        if self._parts_bytes + body_bytes > self._body_bytes_max:
            raise OversizedMessage("message above its limit", limit=self._body_bytes_max)
        if kind & MORE and body_bytes != FRAGMENT_BYTES_MAX:
            raise InvalidMessage("fragment before the last is not full")
        if self._parts and (kind & KIND_MAX != self._kind or body_bytes == 0):
            raise InvalidMessage("fragments of one message do not fit each other")

    def _join(self, kind: int, body: bytes) -> Message | None:
        """Return the message that this frame completes, if it does."""
        if kind & MORE:
            self._kind = kind & KIND_MAX
            self._parts.append(body)
            self._parts_bytes += len(body)
            return None
        if self._parts:
            self._parts.append(body)
            body = b"".join(self._parts)
            self._parts, self._parts_bytes, self._kind = [], 0, -1
        return Message(kind, body)


class MessageReader:
    """Reads whole messages, one at a time, from a stream that this reader alone reads."""

    def __init__(self, stream: ByteStream, body_bytes_max: int) -> None:
        self._stream = stream
        self._decoder = Decoder(body_bytes_max)
        self._ready: list[Message] = []

    async def receive(self) -> Message:
        """Return the next message; raises InvalidMessage, or PeerGone at the end."""
        while not self._ready:
            self._ready = list(self._decoder.feed(await self._stream.read()))[::-1]
        return self._ready.pop()
