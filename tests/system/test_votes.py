"""A node joins, takes over a validator's power, and the old one is shut out, by votes alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from p2p.keys import load_node_key
from qenex.cli import main
from qenex.commands.keys import keyfile_address, new_keys
from qenex.localnet import PASSWORD
from tests.system.cluster import Cluster, free_ports, rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

OLD, NEW = 3, 4


def add_folder(cluster: Cluster) -> tuple[str, str]:
    """Make a fifth node with fresh keys and the network's genesis; return address and peer id."""
    ports = free_ports(2)
    cluster.net = replace(
        cluster.net,
        rpc_ports=(*cluster.net.rpc_ports, ports[0]),
        p2p_ports=(*cluster.net.p2p_ports, ports[1]),
    )
    folder, first = cluster.folder(NEW), cluster.folder(0)
    address, peer_id = new_keys(folder, PASSWORD, light=True)
    for name in ("genesis.json", "config.toml", "password"):
        shutil.copy(first.path / name, folder.path / name)
    cluster.urls = cluster.net.urls
    return to_checksum_address(address), peer_id


def vote(cluster: Cluster, *command: str) -> None:
    """Let the first three validators, a quorum, make the same proposal."""
    for index in range(3):
        folder = cluster.folder(index).path
        key = ["--key", str(folder / "validator.json"), "--password-file", str(folder / "password")]
        sent = [*command, *key, "--rpc", cluster.urls[index]]
        assert main(sent) == 0, sent


def is_level(cluster: Cluster, index: int, peer: str) -> bool:
    """Return whether a node knows from pings that a peer is level with it."""
    status = rpc(cluster.urls[index], "qenex_status")
    return any(
        each["peerId"] == peer and each["height"] >= status["height"] - 1
        for each in status["peers"]
    )


def peers_of(cluster: Cluster, index: int) -> set[str]:
    return {each["peerId"] for each in rpc(cluster.urls[index], "qenex_status")["peers"]}


def signers(cluster: Cluster, height: int) -> set[str]:
    """Return who signed the certificate that node 1 has of `height`."""
    shown = rpc(cluster.urls[0], "qenex_getCertificate", hex(height))
    return {to_checksum_address(each["validator"]) for each in shown["signatures"]}


def test_a_key_is_rotated_to_a_new_node(tmp_path: Path) -> None:
    """Admitted, synced, rotated in: the chain goes on with the new key, the old node is cut off."""
    with Cluster(tmp_path) as cluster:
        old_address = to_checksum_address(
            keyfile_address(cluster.folder(OLD).path / "validator.json")
        )
        old_peer = load_node_key(cluster.folder(OLD).path / "node.key").peer_id
        cluster.start(0, 1, 2, OLD)
        cluster.wait_height(1)
        new_address, new_peer = add_folder(cluster)
        cluster.start(NEW)
        where = f"/ip4/127.0.0.1/tcp/{cluster.net.p2p_ports[NEW]}"
        admit = ("--validator", new_address, "--address", where)
        vote(cluster, "peers", "propose", new_peer, *admit)
        wait_until(
            lambda: all(is_level(cluster, each, new_peer) for each in range(3)),
            "all three see the new node, level with them",
        )

        vote(cluster, "validator", "propose", old_address, "--rotate-to", new_address)
        cluster.wait_height(cluster.height(0) + 2, 0, 1, 2, NEW)
        rotated = cluster.height(0)
        assert old_address not in signers(cluster, rotated)

        vote(cluster, "peers", "propose", old_peer, "--remove")
        wait_until(
            lambda: all(old_peer not in peers_of(cluster, each) for each in (0, 1, 2, NEW)),
            "the removed node is disconnected everywhere",
        )
        left_at = cluster.height(OLD)
        cluster.kill(2)
        cluster.wait_height(cluster.height(0) + 3, 0, 1, NEW)
        assert new_address in signers(cluster, cluster.height(0))
        assert cluster.height(OLD) <= left_at + 1
        cluster.check_agreement(0, 1, NEW)
        assert cluster.check_no_double_signing() > 0
