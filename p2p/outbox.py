"""One stream's way out: a bounded queue and the only task that writes the stream.

Messages that wait together leave in one write of at most FRAME_BYTES_MAX bytes (a hundred times
cheaper than one write each); longer ones leave in slices of that size. `put` never waits: a full
queue means the peer does not keep up, and then its link is given up, never a message in between.
Bytes count until they are written.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from p2p.frames import FRAME_BYTES_MAX
from p2p.transport import ByteStream

OUTBOX_MESSAGES_MAX: Final = 4_096
OUTBOX_BYTES_MAX: Final = 8_000_000
TX_LINGER_SECONDS: Final = 0.01


class Outbox:
    """Queue of encoded messages for one stream.

    `linger_seconds` is how long a write waits for company unless it is full.
    """

    def __init__(
        self,
        messages_max: int = OUTBOX_MESSAGES_MAX,
        size_bytes_max: int = OUTBOX_BYTES_MAX,
        linger_seconds: float = 0.0,
    ) -> None:
        self._messages_max = messages_max
        self._size_bytes_max = size_bytes_max
        self._linger_seconds = linger_seconds
        self._queue: deque[bytes] = deque()
        self._wake = trio.Event()
        self._full = trio.Event()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, encoded: bytes) -> bool:
        """Append an encoded message and return True, or return False when the queue is full.

        An empty queue takes any one message.
        """
        size_bytes = self.size_bytes + len(encoded)
        if self._queue and (
            len(self._queue) >= self._messages_max or size_bytes > self._size_bytes_max
        ):
            return False
        self._queue.append(encoded)
        self.size_bytes = size_bytes
        self._wake.set()
        if size_bytes >= FRAME_BYTES_MAX:
            self._full.set()
        return True

    async def run(self, stream: ByteStream) -> None:
        """Write messages as they come, until cancelled; raises PeerGone."""
        while True:
            await self._wake.wait()
            if self._linger_seconds and self.size_bytes < FRAME_BYTES_MAX:
                self._full = trio.Event()
                with trio.move_on_after(self._linger_seconds):
                    await self._full.wait()
            while self._queue:
                await self._write(stream, self._take())
            self._wake = trio.Event()

    def _take(self) -> bytes:
        """Remove and return the next write: one message, or several that fit one frame."""
        first = self._queue.popleft()
        if not self._queue or len(first) + len(self._queue[0]) > FRAME_BYTES_MAX:
            return first
        parts, total = [first], len(first)
        while self._queue and total + len(self._queue[0]) <= FRAME_BYTES_MAX:
            parts.append(self._queue.popleft())
            total += len(parts[-1])
        return b"".join(parts)

    async def _write(self, stream: ByteStream, data: bytes) -> None:
        """Write `data` in slices, giving back its room as it goes."""
        for start in range(0, len(data), FRAME_BYTES_MAX):
            piece = data[start : start + FRAME_BYTES_MAX]
            await stream.write(piece)
            self.size_bytes -= len(piece)
