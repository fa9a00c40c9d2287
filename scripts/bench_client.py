"""The load of `scripts.bench rpc` and `sends`: prepared HTTP requests over kept connections.

One uvloop thread; requests are bytes made before the clock starts, and of an answer only its frame
and its first bytes are looked at, so that the client takes little of the cores that it shares with
the server it measures. `ceiling` says how much that is: the rate against a server that always
answers the same.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import uvloop

from scripts.load import LoadError

HOST = "127.0.0.1"
ANSWER_S_MAX = 120.0
HEAD_SHOWN = 300
STUB = b'HTTP/1.1 200 OK\r\ncontent-length: 39\r\n\r\n{"jsonrpc":"2.0","id":1,"result":"0x1"}'

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many answers in so many seconds."""

    answers: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def post(body: bytes) -> bytes:
    """Return the HTTP request that carries a JSON-RPC body."""
    head = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Frames:
    """Cuts a stream of answers into whole ones; raises LoadError for what is no good answer."""

    def __init__(self) -> None:
        self._left = -1
        self._buffer = b""
        self._shown = b""
        self._chunked = False

    def feed(self, data: bytes) -> int:
        """Take received bytes; return how many answers became whole."""
        whole = 0
        while data:
            if self._left < 0 and not self._chunked:
                data = self._head(data)
                if self._left < 0 and not self._chunked:
                    return whole
            if self._chunked:
                self._buffer += data
                if not self._buffer.endswith(b"0\r\n\r\n"):
                    return whole
                self._shown, data, self._chunked = self._buffer[:HEAD_SHOWN], b"", False
                self._buffer = b""
            else:
                if len(self._shown) < HEAD_SHOWN:
                    self._shown += data[: min(self._left, HEAD_SHOWN - len(self._shown))]
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
                if self._left:
                    return whole
                self._left = -1
            self._judge()
            whole += 1
        return whole

    def _head(self, data: bytes) -> bytes:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, rest = self._buffer[:end].lower(), self._buffer[end + 4 :]
        self._buffer, self._shown = b"", b""
        if b" 200" not in head[:16]:
            raise LoadError(f"an answer is not good: {head[:HEAD_SHOWN]!r}")
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self._chunked = True
        else:
            self._left = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return rest

    def _judge(self) -> None:
        if b'"result":' not in self._shown or b'"result":null' in self._shown:
            raise LoadError(f"an answer has no result: {self._shown!r}")


class _Client(asyncio.Protocol):
    """One connection: asks `take` for the next request when the answer to the last is whole."""

    def __init__(self, take: Callable[[], bytes | None], done: asyncio.Future[None]) -> None:
        self._take = take
        self._done = done
        self._frames = Frames()
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        try:
            whole = self._frames.feed(data)
        except LoadError as error:
            self._end(error)
            return
        if whole:
            self.answers += whole
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LoadError("the server cut the connection"))

    def _next(self) -> None:
        request = self._take()
        if request is None:
            self._end(None)
        else:
            self._transport.write(request)

    def _end(self, error: LoadError | None) -> None:
        if not self._done.done():
            if error is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(error)
        self._transport.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one measurement in a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _itself(client: _Client) -> _Client:
    return client


async def _drive(port: int, takes: Sequence[Callable[[], bytes | None]]) -> Rate:
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in takes]
    clients = [_Client(take, end) for take, end in zip(takes, ends, strict=True)]
    started = time.perf_counter()
    for client in clients:
        await loop.create_connection(partial(_itself, client), HOST, port)
    async with asyncio.timeout(ANSWER_S_MAX):
        await asyncio.gather(*ends)
    return Rate(sum(each.answers for each in clients), time.perf_counter() - started)


def repeat(port: int, body: bytes, connections: int, seconds: float) -> Rate:
    """Ask the same for `seconds` over so many connections; each waits for its answers."""
    request = post(body)
    end = time.perf_counter() + seconds

    def take() -> bytes | None:
        return request if time.perf_counter() < end else None

    return run(_drive(port, [take] * connections))


def in_turn(port: int, bodies: Sequence[bytes]) -> Rate:
    """Ask each once over one connection, the next after the answer."""
    waiting = iter([post(body) for body in bodies])
    return run(_drive(port, [lambda: next(waiting, None)]))


def unwaited(port: int, bodies: Sequence[bytes]) -> Rate:
    """Write all requests to one connection without waiting for any answer; read them after."""

    async def work() -> Rate:
        requests = [post(body) for body in bodies]
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection(HOST, port)
        frames, answers = Frames(), 0

        async def write() -> None:
            for request in requests:
                writer.write(request)
                await writer.drain()

        async with asyncio.timeout(ANSWER_S_MAX), asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            while answers < len(requests):
                data = await reader.read(1 << 16)
                if not data:
                    raise LoadError("the server cut the connection")
                answers += frames.feed(data)
        writer.close()
        return Rate(answers, time.perf_counter() - started)

    return run(work())


class _Stub(asyncio.Protocol):
    """Answers each arriving request with the same bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(STUB)


def serve_stub(port: int) -> None:
    """Serve the stub until the process is ended."""

    async def work() -> None:
        server = await asyncio.get_running_loop().create_server(_Stub, HOST, port)
        async with server:
            await server.serve_forever()

    run(work())
