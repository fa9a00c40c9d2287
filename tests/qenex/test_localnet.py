"""`qenex localnet`: the folder it makes, and how it looks after its processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genesis.document import load
from node.config import load_settings
from node.folder import DataFolder
from node.keys import load_validator_key
from p2p.keys import load_node_key
from primitives.errors import ConfigError
from primitives.types import ChainId
from qenex.commands import localnet as command
from qenex.localnet import Localnet, create, is_localnet, remove, resume

FAKE = (sys.executable, str(Path(__file__).with_name("fake_node.py")))
CHAIN_ID = ChainId(20_260)


@contextmanager
def busy(port: int) -> Iterator[int]:
    """Listen on a port, 0 for any, as another program would; gives the port."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield holder.getsockname()[1]


def test_create_makes_whole_folders(tmp_path: Path) -> None:
    """Each node gets one genesis, its own keys that genesis names, and a readable config."""
    net = create(tmp_path / "net", 2, ChainId(77))
    genesis = load(net.folders[0].genesis)
    assert genesis == load(net.folders[1].genesis)
    assert genesis.params.chain_id == 77
    for folder, entry, port in zip(net.folders, genesis.nodes, net.p2p_ports, strict=True):
        settings = load_settings(folder.path, environment={}, flags={})
        key = load_validator_key(folder, settings.keys)
        assert key is not None
        assert key.address == entry.validator
        assert folder.is_fresh_key(key.address)
        assert load_node_key(folder.resolve(settings.keys.node)).peer_id == entry.peer_id
        assert entry.addresses == (f"/ip4/127.0.0.1/tcp/{port}",)
    assert genesis.validators.total_power == 2


def test_resume_keeps_chain_and_keys(tmp_path: Path) -> None:
    """A later start finds the same network on the same ports."""
    net = create(tmp_path / "net", 1, CHAIN_ID)
    before = net.folders[0].genesis.read_bytes()
    assert resume(tmp_path / "net") == net
    assert net.folders[0].genesis.read_bytes() == before


def test_resume_moves_off_busy_ports(tmp_path: Path) -> None:
    """When a port is taken meanwhile, others are chosen and every node is told of all."""
    net = create(tmp_path / "net", 2, CHAIN_ID)
    with busy(net.rpc_ports[1]), busy(net.p2p_ports[0]):
        found = resume(tmp_path / "net")
        assert net.rpc_ports[1] not in found.rpc_ports
        assert net.p2p_ports[0] not in found.p2p_ports
    flags = dict(zip(*[iter(found.node_flags(1))] * 2, strict=True))
    peer_id = load_node_key(found.folders[0].path / "node.key").peer_id
    assert flags["--p2p.addresses"] == f"/ip4/127.0.0.1/tcp/{found.p2p_ports[0]}/p2p/{peer_id}"
    assert resume(tmp_path / "net") == found


def test_given_port_must_be_free(tmp_path: Path) -> None:
    """A port that the user names is never silently replaced."""
    with busy(0) as port, pytest.raises(ConfigError, match=str(port)):
        create(tmp_path / "net", 1, CHAIN_ID, rpc_port=port)


def test_busy_usual_ports(tmp_path: Path) -> None:
    """When the usual ports are taken, the next hundred serves."""
    first = create(tmp_path / "a", 2, CHAIN_ID)
    with busy(first.rpc_ports[1]):
        second = create(tmp_path / "b", 2, CHAIN_ID)
    assert second.rpc_ports == tuple(range(second.rpc_ports[0], second.rpc_ports[0] + 2))
    assert second.rpc_ports[0] > first.rpc_ports[0]
    assert (second.rpc_ports[0] - first.rpc_ports[0]) % 100 == 0


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    """Neither create nor --fresh touches a folder that holds something else."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not empty"):
        create(tmp_path, 1, CHAIN_ID)
    with pytest.raises(ConfigError, match="no local network"):
        remove(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_remove(tmp_path: Path) -> None:
    """--fresh deletes the nodes and the listing, and nothing that it did not make."""
    create(tmp_path, 1, CHAIN_ID)
    (tmp_path / "notes.txt").write_text("mine")
    remove(tmp_path)
    assert not is_localnet(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_unfinished_network_is_made_anew(tmp_path: Path) -> None:
    """A start that was interrupted while making keys does not block the next one."""
    create(tmp_path, 2, CHAIN_ID)
    (tmp_path / "localnet.json").unlink()
    (tmp_path / "unfinished").touch()
    again = create(tmp_path, 2, CHAIN_ID)
    assert load(again.folders[0].genesis) == load(again.folders[1].genesis)
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.slow
@pytest.mark.process
def test_reader_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads our output any more, the processes are stopped all the same."""

    class Closed:
        """An output whose reader is gone."""

        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    net = create(tmp_path / "net", 1, CHAIN_ID)
    session = command.Session(net, quiet=False, is_fresh=True, program=FAKE)
    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        session.run()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", net.rpc_ports[0])) != 0


