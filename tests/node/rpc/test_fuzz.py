"""Whatever is asked, the answer is an answer: never an internal error, a stall or a trace.

Requests are drawn from execution-apis' schemas, from our own shapes, and from plain garbage, and
sent to a node that serves the official chain.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from node.rpc.methods import all_methods
from node.rpc.settings import RpcSettings
from node.rpc.shapes import SHAPES
from tests.node.rpc.harness import Rpc
from tests.node.rpc.schema import method_names, params_of
from tests.node.rpc.served import read_only_node

ROUNDS = 12
HEAD = "0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
KNOWN: list[Any] = [
    HEAD, "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df", "latest", "0x36", "0x0", "0x1", "0x2",
    {"tracer": "callTracer"}, {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}},
    ["trace", "vmTrace", "stateDiff"], {"to": "0x9344b07175800259691961298ca11c824e65032d"},
    {"blockStateCalls": [{"calls": [{}]}]}, {"fromBlock": "0x30", "toBlock": "latest"},
]  # fmt: skip
GARBAGE: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 2**80, "", "0x", "0xg", "latest ", "0x" + "f" * 65,
    "\u0000", "\ud7ff", [], {}, [[]], [None], {"": None}, {"blockHash": 1}, "0x" + "00" * 32,
    {"to": "0x", "data": 1}, {"from": [], "gas": "0x" + "f" * 16}, {"topics": [[[]]]},
    {"blockStateCalls": [{}] * 300}, {"blockStateCalls": [{"calls": None}]}, {"tracer": "no such"},
    {"tracer": "muxTracer", "tracerConfig": {"callTracer": 1}}, {"accessList": [1]},
]  # fmt: skip


@pytest.fixture(scope="module")
def rpc() -> Iterator[Rpc]:
    """A dispatcher over the imported chain, with short time limits."""
    made = Rpc(read_only_node(), replace(RpcSettings(), call_timeout_s=1.0))
    yield made
    made.close()


def _drawn(chance: random.Random, schema: Any, depth: int = 0) -> Any:
    """Return a value that may fit the schema; sometimes one that does not."""
    roll = chance.random()
    if roll < 0.1:
        return chance.choice(GARBAGE)
    if roll < 0.3 or not isinstance(schema, dict) or depth > 4:
        return chance.choice(KNOWN)
    for keyword in ("oneOf", "anyOf", "allOf"):
        if keyword in schema:
            return _drawn(chance, chance.choice(schema[keyword]), depth + 1)
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            known = schema.get("properties", {})
            chosen = [name for name in known if chance.random() < 0.4]
            return {name: _drawn(chance, known[name], depth + 1) for name in chosen}
        case "array":
            return [
                _drawn(chance, schema.get("items"), depth + 1)
                for _ in range(chance.choice((0, 1, 3)))
            ]
        case "boolean":
            return chance.choice((True, False))
        case "string":
            return chance.choice(("0x", "0x1", hex(chance.getrandbits(64)), HEAD, "latest"))
        case _:
            return chance.choice((0, 1, 50, chance.getrandbits(64)))


def _check(answer: dict[str, Any], asked: str) -> None:
    assert answer["jsonrpc"] == "2.0", asked
    assert ("result" in answer) != ("error" in answer), asked
    if "error" in answer:
        error = answer["error"]
        assert error["code"] != -32603, f"{asked}: {error}"
        assert isinstance(error["message"], str), asked
        assert error["message"], asked
        assert "Traceback" not in error["message"], asked


@pytest.mark.parametrize("method", method_names())
def test_requests_by_the_specification(rpc: Rpc, method: str) -> None:
    """Values from the specification's schemas, mixed with garbage."""
    chance = random.Random(method)
    for _ in range(ROUNDS):
        params = [_drawn(chance, each["schema"]) for each in params_of(method)]
        _check(rpc.ask(method, *params[: chance.randint(0, len(params))]), f"{method} {params}")


@pytest.mark.parametrize("method", sorted(all_methods()))
def test_requests_by_our_own_shapes(rpc: Rpc, method: str) -> None:
    """Values from the shapes that rpc.discover shows, mixed with garbage."""
    chance = random.Random(method)
    shapes = [SHAPES[each.hint].schema for each in all_methods()[method].parameters]
    for _ in range(ROUNDS):
        params = [_drawn(chance, each) for each in shapes]
        _check(rpc.ask(method, *params), f"{method} {params}")


def test_bodies_of_every_kind(rpc: Rpc) -> None:
    """Cut, doubled and flipped bytes of good bodies: an answer or none, and it is JSON."""
    chance = random.Random(5)
    good = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [KNOWN[1]]}),
        json.dumps([{"jsonrpc": "2.0", "id": n, "method": "eth_chainId"} for n in (1, "a", None)]),
    ]
    for _ in range(400):
        raw = bytearray(chance.choice(good).encode())
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(raw))
            kind = chance.randrange(3)
            if kind == 0:
                raw[at] = chance.randrange(256)
            elif kind == 1:
                del raw[at:]
                raw += b"[" * chance.randrange(100)
            else:
                raw[at:at] = raw[: chance.randrange(20)]
            raw = raw or bytearray(b"0")
        answer = rpc.send(bytes(raw))
        for each in answer if isinstance(answer, list) else [answer] if answer else []:
            _check(each, raw.decode("latin-1"))
