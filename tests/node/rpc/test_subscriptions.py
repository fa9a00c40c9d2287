"""Subscriptions: what a reconnected client missed comes first, once, and in order.

Planted bugs these find: the head sent twice (by the catch-up and live), a block between the
catch-up and the first live one left out, receipts of other transactions.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from websockets.sync.client import connect

from node.rpc import hub, subscriptions
from node.rpc.api import SyncStatus
from primitives.types import Height
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import sign, to_hex
from tests.node.rpc.test_methods import CREATION, transfer_data
from tests.node.rpc.test_websocket import _ask, _last, _next, _serving

pytestmark = pytest.mark.process

OWNER, SECOND = funded_keys(2)


def _heights(notices: list[dict[str, Any]]) -> list[int]:
    return [int(each["result"]["number"], 16) for each in notices]


def test_heads_go_on_after_the_last_known_block() -> None:
    """From the block after the last known one: each height once, whatever comes meanwhile."""
    chain = DevChain()
    for _ in range(5):
        chain.mine()
    with _serving(chain) as url, connect(url) as ws:
        maker = threading.Thread(target=lambda: [chain.mine() for _ in range(20)])
        maker.start()
        _ask(ws, "eth_subscribe", "newHeads", {"fromBlock": "0x3"})
        shown = [_next(ws) for _ in range(23)]
        maker.join()
        assert _heights(shown) == list(range(3, 26))
        with connect(url) as level:
            _ask(level, "eth_subscribe", "newHeads", {"fromBlock": "0x1a"})
            chain.mine()
            assert _heights([_next(level)]) == [26]


def test_logs_and_receipts_go_on_too() -> None:
    """Missed logs and receipts come first and equal what eth_getLogs and the blocks say."""
    chain = DevChain()
    chain.submit(sign(OWNER, 0, to=None, data=to_hex(CREATION), gas=2_000_000))
    with _serving(chain) as url, connect(url) as ws, connect(url) as whole:
        token = _ask(ws, "eth_getTransactionReceipt", _last(chain))["result"]["contractAddress"]
        hashes = []
        for nonce in range(1, 4):
            data = transfer_data(SECOND.address, nonce)
            hashes.append(to_hex(chain.submit(sign(OWNER, nonce, to=token, data=data, gas=90_000))))
        _ask(ws, "eth_subscribe", "logs", {"fromBlock": "0x3", "address": token})
        _ask(whole, "eth_subscribe", "transactionReceipts", {"fromBlock": "0x2"})
        chain.submit(sign(OWNER, 4, to=token, data=transfer_data(SECOND.address, 4), gas=90_000))
        shown = [_next(ws)["result"] for _ in range(3)]
        assert [int(each["data"], 16) for each in shown] == [2, 3, 4]
        batches = [_next(whole)["result"] for _ in range(4)]
        assert [each["transactionHash"] for batch in batches for each in batch][:3] == hashes
        receipt = _ask(whole, "eth_getTransactionReceipt", hashes[0])["result"]
        assert batches[0] == [receipt]


def test_receipts_of_chosen_transactions() -> None:
    """Only the named transactions' receipts come."""
    chain = DevChain(automine=False)
    with _serving(chain) as url, connect(url) as ws:
        first, second = to_hex(chain.submit(sign(OWNER, 0))), chain.submit(sign(SECOND, 0))
        wanted = {"transactionHashes": [to_hex(second)]}
        _ask(ws, "eth_subscribe", "transactionReceipts", wanted)
        chain.mine()
        (receipt,) = _next(ws)["result"]
        assert receipt["transactionHash"] == to_hex(second) != first


def test_syncing_tells_the_present_state_and_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """False at first; then the heights of a catch-up when it begins, and false when it ends."""
    monkeypatch.setattr(hub, "SYNC_POLL_S", 0.01)
    chain = DevChain()
    with _serving(chain) as url, connect(url) as ws:
        _ask(ws, "eth_subscribe", "syncing")
        assert _next(ws)["result"] is False
        chain.sync = SyncStatus(Height(1), Height(2), Height(9))
        assert _next(ws)["result"]["status"]["highestBlock"] == "0x9"
        chain.sync = None
        assert _next(ws)["result"] is False


def test_bounds_of_a_resumption(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block more than the bound is refused in words, and leaves no subscription behind."""
    monkeypatch.setattr(subscriptions, "RESUME_BLOCKS_MAX", 3)
    chain = DevChain()
    for _ in range(3):
        chain.mine()
    with _serving(chain) as url, connect(url) as ws:
        error = _ask(ws, "eth_subscribe", "newHeads", {"fromBlock": "0x0"})["error"]
        assert error["code"] == -32005
        assert "catch up" in error["message"]
        _ask(ws, "eth_subscribe", "newHeads", {"fromBlock": "0x1"})
        assert _heights([_next(ws) for _ in range(3)]) == [1, 2, 3]
        for kind, options in (
            ("newHeads", 1),
            ("newHeads", {"fromBlock": "5"}),
            ("newPendingTransactions", "yes"),
            ("transactionReceipts", {"transactionHashes": "0x"}),
        ):
            assert _ask(ws, "eth_subscribe", kind, options)["error"]["code"] == -32602
        assert _ask(ws, "eth_subscribe", "storms")["error"]["code"] == -32601
