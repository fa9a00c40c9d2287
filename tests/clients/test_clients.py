"""viem and ethers deploy, write, read and subscribe through our JSON-RPC as through geth's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from tests.clients.running import run_client
from tests.node.rpc.devchain import DevChain

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server over an in-process chain, as host:port."""
    server = RpcServer(DevChain(), RpcSettings(port=0))
    yield f"127.0.0.1:{server.start()}"
    server.stop()


@pytest.mark.parametrize("client", ["viem", "ethers"])
def test_client_deploys_transfers_reads_and_follows(client: str, address: str) -> None:
    """A stock client deploys an ERC-20, transfers twice, reads it back and sees the new heads."""
    facts = run_client(client, [f"http://{address}"] * 2, f"ws://{address}")
    assert facts["ok"] is True
    assert facts["client"] == client
    assert facts["nodes"] == 2
    assert facts["heads"] >= 1
