"""Many sends at once to a network of real validators: `scripts.bench sends`.

First 10,000 signed transfers are written to one connection of one node without waiting for any
answer, then eight senders, two to a node, each send 2,000 in batches of 100. Every one must be
accepted and stand in a block on every node, and the memory of all nodes together, looked at ten
times a second, must stay under the stated bound; else the command fails.
"""

import argparse
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol
from urllib.parse import urlsplit

from primitives.crypto.secp256k1 import PrivateKey
from scripts.bench_client import unwaited
from scripts.bench_nodes import keys
from scripts.load import LoadError, Node, accounts, request, send_batch, sign_transfer

MINED_S_MAX = 180.0
LOOK_S = 0.1
PER_KEY = 1_000
"""Sends of one account in the first part; a pool keeps 1,024 of one."""
SENDERS = 8
BATCH = 100


class Network(Protocol):
    """What is needed of a running network."""

    urls: list[str]
    chain_id: int

    def memory_mb(self) -> float:
        """Return the resident memory of all nodes."""
        ...


class Memory:
    """Looks at the memory of all nodes in its own thread and keeps the highest."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.highest_mb = 0.0

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.highest_mb = max(self.highest_mb, self._network.memory_mb())


def nonce_of(node: Node, key: PrivateKey) -> int:
    """Return how many transactions of a key stand in blocks."""
    return int(node.call("eth_getTransactionCount", "0x" + key.address.hex(), "latest"), 16)


def bodies_of(network: Network, key: PrivateKey, first: int, count: int) -> list[bytes]:
    """Return the bodies that send `count` transfers of a key from the nonce `first` on."""
    raws = [
        sign_transfer(key, network.chain_id, first + each, b"\x11" * 20, 1) for each in range(count)
    ]
    return [request("eth_sendRawTransaction", ["0x" + raw.hex()], n) for n, raw in enumerate(raws)]


def wait_mined(network: Network, expected: dict[PrivateKey, int]) -> None:
    """Wait until every node has the expected nonces; raises LoadError."""
    deadline = time.monotonic() + MINED_S_MAX
    for url in network.urls:
        node = Node(url)
        for key, nonce in expected.items():
            while (found := nonce_of(node, key)) != nonce:
                if found > nonce or time.monotonic() > deadline:
                    raise LoadError(f"{url}: an account stands at nonce {found}, not {nonce}")
                time.sleep(LOOK_S)


def one_connection(network: Network, count: int) -> dict[str, Any]:
    """Send `count` transfers over one connection without waiting; return the figures."""
    node = Node(network.urls[0])
    wanted: dict[PrivateKey, int] = {}
    bodies: list[bytes] = []
    for key, left in zip(keys(), range(count, 0, -PER_KEY), strict=False):
        first = nonce_of(node, key)
        share = min(PER_KEY, left)
        bodies += bodies_of(network, key, first, share)
        wanted[key] = first + share
    if len(bodies) != count:
        raise LoadError(f"the accounts can send {len(bodies)} transfers, not {count}")
    started = time.monotonic()
    rate = unwaited(urlsplit(network.urls[0]).port or 0, bodies)
    wait_mined(network, wanted)
    return {
        "sent": rate.answers,
        "accepted_per_second": round(rate.per_second, 1),
        "mined_per_second": round(count / (time.monotonic() - started), 1),
    }


def by_batches(
    network: Network, each_sends: int, fund: Callable[[list[PrivateKey]], None]
) -> dict[str, Any]:
    """Let eight senders send batches at once; return the figures."""
    per_sender = each_sends // BATCH
    made = accounts(SENDERS * per_sender)
    fund(made)
    work = [
        [bodies_of(network, key, 0, BATCH) for key in made[at * per_sender :][:per_sender]]
        for at in range(SENDERS)
    ]
    failures: list[str] = []

    def send(url: str, batches: Sequence[list[bytes]]) -> None:
        try:
            node = Node(url)
            for batch in batches:
                taken, again, reason = send_batch(node, batch)
                if again:
                    failures.append(f"{url} took {taken} of {len(batch)}: {reason}")
        except LoadError as error:
            failures.append(str(error))

    started = time.monotonic()
    senders = [
        threading.Thread(target=send, args=(network.urls[at % len(network.urls)], part))
        for at, part in enumerate(work)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    seconds = time.monotonic() - started
    if failures:
        raise LoadError(failures[0])
    wait_mined(network, dict.fromkeys(made, BATCH))
    count = len(made) * BATCH
    return {
        "sent": count,
        "accepted_per_second": round(count / seconds, 1),
        "mined_per_second": round(count / (time.monotonic() - started), 1),
    }


def send_all(
    network: Network,
    fund: Callable[[list[PrivateKey]], None],
    counts: tuple[int, int],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run both parts; return the figures and the highest memory."""
    result: dict[str, Any] = {}
    with Memory(network) as memory:
        say(f"sends: {counts[0]} over one connection, no answer awaited")
        result["one_connection"] = one_connection(network, counts[0])
        say(f"sends: {result['one_connection']}; now {SENDERS} senders of {counts[1]} each")
        result["batches"] = by_batches(network, counts[1], fund)
    result["highest_memory_mb"] = round(memory.highest_mb)
    return result


def bench_sends(
    options: argparse.Namespace,
    start: Callable[[int], AbstractContextManager[Any]],
    fund: Callable[[Any, list[PrivateKey]], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Start a network, send, and judge; raises LoadError when something is lost or too large."""
    with start(options.validators) as network:
        result = send_all(
            network, lambda made: fund(network, made), (options.unwaited, options.each), say
        )
    if result["highest_memory_mb"] > options.memory_mb:
        raise LoadError(
            f"the nodes took {result['highest_memory_mb']} MB, above {options.memory_mb} MB"
        )
    return {"validators": options.validators, "memory_bound_mb": options.memory_mb, **result}


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result in lines for a person."""
    for name, words in (("one_connection", "one connection"), ("batches", "eight senders")):
        found = result[name]
        yield (
            f"{words:16} {found['sent']:,} sent, all mined on all {result['validators']} nodes: "
            f"{found['accepted_per_second']:,.0f}/s accepted, {found['mined_per_second']:,.0f}/s "
            "until mined"
        )
    yield (
        f"memory           at most {result['highest_memory_mb']:,} MB for all nodes "
        f"(bound {result['memory_bound_mb']:,} MB)"
    )


def add_command(
    commands: Any,
    start: Callable[[int], AbstractContextManager[Any]],
    fund: Callable[[Any, list[PrivateKey]], None],
    say: Callable[[str], None],
) -> None:
    """Add `sends` to the commands of `scripts.bench`."""
    command = commands.add_parser("sends", help="many sends at once; all mined, memory bounded")
    command.add_argument("--validators", type=int, default=4)
    command.add_argument("--unwaited", type=int, default=10_000, help="sends on one connection")
    command.add_argument("--each", type=int, default=2_000, help="sends of each of eight senders")
    command.add_argument("--memory-mb", type=int, default=1_500, help="bound for all nodes")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.set_defaults(run=lambda options: bench_sends(options, start, fund, say), report=report)
