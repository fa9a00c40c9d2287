"""`qenex dev` as a user runs it: banner, blocks by the clock, a chain or a state that is kept.

Planted bugs that these kill: the ticker stops after its first block; the state is not written when
the process is told to stop; a data folder of a node is taken for one of a developer chain.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from genesis.nodes import NodeEntry, Role
from genesis.profiles import single
from genesis.writing import save
from node.dev.app import open_chain
from p2p.keys import generate_node_key
from primitives.errors import ConfigError
from primitives.types import ChainId
from qenex.cli import main
from qenex.devlines import Printer, banner
from tests.clients.devnode import ROOT, dev_node
from tests.node.dev.support import ALICE, BOB, KEYS, REVERTS, SETTINGS, bench
from tests.system.cluster import rpc, wait_until

SENT = {"from": ALICE, "to": BOB, "value": "0x5"}

process = pytest.mark.process
slow = pytest.mark.slow


@process
@slow
def test_chain_is_kept_in_its_folder(tmp_path: Path) -> None:
    """With --data blocks, edits and impersonated transactions are there at the next start."""
    options = ("--data", str(tmp_path / "chain"))
    guest = "0x" + "ab" * 20
    with dev_node(*options) as url:
        rpc(url, "eth_sendTransaction", SENT)
        rpc(url, "hardhat_setBalance", guest, hex(10**18))
        rpc(url, "hardhat_impersonateAccount", guest)
        rpc(url, "eth_sendTransaction", {**SENT, "from": guest})
        rpc(url, "hardhat_setBalance", guest, "0x9")
        before = rpc(url, "eth_getBlockByNumber", "latest", True)
    with dev_node(*options) as url:
        assert rpc(url, "eth_getBlockByNumber", "latest", True) == before
        assert rpc(url, "eth_getBalance", guest, "latest") == "0x9"
        rpc(url, "eth_sendTransaction", SENT)
        assert rpc(url, "eth_blockNumber") == "0x3"
    settings = replace(SETTINGS, data=tmp_path / "chain", chain_id=ChainId(5))
    with ExitStack() as stack, pytest.raises(ConfigError, match="with id 31337, not 5"):
        open_chain(settings, KEYS, stack)


@process
@slow
def test_state_goes_from_one_chain_to_the_next(tmp_path: Path) -> None:
    """With --state a new chain begins with the accounts of the last; a block comes by the clock."""
    options = ("--state", str(tmp_path / "state.gz"))
    with dev_node(*options, "--block-time", "0.05") as url:
        sent = rpc(url, "eth_sendTransaction", SENT)
        wait_until(lambda: rpc(url, "eth_getTransactionReceipt", sent) is not None, "a receipt")
        wait_until(lambda: int(rpc(url, "eth_blockNumber"), 16) > 3, "more blocks by the clock")
        balance = rpc(url, "eth_getBalance", BOB, "latest")
    with dev_node(*options, "--chain-id", "4242", "--accounts", "3") as url:
        assert rpc(url, "eth_chainId") == hex(4242)
        assert rpc(url, "eth_getBalance", BOB, "latest") == balance
        assert len(rpc(url, "eth_accounts")) == 3


def test_wrong_state_stops_in_one_line(tmp_path: Path) -> None:
    """A file that is no dump, and a folder of a node, are refused by name."""
    wrong = replace(SETTINGS, load_state=ROOT / "pyproject.toml")
    with ExitStack() as stack, pytest.raises(ConfigError, match=r"pyproject\.toml: not a dump"):
        open_chain(wrong, KEYS, stack)
    entry = NodeEntry(generate_node_key().peer_id, (), KEYS[1].address, Role.VALIDATOR)
    save(single(entry, timestamp=1, chain_id=SETTINGS.chain_id), tmp_path / "genesis.json")
    with ExitStack() as stack, pytest.raises(ConfigError, match="folder of a node"):
        open_chain(replace(SETTINGS, data=tmp_path), KEYS, stack)


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--accounts", "5000"), "0<=x<=1000"), (("--chain-id", "0"), "--chain-id")],
)
def test_wrong_options_are_refused(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is said, and nothing listens."""
    assert main(["dev", "--port", "0", *options]) == 2
    assert words in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has examples, and says how hardhat, foundry and viem connect."""
    assert main(["dev", "--help"]) == 0
    said = capsys.readouterr().out
    for each in ("Examples:", "hardhat", "foundry", "viem", "evm_snapshot", "--data"):
        assert each in said


def test_banner_and_lines_say_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    """Accounts with their keys and a warning; then who, what, gas and the reason of a failure."""
    with bench() as dev:
        lines = "\n".join(banner(SETTINGS, dev.chain, 8545))
        assert f"0x{KEYS[9].raw.hex()}" in lines
        assert "WARNING" in lines
        assert "http://127.0.0.1:8545" in lines
        dev.chain.subscribe(Printer(dev.chain).block)
        dev.send(value=hex(10**18))
        dev.rpc.ask("eth_sendTransaction", {"from": ALICE, "data": REVERTS, "gas": "0x186a0"})
        said = capsys.readouterr().out
        assert f"to {BOB} with 1 QXC  gas 21,000  ok" in said
        assert "creates a contract" in said
        assert "FAILED: execution reverted" in said
        dev.call("hardhat_setLoggingEnabled", False)
        dev.send()
        assert capsys.readouterr().out == ""
