"""The JSON-RPC server: uvicorn in its own thread, HTTP and WebSocket on one port.

uvicorn is driven bare: no framework, no lifespan, no signal handlers. The node's trio thread only
starts and stops it. Measured choice: this stack answers ten times as many requests per second as
an ASGI server in the trio loop, and goes on answering while blocks are executed.
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, cast

import structlog
import uvicorn
import uvloop
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as WebSocketRequest

from node.metrics import Collect, Family, gauge, process_families, render
from node.rpc.access import Access, Place
from node.rpc.api import NodeApi
from node.rpc.backend import Backend, go_on
from node.rpc.chainmeter import chain_families
from node.rpc.counts import Counts
from node.rpc.dispatch import Dispatcher, Method
from node.rpc.filters import Filters
from node.rpc.gate import Refused
from node.rpc.http import HttpHandler, Message, Receive, Send
from node.rpc.hub import Hub
from node.rpc.ipc import IpcHandler, bind
from node.rpc.lanes import Lanes
from node.rpc.methods import all_methods
from node.rpc.rates import address_key
from node.rpc.settings import Listener, RpcSettings
from node.rpc.shortway import Heads, ShortWay
from node.rpc.websocket import WebSocketHandler
from node.setting import PORT_MAX
from node.stages import stage_families
from primitives.errors import ConfigError, Fatal, UpstreamDown, ensure
from primitives.meter import METER, Stage, metered

START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 10.0
GRACEFUL_SECONDS: Final = 2
BACKLOG: Final = 512
ANSWERED_ABOVE: Final = 64
"""So many connections above the limit are answered 503; more are not kept open at all."""
HEADER_BYTES_MAX: Final = 65_536
SEND_BYTES_MIN_S: Final = 8_192
"""What a reader must take a second of what waits for it."""
CROWDED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: 20\r\n\r\ntoo many connections"
)

log = structlog.get_logger(room="rpc")


class _Doors:
    """Counts open connections by address."""

    def __init__(self, settings: RpcSettings, counts: Counts) -> None:
        self.settings = settings
        self.counts = counts
        self._open: dict[str, int] = {}
        self._of: dict[asyncio.BaseTransport, str] = {}

    def __len__(self) -> int:
        return len(self._of)

    def enter(self, transport: asyncio.BaseTransport, host: str) -> bool:
        """Let a connection in; False when there are too many, of its address or of all."""
        key, is_own = address_key(host)
        most = self.settings.address_connections_max
        is_crowd = self._open.get(key, 0) >= most and (not is_own or self.settings.limit_loopback)
        if is_crowd or len(self._of) >= self.settings.connections_max + ANSWERED_ABOVE:
            self.counts.refuse("address" if is_crowd else "connections")
            return False
        self._of[transport] = key
        self._open[key] = self._open.get(key, 0) + 1
        return True

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """Note that a connection ended; harmless for one that was not let in."""
        key = self._of.pop(transport, None)
        if key is not None:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which also gives the application a way to cut the connection."""

    def handle_connect(self, event: WebSocketRequest) -> None:
        self.app_state = {**self.app_state, "abort": self.transport.abort}
        super().handle_connect(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self.app_state["doors"].leave(self.transport)
        super().connection_lost(exc)


class _HttpProtocol(ShortWay):
    """uvicorn's protocol with what it lacks: an end to slow headers and to slow readers.

    A plain request of a caller who may ask goes the short way.

    A client has `header_timeout_s` from its connection, or from the first byte of a later request,
    to the end of its headers. What it was sent must go out at SEND_BYTES_MIN_S, or it is cut.
    """

    def answer_now(self, body: bytes) -> bytes | None:
        """Return the response, None where the caller is refused or too fast: `HttpHandler` says."""
        place: Place = self.app_state["place"]
        access: Access = self.app_state["access"]
        try:
            if place.is_metrics:
                return None
            caller = access.caller(place, (), self.client[0] if self.client else "")
            caller.check_rate()
        except Refused:
            return None
        dispatcher: Dispatcher = self.app_state["dispatcher"]
        return dispatcher.answer_now(body, caller, self.answered)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self._late: asyncio.TimerHandle | None = None
        self._slow: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._is_body = False
        self._is_ended = False
        """Whether what arrived last holds the end of a request: the rest may begin a header."""
        self._doors: _Doors = self.app_state["doors"]
        self.heads = self.app_state["heads"]
        if self._doors.enter(transport, self.client[0] if self.client else ""):
            self._expect_headers()
        else:
            transport.write(CROWDED)
            transport.close()

    def _expect_headers(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(
                self._doors.settings.header_timeout_s, self._close_late
            )

    def _close_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._doors.counts.refuse("headers")
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self.is_held(data):
            return
        is_between = self.cycle is None or self.cycle.response_complete
        data = self.shortened(data)
        if not data:
            self._stop(self._late)
            self._late = None
            return
        if is_between:
            self._expect_headers()
        self._is_ended = False
        super().data_received(data)
        if self._late is not None and not self._is_body and not self._is_ended:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES_MAX:
                self._close_late()

    def on_message_begin(self) -> None:
        self._expect_headers()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop(self._late)
        self._late = None
        self._header_bytes = 0
        self._is_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_body = False
        self._is_ended = True
        self._header_bytes = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def _watch(self, left: int) -> None:
        seconds = self._doors.settings.send_timeout_s
        self._slow = self.loop.call_later(seconds, self._check_reader, left)

    def _check_reader(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if before - left < SEND_BYTES_MIN_S * self._doors.settings.send_timeout_s:
            self._doors.counts.slow_readers += 1
            self.transport.abort()
        else:
            self._watch(left)

    def resume_writing(self) -> None:
        self._stop(self._slow)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._late)
        self._stop(self._slow)
        self._doors.leave(self.transport)
        super().connection_lost(exc)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which tells when it listens and ends its application with itself."""

    def __init__(
        self,
        config: uvicorn.Config,
        application: _Application,
        listeners: Sequence[tuple[Place, socket.socket]],
        ipc: socket.socket | None,
    ) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._application = application
        self._listeners = listeners
        self._ipc = ipc

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen at every place; connections know where they came in."""
        self._application.open()
        loop = asyncio.get_running_loop()
        self.servers = []
        for place, listener in self._listeners:
            state = {"place": place, **self._application.state}
            make = partial(_HttpProtocol, self.config, self.server_state, state)
            self.servers.append(await loop.create_server(make, sock=listener, backlog=BACKLOG))
        if self._ipc is not None:
            await self._application.ipc.open(self._ipc)
        self.started = True
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.close()
        await self._application.ipc.close()
        await super().shutdown(sockets)


class _Application:
    """The ASGI callable."""

    def __init__(
        self,
        api: NodeApi,
        settings: RpcSettings,
        methods: Mapping[str, Method],
        access: Access,
        meters: Sequence[Collect],
        stop: Callable[[Fatal], None],
    ) -> None:
        self._lanes = Lanes(settings)
        self._hub = Hub(api)
        self._filters = Filters(settings, time.monotonic)
        self._backend = Backend(
            api, settings, self._hub, self._filters, self._lanes, Counts(), stop
        )
        self._meters = (*meters, process_families, stage_families)
        dispatcher = Dispatcher(methods, self._backend)
        self.doors = _Doors(settings, self._backend.counts)
        self.state = {
            "doors": self.doors,
            "access": access,
            "dispatcher": dispatcher,
            "heads": Heads(settings),
        }
        """What connections of all listeners share."""
        self.ipc = IpcHandler(self._backend, dispatcher)
        self._http = HttpHandler(self._backend, dispatcher, access, self._metrics)
        self._websocket = WebSocketHandler(self._backend, dispatcher, access)

    def open(self) -> None:
        self._hub.open()
        self._hub.join(self._filters)

    def close(self) -> None:
        self._hub.close()
        self._lanes.close()

    async def _metrics(self) -> bytes:
        counts = self._backend.counts.families()
        counts.append(
            gauge("qenex_rpc_connections", "Open HTTP and WebSocket connections.", len(self.doors))
        )
        counts.append(gauge("qenex_rpc_filters", "Polling filters.", len(self._filters)))
        return await asyncio.to_thread(self._page, counts)

    @metered(Stage.RPC)
    def _page(self, counts: list[Family]) -> bytes:
        return render([*counts, *chain.from_iterable(each() for each in self._meters)])

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        handler = self._http if scope["type"] == "http" else self._websocket
        try:
            await handler.handle(scope, receive, send)
        except OSError:  # uvicorn's ClientDisconnected is one
            return


class RpcServer:
    """A JSON-RPC server in its own thread; `methods` by name, those of every node by default.

    `meters` return what /metrics shows besides the server's own numbers. `stop` is called, from
    any thread, when a method finds a broken invariant.
    """

    def __init__(
        self,
        api: NodeApi,
        settings: RpcSettings,
        methods: Mapping[str, Method] | None = None,
        *,
        meters: Sequence[Collect] = (),
        stop: Callable[[Fatal], None] = go_on,
    ) -> None:
        self._api = api
        self._settings = settings
        self._methods = all_methods() if methods is None else methods
        self._meters: tuple[Collect, ...] = (partial(chain_families, api), *meters)
        self._stop = stop
        self._uvicorn: _Uvicorn | None = None
        self._thread: threading.Thread | None = None
        self.ports: tuple[int, ...] = ()
        """The port of each listener, in order of the settings; that of metrics alone is last."""

    def start(self) -> int:
        """Listen and return the port, which the system chose when the setting is 0.

        Raises ConfigError when an address cannot be bound, a key cannot be read, or the settings
        contradict themselves.
        """
        ensure(self._thread is None, "a JSON-RPC server starts once")
        settings = self._settings
        access = Access(settings, self._methods)
        places = self._places(access)
        with ExitStack() as stack:
            listeners = [(each, self._bind(each.listener, stack)) for each in places]
            ipc = stack.enter_context(bind(Path(settings.ipc))) if settings.ipc else None
            stack.pop_all()
        self.ports = tuple(each.getsockname()[1] for _, each in listeners)
        application = _Application(
            self._api, settings, self._methods, access, self._meters, self._stop
        )
        server = _Uvicorn(self._uvicorn_config(application), application, listeners, ipc)
        thread = threading.Thread(
            target=self._run, args=(server, listeners), name="rpc-server", daemon=True
        )
        thread.start()
        if not server.listening.wait(START_TIMEOUT_S):
            server.should_exit = True
            raise UpstreamDown("the JSON-RPC server did not start in time")
        self._uvicorn, self._thread = server, thread
        for (place, _), port in zip(listeners, self.ports, strict=True):
            log.info("rpc listening", host=place.listener.host, port=port)
        return self.ports[0]

    def _places(self, access: Access) -> list[Place]:
        settings = self._settings
        own = Listener(settings.host, settings.port, settings.namespaces, settings.jwt)
        places = [access.place(each) for each in (own, *settings.listeners)]
        host, colon, port = settings.metrics.rpartition(":")
        if colon:
            if int(port) > PORT_MAX:
                raise ConfigError(f"rpc.metrics: {port} is no port; the highest is {PORT_MAX}")
            places.append(Place(Listener(host.strip("[]"), int(port)), is_metrics=True))
        return places

    @staticmethod
    def _bind(place: Listener, stack: ExitStack) -> socket.socket:
        host, port = place.host, place.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
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
            timeout_keep_alive=math.ceil(self._settings.idle_timeout_s),
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
            ws_max_size=self._settings.body_bytes_max,
            ws_per_message_deflate=False,
        )

    @staticmethod
    def _run(server: _Uvicorn, listeners: list[tuple[Place, socket.socket]]) -> None:
        with (
            METER.thread(Stage.RPC),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(server.serve(sockets=[each for _, each in listeners]))

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
