"""The running node as JSON-RPC sees it: reads from any thread, writes through the intake."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from eth_utils.address import to_checksum_address

from consensus.messages import Evidence
from node.blockstore import ChainView
from node.intake import Intake
from node.ledger import Ledger
from node.pool import Pool
from node.rpc.api import Operator, PoolContent, PoolStats, SyncStatus, Unsubscribe
from node.runtime import Runtime
from p2p.network import Network
from primitives.errors import QenexError
from primitives.params import ChainParams
from primitives.transaction import Transaction
from primitives.types import Address, Hash32
from vm.blocks import Executed
from vm.chainrules import OwnRules
from vm.engine import Engine

T = TypeVar("T")


class HasView(Protocol):
    """Who knows the newest view."""

    @property
    def view(self) -> ChainView:
        """The newest view."""
        ...


@dataclass(frozen=True, slots=True)
class PoolReads:
    """The pool's reads on the newest state."""

    pool: Pool
    ledger: HasView

    def pending_nonce(self, address: Address) -> int:
        """Return the next nonce after the sender's committed and pending transactions."""
        return self.pool.pending_nonce(address, self.ledger.view.state)

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        """Return a waiting transaction, or None."""
        return self.pool.get(transaction_hash)

    def stats(self) -> PoolStats:
        """Return the counts."""
        return self.pool.stats()

    def content(self) -> PoolContent:
        """Return all waiting transactions."""
        return self.pool.content()


class LocalNode:
    """`NodeApi` over the parts of this process; see node/rpc/api.py for the contract."""

    def __init__(
        self,
        engine: Engine,
        intake: Intake,
        ledger: Ledger,
        network: Network,
        runtime: Runtime,
        operator: Operator | None = None,
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._ledger = ledger
        self._network = network
        self._runtime = runtime
        self._serials = itertools.count()
        self._operator = operator
        self._rules = OwnRules(ledger.params)
        self._pool = PoolReads(intake.pool, ledger)

    @property
    def params(self) -> ChainParams:
        """The chain's parameters."""
        return self._ledger.params

    @property
    def rules(self) -> OwnRules:
        """The rules of the chain's blocks."""
        return self._rules

    @property
    def operator(self) -> Operator | None:
        """The operator's side of this node."""
        return self._operator

    def view(self) -> ChainView:
        """Return the latest committed view."""
        return self._ledger.view

    def engine(self) -> Engine:
        """Return the engine that answers calls."""
        return self._engine

    def submit(self, raw: bytes) -> Hash32:
        """Take a signed transaction into pool and journal; returns its hash."""
        return self._intake.submit(raw)

    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        """Take signed transactions in order; returns a hash or an error for each."""
        return self._intake.submit_many(raws)

    def pool(self) -> PoolReads:
        """Return the pool's thread-safe view."""
        return self._pool

    def peer_count(self) -> int:
        """Return the number of connected peers."""
        return len(self._runtime.peers)

    def syncing(self) -> SyncStatus | None:
        """Return the progress of a catch-up, or None when the node is level with its peers."""
        return self._runtime.sync.progress()

    def status(self) -> dict[str, object]:
        """Return height, round, step, peers, validators and pool as JSON values."""
        view, core, stats = self._ledger.view, self._runtime.consensus_status(), self._pool.stats()
        lag = self._runtime.watchdog.lag()
        return {
            "chainId": self.params.chain_id,
            "height": view.height,
            "hash": "0x" + view.head_hash.hex(),
            "stateRoot": "0x" + view.head.state_root.hex(),
            "peerId": self._network.peer_id,
            "validator": self._runtime.validator_address,
            "consensus": {
                "height": core.height,
                "round": core.round,
                "step": core.step.name.lower(),
                "proposer": to_checksum_address(core.proposer),
                "lockedRound": core.locked_round,
                "signing": core.is_signing,
                "watching": core.is_watching and self._runtime.validator_address is not None,
            },
            "syncing": self.syncing() is not None,
            "pool": {"pending": stats.pending, "queued": stats.queued},
            "loop": {
                "lagMaxMs": lag.max_ms,
                "cpuMaxMs": lag.cpu_max_ms,
                "stalls": lag.stalls,
                "slowest": lag.task,
            },
            "validators": [
                {"address": to_checksum_address(each.address), "power": each.power}
                for each in view.validators.validators
            ],
            "peers": list(self._runtime.peers.values()),
        }

    def evidence(self) -> list[Evidence]:
        """Return the stored evidence of double signing."""
        return self._runtime.evidence()

    def subscribe(self, callback: Callable[[Executed], None]) -> Unsubscribe:
        """Call `callback` after each commit, until unsubscribed."""
        return _register(self._runtime.subscribers, next(self._serials), callback)

    def subscribe_pending(self, callback: Callable[[Sequence[Transaction]], None]) -> Unsubscribe:
        """Call `callback` with newly pooled transactions, until unsubscribed."""
        return _register(self._intake.listeners, next(self._serials), callback)


def _register(registry: dict[int, T], serial: int, listener: T) -> Unsubscribe:
    registry[serial] = listener

    def leave() -> None:
        registry.pop(serial, None)

    return leave
