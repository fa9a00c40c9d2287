"""The committed artifacts: loadable, free to use, and what the sources compile to."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from contracts import artifact, names, standard_input
from primitives.errors import ConfigError

FOLDER = Path(__file__).resolve().parents[2] / "contracts"
CODE_BYTES_MAX = 24_576
BUILD_TIMEOUT_S = 600
LICENCES = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT"}
PLANTED = """// SPDX-License-Identifier: {licence}
pragma solidity 0.8.37;
{imports}
contract {name} {{}}
"""


def test_every_source_has_an_artifact() -> None:
    """Sources and artifacts name the same contracts."""
    sources = [
        each
        for each in (FOLDER / "src").rglob("*.sol")
        if re.search(rf"^contract {each.stem}\b", each.read_text(), re.MULTILINE)
    ]
    assert names() == sorted(each.stem for each in sources)


@pytest.mark.parametrize("name", names())
def test_artifact(name: str) -> None:
    """Each artifact fits on chain (EIP-170) and was made for the EVM that we run."""
    found = artifact(name)
    assert found.name == name
    assert 0 < len(found.deployed_bytecode) <= CODE_BYTES_MAX
    assert found.deployed_bytecode in found.bytecode
    assert found.compiler["evmVersion"] == "prague"
    assert found.compiler["solc"] == "0.8.37"


@pytest.mark.parametrize("name", names())
def test_standard_input(name: str) -> None:
    """The input for explorers is the one that was compiled, and needs no node_modules."""
    whole = standard_input(name)
    assert hashlib.sha256(whole.encode()).hexdigest() == artifact(name).input_sha256
    assert artifact(name).source in json.loads(whole)["sources"]


@pytest.mark.parametrize("name", names())
def test_every_source_is_free(name: str) -> None:
    """Each file that goes into a contract, imported ones too, has a licence that we may use."""
    for path, source in json.loads(standard_input(name))["sources"].items():
        found = re.search(r"SPDX-License-Identifier: *(\S.*)", source["content"])
        assert found is not None, path
        assert found[1].strip() in LICENCES, path


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


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the contracts' folder with the locked packages installed."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        reason = "Node is not here, so the artifacts are not compared with the sources"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("contracts")
    for each in ("package.json", "package-lock.json", ".npmrc", "build.mjs", "settings.json"):
        shutil.copy(FOLDER / each, folder / each)
    shutil.copytree(FOLDER / "src", folder / "src")
    done = _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.process
def test_rebuild_gives_the_same_bytes(workshop: Path) -> None:
    """Compiling the sources anew gives every artifact byte for byte."""
    done = _run(["node", "build.mjs"], workshop)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _files(workshop / "artifacts") == _files(FOLDER / "artifacts")


@pytest.mark.slow
@pytest.mark.process
def test_weakened_copies_are_what_their_sources_say(workshop: Path) -> None:
    """The attackers and weakened copies of the tests are rebuilt byte for byte, too."""
    weak = Path(__file__).parent / "weak"
    done = _run(["node", "build.mjs", "--src", str(weak), "--out", "weak"], workshop)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _files(workshop / "weak") == _files(weak / "artifacts")


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("licence", ["GPL-3.0-only", "MIT AND BUSL-1.1"])
def test_a_file_that_is_not_free_stops_the_build(
    licence: str, workshop: Path, tmp_path: Path
) -> None:
    """The licence gate looks at each imported file. Planted: one file under `licence`."""
    (tmp_path / "Good.sol").write_text(
        PLANTED.format(name="Good", licence="MIT", imports='import {Bad} from "./Bad.sol";')
    )
    (tmp_path / "Bad.sol").write_text(PLANTED.format(name="Bad", licence=licence, imports=""))
    out = tmp_path / "out"
    done = _run(["node", "build.mjs", "--src", str(tmp_path), "--out", str(out)], workshop)
    assert done.returncode == 1
    assert f"Bad.sol: licence {licence} is not one of" in done.stderr
    assert not out.exists()
    bad = tmp_path / "Bad.sol"
    bad.write_text(bad.read_text().replace(licence, "MIT OR GPL-2.0"))
    done = _run(["node", "build.mjs", "--src", str(tmp_path), "--out", str(out)], workshop)
    assert done.returncode == 0, done.stderr


def _files(folder: Path) -> dict[str, bytes]:
    found = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in found}


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
