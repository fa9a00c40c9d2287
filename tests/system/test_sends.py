"""A smaller `python -m scripts.bench sends`: nothing that was accepted is lost, in any node."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.bench_localnet import fund, say
from scripts.bench_sends import send_all
from tests.system.cluster import CHAIN_ID, Cluster

pytestmark = pytest.mark.process

MEMORY_MB_MAX = 1_500


@dataclass
class Running:
    """The cluster as the measuring program sees it."""

    cluster: Cluster
    urls: list[str]
    chain_id: int = CHAIN_ID

    def memory_mb(self) -> float:
        """Return the resident memory of all nodes."""
        nodes = [psutil.Process(each.pid) for each in self.cluster.processes.values()]
        return float(sum(each.memory_info().rss for each in nodes)) / 1e6


# The measuring program leaves its kept connections to the end of its process.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_many_unwaited_sends_are_all_mined(tmp_path: Path) -> None:
    """1,200 sends on one connection and 8 x 100 by batches stand in blocks on all four nodes.

    Kills: answers that get lost between pipelined requests, and a pool that drops what it accepted.
    """
    with Cluster(tmp_path) as cluster:
        cluster.start()
        cluster.wait_height(1)
        running: Any = Running(cluster, list(cluster.urls))
        result = send_all(running, partial(fund, running), (1_200, 100), say)
        assert result["one_connection"]["sent"] == 1_200
        assert result["batches"]["sent"] == 800
        assert 0 < result["highest_memory_mb"] < MEMORY_MB_MAX
