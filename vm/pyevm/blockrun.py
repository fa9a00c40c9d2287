"""A block in the making by py-evm's opcodes: one transaction after another on one overlay.

Sources: Yellow Paper section 4.3; EIP-658 and EIP-4844 for what receipts and blobs add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from primitives.errors import GasLimitExceeded, InvalidTransaction
from primitives.params import ChainParams
from primitives.receipt import Receipt, bloom_of
from primitives.transaction import Transaction
from primitives.types import Address, Gas, Hash32
from vm.engine import BlockContext, Execution
from vm.fees import BLOB_GAS, blob_base_fee
from vm.forks import Fork
from vm.pyevm.forks.system import begin_block, end_block
from vm.pyevm.state import State, Tuning
from vm.pyevm.transition import run_transaction
from vm.state.changes import StateReader
from vm.state.overlay import Overlay
from vm.validate import GAS_BASE, check_against_state, check_static

Stop: TypeAlias = Callable[[], bool]


class PyEvmRun:
    """A block in the making: the overlay and what has been included so far. See `BlockRun`."""

    def __init__(
        self,
        reader: StateReader,
        context: BlockContext,
        allow_unprotected: bool,
        tuning: Tuning,
        abandon: Stop | None = None,
    ) -> None:
        self._context = context
        self._params = ChainParams(chain_id=context.chain_id, gas_limit=context.gas_limit)
        self._allow_unprotected = allow_unprotected
        self._rules = context.rules
        self._overlay = Overlay(reader, keeps_empty=self._rules.keeps_empty)
        self._state = State(self._overlay, context, abandon, tuning)
        self._gas_used = 0
        self._blobs_left = 0 if self._rules.blobs is None else self._rules.blobs.maximum
        self._blob_fee = blob_base_fee(context.excess_blob_gas, self._rules.blobs)
        self._transactions: list[Transaction] = []
        self._receipts: list[Receipt] = []
        self._gas_used_each: list[Gas] = []
        self._created: list[Address | None] = []
        self.rejected: list[tuple[Transaction, InvalidTransaction]] = []
        begin_block(self._state, context)

    @property
    def is_full(self) -> bool:
        """True when no transaction at all fits any more."""
        return self._gas_left < GAS_BASE

    @property
    def has_read_time(self) -> bool:
        """True when something that ran has looked at the block's timestamp."""
        return self._state.has_read_time

    def extend(self, transactions: Iterable[Transaction], stop: Stop | None = None) -> None:
        """Run what is valid of `transactions`. See `BlockRun.extend`."""
        for tx in self.taken(transactions, stop):
            try:
                self.check(tx)
            except InvalidTransaction as error:
                self.rejected.append((tx, error))
            else:
                self.include(tx)

    def taken(
        self, transactions: Iterable[Transaction], stop: Stop | None
    ) -> Iterator[Transaction]:
        """Yield `transactions` as long as there is room and time for the next."""
        rest = iter(transactions)
        while not (self.is_full or (stop is not None and stop())):
            tx = next(rest, None)
            if tx is None:
                return
            yield tx

    @property
    def _gas_left(self) -> int:
        return self._context.gas_limit - self._gas_used

    def check(self, tx: Transaction) -> None:
        """Raise the InvalidTransaction that `tx` deserves as the block's next."""
        check_static(tx, self._params, rules=self._rules, allow_unprotected=self._allow_unprotected)
        if tx.gas > self._gas_left:
            raise GasLimitExceeded("gas limit reached", gas=tx.gas, limit=self._gas_left)
        if len(tx.blob_hashes) > self._blobs_left:
            raise GasLimitExceeded(
                "blob gas limit reached",
                gas=len(tx.blob_hashes) * BLOB_GAS,
                limit=self._blobs_left * BLOB_GAS,
            )
        check_against_state(
            tx,
            self._overlay.account(tx.sender),
            b"" if self._context.contracts_send else self._overlay.get_code(tx.sender),
            self._context.base_fee,
            fork=self._rules.fork,
            blob_fee=self._blob_fee,
        )

    def include(self, tx: Transaction) -> None:
        """Run a checked transaction and write its receipt."""
        outcome = run_transaction(self._state, tx, self._blob_fee)
        self._gas_used += outcome.gas_used
        self._blobs_left -= len(tx.blob_hashes)
        self._transactions.append(tx)
        self._gas_used_each.append(outcome.gas_used)
        self._created.append(outcome.created)
        self._receipts.append(
            Receipt(
                type=tx.type,
                status=int(outcome.error is None),
                cumulative_gas_used=Gas(self._gas_used),
                logs=outcome.logs,
                bloom=bloom_of(outcome.logs),
                state_root=self._root(),
            )
        )

    def _root(self) -> Hash32 | None:
        """Return the state root of now, where receipts hold it (before EIP-658)."""
        root_of = self._context.root_of
        if root_of is None or self._rules.fork >= Fork.BYZANTIUM:
            return None
        return root_of(self._overlay.changes())

    def result(self) -> Execution:
        """End the block and return its execution."""
        requests = end_block(self._state, self._context, self._receipts)
        return Execution(
            transactions=tuple(self._transactions),
            receipts=tuple(self._receipts),
            changes=self._overlay.changes(),
            gas_used=Gas(self._gas_used),
            rejected=tuple(self.rejected),
            gas_used_each=tuple(self._gas_used_each),
            created=tuple(self._created),
            requests=requests,
        )
