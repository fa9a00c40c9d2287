"""The same JSON-RPC load on our node, anvil, hardhat node and ganache: `scripts.bench rpc`.

Ours is one real validator process (`qenex localnet --validators 1`) with its disk, journal and
consensus; once more without the pool's journal, which syncs each send to the disk before its
answer. The others keep everything in memory and mine at once. Each runs alone, one after the other,
on the same cores as the client (`scripts.bench_client`), whose own ceiling is printed.

Each prepared chain has a contract that emits a log or answers 42, 20 of its logs and a block of
100 transfers. Reads: so many connections, each asking again when its answer is there. Sends: 1,000
signed transfers over one connection, the next after the answer. Beside the rate stands the
processor time that the node took for an answer, which other work on the machine changes least.
"""

import argparse
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from scripts import bench_client
from scripts.bench_client import Rate
from scripts.bench_nodes import PEERS, Served, install, keys, serve
from scripts.load import (
    FEE_WEI_MAX,
    PRIORITY_FEE_WEI,
    LoadError,
    Node,
    nearest_rank,
    request,
    sign_transfer,
)

RUNTIME = bytes.fromhex("36601157602a600052600160206000a1005b602a60005260206000f3")
INIT = bytes.fromhex("601c600c600039601c6000f3") + RUNTIME
"""Without data the contract emits a log of 32 bytes with topic 1, with data it returns 42."""
CONTRACT_GAS = 200_000
BLOCK_TRANSACTIONS = 100
LOGS = 20
FULL_TRIES = 20
RECEIPT_S_MAX = 60.0
POLL_S = 0.001
READS = ("blockNumber", "getBalance", "call", "full block", "getLogs")
BETTER_WHEN_LESS = ("start_ms", "first_receipt_ms", "receipt_p50_ms")


def sign_contract(key: PrivateKey, chain_id: int, nonce: int, to: bytes, data: bytes) -> bytes:
    """Return a signed EIP-1559 transaction with data; `to` is empty for a creation."""
    fields = [uint(chain_id), uint(nonce), uint(PRIORITY_FEE_WEI), uint(FEE_WEI_MAX)]
    body: list[Any] = [*fields, uint(CONTRACT_GAS), to, b"", data, []]
    signature = key.sign(keccak(b"\x02" + encode(body)))
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    return b"\x02" + encode([*body, uint(signature[64]), uint(r), uint(s)])


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def receipt(node: Node, transaction: str) -> Any:
    """Wait for a good receipt and return it."""
    deadline = time.perf_counter() + RECEIPT_S_MAX
    while time.perf_counter() < deadline:
        found = node.call("eth_getTransactionReceipt", transaction)
        if found is not None:
            if found["status"] != "0x1":
                raise LoadError(f"a transaction failed: {found}")
            return found
        time.sleep(POLL_S)
    raise LoadError(f"no receipt of {transaction} within {RECEIPT_S_MAX} s")