@pytest.mark.parametrize("count", [0, 101])
def test_count_is_bounded(tmp_path: Path, count: int) -> None:
    """A network has 1 to 100 validators."""
    with pytest.raises(ConfigError, match="1 to 100"):
        create(tmp_path, count, CHAIN_ID)


def test_one_network_per_folder(tmp_path: Path) -> None:
    """A second localnet in the same folder is refused while the first runs."""
    folder = DataFolder(tmp_path)
    with (
        folder.locked(),
        pytest.raises(ConfigError, match=f"process {os.getpid()}"),
        DataFolder(tmp_path).locked(),
    ):
        pass
    with folder.locked():
        pass


def run_until(net: Localnet, wait_s: float, number: int, program: tuple[str, ...] = FAKE) -> int:
    """Run a session and send it `number` after `wait_s`."""
    timer = threading.Timer(wait_s, os.kill, (os.getpid(), number))
    timer.start()
    try:
        return command.Session(net, quiet=False, is_fresh=True, program=program).run()
    finally:
        timer.cancel()
        timer.join()


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """Starts all, shows the banner and blocks, stops all cleanly on Ctrl-C and SIGTERM."""
    net = create(tmp_path / "net", 2, CHAIN_ID)
    assert run_until(net, 2.0, number) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 answer" in shown
    for each in (*net.urls, "20260", "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "junk"):
        assert each in shown
    assert "WARNING" in shown
    assert "1 txs  gas      21,000" in shown
    assert "all stopped" in shown
    for folder in net.folders:
        assert "stops cleanly" in (folder.path / "node.log").read_text()


@pytest.mark.slow
@pytest.mark.process
def test_death_is_shown_and_survived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A child that dies is reported with code and last lines; the others go on."""
    net = create(tmp_path / "net", 2, CHAIN_ID)
    (net.folders[1].path / "behaviour").write_text("die")
    assert run_until(net, 2.5, signal.SIGTERM) == 0
    shown = capsys.readouterr().out
    assert "validator 2 (process" in shown
    assert "died: exit code 3" in shown
    assert "| fatal: an invariant broke" in shown
    after = shown.split("died", 1)[1]
    assert "block" in after
    assert "stopping 1 validator" in after


@pytest.mark.slow
@pytest.mark.process
def test_failed_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A child that cannot start ends the whole start with its reason and exit code 1."""
    net = create(tmp_path / "net", 2, CHAIN_ID)
    (net.folders[0].path / "behaviour").write_text("dead")
    assert command.Session(net, quiet=False, is_fresh=True, program=FAKE).run() == 1
    shown = capsys.readouterr().out
    assert "| fatal: cannot start" in shown
    assert "Endpoints" not in shown


@pytest.mark.slow
@pytest.mark.process
def test_stubborn_child_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that ignores SIGTERM is killed after the time for a clean stop, and named."""
    monkeypatch.setattr(command, "STOP_TIMEOUT_S", 0.5)
    net = create(tmp_path / "net", 2, CHAIN_ID)
    (net.folders[1].path / "behaviour").write_text("stubborn")
    begun = time.monotonic()
    assert run_until(net, 1.5, signal.SIGTERM) == 0
    assert time.monotonic() - begun < 6
    assert "validator 2 did not stop in time and was killed" in capsys.readouterr().out
