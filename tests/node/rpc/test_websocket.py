"""WebSocket: the same JSON-RPC, live subscriptions, and slow readers that harm nobody."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from tests.node.rpc.conftest import Served
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import sign, to_hex
from tests.node.rpc.test_methods import CREATION, transfer_data

pytestmark = pytest.mark.process

OWNER, SECOND = funded_keys(2)


def _ask(ws: ClientConnection, method: str, *params: object) -> dict[str, Any]:
    ws.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    while True:
        answer = json.loads(ws.recv(timeout=5))
        if "id" in answer:
            return dict(answer)


def _next(ws: ClientConnection) -> dict[str, Any]:
    message = json.loads(ws.recv(timeout=5))
    assert message["method"] == "eth_subscription"
    return dict(message["params"])


@contextmanager
def _serving(chain: DevChain, settings: RpcSettings | None = None) -> Iterator[str]:
    server = RpcServer(chain, settings or RpcSettings(port=0))
    port = server.start()
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        server.stop()


def test_requests_batches_and_garbage(served: Served) -> None:
    """A WebSocket answers single requests, batches, binary frames and garbage like HTTP."""
    with connect(f"ws://127.0.0.1:{served.port}") as ws:
        assert _ask(ws, "eth_chainId")["result"] == "0x4f24"
        ws.send('[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","method":"x"}]')
        assert [each["id"] for each in json.loads(ws.recv(timeout=5))] == [1]
        ws.send(b'{"jsonrpc":"2.0","id":7,"method":"net_version"}')
        assert json.loads(ws.recv(timeout=5))["id"] == 7
        ws.send("{")
        assert json.loads(ws.recv(timeout=5))["error"]["code"] == -32700


def test_heads_and_logs_come_in_order_without_gap_or_double() -> None:
    """newHeads shows every block once and in order; logs exactly those that match."""
    chain = DevChain()
    with _serving(chain) as url, connect(url) as heads, connect(url) as logs:
        name = _ask(heads, "eth_subscribe", "newHeads")["result"]
        chain.submit(sign(OWNER, 0, to=None, data=to_hex(CREATION), gas=2_000_000))
        token = _ask(logs, "eth_getTransactionReceipt", _last(chain))["result"]["contractAddress"]
        wanted = _ask(logs, "eth_subscribe", "logs", {"address": token})["result"]
        _ask(logs, "eth_subscribe", "logs", {"address": "0x" + "99" * 20})
        for nonce in range(1, 21):
            data = transfer_data(SECOND.address, nonce)
            chain.submit(sign(OWNER, nonce, to=token, data=data, gas=90_000))
        shown = [_next(heads) for _ in range(21)]
        events = [_next(logs) for _ in range(20)]
        assert {each["subscription"] for each in shown} == {name}
        assert [int(each["result"]["number"], 16) for each in shown] == list(range(1, 22))
        assert {each["subscription"] for each in events} == {wanted}
        assert [int(each["result"]["data"], 16) for each in events] == list(range(1, 21))
        head = _ask(heads, "eth_getBlockByNumber", "0x5")["result"]
        assert shown[4]["result"].items() <= head.items()
        asked = {"fromBlock": "0x2", "address": token}
        assert _ask(logs, "eth_getLogs", asked)["result"] == [each["result"] for each in events]


def _last(chain: DevChain) -> str:
    block = chain.view().block(chain.view().head.height)
    assert block is not None
    return to_hex(block.transactions[-1].hash)


def test_pending_subscriptions_and_unsubscribe() -> None:
    """Pool transactions come as hashes or whole; after unsubscribe nothing comes."""
    chain = DevChain(automine=False)
    with _serving(chain) as url, connect(url) as ws, connect(url) as whole:
        name = _ask(ws, "eth_subscribe", "newPendingTransactions")["result"]
        _ask(whole, "eth_subscribe", "newPendingTransactions", True)
        sent = to_hex(chain.submit(sign(OWNER, 0)))
        assert _next(ws) == {"subscription": name, "result": sent}
        assert _next(whole)["result"]["hash"] == sent
        assert _ask(ws, "eth_unsubscribe", name)["result"] is True
        assert _ask(ws, "eth_unsubscribe", name)["error"]["message"] == "subscription not found"
        chain.submit(sign(OWNER, 1))
        assert _next(whole)["result"]["nonce"] == "0x1"
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.02)


def test_a_subscription_is_announced_before_its_first_notice() -> None:
    """Blocks that come between a subscription and its answer are told after it, none is lost."""
    chain = DevChain()
    raw = [to_hex(sign(OWNER, nonce)) for nonce in range(3)]
    sends = [
        {"jsonrpc": "2.0", "id": n, "method": "eth_sendRawTransaction", "params": [each]}
        for n, each in enumerate(raw, 1)
    ]
    first = {"jsonrpc": "2.0", "id": 0, "method": "eth_subscribe", "params": ["newHeads"]}
    with _serving(chain) as url, connect(url) as ws:
        ws.send(json.dumps([first, *sends]))
        answers = json.loads(ws.recv(timeout=5))
        assert [each["id"] for each in answers] == [0, 1, 2, 3]
        shown = [_next(ws) for _ in raw]
        assert {each["subscription"] for each in shown} == {answers[0]["result"]}
        assert [each["result"]["number"] for each in shown] == ["0x1", "0x2", "0x3"]


def test_stopping_ends_open_connections() -> None:
    """A server with subscribers stops at once; they are told, and the chain goes on."""
    chain = DevChain()
    server = RpcServer(chain, RpcSettings(port=0))
    url = f"ws://127.0.0.1:{server.start()}"
    with connect(url) as first, connect(url) as second:
        for ws in (first, second):
            _ask(ws, "eth_subscribe", "newHeads")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2
        for ws in (first, second):
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
    chain.mine()


def test_subscriptions_are_checked_and_bounded() -> None:
    """Unknown kinds, wrong filters and too many subscriptions are refused."""
    with (
        _serving(DevChain(), RpcSettings(port=0, subscriptions_max=2)) as url,
        connect(url) as ws,
    ):
        error = _ask(ws, "eth_subscribe", "nonsense")["error"]
        assert error == {"code": -32601, "message": 'no "nonsense" subscription in eth namespace'}
        assert _ask(ws, "eth_subscribe", "logs", {"topics": 1})["error"]["code"] == -32602
        assert _ask(ws, "eth_subscribe", "newPendingTransactions", 1)["error"]["code"] == -32602
        for _ in range(2):
            assert "result" in _ask(ws, "eth_subscribe", "newHeads")
        assert _ask(ws, "eth_subscribe", "newHeads")["error"]["code"] == -32005


def test_foreign_pages_and_hosts_cannot_open(served: Served) -> None:
    """A WebSocket of a page that is not listed, a foreign Host or another path is 403."""
    url = f"ws://127.0.0.1:{served.port}"
    with connect(url, additional_headers={"Origin": "https://wallet.example"}) as ws:
        assert _ask(ws, "eth_chainId")["result"] == "0x4f24"
    for target, headers in (
        (url, {"Origin": "https://evil.example"}),
        (url, {"Origin": "null"}),
        (url + "/other", {}),
    ):
        with pytest.raises(InvalidStatus) as refused, connect(target, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 403")


def test_too_many_websockets_and_large_messages() -> None:
    """Above the limits a connection is refused and a message ends its connection."""
    settings = RpcSettings(port=0, websockets_max=1, body_bytes_max=1_000)
    with _serving(DevChain(), settings) as url:
        with connect(url) as ws:
            with pytest.raises(InvalidStatus), connect(url):
                pass
            ws.send("x" * 1_001)
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
        time.sleep(0.05)
        with connect(url) as ws:
            assert _ask(ws, "eth_chainId")["result"] == "0x4f24"


@pytest.mark.slow
def test_a_slow_reader_is_cut_and_nobody_else_notices() -> None:
    """A client that stops reading is dropped when its queue is full; the others miss nothing.

    Planted bug it kills: one awaited send for all listeners, or an unbounded queue.
    """
    chain = DevChain()
    settings = RpcSettings(port=0, websocket_queue_bytes_max=1_000_000)
    with _serving(chain, settings) as url, connect(url) as good, socket.socket() as slow:
        _ask(good, "eth_subscribe", "newHeads")
        host, port = url.removeprefix("ws://").split(":")
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect((host, int(port)))
        blocks = 120
        with connect(url, sock=slow, max_queue=1, close_timeout=0.1) as ws:
            for _ in range(100):
                _ask(ws, "eth_subscribe", "newHeads")
            for number in range(1, blocks + 1):
                chain.mine()
                assert int(_next(good)["result"]["number"], 16) == number
            with pytest.raises(ConnectionClosed):
                for _ in range(100 * blocks):
                    ws.recv(timeout=5)
        assert _ask(good, "eth_blockNumber")["result"] == hex(blocks)
