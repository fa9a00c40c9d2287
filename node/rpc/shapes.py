"""Parameters and results of methods in words and as JSON Schema, for the docs and rpc.discover.

A parameter's shape is that of its type (`SHAPES`), a result's is read from the annotation of the
method; one table serves the parser, the reference in docs/rpc.md and the service's own OpenRPC
document.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any, Final

from node.rpc.arguments import (
    BlockRef,
    CallObject,
    Count,
    Data,
    FilterObject,
    Name,
    Names,
    Options,
    Percentiles,
    Quantity,
    Raws,
    Slot,
    Slots,
    StorageRequest,
    TraceFilter,
)
from node.rpc.encoded import EncodedList, EncodedObject
from node.rpc.overrides import SimulationArgument, StateArgument
from node.rpc.payload import PayloadAttributes
from node.rpc.tracing import TraceOptions
from primitives.types import Address, Hash32
from vm.overrides import BlockOverrides

Schema = dict[str, Any]

_QUANTITY: Final = "^0x(0|[1-9a-fA-F][0-9a-fA-F]*)$"


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of value: its name in the docs, and its schema."""

    words: str
    schema: Schema


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def _object(*names: str) -> Schema:
    return {"type": "object", "properties": {name: {} for name in names}}


_TAGS: Final = ["earliest", "finalized", "latest", "pending", "safe"]
_BLOCK: Final[Schema] = {
    "anyOf": [
        _text(_QUANTITY),
        {"type": "string", "enum": _TAGS},
        _text("^0x[0-9a-fA-F]{64}$"),
        _object("blockNumber", "blockHash", "requireCanonical"),
    ]
}
_CALL_FIELDS: Final = (
    "from",
    "to",
    "gas",
    "gasPrice",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "value",
    "data",
    "input",
    "nonce",
    "chainId",
    "accessList",
    "authorizationList",
    "blobVersionedHashes",
    "maxFeePerBlobGas",
)

SHAPES: Final[dict[object, Shape]] = {
    Quantity: Shape("quantity", _text(_QUANTITY)),
    Data: Shape("data", _text("^0x([0-9a-fA-F]{2})*$")),
    Slot: Shape("slot", _text("^(0x|0X)?[0-9a-fA-F]{0,64}$")),
    Slots: Shape("list of slots", {"type": "array", "items": {"type": "string"}}),
    Count: Shape("count", {"anyOf": [_text("^(0x[0-9a-fA-F]+|[0-9]+)$"), {"type": "integer"}]}),
    Percentiles: Shape("list of percentiles", {"type": "array", "items": {"type": "number"}}),
    Name: Shape("name", {"type": "string"}),
    Names: Shape("list of names", {"type": "array", "items": {"type": "string"}}),
    Options: Shape("any", {}),
    Raws: Shape("list of data", {"type": "array", "items": {"type": "string"}}),
    Address: Shape("address", _text("^0x[0-9a-fA-F]{40}$")),
    Hash32: Shape("hash", _text("^0x[0-9a-fA-F]{64}$")),
    BlockRef: Shape("block", _BLOCK),
    CallObject: Shape("call", _object(*_CALL_FIELDS)),
    FilterObject: Shape(
        "filter", _object("fromBlock", "toBlock", "blockHash", "address", "topics")
    ),
    StorageRequest: Shape("slots by address", {"type": "object"}),
    TraceFilter: Shape(
        "trace filter",
        _object("fromBlock", "toBlock", "fromAddress", "toAddress", "after", "count"),
    ),
    StateArgument: Shape("state overrides", {"type": "object"}),
    BlockOverrides: Shape("block overrides", {"type": "object"}),
    SimulationArgument: Shape(
        "simulation",
        _object("blockStateCalls", "traceTransfers", "validation", "returnFullTransactions"),
    ),
    TraceOptions: Shape("trace options", {"type": "object"}),
    PayloadAttributes: Shape("payload attributes", {"type": "object"}),
    bool: Shape("boolean", {"type": "boolean"}),
}


def result_schema(hint: Any) -> Schema:
    """Return the schema of what a method with this return annotation answers."""
    if hint is None or hint is type(None):
        return {"type": "null"}
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return {"anyOf": [result_schema(each) for each in typing.get_args(hint)]}
    plain = typing.get_origin(hint) or hint
    if plain is EncodedList:
        return {"type": "array"}
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (str, "string"),
        (dict, "object"),
        (EncodedObject, "object"),
    ):
        if isinstance(plain, type) and issubclass(plain, kind):
            return {"type": name}
    is_list = isinstance(plain, type) and plain not in (object, str) and hasattr(plain, "__iter__")
    return {"type": "array"} if is_list else {}
