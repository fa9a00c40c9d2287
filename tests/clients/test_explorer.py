"""The explorer in headless Chromium: what each page shows, light and dark, wide and narrow.

With QENEX_PICTURES set to a folder the pages' pictures are written there, as those in docs/pictures
were made. Planted bugs that this finds: decode no call (node/explorer/abi.js), leave the policy's
`connect-src` out (node/explorer/__init__.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from contracts import artifact
from tests.clients.running import RUN_TIMEOUT_S, need_tools
from tests.system.cluster import rpc

pytestmark = [pytest.mark.process, pytest.mark.slow]

RECIPIENT = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
AMOUNT = 125 * 10**18
PHONE = 390


def browse(url: str, order: dict[str, Any]) -> dict[str, Any]:
    """Return what the pages of `order` show."""
    done = subprocess.run(
        ["node", "run.mjs", url],
        cwd=need_tools() / "explorer",
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def send(url: str, **fields: str) -> dict[str, Any]:
    """Send from the first account and return the receipt."""
    sender = rpc(url, "eth_accounts")[0]
    sent = rpc(url, "eth_sendTransaction", {"from": sender, **fields})
    receipt: dict[str, Any] = rpc(url, "eth_getTransactionReceipt", sent)
    return receipt


def page(path: str, *selectors: str, name: str = "", **options: Any) -> dict[str, Any]:
    """Return one page to open, with its picture when pictures are wanted."""
    folder = os.environ.get("QENEX_PICTURES")
    order = {"path": path, "selectors": selectors, **options}
    if folder and name:
        order["picture"] = str(Path(folder, f"explorer-{name}.png").resolve())
    return order


def test_pages_show_the_chain(dev_url: str) -> None:
    """Blocks, a decoded transaction with log and calls, an account, validators, search, themes."""
    code = artifact("ERC20").bytecode + encode(["string", "string", "uint256"], ["E", "E", 10**24])
    token = send(dev_url, data="0x" + code.hex())["contractAddress"]
    data = f"0xa9059cbb{RECIPIENT[2:]:0>64}{AMOUNT:064x}"
    paid = send(dev_url, to=token, data=data)
    height = int(paid["blockNumber"], 16)
    found = browse(
        dev_url,
        {
            "search": paid["transactionHash"],
            "pages": [
                page("", "#height", "#home table tbody tr", name="home"),
                page(
                    f"tx/{paid['transactionHash']}",
                    "#decoded-call",
                    ".event",
                    ".frame",
                    "#transaction dl",
                    name="transaction",
                ),
                page(f"address/{token}", "#balance", "#code", "#address", name="contract"),
                page(
                    f"block/{height}",
                    "#block dl",
                    "#block table tbody tr",
                    width=PHONE,
                    name="phone",
                ),
                page("validators", "#validators", width=PHONE),
                page("", "#home", colorScheme="dark", name="dark"),
            ],
        },
    )
    assert found["errors"] == []
    home, transaction, account, block, validators, dark = found["views"]
    assert int(home["shown"]["#height"].replace(",", "")) >= height
    assert RECIPIENT in transaction["shown"]["#decoded-call"]
    assert f"{AMOUNT:,}" in transaction["shown"]["#decoded-call"]
    assert transaction["shown"][".event"] == "Transfer"
    assert "CALL" in transaction["shown"][".frame"]
    assert "success" in transaction["shown"]["#transaction dl"]
    assert account["shown"]["#balance"] == "0 QXC"
    assert paid["transactionHash"][:10] in account["shown"]["#address"]
    assert paid["blockHash"] in block["shown"]["#block dl"]
    assert "Quorum" in validators["shown"]["#validators"]
    for view in found["views"]:
        assert view["overflow"] <= 0
        assert set(view["scripts"]) == {dev_url}
    assert dark["ground"] != home["ground"]
    searched = found["searched"]
    assert "Search for a block height" in searched["refusal"]
    assert searched["hash"] == f"#/tx/{paid['transactionHash']}"
    assert searched["before"] != searched["after"]
