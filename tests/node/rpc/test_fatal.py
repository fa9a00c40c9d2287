"""A broken invariant that a method finds stops the node, whatever way the method was called."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import trio

from node.app import StopFromAfar
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from primitives.errors import Fatal, QenexError, ensure
from primitives.types import Hash32
from tests.node.rpc.devchain import DevChain, DevPool
from tests.node.rpc.harness import http_request

SEND = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x00"]}
STATUS = {"jsonrpc": "2.0", "id": 1, "method": "txpool_status"}
CHEAP = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}


class _Broken(DevChain):
    """A chain whose pool and submissions find that something is wrong here."""

    def pool(self) -> DevPool:
        ensure(False, "the pool is whole")
        return super().pool()

    def submit(self, raw: bytes) -> Hash32:
        raise Fatal("the journal is whole")

    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        raise Fatal("the journal is whole")


class _Surprising(DevChain):
    """A chain with a mistake in its code."""

    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        raise ZeroDivisionError


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (STATUS, "the pool is whole"),
        ([CHEAP, STATUS], "the pool is whole"),
        (SEND, "the journal is whole"),
        ([SEND, SEND, CHEAP], "the journal is whole"),
    ],
    ids=["inline", "batch", "worker", "many"],
)
def test_a_broken_invariant_stops_the_node(body: object, words: str) -> None:
    """The caller hears -32603 and the node's loop ends with the error.

    Kills: a node that answers "internal error" and goes on.
    """
    stop = StopFromAfar()
    server = RpcServer(_Broken(), RpcSettings(port=0), stop=stop.stop)
    port = server.start()
    answers: list[bytes] = []

    async def ask() -> None:
        raw = json.dumps(body).encode()
        answers.append((await trio.to_thread.run_sync(lambda: http_request(port, body=raw))).body)

    async def main() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop.wait_error)
                with trio.CancelScope(shield=True):
                    await ask()

    try:
        with pytest.RaisesGroup(pytest.RaisesExc(Fatal, match=words)):
            trio.run(main)
    finally:
        server.stop()
    found = json.loads(answers[0])
    first = found if isinstance(found, dict) else next(each for each in found if "error" in each)
    assert first["error"] == {"code": -32603, "message": "internal error"}


@pytest.mark.process
def test_a_mistake_in_code_is_answered_and_stops_nothing() -> None:
    """Another failure is -32603 for its call alone, in a batch that is served at once too."""
    stopped: list[Fatal] = []
    server = RpcServer(_Surprising(), RpcSettings(port=0), stop=stopped.append)
    port = server.start()
    reply = http_request(port, body=json.dumps([SEND, SEND, CHEAP]).encode())
    server.stop()
    codes = [each.get("error", {}).get("code") for each in json.loads(reply.body)]
    assert (reply.status, codes, stopped) == (200, [-32603, -32603, None], [])


def test_an_error_before_the_loop_runs_is_not_lost() -> None:
    """The error may come before anybody waits for it."""
    stop = StopFromAfar()
    stop.stop(Fatal("early"))
    stop.stop(Fatal("late"))
    with pytest.raises(Fatal, match="early"):
        trio.run(stop.wait_error)
