"""A new node joins a chain of some thousand blocks by its state, within seconds, then follows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consensus.certificate import Certificate, encode_certificate
from consensus.messages import Kind, Vote
from consensus.signing import sign_digest
from genesis.document import load
from node.app import open_chain
from node.config import Settings, load_settings
from node.folder import DataFolder
from node.keys import load_validator_key
from node.ledger import Ledger
from node.store import RocksStore
from p2p.keys import load_node_key
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import Hash32, Height, Round
from tests.system.cluster import (
    CHAIN_ID,
    ROOT,
    Cluster,
    RpcError,
    environment,
    free_ports,
    rpc,
    wait_until,
)
from tests.system.test_observer import admit_observer
from vm.pyevm.engine import PyEvmEngine

pytestmark = [pytest.mark.process, pytest.mark.slow]

BLOCKS = 2_000
VALIDATORS = 3


def certificate(keys: list[PrivateKey], height: int, block_hash: Hash32) -> bytes:
    """Return what all validators have signed for a block."""
    signatures = []
    for key in sorted(keys, key=lambda key: key.address):
        vote = Vote(Kind.PRECOMMIT, Height(height), Round(0), block_hash, key.address)
        signatures.append((key.address, key.sign(sign_digest(vote, CHAIN_ID))))
    return encode_certificate(Certificate(Height(height), Round(0), block_hash, tuple(signatures)))


def grow(cluster: Cluster) -> None:
    """Give every node of a network that never ran the same chain of BLOCKS blocks."""
    home = cluster.folder(0)
    engine, genesis = PyEvmEngine(), load(home.genesis)
    found = [
        load_validator_key(folder, load_settings(folder.path, environment={}, flags={}).keys)
        for folder in map(cluster.folder, cluster.indexes)
    ]
    keys = [key for key in found if key is not None]
    assert len(keys) == VALIDATORS
    store = RocksStore(home.chain)
    ledger = Ledger(open_chain(store, engine, genesis, Settings(home.path)), engine, genesis.params)
    for height in range(1, BLOCKS + 1):
        made, _ = ledger.build([], keys[0].address, genesis.timestamp, lambda: False)
        ledger.commit(made, certificate(keys, height, made.block.hash))
    store.close()
    for each in range(1, VALIDATORS):
        shutil.copytree(home.chain, cluster.folder(each).chain)


def test_new_node_joins_by_snapshot(tmp_path: Path) -> None:
    """Its state root is the chain's; older blocks are answered in geth's words; it follows on.

    Then it starts again as any node does, and the database check finds it whole.
    """
    with Cluster(tmp_path, VALIDATORS) as cluster:
        folder = tmp_path / "observer"
        admit_observer(cluster, folder)
        grow(cluster)
        cluster.start()
        cluster.wait_height(BLOCKS + 1)
        rpc_port, p2p_port = free_ports(2)
        addresses = [
            f"/ip4/127.0.0.1/tcp/{port}/p2p/{load_node_key(each.path / 'node.key').peer_id}"
            for each, port in zip(cluster.net.folders, cluster.net.p2p_ports, strict=True)
        ]
        command = [
            *(sys.executable, "-m", "qenex", "node", "--data-dir", str(folder)),
            *("--rpc.port", str(rpc_port), "--p2p.port", str(p2p_port)),
            *("--p2p.addresses", ",".join(addresses), "--sync.snapshot_distance", "1000"),
        ]
        with (folder / "node.log").open("wb") as log:
            observer = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=log)
            try:
                url = f"http://127.0.0.1:{rpc_port}"
                wait_until(lambda: int(rpc(url, "eth_blockNumber"), 16) > BLOCKS + 2, "it joins")
                check_joined(cluster, url)
            finally:
                observer.terminate()
                assert observer.wait(20) == 0
        text = (folder / "node.log").read_text()
        assert '"snapshot complete"' in text
        assert '"height":5,' not in text.replace(" ", "")
        assert not (DataFolder(folder).path / "snapshot.part").exists()
        check = [sys.executable, "-m", "qenex", "db", "check", "--deep", "--data-dir", str(folder)]
        done = subprocess.run(check, cwd=ROOT, env=environment(), capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def check_joined(cluster: Cluster, url: str) -> None:
    """Compare the new node with an old one, at the head and in the past."""
    head = rpc(url, "eth_getBlockByNumber", "latest", False)
    assert cluster.block(0, int(head["number"], 16)) == head
    old = hex(BLOCKS // 2)
    calls: list[tuple[object, ...]] = [
        ("eth_getBlockByNumber", old, False),
        ("eth_getBlockReceipts", old),
        ("eth_getBalance", "0x" + "11" * 20, old),
    ]
    for method, *more in calls:
        with pytest.raises(RpcError, match="pruned history unavailable") as caught:
            rpc(url, str(method), *more)
        assert caught.value.args[0]["code"] == 4444
    sent = cluster.transfer(0, 0, 0)
    wait_until(lambda: rpc(url, "eth_getTransactionReceipt", sent) is not None, "it follows")
    assert int(rpc(url, "eth_gasPrice"), 16) > 0
    for percentiles in ([], [50]):
        fees = rpc(url, "eth_feeHistory", "0x3e8", "latest", percentiles)
        assert len(fees["baseFeePerGas"]) == len(fees["gasUsedRatio"]) + 1
        assert int(fees["oldestBlock"], 16) > BLOCKS - 10
