"""JSON-RPC over WebSocket, with subscriptions.

Each connection has one writer and one bounded queue. When a reader is so slow that its queue
overflows, its connection is cut at once and the others never notice. Requests of a connection run
beside each other, up to a bound; then its socket is not read any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

from node.rpc.access import Access, Caller
from node.rpc.backend import Backend
from node.rpc.dispatch import Dispatcher, to_json
from node.rpc.errors import LIMIT_EXCEEDED, RpcError
from node.rpc.filters import new_id
from node.rpc.gate import Refused, is_host_allowed, is_origin_allowed
from node.rpc.http import Message, Receive, Send
from node.rpc.hub import BlockEvent, PendingEvent, SyncEvent
from node.rpc.subscriptions import Pending, Subscription, Syncing, notices, sync_json
from primitives.errors import ensure

TRY_AGAIN_LATER: Final = 1013
POLICY_VIOLATION: Final = 1008
HELD_MAX: Final = 10_000
EXPIRY_LOOK_S: Final = 60.0
"""The wall clock may be set meanwhile, so the end of a token is looked at this often."""


class WebSocketHandler:
    """Opens connections; runs in the server's loop."""

    def __init__(self, backend: Backend, dispatcher: Dispatcher, access: Access) -> None:
        self._backend = backend
        self._dispatcher = dispatcher
        self._access = access

    async def handle(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends."""
        settings = self._backend.settings
        headers = scope["headers"]
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        allowed = is_host_allowed(settings, headers) and is_origin_allowed(settings, headers)
        place, client = scope["state"]["place"], scope["client"]
        is_full = self._backend.counts.websockets >= settings.websockets_max
        if not allowed or scope["path"] != "/" or place.is_metrics or is_full:
            self._backend.counts.refuse("websocket")
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            return
        try:
            caller = self._access.caller(place, headers, client[0] if client else "")
        except Refused as refused:
            self._backend.counts.refuse(str(refused.status))
            await _refuse(send, refused)
            return
        abort: Callable[[], None] = scope["state"]["abort"]
        await send({"type": "websocket.accept"})
        with contextlib.suppress(OSError):
            await Connection(self._backend, self._dispatcher, send, abort, caller).run(receive)


async def _refuse(send: Send, refused: Refused) -> None:
    body = to_json({"error": refused.words})
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refused.status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *refused.headers,
            ],
        }
    )
    await send({"type": "websocket.http.response.body", "body": body})


class Connection:
    """One WebSocket: its requests, its subscriptions and its outgoing queue."""

    def __init__(
        self,
        backend: Backend,
        dispatcher: Dispatcher,
        send: Send,
        abort: Callable[[], None],
        caller: Caller,
    ) -> None:
        self._backend = backend
        self._counts = backend.counts
        self._access = caller
        self._settings = backend.settings
        self._dispatcher = dispatcher
        self._send = send
        self._abort = abort
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Semaphore(self._settings.websocket_requests_max)
        self._subscriptions: dict[str, Subscription] = {}
        self._held: dict[str, list[bytes]] = {}
        self._cut = asyncio.Event()

    async def run(self, receive: Receive) -> None:
        """Read, answer and notify until either side ends it."""
        self._backend.hub.join(self)
        self._counts.websockets += 1
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read(receive))
        cut = asyncio.create_task(self._cut.wait())
        expiry = asyncio.create_task(self._expire())
        tasks: set[asyncio.Task[object]] = {writer, reader, cut, expiry}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._backend.hub.part(self)
            self._counts.websockets -= 1
            self._counts.subscriptions -= len(self._subscriptions)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._cut.is_set():
                self._counts.slow_readers += 1
                self._abort()
        if expiry.done() and not expiry.cancelled():
            end = {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "token expired"}
            await self._send(end)

    async def _expire(self) -> None:
        """Wait until the caller's token ends; for ever without one."""
        while (left_s := self._access.ends - time.time()) > 0:  # noqa: ASYNC110 - a clock
            await asyncio.sleep(min(left_s, EXPIRY_LOOK_S))

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
            answer = await self._dispatcher.answer(body, caller, self._access)
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

    def subscribe(self, wanted: Subscription) -> str:
        """Keep a subscription and return its id; its notices wait until the id is announced."""
        if len(self._subscriptions) >= self._settings.subscriptions_max:
            raise RpcError(LIMIT_EXCEEDED, "too many subscriptions")
        name = new_id()
        self._subscriptions[name] = wanted
        self._counts.subscriptions += 1
        self._held[name] = []
        return name

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription."""
        if subscription not in self._subscriptions:
            return False
        del self._subscriptions[subscription]
        self._counts.subscriptions -= 1
        self._held.pop(subscription, None)
        return True

    def committed(self, event: BlockEvent) -> None:
        """Notify heads, logs and receipts."""
        for name, wanted in self._subscriptions.items():
            for each in notices(wanted, event):
                self._notify(name, each)

    def pending(self, event: PendingEvent) -> None:
        """Notify new pool transactions."""
        for name, wanted in self._subscriptions.items():
            if isinstance(wanted, Pending):
                for each in event.shown if wanted.full else event.hashes:
                    self._notify(name, each)

    def syncing(self, event: SyncEvent) -> None:
        """Notify the change of a catch-up."""
        for name, wanted in self._subscriptions.items():
            if isinstance(wanted, Syncing):
                self._notify(name, sync_json(event.status))

    def send_first(self, name: str, results: Sequence[object]) -> None:
        """Put `results` before all that a subscription, not announced yet, has to send."""
        held = self._held.get(name)
        if held is not None:
            held[:0] = [_notice(name, each) for each in results]

    def _notify(self, name: str, result: object) -> None:
        if self._cut.is_set():
            return
        body = _notice(name, result)
        held = self._held.get(name)
        if held is None:
            self._put(body)
        elif len(held) < HELD_MAX:
            held.append(body)
        else:
            self._cut.set()


def _notice(name: str, result: object) -> bytes:
    """Return one notice; a name is hex digits, and what is encoded already stays as it is."""
    return (
        b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"%b","result":%b}}'
        % (name.encode("ascii"), to_json(result))
    )


class _Caller:
    """The session of one request; what it subscribes to is announced by its answer."""

    def __init__(self, connection: Connection) -> None:
        self.made: list[str] = []
        self._connection = connection

    def subscribe(self, wanted: object) -> str:
        """Send what `wanted` asks for."""
        ensure(isinstance(wanted, Subscription), "a session carries subscriptions")
        name = self._connection.subscribe(cast("Subscription", wanted))
        self.made.append(name)
        return name

    def send_first(self, subscription: str, results: Sequence[object]) -> None:
        """Send what a lost connection missed before all else."""
        self._connection.send_first(subscription, results)

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription."""
        return self._connection.unsubscribe(subscription)
