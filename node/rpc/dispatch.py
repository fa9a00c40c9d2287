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
import math
import time
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog

from node.rpc import arguments, encoded, overrides, payload, tracing
from node.rpc.access import Caller, unknown_method
from node.rpc.arguments import BadArgument
from node.rpc.backend import Backend, Request, Session
from node.rpc.counts import OK, UNKNOWN
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    NOT_ENABLED,
    RESPONSE_TOO_LARGE,
    RpcError,
    from_domain,
    invalid_params,
)
from node.rpc.jsontext import parse_json
from node.rpc.lanes import Lane
from primitives.errors import BrokenInvariant, Fatal, QenexError, ensure

FAIR_ITEMS: Final = 32
"""Inline answers of a batch between two turns for other connections."""

NOW_BYTES_MAX: Final = 4_096
"""Longest body that is answered at once, between two turns of the loop."""

_PARSERS: Final = {**arguments.PARSERS, **overrides.PARSERS, **tracing.PARSERS, **payload.PARSERS}
_MISSING: Final = object()
to_json: Final = encoded.to_json
log = structlog.get_logger(room="rpc")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One positional parameter; `default` is _MISSING when it is required."""

    parse: Callable[[object], object]
    default: object
    name: str = ""
    hint: object = None


Many = Callable[["Request", list[list[object]]], list[object]]
Put = Callable[[bytes], None]

LATER: Final = b""
"""Stands for an answer that a worker will give."""


@dataclass(frozen=True, slots=True)
class Method:
    """A registered method: its function, parameters and where it runs.

    `offload` decides per call, from the request and the parsed arguments, whether a method of a
    worker lane must go there; otherwise it runs inline. `many` serves calls that follow each other
    in a batch at once: argument lists in, a value or a QenexError for each out. `for_operator`
    methods change the node; they answer only where the settings say so. `summary` is the
    docstring, `result` the annotation of what the function returns.
    """

    name: str
    function: Callable[..., object]
    parameters: tuple[Parameter, ...]
    lane: Lane
    offload: Callable[..., bool] | None
    is_async: bool
    many: Many | None = None
    for_operator: bool = False
    summary: str = ""
    result: object = None


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
        for_operator: bool = False,
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
                for_operator,
                inspect.getdoc(function) or "",
                typing.get_type_hints(function)["return"],
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
        name = parameter.name.strip("_")
        parameters.append(Parameter(_PARSERS[hint], default, name, hint))
    return tuple(parameters)


def is_required(parameter: Parameter) -> bool:
    """Return whether a call must give the parameter."""
    return parameter.default is _MISSING


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


def _needs_worker(method: Method, item: dict[str, Any], request: Request) -> bool:
    """Return whether this call of a method that has a lane must go there."""
    if method.offload is None:
        return True
    try:
        return method.offload(request, *parse_arguments(method.parameters, item.get("params")))
    except QenexError:
        return True


def _result_answer(item: dict[str, Any], result: bytes) -> bytes | None:
    """Return the response that carries the JSON `result`, or None for a notification."""
    if "id" not in item:
        return None
    request_id = item["id"]
    shown = b"%d" % request_id if type(request_id) is int else to_json(request_id)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (shown, result)


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
        self._counts = backend.counts

    async def answer(
        self, body: bytes, session: Session | None = None, caller: Caller | None = None
    ) -> bytes | None:
        """Return the response to one body, or None where JSON-RPC wants none.

        A `caller` may have less than all methods, and so many calls a second. When a request that
        is no batch came too soon, its `retry_s` says so.
        """
        try:
            value = parse_json(body, self._settings.json_depth_max)
        except RpcError as error:
            return error_answer(error)
        deadline = time.monotonic() + self._settings.request_timeout_s
        request = Request(self._backend, session, deadline, caller)
        if isinstance(value, list):
            answer = await self._answer_batch(value, request)
            if caller is not None:
                caller.retry_s = 0.0
            return answer
        answer = await self._answer_one(value, request)
        if answer is not None and len(answer) > self._settings.response_bytes_max:
            return error_answer(_too_large(), _id_of(value))
        return answer

    def answer_now(
        self, body: bytes, caller: Caller | None = None, put: Put | None = None
    ) -> bytes | None:
        """Return the response to one small call that needs no worker; None is for `answer`.

        Nothing is done for what `answer` must answer: another form, a batch, a notification, an
        unknown method, or one that would hold up the loop. Only a submission, where `put` is
        given, goes to its worker and is answered LATER: once, by `put`, in the loop.
        """
        if len(body) > NOW_BYTES_MAX or body[:1] != b"{":
            return None
        try:
            value = parse_json(body, self._settings.json_depth_max)
        except RpcError:
            return None
        method = self._method_of(value)
        if method is None or method.is_async or "id" not in value:
            return None
        deadline = time.monotonic() + self._settings.request_timeout_s
        request = Request(self._backend, None, deadline, caller)
        if method.lane is Lane.SUBMIT and put is not None:
            return self._submit(method, value, request, put)
        if method.lane is not Lane.INLINE and _needs_worker(method, value, request):
            return None
        answering = self._answer_one(value, request)
        try:
            answering.send(None)
        except StopIteration as end:
            answer: bytes = end.value
            if len(answer) > self._settings.response_bytes_max:
                return error_answer(_too_large(), _id_of(value))
            return answer
        raise BrokenInvariant("a call that needs no worker must not wait", method=method.name)

    def _submit(
        self, method: Method, item: dict[str, Any], request: Request, put: Put
    ) -> bytes | None:
        """Let a worker answer through `put` and return LATER, or return what refuses the call.

        None for a call that came too soon: its answer has another status.
        """
        began = time.perf_counter()

        def answer_of(outcome: object) -> bytes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, RpcError):
                outcome = self._failed(method, outcome)
            code = outcome.code if isinstance(outcome, RpcError) else OK
            self._counts.answered(method.name, code, time.perf_counter() - began)
            answer = _answer_of(item, outcome)
            ensure(answer is not None, "a call with an id has an answer", method=method.name)
            return cast("bytes", answer)

        try:
            self._admit(method.name, method, request)
            arguments = parse_arguments(method.parameters, item.get("params"))
            self._lanes.start(
                method.lane,
                lambda: method.function(request, *arguments),
                request,
                lambda outcome: put(answer_of(outcome)),
            )
        except RpcError as error:
            is_early = request.caller is not None and request.caller.retry_s > 0
            return None if is_early else answer_of(error)
        return LATER

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
        began = time.perf_counter()
        for item in items:
            try:
                self._admit(method.name, method, request)
                calls.append(parse_arguments(method.parameters, item.get("params")))
                outcomes.append(None)
            except RpcError as error:
                outcomes.append(error)
        done = iter(await self._call_many(method, method.many, calls, request))
        answers = []
        seconds = (time.perf_counter() - began) / len(items)
        for item, outcome in zip(items, outcomes, strict=True):
            found = next(done) if outcome is None else outcome
            if isinstance(found, QenexError):
                found = self._failed(method, found)
            code = found.code if isinstance(found, RpcError) else OK
            self._counts.answered(method.name, code, seconds)
            answers.append(_answer_of(item, found))
        return answers

    async def _call_many(
        self, method: Method, many: Many, calls: list[list[object]], request: Request
    ) -> list[object]:
        if not calls:
            return []
        try:
            return await self._lanes.run(method.lane, lambda: many(request, calls), request)
        except RpcError as error:
            return [error] * len(calls)
        except Exception as error:  # noqa: BLE001 - as in _call
            return [self._failed(method, error)] * len(calls)

    async def _answer_one(self, value: object, request: Request) -> bytes | None:
        if not isinstance(value, dict) or not _is_request(value):
            return error_answer(RpcError(INVALID_REQUEST, "invalid request"), _id_of(value))
        name = value["method"]
        method = self._methods.get(name)
        counted = UNKNOWN if method is None else name
        began = time.perf_counter()
        try:
            self._admit(name, method, request)
            if method is None:
                raise unknown_method(name)
            result = await self._call(method, value.get("params"), request)
        except RpcError as error:
            self._counts.answered(counted, error.code, time.perf_counter() - began)
            return error_answer(error, value.get("id")) if "id" in value else None
        self._counts.answered(counted, OK, time.perf_counter() - began)
        return _result_answer(value, result)

    def _admit(self, name: str, method: Method | None, request: Request) -> None:
        if request.caller is not None:
            is_heavy = method is not None and method.lane is not Lane.INLINE
            request.caller.admit(name, is_heavy=is_heavy)

    async def _call(self, method: Method, params: object, request: Request) -> bytes:
        if method.for_operator and not self._settings.operator:
            raise RpcError(
                NOT_ENABLED, f"Method not enabled: {method.name} needs rpc.operator = true"
            )
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
        except RpcError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place that makes an answer of it
            raise self._failed(method, error) from None

    def _failed(self, method: Method, error: BaseException) -> RpcError:
        """Return what a caller hears of a failure; a broken invariant stops the node."""
        if isinstance(error, Fatal):
            log.error("method found a broken invariant", method=method.name, exc_info=error)
            self._backend.stop(error)
        elif isinstance(error, QenexError):
            return from_domain(error, facts=method.lane is Lane.SUBMIT)
        else:
            log.error("method failed", method=method.name, exc_info=error)
        return RpcError(INTERNAL_ERROR, "internal error")


def _too_large() -> RpcError:
    return RpcError(RESPONSE_TOO_LARGE, "response too large")


def _id_of(value: object) -> object:
    request_id = value.get("id") if isinstance(value, dict) else None
    return request_id if _is_id(request_id) else None
