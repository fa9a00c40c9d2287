"""Measure on this machine: `python -m scripts.bench network|engine|state|start|rpc|sends`.

`engine` is `scripts.bench_engine`, and so on; each takes `--json`. `network` starts a local network
in an empty folder, measures these things and stops it:

- latency: a transfer is sent to an idle network, and the clock stops when its receipt is there;
  the pause before each send is drawn anew, so that sends meet every point of the block period;
- throughput: transfers signed beforehand are sent from many accounts, in batches, to all nodes
  at once, with a bound on how many are under way; what stands in blocks is counted per second;
- decision: from the first sight of a proposal to the decided block, as every node logs it;
- processor: seconds that all nodes together used during the load, by block and by transfer;
- memory: the resident sets of all node processes together, after the load.

The sender runs on the same machine, so its work takes from the nodes' share of the cores.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from genesis.profiles import TEST_KEYS
from primitives.crypto.secp256k1 import PrivateKey
from scripts import bench_engine, bench_rpc, bench_sends, bench_start, bench_state
from scripts.load import (
    Flow,
    LoadError,
    Node,
    accounts,
    batches,
    nearest_rank,
    request,
    send_all,
    send_batch,
    sign_transfer,
)

START_S_MAX = 120
STOP_S_MAX = 30
RECEIPT_S_MAX = 30
POLL_S = 0.005
DECIDED = re.compile(r'"?decided_in_ms"?[=:] ?([0-9.]+)')
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

    def decisions_ms(self) -> list[float]:
        """Return how long each decision took on each node, from their logs."""
        texts = [log.read_text(errors="replace") for log in self.folder.rglob("*.log")]
        return [float(each) for text in texts for each in DECIDED.findall(text)]

    def memory_mb(self) -> float:
        """Return the resident memory of all nodes together, in megabytes."""
        nodes = psutil.Process(self.process.pid).children(recursive=True)
        return float(sum(node.memory_info().rss for node in nodes)) / 1e6


def say(text: str) -> None:
    """Show progress; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def free_ports(count: int) -> int:
    """Return the first of `count` free TCP ports in a row."""
    for first in range(18_545, 60_000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    listener = stack.enter_context(socket.socket())
                    listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise LoadError("no free ports")


@contextlib.contextmanager
def network(validators: int) -> Iterator[Running]:
    """Run a local network in an empty folder until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    port = free_ports(validators)
    command = [sys.executable, "-m", "qenex", "localnet", "--quiet", "--fresh"]
    command += ["--validators", str(validators), "--dir", str(folder / "net")]
    command += ["--rpc-port", str(port)]
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


def measure_latency(running: Running, sends: int, pause_ms: int, seed: int) -> dict[str, float]:
    """Send transfers one after another to an idle network; return the percentiles in ms."""
    key = PrivateKey(next(iter(TEST_KEYS.values())))
    nodes = [Node(url) for url in running.urls]
    nonce = int(nodes[0].call("eth_getTransactionCount", hex_of(key.address), "latest"), 16)
    chance = random.Random(seed)
    taken_ms = []
    for each in range(sends):
        raw = sign_transfer(key, running.chain_id, nonce + each, key.address, 1)
        node = nodes[each % len(nodes)]
        time.sleep(chance.uniform(0, pause_ms / 1000))
        started = time.monotonic()
        transaction = node.call("eth_sendRawTransaction", hex_of(raw))
        taken_ms.append((wait_for_receipt(node, transaction) - started) * 1000)
        if (each + 1) % 20 == 0:
            say(f"latency: {each + 1} of {sends} sends, median {nearest_rank(taken_ms, 50):.0f} ms")
    return {
        "sends": sends,
        "p50_ms": round(nearest_rank(taken_ms, 50), 1),
        "p99_ms": round(nearest_rank(taken_ms, 99), 1),
        "max_ms": round(max(taken_ms), 1),
    }


def fund(running: Running, keys: list[PrivateKey]) -> None:
    """Send coins from the test accounts to every key, and wait until they are there."""
    node = Node(running.urls[0])
    funders = [PrivateKey(raw) for raw in TEST_KEYS.values()]
    last = []
    for index, funder in enumerate(funders):
        nonce = int(node.call("eth_getTransactionCount", hex_of(funder.address), "latest"), 16)
        raws = [
            sign_transfer(funder, running.chain_id, nonce + at, key.address, FUNDS_WEI)
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


def hex_of(data: bytes) -> str:
    """Return bytes as JSON-RPC writes them."""
    return "0x" + data.hex()


def watch(running: Running, flow: Flow, seconds: float, first: int) -> list[tuple[float, int]]:
    """Follow the blocks from height `first`; return when each was seen and how many it holds."""
    node = Node(running.urls[0])
    seen: list[tuple[float, int]] = []
    height = first
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not flow.failures:
        answer = node.call("eth_getBlockTransactionCountByNumber", hex(height))
        if answer is None:
            time.sleep(POLL_S * 4)
            continue
        seen.append((time.monotonic(), int(answer, 16)))
        with flow.lock:
            flow.included += seen[-1][1]
        height += 1
        if len(seen) % 10 == 0:
            say(f"throughput: {flow.included} transfers in {len(seen)} blocks")
    return seen


def rate_of(seen: list[tuple[float, int]]) -> tuple[float, int, float]:
    """Return transfers per second, how many, and over how many seconds.

    Counted from the first block that holds some to the last one; the first one's transfers had
    gathered before, so they do not count.
    """
    full = [index for index, (_, count) in enumerate(seen) if count]
    if len(full) < 2:
        raise LoadError("fewer than two blocks held transfers")
    first, last = full[0], full[-1]
    seconds = seen[last][0] - seen[first][0]
    count = sum(count for _, count in seen[first + 1 : last + 1])
    return count / seconds, count, seconds


def measure_throughput(running: Running, options: argparse.Namespace) -> dict[str, Any]:
    """Send transfers from many accounts to all nodes for some seconds; return the rate."""
    keys = accounts(options.accounts)
    fund(running, keys)
    share = len(running.urls)
    say(f"throughput: signing {options.accounts * options.rounds} transfers")
    # An account always speaks to the same node, so that its nonces arrive in order.
    work = [
        list(batches(keys[index::share], running.chain_id, options.rounds, options.batch))
        for index in range(share)
    ]
    flow = Flow(options.in_flight)
    head = int(Node(running.urls[0]).call("eth_blockNumber"), 16)
    used_before, began = running.processor_s(), time.monotonic()
    senders = [
        threading.Thread(target=send_all, args=(flow, url, part), daemon=True)
        for url, part in zip(running.urls, work, strict=True)
    ]
    for sender in senders:
        sender.start()
    try:
        seen = watch(running, flow, options.seconds, head + 1)
    finally:
        flow.stop.set()
        for sender in senders:
            sender.join(timeout=STOP_S_MAX)
    if flow.failures:
        raise LoadError(flow.failures[0])
    used_s, lasted_s = running.processor_s() - used_before, time.monotonic() - began
    rate, count, seconds = rate_of(seen)
    return {
        "blocks_per_second": round(len(seen) / lasted_s, 2),
        "cpu_ms_per_block": round(1_000 * used_s / max(1, len(seen)), 1),
        "cpu_ms_per_transfer": round(1_000 * used_s / max(1, flow.included), 3),
        "transfers_per_second": round(rate, 1),
        "transfers": count,
        "seconds": round(seconds, 2),
        "blocks": len(seen),
        "largest_block": max(count for _, count in seen),
        "tried_again": flow.refused,
        "last_refusal": flow.last_refusal,
    }


def bench_network(options: argparse.Namespace) -> dict[str, Any]:
    """Start a network, measure it, and return every figure."""
    say(f"starting {options.validators} validators")
    with network(options.validators) as running:
        say(f"first block on every node after {running.start_s:.1f} s")
        result: dict[str, Any] = {
            "validators": options.validators,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "first_block_s": round(running.start_s, 1),
        }
        if options.sends:
            arguments = (options.sends, options.pause_ms, options.seed)
            result["latency"] = measure_latency(running, *arguments)
        if options.seconds:
            result["throughput"] = measure_throughput(running, options)
        if decisions := running.decisions_ms():
            result["decision"] = {
                "decisions": len(decisions),
                "p50_ms": round(nearest_rank(decisions, 50), 1),
                "p99_ms": round(nearest_rank(decisions, 99), 1),
            }
        result["memory_mb"] = round(running.memory_mb(), 1)
    return result


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result in lines for a person."""
    yield f"{result['validators']} validators, {result['cores']} cores, Python {result['python']}"
    yield f"start       first block on every node after {result['first_block_s']} s"
    if found := result.get("latency"):
        yield (
            f"latency     p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms, "
            f"max {found['max_ms']} ms over {found['sends']} sends to an idle network"
        )
    if found := result.get("throughput"):
        yield (
            f"throughput  {found['transfers_per_second']} transfers/s sustained "
            f"({found['transfers']} in {found['seconds']} s, {found['blocks']} blocks)"
        )
        yield (
            f"blocks      {found['blocks_per_second']} a second under load; processor of all nodes "
            f"{found['cpu_ms_per_block']} ms a block, {found['cpu_ms_per_transfer']} ms a transfer"
        )
    if found := result.get("decision"):
        yield (
            f"decision    p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms from proposal to "
            f"decision, {found['decisions']} on all nodes"
        )
    yield f"memory      {result['memory_mb']} MB for all nodes"


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="network|engine|state|start|rpc|sends")
    command = commands.add_parser("network", help="latency, throughput and memory of a localnet")
    command.add_argument("--validators", type=int, default=4)
    command.add_argument("--sends", type=int, default=200, help="latency sends; 0 leaves it out")
    command.add_argument("--pause-ms", type=int, default=1_000, help="longest pause before a send")
    command.add_argument("--seconds", type=float, default=20, help="load; 0 leaves it out")
    command.add_argument("--accounts", type=int, default=400, help="senders of the load")
    command.add_argument("--rounds", type=int, default=100, help="transfers signed per sender")
    command.add_argument("--batch", type=int, default=100, help="transfers in one HTTP request")
    command.add_argument("--in-flight", type=int, default=4_000, help="most not yet in a block")
    command.add_argument("--seed", type=int, default=1, help="of the pauses")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.set_defaults(run=bench_network, report=report)
    bench_engine.add_command(commands)
    state = commands.add_parser("state", help="blocks, memory and restart as the state grows")
    bench_state.add_options(state)
    state.add_argument("--json", action="store_true", help="print the figures as JSON")
    state.set_defaults(run=bench_state.bench_state, report=bench_state.report)
    bench_rpc.add_command(commands, lambda: free_ports(1), say)
    bench_sends.add_command(commands, network, fund, say)
    start = commands.add_parser("start", help="processor time until a node answers")
    bench_start.add_options(start)
    start.add_argument("--json", action="store_true", help="print the figures as JSON")
    start.set_defaults(run=bench_start.bench_start, report=bench_start.report)
    options = parser.parse_args()
    try:
        result = options.run(options)
    except LoadError as error:
        sys.exit(f"bench: {error}")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(options.report(result)))


if __name__ == "__main__":
    main()
