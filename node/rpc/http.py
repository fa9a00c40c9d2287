"""JSON-RPC over HTTP POST, and the few GET pages, as a raw ASGI handler.

Statuses: 200 for every JSON-RPC answer, errors among them; 204 when nothing is to be answered; 403
foreign Host; 404 unknown page; 405 wrong verb; 408 slow body; 413 large body; 415 wrong type.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from node.rpc.backend import Backend
from node.rpc.dispatch import Dispatcher, to_json
from node.rpc.gate import cors_headers, header_values, is_host_allowed, preflight_headers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_TYPES: Final = frozenset(
    ("application/json", "application/json-rpc", "application/jsonrequest")
)
CLOSE: Final = (b"connection", b"close")


class Refused(Exception):
    """The request ends here with this status."""

    def __init__(self, status: int, words: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.headers = headers


class HttpHandler:
    """Answers HTTP requests; runs in the server's loop."""

    def __init__(self, backend: Backend, dispatcher: Dispatcher) -> None:
        self._backend = backend
        self._settings = backend.settings
        self._dispatcher = dispatcher

    async def handle(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._handle(scope, receive, send)
        except Refused as refused:
            cors = cors_headers(self._settings, scope["headers"])
            body = to_json({"error": refused.words})
            await _respond(send, refused.status, body, [*cors, *refused.headers])

    async def _handle(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if not is_host_allowed(self._settings, headers):
            raise Refused(403, "host not allowed; add it to the setting `hosts`", CLOSE)
        match scope["method"]:
            case "POST":
                await self._post(scope, receive, send)
            case "OPTIONS":
                await _respond(send, 204, b"", preflight_headers(self._settings, headers))
            case "GET" | "HEAD":
                status, page = self._page(scope["path"])
                body = b"" if scope["method"] == "HEAD" else to_json(page)
                await _respond(send, status, body, cors_headers(self._settings, headers))
            case _:
                raise Refused(405, "use POST", (b"allow", b"POST, GET, HEAD, OPTIONS"), CLOSE)

    async def _post(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if scope["path"] != "/":
            raise Refused(404, "JSON-RPC is at /", CLOSE)
        types = header_values(headers, b"content-type")
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() not in JSON_TYPES:
            raise Refused(415, "the content type must be application/json", CLOSE)
        body = await self._body(headers, receive)
        if body is None:
            return
        answer = await self._dispatcher.answer(body)
        cors = cors_headers(self._settings, headers)
        if answer is None:
            await _respond(send, 204, b"", cors)
        else:
            await _respond(send, 200, answer, cors)

    async def _body(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes | None:
        most = self._settings.body_bytes_max
        for length in header_values(headers, b"content-length"):
            if not length.isdigit() or len(length) > 12 or int(length) > most:
                raise Refused(413, f"request body above {most} bytes", CLOSE)
        message = await self._receive(receive)
        if message["type"] == "http.request" and not message.get("more_body"):
            return self._checked(message.get("body", b""))
        parts = bytearray()
        while message["type"] == "http.request":
            parts += message.get("body", b"")
            self._checked(parts)
            if not message.get("more_body"):
                return bytes(parts)
            message = await self._receive(receive)
        return None

    async def _receive(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                return await receive()
        except TimeoutError:
            raise Refused(408, "request body too slow", CLOSE) from None

    def _checked(self, body: bytes | bytearray) -> bytes:
        if len(body) > self._settings.body_bytes_max:
            raise Refused(413, f"request body above {self._settings.body_bytes_max} bytes", CLOSE)
        return body if isinstance(body, bytes) else b""

    def _page(self, path: str) -> tuple[int, object]:
        match path:
            case "/":
                return 200, self._greeting()
            case "/liveness":
                return 200, {"alive": True}
            case "/readiness":
                ready = self._backend.api.syncing() is None
                head = self._backend.api.view().head.height
                peers = self._backend.api.peer_count()
                return 200 if ready else 503, {"ready": ready, "height": head, "peers": peers}
            case _:
                return 404, {"error": "no such page"}

    def _greeting(self) -> dict[str, object]:
        api = self._backend.api
        return {
            "name": self._settings.client_version,
            "chainId": hex(api.params.chain_id),
            "height": api.view().head.height,
            "help": "POST Ethereum JSON-RPC here, or open a WebSocket on the same address",
            "pages": ["/liveness", "/readiness"],
        }


async def _respond(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    sent = list(headers)
    if status != 204:
        sent += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
