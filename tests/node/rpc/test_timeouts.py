"""Clients that trickle, crowd or never read are cut off in bounded time; others never notice."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from websockets.sync.client import connect

from node.rpc.server import HEADER_BYTES_MAX, RpcServer
from node.rpc.settings import RpcSettings
from tests.node.rpc.devchain import DevChain
from tests.node.rpc.harness import http_request

pytestmark = pytest.mark.process

CHEAP = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
DISCOVER = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}'
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(CHEAP) + CHEAP
PATIENCE_S = 30.0
TRICKLED_MAX = 100
"""Bytes, 20 ms apart, of which the first ten use up the time."""


@contextmanager
def _serving(**fields: Any) -> Iterator[int]:
    server = RpcServer(DevChain(), RpcSettings(port=0, **fields))
    port = server.start()
    try:
        yield port
    finally:
        server.stop()


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def _trickle(connection: socket.socket, data: bytes, pause_s: float) -> bytes:
    """Send byte after byte until the other side ends it; returns what came back."""
    came = b""
    connection.settimeout(pause_s)
    for each in data[:TRICKLED_MAX]:
        try:
            connection.sendall(bytes([each]))
            part = connection.recv(65_536)
        except TimeoutError:
            continue
        except OSError:
            return came
        if not part:
            return came
        came += part
    raise AssertionError("the connection was not closed")


ENDLESS = b"x-slow: " + b"a" * 2_000


@pytest.mark.parametrize(
    ("first", "slow"),
    [
        (b"", HEAD[:-2] + b"\r\n" + ENDLESS),
        (b"", b"\r\n" * 1_000),
        (b"", b"POST /" + b"a" * 2_000),
        (REQUEST, HEAD + ENDLESS),
        (REQUEST, b"\r\n" * 1_000),
        (REQUEST + HEAD, ENDLESS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 400),
    ],
    ids=["headers", "lines", "path", "second", "lines-between", "pipelined", "unread-body"],
)
def test_slow_requests_are_closed(first: bytes, slow: bytes) -> None:
    """A byte now and then keeps no connection open: neither in the first request, nor in a later
    one, nor as a body that nobody wants. Kills: a deadline that each byte pushes away.
    """
    with _serving(header_timeout_s=0.2) as port, _connect(port) as connection:
        connection.sendall(first)
        _trickle(connection, slow, 0.02)
        assert http_request(port, body=CHEAP).status == 200


def test_a_silent_connection_is_closed() -> None:
    """A connection that says nothing is closed as well."""
    with _serving(header_timeout_s=0.2) as port, _connect(port) as connection:
        assert connection.recv(1) == b""


def test_slow_bodies_end_as_a_whole() -> None:
    """The time is that of the whole body. Kills: a time-out that starts anew with each byte."""
    with _serving(body_timeout_s=0.2) as port, _connect(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
        assert _trickle(connection, b" " * 5_000, 0.02).startswith(b"HTTP/1.1 408")


def test_requests_in_time_are_never_cut() -> None:
    """Deadlines end with the headers: an idle connection goes on, and so does a pipeline.

    Kills: a deadline that is not taken back.
    """
    with _serving(header_timeout_s=0.3) as port, _connect(port) as connection:
        answers = connection.makefile("rb")
        for pause_s in (0.0, 0.5, 0.0):
            time.sleep(pause_s)
            connection.sendall(REQUEST * 2)
            for _ in range(2):
                assert _read_answer(answers) == b'{"jsonrpc":"2.0","id":1,"result":"0x4f24"}'


def _read_answer(lines: Any) -> bytes:
    length = 0
    while (line := lines.readline()) != b"\r\n":
        assert line, "the connection was closed"
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return bytes(lines.read(length))


def test_large_headers_are_cut() -> None:
    """Headers above the limit end the connection, in one line or many, before the deadline."""
    for line in (b"x: " + b"a" * 9_000 + b"\r\n", b"x" * 9_000):
        with _serving(header_timeout_s=60.0) as port, _connect(port) as connection:
            connection.sendall(HEAD)
            sent = 0
            with pytest.raises(OSError):
                while sent < 100 * HEADER_BYTES_MAX:
                    connection.sendall(line)
                    sent += len(line)
            assert sent < 100 * HEADER_BYTES_MAX


def test_a_reader_that_does_not_read_is_cut() -> None:
    """An answer that nobody takes is not kept. Kills: waiting for the reader for ever."""
    body = b"[" + b",".join([DISCOVER] * 60) + b"]"
    with _serving(send_timeout_s=0.2) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", port))
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        until = time.monotonic() + PATIENCE_S
        while _metric(port, "qenex_rpc_slow_readers_total") < 1:
            assert time.monotonic() < until
            time.sleep(0.02)
        came = 0
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                came += len(part)
        assert came < 60 * len(http_request(port, body=DISCOVER).body)


def _metric(port: int, name: str) -> float:
    page = http_request(port, "GET", "/metrics").body.decode()
    return float(next(each.split()[1] for each in page.splitlines() if each.startswith(name + " ")))


def test_one_address_has_so_many_connections() -> None:
    """The limit of an address holds, and a place that is left can be taken.

    Kills: counting connections that are gone, not counting those that became WebSockets.
    """
    with _serving(address_connections_max=3, limit_loopback=True) as port:
        for _ in range(3):
            with ExitStack() as stack:
                stack.enter_context(connect(f"ws://127.0.0.1:{port}"))
                for _ in range(2):
                    stack.enter_context(_connect(port)).sendall(REQUEST[:9])
                with _connect(port) as fourth:
                    assert fourth.recv(65_536).startswith(b"HTTP/1.1 503")
            until = time.monotonic() + PATIENCE_S
            while http_request(port, body=CHEAP).status != 200:
                assert time.monotonic() < until


def test_loopback_has_no_limit_of_its_own() -> None:
    """Unless told, this machine's programs are held to the limit of all alone."""
    with _serving(address_connections_max=1) as port, _connect(port), _connect(port):
        assert http_request(port, body=CHEAP).status == 200
