"""Nodes of `scripts.chaos` in network namespaces of their own, joined by a packet switch.

Each node lives in a namespace that has a loopback and one TUN device, and so does the run itself
while it lasts: nothing of it can be seen or reached from the machine's own namespace, and nothing
can leave. The devices' other ends are in the hands of `scripts.chaos_packets`. The run's own
packets (JSON-RPC) go through the same switch and have no weather.

Nothing here has a name or a place on disk. A namespace lives as long as a process in it or our
handle, a device as long as the switch, the switch as long as our end of its standard input, a node
(setpriv --pdeathsig) as long as the thread that started it: whatever ends the run, kill -9 too,
takes all of it along.

Needs CAP_NET_ADMIN and CAP_SYS_ADMIN (root, or `unshare --user --map-root-user --net`), a
/dev/net/tun that may be opened, and the commands `ip`, `nsenter` and `setpriv`; `why_not` says what
is missing. Devices: linux/if_tun.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import shutil
import struct
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Final

from scripts.chaos_clocks import Clocks
from scripts.chaos_cluster import VALIDATORS, ChaosCluster, Links
from scripts.chaos_packets import CLEAR, Weather
from scripts.tidy import ROOT

CLONE_NEWNET: Final = 0x4000_0000
TUNSETIFF: Final = 0x4004_54CA
IFF_TUN_NO_PI: Final = 0x1001
DEVICE: Final = "chaos0"
TUN: Final = "/dev/net/tun"
MY_NAMESPACE: Final = "/proc/thread-self/ns/net"
COMMANDS: Final = ("ip", "nsenter", "setpriv")
COMMAND_S_MAX: Final = 10.0
SWITCH_S_MAX: Final = 20.0
HOSTS: Final = tuple(f"192.0.2.{index + 1}" for index in range(VALIDATORS + 1))
"""The nodes' addresses, and last the run's own; TEST-NET-1 (RFC 5737), never routed."""
RPC_PORT: Final = 8545
P2P_PORT: Final = 30303
KERNEL_COUNTERS: Final = {
    "RetransSegs": "retransmitted",
    "TCPSynRetrans": "synsRetransmitted",
    "TCPOFOQueue": "outOfOrder",
    "TCPDSACKRecv": "doublesTold",
    "TCPTimeouts": "timeouts",
}
"""Of /proc/net/snmp and /proc/net/netstat, and what the report calls them."""


def why_not() -> str | None:
    """Return why this process cannot make namespaces, or None when it can; it tries."""
    missing = [each for each in COMMANDS if shutil.which(each) is None]
    if missing:
        return f"no command {missing[0]}"
    try:
        home = os.open(MY_NAMESPACE, os.O_RDONLY)
        try:
            _call("setns", home, CLONE_NEWNET)  # the way back at the end
        finally:
            os.close(home)
        Space(HOSTS[0]).close()
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None


class Space:
    """A network namespace with a loopback and a TUN device, both up; raises OSError."""

    def __init__(self, host: str) -> None:
        self.namespace = self.device = -1
        try:
            with ThreadPoolExecutor(1) as thread:  # its namespace goes with it
                thread.submit(self._make, host).result()
        except BaseException:
            self.close()
            raise

    def _make(self, host: str) -> None:
        _call("unshare", CLONE_NEWNET)
        self.namespace = os.open(MY_NAMESPACE, os.O_RDONLY)
        self.device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN_NO_PI))
        for words in (
            f"address add {host}/24 dev {DEVICE}",
            f"link set {DEVICE} up",
            "link set lo up",
        ):
            done = subprocess.run(
                ["ip", *words.split()],
                check=False,
                capture_output=True,
                text=True,
                timeout=COMMAND_S_MAX,
            )
            if done.returncode:
                raise OSError(f"ip {words}: {done.stderr.strip()}")

    def close_device(self) -> None:
        """Close our handle of the device; it stays while another process has one."""
        with suppress(OSError):
            os.close(self.device)
        self.device = -1

    def close(self) -> None:
        """Close both handles: what no process uses is gone."""
        self.close_device()
        with suppress(OSError):
            os.close(self.namespace)
        self.namespace = -1


class Spaces:
    """The namespaces of all nodes and of the run, and the switch between them.

    Entering moves the calling thread, and the threads that it starts, into the run's namespace;
    leaving moves it back. Same rule for both: from one thread.
    """

    has_packets = True

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._stack = ExitStack()
        self._nodes: list[Space] = []
        self._commands: IO[bytes]
        self._answers: IO[bytes]

    def __enter__(self) -> Spaces:
        with ExitStack() as stack:
            spaces = []
            for host in HOSTS:
                spaces.append(Space(host))
                stack.callback(spaces[-1].close)
            self._nodes = spaces[:VALIDATORS]
            self._start_switch(spaces, stack)
            home = os.open(MY_NAMESPACE, os.O_RDONLY)
            stack.callback(os.close, home)
            stack.callback(_call, "setns", home, CLONE_NEWNET)
            _call("setns", spaces[-1].namespace, CLONE_NEWNET)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_switch(self, spaces: list[Space], stack: ExitStack) -> None:
        ends = [f"{host}={each.device}" for host, each in zip(HOSTS, spaces, strict=True)]
        switch = subprocess.Popen(
            [sys.executable, "-m", "scripts.chaos_packets", str(self._seed), *ends],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[each.device for each in spaces],
        )
        stack.callback(_end, switch)
        if switch.stdin is None or switch.stdout is None:
            raise OSError("the switch has no pipes")
        self._commands, self._answers = switch.stdin, switch.stdout
        for each in spaces:
            each.close_device()
        self.counts()

    def entry(self, index: int) -> list[str]:
        """Return the words that start a command in a node's namespace, and end it with us."""
        namespace = f"/proc/{os.getpid()}/fd/{self._nodes[index].namespace}"
        return ["nsenter", f"--net={namespace}", "setpriv", "--pdeathsig", "KILL", "--"]

    # --- weather ----------------------------------------------------------------------------------

    def cut(self, one: Collection[int], other: Collection[int]) -> None:
        """Drop all packets between two groups."""
        pairs = [(a, b) for a in one for b in other]
        self._ask(Weather(is_cut=True), [*pairs, *((b, a) for a, b in pairs)])

    def cut_one_way(self, one: Collection[int], other: Collection[int]) -> None:
        """Drop all packets from the first group to the second; the others pass."""
        self._ask(Weather(is_cut=True), [(a, b) for a in one for b in other])

    def spoil(self, weather: Weather) -> None:
        """Give every direction between nodes this weather."""
        nodes = range(VALIDATORS)
        self._ask(weather, [(a, b) for a in nodes for b in nodes if a != b])

    def heal(self) -> None:
        """Let everything pass again."""
        self.spoil(CLEAR)

    def counts(self) -> dict[str, int]:
        """Return how many packets were carried, cut, lost and so on since the start."""
        return self._ask(CLEAR, [])

    def _ask(self, weather: Weather, ways: Iterable[tuple[int, int]]) -> dict[str, int]:
        command = {"ways": list(ways), "weather": asdict(weather)}
        self._commands.write(json.dumps(command).encode() + b"\n")
        self._commands.flush()
        if not select.select([self._answers], [], [], SWITCH_S_MAX)[0]:
            raise OSError("the packet switch does not answer")
        answer: dict[str, int] = json.loads(self._answers.readline())
        return answer


