"""How the suite is spread over its workers.

`scripts/test` runs two workers. All that starts whole networks shares one of them, so that two
networks never compete for the cores and the usual ports, and begins first, because it takes
longest. Of everything else a file stays together, so that what its fixtures build is built once.
"""

from __future__ import annotations

import pytest

NETWORKS = (
    "tests/system/",
    "tests/clients/",
    "tests/house/test_bench.py",
    "tests/qenex/test_localnet.py",
    "tests/qenex/test_votes.py",
)
"""Where tests start whole networks or take the ports that a network takes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group, and put the networks first."""
    for item in items:
        group = "networks" if item.nodeid.startswith(NETWORKS) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not item.nodeid.startswith(NETWORKS))
