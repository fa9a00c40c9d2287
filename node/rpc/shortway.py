"""The short way of a plain POST: bytes in, bytes out, no task and no ASGI between them.

uvicorn makes a task and a dozen objects for each request, four fifths of the time of a small read.
A request goes the short way when it arrived whole, nothing of the connection waits before it, its
head was judged good before, and its call needs no worker or is a submission. A submission goes to
its worker; what arrives meanwhile is kept, so that nothing overtakes its answer. A head is judged
once, by the rules of `node.rpc.http` on what httptools reads in it, and then known by its bytes.
Only heads with headers named here pass; whatever else there may be (another path, an origin, a
token, a chunked body, an upgrade), uvicorn and `HttpHandler` answer as always.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from node.rpc.dispatch import LATER
from node.rpc.gate import header_values, is_host_allowed
from node.rpc.http import JSON_TYPES
from node.rpc.settings import RpcSettings

HEAD_BYTES_MAX: Final = 1_024
HEADS_MAX: Final = 512
IN_A_ROW_MAX: Final = 16
"""Requests of one connection that are answered before another gets its turn."""
HELD_BYTES_MAX: Final = 1 << 16
"""What is kept of one connection while a submission is under way; then its socket waits."""
START: Final = b"POST / HTTP/1.1\r\n"
END: Final = b"\r\n\r\n"
PLAIN_HEADERS: Final = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"content-length",
        b"content-type",
        b"host",
        b"user-agent",
    )
)


class Heads:
    """Judges heads of requests and remembers the good ones, at most HEADS_MAX."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._known: dict[bytes, int] = {}

    def body_length(self, head: bytes) -> int:
        """Return the length of the body that follows, -1 when it must not go the short way."""
        found = self._known.get(head)
        if found is None:
            found = self._judge(head)
            if len(self._known) >= HEADS_MAX:
                self._known.clear()
            self._known[head] = found
        return found

    def _judge(self, head: bytes) -> int:
        read = _Read()
        parser = httptools.HttpRequestParser(read)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return -1
        lengths = header_values(read.headers, b"content-length")
        types = header_values(read.headers, b"content-type")
        good = (
            read.is_complete
            and read.url == b"/"
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and all(name in PLAIN_HEADERS for name, _ in read.headers)
            and len(lengths) == len(types) == 1
            and lengths[0].isdigit()
            and len(lengths[0]) < 9
            and types[0].partition(";")[0].strip().lower() in JSON_TYPES
            and is_host_allowed(self._settings, read.headers)
        )
        length = int(lengths[0]) if good else -1
        return length if 0 < length <= self._settings.body_bytes_max else -1


class _Read:
    """What httptools finds in a head."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_complete = True


class ShortWay(HttpToolsProtocol):
    """uvicorn's HTTP protocol with what the short way needs; the server's protocol takes it.

    That gives `heads` and `answer_now`, and hands what arrives to `shortened` first.
    """

    heads: Heads

    @abstractmethod
    def answer_now(self, body: bytes) -> bytes | None:
        """Return the response to a body, None when only the long way may answer it.

        LATER when a worker does, who gives it to `answered`.
        """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_between = True
        self._last = 0.0
        self._is_awaited = False
        self._is_ending = False
        self._is_full = False
        self._held: deque[bytes] = deque()
        self._held_bytes = 0

    def on_message_begin(self) -> None:
        """Note that a request has begun the long way."""
        self._is_between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Note that it arrived whole."""
        self._is_between = True
        super().on_message_complete()

    def shortened(self, data: bytes) -> bytes:
        """Answer requests from the start of `data`; return what is left for the long way."""
        if not self._is_between or not data.startswith(START):
            return data
        for _ in range(IN_A_ROW_MAX):
            end = data.find(END, 0, HEAD_BYTES_MAX) + len(END)
            if end < len(END) or self._is_busy():
                return data
            length = self.heads.body_length(data[:end])
            if length < 0 or len(data) < end + length:
                return data
            answer = self.answer_now(data[end : end + length])
            if answer is None:
                return data
            data = data[end + length :]
            if answer == LATER:
                self._is_awaited = True
                if data:
                    self._held.appendleft(data)
                    self._held_bytes += len(data)
                return b""
            self._respond(answer)
            if not data:
                return b""
        return data

    def is_held(self, data: bytes) -> bool:
        """Keep what arrives while an answer is awaited; False when none is."""
        if self._is_awaited:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes > HELD_BYTES_MAX and not self._is_full:
                self._is_full = True
                self.transport.pause_reading()
        return self._is_awaited

    def answered(self, answer: bytes) -> None:
        """Write the answer that was awaited and go on with what arrived meanwhile."""
        self._is_awaited = False
        if not self.transport.is_closing():
            self._respond(answer)
            if self._is_ending:
                self.transport.close()
        while self._held and not self._is_awaited:
            data = self._held.popleft()
            self._held_bytes -= len(data)
            self.data_received(data)
        if self._is_full and self._held_bytes <= HELD_BYTES_MAX:
            self._is_full = False
            if not self.flow.read_paused and not self.transport.is_closing():
                self.transport.resume_reading()

    def shutdown(self) -> None:
        """Close the connection when nothing is under way, else after it."""
        if self._is_awaited:
            self._is_ending = True
        else:
            super().shutdown()

    def _is_busy(self) -> bool:
        """Whether an answer is under way, the reader is slow, or there are too many callers."""
        limit = self.limit_concurrency
        return (
            (self.cycle is not None and not self.cycle.response_complete)
            or bool(self.pipeline)
            or self.flow.write_paused
            or self.transport.is_closing()
            or (limit is not None and (len(self.connections) >= limit or len(self.tasks) >= limit))
        )

    def _respond(self, answer: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % len(answer) + answer)
        self.server_state.total_requests += 1
        self._last = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_for_next(self.timeout_keep_alive)

    def _wait_for_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that asked nothing for the time; the short way only notes when."""
        left = self._last + self.timeout_keep_alive - self.loop.time()
        if self._is_awaited:
            self._wait_for_next(self.timeout_keep_alive)
        elif left > 0:
            self._wait_for_next(left)
        else:
            super().timeout_keep_alive_handler()
