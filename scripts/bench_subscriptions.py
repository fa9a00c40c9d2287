"""Many WebSocket clients on every subscription: `scripts.bench subscriptions`.

On a local network under load (transfers and calls that make a log, sent to every node) followers
(`scripts.followers`) take every block, log, receipt and pool transaction of a span of blocks. A
third of them is cut, some more than once, and goes on at another node from the last block it knows.
Beside them, slow readers subscribe to much and read nothing: each must be cut by its node, and no
follower may notice. The command fails when anything of the span came not at all, twice or out of
order to anybody, when a slow reader was kept, or when the nodes' memory was above the bound.
"""

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import Any

from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from scripts.bench_nodes import keys
from scripts.bench_rpc import INIT, receipt, sign_contract
from scripts.bench_sends import Memory, nonce_of
from scripts.followers import Follower, Span, Truth, judge, slow_reader
from scripts.load import LoadError, Node, nearest_rank, request, sign_transfer

TICK_S = 0.25
READY_S_MAX = 60.0
FIRST_AFTER = 2
"""The span begins this many blocks above the head when the last follower was ready."""
CUT_SHARE = 3
CUTS_MAX = 3


class Load(threading.Thread):
    """Sends transfers and log-making calls to every node, an account for each, until `stop`."""

    def __init__(self, network: Any, rate: int, contract: bytes) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.sent: list[list[str]] = [[] for _ in network.urls]
        self.failure = ""
        self._network = network
        self._each = max(1, round(rate * TICK_S))
        self._contract = contract

    def run(self) -> None:
        """Send to the nodes in turn, a batch to each per tick."""
        try:
            nodes = [Node(url) for url in self._network.urls]
            senders = keys()[: len(nodes)]
            nonces = [nonce_of(nodes[0], key) for key in senders]
            while not self.stop.wait(TICK_S):
                for at, (node, key) in enumerate(zip(nodes, senders, strict=True)):
                    self._send(at, node, key, nonces[at])
                    nonces[at] += self._each
        except LoadError as error:
            self.failure = str(error)

    def _send(self, at: int, node: Node, key: PrivateKey, first: int) -> None:
        raws = [self._sign(key, first + each) for each in range(self._each)]
        calls = [
            request("eth_sendRawTransaction", ["0x" + raw.hex()], n) for n, raw in enumerate(raws)
        ]
        answers = node.post(b"[" + b",".join(calls) + b"]")
        hashes = ["0x" + keccak(raw).hex() for raw in raws]
        if [each.get("result") for each in answers] != hashes:
            raise LoadError(f"{node.url}: a send was refused: {answers}")
        self.sent[at] += hashes

    def _sign(self, key: PrivateKey, nonce: int) -> bytes:
        if nonce % 2:
            return sign_transfer(key, self._network.chain_id, nonce, b"\x11" * 20, 1)
        return sign_contract(key, self._network.chain_id, nonce, self._contract, b"")


def deploy(network: Any) -> bytes:
    """Deploy the contract that makes a log; return its address."""
    node, key = Node(network.urls[0]), keys()[-1]
    raw = sign_contract(key, network.chain_id, nonce_of(node, key), b"", INIT)
    made = receipt(node, node.call("eth_sendRawTransaction", "0x" + raw.hex()))
    for url in network.urls:
        receipt(Node(url), made["transactionHash"])
    return bytes.fromhex(made["contractAddress"][2:])


def _height(url: str) -> int:
    return int(Node(url).call("eth_blockNumber"), 16)


def truth_of(url: str, first: int, last: int) -> Truth:
    """Return what the chain holds from `first` to `last`."""
    node, heights = Node(url), range(first, last + 1)
    span = {"fromBlock": hex(first), "toBlock": hex(last)}
    return Truth(
        [node.call("eth_getBlockByNumber", hex(each), False) for each in heights],
        node.call("eth_getLogs", span),
        [node.call("eth_getBlockReceipts", hex(each)) for each in heights],
    )