class Chain:
    """One node's chain while it is prepared: next nonces of the keys, and what was made."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.node = served.node
        self.chain_id = int(self.node.call("eth_chainId"), 16)
        self.keys = keys()

    def nonce(self, key: PrivateKey) -> int:
        """Return the next nonce of a key."""
        return int(self.node.call("eth_getTransactionCount", _hex(key.address), "latest"), 16)

    def transfers(self, key: PrivateKey, count: int) -> list[bytes]:
        """Return the bodies that send so many transfers of one key in order."""
        first = self.nonce(key)
        raws = [
            sign_transfer(key, self.chain_id, first + each, b"\x11" * 20, 1)
            for each in range(count)
        ]
        return [request("eth_sendRawTransaction", [_hex(raw)], n) for n, raw in enumerate(raws)]

    def send(self, raw: bytes) -> Any:
        """Send one transaction and return its receipt."""
        return receipt(self.node, self.node.call("eth_sendRawTransaction", _hex(raw)))

    def deploy(self) -> str:
        """Make the contract and its logs; returns its address."""
        key = self.keys[0]
        first = self.nonce(key)
        made = self.send(sign_contract(key, self.chain_id, first, b"", INIT))["contractAddress"]
        to = bytes.fromhex(made[2:])
        for each in range(LOGS):
            self.send(sign_contract(key, self.chain_id, first + 1 + each, to, b""))
        return str(made)

    def full_block(self) -> str:
        """Make a block of BLOCK_TRANSACTIONS transfers; returns its number."""
        hold = self.served.hold
        for _ in range(FULL_TRIES):
            bodies = self.transfers(self.keys[1], BLOCK_TRANSACTIONS)
            if hold is None:
                answers = self.node.post(b"[" + b",".join(bodies) + b"]")
            else:
                self.node.call(hold[0][0], *hold[0][1])
                answers = [self.node.post(body) for body in bodies]
                self.node.call("evm_mine")
                self.node.call(hold[1][0], *hold[1][1])
            wrong = [each for each in answers if "error" in each]
            if wrong:
                raise LoadError(f"a transfer was refused: {wrong[0]}")
            numbers = {receipt(self.node, each["result"])["blockNumber"] for each in answers}
            if len(numbers) == 1:
                return str(numbers.pop())
        raise LoadError(f"no block took {BLOCK_TRANSACTIONS} transfers at once")


def read_bodies(chain: Chain, contract: str, block: str) -> dict[str, bytes]:
    """Return the body of each kind of read."""
    head = chain.node.call("eth_blockNumber")
    call = {"to": contract, "data": "0x01"}
    logs = {"address": contract, "fromBlock": "0x0", "toBlock": head}
    bodies = (
        request("eth_blockNumber", []),
        request("eth_getBalance", [_hex(chain.keys[3].address), "latest"]),
        request("eth_call", [call, "latest"]),
        request("eth_getBlockByNumber", [block, True]),
        request("eth_getLogs", [logs]),
    )
    return dict(zip(READS, bodies, strict=True))


def check_reads(node: Node, bodies: dict[str, bytes]) -> None:
    """Raise LoadError unless the reads find what was prepared."""
    found = {name: node.post(body).get("result") for name, body in bodies.items()}
    good = (
        int(found["call"], 16) == 42
        and len(found["full block"]["transactions"]) == BLOCK_TRANSACTIONS
        and isinstance(found["full block"]["transactions"][0], dict)
        and len(found["getLogs"]) == LOGS
    )
    if not good:
        raise LoadError(f"the prepared chain does not read as it should: {found}")


def measure(served: Served, options: argparse.Namespace, say: Callable[[str], None]) -> Any:
    """Return every figure of one node."""
    chain = Chain(served)
    first = chain.transfers(chain.keys[2], 1)[0]
    receipt(chain.node, chain.node.post(first)["result"])
    result: dict[str, Any] = {
        "start_ms": round(served.first_answer_s * 1e3),
        "first_receipt_ms": round((time.perf_counter() - served.started) * 1e3),
    }
    if not options.only_sends:
        result |= measure_reads(served, chain, options, say)
        result["receipt_p50_ms"] = round(_receipt_ms(chain, options.receipts), 1)
    return result | measure_sends(served, chain, options.sends, say)


def measure_reads(
    served: Served, chain: Chain, options: argparse.Namespace, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the rate of each kind of read."""
    result: dict[str, Any] = {}
    bodies = read_bodies(chain, chain.deploy(), chain.full_block())
    check_reads(chain.node, bodies)
    for name, body in bodies.items():
        bench_client.repeat(served.port, body, options.connections, options.seconds / 4)
        asked = partial(
            bench_client.repeat, served.port, body, options.connections, options.seconds
        )
        rate, cpu = _timed(served, asked)
        result[name] = {"per_second": round(rate.per_second, 1), "node_us": round(cpu, 1)}
        say(f"rpc: {served.name}: {name} {rate.per_second:,.0f}/s, {cpu:,.0f} us of the node")
    return result


