"""Request and response: one stream of `/qenex/sync/1` for each request.

The requester writes one message (kind and body are the runtime's) and says that it is finished.
The server answers with any number of ITEM messages, then END; or with REFUSED, whose body says
why in at most 200 bytes of UTF-8. An answer's items are at most RESPONSE_BYTES_MAX bytes in all:
a server sends the longest prefix that fits, and the requester asks again for what is missing.

Each side has at most REQUESTS_MAX requests to one peer in flight; a server refuses above
SERVED_MAX (more, because the two sides do not see the end of a request at the same time). Ten
seconds without a message end the wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import trio

from p2p.frames import FRAME_BYTES_MAX, Message, MessageReader, encode_message
from p2p.transport import ByteStream
from primitives.errors import (
    Invalid,
    InvalidMessage,
    Rejected,
    Timeout,
    Unavailable,
)

END: Final = 0
ITEM: Final = 1
REFUSED: Final = 2
REQUEST_BYTES_MAX: Final = 64_000
RESPONSE_BYTES_MAX: Final = 4_000_000
RESPONSE_ITEMS_MAX: Final = 65_536
REASON_BYTES_MAX: Final = 200
REQUESTS_MAX: Final = 2
SERVED_MAX: Final = 4
IDLE_SECONDS_MAX: Final = 10.0

Serve: TypeAlias = Callable[[str, int, bytes], Awaitable[Sequence[bytes]]]
"""(peer id, kind, body) to the items; Invalid, Rejected and Unavailable become REFUSED."""


class RequestRefused(Unavailable):
    """The peer answered that it will not or cannot serve this request."""


async def exchange(stream: ByteStream, kind: int, body: bytes) -> list[bytes]:
    """Send a request on a fresh stream and return the items of the answer.

    Raises RequestRefused, InvalidMessage (the answer breaks the rules), PeerGone, or Timeout after
    IDLE_SECONDS_MAX without a message.
    """
    await stream.write(encode_message(kind, body))
    await stream.finish()
    reader = MessageReader(stream, RESPONSE_BYTES_MAX)
    items: list[bytes] = []
    size_bytes = 0
    while True:
        message = await _receive(reader)
        if message.kind == END and not message.body:
            return items
        if message.kind == REFUSED:
            reason = message.body[:REASON_BYTES_MAX].decode("utf-8", "replace")
            raise RequestRefused("the peer refused the request", reason=reason)
        if message.kind != ITEM:
            raise InvalidMessage(f"unexpected kind {message.kind} in an answer")
        size_bytes += len(message.body)
        items.append(message.body)
        if size_bytes > RESPONSE_BYTES_MAX or len(items) > RESPONSE_ITEMS_MAX:
            raise InvalidMessage("answer above its limit")


async def answer(stream: ByteStream, peer: str, serve: Serve, *, busy: bool) -> None:
    """Read one request from `stream`, serve it and write the answer.

    Raises InvalidMessage when the request breaks the rules, PeerGone or Timeout when the peer does
    not keep up. An error of `serve` outside Invalid, Rejected and Unavailable passes through: it
    is ours.
    """
    request = await _receive(MessageReader(stream, REQUEST_BYTES_MAX))
    if busy:
        await stream.write(_refusal("too many requests at once"))
        await stream.finish()
        return
    try:
        items = await serve(peer, request.kind, request.body)
    except (Invalid, Rejected, Unavailable) as error:
        await stream.write(_refusal(error.message))
        await stream.finish()
        return
    if items and len(items[0]) > RESPONSE_BYTES_MAX:
        await stream.write(_refusal("item above the limit"))
        await stream.finish()
        return
    await _write_items(stream, items)
    await stream.finish()


async def _write_items(stream: ByteStream, items: Sequence[bytes]) -> None:
    """Write the longest prefix of `items` that fits, then END, coalesced."""
    room = RESPONSE_BYTES_MAX
    pending: list[bytes] = []
    pending_bytes = 0
    for item in items[:RESPONSE_ITEMS_MAX]:
        room -= len(item)
        if room < 0:
            break
        pending.append(encode_message(ITEM, item))
        pending_bytes += len(pending[-1])
        if pending_bytes >= FRAME_BYTES_MAX:
            await _write(stream, b"".join(pending))
            pending, pending_bytes = [], 0
    pending.append(encode_message(END, b""))
    await _write(stream, b"".join(pending))


async def _write(stream: ByteStream, data: bytes) -> None:
    """Write `data` in slices of one frame."""
    for start in range(0, len(data), FRAME_BYTES_MAX):
        await stream.write(data[start : start + FRAME_BYTES_MAX])


async def _receive(reader: MessageReader) -> Message:
    """Return the next message; raises Timeout when none comes for too long."""
    with trio.move_on_after(IDLE_SECONDS_MAX):
        return await reader.receive()
    raise Timeout("no message on a request stream", seconds=IDLE_SECONDS_MAX)


def _refusal(reason: str) -> bytes:
    """Return a REFUSED message with as much of the reason as fits."""
    return encode_message(REFUSED, reason.encode()[:REASON_BYTES_MAX])
