"""Fixtures: a chain, a dispatcher over it, and a server over another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from tests.node.rpc.devchain import DevChain
from tests.node.rpc.harness import Rpc


@pytest.fixture
def chain() -> DevChain:
    """A fresh chain that mines a block for each transaction."""
    return DevChain()


@pytest.fixture
def rpc(chain: DevChain) -> Iterator[Rpc]:
    """A dispatcher over the fresh chain."""
    made = Rpc(chain)
    yield made
    made.close()


@dataclass(frozen=True)
class Served:
    """A running server and its chain."""

    chain: DevChain
    port: int


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server that the tests of one file share."""
    chain = DevChain()
    settings = RpcSettings(port=0, origins=("https://wallet.example",), hosts=("localhost", "node"))
    server = RpcServer(chain, settings)
    yield Served(chain, server.start())
    server.stop()
