"""How the suite is spread over its workers.

`scripts/test` runs two workers. All that starts whole networks shares one of them, so that two
networks never compete for the cores and the usual ports, and begins first, because it takes
longest. Of everything else a file stays together, so that what its fixtures build is built once.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # none there

NETWORKS = (
    "tests/system/",
    "tests/clients/",
    "tests/house/test_bench.py",
    "tests/qenex/test_dev.py",
    "tests/qenex/test_localnet.py",
    "tests/qenex/test_votes.py",
)
"""Where tests start whole networks or take the ports that a network takes."""


def group_of(nodeid: str) -> str:
    """Return the group of a test: groups are run whole, by one worker."""
    return "networks" if nodeid.startswith(NETWORKS) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the networks first."""
    items.sort(key=lambda item: not item.nodeid.startswith(NETWORKS))


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no annotations
    """Hands out groups in the order of their first tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Return the scheduler that hands out groups."""
    return Groups(config, log)
