"""The short way answers byte for byte as the long one, in order, and only what it may.

Planted bugs that these tests name: a head judged by its start alone (the foreign host after a good
one), a body cut where the packet ends, an answer that overtakes one that a worker makes, and an
encoded block that is shown for another one.
"""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from node.rpc.encoded import ENCODED_BYTES_MAX, EncodedObject, kept, new_cache
from node.rpc.server import HEADER_BYTES_MAX, RpcServer
from node.rpc.settings import RpcSettings
from node.rpc.shortway import HEADS_MAX, HELD_BYTES_MAX, Heads
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import Hash32
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
    call("eth_sendRawTransaction", "0x00"),
    call("eth_sendRawTransaction", "0xzz"),
    call("eth_sendRawTransaction"),
    call("eth_sendRawTransaction", to_hex(sign(funded_keys(1)[0], 0, chainId=7))),
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


def test_submissions_keep_the_order(served: Served) -> None:
    """Sends and reads in one packet are answered in order, and every send is taken once."""
    (key,) = funded_keys(1)
    raws = [
        sign(key, nonce)
        for nonce in range(_nonce(served.chain, key), _nonce(served.chain, key) + 40)
    ]
    bodies = []
    for number, raw in enumerate(raws):
        bodies.append(call("eth_sendRawTransaction", to_hex(raw), number=2 * number))
        bodies.append(call("eth_chainId", number=2 * number + 1))
    with Line(served.port) as line:
        line.socket.sendall(b"".join(map(http, bodies)))
        answers = [json.loads(line.read()[1]) for _ in bodies]
    assert [each["id"] for each in answers] == list(range(len(bodies)))
    assert [each["result"] for each in answers[::2]] == [to_hex(keccak(raw)) for raw in raws]


def _nonce(chain: DevChain, key: PrivateKey) -> int:
    account = chain.view().state.account(key.address)
    return account.nonce if account is not None else 0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except OSError:
        return False
    return True


class Stuck:
    """Lets no submission of a chain end before `go`."""

    def __init__(self, chain: DevChain, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        submit = chain.submit

        def slow(raw: bytes) -> Hash32:
            self.begun.set()
            assert self.go.wait(20)
            return submit(raw)

        monkeypatch.setattr(chain, "submit", slow)


def test_nothing_overtakes_a_slow_submission(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes meanwhile waits, above the bound in the socket; other connections go on.

    Planted bugs: a second request that is answered first; a socket that is not read again.
    """
    (key,) = funded_keys(1)
    stuck = Stuck(served.chain, monkeypatch)
    raw = to_hex(sign(key, _nonce(served.chain, key)))
    count = 3 * HELD_BYTES_MAX // len(http(call("eth_chainId", number=1000)))
    later = b"".join(http(call("eth_chainId", number=each)) for each in range(1, count))
    with Line(served.port) as line, Line(served.port) as other:
        line.socket.sendall(http(call("eth_sendRawTransaction", raw, number=0)))
        assert stuck.begun.wait(20)
        sender = threading.Thread(target=line.socket.sendall, args=(later,))
        sender.start()
        for _ in range(20):
            assert other.ask(http(call("eth_chainId")))[0] == 200
        line.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            line.socket.recv(1, socket.MSG_PEEK)
        line.socket.settimeout(20)
        stuck.go.set()
        numbers = [json.loads(line.read()[1])["id"] for _ in range(count)]
        sender.join()
        assert numbers == list(range(count))
        assert line.ask(http(call("eth_chainId")))[0] == 200


def test_a_long_pipeline_is_no_long_header(served: Served) -> None:
    """Whole requests of the long way in one packet do not count as headers of the next one."""
    count = 2 * HEADER_BYTES_MAX // len(http(call("eth_chainId"), LONG))
    with Line(served.port) as line:
        data = http(call("eth_chainId"), LONG) * count
        sender = threading.Thread(target=line.socket.sendall, args=(data,))
        sender.start()
        assert all(line.read()[0] == 200 for _ in range(count))
        sender.join()


def test_who_left_is_forgotten_and_who_waits_is_answered_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that left harms nobody; a server that stops answers what it took first."""
    chain = DevChain()
    first, second = funded_keys(2)
    stuck = Stuck(chain, monkeypatch)
    server = RpcServer(chain, RpcSettings(port=0, idle_timeout_s=1))
    port = server.start()
    with Line(port) as gone:
        gone.socket.sendall(http(call("eth_sendRawTransaction", to_hex(sign(first, 0)))))
        assert stuck.begun.wait(20)
    with Line(port) as line:
        line.socket.sendall(http(call("eth_sendRawTransaction", to_hex(sign(second, 0)))))
        line.socket.settimeout(1.5)  # longer than an idle connection may live
        with pytest.raises(TimeoutError):
            line.socket.recv(1, socket.MSG_PEEK)
        line.socket.settimeout(20)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        while _listens(port):
            pass
        stuck.go.set()
        assert json.loads(line.read()[1])["result"] == to_hex(keccak(sign(second, 0)))
        assert line.file.read() == b""
        stopping.join()
    assert _nonce(chain, first) == 1


def test_a_submission_that_comes_too_soon_has_the_status_of_the_long_way() -> None:
    """429 with the seconds to wait, both ways; planted bug: the short way says 200."""
    settings = RpcSettings(port=0, address_rate=1, rate_burst_s=8, limit_loopback=True)
    server = RpcServer(DevChain(), settings)
    port = server.start()
    body = call("eth_sendRawTransaction", "0x00")
    with Line(port) as line:
        assert line.ask(http(body))[0] == 200
        assert line.ask(http(body))[0] == 429
        assert line.ask(http(body, LONG))[0] == 429
    server.stop()


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
