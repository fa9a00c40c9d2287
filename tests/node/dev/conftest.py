"""The chain that tests of this folder work on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.dev.support import Bench, bench


@pytest.fixture
def dev() -> Iterator[Bench]:
    """A fresh developer chain."""
    with bench() as made:
        yield made
