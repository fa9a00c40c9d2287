"""Imports only go down, heavy packages stay behind their walls, and each rule bites.

The rules stand in `[tool.importlinter]` of `pyproject.toml`. A skeleton of the house is written
to an empty folder, one forbidden import is planted at a time, and the linter must name the rule.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
RULES = {rule["id"]: rule for rule in CONFIG["contracts"]}

# Every file of the skeleton; the wall files are there so that a plant beside them counts.
FILES = (
    *("primitives/__init__.py", "primitives/codec.py", "primitives/types.py"),
    *("primitives/crypto/__init__.py", "primitives/crypto/keys.py"),
    *("contracts/__init__.py", "consensus/__init__.py", "consensus/core.py"),
    *("vm/__init__.py", "vm/engine.py", "vm/pyevm/__init__.py", "vm/pyevm/engine.py"),
    *("p2p/__init__.py", "p2p/host.py", "p2p/security.py", "p2p/network.py"),
    *("genesis/__init__.py", "node/__init__.py", "node/store.py", "node/runtime.py"),
    *("node/app.py", "node/dev/__init__.py"),
    *("node/rpc/__init__.py", "node/rpc/server.py", "services/__init__.py"),
    *("qenex/__init__.py", "tests/__init__.py", "scripts/__init__.py"),
)


class Plant(NamedTuple):
    """One forbidden import: the file that gets it, the line, and the rule that must break."""

    file: str
    line: str
    rule: str


def plants() -> list[Plant]:
    """Return every pair of rooms the floors forbid, and one import through each wall."""
    floors = (
        ("qenex",),
        ("node", "services"),
        ("vm", "consensus", "p2p", "genesis"),
        ("contracts",),
        ("primitives",),
    )
    found = [
        Plant(f"{room}/__init__.py", f"import {other}", "floors")
        for depth, floor in enumerate(floors)
        for room in floor
        for other in (*sum(floors[:depth], ()), *(each for each in floor if each != room))
    ]
    found += [
        Plant(f"{room}/__init__.py", f"import {other}", "development")
        for room in sum(floors, ())
        for other in ("scripts", "tests")
    ]
    pure = RULES["consensus-is-pure"]
    found += [
        Plant("consensus/core.py", f"import {module}", "consensus-is-pure")
        for module in pure["forbidden_modules"]
    ]
    found.append(Plant("node/rpc/server.py", "import node.dev", "dev-wall"))
    found += [
        Plant("services/__init__.py", f"import {room}", "services-speak-rpc")
        for room in ("vm", "consensus", "p2p", "genesis", "node", "qenex")
    ]
    found += [
        Plant("consensus/core.py", "from logging import info", "consensus-is-pure"),
        Plant("node/runtime.py", "from web3 import Web3", "web3-wall"),
        Plant("vm/engine.py", "from eth.abc import StateAPI", "evm-wall"),
        Plant("node/runtime.py", "import eth", "evm-wall"),
        Plant("p2p/network.py", "from libp2p import new_host", "libp2p-wall"),
        Plant("p2p/network.py", "import multiaddr", "libp2p-wall"),
        Plant("node/runtime.py", "import libp2p.host", "libp2p-wall"),
        Plant("primitives/types.py", "import rlp", "rlp-wall"),
        Plant("consensus/core.py", "import rlp.sedes", "rlp-wall"),
        Plant("primitives/types.py", "import coincurve", "crypto-wall"),
        Plant("node/runtime.py", "from sha3 import keccak_256", "crypto-wall"),
        Plant("node/runtime.py", "from eth_account import Account", "crypto-wall"),
        Plant("consensus/core.py", "import pqcrypto.sign", "crypto-wall"),
        Plant("node/runtime.py", "def late():\n    import rocksdict", "disk-wall"),
        Plant("vm/pyevm/engine.py", "import py_arkworks_bls12381", "curve-wall"),
        Plant("node/rpc/__init__.py", "import uvicorn", "http-wall"),
    ]
    return found


PLANTS = plants()

# What the wall files themselves may import; none of these breaks a rule.
ALLOWED = (
    ("vm/pyevm/engine.py", "import eth"),
    ("vm/pyevm/__init__.py", "import eth"),
    ("p2p/host.py", "import libp2p, multiaddr"),
    ("p2p/security.py", "import libp2p"),
    ("primitives/codec.py", "import rlp"),
    ("primitives/crypto/keys.py", "import coincurve, sha3, eth_account, pqcrypto"),
    ("node/store.py", "import rocksdict"),
    ("vm/pyevm/bls.py", "import py_arkworks_bls12381"),
    ("node/rpc/server.py", "import uvicorn"),
    ("services/__init__.py", "import web3, primitives, contracts"),
    ("node/runtime.py", "import trio, vm.engine, consensus.core, p2p.network, genesis"),
)

# Runs in its own process, in the skeleton: the real rooms are already loaded in this one.
RUNNER = """
import json, pathlib, sys
sys.path.insert(0, ".")
from importlinter.application import use_cases
from importlinter.cli import configuration
configuration.configure()
options = use_cases.read_user_options("pyproject.toml")
use_cases._register_contract_types(options)
names = {each["name"]: each["id"] for each in options.contracts_options}
answers = []
for file, line in json.loads(sys.stdin.read()):
    path = pathlib.Path(file)
    path.write_text(line + "\\n")
    report = use_cases.create_report(options, cache_dir=None)
    answers.append([names[c.name] for c, check in report.get_contracts_and_checks()
                    if not check.kept])
    path.write_text("")
print("ANSWERS" + json.dumps(answers))
"""


def lint(folder: Path, cases: list[tuple[str, str]]) -> list[list[str]]:
    """Plant each (file, line) alone in a skeleton under `folder`; return the broken rules."""
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        cwd=folder,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers: list[list[str]] = json.loads(done.stdout.rpartition("ANSWERS")[2])
    return answers


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[Plant, list[str]]:
    """The rules that each plant broke."""
    folder = tmp_path_factory.mktemp("floors")
    answers = lint(folder, [(plant.file, plant.line) for plant in PLANTS])
    return dict(zip(PLANTS, answers, strict=True))


@pytest.mark.slow
def test_house_keeps_its_rules() -> None:
    """The imports of the whole tree keep every rule."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.file}: {plant.line}")
def test_planted_import_is_refused(plant: Plant, broken: dict[Plant, list[str]]) -> None:
    """A forbidden import breaks the rule that forbids it."""
    assert plant.rule in broken[plant]


@pytest.mark.slow
def test_lawful_imports_pass(tmp_path: Path) -> None:
    """What each wall file is there for breaks no rule, so the walls are no tighter than said."""
    answers = lint(tmp_path, list(ALLOWED))
    assert dict(zip(ALLOWED, answers, strict=True)) == {case: [] for case in ALLOWED}


def test_every_rule_has_a_plant() -> None:
    """No rule of the configuration is left without a planted import, and no floor is missing."""
    assert set(RULES) == {plant.rule for plant in PLANTS}
    must = {"trio", "asyncio", "time", "random", "secrets", "os", "socket", "threading", "logging"}
    assert must <= set(RULES["consensus-is-pure"]["forbidden_modules"])
    floors = " ".join(RULES["floors"]["layers"]).replace("|", " ").split()
    assert sorted(floors) == sorted(CONFIG["root_packages"])
