"""js-libp2p, which shares no line with us, can do what a light client needs; strangers cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trio

from node.serve import PeerService
from p2p.keys import NodeKey
from p2p.link import PROTOCOLS
from p2p.network import Network, NetworkConfig
from p2p.status import Role, Status
from tests.node.nodes import GENESIS, extend, make_ledger, transfer
from tests.p2p.nodes import NODE_KEYS, real

FOLDER = Path(__file__).parent / "js"
SEED = bytes(range(32))
STRANGER = bytes(32)
INSTALL_TIMEOUT_S = 300
NODE_MAJOR_MIN = 20

pytestmark = [pytest.mark.process, pytest.mark.slow]


@cache
def unavailable() -> str:
    """Install the locked packages once; returns why that is impossible, or nothing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().removeprefix("v").split(".")[0]) < NODE_MAJOR_MIN:
        return f"node {NODE_MAJOR_MIN} or newer is needed, found {version.stdout.strip()}"
    stamp, lock = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return ""
    command = [npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit"]
    done = subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode and os.environ.get("CI") == "true":
        pytest.fail(f"npm ci failed: {done.stderr}")
    return f"npm ci failed: {done.stderr.strip()[-200:]}" if done.returncode else ""


async def client(node: Network, seed: bytes, height: int) -> tuple[int, dict[str, Any]]:
    """Run the client against a node; return its exit code and what it prints."""
    genesis = node._own_status().genesis_hash
    command = [
        *("node", str(FOLDER / "client.mjs"), "--to", node.listen_addresses[0]),
        *("--seed", seed.hex(), "--chain-id", str(GENESIS.params.chain_id)),
        *("--genesis", "0x" + genesis.hex(), "--height", str(height)),
    ]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.stdout, done.stderr
    facts = json.loads(done.stdout)
    assert isinstance(facts, dict)
    return done.returncode, facts


def test_js_client_and_stranger() -> None:
    """A listed client pings, identifies, reads the status and a certified block; others do not."""
    reason = unavailable()
    if reason:
        pytest.skip(f"js-libp2p: {reason}")
    ledger = make_ledger()
    for nonce in range(3):
        extend(ledger, [transfer(nonce=nonce)])
    view = ledger.view

    def status() -> Status:
        chain_id = ledger.params.chain_id
        return Status(chain_id, view.genesis_hash, view.height, view.head_hash, Role.OBSERVER)

    async def scenario() -> None:
        listed = NodeKey(SEED).peer_id
        node = Network(
            NetworkConfig(NODE_KEYS[0], permitted=lambda peer: peer == listed),
            own_status=status,
            prove=lambda _: None,
            serve=PeerService(ledger).serve,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            code, facts = await client(node, SEED, 2)
            assert code == 0, facts
            assert facts["peerId"] == listed
            assert facts["status"]["genesis"] == "0x" + view.genesis_hash.hex()
            assert (facts["status"]["height"], facts["status"]["chainId"]) == (3, 20260)
            block_hash = view.block_hash(2)
            assert block_hash is not None
            expected = "0x" + block_hash.hex()
            assert facts["block"]["hash"] == facts["block"]["certified"]["hash"] == expected
            assert facts["block"]["certified"]["signatures"] == 1
            assert facts["pingMs"] >= 0
            assert set(PROTOCOLS) <= set(facts["protocols"])
            code, facts = await client(node, STRANGER, 2)
            assert code == 1
            assert "status" not in facts
            nursery.cancel_scope.cancel()

    real(scenario, seconds=60)
