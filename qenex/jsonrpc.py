"""A small JSON-RPC client over HTTP, enough to watch nodes; programs use web3.py."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from primitives.errors import ConfigError, QenexError, UpstreamDown

ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JsonRpc:
    """Calls the node at `url` (http://host:port); each call waits at most `timeout_s`.

    By default longer than a node works on a call (`rpc.call_timeout_s`), so that a busy one has the
    time to answer, or to say itself that it took too long.
    """

    url: str
    timeout_s: float = 15.0

    def call(self, method: str, *params: Any) -> Any:
        """Return the result; raises UpstreamDown without an answer, QenexError on an error."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        answer = self._post(body.encode())
        if not isinstance(answer, dict):
            raise UpstreamDown(f"{self.url} does not answer JSON-RPC")
        if "error" in answer:
            error = answer["error"]
            message = error.get("message") if isinstance(error, dict) else error
            raise QenexError(f"{method}: {message}", answer=error)
        return answer.get("result")

    def height(self) -> int:
        """Return the height of the latest block."""
        result = self.call("eth_blockNumber")
        try:
            return int(result, 16)
        except (TypeError, ValueError):
            raise UpstreamDown(f"{self.url} answers eth_blockNumber with {result!r}") from None

    def _post(self, body: bytes) -> Any:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"must be an address like http://127.0.0.1:8545, found {self.url}")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname, parts.port, timeout=self.timeout_s)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES_MAX)
            return json.loads(raw)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise UpstreamDown(f"no node answers at {self.url}: {reason}") from None
        except (ValueError, RecursionError):
            raise UpstreamDown(f"{self.url} does not answer JSON (is it a node?)") from None
        finally:
            connection.close()
