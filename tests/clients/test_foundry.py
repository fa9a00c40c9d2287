"""forge deploys by script and resumes after it was killed; cast's commands work.

A planted bug that this finds: leave waiting transactions out of eth_getTransactionCount, or mine in
`evm_setAutomine`, and the resumed script sends too much or too little.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from genesis.profiles import TEST_KEYS
from primitives.crypto.keccak import keccak
from tests.clients.running import need_tools, project_copy, run_tool
from tests.system.cluster import rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

ADDRESSES = ["0x" + each.hex() for each in TEST_KEYS]
KEYS = ["0x" + each.hex() for each in TEST_KEYS.values()]
ABOVE_LIMIT = keccak(b"AboveLimit(uint256,uint256)")[:4].hex()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the forge project with the compiler at hand."""
    return project_copy("foundry", tmp_path_factory.mktemp("forge"))


def binary(name: str) -> str:
    """Return the path of forge or cast."""
    package = need_tools() / "node_modules" / "@foundry-rs" / f"{name}-linux-amd64"
    return str(package / "bin" / name)


def script(url: str, key: str, *options: str) -> list[str]:
    """Return the command line of the deployment script."""
    where = ["--rpc-url", url, "--private-key", key, "--slow", "--broadcast"]
    return [binary("forge"), "script", "script/Deploy.s.sol:Deploy", *where, *options]


def receipts(project: Path) -> list[dict[str, Any]]:
    """Return the receipts that forge kept of its last run."""
    kept = next(project.glob("broadcast/Deploy.s.sol/*/run-latest.json"))
    found: list[dict[str, Any]] = json.loads(kept.read_text())["receipts"]
    return found


def test_script_broadcasts(dev_url: str, project: Path) -> None:
    """Two contracts and two calls are sent, mined and successful."""
    run_tool(script(dev_url, KEYS[2]), project)
    assert [each["status"] for each in receipts(project)] == ["0x1"] * 4


def test_script_resumes_after_it_was_killed(dev_url: str, project: Path) -> None:
    """forge is killed after its first transaction; `--resume` sends the other three and no more."""
    before = int(rpc(dev_url, "eth_getTransactionCount", ADDRESSES[3], "latest"), 16)
    rpc(dev_url, "evm_setAutomine", False)
    try:
        forge = subprocess.Popen(
            script(dev_url, KEYS[3]),
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: rpc(dev_url, "txpool_status")["pending"] == "0x1", "forge has sent")
        wait_until(lambda: "0x" in _pending(project), "forge has noted what it sent")
        forge.kill()
        forge.wait()
    finally:
        rpc(dev_url, "evm_setAutomine", True)
        rpc(dev_url, "evm_mine")
    run_tool(script(dev_url, KEYS[3], "--resume"), project)
    after = int(rpc(dev_url, "eth_getTransactionCount", ADDRESSES[3], "latest"), 16)
    assert after - before == 4
    assert [each["status"] for each in receipts(project)] == ["0x1"] * 4


def _pending(project: Path) -> str:
    """Return what forge has noted as sent; nothing while it is writing its file."""
    text = next(project.glob("broadcast/Deploy.s.sol/*/run-latest.json")).read_text()
    try:
        return str(json.loads(text)["pending"])
    except json.JSONDecodeError:
        return ""


class Cast:
    """Runs cast against the chain and counts the commands."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.commands: set[str] = set()

    def __call__(self, command: str, *options: str) -> str:
        """Return what a command prints."""
        self.commands.add(command)
        return self.run(command, *options).stdout.strip()

    def run(
        self, command: str, *options: str, fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Return the finished process; asserts that it ended as expected."""
        self.commands.add(command)
        done = subprocess.run(
            [binary("cast"), command, "--rpc-url", self._url, *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done


def test_cast_reads(dev_url: str) -> None:
    """What cast reads of chain, blocks and accounts is what the node says."""
    cast = Cast(dev_url)
    assert cast("chain-id") == "31337"
    assert "QENEX" in cast("client")
    assert int(cast("block-number")) == int(rpc(dev_url, "eth_blockNumber"), 16)
    assert int(cast("balance", ADDRESSES[9])) == int(
        rpc(dev_url, "eth_getBalance", ADDRESSES[9], "latest"), 16
    )
    assert int(cast("nonce", ADDRESSES[9])) == 0
    assert json.loads(cast("block", "finalized", "--json"))["number"] == rpc(
        dev_url, "eth_blockNumber"
    )
    assert int(cast("gas-price")) > 0
    assert int(cast("base-fee")) > 0
    assert json.loads(cast("rpc", "eth_syncing")) is False
    assert len(cast.commands) == 9


def test_cast_deploys_calls_and_proves(dev_url: str, project: Path) -> None:
    """cast sends a contract, calls it, sees its revert, event, slot and proof, and replays."""
    cast = Cast(dev_url)
    built = json.loads((project / "out" / "Counter.sol" / "Counter.json").read_text())
    code = built["bytecode"]["object"] + f"{10:064x}"
    key = ("--private-key", KEYS[4])
    made = json.loads(cast("send", *key, "--json", "--create", code))
    counter = made["contractAddress"]
    sent = json.loads(cast("send", *key, "--json", counter, "add(uint256)", "7"))
    assert sent["status"] == "0x1"
    assert int(cast("call", counter, "number()(uint256)")) == 7
    refused = cast.run("call", counter, "add(uint256)", "4", fails=True)
    assert "error code 3: execution reverted" in refused.stderr
    assert ABOVE_LIMIT in refused.stderr
    assert int(cast("estimate", counter, "add(uint256)", "1", "--from", ADDRESSES[4])) > 21_000
    (log,) = json.loads(cast("logs", "--address", counter, "--from-block", "0", "--json"))
    assert log["transactionHash"] == sent["transactionHash"]
    assert int(cast("storage", counter, "0"), 16) == 7
    assert cast("code", counter).startswith("0x")
    proof = json.loads(cast("proof", counter, "0x0"))
    assert int(proof["storageProof"][0]["value"], 16) == 7
    listed = json.loads(cast("access-list", counter, "add(uint256)", "1", "--json"))
    assert listed["accessList"][0]["address"].lower() == counter.lower()
    assert json.loads(cast("receipt", sent["transactionHash"], "--json"))["status"] == "0x1"
    assert (
        json.loads(cast("tx", sent["transactionHash"], "--json"))["to"].lower() == counter.lower()
    )
    assert "Transaction successfully executed" in cast("run", sent["transactionHash"])
    assert len(cast.commands) == 11
