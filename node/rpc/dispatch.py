"""JSON-RPC 2.0 to the letter: bytes in, bytes out, whatever the bytes are.

Source: https://www.jsonrpc.org/specification. Ids are strings, numbers or null and come back
unchanged; a request without an id is a notification and gets no answer; a batch is answered by an
array in the same order. Beyond the letter: text that is not UTF-8, NaN and infinities, duplicate
keys, depth above the limit and trailing bytes are parse errors. Parameters go by position only.

A method is a function with annotated parameters. Inline methods run in the server's loop and must
be quick; the others run in bounded worker lanes with a time limit.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import time
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from node.rpc import arguments, overrides, tracing
from node.rpc.arguments import BadArgument
from node.rpc.backend import Backend, Request, Session
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RESPONSE_TOO_LARGE,
    RpcError,
    from_domain,
    invalid_params,
)
from node.rpc.lanes import Lane
from primitives.errors import Fatal, QenexError, ensure

FAIR_ITEMS: Final = 32
"""Inline answers of a batch between two turns for other connections."""

_PARSERS: Final = {**arguments.PARSERS, **overrides.PARSERS, **tracing.PARSERS}
_MISSING: Final = object()
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
log = structlog.get_logger(room="rpc")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One positional parameter; `default` is _MISSING when it is required."""

    parse: Callable[[object], object]
    default: object


Many = Callable[["Request", list[list[object]]], list[object]]


@dataclass(frozen=True, slots=True)
class Method:
    """A registered method: its function, parameters and where it runs.

    `offload` decides per call, from the request and the parsed arguments, whether a method of a
    worker lane must go there; otherwise it runs inline. `many` serves calls that follow each other
    in a batch at once: argument lists in, a value or a QenexError for each out.
    """

    name: str
    function: Callable[..., object]
    parameters: tuple[Parameter, ...]
    lane: Lane
    offload: Callable[..., bool] | None
    is_async: bool
    many: Many | None = None


