"""The lock files hold every package by hash, and what they leave out is not needed."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXCLUDED = PROJECT["tool"]["uv"]["exclude-dependencies"]


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Return version and number of hashes of each package of a lock file."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            package, version = re.match(r"([a-z0-9-]+)==([^ ]+) ", line).groups()  # type: ignore[union-attr]  # a line that differs must fail
            found[package] = (version, len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)))
    return found


@pytest.mark.parametrize("name", ["build.txt", "runtime.txt", "dev.txt"])
def test_every_package_is_pinned_by_hash(name: str) -> None:
    """Each line is one exact version with at least one hash, and there is no option or address."""
    packages = locked(name)
    assert packages
    assert all(hashes for _, hashes in packages.values())
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)


def test_dev_holds_runtime() -> None:
    """The tests run on the versions that a network runs on."""
    assert locked("runtime.txt").items() <= locked("dev.txt").items()


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime.txt", PROJECT["project"]["dependencies"]),
        ("dev.txt", PROJECT["project"]["optional-dependencies"]["dev"]),
        ("build.txt", PROJECT["build-system"]["requires"]),
    ],
)
def test_lock_meets_the_project(lock: str, wanted: list[str]) -> None:
    """Every requirement of the project is in its lock file, at a version that meets it."""
    packages = locked(lock)
    for each in map(Requirement, wanted):
        version, _ = packages[each.name]
        assert each.specifier.contains(version, prereleases=True), each


def test_py_evm_is_exact() -> None:
    """py-evm is a pre-release: only one version of it will do."""
    assert "py-evm==0.12.1b1" in PROJECT["project"]["dependencies"]


def test_left_out_is_left_out() -> None:
    """The packages that libp2p asks for and nothing imports are not installed."""
    assert not set(EXCLUDED) & locked("dev.txt").keys()


@pytest.mark.slow
def test_libp2p_runs_without_what_is_left_out() -> None:
    """The libp2p that a node loads imports none of the packages left out of the lock.

    And P-256, the one use of fastecdsa, is no kind of key that a peer can present, so that its
    replaced version is never called.
    """
    code = (
        "import json, sys\n"
        "import libp2p, libp2p.security.noise.transport, libp2p.stream_muxer.yamux.yamux\n"
        "from libp2p.crypto import ecc, serialization\n"
        "kinds = [*serialization.key_type_to_public_key_deserializer,"
        " *serialization.key_type_to_private_key_deserializer]\n"
        "print(json.dumps([sorted({name.split('.')[0] for name in sys.modules}), kinds,"
        " ecc.KeyType.ECC_P256.value]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    modules, kinds, p256 = json.loads(done.stdout)
    assert not {"grpc", "mypy_protobuf", "rpcudp", "umsgpack"} & set(modules)
    assert p256 not in kinds
