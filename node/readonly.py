"""A node that serves an imported public chain: it answers and pools, and never makes a block.

Transactions are checked against the rules of the head's block and its state, wait in a pool of
this process, and go nowhere. There are no peers. Blob transactions are taken in either form of
EIP-4844: as they stand in blocks, or with their blobs, which are checked by count and hash and
then left out.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from consensus.messages import Evidence
from node.config import Settings
from node.folder import DataFolder
from node.log import get_log, set_up_logs
from node.pool import Pool, PoolLimits
from node.publicstore import PublicView, check_public, read_genesis
from node.rpc.api import Operator, PoolContent, PoolStats, SyncStatus, Unsubscribe
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from node.setting import MEBIBYTE
from node.sidecar import without_blobs
from node.store import RocksStore
from node.storemeter import StoreMeter
from primitives.errors import Fatal, InvalidTransaction, QenexError, Rejected
from primitives.params import ChainParams
from primitives.transaction import PUBLIC, Transaction, decode_transaction
from primitives.types import Address, Hash32
from vm.blocks import Executed
from vm.chainrules import PublicRules
from vm.engine import Engine
from vm.importing import PublicGenesis
from vm.pyevm.engine import make_engine
from vm.state.cache import CachedStore

NEXT_BLOCK_S: Final = 12
"""How far after the head's timestamp the pool expects the next block, for the rules it checks."""


@dataclass(frozen=True, slots=True)
class ReadOnlyPool:
    """The pool's reads on the state of the head."""

    waiting: Pool
    chain: PublicView

    def pending_nonce(self, address: Address) -> int:
        """Return the next nonce after the sender's committed and pending transactions."""
        return self.waiting.pending_nonce(address, self.chain.state)

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        """Return a waiting transaction, or None."""
        return self.waiting.get(transaction_hash)

    def stats(self) -> PoolStats:
        """Return the counts."""
        return self.waiting.stats()

    def content(self) -> PoolContent:
        """Return all waiting transactions."""
        return self.waiting.content()


class ReadOnlyNode:
    """`NodeApi` over an imported chain; see node/rpc/api.py for the contract."""

    def __init__(
        self, view: PublicView, genesis: PublicGenesis, engine: Engine, limits: PoolLimits
    ) -> None:
        self._view = view
        self._engine = engine
        self._rules = PublicRules(genesis.chain_id, genesis.schedule, genesis.netsplit_height)
        self._params = ChainParams(chain_id=genesis.chain_id, gas_limit=view.head.gas_limit)
        rules = self._rules.child_rules(view.head, view.head.timestamp + NEXT_BLOCK_S)
        self._waiting = Pool(limits, self._params, time.monotonic, rules)
        self._pool = ReadOnlyPool(self._waiting, view)
        self._serials = itertools.count()
        self._listeners: dict[int, Callable[[Sequence[Transaction]], None]] = {}

    @property
    def params(self) -> ChainParams:
        """The chain id and the head's gas limit; what else a QENEX network agrees on is unused."""
        return self._params

    @property
    def rules(self) -> PublicRules:
        """The rules of the chain's schedule of forks."""
        return self._rules

    @property
    def operator(self) -> Operator | None:
        """None: there are no peers and no consensus."""
        return None

    def view(self) -> PublicView:
        """Return the chain; it never changes."""
        return self._view

    def engine(self) -> Engine:
        """Return the engine that answers calls."""
        return self._engine

    def submit(self, raw: bytes) -> Hash32:
        """Take a signed transaction into the pool; raises InvalidTransaction or Rejected."""
        transaction = decode_transaction(without_blobs(raw), PUBLIC)
        view = self._view
        self._waiting.add(transaction, view.state, self._rules.child_base_fee(view.head))
        for listener in list(self._listeners.values()):
            listener((transaction,))
        return transaction.hash

    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        """Take signed transactions in order; returns a hash or an error for each."""
        outcomes: list[Hash32 | QenexError] = []
        for raw in raws:
            try:
                outcomes.append(self.submit(raw))
            except (InvalidTransaction, Rejected) as error:
                outcomes.append(error)
        return outcomes

    def pool(self) -> ReadOnlyPool:
        """Return the pool's thread-safe view."""
        return self._pool

    def peer_count(self) -> int:
        """Return 0."""
        return 0

    def syncing(self) -> SyncStatus | None:
        """Return None: all there is was imported."""
        return None

    def status(self) -> dict[str, object]:
        """Return height, hash and pool as JSON values."""
        stats = self._waiting.stats()
        return {
            "chainId": self._params.chain_id,
            "height": self._view.head.height,
            "hash": "0x" + self._view.head_hash.hex(),
            "stateRoot": "0x" + self._view.head.state_root.hex(),
            "readOnly": True,
            "syncing": False,
            "pool": {"pending": stats.pending, "queued": stats.queued},
            "peers": [],
        }

    def evidence(self) -> list[Evidence]:
        """Return nothing: nobody votes here."""
        return []

    def subscribe(self, callback: Callable[[Executed], None]) -> Unsubscribe:
        """Never call `callback`: no block comes."""
        return lambda: None

    def subscribe_pending(self, callback: Callable[[Sequence[Transaction]], None]) -> Unsubscribe:
        """Call `callback` with newly pooled transactions, until unsubscribed."""
        serial = next(self._serials)
        self._listeners[serial] = callback

        def leave() -> None:
            self._listeners.pop(serial, None)

        return leave


def run_read_only(settings: Settings, limits: PoolLimits, rpc: RpcSettings) -> int:
    """Serve the imported chain in the data folder until SIGTERM or SIGINT; returns 0.

    Raises ConfigError when the folder holds no imported chain, Fatal when an invariant broke.
    """
    set_up_logs(settings.log.level, settings.log.format)
    stopped = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: stopped.set())
    with ExitStack() as stack:
        folder = DataFolder(settings.data_dir)
        stack.enter_context(folder.locked())
        store = CachedStore(RocksStore(folder.chain), settings.engine.cache_mb * MEBIBYTE)
        stack.callback(store.close)
        check_public(store)
        node = ReadOnlyNode(
            PublicView(store.snapshot()),
            read_genesis(folder.genesis.read_bytes()),
            make_engine(settings.engine.kind, allow_unprotected=True),
            limits,
        )
        broken: list[Fatal] = []

        def stop(error: Fatal) -> None:
            broken.append(error)
            stopped.set()

        store_meter = StoreMeter(folder.chain)
        server = RpcServer(node, rpc, meters=(store_meter.families,), stop=stop)
        server.start()
        stack.callback(server.stop)
        view = node.view()
        get_log("node").info("imported chain served", height=view.head.height, hash=view.head_hash)
        stopped.wait()
    if broken:
        raise broken[0]
    return 0
