"""A local network in an empty folder, for `scripts.bench`: its nodes, money for senders, figures.

The nodes' own figures come from /metrics, from their logs and from the system.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from genesis.profiles import TEST_KEYS
from primitives.crypto.secp256k1 import PrivateKey
from scripts.load import LoadError, Node, request, send_batch, sign_transfer

START_S_MAX = 180
STOP_S_MAX = 60
RECEIPT_S_MAX = 60
DRAIN_S_MAX = 180
POLL_S = 0.005
PORT_MIN = 18_545
PORT_MAX = 32_000
"""Above are those that the system gives to clients."""
PORT_STEP = 97
LOOK_S = 0.1
DECIDED = re.compile(r'"?decided_in_ms"?[=:] ?([0-9.]+)')
STAGE = re.compile(r'^qenex_node_stage_seconds_total\{stage="([a-z0-9]+)"\} (\S+)$', re.MULTILINE)
FUNDS_WEI = 50 * 10**18


@dataclass(frozen=True, slots=True)
class Running:
    """A network that answers: addresses of its nodes, chain id, process, seconds to a block."""

    urls: list[str]
    chain_id: int
    process: subprocess.Popen[bytes]
    start_s: float
    folder: Path

    def processor_s(self) -> float:
        """Return the processor time that all nodes together have used, user and system."""
        nodes = psutil.Process(self.process.pid).children(recursive=True)
        times = [node.cpu_times() for node in nodes]
        return float(sum(each.user + each.system for each in times))

    def decisions_ms(self) -> dict[Path, list[float]]:
        """Return how long each decision took, oldest first, from the logs of all nodes."""
        texts = {log: log.read_text(errors="replace") for log in self.folder.glob("net/*/node.log")}
        return {log: [float(each) for each in DECIDED.findall(text)] for log, text in texts.items()}

    def stage_seconds(self) -> dict[str, float]:
        """Return the processor time by stage that all nodes have used, from their /metrics."""
        return stages_of([Node(url).get("/metrics").decode() for url in self.urls])

    def memory_mb(self) -> float:
        """Return the resident memory of all nodes together, in megabytes."""
        nodes = psutil.Process(self.process.pid).children(recursive=True)
        return float(sum(node.memory_info().rss for node in nodes)) / 1e6


def stages_of(pages: Iterable[str]) -> dict[str, float]:
    """Return the seconds of each stage on all pages of metrics together.

    Raises LoadError for a page without any: a share of nothing would look like a cheap stage.
    """
    found: dict[str, float] = {}
    for page in pages:
        rows = STAGE.findall(page)
        if not rows:
            raise LoadError("a node does not show its processor time by stage")
        for stage, seconds in rows:
            found[stage] = found.get(stage, 0.0) + float(seconds)
    return found


def say(text: str) -> None:
    """Show progress; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def free_ports(count: int) -> int:
    """Return the first of `count` free TCP ports in a row.

    Each process begins to look elsewhere, so that two that start together do not find the same.
    """
    places = range(PORT_MIN, PORT_MAX - count, count)
    at = os.getpid() * PORT_STEP % len(places)
    for first in itertools.chain(places[at:], places[:at]):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    listener = stack.enter_context(socket.socket())
                    listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise LoadError("no free ports")


def hex_of(data: bytes) -> str:
    """Return bytes as JSON-RPC writes them."""
    return "0x" + data.hex()


@contextlib.contextmanager
def network(validators: int) -> Iterator[Running]:
    """Run a local network in an empty folder until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    port = free_ports(2 * validators)
    command = [sys.executable, "-m", "qenex", "localnet", "--quiet", "--fresh"]
    command += ["--validators", str(validators), "--dir", str(folder / "net")]
    command += ["--rpc-port", str(port), "--p2p-port", str(port + validators)]
    started = time.monotonic()
    with (folder / "localnet.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            urls = [f"http://127.0.0.1:{port + each}" for each in range(validators)]
            chain_id = wait_for_block(process, urls, folder / "localnet.log")
            yield Running(urls, chain_id, process, time.monotonic() - started, folder)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def wait_for_block(process: subprocess.Popen[bytes], urls: list[str], log: Path) -> int:
    """Wait until every node has the first block; return the chain id."""
    deadline = time.monotonic() + START_S_MAX
    waiting = list(urls)
    while waiting:
        if process.poll() is not None or time.monotonic() > deadline:
            raise LoadError("the network did not start:\n" + log.read_text()[-4_000:])
        with contextlib.suppress(LoadError):
            if int(Node(waiting[0], 2.0).call("eth_blockNumber"), 16) >= 1:
                waiting.pop(0)
                continue
        time.sleep(0.1)
    return int(Node(urls[0]).call("eth_chainId"), 16)


def wait_until_drained(running: Running) -> int:
    """Wait until no transaction waits and all nodes have the same head; return its height."""
    nodes = [Node(url) for url in running.urls]
    deadline = time.monotonic() + DRAIN_S_MAX
    while time.monotonic() < deadline:
        waiting = [int(node.call("txpool_status")["pending"], 16) for node in nodes]
        heights = [int(node.call("eth_blockNumber"), 16) for node in nodes]
        if not any(waiting) and len(set(heights)) == 1:
            return heights[0]
        time.sleep(LOOK_S)
    raise LoadError(f"transactions still wait {DRAIN_S_MAX} s after the load: {waiting}")


def wait_for_receipt(node: Node, transaction: str) -> float:
    """Wait for a receipt; return the clock's reading when it was there."""
    body = request("eth_getTransactionReceipt", [transaction])
    deadline = time.monotonic() + RECEIPT_S_MAX
    while time.monotonic() < deadline:
        if (receipt := node.post(body).get("result")) is not None:
            now = time.monotonic()
            if receipt["status"] != "0x1":
                raise LoadError(f"a transfer failed: {receipt}")
            return now
        time.sleep(POLL_S)
    raise LoadError(f"no receipt of {transaction} within {RECEIPT_S_MAX} s")


def fund(running: Running, keys: list[PrivateKey], each_wei: int = FUNDS_WEI) -> None:
    """Send `each_wei` from the test accounts to every key, and wait until they are there."""
    node = Node(running.urls[0])
    funders = [PrivateKey(raw) for raw in TEST_KEYS.values()]
    last = []
    for index, funder in enumerate(funders):
        nonce = int(node.call("eth_getTransactionCount", hex_of(funder.address), "latest"), 16)
        raws = [
            sign_transfer(funder, running.chain_id, nonce + at, key.address, each_wei)
            for at, key in enumerate(keys[index :: len(funders)])
        ]
        if not raws:
            continue
        calls = [
            request("eth_sendRawTransaction", [hex_of(raw)], at) for at, raw in enumerate(raws[:-1])
        ]
        if calls:
            _, again, reason = send_batch(node, calls)
            if again:
                raise LoadError(f"could not fund the accounts: {reason}")
        last.append(node.call("eth_sendRawTransaction", hex_of(raws[-1])))
    for transaction in last:
        wait_for_receipt(node, transaction)
