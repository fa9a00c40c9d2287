"""A network of real node processes that a test starts, kills and asks."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import HexStr

from consensus.wal import Intent, read_records
from node.folder import DataFolder
from node.wal import SUFFIX
from primitives.types import ChainId
from qenex.localnet import Localnet, create

MNEMONIC = "test test test test test test test test test test test junk"
ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
CHAIN_ID = ChainId(20_260)
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Nodes are never behind a proxy, whatever the environment says."""

Account.enable_unaudited_hdwallet_features()


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that nothing used a moment ago, outside the range of outgoing connections."""
    found: list[int] = []
    for port in random.sample(range(10_000, 30_000), 400):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return tuple(found)
    raise AssertionError("no free ports")


def account(index: int) -> LocalAccount:
    """Return one of the ten funded accounts."""
    made: LocalAccount = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return made


def rpc(url: str, method: str, *params: object) -> Any:
    """Return the result of one call; raises OSError when nobody answers, RpcError for an error."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with _DIRECT.open(request, timeout=10) as answer:
        document = json.load(answer)
    if "error" in document:
        raise RpcError(document["error"])
    return document["result"]


class RpcError(Exception):
    """The node's error object."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Poll until `condition` holds; OSError counts as not yet."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class Cluster:
    """`count` validators, each its own process and data folder under `path`."""

    def __init__(self, path: Path, count: int = 4) -> None:
        made = create(path / "net", count, CHAIN_ID, None)
        ports = free_ports(2 * count)
        self.net: Localnet = replace(made, rpc_ports=ports[:count], p2p_ports=ports[count:])
        self.urls = self.net.urls
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for index in list(self.processes):
            self.kill(index)

    @property
    def indexes(self) -> range:
        """Numbers of the nodes."""
        return range(len(self.urls))

    def folder(self, index: int) -> DataFolder:
        """Return a node's data folder."""
        return self.net.folders[index]

    def start(self, *indexes: int) -> None:
        """Start these nodes, or all."""
        for index in indexes or self.indexes:
            log = self.folder(index).path / "node.log"
            with log.open("ab") as sink:
                self.processes[index] = subprocess.Popen(
                    self.command(index), cwd=ROOT, stdout=sink, stderr=sink
                )

    def command(self, index: int) -> list[str]:
        """Return the command line of one node."""
        data = ["--data-dir", str(self.folder(index).path)]
        return [sys.executable, "-m", "qenex", "node", *data, *self.net.node_flags(index)]

    def kill(self, *indexes: int) -> None:
        """Kill these nodes at once (SIGKILL), or all."""
        chosen = [each for each in indexes or self.indexes if each in self.processes]
        for index in chosen:
            self.processes[index].send_signal(signal.SIGKILL)
        for index in chosen:
            self.processes.pop(index).wait()

    def stop(self, index: int) -> int:
        """Stop a node by SIGTERM and return its exit code."""
        process = self.processes.pop(index)
        process.send_signal(signal.SIGTERM)
        return process.wait(20)

    def height(self, index: int) -> int:
        """Return a node's height."""
        return int(rpc(self.urls[index], "eth_blockNumber"), 16)

    def block(self, index: int, height: int) -> dict[str, Any]:
        """Return the block of a node at `height`."""
        found: dict[str, Any] = rpc(self.urls[index], "eth_getBlockByNumber", hex(height), False)
        return found

    def wait_height(self, height: int, *indexes: int) -> None:
        """Wait until these nodes, or all, have reached `height`."""
        for index in indexes or self.indexes:
            wait_until(
                lambda index=index: self.height(index) >= height,  # type: ignore[misc]
                f"node {index + 1} reaches height {height}; see its log:\n{self.log_tail(index)}",
            )

    def log_tail(self, index: int) -> str:
        """Return the last lines of a node's log."""
        path = self.folder(index).path / "node.log"
        return "\n".join(path.read_text().splitlines()[-15:]) if path.exists() else "(no log)"

    def transfer(self, index: int, sender: int, nonce: int) -> str:
        """Send 1 wei from a funded account through a node; returns the hash."""
        signed = account(sender).sign_transaction(
            {
                "chainId": CHAIN_ID,
                "nonce": nonce,
                "to": HexStr("0x" + "11" * 20),
                "value": 1,
                "gas": 21_000,
                "maxFeePerGas": 10**10,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        sent: str = rpc(
            self.urls[index], "eth_sendRawTransaction", "0x" + signed.raw_transaction.hex()
        )
        return sent

    def check_agreement(self, *indexes: int) -> int:
        """Assert that all common heights have one hash and state root; returns the lowest head."""
        chosen = indexes or tuple(self.indexes)
        common = min(self.height(index) for index in chosen)
        for height in range(common + 1):
            views = {
                (each["hash"], each["stateRoot"])
                for each in (self.block(index, height) for index in chosen)
            }
            assert len(views) == 1, f"nodes differ at height {height}: {views}"
        return common

    def check_no_double_signing(self) -> int:
        """Assert that no log holds two different intents for one place; returns how many it read.

        The logs still hold everything, because no segment is above its bound in these tests.
        """
        count = 0
        for index in self.indexes:
            seen: dict[tuple[int, int, int], object] = {}
            for segment in self.folder(index).wal.glob(f"*{SUFFIX}"):
                records, _ = read_records(segment.read_bytes())
                for record in records:
                    if not isinstance(record, Intent):
                        continue
                    message = record.message
                    place = (message.height, message.round, message.kind)
                    assert seen.setdefault(place, message) == message, f"signed twice: {place}"
                    count += 1
        return count


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with `more`, and the project importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}
