"""The small JSON-RPC client, the status table and the follower, against a server that lies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from primitives.errors import QenexError, UpstreamDown
from qenex.cli import main
from qenex.commands.status import table
from qenex.follow import BLOCKS_MAX, Follower
from qenex.jsonrpc import JsonRpc


class Handler(BaseHTTPRequestHandler):
    """Answers with what the test planted: raw bytes, or results by method."""

    raw: ClassVar[bytes | None] = None
    results: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = self.results.get(request["method"])
        if callable(result):
            result = result(*request["params"])
        body = self.raw or json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of the server, its answers empty."""
    monkeypatch.setattr(Handler, "raw", None)
    monkeypatch.setattr(Handler, "results", {})
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def plant(monkeypatch: pytest.MonkeyPatch, **results: Any) -> None:
    monkeypatch.setattr(Handler, "results", results)


def test_result(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result comes back as it is; a height is a number."""
    plant(monkeypatch, eth_blockNumber="0x1f", x={"a": [1]})
    assert JsonRpc(url).call("x") == {"a": [1]}
    assert JsonRpc(url).height() == 31


@pytest.mark.parametrize("raw", [b"<html>", b"[1]", b"[" * 5_000, b"\xff", b'"x"'])
def test_no_node(url: str, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is no JSON-RPC answer is UpstreamDown, never another exception."""
    monkeypatch.setattr(Handler, "raw", raw)
    with pytest.raises(UpstreamDown, match=r"127\.0\.0\.1"):
        JsonRpc(url).call("x")


@pytest.mark.parametrize("result", [None, 5, "x", {}])
def test_bad_height(url: str, result: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A height that is no 0x number is UpstreamDown."""
    plant(monkeypatch, eth_blockNumber=result)
    with pytest.raises(UpstreamDown):
        JsonRpc(url).height()


@pytest.mark.parametrize("error", [{"code": -32601, "message": "no such method"}, "broken"])
def test_error_answer(url: str, error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node's error is a QenexError with its words."""
    monkeypatch.setattr(Handler, "raw", json.dumps({"id": 1, "error": error}).encode())
    with pytest.raises(QenexError, match=r"x: (no such method|broken)"):
        JsonRpc(url).call("x")


def test_status_table() -> None:
    """Facts stand in lines, lists of objects in columns under their names."""
    lines = list(
        table(
            {
                "height": 20260,
                "syncing": False,
                "pool": {"pending": 2},
                "peers": [],
                "validators": [{"address": "0x1", "power": 10}, {"address": "0x22", "up": None}],
            }
        )
    )
    assert lines == [
        "height        20260",
        "syncing       no",
        "pool          pending 2",
        "peers         0",
        "validators    2",
        "  address  power  up",
        "  0x1      10     none",
        "  0x22     none   none",
    ]


def test_status_command(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`qenex status --json` prints the node's own answer; anything else is one clear line."""
    plant(monkeypatch, qenex_status={"height": 3})
    assert main(["status", "--rpc", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"height": 3}
    plant(monkeypatch, qenex_status=7)
    assert main(["status", "--rpc", url]) == 1
    assert "answers qenex_status with 7" in capsys.readouterr().err


def block(number: str, full: bool) -> dict[str, Any]:
    return {"hash": "0x" + "ab" * 32, "timestamp": "0x1", "gasUsed": "0x0", "transactions": []}


def test_follower(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is shown once; a long gap is counted; a node that is gone is passed over."""
    plant(monkeypatch, eth_blockNumber="0x5", eth_getBlockByNumber=block)
    follower = Follower(["http://127.0.0.1:9", url], 3)
    assert [line.split()[1:3] for line in follower.new_lines()] == [["block", "4"], ["block", "5"]]
    assert list(follower.new_lines()) == []
    plant(monkeypatch, eth_blockNumber=hex(1_005), eth_getBlockByNumber=block)
    lines = list(follower.new_lines())
    assert lines[0] == f"... {1_000 - BLOCKS_MAX} blocks"
    assert len(lines) == BLOCKS_MAX + 1
    assert list(Follower(["http://127.0.0.1:9"], 3).new_lines()) == []
