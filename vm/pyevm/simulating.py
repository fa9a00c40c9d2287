"""The calls of one simulated block on py-evm; see `Engine.simulate`.

Source: go-ethereum internal/ethapi/simulate.go and core/state_transition.go, whose order of checks
and words these are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from primitives.account import Account
from primitives.errors import FeeTooLow, InvalidTransaction, NonceTooHigh, TipAboveFeeCap
from primitives.receipt import Receipt, bloom_of
from primitives.transaction import Transaction
from primitives.types import UINT64_MAX, Gas, Nonce, Wei
from vm.engine import (
    CallResult,
    ExecutionStopped,
    SimulatedCall,
    SimulatedGasLimit,
    Simulation,
)
from vm.fees import BLOB_GAS
from vm.pyevm.state import State, blob_fee_of
from vm.pyevm.tracing import run_traced
from vm.pyevm.transition import Order, Outcome, order_of
from vm.trace.hooks import Budget
from vm.trace.transfers import LogTracer
from vm.unsigned import unsigned_transaction
from vm.validate import check_funds, check_gas_covers, check_initcode, check_nonce, checksum

ABORTED: Final = "execution aborted"


class BlockSimulation:
    """A simulated block in the making, on a state that is at the block's beginning."""

    def __init__(self, state: State, *, validate: bool, transfers: bool, gas_max: Gas) -> None:
        self._overlay = state.overlay
        self._context = state.context
        self._validate = validate
        self._transfers = transfers
        self._gas_left = gas_max
        self._budget = Budget()
        self._gas_used = 0
        self._log_index = 0
        self._transactions: list[Transaction] = []
        self._outcomes: list[Outcome] = []
        self._receipts: list[Receipt] = []

    def run(self, calls: Sequence[SimulatedCall], stop: Callable[[], bool] | None) -> Simulation:
        """Run all calls and return the block's execution."""
        shown = []
        for call in calls:
            if stop is not None and stop():
                raise ExecutionStopped(ABORTED)
            tx = self._fill(call)
            try:
                self._check(tx)
            except InvalidTransaction as error:
                words = f"err: {error.message} (supplied gas {tx.gas})"
                raise type(error)(words, **error.facts) from None
            tracer = LogTracer(self._budget, transfers=self._transfers)
            outcome = run_traced(
                self._overlay,
                self._context,
                self._order(tx),
                tracer,
                stop=stop,
                log_index=self._log_index,
            )
            self._log_index = tracer.count
            self._keep(tx, outcome)
            shown.append(tracer.logs())
        return Simulation(
            transactions=tuple(self._transactions),
            results=tuple(_result(each) for each in self._outcomes),
            receipts=tuple(self._receipts),
            logs=tuple(shown),
            changes=self._overlay.changes(),
            gas_used=Gas(self._gas_used),
        )

    def _fill(self, call: SimulatedCall) -> Transaction:
        """Return the call as a transaction, with nonce and gas where it names none."""
        limit = self._context.gas_limit
        gas = limit - self._gas_used if call.gas is None else call.gas
        if self._gas_used + gas > limit:
            raise SimulatedGasLimit(f"block gas limit reached: {self._gas_used} >= {limit}")
        gas = Gas(min(gas, self._gas_left))
        nonce = self._overlay.get_nonce(call.sender) if call.nonce is None else call.nonce
        return unsigned_transaction(call, self._context.chain_id, Nonce(nonce), gas)

    def _check(self, tx: Transaction) -> None:
        """Raise the InvalidTransaction that `tx` deserves."""
        account = self._overlay.account(tx.sender) or Account()
        if self._validate:
            check_nonce(tx, account)
            if tx.nonce >= UINT64_MAX:
                raise NonceTooHigh(
                    f"nonce has max value: address {checksum(tx.sender)}, nonce: {tx.nonce}"
                )
        if self._validate or tx.max_fee_per_gas or tx.max_priority_fee_per_gas:
            self._check_fees(tx)
        if tx.blob_hashes:
            self._check_blobs(tx)
        blobs = len(tx.blob_hashes) * BLOB_GAS * tx.max_fee_per_blob_gas
        cost = Wei(tx.gas * tx.max_fee_per_gas + tx.value + blobs)
        check_funds(tx.sender, account, cost)
        fork = self._context.rules.fork
        check_gas_covers(tx, tx.gas, len(tx.authorizations), fork)
        check_initcode(tx, fork)

    def _check_blobs(self, tx: Transaction) -> None:
        fee = blob_fee_of(self._context)
        if (self._validate or tx.max_fee_per_blob_gas) and tx.max_fee_per_blob_gas < fee:
            raise FeeTooLow(
                f"max fee per blob gas less than block blob gas fee: address {checksum(tx.sender)} "
                f"blobGasFeeCap: {tx.max_fee_per_blob_gas}, blobBaseFee: {fee}"
            )

    def _check_fees(self, tx: Transaction) -> None:
        cap, tip, base_fee = (
            tx.max_fee_per_gas,
            tx.max_priority_fee_per_gas,
            self._context.base_fee,
        )
        if cap < tip:
            raise TipAboveFeeCap(
                "max priority fee per gas higher than max fee per gas: "
                f"address {checksum(tx.sender)}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"
            )
        if cap < base_fee:
            raise FeeTooLow(
                f"max fee per gas less than block base fee: address {checksum(tx.sender)}, "
                f"maxFeePerGas: {cap}, baseFee: {base_fee}"
            )

    def _order(self, tx: Transaction) -> Order:
        base_fee = self._context.base_fee
        blob_fee = blob_fee_of(self._context) if self._validate or tx.max_fee_per_blob_gas else 0
        order = order_of(tx, base_fee, Wei(blob_fee))
        return replace(order, tip=Wei(max(order.price - base_fee, 0)))

    def _keep(self, tx: Transaction, outcome: Outcome) -> None:
        if self._overlay.get_nonce(tx.sender) > UINT64_MAX:
            self._overlay.set_nonce(tx.sender, 0)  # it wraps around, as in go-ethereum
        self._gas_used += outcome.gas_used
        self._gas_left = Gas(self._gas_left - outcome.gas_used)
        self._transactions.append(tx)
        self._outcomes.append(outcome)
        self._receipts.append(
            Receipt(
                type=tx.type,
                status=int(outcome.error is None),
                cumulative_gas_used=Gas(self._gas_used),
                logs=outcome.logs,
                bloom=bloom_of(outcome.logs),
            )
        )


def _result(outcome: Outcome) -> CallResult:
    return CallResult(
        success=outcome.error is None,
        output=outcome.output,
        gas_used=outcome.gas_used,
        error=outcome.error,
        logs=outcome.logs,
        gas_refunded=outcome.gas_refunded,
    )
