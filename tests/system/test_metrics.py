"""The metrics of a real network, and the Grafana dashboard that shows them."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from primitives.meter import Stage
from tests.node.rpc.test_metrics import parsed
from tests.system.cluster import ROOT, Cluster, rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

DASHBOARD = ROOT / "docs" / "grafana" / "qenex.json"
METRIC = re.compile(r"\b(?:qenex|process)_[a-z0-9_]+")
OF_WATCHDOG = "qenex_node_loop_"
NOT_YET = (Stage.DECODE, Stage.JOURNAL, Stage.BUILD)
"""What a node without transactions, whose turn has perhaps not come, has not done."""


def _page(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        return parsed(answer.read())


def test_the_dashboard_shows_what_a_real_node_has(tmp_path: Path) -> None:
    """Each metric that a panel asks for is on a real node's page, and each of the page that is
    ours has a panel; the numbers move with the chain.

    Kills: a metric renamed on one side, steps of consensus that nobody times, a loop whose
    processor time is in no stage.
    """
    asked = set(METRIC.findall(DASHBOARD.read_text(encoding="utf-8")))
    with Cluster(tmp_path) as cluster:
        cluster.start()
        cluster.wait_height(3)
        url = cluster.urls[0]
        first = _page(url)
        wait_until(
            lambda: _page(url)["qenex_chain_height"] > first["qenex_chain_height"], "it moves"
        )
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{url}/readiness?minPeers=many", timeout=10)
        page = _page(url)
        has_watchdog = "loop" in rpc(url, "qenex_status")
    there = {each.partition("{")[0] for each in page}
    families = {re.sub("_(bucket|sum|count)$", "", each) for each in there}
    missing = {each for each in asked - there if has_watchdog or not each.startswith(OF_WATCHDOG)}
    assert not missing
    assert families <= {re.sub("_bucket$", "", each) for each in asked}
    assert page["qenex_p2p_peers"] == 3
    assert page["qenex_consensus_steps_total{step=propose}"] >= 3
    assert page["qenex_consensus_step_seconds_total{step=precommit}"] > 0
    assert page["qenex_node_store_bytes"] > 0
    stages = {each.value: page[f"qenex_node_stage_seconds_total{{stage={each}}}"] for each in Stage}
    assert sum(stages.values()) == pytest.approx(page["process_cpu_seconds_total"], abs=0.2)
    assert all(stages[each] > 0 for each in Stage if each not in NOT_YET)


def test_each_panel_is_whole() -> None:
    """Panels have a title of their own, a place of their own and a query."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    for key in ("id", "title"):
        assert len({each[key] for each in panels}) == len(panels)
    assert len({(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels}) == len(panels)
    assert all(target["expr"] for each in panels for target in each["targets"])