def _cuts(name: int, blocks: int) -> list[int]:
    """Return after how many blocks of the span a follower is cut."""
    if name % CUT_SHARE:
        return []
    random = Random(name)
    return sorted(random.sample(range(2, max(3, blocks - 1)), min(CUTS_MAX, blocks // 8) or 1))


async def follow(
    network: Any, options: argparse.Namespace, load: Load, say: Callable[[str], None]
) -> tuple[Span, list[Follower], list[bool]]:
    """Run the followers and the slow readers over the span; return what they have."""
    span = Span(network.urls)
    followers = [Follower(name, span) for name in range(options.clients)]
    done = asyncio.Event()
    slow = [
        asyncio.create_task(slow_reader(network.urls[each % len(network.urls)], done))
        for each in range(options.slow)
    ]
    async with asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.follow())
        async with asyncio.timeout(READY_S_MAX):
            for follower in followers:
                await follower.ready.wait()
        load.start()
        heights = [await asyncio.to_thread(_height, url) for url in network.urls]
        span.first = max(heights) + FIRST_AFTER
        span.last = span.first + options.blocks - 1
        for follower in followers:
            follower.cut_at(span.first + each for each in _cuts(follower.name, options.blocks))
        say(f"subscriptions: {len(followers)} are ready; blocks {span.first} to {span.last}")
        group.create_task(_watch(load, span, say))
    done.set()
    return span, followers, await asyncio.gather(*slow)


async def _watch(load: Load, span: Span, say: Callable[[str], None]) -> None:
    """Tell how far the span is, and end everything when the load fails."""
    told = span.first
    while (head := max(span.arrivals, default=0)) < span.last:
        if load.failure:
            raise LoadError(load.failure)
        if head >= told + 50:
            told = head
            say(f"subscriptions: block {head}, {span.notices:,} notices")
        await asyncio.sleep(TICK_S)


def run_followers(
    network: Any, options: argparse.Namespace, say: Callable[[str], None]
) -> dict[str, Any]:
    """Follow, then judge each follower by the chain; raises LoadError."""
    load = Load(network, options.rate, deploy(network))
    used, began = network.processor_s(), time.perf_counter()
    try:
        with Memory(network) as memory:
            span, followers, was_cut = asyncio.run(follow(network, options, load, say))
    except ExceptionGroup as group:
        raise LoadError("; ".join(str(each) for each in group.exceptions)) from None
    finally:
        load.stop.set()
    if load.is_alive():
        load.join()
    seconds, used = time.perf_counter() - began, network.processor_s() - used
    truth = truth_of(network.urls[0], span.first, span.last)
    for follower in followers:
        judge(follower, span, truth, load.sent)
    if not all(was_cut):
        raise LoadError(f"{was_cut.count(False)} slow readers were not cut")
    spread_ms = [1e3 * (max(each) - min(each)) for each in span.arrivals.values()]
    return {
        "followers": len(followers),
        "blocks": len(truth.blocks),
        "transactions": sum(map(len, truth.receipts)),
        "logs": len(truth.logs),
        "notices": span.notices,
        "seconds": round(seconds, 1),
        "cut_and_resumed": sum(each.resumed for each in followers),
        "blocks_made_up": sum(each.made_up for each in followers),
        "slow_readers_cut": len(was_cut),
        "spread_p50_ms": round(nearest_rank(spread_ms, 50), 1),
        "spread_p99_ms": round(nearest_rank(spread_ms, 99), 1),
        "cpu_us_per_notice": round(1e6 * used / span.notices, 1),
        "highest_memory_mb": round(memory.highest_mb),
    }


def bench_subscriptions(
    options: argparse.Namespace,
    start: Callable[[int], AbstractContextManager[Any]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Start a network, follow it, and judge; raises LoadError when something is wrong."""
    with start(options.validators) as network:
        result = run_followers(network, options, say)
    if result["highest_memory_mb"] > options.memory_mb:
        raise LoadError(
            f"the nodes took {result['highest_memory_mb']} MB, above {options.memory_mb} MB"
        )
    return {"validators": options.validators, "memory_bound_mb": options.memory_mb, **result}


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result in lines for a person."""
    yield (
        f"{result['followers']} followers of {result['validators']} nodes over {result['blocks']} "
        f"blocks, {result['transactions']:,} transactions, {result['logs']:,} logs, in "
        f"{result['seconds']} s: {result['notices']:,} notices, none missing, none twice"
    )
    yield (
        f"cut and resumed {result['cut_and_resumed']} times, {result['blocks_made_up']} blocks read"
        f" on those connections; {result['slow_readers_cut']} slow readers cut"
    )
    yield (
        f"from the first follower to the last: p50 {result['spread_p50_ms']} ms, p99 "
        f"{result['spread_p99_ms']} ms; processor of the nodes, all their work, "
        f"{result['cpu_us_per_notice']} us a notice"
    )
    yield (
        f"memory at most {result['highest_memory_mb']:,} MB for all nodes "
        f"(bound {result['memory_bound_mb']:,} MB)"
    )


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    command.add_argument("--validators", type=int, default=4)
    command.add_argument("--clients", type=int, default=100, help="followers")
    command.add_argument("--blocks", type=int, default=300, help="length of the judged span")
    command.add_argument("--slow", type=int, default=4, help="readers that read nothing")
    command.add_argument("--rate", type=int, default=8, help="transactions a second to each node")
    command.add_argument("--memory-mb", type=int, default=1_500, help="bound for all nodes")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")


def add_command(
    commands: Any,
    start: Callable[[int], AbstractContextManager[Any]],
    say: Callable[[str], None],
) -> None:
    """Add `subscriptions` to the commands of `scripts.bench`."""
    command = commands.add_parser(
        "subscriptions", help="many WebSocket clients: no gap, no double, slow readers cut"
    )
    add_options(command)
    command.set_defaults(
        run=lambda options: bench_subscriptions(options, start, say), report=report
    )
