"""JSON of requests, read strictly: what RFC 8259 leaves open is a parse error here.

Text that is not UTF-8, NaN and infinities, duplicate keys, depth above a limit and bytes behind the
value are refused.
"""

from __future__ import annotations

import json
from typing import Any, Final

from node.rpc.errors import PARSE_ERROR, RpcError


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def parse_json(body: bytes, depth_max: int) -> Any:
    """Return the JSON value of `body`; raises RpcError -32700."""
    try:
        text = body.decode("utf-8")
        _check_depth(text, depth_max)
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "parse error") from None


def _check_depth(text: str, depth_max: int) -> None:
    if text.count("[") + text.count("{") > depth_max and _depth(text) > depth_max:
        raise ValueError("nested too deeply")


def _depth(text: str) -> int:
    deepest = depth = 0
    in_string = escaped = False
    for each in text:
        if in_string:
            if escaped:
                escaped = False
            elif each == "\\":
                escaped = True
            elif each == '"':
                in_string = False
        elif each == '"':
            in_string = True
        elif each in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif each in "]}":
            depth -= 1
    return deepest
