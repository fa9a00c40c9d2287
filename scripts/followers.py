"""WebSocket clients that follow a chain by every subscription, and the judge of what they got.

Each follower keeps what its subscriptions brought, in order. Some are cut in the middle of a notice
or anywhere else, come back to another node and go on by `fromBlock`: heads and receipts behind the
last one they have, logs with the block of the last one, whose logs they drop. `judge` then compares
everything with the chain: each block, log and receipt of the span exactly once and in order; each
transaction that their node took by JSON-RPC exactly once in both forms, none of the pool's twice.

What many followers get alike is kept and decoded once (`Results`).
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from scripts.load import LoadError, request

KINDS = ("newHeads", "logs", "transactionReceipts", "newPendingTransactions", "whole", "syncing")
OF_BLOCKS = KINDS[:3]
PAUSE_S_MAX = 1.5
"""Longest time that a follower stays away when it was cut."""
READ_S_MAX = 60.0
SLOW_SUBSCRIPTIONS = 96
DRAIN_S_MAX = 60.0
BUFFER_BYTES = 1 << 14
"""What the system may keep for a slow reader."""


class Results:
    """The results of notices by their text: a number for each different one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.values: list[Any] = []

    def number(self, text: str) -> int:
        """Return the number of a result; equal texts have equal numbers."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.values)
            self.values.append(json.loads(text))
        return found


@dataclass
class Span:
    """What a run shares: the nodes, the judged heights, and when heads came to anybody."""

    urls: Sequence[str]
    first: int = 0
    last: int = 0
    results: Results = field(default_factory=Results)
    arrivals: dict[int, list[float]] = field(default_factory=dict)
    notices: int = 0

    def arrived(self, height: int) -> None:
        """Note that a head of the span came to a follower now."""
        if self.first <= height <= self.last:
            self.arrivals.setdefault(height, []).append(time.perf_counter())


def height_of(kind: str, result: Any) -> int:
    """Return the height of the block that a result of `newHeads`, `logs` or receipts is from."""
    if kind == "newHeads":
        return int(result["number"], 16)
    return int((result[0] if kind == "transactionReceipts" else result)["blockNumber"], 16)


@dataclass
class Visit:
    """What one connection showed of the pool of one node, and of its catch-ups."""

    node: int
    hashes: list[int] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    syncing: list[int] = field(default_factory=list)


class Follower:
    """One client, which begins at the node `name` modulo their number."""

    def __init__(self, name: int, span: Span) -> None:
        self.name = name
        self.node = name % len(span.urls)
        self.ready = asyncio.Event()
        self.found: dict[str, list[int]] = {kind: [] for kind in OF_BLOCKS}
        self.visits: list[Visit] = []
        self.resumed = 0
        self.made_up = 0
        self._span = span
        self._cuts: list[int] = []
        self._left = -1
        self._random = Random(name)
        self._heights = dict.fromkeys(OF_BLOCKS, -1)

    def cut_at(self, heights: Iterable[int]) -> None:
        """Lose the connection some notices after each of these heights, in order."""
        self._cuts = list(heights)

    async def follow(self) -> None:
        """Follow until the span is whole; raises LoadError when the node breaks its word."""
        while True:
            self.visits.append(Visit(self.node))
            url = self._span.urls[self.node].replace("http", "ws", 1)
            options: dict[str, Any] = {"max_queue": None, "ping_interval": None}
            async with connect(url, compression=None, max_size=None, **options) as opened:
                if await self._read(opened):
                    return
                opened.transport.abort()
            await asyncio.sleep(self._random.uniform(0.0, PAUSE_S_MAX))
            self.node = (self.node + 1) % len(self._span.urls)
            self.resumed += 1

    def wanted(self, kind: str) -> list[Any]:
        """Return the parameters of the subscription to a kind."""
        if kind == "whole":
            return ["newPendingTransactions", True]
        if kind not in OF_BLOCKS or not self.resumed:
            return [kind]
        return [kind, {"fromBlock": hex(self._resume(kind))}]

    def _resume(self, kind: str) -> int:
        """Return the block to go on with; of the logs, the last block's may not be whole."""
        known, found = self._heights[kind], self.found[kind]
        if known < 0:
            return self._span.first
        if kind == "logs":
            values = self._span.results.values
            while found and height_of(kind, values[found[-1]]) == known:
                found.pop()
            return known
        return known + 1

    async def _read(self, opened: ClientConnection) -> bool:
        """Subscribe and read; True when the span is whole, False when the connection is cut."""
        for number, kind in enumerate(KINDS):
            await opened.send(request("eth_subscribe", self.wanted(kind), number).decode())
        names: dict[str, str] = {}
        heads_before = self._heights["newHeads"]
        try:
            while not self._is_whole():
                async with asyncio.timeout(READ_S_MAX):
                    text = str(await opened.recv())
                if '"method"' not in text:
                    self._announced(json.loads(text), names)
                    continue
                head, _, result = text.partition(',"result":')
                name = head.rpartition(':"')[2].rstrip('"')
                if name not in names:
                    raise LoadError(f"follower {self.name}: a notice before its id: {text[:200]}")
                self.take(names[name], result[:-2])
                if self._is_cut():
                    return False
        except ConnectionClosed as error:
            raise LoadError(f"follower {self.name} was cut by the node: {error}") from None
        except TimeoutError:
            raise LoadError(f"follower {self.name} heard nothing for {READ_S_MAX} s") from None
        finally:
            if self.resumed:
                self.made_up += max(0, self._heights["newHeads"] - heads_before)
        return True

    def _announced(self, answer: dict[str, Any], names: dict[str, str]) -> None:
        if "result" not in answer:
            raise LoadError(f"follower {self.name}: {answer}")
        names[answer["result"]] = KINDS[answer["id"]]
        if len(names) == len(KINDS):
            self.ready.set()

    def take(self, kind: str, text: str) -> None:
        """Keep the result of a notice."""
        span = self._span
        span.notices += 1
        number = span.results.number(text)
        if kind == "newPendingTransactions":
            self.visits[-1].hashes.append(number)
        elif kind == "whole":
            self.visits[-1].whole.append(number)
        elif kind == "syncing":
            self.visits[-1].syncing.append(number)
        else:
            self.found[kind].append(number)
            height = height_of(kind, span.results.values[number])
            self._heights[kind] = max(height, self._heights[kind])
            if kind == "newHeads":
                if not self.resumed:
                    span.arrived(height)
                if self._cuts and height >= self._cuts[0]:
                    self._cuts = [each for each in self._cuts if each > height]
                    self._left = self._random.randint(0, 30)

    def _is_cut(self) -> bool:
        if self._left < 0:
            return False
        self._left -= 1
        return self._left < 0

    def _is_whole(self) -> bool:
        last = self._span.last
        return last > 0 and all(height > last for height in self._heights.values())


