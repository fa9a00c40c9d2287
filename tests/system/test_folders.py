"""A node must refuse a folder that is not its own in one clear line, and survive damaged tails."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from node.wal import SUFFIX
from tests.system.cluster import ROOT, Cluster, RpcError, environment, rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

FILE_BYTES_MAX = 150_000


def refusal(cluster: Cluster, *flags: str) -> tuple[int, str]:
    """Run node 1, which is expected to end by itself; return exit code and its last line."""
    ended = subprocess.run(
        [*cluster.command(0), *flags],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr.splitlines()[-1]


def opened(cluster: Cluster, index: int) -> list[dict[str, Any]]:
    """Return what a node logged at each of its starts."""
    lines = (cluster.folder(index).path / "node.log").read_text().splitlines()
    return [json.loads(each) for each in lines if '"node opened"' in each]


def test_foreign_and_damaged_folders_are_refused(tmp_path: Path) -> None:
    """Another chain's data, a held lock, a damaged store, a wrong setting: one line, no traceback.

    The folder is the same before and after each refusal: put right, the node goes on.
    """
    with Cluster(tmp_path, 1) as cluster:
        cluster.start()
        cluster.wait_height(3)
        code, line = refusal(cluster)
        assert (code, "in use by another node" in line) == (2, True), line
        assert cluster.stop(0) == 0
        folder = cluster.folder(0)
        before = folder.genesis.read_bytes()

        document = json.loads(before)
        document["timestamp"] = hex(int(document["timestamp"], 16) + 1)
        folder.genesis.write_text(json.dumps(document))
        code, line = refusal(cluster)
        assert (code, "holds another chain" in line) == (2, True), line
        folder.genesis.write_bytes(before)

        code, line = refusal(cluster, "--pool.transactions_max", "none")
        assert (code, "pool.transactions_max" in line) == (2, True), line

        current = folder.chain / "CURRENT"
        name = current.read_bytes()
        current.write_bytes(b"garbage\n")
        code, line = refusal(cluster)
        assert code == 1, line
        assert str(folder.chain) in line
        current.write_bytes(name)

        cluster.start()
        cluster.wait_height(4)
        cluster.check_agreement()


def test_torn_log_is_cut_and_a_lost_log_watches(tmp_path: Path) -> None:
    """A log torn in its last record costs nothing; a key whose log is gone watches, then signs."""
    with Cluster(tmp_path) as cluster:
        cluster.start()
        cluster.wait_height(2)
        cluster.kill(2, 3)
        (torn,) = cluster.folder(2).wal.glob(f"*{SUFFIX}")
        torn.write_bytes(torn.read_bytes()[:-3])
        shutil.rmtree(cluster.folder(3).wal)
        cluster.start(2, 3)
        wait_until(lambda: cluster.height(3) >= 2, "node 4 is back")
        assert rpc(cluster.urls[3], "qenex_status")["consensus"]["watching"]
        cluster.wait_height(5)
        wait_until(
            lambda: rpc(cluster.urls[3], "qenex_status")["consensus"]["signing"],
            "node 4 signs again after it has watched",
        )
        assert opened(cluster, 2)[-1]["torn_log_bytes"] > 0
        cluster.check_agreement()


def test_full_disk_stops_the_node_and_loses_nothing(tmp_path: Path) -> None:
    """When the disk takes no more, the node ends with one clear line; with room it goes on."""
    with Cluster(tmp_path, 1) as cluster:
        cluster.start()
        cluster.wait_height(2)
        _, hard = resource.prlimit(cluster.processes[0].pid, resource.RLIMIT_FSIZE)
        resource.prlimit(cluster.processes[0].pid, resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, hard))
        process, seen = cluster.processes[0], {}
        nonce = 0
        while process.poll() is None:
            try:
                height = cluster.height(0)
                seen[height] = cluster.block(0, height)["hash"]
                cluster.transfer(0, 0, nonce)
                nonce += 1
            except (OSError, RpcError):
                continue
        assert process.returncode == 1
        assert "Traceback" not in (cluster.folder(0).path / "node.log").read_text()
        cluster.start(0)
        cluster.wait_height(max(seen) + 1)
        for height, block_hash in seen.items():
            assert cluster.block(0, height)["hash"] == block_hash
        cluster.check_no_double_signing()
