"""The short way answers byte for byte as the long one, in order, and only what it may.

Planted bugs that these tests name: a head judged by its start alone (the foreign host after a good
one), a body cut where the packet ends, an answer that overtakes one that a worker makes, and an
encoded block that is shown for another one.
"""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from node.rpc.encoded import ENCODED_BYTES_MAX, EncodedObject, kept, new_cache
from node.rpc.settings import RpcSettings
from node.rpc.shortway import HEADS_MAX, Heads
from tests.node.rpc.conftest import Served
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import Rpc, sign, to_hex

pytestmark = pytest.mark.process

HEADERS = ("Host: 127.0.0.1", "Content-Type: application/json")
LONG = (*HEADERS, "X-Way: long")


def call(method: str, *params: object, number: object = 1) -> bytes:
    """Return the body of one call."""
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
    return json.dumps(body).encode()


def http(body: bytes, headers: tuple[str, ...] = HEADERS) -> bytes:
    """Return one POST; `Content-Length` comes last, so that heads begin alike."""
    lines = ["POST / HTTP/1.1", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Line:
    """One connection that reads whole answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def read(self) -> tuple[int, bytes]:
        """Return status and body of the next answer."""
        status = int(self.file.readline().split()[1])
        length = 0
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, self.file.read(length)

    def ask(self, data: bytes) -> tuple[int, bytes]:
        """Send bytes and return the next answer."""
        self.socket.sendall(data)
        return self.read()


BODIES = [
    call("eth_blockNumber"),
    call("eth_chainId", number="a text \u00e9 \\ id"),
    call("eth_chainId", number=None),
    call("eth_chainId", number=1.5),
    call("eth_chainId", number=-(10**30)),
    call("eth_getBalance", "0x" + "11" * 20, "latest"),
    call("eth_getBalance", "0x12", "latest"),
    call("eth_getBalance"),
    call("eth_getBlockByNumber", "latest", True),
    call("eth_getBlockByNumber", "0x0", False),
    call("eth_getBlockByNumber", "0x7fffffff", True),
    call("eth_getBlockReceipts", "latest"),
    call("eth_call", {"to": "0x" + "11" * 20}, "latest"),
    call("no_such"),
    b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","id":2}',
    b'{"jsonrpc":"2.0","id":NaN,"method":"eth_chainId"}',
    b'{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}',
    b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"} x',
    b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}',
    b'{"jsonrpc":"2.0","method":"eth_chainId"}',
    b'{"id":' + b"[" * 80 + b"]" * 80 + b"}",
    b"{",
    b"[]",
    b"[" + call("eth_chainId") + b"," + call("eth_blockNumber") + b"]",
    b"\xff{}",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_both_ways_answer_alike(served: Served, body: bytes) -> None:
    """Status and body are those of the long way, the first time and when it is kept."""
    with Line(served.port) as line:
        long = line.ask(http(body, LONG))
        assert line.ask(http(body)) == long
        assert line.ask(http(body)) == long


def test_a_request_may_come_in_pieces(served: Served) -> None:
    """Wherever a request is cut, it gets its answer, and so does the next one."""
    body = call("eth_chainId")
    whole = http(body)
    expected = (200, b'{"jsonrpc":"2.0","id":1,"result":"0x4f24"}')
    with Line(served.port) as line:
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(whole), 7):
            line.socket.sendall(whole[:cut])
            assert line.ask(whole[cut:]) == expected
            # The end of one request and the start of the next share a packet.
            line.socket.sendall(whole + whole[:cut])
            assert line.read() == expected
            assert line.ask(whole[cut:]) == expected


def test_answers_keep_the_order(served: Served) -> None:
    """What a worker answers is not overtaken by what needs none, on one connection."""
    kinds = [("eth_blockNumber", ()), ("eth_call", ({"to": "0x" + "11" * 20}, "latest"))]
    bodies = [call(name, *given, number=n) for n in range(60) for name, given in [kinds[n % 2]]]
    bodies += [call("eth_chainId", number=60 + n) for n in range(60)]
    with Line(served.port) as line:
        line.socket.sendall(b"".join(map(http, bodies)))
        numbers = [json.loads(line.read()[1])["id"] for _ in bodies]
    assert numbers == list(range(len(bodies)))


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (("Host: evil.example", "Content-Type: application/json"), 403),
        (("Host: 127.0.0.1", "Content-Type: text/plain"), 415),
        (("Host: 127.0.0.1",), 415),
        (("Host: 127.0.0.1", "Host: evil.example", "Content-Type: application/json"), 403),
        (("Host: 127.0.0.1", "Content-Type: application/json", "Content-Length: 3"), 400),
    ],
)
def test_a_bad_head_is_refused_after_a_good_one(
    served: Served, wrong: tuple[str, ...], status: int
) -> None:
    """A head is known by all of its bytes; one good request opens no door for another."""
    body = call("eth_chainId")
    with Line(served.port) as line:
        assert line.ask(http(body))[0] == 200
        assert line.ask(http(body, wrong))[0] == status


def test_heads_that_must_go_the_long_way() -> None:
    """Only a plain, whole head with one length and one JSON type passes; the memory is bounded."""
    heads = Heads(RpcSettings(body_bytes_max=1_000))
    good = http(b"", (*HEADERS, "Content-Length: 10"))
    plain = good.replace(b"Content-Length: 0\r\n", b"")
    assert heads.body_length(plain) == 10
    for bad in (
        good,
        plain.replace(b"10", b"1001"),
        plain.replace(b"10", b"+1"),
        plain.replace(b"10", b"0"),
        plain.replace(b"POST /", b"POST /x"),
        plain.replace(b"POST", b"PUT"),
        plain.replace(b"HTTP/1.1", b"HTTP/1.0"),
        plain.replace(b"127.0.0.1", b"evil.example"),
        plain.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        plain.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        plain.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        plain.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer x\r\n\r\n"),
        plain.replace(b"\r\n\r\n", b"\r\nOrigin: https://wallet.example\r\n\r\n"),
        plain.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        plain[:-2],
        b"POST / nonsense\r\n\r\n",
    ):
        assert heads.body_length(bad) == -1, bad
    for number in range(3 * HEADS_MAX):
        heads.body_length(plain.replace(b"127.0.0.1", b"127.0.0.1:%d" % number))
        assert len(heads._known) <= HEADS_MAX


def test_blocks_are_encoded_once_and_never_mixed_up() -> None:
    """A kept block is the one that was asked for, by number or hash, full or not."""
    chain = DevChain()
    rpc = Rpc(chain)
    (key,) = funded_keys(1)
    shown: list[Any] = []
    for nonce in range(6):
        rpc.call("eth_sendRawTransaction", to_hex(sign(key, nonce)))
        for full in (True, False, True):
            found = rpc.call("eth_getBlockByNumber", "latest", full)
            assert found["number"] == hex(nonce + 1)
            assert isinstance(found["transactions"][0], dict) == full
            assert rpc.call("eth_getBlockByHash", found["hash"], full) == found
        receipts = [rpc.call("eth_getBlockReceipts", "latest") for _ in range(2)]
        assert receipts[0] == receipts[1]
        shown.append((found, receipts[0]))
    for nonce, (block, receipts) in enumerate(shown):
        assert rpc.call("eth_getBlockByNumber", hex(nonce + 1), True) == block
        assert rpc.call("eth_getBlockReceipts", block["hash"]) == receipts
        assert receipts[0]["blockHash"] == block["hash"]
    rpc.close()


def test_what_is_kept_is_bounded_in_bytes() -> None:
    """The oldest results go when the bytes are above the bound."""
    cache = new_cache()
    value = "x" * (ENCODED_BYTES_MAX // 8)
    for number in range(20):
        made = kept(cache, ("block", bytes([number]), 0), EncodedObject, lambda: value)
        assert len(made.json) == len(value) + 2
    assert len(cache) == 7
    assert ("block", bytes([19]), 0) in cache
    assert ("block", bytes([0]), 0) not in cache
