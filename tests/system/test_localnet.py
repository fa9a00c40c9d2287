"""`qenex localnet` must be a real network for real clients, and end without leaving a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.running import run_client
from tests.system.cluster import ROOT, RpcError, environment, free_ports, rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

COUNT = 4


@dataclass(frozen=True)
class Running:
    """A started local network."""

    process: subprocess.Popen[bytes]
    output: Path
    folder: Path
    urls: list[str]

    def text(self) -> str:
        """Return what it has printed."""
        return self.output.read_text()

    def pids(self) -> list[int]:
        """Return the nodes' process ids."""
        locks = sorted(self.folder.glob("node*/LOCK"))
        return [int(each.read_text()) for each in locks]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Four validators by the command that the README gives."""
    folder = tmp_path_factory.mktemp("localnet")
    port = next(each for each in free_ports(40) if each + COUNT < 30_000)
    output = folder / "output"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "qenex", "localnet", "--dir", "net", "--rpc-port", str(port)],
            cwd=folder,
            env=environment(),
            stdout=sink,
            stderr=sink,
        )
    urls = [f"http://127.0.0.1:{port + each}" for each in range(COUNT)]
    running = Running(process, output, folder / "net", urls)
    try:
        wait_until(lambda: "Ctrl-C stops all" in running.text(), f"the banner:\n{running.text()}")
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_banner_shows_what_a_developer_needs(network: Running) -> None:
    """Endpoints that answer, chain id, ten accounts with keys, the mnemonic with its warning."""
    text = network.text()
    assert all(url in text for url in network.urls)
    assert {rpc(url, "eth_chainId") for url in network.urls} == {"0x4f24"}
    assert "20260" in text
    assert text.count("10,000 QXC") == 10
    assert "test test test test test test test test test test test junk" in text
    assert "WARNING" in text


def test_no_developer_method_is_there(network: Running) -> None:
    """What can change a chain by hand is method not found on a network, on every node."""
    for url in network.urls:
        for method in ("evm_snapshot", "hardhat_setBalance", "anvil_mine", "eth_sendTransaction"):
            with pytest.raises(RpcError, match="-32601"):
                rpc(url, method)
        assert rpc(url, "eth_accounts") == []


def test_example_deploys_and_all_nodes_agree(network: Running) -> None:
    """The README's example deploys an ERC-20 with web3.py and reads it from each of the nodes."""
    ended = subprocess.run(
        [sys.executable, str(ROOT / "docs/examples/deploy_erc20.py"), *network.urls],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("client", ["viem", "ethers"])
def test_javascript_clients_work_on_all_nodes(network: Running, client: str) -> None:
    """viem and ethers deploy, transfer, read and subscribe on a network of four validators."""
    facts = run_client(client, network.urls, network.urls[0].replace("http", "ws"))
    assert facts["ok"] is True
    assert facts["nodes"] == COUNT


def test_status_command_sees_peers_and_validators(network: Running) -> None:
    """`qenex status --json` tells height, consensus, peers, validators and pool."""
    command = [sys.executable, "-m", "qenex", "status", "--json", "--rpc", network.urls[2]]
    status = json.loads(subprocess.check_output(command, env=environment(), timeout=30))
    assert status["height"] > 0
    assert status["consensus"]["height"] == status["height"] + 1
    assert len(status["peers"]) == COUNT - 1
    assert len(status["validators"]) == COUNT
    assert status["pool"] == {"pending": 0, "queued": 0}


def test_dead_child_is_shown_and_survived(network: Running) -> None:
    """When a validator dies the command says so and the other three go on; runs last but one."""
    pid = network.pids()[3]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    wait_until(lambda: "validator 4" in network.text().split("Ctrl-C stops all")[1], "the notice")
    height = int(rpc(network.urls[0], "eth_blockNumber"), 16)
    wait_until(lambda: int(rpc(network.urls[0], "eth_blockNumber"), 16) > height + 1, "blocks")


def test_interrupt_stops_everything(network: Running) -> None:
    """Ctrl-C ends the command with code 0 and leaves no node behind; runs last."""
    pids = network.pids()
    network.process.send_signal(signal.SIGINT)
    assert network.process.wait(30) == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
