"""web3.py's own integration tests pass on a developer chain; those that cannot are explained.

A planted bug that this finds: let `_fill` take an authorization list for nothing
(node/dev/methods_accounts.py), and the account that the cases share stays a contract.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.clients.devnode import ROOT, dev_node

pytestmark = [pytest.mark.process, pytest.mark.slow]

CHAIN_ID = 131_277_322_940_537
"""web3.py's signed transactions are for this chain."""

TIMEOUT_S = 300
CASES = 255
PASSED_MIN = 250
ALL = "not ens"
EXPLAINED = {
    "test_add_peer",
    "test_admin_peers",
    "test_admin_start_stop_http",
    "test_admin_start_stop_ws",
    "test_async_eth_subscribe_syncing_mocked",
    "test_invalid_eth_sign_typed_data",
}
"""Each has its reason in docs/web3py.md."""


def run_suite(url: str, folder: Path, chosen: str) -> tuple[list[str], int, str]:
    """Run the cases that `chosen` names (pytest's -k); return (broken, how many ran, output)."""
    report = folder / "report.xml"
    command = [
        *(sys.executable, "-m", "pytest", "tests/clients/web3_modules/suite.py"),
        *("-p", "tests.clients.web3_modules.fixtures", "-p", "no:cacheprovider"),
        *("-q", "-W", "default", "-k", chosen, "--tb=line", f"--junit-xml={report}"),
    ]
    environment = {"QENEX_DEV_URL": url, "QENEX_DEV_DATA": str(folder / "chain")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    output = done.stdout + done.stderr
    assert report.exists(), output
    cases = list(ElementTree.parse(report).iter("testcase"))
    report.unlink()
    broken = [
        each.get("name", "")
        for each in cases
        if each.find("failure") is not None or each.find("error") is not None
    ]
    return [re.sub(r"\[.*", "", name) for name in broken], len(cases), output


def test_at_least_250_of_255_pass(tmp_path: Path) -> None:
    """All cases but the explained ones pass, and every explanation is still needed.

    Some cases take the next message for the one that they wait for, and so depend on how busy the
    machine is: a case that fails without an explanation must pass by itself.
    """
    with dev_node("--chain-id", str(CHAIN_ID), "--data", str(tmp_path / "chain")) as url:
        broken, count, output = run_suite(url, tmp_path, ALL)
        assert count >= CASES
        assert set(broken) >= EXPLAINED, output
        explained = [each for each in broken if each in EXPLAINED]
        assert count - len(explained) >= PASSED_MIN, output
        if unexpected := set(broken) - EXPLAINED:
            again, _, output = run_suite(url, tmp_path, " or ".join(sorted(unexpected)))
            assert not again, output