async def slow_reader(url: str, done: asyncio.Event) -> bool:
    """Subscribe to much and read nothing until `done`; return whether the node cut it by then."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    small.setblocking(False)
    place = urlsplit(url)
    await asyncio.get_running_loop().sock_connect(small, (place.hostname, place.port))
    options: dict[str, Any] = {"max_queue": 1, "ping_interval": None, "compression": None}
    async with connect(url.replace("http", "ws", 1), sock=small, **options) as reader:
        for number in range(SLOW_SUBSCRIPTIONS):
            body = request("eth_subscribe", ["newPendingTransactions", True], number)
            await reader.send(body.decode())
            await reader.recv()
        await done.wait()
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(DRAIN_S_MAX):
                await reader.send(request("eth_chainId", [], SLOW_SUBSCRIPTIONS).decode())
                while f'"id":{SLOW_SUBSCRIPTIONS},' not in str(await reader.recv())[:64]:
                    pass
            return False
    return True


@dataclass(frozen=True, slots=True)
class Truth:
    """What the chain holds of a span: blocks, logs and receipts of each block, in order."""

    blocks: list[dict[str, Any]]
    logs: list[Any]
    receipts: list[list[Any]]


def judge(follower: Follower, span: Span, truth: Truth, sent: Sequence[Sequence[str]]) -> None:
    """Raise LoadError when a follower missed, doubled or disordered anything.

    `sent` holds, for each node, the hashes that it took by JSON-RPC while all were there, in order.
    """
    values = span.results.values
    chain: dict[str, Sequence[Any]] = {
        "newHeads": truth.blocks,
        "logs": truth.logs,
        "transactionReceipts": [each for each in truth.receipts if each],
    }
    for kind in OF_BLOCKS:
        got = [values[each] for each in follower.found[kind]]
        got = [each for each in got if span.first <= height_of(kind, each) <= span.last]
        if kind == "newHeads":  # a block shows what its header shows, and more
            wanted = [
                {name: block.get(name) for name in head}
                for block, head in zip(truth.blocks, got, strict=False)
            ]
            wanted += truth.blocks[len(wanted) :]
        else:
            wanted = list(chain[kind])
        if got != wanted:
            raise LoadError(f"follower {follower.name}: {kind}: {_difference(kind, got, wanted)}")
    last = {each["transactionHash"] for batch in truth.receipts for each in batch}
    for visit in follower.visits:
        changes = [values[each] is False for each in visit.syncing]
        is_silent = not changes and visit is follower.visits[0]
        if is_silent or any(one is other for one, other in pairwise(changes)):
            raise LoadError(f"follower {follower.name}: syncing: one state twice, or none")
        for problem in _pool_problems(visit, values, sent, None if follower.resumed else last):
            raise LoadError(f"follower {follower.name}: newPendingTransactions: {problem}")


def _difference(kind: str, got: Sequence[Any], wanted: Sequence[Any]) -> str:
    for place, (one, other) in enumerate(zip(got, wanted, strict=False)):
        if one != other:
            heights = height_of(kind, one), height_of(kind, other)
            return f"item {place} is of block {heights[0]}, the chain's of {heights[1]}"
    return f"{len(got)} came, the chain has {len(wanted)}"


def _pool_problems(
    visit: Visit, values: Sequence[Any], sent: Sequence[Sequence[str]], mined: set[str] | None
) -> Iterator[str]:
    hashes = [values[each] for each in visit.hashes]
    whole = [values[each]["hash"] for each in visit.whole]
    if len(set(hashes)) < len(hashes) or len(set(whole)) < len(whole):
        yield "one came twice"
    if whole and (whole[0] not in hashes or _differ(hashes[hashes.index(whole[0]) :], whole)):
        yield "hashes and whole ones differ"
    own = [each for each in sent[visit.node] if each in set(hashes)]
    ordered = [each for each in hashes if each in set(own)]
    if ordered != own:
        yield "they came in another order than the node took them"
    first = sent[visit.node].index(own[0]) if own else 0
    if own != sent[visit.node][first : first + len(own)]:
        yield "some of those that the node took are missing between others"
    if mined is not None and (lost := (set(sent[visit.node]) & mined) - set(own)):
        yield f"{len(lost)} that the node took did not come"


def _differ(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two lists differ where both have something; the connection ended after either."""
    return any(left != right for left, right in zip(one, other, strict=False))
