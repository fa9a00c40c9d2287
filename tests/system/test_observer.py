"""A node without a validator key must follow, serve and relay, and never sign."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from genesis.document import load
from genesis.nodes import NodeEntry, Role
from genesis.predeploys import node_registry_account
from genesis.writing import save
from node.wal import SUFFIX
from p2p.keys import generate_node_key, load_node_key, save_node_key
from primitives.params import NODE_REGISTRY
from tests.system.cluster import ROOT, Cluster, environment, free_ports, rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]


def admit_observer(cluster: Cluster, folder: Path) -> None:
    """Make an observer's data folder, and name it in the genesis document of all nodes."""
    key = generate_node_key()
    folder.mkdir()
    save_node_key(folder / "node.key", key)
    genesis = load(cluster.folder(0).genesis)
    nodes = (*genesis.nodes, NodeEntry(key.peer_id, (), None, Role.OBSERVER))
    registry = node_registry_account(nodes, genesis.params.validator_registry)
    alloc = {**genesis.alloc, NODE_REGISTRY: registry}
    for index in cluster.indexes:
        cluster.folder(index).genesis.unlink()
        save(replace(genesis, nodes=nodes, alloc=alloc), cluster.folder(index).genesis)
    shutil.copy(cluster.folder(0).genesis, folder / "genesis.json")


def test_observer_follows_and_relays(tmp_path: Path) -> None:
    """It catches up, passes a transfer on to the validators, and writes no intent to sign."""
    with Cluster(tmp_path) as cluster:
        folder = tmp_path / "observer"
        admit_observer(cluster, folder)
        cluster.start()
        cluster.wait_height(3)
        rpc_port, p2p_port = free_ports(2)
        addresses = [
            f"/ip4/127.0.0.1/tcp/{port}/p2p/{load_node_key(each.path / 'node.key').peer_id}"
            for each, port in zip(cluster.net.folders, cluster.net.p2p_ports, strict=True)
        ]
        flags = ["--rpc.port", str(rpc_port), "--p2p.port", str(p2p_port)]
        command = [sys.executable, "-m", "qenex", "node", "--data-dir", str(folder), *flags]
        with (folder / "node.log").open("wb") as log:
            observer = subprocess.Popen(
                [*command, "--p2p.addresses", ",".join(addresses)],
                cwd=ROOT,
                env=environment(),
                stderr=log,
            )
        try:
            url = f"http://127.0.0.1:{rpc_port}"
            wait_until(lambda: int(rpc(url, "eth_blockNumber"), 16) >= 3, "it catches up")
            cluster.urls.append(url)
            sent = cluster.transfer(len(cluster.urls) - 1, 0, 0)
            wait_until(lambda: rpc(url, "eth_getTransactionReceipt", sent) is not None, "mined")
            cluster.check_agreement()
            status = rpc(url, "qenex_status")
            assert not status["consensus"]["signing"]
            wait_until(lambda: len(rpc(url, "qenex_status")["peers"]) == 4, "all are connected")
            assert not list((folder / "wal").glob(f"*{SUFFIX}"))
        finally:
            observer.terminate()
            assert observer.wait(20) == 0
