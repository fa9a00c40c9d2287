"""Stands in for `qenex node` in tests of `qenex localnet`: answers JSON-RPC, makes empty blocks.

The file `behaviour` in the data folder changes it: `die` ends it with code 3 at height 3,
`dead` at once with code 2, `stubborn` makes it ignore SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

BLOCK_S = 0.2
BEGUN = time.monotonic()
DIES_AT = 3


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def height() -> int:
    return int((time.monotonic() - BEGUN) / BLOCK_S)


def answer(method: str, params: list[Any]) -> Any:
    if method == "eth_blockNumber":
        return hex(height())
    if method == "eth_getBlockByNumber":
        number = int(params[0], 16)
        transactions = ["0x00"] * (number % 2)
        return {
            "hash": "0x" + f"{number:064x}",
            "timestamp": "0x5",
            "gasUsed": hex(21_000 * len(transactions)),
            "transactions": transactions,
        }
    return {"height": height(), "peers": [], "validators": [{"address": "0x1", "power": 1}]}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = answer(request["method"], request["params"])
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def stop(number: int, frame: FrameType | None) -> None:
    say("fake node stops cleanly")
    sys.exit(0)


def main() -> int:
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    mark = Path(arguments["--data-dir"]) / "behaviour"
    behaviour = mark.read_text() if mark.exists() else ""
    say("fake node starts")
    if behaviour == "dead":
        say("fatal: cannot start")
        return 2
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else stop)
    server = HTTPServer(("127.0.0.1", int(arguments["--rpc.port"])), Handler)
    server.timeout = 0.05
    while not (behaviour == "die" and height() >= DIES_AT):
        server.handle_request()
    say("fatal: an invariant broke")
    return 3


if __name__ == "__main__":
    sys.exit(main())
