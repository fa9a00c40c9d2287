"""`qenex localnet`: a whole network on this machine, each validator its own process."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

import click

from genesis.profiles import LOCALNET_CHAIN_ID
from node.folder import DataFolder
from primitives.errors import ConfigError, QenexError
from primitives.types import ChainId
from qenex.banner import banner
from qenex.children import Children, Death
from qenex.follow import Follower
from qenex.jsonrpc import JsonRpc
from qenex.localnet import Localnet, create, is_localnet, remove, resume

VALIDATORS: Final = 4
READY_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.25


@click.command("localnet")
@click.option(
    "--validators", "-n", type=int, help=f"How many validators, 1 or more.  [default: {VALIDATORS}]"
)
@click.option(
    "--dir",
    "path",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("localnet"),
    show_default=True,
    help="Folder of the network; made, or gone on with.",
)
@click.option("--fresh", is_flag=True, help="Delete the network in the folder and begin anew.")
@click.option(
    "--chain-id", type=int, help=f"Chain id of a new network.  [default: {LOCALNET_CHAIN_ID}]"
)
@click.option(
    "--rpc-port",
    type=click.IntRange(1, 65_535),
    help="JSON-RPC port of the first validator; the others follow.  [default: 8545]",
)
@click.option(
    "--p2p-port",
    type=click.IntRange(1, 65_535),
    help="Port between validators of the first one; the others follow.  [default: 30303]",
)
@click.option("--quiet", "-q", is_flag=True, help="No line per block.")
def command(
    *,
    validators: int | None,
    path: Path,
    fresh: bool,
    chain_id: int | None,
    rpc_port: int | None,
    p2p_port: int | None,
    quiet: bool,
) -> int:
    """Start a network of validators on this machine and watch it; Ctrl-C stops it.

    The first start makes keys, a genesis document and ten funded accounts in the folder; later
    starts go on with the same chain. For development only: the accounts' keys are public.

    \b
    Examples:
      qenex localnet                       four validators on ports 8545 to 8548
      qenex localnet -n 1                  one validator: the quickest blocks
      qenex localnet --fresh --chain-id 20261
      qenex localnet --dir /tmp/net --rpc-port 9545 --quiet
    """
    folder = DataFolder(path)
    folder.make()
    with folder.locked():
        is_fresh = fresh or not is_localnet(path)
        if fresh:
            remove(path)
        ports = {"rpc_port": rpc_port, "p2p_port": p2p_port}
        if is_fresh:
            count = VALIDATORS if validators is None else validators
            number = ChainId(LOCALNET_CHAIN_ID if chain_id is None else chain_id)
            net = create(path, count, number, **ports)
        else:
            net = resume(path, **ports)
            _check_same(net, validators, chain_id)
        return Session(net, quiet=quiet, is_fresh=is_fresh).run()


def _check_same(net: Localnet, validators: int | None, chain_id: int | None) -> None:
    """Raise ConfigError when the network on disk is not the one that was asked for."""
    if validators not in (None, len(net.urls)):
        raise ConfigError(f"{net.path} holds {len(net.urls)} validators; begin anew with --fresh")
    if chain_id not in (None, net.chain_id):
        raise ConfigError(f"{net.path} holds chain id {net.chain_id}; begin anew with --fresh")


class Session:
    """One run of a local network, from the first process to the last."""

    def __init__(
        self,
        net: Localnet,
        *,
        quiet: bool,
        is_fresh: bool,
        program: Sequence[str] = (sys.executable, "-m", "qenex", "node"),
    ) -> None:
        self._net = net
        self._program = program
        self._quiet = quiet
        self._is_fresh = is_fresh
        self._children = Children()
        self._stop = threading.Event()
        self._signals = 0

    def run(self) -> int:
        """Start, show, follow, stop; return the exit code."""
        before = {each: signal.signal(each, self._on_signal) for each in _SIGNALS}
        try:
            for index in range(len(self._net.urls)):
                self._start(index)
            height = self._wait_ready()
            if height is not None:
                for line in banner(self._net, height=height, is_fresh=self._is_fresh):
                    print(line, flush=True)
                return self._follow(height)
            return 0 if self._stop.is_set() else 1
        finally:
            self._stop_all()
            for each, handler in before.items():
                signal.signal(each, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self._stop.set()

    def _start(self, index: int) -> None:
        folder = self._net.folders[index]
        command = [*self._program, "--data-dir", str(folder.path)]
        command += ["--stop-with", str(os.getpid()), *self._net.node_flags(index)]
        self._children.start(f"validator {index + 1}", command, folder.path / "node.log")

    def _wait_ready(self) -> int | None:
        """Wait until every node answers and a new block is decided; None when that fails."""
        count = len(self._net.urls)
        print(f"starting {_counted(count)} in {self._net.path} ...", flush=True)
        begun, deadline = time.monotonic(), time.monotonic() + READY_TIMEOUT_S
        shown, first = 0, 0 if self._is_fresh else None
        while not self._stop.is_set() and time.monotonic() < deadline:
            for death in self._children.deaths():
                _show(death)
                return None
            heights = [self._height(url) for url in self._net.urls]
            answering = sum(each is not None for each in heights)
            if answering > shown:
                shown = answering
                print(f"  {shown} of {count} answer ({time.monotonic() - begun:.1f} s)", flush=True)
            known = [each for each in heights if each is not None]
            if len(known) == count:
                first = max(known) if first is None else first
                if min(known) >= 1 and max(known) > first:
                    return max(known)
            self._stop.wait(_POLL_S)
        if not self._stop.is_set():
            print(f"no block within {READY_TIMEOUT_S:.0f} s; see the logs in {self._net.path}")
            for child in self._children.running:
                for line in child.last_lines(3):
                    print(f"  {child.name}: {line}")
        return None

    def _height(self, url: str) -> int | None:
        try:
            return JsonRpc(url, timeout_s=2.0).height()
        except QenexError:
            return None

    def _follow(self, height: int) -> int:
        """Print blocks and deaths until a signal, or until nobody is left."""
        follower = Follower(self._net.urls, height)
        while not self._stop.wait(_POLL_S):
            for death in self._children.deaths():
                _show(death)
                index = int(death.name.split()[-1]) - 1
                print(f"  the others go on; start it again with:\n  {self._restart_line(index)}")
            if not self._children.running:
                print("no validator is left", flush=True)
                return 1
            for line in follower.new_lines():
                if not self._quiet:
                    print(line, flush=True)
        return 0

    def _restart_line(self, index: int) -> str:
        folder = self._net.folders[index].path
        flags = self._net.node_flags(index)
        return shlex.join([*self._program, "--data-dir", str(folder), *flags])

    def _stop_all(self) -> None:
        count = len(self._children.running)
        if not count:
            return
        _say(f"\nstopping {_counted(count)} ...")
        seen = self._signals
        stopped, killed = self._children.stop(STOP_TIMEOUT_S, hurry=lambda: self._signals > seen)
        for child in stopped:
            if child.process.returncode != 0:
                _say(f"  {child.name} ended with exit code {child.process.returncode}")
        for child in killed:
            _say(f"  {child.name} did not stop in time and was killed")
        if not killed:
            _say("all stopped")


def _say(line: str) -> None:
    """Print a line, or go on without: the terminal may be gone while processes must be stopped."""
    with suppress(OSError):
        print(line, flush=True)


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _show(death: Death) -> None:
    print(f"{death.name} (process {death.pid}) died: {death.cause}; its last lines:")
    for line in death.lines:
        print(f"  | {line}")
    sys.stdout.flush()


def _counted(count: int) -> str:
    return f"{count} validator{'' if count == 1 else 's'}"
