"""A real chain in this process, for tests of JSON-RPC: engine, pool, state, blocks, certificates.

It implements `NodeApi`. One validator decides every block alone and at once; with `automine` a
block is made for each submitted transaction, without it `mine` makes one from the pool.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from consensus.certificate import Certificate, encode_certificate
from consensus.messages import Evidence, Kind, Vote
from consensus.signing import sign_digest
from genesis.predeploys import registry_account
from genesis.profiles import LOCALNET_CHAIN_ID, TEST_BALANCE, TEST_KEYS
from node.blockstore import BlockStore, ChainView
from node.pool import Pool, PoolLimits
from node.rpc.api import Operator, PoolContent, PoolStats, SyncStatus, Unsubscribe
from primitives.account import GenesisAccount
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import InvalidTransaction, QenexError, Rejected
from primitives.keyvalue import MemoryStore
from primitives.params import ChainParams
from primitives.transaction import Transaction, decode_transaction
from primitives.types import Address, Hash32, Round, Wei
from primitives.validators import Validator, ValidatorSet
from vm.blocks import BlockExecutor, Executed
from vm.chainrules import OwnRules
from vm.engine import Engine
from vm.fees import base_fee
from vm.pyevm.engine import PyEvmEngine

GENESIS_TIME = 1_700_000_000
VALIDATOR_KEY = PrivateKey(bytes(31) + b"\x07")


class DevPool:
    """The pool's read side, with the state of the newest view."""

    def __init__(self, pool: Pool, chain: DevChain) -> None:
        self._pool = pool
        self._chain = chain

    def pending_nonce(self, address: Address) -> int:
        return self._pool.pending_nonce(address, self._chain.view().state)

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        return self._pool.get(transaction_hash)

    def stats(self) -> PoolStats:
        return self._pool.stats()

    def content(self) -> PoolContent:
        return self._pool.content()


class DevChain:
    """A `NodeApi` that makes its own blocks, one second apart by their timestamps."""

    def __init__(
        self,
        *,
        automine: bool = True,
        params: ChainParams | None = None,
        alloc: dict[Address, GenesisAccount] | None = None,
        keep: int | None = None,
    ) -> None:
        self.params = params or ChainParams(chain_id=LOCALNET_CHAIN_ID)
        self.automine = automine
        self.sync: SyncStatus | None = None
        self.found: list[Evidence] = []
        self._lock = threading.RLock()
        self._engine = PyEvmEngine()
        self._executor = BlockExecutor(self._engine, self.params)
        validators = ValidatorSet.of([Validator(VALIDATOR_KEY.address)])
        funded = {each: GenesisAccount(balance=TEST_BALANCE) for each in TEST_KEYS}
        first = {**funded, self.params.validator_registry: registry_account(validators)}
        genesis = self._executor.genesis({**first, **(alloc or {})}, timestamp=GENESIS_TIME)
        self._store = MemoryStore()
        self._blocks = BlockStore.create(self._store, genesis, keep=keep)
        self._pool = Pool(PoolLimits(), self.params, now=lambda: 0.0)
        self._committed: list[Callable[[Executed], None]] = []
        self._pending: list[Callable[[Sequence[Transaction]], None]] = []

    @property
    def rules(self) -> OwnRules:
        return OwnRules(self.params)

    @property
    def operator(self) -> Operator | None:
        return None

    def view(self) -> ChainView:
        return self._blocks.view()

    def engine(self) -> Engine:
        return self._engine

    def pool(self) -> DevPool:
        return DevPool(self._pool, self)

    def peer_count(self) -> int:
        return 3

    def syncing(self) -> SyncStatus | None:
        return self.sync

    def status(self) -> dict[str, object]:
        return {"height": self.view().head.height, "round": 0, "step": "propose"}

    def submit(self, raw: bytes) -> Hash32:
        transaction = decode_transaction(raw)
        with self._lock:
            view = self.view()
            self._pool.add(transaction, view.state, base_fee(view.head, self.params))
            for callback in list(self._pending):
                callback((transaction,))
            if self.automine:
                self.mine()
        return transaction.hash

    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        outcomes: list[Hash32 | QenexError] = []
        for raw in raws:
            try:
                outcomes.append(self.submit(raw))
            except (InvalidTransaction, Rejected) as error:
                outcomes.append(error)
        return outcomes

    def mine(self, *, fee_recipient: Address | None = None) -> Executed:
        """Make one block of what the pool holds, and commit it."""
        with self._lock:
            view = self.view()
            waiting = self._pool.best(base_fee(view.head, self.params), view.state)
            executed, _ = self._executor.build(
                view.store,
                view.head,
                validators=view.validators,
                fee_recipient=fee_recipient or VALIDATOR_KEY.address,
                timestamp=view.head.timestamp + 1,
                transactions=waiting,
                block_hash=view.block_hash,
            )
            after = self._blocks.commit(executed, self._certificate(executed))
            self._pool.on_committed(executed.block.transactions, after.state)
            for callback in list(self._committed):
                callback(executed)
            return executed

    def _certificate(self, executed: Executed) -> bytes:
        header = executed.block.header
        vote = Vote(
            Kind.PRECOMMIT,
            header.height,
            Round(0),
            executed.block.hash,
            VALIDATOR_KEY.address,
            b"",
        )
        signature = VALIDATOR_KEY.sign(sign_digest(vote, self.params.chain_id))
        signed = replace(vote, signature=signature)
        signatures = ((signed.validator, signed.signature),)
        return encode_certificate(
            Certificate(signed.height, signed.round, signed.block_hash, signatures)
        )

    def evidence(self) -> list[Evidence]:
        return self.found

    def subscribe(self, callback: Callable[[Executed], None]) -> Unsubscribe:
        self._committed.append(callback)
        return lambda: self._committed.remove(callback)

    def subscribe_pending(self, callback: Callable[[Sequence[Transaction]], None]) -> Unsubscribe:
        self._pending.append(callback)
        return lambda: self._pending.remove(callback)


def gas_free_params() -> ChainParams:
    """Return the parameters of a chain on which gas costs nothing."""
    return ChainParams(chain_id=LOCALNET_CHAIN_ID, base_fee_min=Wei(0), base_fee_initial=Wei(0))


def funded_keys(count: int) -> list[PrivateKey]:
    """Return the first funded keys."""
    return [PrivateKey(raw) for raw in list(TEST_KEYS.values())[:count]]


def addresses_of(keys: Iterable[PrivateKey]) -> list[Address]:
    """Return the addresses of keys."""
    return [each.address for each in keys]
