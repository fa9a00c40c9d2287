"""HTTP: one port, right statuses, guarded against foreign pages, names, sizes and slowness."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.gate import is_host_allowed
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from primitives.errors import ConfigError
from primitives.types import Hash32
from tests.node.rpc.conftest import Served
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import http_request, sign, to_hex

pytestmark = pytest.mark.process

CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
ALLOWED = "https://wallet.example"


def test_post_answers_json(served: Served) -> None:
    """A POST is answered with 200, JSON and a content length."""
    reply = http_request(served.port, body=CHAIN_ID)
    assert reply.status == 200
    assert json.loads(reply.body) == {"jsonrpc": "2.0", "id": 1, "result": "0x4f24"}
    assert reply.headers["content-type"] == "application/json"
    assert "server" not in reply.headers


def test_errors_are_200_and_notifications_204(served: Served) -> None:
    """JSON-RPC errors are no HTTP errors; what wants no answer gets an empty one."""
    assert http_request(served.port, body=b"{").status == 200
    reply = http_request(served.port, body=b'{"jsonrpc":"2.0","method":"eth_chainId"}')
    assert (reply.status, reply.body) == (204, b"")


def test_pages_of_get(served: Served) -> None:
    """GET / helps a person; liveness and readiness help a supervisor; other pages are 404."""
    reply = http_request(served.port, "GET")
    assert reply.status == 200
    assert json.loads(reply.body)["chainId"] == "0x4f24"
    assert json.loads(http_request(served.port, "GET", "/liveness").body) == {"alive": True}
    ready = http_request(served.port, "GET", "/readiness")
    assert (ready.status, json.loads(ready.body)["ready"]) == (200, True)
    assert http_request(served.port, "GET", "/nothing").status == 404
    head = http_request(served.port, "HEAD")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_verbs_are_405(served: Served, verb: str) -> None:
    """Verbs other than POST, GET, HEAD and OPTIONS are refused and told what is allowed."""
    reply = http_request(served.port, verb, body=b"{}")
    assert reply.status == 405
    assert "POST" in reply.headers["allow"]


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_other_content_types_are_415(served: Served, kind: str) -> None:
    """What a web page can send without asking first is refused."""
    reply = http_request(served.port, body=CHAIN_ID, headers={"Content-Type": kind})
    assert reply.status == 415
    with_charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert http_request(served.port, body=CHAIN_ID, headers=with_charset).status == 200


def test_other_paths_are_404(served: Served) -> None:
    """JSON-RPC is at / only."""
    assert http_request(served.port, path="/other", body=CHAIN_ID).status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8545", 200),
        ("node:1", 200),
        ("127.0.0.1:8545", 200),
        ("[::1]:8545", 200),
        ("192.168.7.7", 200),
        ("evil.example", 403),
        ("evil.example:8545", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_foreign_hosts_are_403(served: Served, host: str, status: int) -> None:
    """A name that someone else's DNS points here is refused for every verb."""
    for verb in ("POST", "GET", "OPTIONS"):
        reply = http_request(served.port, verb, body=CHAIN_ID, headers={"Host": host})
        assert reply.status == (204 if status == 200 and verb == "OPTIONS" else status)


@given(st.text(max_size=30))
def test_only_listed_names_and_addresses_are_hosts(name: str) -> None:
    """No text is an allowed host but the listed names and IP addresses."""
    raw = name.encode("latin-1", "ignore")
    if is_host_allowed(RpcSettings(), [(b"host", raw)]):
        shown = raw.decode("latin-1").strip().lower()
        bare = shown[1:].partition("]")[0] if shown.startswith("[") else shown
        for each in (bare, bare.rpartition(":")[0]):
            if each == "localhost":
                return
            try:
                ipaddress.ip_address(each)
            except ValueError:
                continue
            return
        pytest.fail(f"{raw!r} was allowed")


def test_cors_answers_listed_origins_only(served: Served) -> None:
    """A listed page gets its headers, in preflight, answer and refusal; another page gets none."""
    asked = {"Origin": ALLOWED, "Access-Control-Request-Method": "POST"}
    reply = http_request(served.port, "OPTIONS", headers=asked)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == ALLOWED
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert "content-type" in reply.headers["access-control-allow-headers"]
    reply = http_request(served.port, body=CHAIN_ID, headers={"Origin": ALLOWED})
    assert reply.headers["access-control-allow-origin"] == ALLOWED
    refused = http_request(served.port, "PUT", headers={"Origin": ALLOWED})
    assert refused.headers["access-control-allow-origin"] == ALLOWED
    for origin in ("https://evil.example", "null", "https://wallet.example.evil.example"):
        for verb in ("OPTIONS", "POST"):
            reply = http_request(served.port, verb, body=CHAIN_ID, headers={"Origin": origin})
            assert not any(name.startswith("access-control") for name in reply.headers)


