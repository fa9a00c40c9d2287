"""The developer chain: `NodeApi` over one process that decides every block alone and at once.

Blocks are built by the same executor, engine and pool as on every network, and carry a certificate
of the one validator, whose key is known to all. With `automine` each transaction that can go into a
block is in one when its sending returns; otherwise blocks come from `mine`, or every `interval_ms`.

One lock guards all that changes. Reads take the view of the moment and never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from consensus.certificate import Certificate, encode_certificate
from consensus.messages import Evidence, Kind, Vote
from consensus.signing import sign_digest
from genesis.document import Genesis
from node.api import PoolReads
from node.blockstore import BlockStore, check_layout, is_empty, read_genesis_hash
from node.dev.accounts import Accounts
from node.dev.clock import Clock, ClockState
from node.dev.edits import edit_writes
from node.dev.executor import DevEngine, DevExecutor, Wishes
from node.dev.points import PointStore
from node.dev.unsigned import Draft
from node.dev.view import DevView
from node.ledger import MAY_FIT_LATER
from node.pool import Pool, PoolLimits
from node.rpc.api import SyncStatus, Unsubscribe
from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import (
    ConfigError,
    FeeTooLow,
    InvalidRequest,
    InvalidTransaction,
    QenexError,
    Rejected,
)
from primitives.params import ChainParams
from primitives.transaction import Transaction, decode_transaction
from primitives.types import EMPTY_CODE_HASH, Address, Gas, Hash32, Round, Wei
from vm.blocks import BlockExecutor, Executed, Refused
from vm.chainrules import OwnRules
from vm.engine import Engine
from vm.fees import base_fee
from vm.state.changes import ChangeSet, StateReader

T = TypeVar("T")

VALIDATOR_KEY: Final = PrivateKey(keccak(b"the one validator of every developer chain"))
"""Signs the certificates; everybody can have it, as everybody can have the accounts' keys."""

SNAPSHOTS_MAX: Final = 10_000
MINE_MAX: Final = 1_000_000
GAS_LIMIT_MIN: Final = 5_000
LIMITS: Final = PoolLimits(per_sender_max=16_384, queued_per_sender_max=4_096)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a snapshot keeps beside the store's point."""

    point: int
    clock: ClockState
    wishes: Wishes
    fee_recipient: Address
    waiting: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True)
class _Now:
    """What the pool's reads ask for."""

    view: DevView


class _WithoutCode:
    """A state in which the sender of a transaction has no code: contracts are impersonated too."""

    def __init__(self, below: StateReader, sender: Address) -> None:
        self._sender = sender
        self._account = below.account
        self.storage = below.storage
        self.code = below.code
        self.has_storage = below.has_storage

    def account(self, address: Address) -> Account | None:
        found = self._account(address)
        if found is None or address != self._sender:
            return found
        return replace(found, code_hash=EMPTY_CODE_HASH)


