"""`qenex import` and `qenex node --read-only`, as a user runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from primitives.ethereum import split_blocks
from qenex.cli import main
from tests.system.cluster import ROOT, environment, free_ports, rpc, wait_until
from tests.vectors import vectors

pytestmark = [pytest.mark.process, pytest.mark.slow]

HEAD = "0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
ANSWER_BYTES_MIN = 20_000_000


def test_a_public_chain_is_imported_and_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Imported in two parts, refused where it is wrong, served until SIGTERM."""
    genesis, chain = vectors("execution-apis", "genesis.json"), tmp_path / "half.rlp"
    whole = vectors("execution-apis", "chain.rlp")
    chain.write_bytes(b"".join(split_blocks(whole.read_bytes())[:30]) + b"\xc0")
    folder = tmp_path / "chain"
    words = ["import", "--genesis", str(genesis), "--data-dir", str(folder)]
    assert main([*words, str(chain)]) == 1
    assert "the block after height 30 is refused" in capsys.readouterr().err
    assert main([*words, str(whole)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("24 blocks with ")
    assert HEAD in said
    assert main(["node", "--data-dir", str(folder)]) == 2
    assert "--read-only" in capsys.readouterr().err
    (port,) = free_ports(1)
    command = ["node", "--data-dir", str(folder), "--read-only", "--rpc.port", str(port)]
    with (tmp_path / "node.log").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "qenex", *command], cwd=ROOT, env=environment(), stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: bool(rpc(url, "eth_blockNumber") == "0x36"), "the node serves")
        assert rpc(url, "eth_getBlockByNumber", "latest", False)["hash"] == HEAD
        logs = rpc(url, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
        assert len(json.dumps(logs, separators=(",", ":"))) > ANSWER_BYTES_MIN
        node.send_signal(signal.SIGTERM)
        assert node.wait(20) == 0
    finally:
        if node.poll() is None:
            node.kill()
            node.wait()
