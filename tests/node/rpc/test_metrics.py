"""Numbers for Prometheus and the questions of supervisors, over a running server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from consensus.algorithm import Step
from consensus.core import Status
from node.metrics import Family, folder_bytes, render
from node.rpc.api import SyncStatus
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from node.steptimes import StepTimes
from node.storemeter import StoreMeter
from primitives.types import Address, Height, Round
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import http_request, sign

NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


def parsed(page: bytes) -> dict[str, float]:
    """Return the samples of a page by name and labels, as Prometheus' own parser reads it."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page.decode()):
        for each in family.samples:
            labels = ",".join(f"{name}={text}" for name, text in sorted(each.labels.items()))
            key = f"{each.name}{{{labels}}}" if labels else each.name
            assert key not in found, "a sample stands twice"
            found[key] = each.value
    return found


@settings(max_examples=40)
@given(
    st.text(max_size=20),
    st.lists(st.tuples(NAMES, st.text(max_size=9)), unique_by=lambda e: e[0], max_size=3),
)
def test_any_text_in_labels_and_help_is_read_back(text: str, labels: list[tuple[str, str]]) -> None:
    """Quotes, backslashes and line ends do not break a page. Kills: a missing escape."""
    given_help = text.replace("\r", " ").strip()
    family = Family("x", "gauge", given_help, (("", tuple(labels), 0.1),))
    (read,) = text_string_to_metric_families(render([family]).decode())
    assert [(dict(each.labels), each.value) for each in read.samples] == [(dict(labels), 0.1)]


class _Behind(DevChain):
    """A chain that catches up."""

    peers = 0
    sync: SyncStatus | None = None

    def peer_count(self) -> int:
        return self.peers

    def syncing(self) -> SyncStatus | None:
        return self.sync

    def status(self) -> dict[str, object]:
        """The parts that only a whole node has."""
        consensus = {"height": 8, "round": 2, "step": "prevote"}
        loop = {"lagMaxMs": 12.5, "cpuMaxMs": 1.0, "stalls": 3, "slowest": "x"}
        return super().status() | {"consensus": consensus, "loop": loop}


@pytest.fixture
def chain() -> _Behind:
    """The chain that is served."""
    return _Behind()


@pytest.fixture
def port(chain: _Behind, tmp_path: Path) -> Iterator[int]:
    """A server over the chain."""
    meters = (StepTimes().families, StoreMeter(tmp_path).families)
    server = RpcServer(chain, RpcSettings(port=0), meters=meters)
    yield server.start()
    server.stop()


