"""Runs the JavaScript clients against nodes that are already up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

FOLDER = Path(__file__).parent
ARTIFACT = FOLDER.parent.parent / "contracts" / "artifacts" / "ERC20.json"
INSTALL_TIMEOUT_S = 300
RUN_TIMEOUT_S = 150
NODE_MAJOR_MIN = 20


def _skip(reason: str) -> NoReturn:
    pytest.skip(f"JavaScript clients: {reason}")


@cache
def _installed() -> str | None:
    """Install the locked packages once; returns why that is impossible, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    major = int(version.stdout.strip().removeprefix("v").split(".")[0])
    if major < NODE_MAJOR_MIN:
        return f"node {NODE_MAJOR_MIN} or newer is needed, found {version.stdout.strip()}"
    stamp = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return None
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit"],
        cwd=FOLDER,
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
    reason = _installed()
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