class MethodTable:
    """Methods by name; each `methods_*` module fills one, the server joins them."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def method(
        self,
        name: str,
        *,
        lane: Lane = Lane.INLINE,
        offload: Callable[..., bool] | None = None,
        many: Many | None = None,
    ) -> Callable[[Callable[..., object]], Callable[..., object]]:
        """Return a decorator that registers a function under `name`."""

        def register(function: Callable[..., object]) -> Callable[..., object]:
            ensure(name not in self.methods, "a method name is registered once", name=name)
            self.methods[name] = Method(
                name,
                function,
                _parameters(function),
                lane,
                offload,
                inspect.iscoroutinefunction(function),
                many,
            )
            return function

        return register


def _parameters(function: Callable[..., object]) -> tuple[Parameter, ...]:
    hints = typing.get_type_hints(function)
    parameters = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        hint = hints[parameter.name]
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
            hint = next(each for each in typing.get_args(hint) if each is not type(None))
        default = _MISSING if parameter.default is parameter.empty else parameter.default
        parameters.append(Parameter(_PARSERS[hint], default))
    return tuple(parameters)


def parse_arguments(parameters: tuple[Parameter, ...], given: object) -> list[object]:
    """Return the typed arguments; raises RpcError -32602 with the position of the wrong one."""
    if given is None:
        given = []
    if isinstance(given, dict):
        raise invalid_params("non-array args: parameters go by position, not by name")
    if not isinstance(given, list):
        raise invalid_params("non-array args")
    if len(given) > len(parameters):
        raise invalid_params(f"too many arguments, want at most {len(parameters)}")
    arguments = []
    for position, parameter in enumerate(parameters):
        value = given[position] if position < len(given) else None
        if value is None:
            if parameter.default is _MISSING:
                raise invalid_params(f"missing value for required argument {position}")
            arguments.append(parameter.default)
            continue
        try:
            arguments.append(parameter.parse(value))
        except BadArgument as error:
            raise invalid_params(f"invalid argument {position}: {error}") from None
    return arguments


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def parse_json(body: bytes, depth_max: int) -> Any:
    """Return the JSON value of `body`; raises RpcError -32700."""
    try:
        text = body.decode("utf-8")
        _check_depth(text, depth_max)
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
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


def to_json(value: object) -> bytes:
    """Return compact JSON in ASCII."""
    return _ENCODER.encode(value).encode("ascii")


def error_answer(error: RpcError, request_id: object = None) -> bytes:
    """Return a whole JSON-RPC error response."""
    return to_json({"jsonrpc": "2.0", "id": request_id, "error": error.to_json()})


def _is_id(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int))


def _is_request(value: dict[str, Any]) -> bool:
    return (
        value.get("jsonrpc") == "2.0"
        and isinstance(value.get("method"), str)
        and _is_id(value.get("id"))
    )


def _is_notification(item: object) -> bool:
    return isinstance(item, dict) and "id" not in item


def _result_answer(item: dict[str, Any], result: bytes) -> bytes | None:
    """Return the response that carries the JSON `result`, or None for a notification."""
    if "id" not in item:
        return None
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (to_json(item["id"]), result)


def _answer_of(item: dict[str, Any], found: object) -> bytes | None:
    """Return the response with a value or an RpcError, or None for a notification."""
    if not isinstance(found, RpcError):
        return _result_answer(item, to_json(found))
    return error_answer(found, item["id"]) if "id" in item else None


class Dispatcher:
    """Answers JSON-RPC bodies; runs in the server's loop."""

    def __init__(self, methods: Mapping[str, Method], backend: Backend) -> None:
        self._methods = methods
        self._backend = backend
        self._settings = backend.settings
        self._lanes = backend.lanes

    async def answer(self, body: bytes, session: Session | None = None) -> bytes | None:
        """Return the response to one body, or None where JSON-RPC wants none."""
        try:
            value = parse_json(body, self._settings.json_depth_max)
        except RpcError as error:
            return error_answer(error)
        deadline = time.monotonic() + self._settings.request_timeout_s
        request = Request(self._backend, session, deadline)
        if isinstance(value, list):
            return await self._answer_batch(value, request)
        answer = await self._answer_one(value, request)
        if answer is not None and len(answer) > self._settings.response_bytes_max:
            return error_answer(_too_large(), _id_of(value))
        return answer

    async def _answer_batch(self, items: list[Any], request: Request) -> bytes | None:
        if not items:
            return error_answer(RpcError(INVALID_REQUEST, "empty batch"))
        if len(items) > self._settings.batch_items_max:
            return error_answer(RpcError(INVALID_REQUEST, "batch too large"))
        answers: list[bytes] = []
        room = self._settings.response_bytes_max
        position = rested = 0
        while position < len(items):
            if room <= 0:
                left = [each for each in items[position:] if not _is_notification(each)]
                answers += [error_answer(_too_large(), _id_of(each)) for each in left]
                break
            together = items[position : position + self._together(items, position)]
            position += len(together)
            for item, answer in zip(
                together, await self._answer_some(together, request), strict=True
            ):
                if answer is None:
                    continue
                room -= len(answer)
                answers.append(answer if room > 0 else error_answer(_too_large(), _id_of(item)))
            if position - rested >= FAIR_ITEMS:
                rested = position
                await asyncio.sleep(0)
        return b"[" + b",".join(answers) + b"]" if answers else None

    def _together(self, items: list[Any], start: int) -> int:
        """Return how many items from `start` on are calls of one method that serves many."""
        method = self._method_of(items[start])
        if method is None or method.many is None:
            return 1
        end = start + 1
        while end < len(items) and self._method_of(items[end]) is method:
            end += 1
        return end - start

    def _method_of(self, item: object) -> Method | None:
        if not isinstance(item, dict) or not _is_request(item):
            return None
        return self._methods.get(item["method"])

    async def _answer_some(self, items: list[Any], request: Request) -> list[bytes | None]:
        """Return the answers to items that `_together` found, or to a single one."""
        method = self._method_of(items[0])
        if len(items) == 1 or method is None or method.many is None:
            return [await self._answer_one(items[0], request)]
        outcomes: list[object] = []
        calls: list[list[object]] = []
        for item in items:
            try:
                calls.append(parse_arguments(method.parameters, item.get("params")))
                outcomes.append(None)
            except RpcError as error:
                outcomes.append(error)
        many = method.many
        try:
            done = iter(await self._lanes.run(method.lane, lambda: many(request, calls), request))
        except RpcError as error:
            done = iter([error] * len(calls))
        answers = []
        for item, outcome in zip(items, outcomes, strict=True):
            found = next(done) if outcome is None else outcome
            if isinstance(found, QenexError):
                found = from_domain(found, facts=method.lane is Lane.SUBMIT)
            answers.append(_answer_of(item, found))
        return answers

    async def _answer_one(self, value: object, request: Request) -> bytes | None:
        if not isinstance(value, dict) or not _is_request(value):
            return error_answer(RpcError(INVALID_REQUEST, "invalid request"), _id_of(value))
        try:
            result = await self._call(value["method"], value.get("params"), request)
        except RpcError as error:
            return error_answer(error, value.get("id")) if "id" in value else None
        return _result_answer(value, result)

    async def _call(self, name: str, params: object, request: Request) -> bytes:
        method = self._methods.get(name)
        if method is None:
            shown = name if len(name) <= 100 else name[:100] + "…"
            raise RpcError(METHOD_NOT_FOUND, f"the method {shown} does not exist/is not available")
        arguments = parse_arguments(method.parameters, params)
        try:
            if method.is_async:
                function = typing.cast("Callable[..., Awaitable[object]]", method.function)
                return to_json(await function(request, *arguments))
            if method.lane is Lane.INLINE or (
                method.offload is not None and not method.offload(request, *arguments)
            ):
                return to_json(method.function(request, *arguments))
            return await self._lanes.run(
                method.lane,
                lambda: to_json(method.function(request, *arguments)),
                request,
            )
        except Fatal:
            log.exception("method found a broken invariant", method=name)
            raise RpcError(INTERNAL_ERROR, "internal error") from None
        except QenexError as error:
            raise from_domain(error, facts=method.lane is Lane.SUBMIT) from None
        except RpcError:
            raise
        except Exception:
            # The one place that turns a surprise into an answer, so that the server goes on.
            log.exception("method failed", method=name)
            raise RpcError(INTERNAL_ERROR, "internal error") from None


def _too_large() -> RpcError:
    return RpcError(RESPONSE_TOO_LARGE, "response too large")


def _id_of(value: object) -> object:
    request_id = value.get("id") if isinstance(value, dict) else None
    return request_id if _is_id(request_id) else None
