"""Runs the JavaScript clients against nodes that are already up."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

FOLDER = Path(__file__).parent
TOOLS = FOLDER / "tools"
ARTIFACT = FOLDER.parent.parent / "contracts" / "artifacts" / "ERC20.json"
INSTALL_TIMEOUT_S = 300
RUN_TIMEOUT_S = 150
NODE_MAJOR_MIN = 20


def _skip(reason: str) -> NoReturn:
    pytest.skip(f"JavaScript clients: {reason}")


@cache
def _installed(folder: Path) -> str | None:
    """Install a folder's locked packages once; returns why that is impossible, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    major = int(version.stdout.strip().removeprefix("v").split(".")[0])
    if major < NODE_MAJOR_MIN:
        return f"node {NODE_MAJOR_MIN} or newer is needed, found {version.stdout.strip()}"
    stamp = folder / "node_modules" / ".package-lock.json"
    lock = folder / "package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return None
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode == 0:
        return None
    if os.environ.get("CI") == "true":
        pytest.fail(f"npm ci failed: {done.stderr}")
    return f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}"


def run_client(name: str, http_urls: Sequence[str], ws_url: str) -> dict[str, Any]:
    """Run `name` ("viem" or "ethers") and return the line that it prints.

    Skips where Node is absent, fails when the client does.
    """
    reason = _installed(FOLDER)
    if reason is not None:
        _skip(reason)
    script = FOLDER / f"{name}.mjs"
    command = ["node", str(script), "--artifact", str(ARTIFACT), "--ws", ws_url, *http_urls]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    facts = json.loads(done.stdout)
    assert isinstance(facts, dict)
    return facts


def need_tools() -> Path:
    """Return the folder of hardhat, foundry and the browser, installed; skips where they are not.

    Their packages are for Linux on x86-64 alone.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        _skip("hardhat, foundry and Chromium are installed on Linux x86-64 only")
    reason = _installed(TOOLS)
    if reason is not None:
        _skip(reason)
    return TOOLS


def run_tool(
    command: Sequence[str | Path], folder: Path, environment: dict[str, str] | None = None
) -> str:
    """Run a tool in a folder and return what it prints; fails the test when the tool does."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def project_copy(name: str, parent: Path) -> Path:
    """Return a copy of a tool's project, which builds into it, with the packages at hand."""
    tools = need_tools()
    folder = parent / name
    shutil.copytree(tools / name, folder)
    (folder / "node_modules").symlink_to(tools / "node_modules")
    return folder
