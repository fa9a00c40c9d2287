"""`qenex dev` as one process: store, chain, JSON-RPC, and a thread that mines by the clock.

Without a data folder the chain lives in a scratch folder that goes with the process.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis.document import Genesis, load
from genesis.profiles import network
from genesis.writing import save
from node.app import CLIENT_VERSION, SWITCH_INTERVAL_S, THREAD_STACK_BYTES
from node.dev import methods_accounts, methods_chain, methods_state
from node.dev.accounts import Accounts
from node.dev.chain import VALIDATOR_KEY, DevChain
from node.dev.dump import changes_of, load_file, save_file
from node.dev.points import PointStore
from node.folder import DataFolder
from node.log import set_up_logs
from node.rpc.dispatch import Method
from node.rpc.methods import all_methods
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from node.setting import MEBIBYTE
from node.store import RocksStore
from primitives.crypto.mnemonic import keys_of
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError, Fatal
from primitives.params import ChainParams
from primitives.types import ChainId, Gas, Wei
from primitives.validators import Validator, ValidatorSet
from vm.state.cache import CachedStore

CACHE_MB: Final = 64
CALL_TIMEOUT_S: Final = 120.0
"""Long, because making many blocks is one call."""

NAME: Final = f"anvil-and-hardhat-compatible/{CLIENT_VERSION}"
"""Hardhat's network helpers use only networks whose name begins with one of these two words."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class DevSettings:
    """What a developer chain begins with; `block_time_s` 0 mines at once."""

    chain_id: ChainId
    mnemonic: str
    accounts: int
    balance: Wei
    gas_limit: Gas
    base_fee: Wei
    block_time_s: float = 0.0
    automine: bool = True
    host: str = "127.0.0.1"
    port: int = 8545
    data: Path | None = None
    load_state: Path | None = None
    dump_state: Path | None = None


def dev_methods() -> dict[str, Method]:
    """Return every method of a developer chain by name: a node's, and those of this package.

    Where both have a name (eth_accounts), ours is the one that knows unlocked accounts.
    """
    joined = all_methods()
    for table in (methods_accounts.TABLE, methods_chain.TABLE, methods_state.TABLE):
        joined.update(table.methods)
    return dict(sorted(joined.items()))


def make_genesis(settings: DevSettings, keys: Sequence[PrivateKey]) -> Genesis:
    """Return the genesis of a new chain, begun now."""
    params = ChainParams(
        chain_id=settings.chain_id,
        gas_limit=settings.gas_limit,
        base_fee_initial=settings.base_fee,
    )
    return network(
        params,
        ValidatorSet.of([Validator(VALIDATOR_KEY.address)]),
        (),
        timestamp=int(time.time()),
        funded=dict.fromkeys((each.address for each in keys), settings.balance),
    )


def open_chain(settings: DevSettings, keys: Sequence[PrivateKey], stack: ExitStack) -> DevChain:
    """Return the chain of the data folder, or a new one; `stack` closes it.

    Raises ConfigError when the folder holds another chain, or the state cannot be loaded.
    """
    path = settings.data
    if path is None:
        scratch = tempfile.TemporaryDirectory(prefix="qenex-dev-", ignore_cleanup_errors=True)
        path = Path(stack.enter_context(scratch))
    folder = DataFolder(path)
    folder.make()
    stack.enter_context(folder.locked())
    if not folder.genesis.exists():
        if folder.chain.exists():
            raise ConfigError(f"{path}: chain without genesis.json; choose another --data")
        save(make_genesis(settings, keys), folder.genesis)
    genesis = load(folder.genesis)
    if genesis.params.chain_id != settings.chain_id:
        raise ConfigError(
            f"{path} holds a chain with id {genesis.params.chain_id}, not {settings.chain_id}; "
            "leave --chain-id out or choose another --data"
        )
    if VALIDATOR_KEY.address not in genesis.validators:
        raise ConfigError(f"{path} is the data folder of a node, not of a developer chain")
    store = PointStore(CachedStore(RocksStore(folder.chain), CACHE_MB * MEBIBYTE))
    stack.callback(store.close)
    chain = DevChain(store, genesis, Accounts(keys), time.time, path.absolute())
    if settings.load_state is not None:
        accounts = load_file(settings.load_state)
        chain.edit(lambda state: changes_of(state, accounts))
    chain.set_automine(settings.automine and not settings.block_time_s)
    chain.set_interval(int(settings.block_time_s * 1_000))
    return chain


class Ticker:
    """Mines in its own thread while the chain has an interval; `failed` is set if that ends ill."""

    def __init__(self, chain: DevChain) -> None:
        self._chain = chain
        self._stopping = threading.Event()
        self.failed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dev-ticker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the block that is being made, if one is."""
        self._stopping.set()
        self._chain.interval_changed.set()
        self._thread.join()

    def _run(self) -> None:
        changed = self._chain.interval_changed
        try:
            while not self._stopping.is_set():
                interval_ms = self._chain.interval_ms
                if changed.wait(interval_ms / 1_000 if interval_ms else None):
                    changed.clear()
                    continue
                self._chain.mine()
        finally:
            if not self._stopping.is_set():
                self.failed.set()


def run(settings: DevSettings, ready: Callable[[DevChain, int], None]) -> int:
    """Run a developer chain until SIGTERM or Ctrl-C; returns the exit code.

    `ready` is called once with the chain and its port. Raises ConfigError when a setting is wrong,
    Fatal when an invariant broke.
    """
    set_up_logs("warning", "auto")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    threading.stack_size(THREAD_STACK_BYTES)
    stop = threading.Event()
    for each in SIGNALS:
        signal.signal(each, lambda *_: stop.set())
    broken: list[Fatal] = []

    def fail(error: Fatal) -> None:
        broken.append(error)
        stop.set()

    keys = keys_of(settings.mnemonic, settings.accounts)
    with ExitStack() as stack:
        chain = open_chain(settings, keys, stack)
        server = RpcServer(chain, rpc_settings(settings), dev_methods(), stop=fail)
        port = server.start()
        stack.callback(server.stop)
        ticker = Ticker(chain)
        ticker.start()
        stack.callback(ticker.stop)
        ready(chain, port)
        while not stop.wait(1.0) and not ticker.failed.is_set():
            pass
        if broken:
            raise broken[0]
        if settings.dump_state is not None:
            save_file(chain.view(), settings.dump_state)
        return int(ticker.failed.is_set())


def rpc_settings(settings: DevSettings) -> RpcSettings:
    """Return the server's settings: any web page may call, and calls may take long."""
    return RpcSettings(
        host=settings.host,
        port=settings.port,
        origins=("*",),
        address_rate=0.0,
        client_version=NAME,
        call_timeout_s=CALL_TIMEOUT_S,
        request_timeout_s=2 * CALL_TIMEOUT_S,
    )