def test_all_origins_when_the_setting_says_so() -> None:
    """The origin "*" allows every page, as a local network wants it."""
    server = RpcServer(DevChain(), RpcSettings(port=0, origins=("*",)))
    port = server.start()
    reply = http_request(port, body=CHAIN_ID, headers={"Origin": "https://any.example"})
    server.stop()
    assert reply.headers["access-control-allow-origin"] == "*"


def _raw(port: int, request: bytes, *, wait_s: float = 5.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
        connection.sendall(request)
        parts = []
        try:
            while part := connection.recv(65_536):
                parts.append(part)
        except (TimeoutError, ConnectionResetError):
            pass
        return b"".join(parts)


def test_large_bodies_are_413() -> None:
    """A body above the limit is refused, by its announced length at once and by its bytes."""
    server = RpcServer(DevChain(), RpcSettings(port=0, body_bytes_max=1_000))
    port = server.start()
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    at_limit = http_request(port, body=body.ljust(1_000))
    over = http_request(port, body=body.ljust(1_001))
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    announced = _raw(port, head + b"Content-Length: 99999999999\r\n\r\n")
    chunk = b"3e8\r\n" + b" " * 1_000 + b"\r\n"
    chunked = _raw(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2 + b"0\r\n\r\n")
    server.stop()
    assert at_limit.status == 200
    assert over.status == 413
    assert announced.startswith(b"HTTP/1.1 413")
    assert chunked.startswith(b"HTTP/1.1 413")


def test_slow_bodies_are_408() -> None:
    """A body that does not arrive in time ends the request."""
    server = RpcServer(DevChain(), RpcSettings(port=0, body_timeout_s=0.05))
    port = server.start()
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = _raw(port, head + b"Content-Length: 50\r\n\r\n{")
    server.stop()
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00"],
)
def test_what_is_no_http_is_400_or_closed(served: Served, request_bytes: bytes) -> None:
    """Broken HTTP never makes a 500 and never stops the server."""
    answer = _raw(served.port, request_bytes, wait_s=0.2)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
    assert http_request(served.port, body=CHAIN_ID).status == 200


class _SlowCall(DevChain):
    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def submit(self, raw: bytes) -> Hash32:
        self.go.wait(5)
        return super().submit(raw)


@pytest.mark.slow
def test_slow_work_has_a_limit_and_holds_nobody_up() -> None:
    """While workers are stuck, cheap reads go on; the stuck call is answered -32002."""
    chain = _SlowCall()
    server = RpcServer(chain, RpcSettings(port=0, call_timeout_s=0.2, submit_workers=1))
    port = server.start()
    raw = to_hex(sign(funded_keys(1)[0], 0))
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]}
    answers: list[bytes] = []
    caller = threading.Thread(
        target=lambda: answers.append(http_request(port, body=json.dumps(body).encode()).body)
    )
    caller.start()
    began = time.monotonic()
    for _ in range(5):
        assert http_request(port, body=CHAIN_ID).status == 200
    quick_s = time.monotonic() - began
    caller.join()
    chain.go.set()
    server.stop()
    assert json.loads(answers[0])["error"] == {"code": -32002, "message": "request timed out"}
    assert quick_s < 2


def test_too_many_connections_are_503() -> None:
    """Above the connection limit HTTP says 503 and the others go on."""
    server = RpcServer(DevChain(), RpcSettings(port=0, connections_max=2))
    port = server.start()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    time.sleep(0.05)
    refused = http_request(port, body=CHAIN_ID)
    for each in idle:
        each.close()
    time.sleep(0.05)
    accepted = http_request(port, body=CHAIN_ID)
    server.stop()
    assert (refused.status, accepted.status) == (503, 200)


def test_a_taken_port_is_one_clear_error(served: Served) -> None:
    """Starting on a port in use is a ConfigError that says what to do."""
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{served.port}"):
        RpcServer(DevChain(), RpcSettings(port=served.port)).start()


@pytest.mark.slow
def test_stop_frees_the_port_and_joins_the_thread() -> None:
    """After stop nothing of the server is left, stop twice is harmless, and start works again."""
    chain = DevChain()
    before = set(threading.enumerate())
    server = RpcServer(chain, RpcSettings(port=0))
    port = server.start()
    with socket.create_connection(("127.0.0.1", port)):
        server.stop()
    server.stop()
    assert set(threading.enumerate()) <= before
    again = RpcServer(chain, RpcSettings(port=port))
    assert again.start() == port
    again.stop()