def measure_sends(
    served: Served, chain: Chain, count: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the rate of so many sends one after another, and until the last is mined."""
    bodies = chain.transfers(chain.keys[4], count)
    rate, cpu = _timed(served, lambda: bench_client.in_turn(served.port, bodies))
    started = time.perf_counter() - rate.seconds
    last = keccak(bytes.fromhex(_raw_of(bodies[-1])))
    receipt(chain.node, _hex(last))
    mined = count / (time.perf_counter() - started)
    say(f"rpc: {served.name}: raw sends {rate.per_second:,.0f}/s, mined {mined:,.0f}/s")
    return {
        "raw sends": {"per_second": round(rate.per_second, 1), "node_us": round(cpu, 1)},
        "sends_mined_per_second": round(mined, 1),
        "memory_mb": round(served.memory_mb()),
    }


def _raw_of(body: bytes) -> str:
    return body.decode().rpartition('["0x')[2].partition('"')[0]


def _timed(served: Served, load: Callable[[], Rate]) -> tuple[Rate, float]:
    """Return the rate of a load and the node's microseconds for each answer."""
    before = served.cpu_s()
    rate = load()
    return rate, (served.cpu_s() - before) * 1e6 / rate.answers


def _receipt_ms(chain: Chain, count: int) -> float:
    taken = []
    for body in chain.transfers(chain.keys[5], count):
        started = time.perf_counter()
        receipt(chain.node, chain.node.post(body)["result"])
        taken.append((time.perf_counter() - started) * 1e3)
    return nearest_rank(taken, 50)


def ceiling(port: int, connections: int, seconds: float) -> float:
    """Return the rate of the client against a server that always answers the same."""
    process = multiprocessing.get_context("spawn").Process(
        target=bench_client.serve_stub, args=(port,), daemon=True
    )
    process.start()
    try:
        for _ in range(500):
            try:
                bench_client.repeat(port, b"{}", 1, 0)
                break
            except OSError:
                time.sleep(0.02)
        return bench_client.repeat(port, b"{}", connections, seconds).per_second
    finally:
        process.kill()
        process.join()


def bench_rpc(
    options: argparse.Namespace, free_port: Callable[[], int], say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure every wanted node in turn; return the figures and what was left out."""
    wanted = [each for each in PEERS if each.name in options.only]
    if any(each.needs for each in wanted):
        install(say)
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(each, 1) for each in os.getloadavg()],
        "connections": options.connections,
        "client_ceiling": round(ceiling(free_port(), options.connections, options.seconds)),
        "nodes": {},
        "left_out": {},
    }
    say(f"rpc: the client alone takes {result['client_ceiling']:,} answers a second")
    for peer in wanted:
        why = peer.missing()
        if why is None:
            try:
                say(f"rpc: {peer.name} starts")
                with serve(peer, free_port()) as served:
                    result["nodes"][peer.name] = measure(served, options, say)
                continue
            except LoadError as error:
                why = str(error)
        say(f"rpc: {peer.name} is left out: {why}")
        result["left_out"][peer.name] = why
    if "ours" in options.only and "ours" not in result["nodes"]:
        raise LoadError(f"our own node was not measured: {result['left_out']['ours']}")
    return result


def ratio(ours: Any, other: Any, name: str) -> float | None:
    """Return how many times better ours is: answers a second, or less time."""
    if isinstance(ours[name], dict):
        return float(ours[name]["per_second"] / other[name]["per_second"])
    if name in BETTER_WHEN_LESS:
        return float(other[name] / ours[name]) if ours[name] else None
    return float(ours[name] / other[name]) if other[name] else None


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result in lines for a person: each figure, ours divided by the peer's."""
    yield (
        f"{result['cores']} cores, Python {result['python']}, load at the start "
        f"{result['load']}, {result['connections']} connections; the client's ceiling "
        f"{result['client_ceiling']:,}/s"
    )
    nodes = result["nodes"]
    yield f"{'':24}" + "".join(f"{name:>22}" for name in nodes)
    ours = nodes.get("ours")
    for name in next(iter(nodes.values()), {}):
        cells = []
        for peer, found in nodes.items():
            value = found[name]
            if isinstance(value, dict):
                text = f"{value['per_second']:,.0f}/s {value['node_us']:,.0f} us"
            else:
                text = f"{value:,}"
            if ours is not None and peer != "ours" and name != "memory_mb":
                times = ratio(ours, found, name)
                text += "" if times is None else f" ({times:.2f}x)"
            cells.append(f"{text:>22}")
        yield f"{name:24}" + "".join(cells)
    yield "(2x): ours is twice as good; us: processor time of the node for one answer"
    for name, why in result["left_out"].items():
        yield f"left out: {name}: {why.splitlines()[0]}"


def add_command(commands: Any, free_port: Callable[[], int], say: Callable[[str], None]) -> None:
    """Add `rpc` to the commands of `scripts.bench`."""
    command = commands.add_parser("rpc", help="JSON-RPC beside anvil, hardhat node and ganache")
    names = [each.name for each in PEERS]
    command.add_argument("--only", nargs="*", choices=names, default=names)
    command.add_argument("--connections", type=int, default=8)
    command.add_argument("--seconds", type=float, default=4.0, help="of each kind of read")
    command.add_argument("--sends", type=int, default=1_000, help="sequential raw sends")
    command.add_argument("--only-sends", action="store_true", help="leave out the reads")
    command.add_argument("--receipts", type=int, default=20, help="sends whose receipt is awaited")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.set_defaults(run=lambda options: bench_rpc(options, free_port, say), report=report)
