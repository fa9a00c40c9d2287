"""A page in headless Chromium adds the network to its wallet, connects, signs and sends.

A planted bug that this finds: answer no CORS preflight (node/rpc/http.py), and the wallet cannot
even ask for the chain id.
"""

from __future__ import annotations

import json

import pytest

from tests.clients.running import need_tools, run_tool
from tests.system.cluster import rpc

pytestmark = [pytest.mark.process, pytest.mark.slow]
COINS = 2 * 10**18


def test_page_adds_network_connects_signs_and_sends(dev_url: str) -> None:
    """All that a dapp does with an EIP-1193 wallet works, and a wrong chain id is refused."""
    tools = need_tools()
    facts = json.loads(run_tool(["node", "run.mjs", dev_url], tools / "browser"))
    assert facts["ok"], facts
    assert facts["errors"] == []
    assert facts["refused"] == "the RPC address answers with chain id 0x7a69"
    assert facts["changes"] == ["0x7a69"]
    assert facts["status"] == 1
    assert facts["message"] is True
    assert facts["typed"] is True
    assert facts["balance"] == str(COINS)
    sent = rpc(dev_url, "eth_getTransactionByHash", facts["hash"])
    assert sent["from"] == facts["account"].lower()