def _page(port: int) -> dict[str, float]:
    reply = http_request(port, "GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return parsed(reply.body)


def _ask(port: int, *names: str) -> None:
    body = [{"jsonrpc": "2.0", "id": 1, "method": each} for each in names]
    http_request(port, body=json.dumps(body if len(body) > 1 else body[0]).encode())


@pytest.mark.process
def test_calls_are_counted_by_method_and_outcome(port: int) -> None:
    """Each call counts once under its name and outcome; names that do not exist are one.

    Kills: a label for every name a stranger makes up, a batch that counts as one.
    """
    _ask(port, "eth_chainId")
    _ask(port, "eth_chainId", "no_such", "eth_getBalance", "other")
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x"]}
    http_request(port, body=json.dumps([body, body]).encode())
    http_request(port, "PUT")
    page = _page(port)
    counted = {key: n for key, n in page.items() if key.startswith("qenex_rpc_requests_total")}
    assert counted == {
        "qenex_rpc_requests_total{method=eth_chainId,outcome=ok}": 2,
        "qenex_rpc_requests_total{method=eth_getBalance,outcome=-32602}": 1,
        "qenex_rpc_requests_total{method=eth_sendRawTransaction,outcome=-32000}": 2,
        "qenex_rpc_requests_total{method=unknown,outcome=-32601}": 2,
    }
    assert page["qenex_rpc_request_seconds_count{method=eth_chainId}"] == 2
    assert page["qenex_rpc_request_seconds_bucket{le=+Inf,method=eth_chainId}"] == 2
    assert 0 < page["qenex_rpc_request_seconds_sum{method=eth_chainId}"] < 10
    assert page["qenex_rpc_refused_total{reason=405}"] == 1


@pytest.mark.process
def test_what_is_open_is_counted_and_uncounted(port: int) -> None:
    """Connections, WebSockets, subscriptions and filters go up and down again."""
    names = [f"qenex_rpc_{each}" for each in ("websockets", "subscriptions", "connections")]
    with connect(f"ws://127.0.0.1:{port}") as ws:
        for kind in ("newHeads", "transactionReceipts"):
            params = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": [kind]}
            ws.send(json.dumps(params))
            name = json.loads(ws.recv())["result"]
        page = _page(port)
        assert [page[each] for each in names] == [1, 2, 2]
        ws.send(json.dumps(params | {"method": "eth_unsubscribe", "params": [name]}))
        assert json.loads(ws.recv())["result"] is True
        assert _page(port)["qenex_rpc_subscriptions"] == 1
    _ask(port, "eth_newBlockFilter")
    while (page := _page(port))["qenex_rpc_connections"] > 1:
        time.sleep(0.01)
    assert [page[each] for each in names] == [0, 0, 1]
    assert page["qenex_rpc_filters"] == 1


@pytest.mark.process
def test_the_chain_is_shown(port: int, chain: _Behind, tmp_path: Path) -> None:
    """Head, block, pool, peers, catch-up, consensus, loop, process and store have their numbers."""
    chain.submit(sign(funded_keys(1)[0], 0))
    chain.peers, chain.sync = 3, SyncStatus(Height(0), Height(1), Height(11))
    (tmp_path / "file").write_bytes(bytes(1_000))
    page = _page(port)
    expected = {
        "qenex_chain_height": 1,
        "qenex_chain_block_transactions": 1,
        "qenex_chain_block_gas": 21_000,
        "qenex_pool_pending": 0,
        "qenex_p2p_peers": 3,
        "qenex_sync_active": 1,
        "qenex_sync_behind_blocks": 10,
        "qenex_consensus_round": 2,
        "qenex_consensus_step{step=prevote}": 1,
        "qenex_consensus_step{step=propose}": 0,
        "qenex_node_loop_lag_seconds": 0.0125,
        "qenex_node_loop_stalls_total": 3,
        "qenex_node_store_bytes": 1_000,
    }
    assert {name: page[name] for name in expected} == expected
    assert page["qenex_chain_block_interval_seconds"] > 0
    assert page["process_resident_memory_bytes"] > 10_000_000
    assert page["process_open_fds"] > 3
    assert page["process_cpu_seconds_total"] > 0


@pytest.mark.process
def test_metrics_can_be_off() -> None:
    """Where the setting says off there is no such page."""
    server = RpcServer(DevChain(), RpcSettings(port=0, metrics="off"))
    port = server.start()
    status = http_request(port, "GET", "/metrics").status
    server.stop()
    assert status == 404


@pytest.mark.process
@pytest.mark.parametrize(
    ("peers", "behind", "query", "status"),
    [
        (0, None, "", 200),
        (0, 5, "", 503),
        (2, None, "?minPeers=2", 200),
        (2, None, "?minPeers=3", 503),
        (2, 5, "?maxBlocksBehind=5", 200),
        (2, 6, "?maxBlocksBehind=5", 503),
        (2, 5, "?minPeers=3&maxBlocksBehind=5", 503),
        (2, 5, "?minPeers=2", 503),
        (0, None, "?minPeers=0&maxBlocksBehind=0", 200),
        (0, None, "?minPeers=", 400),
        (0, None, "?minPeers=-1", 400),
        (0, None, "?minPeers=1.5", 400),
        (0, None, "?minPeers=%D9%A1", 400),
        (0, None, "?minPeers=" + "1" * 19, 400),
        (0, None, "?minPeers=1&minPeers=1", 400),
        (0, None, "?minpeers=1", 400),
        (0, None, "?minPeers", 400),
        (0, None, "?" + "&".join(f"a{n}=1" for n in range(9)), 400),
    ],
)
def test_readiness(
    port: int, chain: _Behind, peers: int, behind: int | None, query: str, status: int
) -> None:
    """Ready means level, or no further behind than asked, and peers enough; else 503, or 400."""
    chain.peers = peers
    chain.sync = None if behind is None else SyncStatus(Height(0), Height(1), Height(1 + behind))
    reply = http_request(port, "GET", f"/readiness{query}")
    answer = json.loads(reply.body)
    assert reply.status == status
    if status == 400:
        assert answer["error"]
    else:
        assert answer == {
            "ready": status == 200,
            "height": 0,
            "peers": peers,
            "blocksBehind": behind or 0,
        }


def test_time_in_steps_and_rounds_above_zero() -> None:
    """The time of a step is added when it ends; rounds begun above 0 are counted once each.

    Kills: a round counted at every message, round 0 counted, time given to the next step.
    """
    times = StepTimes()
    for moment, height, round_, step in (
        (0.0, 1, 0, Step.PROPOSE),
        (1.0, 1, 0, Step.PROPOSE),
        (2.0, 1, 0, Step.PREVOTE),
        (2.5, 1, 1, Step.PROPOSE),
        (3.0, 1, 1, Step.PREVOTE),
        (4.0, 1, 3, Step.PROPOSE),
        (5.0, 2, 0, Step.PROPOSE),
        (6.0, 2, 0, Step.DECIDED),
    ):
        place = (Height(height), Round(round_), step)
        times.note(Status(*place, Address(bytes(20)), Round(-1), Round(-1), True, False), moment)
    page = parsed(render(times.families()))
    assert page["qenex_consensus_step_seconds_total{step=propose}"] == 2 + 0.5 + 1 + 1
    assert page["qenex_consensus_step_seconds_total{step=prevote}"] == 0.5 + 1
    assert page["qenex_consensus_steps_total{step=propose}"] == 4
    assert page["qenex_consensus_late_rounds_total"] == 3


def test_folder_size(tmp_path: Path) -> None:
    """Files of the folder count, folders below it do not."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c").write_bytes(bytes(500))
    before = folder_bytes(tmp_path)
    (tmp_path / "a").write_bytes(bytes(70))
    assert folder_bytes(tmp_path) == before + 70
