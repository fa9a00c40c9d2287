"""The command line: help that teaches, one clear line for each error, and the way of a node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genesis.document import load
from node.config import load_settings
from node.folder import DataFolder
from p2p.keys import generate_node_key, load_node_key
from qenex.cli import main

COMMANDS = [
    *("localnet", "init", "node", "keys", "genesis", "status", "validator", "peers", "token"),
    *("stake", "gov", "db"),
]


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("a password\n")
    path.chmod(0o600)
    return path


def run(*arguments: object) -> int:
    return main([str(each) for each in arguments])


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`qenex --help` names every command and shows examples."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert all(f"\n  {each} " in shown for each in COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["localnet"],
        ["init"],
        ["node"],
        ["keys", "new"],
        ["keys", "show"],
        ["genesis"],
        ["status"],
        ["validator", "list"],
        ["validator", "propose"],
        ["validator", "approve"],
        ["peers"],
        ["peers", "propose"],
        ["peers", "approve"],
        *(["token", each] for each in ("info", "balance", "wrap", "unwrap", "send")),
        *(["stake", each] for each in ("info", "add", "exit", "claim")),
        *(["gov", each] for each in ("list", "show", "vote", "queue", "execute")),
        *(["gov", "propose", each] for each in ("parameters", "payment", "exempt", "exits")),
        ["gov", "propose", "validator"],
        ["db", "check"],
        ["db", "prune"],
    ],
)
def test_every_command_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's help has an example that begins with itself."""
    assert run(*command, "--help") == 0
    shown = capsys.readouterr().out
    assert f"qenex {' '.join(command)}" in shown.split("Example", 1)[1]


@pytest.mark.slow
def test_node_help_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Settings are flags of `qenex node`; the password is not."""
    assert run("node", "--help") == 0
    shown = capsys.readouterr().out
    assert "--rpc.port" in shown
    assert "--pool.expiry_s" in shown
    assert "--keys.password_file" in shown
    assert "--keys.password " not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nonsense"], 2, "No such command"),
        (["status", "--rpc", "http://127.0.0.1:9"], 1, "no node answers at http://127.0.0.1:9"),
        (["status", "--rpc", "ftp://x"], 2, "must be an address like http://127.0.0.1:8545"),
        (["localnet", "-n", "0"], 2, "1 to 100"),
        (["node", "--data-dir", "nothing-here"], 2, "is not a data folder"),
        (["node", "--data-dir", "x", "--rpc.prot", "1"], 2, "No such option"),
        (["node", "--data-dir", "x", "--rpc.port", "a"], 2, "--rpc.port: must be a whole number"),
        (["init", "--data-dir", "x", "--genesis", "none.json"], 2, "none.json: cannot read"),
        (["genesis"], 2, "at least one validator"),
        (["genesis", "--validator", "0x12"], 2, "--validator: must be 20 bytes, found 1"),
        (["genesis", "--validator", "0x" + "11" * 20 + ",0"], 2, 'must be 1 to 1000, found "0"'),
        (["genesis", "--node", "abc"], 2, "--node: must be PEER_ID,MULTIADDR[,ADDRESS]"),
        (["genesis", "--validator", "0x" + "11" * 20, "--chain-id", "0"], 2, "config.chainId"),
        (["genesis", "--validator", "0x" + "11" * 20, "--fund", "0x1=-1"], 2, "--fund: must be"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mistake gives its reason on stderr and an exit code, never a traceback."""
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err + shown.out


@pytest.mark.slow
def test_from_keys_to_folder(
    tmp_path: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """keys new -> genesis -> init makes a folder that a node starts from."""
    home, document = tmp_path / "mynode", tmp_path / "genesis.json"
    assert run("keys", "new", "--data-dir", home, "--password-file", password_file) == 0
    capsys.readouterr()
    assert run("keys", "show", "--data-dir", home, "--json") == 0
    keys = json.loads(capsys.readouterr().out)
    node = f"{keys['peerId']},/ip4/192.0.2.7/tcp/30303,{keys['validator']}"
    made = ("genesis", "--node", node, "--chain-id", 7001, "--fund", f"{keys['validator']}=1.5")
    assert run(*made, "--out", document) == 0
    genesis = load(document)
    (validator,) = genesis.validators.validators
    assert genesis.params.chain_id == 7001
    assert genesis.alloc[validator.address].balance == 15 * 10**17
    given = ("--genesis", document, "--password-file", password_file)
    assert run("init", "--data-dir", home, *given) == 0
    shown = capsys.readouterr().out
    assert "not among" not in shown
    assert f"qenex node --data-dir {home}" in shown
    folder = DataFolder(home)
    folder.check()
    assert folder.is_fresh_key(validator.address)
    settings = load_settings(home, environment={}, flags={})
    assert settings.keys.password_file == str(password_file)
    assert run("init", "--data-dir", home, *given) == 2
    assert run(*made, "--out", document) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_observer_and_strangers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """init makes a node key where there is none, and says who will not be let in."""
    document = tmp_path / "genesis.json"
    assert run("genesis", "--validator", "0x" + "11" * 20, "--out", document) == 0
    assert run("init", "--data-dir", tmp_path / "observer", "--genesis", document) == 0
    shown = capsys.readouterr().out
    assert "peers refuse it until" in shown
    assert "this node observes" in shown
    assert load_node_key(tmp_path / "observer" / "node.key").peer_id in shown


@pytest.mark.slow
def test_imported_key_is_not_fresh(
    tmp_path: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that comes from elsewhere may have signed: it gets no mark that it is fresh."""
    document, source = tmp_path / "genesis.json", tmp_path / "old"
    assert run("keys", "new", "--data-dir", source, "--password-file", password_file) == 0
    assert run("genesis", "--validator", "0x" + "11" * 20, "--out", document) == 0
    key = source / "validator.json"
    home = tmp_path / "new"
    assert run("init", "--data-dir", home, "--genesis", document, "--validator-key", key) == 0
    assert not DataFolder(home).fresh_key.exists()
    copied = home / "validator.json"
    assert copied.read_bytes() == key.read_bytes()
    assert copied.stat().st_mode & 0o077 == 0
    assert "it observes until voted in" in capsys.readouterr().out


def test_two_keys_never_meet(tmp_path: Path) -> None:
    """Every node key has its own peer id."""
    assert len({generate_node_key().peer_id for _ in range(10)}) == 10
