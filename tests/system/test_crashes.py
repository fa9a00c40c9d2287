"""Killed validators must cost nothing: no fork, no lost transaction, no second signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.cluster import Cluster, rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]


def receipts(cluster: Cluster, index: int, hashes: list[str]) -> list[object]:
    """Return the receipts that a node has of these transactions."""
    return [rpc(cluster.urls[index], "eth_getTransactionReceipt", each) for each in hashes]


def test_one_killed_validator_catches_up(tmp_path: Path) -> None:
    """With one of four killed under load blocks go on; restarted, it reaches the same hash."""
    with Cluster(tmp_path) as cluster:
        cluster.start()
        cluster.wait_height(1)
        hashes = [cluster.transfer(nonce % 3, 0, nonce) for nonce in range(8)]
        journaled = [cluster.transfer(3, 1, nonce) for nonce in range(4)]
        cluster.kill(3)
        killed_at = cluster.height(0)
        hashes += [cluster.transfer(nonce % 3, 0, nonce) for nonce in range(8, 20)]
        cluster.wait_height(killed_at + 4, 0, 1, 2)
        wait_until(lambda: all(receipts(cluster, 0, hashes)), "all transfers are in blocks")
        cluster.start(3)
        cluster.wait_height(cluster.height(0), 3)
        hashes += journaled
        wait_until(lambda: all(receipts(cluster, 3, hashes)), "the restarted node has all")
        assert cluster.check_agreement() > killed_at + 3
        proposed_again = cluster.height(0) + 5
        cluster.wait_height(proposed_again)
        cluster.check_agreement()
        assert cluster.check_no_double_signing() > 0


def test_power_cut_of_all_validators(tmp_path: Path) -> None:
    """After kill -9 of all four at once the chain goes on; every acknowledged transfer is mined."""
    with Cluster(tmp_path) as cluster:
        cluster.start()
        cluster.wait_height(2)
        hashes: list[str] = []
        for cycle in range(3):
            before = [cluster.block(0, each)["hash"] for each in range(cluster.height(0) + 1)]
            hashes += [cluster.transfer(cycle, 1, 5 * cycle + each) for each in range(5)]
            cluster.kill()
            cluster.start()
            cluster.wait_height(len(before))
            after = [cluster.block(0, each)["hash"] for each in range(len(before))]
            assert after == before
        wait_until(lambda: all(receipts(cluster, 3, hashes)), "no acknowledged transfer is lost")
        cluster.check_agreement()
        assert cluster.check_no_double_signing() > 0


def test_half_of_the_validators_return(tmp_path: Path) -> None:
    """Without a quorum nothing is decided; when it is back, blocks go on without any restart."""
    with Cluster(tmp_path) as cluster:
        cluster.start()
        cluster.wait_height(1)
        cluster.kill(2, 3)
        sent = cluster.transfer(0, 2, 0)
        assert rpc(cluster.urls[0], "eth_getTransactionReceipt", sent) is None
        cluster.start(2, 3)
        wait_until(lambda: all(receipts(cluster, 1, [sent])), "the transfer is mined")
        cluster.wait_height(cluster.height(0))
        cluster.check_agreement()
        assert cluster.stop(0) == 0
