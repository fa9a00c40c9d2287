"""The JSON-RPC server: uvicorn in its own thread, HTTP and WebSocket on one port.

uvicorn is driven bare: no framework, no lifespan, no signal handlers. The node's trio thread only
starts and stops it. Measured choice: this stack answers ten times as many requests per second as
an ASGI server in the trio loop, and goes on answering while blocks are executed.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Final

import structlog
import uvicorn
import uvloop
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as WebSocketRequest

from node.rpc import (
    methods_blocks,
    methods_fees,
    methods_logs,
    methods_node,
    methods_pool,
    methods_proof,
    methods_simulate,
    methods_state,
    methods_trace,
)
from node.rpc.api import NodeApi
from node.rpc.backend import Backend
from node.rpc.dispatch import Dispatcher, Method
from node.rpc.filters import Filters
from node.rpc.http import HttpHandler, Message, Receive, Send
from node.rpc.hub import Hub
from node.rpc.lanes import Lanes
from node.rpc.settings import RpcSettings
from node.rpc.websocket import WebSocketHandler
from primitives.errors import ConfigError, UpstreamDown, ensure

START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 10.0
GRACEFUL_SECONDS: Final = 2
KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 512

log = structlog.get_logger(room="rpc")


def all_methods() -> dict[str, Method]:
    """Return every method by name, in order of name."""
    tables = (
        methods_blocks.TABLE,
        methods_fees.TABLE,
        methods_logs.TABLE,
        methods_node.TABLE,
        methods_pool.TABLE,
        methods_proof.TABLE,
        methods_simulate.TABLE,
        methods_state.TABLE,
        methods_trace.TABLE,
    )
    joined: dict[str, Method] = {}
    for table in tables:
        ensure(not joined.keys() & table.methods.keys(), "a method name is registered once")
        joined.update(table.methods)
    return dict(sorted(joined.items()))


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which also gives the application a way to cut the connection."""

    def handle_connect(self, event: WebSocketRequest) -> None:
        self.app_state = {**self.app_state, "abort": self.transport.abort}
        super().handle_connect(event)


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which tells when it listens and ends its application with itself."""

    def __init__(self, config: uvicorn.Config, application: _Application) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._application = application

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.open()
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.close()
        await super().shutdown(sockets)


class _Application:
    """The ASGI callable."""

    def __init__(self, api: NodeApi, settings: RpcSettings) -> None:
        self._lanes = Lanes(settings)
        self._hub = Hub(api)
        self._filters = Filters(settings, time.monotonic)
        backend = Backend(api, settings, self._hub, self._filters, self._lanes)
        dispatcher = Dispatcher(all_methods(), backend)
        self._http = HttpHandler(backend, dispatcher)
        self._websocket = WebSocketHandler(backend, dispatcher)

    def open(self) -> None:
        self._hub.open()
        self._hub.join(self._filters)

    def close(self) -> None:
        self._hub.close()
        self._lanes.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        handler = self._http if scope["type"] == "http" else self._websocket
        try:
            await handler.handle(scope, receive, send)
        except OSError:  # uvicorn's ClientDisconnected is one
            return


class RpcServer:
    """A JSON-RPC server in its own thread."""

    def __init__(self, api: NodeApi, settings: RpcSettings) -> None:
        self._api = api
        self._settings = settings
        self._uvicorn: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen and return the port, which the system chose when the setting is 0.

        Raises ConfigError when the address cannot be bound.
        """
        ensure(self._thread is None, "a JSON-RPC server starts once")
        listener = self._bind()
        port: int = listener.getsockname()[1]
        application = _Application(self._api, self._settings)
        server = _Uvicorn(self._uvicorn_config(application), application)
        thread = threading.Thread(
            target=self._run, args=(server, listener), name="rpc-server", daemon=True
        )
        thread.start()
        if not server.listening.wait(START_TIMEOUT_S):
            server.should_exit = True
            raise UpstreamDown("the JSON-RPC server did not start in time")
        self._uvicorn, self._thread = server, thread
        log.info("rpc listening", host=self._settings.host, port=port)
        return port

    def _bind(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"JSON-RPC cannot listen on {host}:{port} ({error.strerror}); choose another "
                "port, or 0 for any",
                host=host,
                port=port,
            ) from None
        return listener

    def _uvicorn_config(self, application: _Application) -> uvicorn.Config:
        return uvicorn.Config(
            application,
            loop="uvloop",
            http="httptools",
            ws=_WebSocketProtocol,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            limit_concurrency=self._settings.connections_max,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
            ws_max_size=self._settings.body_bytes_max,
            ws_per_message_deflate=False,
        )

    @staticmethod
    def _run(server: _Uvicorn, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve(sockets=[listener]))

    def stop(self) -> None:
        """Stop listening, end all connections and wait for the thread; harmless when stopped."""
        server, thread = self._uvicorn, self._thread
        self._uvicorn = self._thread = None
        if server is None or thread is None:
            return
        server.should_exit = True
        thread.join(STOP_TIMEOUT_S)
        ensure(not thread.is_alive(), "the JSON-RPC server's thread ends in time")
        log.info("rpc stopped")