class DevChain:
    """A `NodeApi` that makes its own blocks and can be changed by hand; see the module's rules.

    `now` is the machine's clock in seconds, `folder` what holds `store`. Raises
    ConfigError when `store` holds another chain.
    """

    def __init__(
        self,
        store: PointStore,
        genesis: Genesis,
        accounts: Accounts,
        now: Callable[[], float],
        folder: Path,
    ) -> None:
        self.folder = folder
        self.params: ChainParams = genesis.params
        self.accounts = accounts
        self.clock = Clock(now)
        self.automine = True
        self.fee_recipient = VALIDATOR_KEY.address
        self.interval_ms = 0
        self.is_quiet = False
        self.interval_changed = threading.Event()
        """Set by `set_interval`; who makes blocks every `interval_ms` clears it."""
        self._now = now
        self._engine = DevEngine()
        self._store = store
        self._genesis = genesis
        self._lock = threading.RLock()
        self._wishes = Wishes()
        self._moments: dict[int, _Moment] = {}
        self._snapshots = 0
        self._committed: dict[int, Callable[[Executed], None]] = {}
        self._pending: dict[int, Callable[[Sequence[Transaction]], None]] = {}
        self._listeners = 0
        self._blocks = self._open()
        self._view = DevView.of(self._blocks.view())
        self._pool = Pool(LIMITS, self.params, now)

    def _open(self) -> BlockStore:
        """Return the block store, begun if it is empty; its head's root may be an edited one."""
        genesis = self._genesis
        first = BlockExecutor(self._engine, genesis.params).genesis(
            genesis.alloc, timestamp=genesis.timestamp
        )
        if is_empty(self._store):
            return BlockStore.create(self._store, first)
        check_layout(self._store)
        if read_genesis_hash(self._store) != first.block.hash:
            raise ConfigError("the data folder holds another chain than its genesis.json says")
        return BlockStore(self._store)

    # --- NodeApi ------------------------------------------------------------------------------

    @property
    def rules(self) -> OwnRules:
        """The rules of the chain's blocks."""
        return OwnRules(self.params)

    @property
    def operator(self) -> None:
        """None: there are no peers and no votes."""
        return

    def view(self) -> DevView:
        """Return the newest view."""
        return self._view

    def engine(self) -> Engine:
        """Return the engine that answers calls."""
        return self._engine

    def pool(self) -> PoolReads:
        """Return the pool's reads on the newest state."""
        return PoolReads(self._pool, _Now(self._view))

    def peer_count(self) -> int:
        """Return 0: a developer chain has no peers."""
        return 0

    def syncing(self) -> SyncStatus | None:
        """Return None: there is nobody to be behind."""
        return None

    def evidence(self) -> list[Evidence]:
        """Return nothing: nobody else signs."""
        return []

    def status(self) -> dict[str, object]:
        """Return height, hash, pool and the ways of mining as JSON values."""
        view, stats = self._view, self._pool.stats()
        return {
            "chainId": self.params.chain_id,
            "height": view.height,
            "hash": "0x" + view.head_hash.hex(),
            "stateRoot": "0x" + view.head.state_root.hex(),
            "developer": {"automine": self.automine, "intervalMs": self.interval_ms},
            "pool": {"pending": stats.pending, "queued": stats.queued},
            "peers": [],
        }

    def subscribe(self, callback: Callable[[Executed], None]) -> Unsubscribe:
        """Call `callback` after each block, until unsubscribed."""
        return self._register(self._committed, callback)

    def subscribe_pending(self, callback: Callable[[Sequence[Transaction]], None]) -> Unsubscribe:
        """Call `callback` with newly pooled transactions, until unsubscribed."""
        return self._register(self._pending, callback)

    def submit(self, raw: bytes) -> Hash32:
        """Take a signed transaction, and make its block when mining at once; returns its hash.

        Raises InvalidTransaction or Rejected and changes nothing.
        """
        (outcome,) = self.submit_many([raw])
        if isinstance(outcome, QenexError):
            raise outcome
        return outcome

    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        """Take signed transactions in order, then make a block of all; see `submit`."""
        outcomes: list[Hash32 | QenexError] = []
        with self._lock:
            for raw in raws:
                try:
                    transaction = decode_transaction(raw)
                    self._take(transaction)
                    outcomes.append(transaction.hash)
                except (InvalidTransaction, Rejected) as error:
                    outcomes.append(error)
            self._mine_waiting()
        return outcomes

    # --- sending and mining -------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the chain still for everybody else, so that several steps are one."""
        with self._lock:
            yield

    def send(self, draft: Draft, sender: Address) -> tuple[Transaction, Executed | None]:
        """Sign, take and, when mining at once, mine; returns the block that it is in, or None.

        Raises InvalidRequest when the sender is neither unlocked nor impersonated, and what
        `submit` raises.
        """
        with self._lock:
            transaction = self.accounts.finish(draft, sender)
            self._take(transaction)
            executed = self._mine_waiting()
            is_in = executed is not None and transaction in executed.block.transactions
            return transaction, executed if is_in else None

    def next_base_fee(self) -> Wei:
        """Return the base fee of the next block, in wei per gas."""
        wish = self._wishes.base_fee
        return base_fee(self._view.head, self.params) if wish is None else wish

    def next_timestamp(self) -> int:
        """Return the time that a block would have now."""
        return self.clock.next_block(self._view.head.timestamp)

    def mine(self, count: int = 1, interval_s: int | None = None) -> list[Executed]:
        """Make `count` blocks, the first with what waits; `interval_s` apart, or by the clock.

        Raises InvalidRequest above MINE_MAX. Returns the blocks.
        """
        if not 0 <= count <= MINE_MAX:
            raise InvalidRequest(f"at most {MINE_MAX} blocks are mined at once, asked for {count}")
        made = []
        with self._lock:
            for index in range(count):
                if index and interval_s is not None:
                    before = self._view.head.timestamp
                    self.clock.set_next(before + max(interval_s, 1), before)
                made.append(self._mine_one())
        return made

    def _take(self, transaction: Transaction) -> None:
        fee = self.next_base_fee()
        if self.automine and transaction.max_fee_per_gas < fee:
            raise FeeTooLow(
                "max fee per gas less than block base fee: "
                f"maxFeePerGas: {transaction.max_fee_per_gas}, baseFee: {fee}",
                max_fee_per_gas=transaction.max_fee_per_gas,
                base_fee=fee,
            )
        state: StateReader = self._view.state
        if self.accounts.is_impersonated(transaction.sender):
            state = _WithoutCode(state, transaction.sender)
        self._pool.add(transaction, state, fee)
        for callback in list(self._pending.values()):
            callback((transaction,))

    def _mine_waiting(self) -> Executed | None:
        """Make one block of what can go into one now, when mining at once; None without any."""
        if not self.automine:
            return None
        waiting = self._pool.best(self.next_base_fee(), self._view.state)
        return None if next(waiting, None) is None else self._mine_one()

    def pending(self) -> Executed:
        """Return the block that would be made now; nothing is kept of it."""
        with self._lock:
            return self._build(self.next_timestamp())[0]

    def _build(self, timestamp: int) -> tuple[Executed, Refused]:
        view = self._view
        return DevExecutor(self._engine, self.params, self._wishes).build(
            view.store,
            view.head,
            validators=view.validators,
            fee_recipient=self.fee_recipient,
            timestamp=timestamp,
            transactions=self._pool.best(self.next_base_fee(), view.state),
            block_hash=view.block_hash,
        )

    def _mine_one(self) -> Executed:
        timestamp = self.next_timestamp()
        executed, refused = self._build(timestamp)
        self._view = DevView.of(self._blocks.commit(executed, self._certificate(executed)))
        self.clock.passed(timestamp)
        self._wishes = Wishes()
        self._pool.on_committed(executed.block.transactions, self._view.state)
        impossible = [each for each, error in refused if not isinstance(error, MAY_FIT_LATER)]
        self._pool.discard(each.hash for each in impossible)
        for callback in list(self._committed.values()):
            callback(executed)
        return executed

    def _certificate(self, executed: Executed) -> bytes:
        block, validator = executed.block, VALIDATOR_KEY.address
        vote = Vote(
            Kind.PRECOMMIT, block.header.height, Round(0), block.hash, validator, signature=b""
        )
        signature = VALIDATOR_KEY.sign(sign_digest(vote, self.params.chain_id))
        return encode_certificate(
            Certificate(vote.height, vote.round, block.hash, ((validator, signature),))
        )

    # --- changes by hand ----------------------------------------------------------------------

    def edit(self, make: Callable[[StateReader], ChangeSet]) -> None:
        """Change the state as `make` says, which gets the state as it is now."""
        with self._lock:
            view = self._view
            writes = edit_writes(view.store, view.height, make(view.state))
            self._store.write(writes, sync=False)
            self._look_again(self._pool.transactions())

    def wish(self, wishes: Wishes) -> None:
        """Let the next block have what is not None in `wishes`."""
        with self._lock:
            old = self._wishes
            self._wishes = Wishes(
                old.base_fee if wishes.base_fee is None else wishes.base_fee,
                old.mix_hash if wishes.mix_hash is None else wishes.mix_hash,
            )

    def set_gas_limit(self, gas_limit: int) -> None:
        """Give all later blocks this gas limit; raises InvalidRequest when it is too small."""
        if not GAS_LIMIT_MIN <= gas_limit < 1 << 63:
            raise InvalidRequest(f"a block's gas limit is {GAS_LIMIT_MIN} or more")
        with self._lock:
            self.params = replace(self.params, gas_limit=Gas(gas_limit))
            self._look_again(self._pool.transactions())

    def set_automine(self, automine: bool) -> None:
        """Mine at once, or not; what waits already goes into the next block."""
        with self._lock:
            self.automine = automine

    def set_interval(self, interval_ms: int) -> None:
        """Make a block every so often; 0: never by the clock."""
        with self._lock:
            self.interval_ms = interval_ms
            self.interval_changed.set()

    def drop(self, transaction_hash: Hash32) -> bool:
        """Take a transaction out of the pool; False when it does not wait there."""
        with self._lock:
            known = self._pool.get(transaction_hash) is not None
            self._pool.discard([transaction_hash])
            return known

    def drop_all(self) -> None:
        """Empty the pool."""
        with self._lock:
            self._look_again(())

    # --- back in time -------------------------------------------------------------------------

    def snapshot(self) -> int:
        """Remember this moment; returns its number."""
        with self._lock:
            self._snapshots += 1
            self._moments[self._snapshots] = _Moment(
                self._store.hold(),
                self.clock.save(),
                self._wishes,
                self.fee_recipient,
                tuple(self._pool.transactions()),
            )
            if len(self._moments) > SNAPSHOTS_MAX:
                del self._moments[next(iter(self._moments))]
            return self._snapshots

    def revert(self, number: int) -> bool:
        """Go back to a remembered moment, which is forgotten with all later ones.

        Returns False, and changes nothing, when it is not remembered.
        """
        with self._lock:
            moment = self._moments.get(number)
            if moment is None or not self._store.go_back(moment.point):
                return False
            self._moments = {n: each for n, each in self._moments.items() if n < number}
            self.clock.load(moment.clock)
            self._wishes = moment.wishes
            self.fee_recipient = moment.fee_recipient
            self._look_again(moment.waiting)
            return True

    def reset(self) -> None:
        """Begin again at the genesis block: no snapshots, nothing waits, time is the machine's."""
        with self._lock:
            self._store.clear()
            self._moments.clear()
            self._wishes = Wishes()
            self.params = self._genesis.params
            self.fee_recipient = VALIDATOR_KEY.address
            self.clock.reset()
            self._blocks = self._open()
            self._look_again(())

    def _look_again(self, waiting: Iterable[Transaction]) -> None:
        """Read the newest block again from the store, and fill the pool with what still fits."""
        self._blocks = BlockStore(self._store)
        self._view = DevView.of(self._blocks.view())
        self._pool = Pool(LIMITS, self.params, self._now)
        fee = self.next_base_fee()
        for each in waiting:
            state: StateReader = _WithoutCode(self._view.state, each.sender)
            try:
                self._pool.add(each, state, fee)
            except (InvalidTransaction, Rejected):
                continue

    def _register(self, listeners: dict[int, T], new: T) -> Unsubscribe:
        with self._lock:
            self._listeners += 1
            number = self._listeners
            listeners[number] = new

        def leave() -> None:
            listeners.pop(number, None)

        return leave
