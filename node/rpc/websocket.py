"""JSON-RPC over WebSocket, with subscriptions.

Each connection has one writer and one bounded queue. When a reader is so slow that its queue
overflows, its connection is cut at once and the others never notice. Requests of a connection run
beside each other, up to a bound; then its socket is not read any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.rpc.arguments import FilterObject
from node.rpc.backend import Backend
from node.rpc.dispatch import Dispatcher, to_json
from node.rpc.errors import LIMIT_EXCEEDED, RpcError
from node.rpc.gate import is_host_allowed, is_origin_allowed
from node.rpc.http import Message, Receive, Send
from node.rpc.hub import BlockEvent, PendingEvent
from node.rpc.logs import is_match

TRY_AGAIN_LATER: Final = 1013
HELD_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Pending:
    full: bool


class WebSocketHandler:
    """Opens connections; runs in the server's loop."""

    def __init__(self, backend: Backend, dispatcher: Dispatcher) -> None:
        self._backend = backend
        self._dispatcher = dispatcher
        self._open = 0

    async def handle(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends."""
        settings = self._backend.settings
        headers = scope["headers"]
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        allowed = is_host_allowed(settings, headers) and is_origin_allowed(settings, headers)
        if not allowed or scope["path"] != "/" or self._open >= settings.websockets_max:
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            return
        abort: Callable[[], None] = scope["state"].get("abort", _nothing)
        await send({"type": "websocket.accept"})
        self._open += 1
        connection = Connection(self._backend, self._dispatcher, send, abort)
        try:
            with contextlib.suppress(OSError):
                await connection.run(receive)
        finally:
            self._open -= 1


def _nothing() -> None:
    """Stand in where the server gives no way to cut a connection."""


class Connection:
    """One WebSocket: its requests, its subscriptions and its outgoing queue."""

    def __init__(
        self,
        backend: Backend,
        dispatcher: Dispatcher,
        send: Send,
        abort: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._settings = backend.settings
        self._dispatcher = dispatcher
        self._send = send
        self._abort = abort
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Semaphore(self._settings.websocket_requests_max)
        self._subscriptions: dict[str, FilterObject | _Pending | None] = {}
        self._held: dict[str, list[bytes]] = {}
        self._cut = asyncio.Event()

    async def run(self, receive: Receive) -> None:
        """Read, answer and notify until either side ends it."""
        self._backend.hub.join(self)
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read(receive))
        cut = asyncio.create_task(self._cut.wait())
        tasks: set[asyncio.Task[object]] = {writer, reader, cut}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._backend.hub.part(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._cut.is_set():
                self._abort()

    async def _read(self, receive: Receive) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    raise ConnectionResetError("the client left")
                text = message.get("text")
                body = text.encode() if text is not None else message["bytes"]
                await self._room.acquire()
                group.create_task(self._answer(body))

    async def _answer(self, body: bytes) -> None:
        try:
            caller = _Caller(self)
            answer = await self._dispatcher.answer(body, caller)
            if answer is not None:
                self._put(answer)
            for name in caller.made:
                for held in self._held.pop(name, ()):
                    self._put(held)
        finally:
            self._room.release()

    def _put(self, body: bytes) -> None:
        """Queue a message; cut the connection when its reader is too slow for it."""
        full = (
            len(self._queue) >= self._settings.websocket_queue_max
            or self._queue_bytes + len(body) > self._settings.websocket_queue_bytes_max
        )
        if self._queue and full:
            self._cut.set()
            return
        self._queue.append(body)
        self._queue_bytes += len(body)
        self._filled.set()

    async def _write(self) -> None:
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            body = self._queue.popleft()
            await self._send({"type": "websocket.send", "text": body.decode("ascii")})
            self._queue_bytes -= len(body)

    def subscribe(self, wanted: FilterObject | _Pending | None) -> str:
        """Keep a subscription and return its id; its notices wait until the id is announced."""
        if len(self._subscriptions) >= self._settings.subscriptions_max:
            raise RpcError(LIMIT_EXCEEDED, "too many subscriptions")
        name = "0x" + secrets.token_hex(16)
        self._subscriptions[name] = wanted
        self._held[name] = []
        return name

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription."""
        if subscription not in self._subscriptions:
            return False
        del self._subscriptions[subscription]
        self._held.pop(subscription, None)
        return True

    def committed(self, event: BlockEvent) -> None:
        """Notify heads and logs."""
        for name, wanted in self._subscriptions.items():
            if wanted is None:
                self._notify(name, event.header)
            elif isinstance(wanted, FilterObject):
                for entry in event.logs:
                    if is_match(wanted, entry.log):
                        self._notify(name, entry.json)

    def pending(self, event: PendingEvent) -> None:
        """Notify new pool transactions."""
        for name, wanted in self._subscriptions.items():
            if isinstance(wanted, _Pending):
                for each in event.whole if wanted.full else event.hashes:
                    self._notify(name, each)

    def _notify(self, name: str, result: object) -> None:
        if self._cut.is_set():
            return
        params = {"subscription": name, "result": result}
        body = to_json({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})
        held = self._held.get(name)
        if held is None:
            self._put(body)
        elif len(held) < HELD_MAX:
            held.append(body)
        else:
            self._cut.set()


class _Caller:
    """The session of one request; what it subscribes to is announced by its answer."""

    def __init__(self, connection: Connection) -> None:
        self.made: list[str] = []
        self._connection = connection

    def _subscribe(self, wanted: FilterObject | _Pending | None) -> str:
        name = self._connection.subscribe(wanted)
        self.made.append(name)
        return name

    def subscribe_heads(self) -> str:
        """Send each new header."""
        return self._subscribe(None)

    def subscribe_logs(self, wanted: FilterObject) -> str:
        """Send each new log that matches."""
        return self._subscribe(wanted)

    def subscribe_pending(self, *, full: bool) -> str:
        """Send each new pool transaction."""
        return self._subscribe(_Pending(full))

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription."""
        return self._connection.unsubscribe(subscription)
