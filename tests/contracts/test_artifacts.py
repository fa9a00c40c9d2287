"""The committed artifacts: loadable, within the EVM's limits, and what the sources compile to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from contracts import artifact, names
from primitives.errors import ConfigError

FOLDER = Path(__file__).resolve().parents[2] / "contracts"
CODE_BYTES_MAX = 24_576
BUILD_TIMEOUT_S = 300


def test_every_source_has_an_artifact() -> None:
    """Sources and artifacts name the same contracts."""
    assert names() == sorted(each.stem for each in (FOLDER / "src").glob("*.sol"))


@pytest.mark.parametrize("name", names())
def test_artifact(name: str) -> None:
    """Each artifact fits on chain (EIP-170) and was made for the EVM that we run."""
    found = artifact(name)
    assert found.name == name
    assert 0 < len(found.deployed_bytecode) <= CODE_BYTES_MAX
    assert found.deployed_bytecode in found.bytecode
    assert found.compiler["evmVersion"] == "prague"
    assert found.compiler["solc"] == "0.8.37"


@pytest.mark.parametrize("name", ["Nothing", "", "../package", "ERC20.json", "a/b"])
def test_unknown_artifact(name: str) -> None:
    """An unknown name is refused with the names that exist, and never leaves the folder."""
    with pytest.raises(ConfigError, match="ERC20"):
        artifact(name)


def test_lock_names_no_registry() -> None:
    """The lock pins contents by hash and leaves the registry to npm's configuration."""
    lock = (FOLDER / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')


@pytest.mark.slow
@pytest.mark.process
def test_rebuild_gives_the_same_bytes(tmp_path: Path) -> None:
    """Compiling the sources anew gives every artifact byte for byte."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        reason = "Node is not here, so the artifacts are not compared with the sources"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    for each in ("package.json", "package-lock.json", ".npmrc", "build.mjs"):
        shutil.copy(FOLDER / each, tmp_path / each)
    shutil.copytree(FOLDER / "src", tmp_path / "src")
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], tmp_path)
    _run([node, "build.mjs"], tmp_path)
    built = {each.name: each.read_bytes() for each in (tmp_path / "artifacts").iterdir()}
    kept = {each.name: each.read_bytes() for each in (FOLDER / "artifacts").iterdir()}
    assert built == kept


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
