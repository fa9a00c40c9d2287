"""JSON-RPC over a Unix socket, for programs of the same user on this machine.

A connection carries JSON values one after the other, with or without white space between them, as
in go-ethereum; each answer ends with a newline. Subscriptions work as over WebSocket. The file
has mode 0600 before anything can connect, so who can open it is trusted: all namespaces, no token,
no rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import stat
from pathlib import Path
from typing import Final

from node.rpc.access import Caller
from node.rpc.backend import Backend
from node.rpc.dispatch import Dispatcher, error_answer
from node.rpc.errors import INVALID_REQUEST, RpcError
from node.rpc.http import Message
from node.rpc.websocket import Connection
from primitives.errors import ConfigError

READ_BYTES: Final = 65_536
PATH_BYTES_MAX: Final = 107
"""sun_path of struct sockaddr_un, less its closing zero."""
BACKLOG: Final = 64

_NEXT: Final = re.compile(rb'["{}\[\]]')
_STRING: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)


class TooLarge(Exception):
    """One value is above the limit."""


class Framer:
    """Cuts a stream of bytes into JSON values; what is none ends at its line.

    It does not check the values: it counts brackets outside strings.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()
        self._at = 0
        self._depth = 0
        self._is_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the values that `data` completes; raises TooLarge."""
        self._held += data
        found: list[bytes] = []
        while (value := self._next()) is not None:
            found.append(value)
        if len(self._held) > self._bytes_max:
            raise TooLarge
        return found

    def _next(self) -> bytes | None:
        held = self._held
        if not self._depth:
            del held[: len(held) - len(held.lstrip())]
            if not held:
                return None
            if held[0] not in b"{[":
                end = held.find(b"\n")
                return None if end < 0 else self._taken(end + 1)
        while self._skip_string() and (sign := _NEXT.search(held, self._at)) is not None:
            self._at = sign.end()
            character = sign.group()
            if character == b'"':
                self._is_string = True
                continue
            self._depth += 1 if character in b"{[" else -1
            if not self._depth:
                return self._taken(self._at)
        if not self._is_string:
            self._at = len(held)
        return None

    def _skip_string(self) -> bool:
        """Go behind the string that was begun; False when its end is not there yet."""
        if self._is_string:
            part = _STRING.match(self._held, self._at)
            self._at = self._at if part is None else part.end()
            if self._held[self._at : self._at + 1] != b'"':
                return False
            self._at += 1
            self._is_string = False
        return True

    def _taken(self, end: int) -> bytes:
        value = bytes(self._held[:end])
        del self._held[:end]
        self._at = self._depth = 0
        if len(value) > self._bytes_max:
            raise TooLarge
        return value


def bind(path: Path) -> socket.socket:
    """Return a socket bound to `path`, which only this user can open; raises ConfigError."""
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise ConfigError(
            f"rpc.ipc: {path}: the path of a socket has at most {PATH_BYTES_MAX} bytes; "
            "choose a shorter one"
        )
    _remove_old(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        listener.close()
        raise ConfigError(f"rpc.ipc: cannot listen on {path}: {error.strerror}") from None
    return listener


def _remove_old(path: Path) -> None:
    """Remove a socket that a node which is gone has left; raises ConfigError for anything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"rpc.ipc: {path} is there and is no socket; choose another file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ConfigError(f"rpc.ipc: another program listens on {path}; choose another file")


class IpcHandler:
    """Serves the socket's connections; runs in the server's loop."""

    def __init__(self, backend: Backend, dispatcher: Dispatcher) -> None:
        self._backend = backend
        self._dispatcher = dispatcher
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._path = Path()

    async def open(self, listener: socket.socket) -> None:
        """Begin to listen."""
        self._path = Path(listener.getsockname())
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, backlog=BACKLOG, limit=READ_BYTES
        )

    async def close(self) -> None:
        """End all connections and remove the file."""
        if self._server is None:
            return
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            if self._backend.counts.websockets < self._backend.settings.websockets_max:
                wire = _Wire(reader, writer, self._backend.settings.body_bytes_max)
                abort = writer.transport.abort
                made = Connection(self._backend, self._dispatcher, wire.send, abort, Caller())
                await made.run(wire.receive)
            else:
                self._backend.counts.refuse("ipc")
        finally:
            writer.close()


class _Wire:
    """The messages of a WebSocket, over a stream."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_max: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._framer = Framer(bytes_max)
        self._ready: list[bytes] = []

    async def receive(self) -> Message:
        """Return the next request, or that the client left."""
        with contextlib.suppress(OSError):
            while not self._ready:
                data = await self._reader.read(READ_BYTES)
                if not data:
                    break
                try:
                    self._ready = self._framer.feed(data)[::-1]
                except TooLarge:
                    error = RpcError(INVALID_REQUEST, "request too large")
                    self._writer.write(error_answer(error) + b"\n")
                    break
        if not self._ready:
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "bytes": self._ready.pop()}

    async def send(self, message: Message) -> None:
        """Send an answer or a notice."""
        if message["type"] == "websocket.send":
            self._writer.write(message["text"].encode("ascii") + b"\n")
            await self._writer.drain()
