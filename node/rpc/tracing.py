"""The options of debug_trace*: JSON to a `TraceRequest` with its time limit and overrides.

Source: execution-apis TraceConfig; go-ethereum eth/tracers/api.go and eth/tracers/native for the
names. A tracer that is not known is refused; there are no JavaScript tracers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from node.rpc.arguments import BadArgument, parse_flag
from node.rpc.overrides import parse_block_overrides, parse_state
from vm.overrides import BlockOverrides, StateOverrides
from vm.trace.requests import (
    CallTree,
    FlatCalls,
    FourBytes,
    GasProfile,
    Noop,
    Prestate,
    Several,
    StructLogs,
    TraceRequest,
)

PARTS_MAX: Final = 16
"""Tracers in one muxTracer."""

_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+\Z")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What to trace; `timeout_s` None means the server's limit. Overrides are for traceCall."""

    request: TraceRequest = field(default_factory=StructLogs)
    timeout_s: float | None = None
    state: StateOverrides | None = None
    block: BlockOverrides | None = None


def parse_trace_options(value: object) -> TraceOptions:
    """Return the options; raises BadArgument."""
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into trace options")
    given = {name: each for name, each in value.items() if each is not None}
    name = given.get("tracer", "")
    if not isinstance(name, str):
        raise BadArgument("cannot unmarshal value into tracer name")
    request = _named(name, given.get("tracerConfig", {})) if name else _struct_logs(given)
    state, block = given.get("stateOverrides"), given.get("blockOverrides")
    return TraceOptions(
        request=request,
        timeout_s=_seconds(given["timeout"]) if "timeout" in given else None,
        state=None if state is None else parse_state(state).accounts,
        block=None if block is None else parse_block_overrides(block),
    )


def _struct_logs(given: dict[str, Any]) -> StructLogs:
    limit = given.get("limit", 0)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise BadArgument("want a limit of 0 or more steps")
    return StructLogs(
        memory=_flag(given, "enableMemory"),
        stack=not _flag(given, "disableStack"),
        storage=not _flag(given, "disableStorage"),
        return_data=_flag(given, "enableReturnData"),
        limit=limit,
    )


def _named(name: str, config: object) -> TraceRequest:
    if not isinstance(config, dict):
        raise BadArgument("cannot unmarshal value into tracer config")
    match name:
        case "callTracer":
            return CallTree(_flag(config, "onlyTopCall"), _flag(config, "withLog"))
        case "flatCallTracer":
            return FlatCalls(
                _flag(config, "convertParityErrors"), _flag(config, "includePrecompiles")
            )
        case "prestateTracer":
            return _prestate(config)
        case "4byteTracer":
            return FourBytes()
        case "noopTracer":
            return Noop()
        case "gasProfileTracer":
            return GasProfile()
        case "muxTracer":
            return _several(config)
        case _:
            raise BadArgument("tracer not found")


def _prestate(config: dict[str, Any]) -> Prestate:
    diff, empty = _flag(config, "diffMode"), _flag(config, "includeEmpty")
    if diff and empty:
        raise BadArgument("cannot use diffMode with includeEmpty")
    return Prestate(
        diff, not _flag(config, "disableCode"), not _flag(config, "disableStorage"), empty
    )


def _several(config: dict[str, Any]) -> Several:
    if len(config) > PARTS_MAX or "muxTracer" in config:
        raise BadArgument(f"want at most {PARTS_MAX} tracers, none of them a muxTracer")
    return Several(tuple((name, _named(name, each or {})) for name, each in config.items()))


def _flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name)
    return False if value is None else parse_flag(value)


def _seconds(value: object) -> float:
    """Return a Go duration in seconds."""
    if not isinstance(value, str) or len(value) > 64 or not _DURATION.match(value):
        raise BadArgument(f"time: invalid duration {value!r}"[:128])
    return sum(float(count) * _SECONDS[unit] for count, unit in _PART.findall(value))


PARSERS: Final[dict[object, Callable[[object], object]]] = {TraceOptions: parse_trace_options}
