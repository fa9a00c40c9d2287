"""JSON-RPC over HTTP POST, and the few GET pages, as a raw ASGI handler.

Statuses: 200 for every JSON-RPC answer, errors among them; 204 when nothing is to be answered; 400
wrong query; 401 no token or a wrong one; 403 foreign Host, or a token that allows nothing; 404
unknown page; 405 wrong verb; 408 slow body; 413 large body; 415 wrong type; 429 too many calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from node.explorer import PAGE_HEADERS, explorer_pages
from node.metrics import CONTENT_TYPE
from node.rpc.access import METRICS, Access, Caller, retry_after
from node.rpc.backend import Backend
from node.rpc.dispatch import Dispatcher, to_json
from node.rpc.gate import (
    Refused,
    cors_headers,
    header_values,
    is_host_allowed,
    preflight_headers,
)
from node.rpc.readiness import readiness

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Metrics = Callable[[], Awaitable[bytes]]
"""Returns the page of metrics."""

JSON_TYPES: Final = frozenset(
    ("application/json", "application/json-rpc", "application/jsonrequest")
)
METRICS_PATH: Final = "/metrics"
CLOSE: Final = (b"connection", b"close")


class HttpHandler:
    """Answers HTTP requests; runs in the server's loop."""

    def __init__(
        self, backend: Backend, dispatcher: Dispatcher, access: Access, page: Metrics
    ) -> None:
        self._backend = backend
        self._settings = backend.settings
        self._dispatcher = dispatcher
        self._access = access
        self._metrics = page

    async def handle(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._handle(scope, receive, send)
        except Refused as refused:
            self._backend.counts.refuse(str(refused.status))
            cors = cors_headers(self._settings, scope["headers"])
            body = to_json({"error": refused.words})
            await _respond(send, refused.status, body, [*cors, *refused.headers])

    async def _handle(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if not is_host_allowed(self._settings, headers):
            raise Refused(403, "host not allowed; add it to the setting `hosts`", CLOSE)
        if scope["state"]["place"].is_metrics and scope["path"] != METRICS_PATH:
            raise Refused(404, f"this address has {METRICS_PATH} alone", CLOSE)
        match scope["method"]:
            case "POST":
                await self._post(scope, receive, send)
            case "OPTIONS":
                await _respond(send, 204, b"", preflight_headers(self._settings, headers))
            case "GET" | "HEAD" if self._settings.explorer and scope["path"] in explorer_pages():
                found = explorer_pages()[scope["path"]]
                body = b"" if scope["method"] == "HEAD" else found.body
                await _respond(send, 200, body, list(PAGE_HEADERS), found.content_type)
            case "GET" | "HEAD":
                status, page, kind = await self._page(scope)
                body = b"" if scope["method"] == "HEAD" else page
                await _respond(send, status, body, cors_headers(self._settings, headers), kind)
            case _:
                raise Refused(405, "use POST", (b"allow", b"POST, GET, HEAD, OPTIONS"), CLOSE)

    async def _post(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if scope["path"] != "/":
            raise Refused(404, "JSON-RPC is at /", CLOSE)
        caller = self._caller(scope)
        caller.check_rate()
        types = header_values(headers, b"content-type")
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() not in JSON_TYPES:
            raise Refused(415, "the content type must be application/json", CLOSE)
        body = await self._body(headers, receive)
        if body is None:
            return
        answer = await self._dispatcher.answer(body, caller=caller)
        cors = cors_headers(self._settings, headers)
        if caller.retry_s:
            self._backend.counts.refuse("429")
            await _respond(send, 429, answer or b"", [*cors, retry_after(caller.retry_s)])
        elif answer is None:
            await _respond(send, 204, b"", cors)
        else:
            await _respond(send, 200, answer, cors)

    async def _body(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes | None:
        most = self._settings.body_bytes_max
        for length in header_values(headers, b"content-length"):
            if not length.isdigit() or len(length) > 12 or int(length) > most:
                raise Refused(413, f"request body above {most} bytes", CLOSE)
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                return await self._whole(receive)
        except TimeoutError:
            raise Refused(408, "request body too slow", CLOSE) from None

    async def _whole(self, receive: Receive) -> bytes | None:
        """Return the body, None when the client left."""
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return self._checked(message.get("body", b""))
        parts = bytearray()
        while message["type"] == "http.request":
            parts += message.get("body", b"")
            self._checked(parts)
            if not message.get("more_body"):
                return bytes(parts)
            message = await receive()
        return None

    def _checked(self, body: bytes | bytearray) -> bytes:
        if len(body) > self._settings.body_bytes_max:
            raise Refused(413, f"request body above {self._settings.body_bytes_max} bytes", CLOSE)
        return body if isinstance(body, bytes) else b""

    def _caller(self, scope: Message) -> Caller:
        client = scope["client"]
        host = client[0] if client else ""
        return self._access.caller(scope["state"]["place"], scope["headers"], host)

    async def _page(self, scope: Message) -> tuple[int, bytes, bytes]:
        """Return status, body and content type."""
        match scope["path"]:
            case "/":
                status, page = 200, self._greeting()
            case "/liveness":
                status, page = 200, {"alive": True}
            case "/readiness":
                status, page = readiness(self._backend.api, scope["query_string"])
            case "/metrics" if scope["state"]["place"].has_metrics:
                place = scope["state"]["place"]
                if not place.is_metrics and not self._caller(scope).may(METRICS):
                    raise Refused(403, f"the token's roles do not allow {METRICS}")
                return 200, await self._metrics(), CONTENT_TYPE
            case _:
                status, page = 404, {"error": "no such page"}
        return status, to_json(page), b"application/json"

    def _greeting(self) -> dict[str, object]:
        api = self._backend.api
        return {
            "name": self._settings.client_version,
            "chainId": hex(api.params.chain_id),
            "height": api.view().head.height,
            "help": "POST Ethereum JSON-RPC here, or open a WebSocket on the same address",
            "pages": [
                "/liveness",
                "/readiness",
                *([METRICS_PATH] if self._settings.metrics == "rpc" else []),
                *(["/explorer"] if self._settings.explorer else []),
            ],
        }


async def _respond(
    send: Send,
    status: int,
    body: bytes,
    headers: list[tuple[bytes, bytes]],
    content_type: bytes = b"application/json",
) -> None:
    sent = list(headers)
    if status != 204:
        sent += [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
        ]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
