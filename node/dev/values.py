"""Parameters of developer methods: tools send numbers as hex, decimal text or JSON numbers."""

from __future__ import annotations

from typing import Any, Final, cast

from node.dev.chain import DevChain
from node.rpc.arguments import BadArgument, parse_quantity
from node.rpc.backend import Request
from node.rpc.errors import invalid_params
from primitives.errors import ensure

DIGITS_MAX: Final = 78
"""Decimal digits of 2^256."""


def chain_of(request: Request) -> DevChain:
    """Return the developer chain that the server serves."""
    api = request.backend.api
    ensure(isinstance(api, DevChain), "developer methods are served by `qenex dev` only")
    return cast("DevChain", api)


def look_again(request: Request) -> None:
    """Let what follows in the same batch see what has just changed."""
    request.view = request.backend.api.view()


def number(value: object, what: str, bits: int = 256) -> int:
    """Return an unsigned number; raises RpcError -32602."""
    try:
        found = _number(value)
    except BadArgument as error:
        raise invalid_params(f"{what}: {error}") from None
    if found < 0 or found >> bits:
        raise invalid_params(f"{what}: out of range, want 0 to 2^{bits} - 1")
    return found


def _number(value: object) -> int:
    if isinstance(value, bool):
        raise BadArgument("want a number, found a boolean")
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        if value[:2] in ("0x", "0X"):
            digits = value[2:].lstrip("0")
            return int(parse_quantity("0x" + (digits or "0")))
        if value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX:
            return int(value)
    raise BadArgument("want a number: hex with 0x, decimal or a JSON number")


def fields(value: object, what: str) -> dict[str, Any]:
    """Return a JSON object, {} for null; raises RpcError -32602."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid_params(f"{what}: want an object")
    return {name: each for name, each in value.items() if each is not None}