class SpaceCluster(ChaosCluster):
    """Validators in namespaces, each at the same ports of an address of its own."""

    def __init__(self, path: Path, clocks: Clocks | None, spaces: Spaces) -> None:
        super().__init__(path, clocks)
        self._spaces = spaces
        self.net = replace(
            self.net, rpc_ports=(RPC_PORT,) * VALIDATORS, p2p_ports=(P2P_PORT,) * VALIDATORS
        )
        self.urls = [f"http://{host}:{RPC_PORT}" for host in HOSTS[:VALIDATORS]]

    def command(self, index: int) -> list[str]:
        """Return the command line of one node, listening at its own address."""
        host = HOSTS[index]
        return [*super().command(index), "--rpc.host", host, "--p2p.host", host]

    def entry(self, index: int) -> list[str]:
        """Return the words that start a node in its namespace."""
        return self._spaces.entry(index)

    def way(self, _: int, target: int) -> str:
        """Return the multiaddr of a node."""
        return f"/ip4/{HOSTS[target]}/tcp/{P2P_PORT}"


@contextmanager
def spaced(path: Path, clocks: Clocks | None, seed: int) -> Iterator[tuple[ChaosCluster, Links]]:
    """Yield validators in `path`, not started yet, and the namespaces that they will run in."""
    with Spaces(seed) as spaces, SpaceCluster(path, clocks, spaces) as cluster:
        yield cluster, spaces


def kernel_counts(pid: int) -> dict[str, int]:
    """Return what TCP had to repeat and to sort in the namespace of a process."""
    found: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        lines = Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            for key, value in zip(names.split()[1:], values.split()[1:], strict=True):
                if key in KERNEL_COUNTERS:
                    found[KERNEL_COUNTERS[key]] = int(value)
    return found


def _call(name: str, *arguments: int) -> None:
    """Call a function of the C library that is in `os` from Python 3.12 on; raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _end(switch: subprocess.Popen[bytes]) -> None:
    """End the switch by the end of its input, or else by force."""
    for pipe in (switch.stdin, switch.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        switch.wait(SWITCH_S_MAX)
    except subprocess.TimeoutExpired:
        switch.kill()
        switch.wait()
