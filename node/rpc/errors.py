"""The one table from our error tree to JSON-RPC codes, with go-ethereum's words.

Codes: JSON-RPC 2.0 section 5.1; 3, 4 and 4444 from the Ethereum execution-apis error groups and
EIP-7966; -32000..-32005 as go-ethereum and EIP-1474 use them. Wallets match the messages by
regular expression, so a message is part of the interface.
"""

from __future__ import annotations

from typing import Final

from primitives.errors import (
    AlreadyKnown,
    HistoryPruned,
    InvalidRequest,
    InvalidTransaction,
    NotPermitted,
    QenexError,
    RateLimited,
    Rejected,
    Syncing,
    Timeout,
    Unavailable,
)
from vm.engine import ExecutionFailed, ExecutionReverted, revert_message

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
NOT_ENABLED: Final = -32604
SERVER_ERROR: Final = -32000
NOT_FOUND: Final = -32001
UNAUTHORIZED: Final = -32001
TIMED_OUT: Final = -32002
RESPONSE_TOO_LARGE: Final = -32003
LIMIT_EXCEEDED: Final = -32005
NOT_PERMITTED: Final = -32007
REVERTED: Final = 3
SYNC_TIMEOUT: Final = 4
HISTORY_PRUNED: Final = 4444

_CODES: Final[tuple[tuple[type[QenexError], int], ...]] = (
    (InvalidRequest, INVALID_PARAMS),
    (InvalidTransaction, SERVER_ERROR),
    (AlreadyKnown, SERVER_ERROR),
    (RateLimited, LIMIT_EXCEEDED),
    (NotPermitted, NOT_PERMITTED),
    (Syncing, SERVER_ERROR),
    (HistoryPruned, HISTORY_PRUNED),
    (Rejected, SERVER_ERROR),
    (Timeout, TIMED_OUT),
    (Unavailable, SERVER_ERROR),
)


class RpcError(Exception):
    """An answer that is an error: code, message and optional JSON data."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, object]:
        """Return the error object of JSON-RPC 2.0."""
        answer: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            answer["data"] = self.data
        return answer


def invalid_params(message: str) -> RpcError:
    """Return the error for wrong parameters."""
    return RpcError(INVALID_PARAMS, message)


def server_error(message: str) -> RpcError:
    """Return go-ethereum's default error."""
    return RpcError(SERVER_ERROR, message)


def reverted(output: bytes) -> RpcError:
    """Return the error of a reverted call: code 3, the reason in words, the output as data."""
    return RpcError(REVERTED, revert_message(output), "0x" + output.hex())


def from_domain(error: QenexError, *, facts: bool) -> RpcError:
    """Return the JSON-RPC error of one of ours, with its plain facts as data when `facts`.

    Calls must go without: web3.py takes any object in the data of a failed call for a revert.
    """
    if isinstance(error, ExecutionReverted):
        return reverted(error.output)
    if isinstance(error, ExecutionFailed):
        return RpcError(SERVER_ERROR, error.message)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return RpcError(code, error.message, _plain_facts(error) if facts else None)
    return RpcError(INTERNAL_ERROR, "internal error")


def _plain_facts(error: QenexError) -> dict[str, object] | None:
    plain: dict[str, object] = {}
    for name, fact in error.facts.items():
        if isinstance(fact, bytes):
            plain[name] = "0x" + fact.hex()
        elif isinstance(fact, (bool, str)):
            plain[name] = fact
        elif isinstance(fact, int):
            plain[name] = hex(fact)
    return plain or None
