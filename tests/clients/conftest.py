"""One developer chain for all tools; each test deploys its own contracts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.devnode import dev_node


@pytest.fixture(scope="session")
def dev_url() -> Iterator[str]:
    """The address of a developer chain."""
    with dev_node() as url:
        yield url
