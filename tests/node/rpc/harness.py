"""Asks a dispatcher, or a server over HTTP, and gives back plain values."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from eth_account import Account as Wallet

from node.rpc.backend import Backend
from node.rpc.dispatch import Dispatcher, Method
from node.rpc.filters import Filters
from node.rpc.hub import Hub
from node.rpc.lanes import Lanes
from node.rpc.methods import all_methods
from node.rpc.settings import RpcSettings
from primitives.crypto.secp256k1 import PrivateKey

GWEI = 10**9


class Rpc:
    """A dispatcher over a chain, in a loop that runs while it is asked."""

    def __init__(
        self,
        chain: Any,
        settings: RpcSettings | None = None,
        now: Callable[[], float] = time.monotonic,
        methods: Mapping[str, Method] | None = None,
    ) -> None:
        self.chain = chain
        settings = settings or RpcSettings()
        self._loop = asyncio.new_event_loop()
        self._lanes = Lanes(settings)
        self._hub = Hub(chain)
        filters = Filters(settings, now)
        self._backend = Backend(chain, settings, self._hub, filters, self._lanes)
        self._dispatcher = Dispatcher(methods or all_methods(), self._backend)
        self._loop.run_until_complete(self._open(filters))

    async def _open(self, filters: Filters) -> None:
        self._hub.open()
        self._hub.join(filters)

    def close(self) -> None:
        """End the loop and the workers."""
        self._hub.close()
        self._lanes.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    @property
    def awaited(self) -> int:
        """How many receipts are awaited."""
        return self._hub.awaited

    def turn(self) -> None:
        """Let events that wait in the loop be delivered."""
        self._loop.run_until_complete(asyncio.sleep(0))

    def send(self, body: bytes) -> Any:
        """Return the parsed answer to raw bytes, or None where there is none."""
        answer = self._loop.run_until_complete(self._dispatcher.answer(body))
        return None if answer is None else json.loads(answer)

    def ask(self, method: str, *params: object) -> dict[str, Any]:
        """Return the whole answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return cast("dict[str, Any]", self.send(json.dumps(body).encode()))

    def call(self, method: str, *params: object) -> Any:
        """Return the result; fails the test when the answer is an error."""
        answer = self.ask(method, *params)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def error(self, method: str, *params: object) -> tuple[int, str]:
        """Return (code, message); fails the test when the answer is no error."""
        answer = self.ask(method, *params)
        assert "error" in answer, answer
        return answer["error"]["code"], answer["error"]["message"]


def sign(key: PrivateKey, nonce: int, **fields: object) -> bytes:
    """Return the raw bytes of a signed transaction; without a fee field it is EIP-1559."""
    filled: dict[str, object] = {
        "to": "0x" + "11" * 20,
        "value": 0,
        "gas": 21_000,
        "nonce": nonce,
        "chainId": 20_260,
    }
    if "gasPrice" not in fields:
        filled |= {"maxFeePerGas": 3 * GWEI, "maxPriorityFeePerGas": GWEI}
    filled |= fields
    to = filled.pop("to")
    if to is not None:
        filled["to"] = bytes.fromhex(str(to)[2:])
    return bytes(Wallet.from_key(key.raw).sign_transaction(filled).raw_transaction)


def to_hex(raw: bytes) -> str:
    """Return 0x hex."""
    return "0x" + raw.hex()


class Reply:
    """Status, headers and body of an HTTP answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()


def http_request(
    port: int,
    verb: str = "POST",
    path: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one HTTP request on a fresh connection; JSON is the default content type."""
    given = {"Content-Type": "application/json", **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(verb, path, body, given)
        return Reply(connection.getresponse())
    finally:
        connection.close()
