"""web3.py's test classes, which pytest finds here; see fixtures.py beside it.

The classes that do the same again by coroutines are left out; subscriptions are coroutines anyway.
"""

from __future__ import annotations

from web3._utils.module_testing.eth_module import EthModuleTest
from web3._utils.module_testing.go_ethereum_admin_module import GoEthereumAdminModuleTest
from web3._utils.module_testing.go_ethereum_debug_module import GoEthereumDebugModuleTest
from web3._utils.module_testing.go_ethereum_txpool_module import GoEthereumTxPoolModuleTest
from web3._utils.module_testing.net_module import NetModuleTest
from web3._utils.module_testing.persistent_connection_provider import (
    PersistentConnectionProviderTest,
)
from web3._utils.module_testing.web3_module import AsyncWeb3ModuleTest, Web3ModuleTest


class TestWeb3(Web3ModuleTest):
    """Client version, hashing, batches."""

    def _check_web3_client_version(self, client_version: str) -> None:  # type: ignore[override]
        assert "/QENEX/" in client_version


class TestNet(NetModuleTest):
    """net_."""


class TestEth(EthModuleTest):
    """eth_."""


class TestAdmin(GoEthereumAdminModuleTest):
    """admin_."""


class TestDebug(GoEthereumDebugModuleTest):
    """debug_."""


class TestTxPool(GoEthereumTxPoolModuleTest):
    """txpool_."""


class TestPersistent(PersistentConnectionProviderTest):
    """Subscriptions over WebSocket."""


class TestAsyncWeb3(AsyncWeb3ModuleTest):
    """Client version, hashing and batches, by coroutines."""

    def _check_web3_client_version(self, client_version: str) -> None:  # type: ignore[override]
        assert "/QENEX/" in client_version
