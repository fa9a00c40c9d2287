"""What `scripts.chaos` sends and keeps an eye on: transfers, signatures, memory, handles, clocks.

A transfer counts as acknowledged when a node answered with its hash; it is sent again, to any node,
until one does. Every vote that a node ever wrote into its log is collected from the files, which
are read all the time, because a node writes its log anew at each start.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

import psutil

from consensus.wal import Intent, read_records
from genesis.profiles import TEST_KEYS
from node.folder import DataFolder
from node.wal import SUFFIX
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import QenexError
from scripts.chaos_clocks import felt, new_lines
from scripts.chaos_cluster import ChaosCluster
from scripts.load import LoadError, Node, sign_transfer
from tests.system.cluster import RpcError, rpc

NODE_TIMEOUT_S: Final = 4.0
AHEAD_MAX: Final = 60
"""Acknowledged transfers of one sender that may wait for a block."""
SAMPLE_S: Final = 1.0
TO: Final = b"\x11" * 20


class Senders:
    """Threads that send transfers from the funded accounts, each in order of nonces."""

    def __init__(self, urls: Sequence[str], chain_id: int, per_second: float, seed: int) -> None:
        self._urls = urls
        self._chain_id = chain_id
        self._stop = threading.Event()
        self._pause_s = len(TEST_KEYS) / per_second
        self._lock = threading.Lock()
        self.acknowledged: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self._threads = [
            threading.Thread(
                target=self._send,
                args=(PrivateKey(key), random.Random(seed + at)),
                daemon=True,
            )
            for at, key in enumerate(TEST_KEYS.values())
        ]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * NODE_TIMEOUT_S)

    def _send(self, key: PrivateKey, chance: random.Random) -> None:
        with ExitStack() as stack:
            nodes = [Node(url, NODE_TIMEOUT_S) for url in self._urls]
            for node in nodes:
                stack.callback(node.close)
            self._send_to(nodes, key, chance)

    def _send_to(self, nodes: Sequence[Node], key: PrivateKey, chance: random.Random) -> None:
        nonce = 0
        while not self._stop.wait(self._pause_s * chance.uniform(0.5, 1.5)):
            node = chance.choice(nodes)
            raw = sign_transfer(key, self._chain_id, nonce, TO, 1)
            try:
                sender = "0x" + key.address.hex()
                mined = int(node.call("eth_getTransactionCount", sender, "latest"), 16)
                if nonce - mined > AHEAD_MAX:
                    continue
                found = node.call("eth_sendRawTransaction", "0x" + raw.hex())
            except LoadError as error:
                if "already known" not in str(error) and "nonce too low" not in str(error):
                    self._note(str(error))
                    continue
                found = None
            if found is not None:
                with self._lock:
                    self.acknowledged[found] = node.url
            nonce += 1

    def _note(self, words: str) -> None:
        kind = words.rpartition("message")[2][:60] if "message" in words else "no answer"
        with self._lock:
            self.refused[kind] = self.refused.get(kind, 0) + 1


@dataclass(slots=True)
class Ballots:
    """Every message that the nodes' logs were ever seen to promise, by node and place."""

    folders: Sequence[DataFolder]
    seen: dict[tuple[int, int, int, int], object] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    _sizes: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> None:
        """Read what is new in all logs."""
        with self._lock:
            for index, folder in enumerate(self.folders):
                for segment in folder.wal.glob(f"*{SUFFIX}"):
                    try:
                        self._segment(index, str(segment), segment.read_bytes())
                    except OSError:
                        continue  # written anew meanwhile
                    except QenexError as error:
                        self.conflicts.append(f"log of node {index + 1}: {error.message}")

    def _segment(self, index: int, name: str, data: bytes) -> None:
        if self._sizes.get(name) == len(data):
            return
        self._sizes[name] = len(data)
        for record in read_records(data)[0]:
            if not isinstance(record, Intent):
                continue
            message = record.message
            place = (index, message.height, message.round, message.kind)
            if self.seen.setdefault(place, message) != message:
                where = f"height {message.height} round {message.round} {message.kind.name}"
                self.conflicts.append(f"node {index + 1} signed twice: {where}")


@dataclass(slots=True)
class Usage:
    """Memory and handles of one process over time: (seconds, MB, handles)."""

    samples: list[tuple[float, float, int]] = field(default_factory=list)


class Gauge:
    """Samples all processes and logs, in a thread."""

    def __init__(self, ballots: Ballots) -> None:
        self.usage: dict[tuple[int, int], Usage] = {}
        self.pids: dict[int, int] = {}
        self.ballots = ballots
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauge", daemon=True)

    def __enter__(self) -> Gauge:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            for index, pid in list(self.pids.items()):
                with suppress(psutil.Error):
                    process = psutil.Process(pid)
                    sample = (time.monotonic(), process.memory_info().rss / 1e6, process.num_fds())
                    self.usage.setdefault((index, pid), Usage()).samples.append(sample)
            self.ballots.read()

    def longest(self) -> tuple[int, Usage]:
        """Return (node, usage) of the process that lived longest."""
        (index, _), usage = max(self.usage.items(), key=lambda item: len(item[1].samples))
        return index, usage


class ClockWatch:
    """What nodes whose clocks stepped make of it: `steps_s` holds the distances by node."""

    def __init__(self, cluster: ChaosCluster, steps_s: dict[int, float]) -> None:
        self._urls = cluster.urls
        self.steps_s = steps_s
        self._logs = {index: cluster.folder(index).path / "node.log" for index in steps_s}
        self._read = {index: log.stat().st_size for index, log in self._logs.items()}
        self.felt: set[int] = set()
        self.ahead_s = 0.0
        """How far a block was ahead of this machine's clock at most."""

    def look(self) -> None:
        """Read what is new in the logs, and the time of each node's newest block."""
        for index, log in self._logs.items():
            lines, self._read[index] = new_lines(log, self._read[index])
            if felt(lines, time.time(), self.steps_s[index]):
                self.felt.add(index)
        for url in self._urls:
            with suppress(OSError, RpcError):
                newest = rpc(url, "eth_getBlockByNumber", "latest", False)
                self.ahead_s = max(self.ahead_s, int(newest["timestamp"], 16) - time.time())
