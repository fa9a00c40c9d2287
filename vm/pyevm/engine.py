"""`PyEvmEngine`: the `Engine` on py-evm. One value, no state of its own, any number of threads.

A message at the depth limit of 1,024 needs about 1 MiB of the thread's stack, and a recursion
limit above 10,000, which py-evm sets when it is imported. Threads with smaller stacks crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, TypeAlias

from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.prague.constants import HISTORY_STORAGE_ADDRESS
from eth.vm.message import Message
from eth_typing import Address as EthAddress

from primitives.account import Account
from primitives.errors import (
    FeeTooLow,
    GasLimitExceeded,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
)
from primitives.params import ChainParams
from primitives.receipt import Receipt, bloom_of
from primitives.transaction import Transaction
from primitives.types import EMPTY_CODE_HASH, Address, Gas, Height, Wei
from vm.engine import (
    OUT_OF_GAS,
    REVERTED,
    BlockContext,
    Call,
    CallResult,
    Execution,
    ExecutionFailed,
    ExecutionReverted,
    revert_message,
)
from vm.pyevm.state import State
from vm.pyevm.transition import Outcome, order_of, order_of_call, run
from vm.state.changes import StateReader
from vm.state.overlay import Overlay
from vm.validate import (
    GAS_BASE,
    check_against_state,
    check_funds,
    check_gas_covers,
    check_initcode,
    check_static,
    checksum,
)

SYSTEM_ADDRESS: Final = EthAddress(bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe"))
SYSTEM_GAS: Final = 30_000_000
Stop: TypeAlias = Callable[[], bool]
ESTIMATE_ERROR_RATIO: Final = 0.015
CALL_STIPEND: Final = 2_300


class PyEvmEngine:
    """Executes by py-evm's opcodes with Prague rules.

    `allow_unprotected` lets legacy transactions without a chain id in: official state tests have
    them, our networks do not.
    """

    def __init__(self, *, allow_unprotected: bool = False) -> None:
        self._allow_unprotected = allow_unprotected

    def execute(
        self,
        state: StateReader,
        context: BlockContext,
        transactions: Iterable[Transaction],
        *,
        skip_invalid: bool,
        stop: Stop | None = None,
    ) -> Execution:
        """Run `transactions` in order on `state`. See `Engine.execute`."""
        block = _BlockRun(state, context, self._allow_unprotected)
        for tx in transactions:
            if (stop is not None and stop()) or block.is_full:
                break
            try:
                block.check(tx)
            except InvalidTransaction as error:
                if not skip_invalid:
                    raise
                block.rejected.append((tx, error))
            else:
                block.include(tx)
        return block.result()

    def call(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Stop | None = None,
    ) -> CallResult:
        """Run one message and forget its changes. See `Engine.call`."""
        outcome = _Caller(state, context, call, stop).run(call.gas or context.gas_limit)
        return CallResult(
            success=outcome.error is None,
            output=outcome.output,
            gas_used=outcome.gas_used,
            error=outcome.error,
            logs=outcome.logs,
            gas_refunded=outcome.gas_refunded,
        )

    def estimate(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Stop | None = None,
    ) -> Gas:
        """Return a gas limit that suffices, by binary search. See `Engine.estimate`.

        Source: geth, eth/gasestimator. Starts at the least that the first run used, probes the
        likely answer first, and stops within 1.5 %.
        """
        caller = _Caller(state, context, call, stop)
        high = caller.ceiling()
        if caller.is_plain() and caller.suffices(Gas(GAS_BASE)):
            return Gas(GAS_BASE)
        outcome = caller.attempt(high)
        if outcome is None or outcome.error == OUT_OF_GAS:
            raise ExecutionFailed(f"gas required exceeds allowance ({high})", allowance=high)
        if outcome.error == REVERTED:
            raise ExecutionReverted(revert_message(outcome.output), outcome.output)
        if outcome.error is not None:
            raise ExecutionFailed(outcome.error)
        low = outcome.gas_used - 1
        likely = (outcome.gas_used + outcome.gas_refunded + CALL_STIPEND) * 64 // 63
        if likely < high:
            if caller.suffices(Gas(likely)):
                high = Gas(likely)
            else:
                low = likely
        while low + 1 < high and (high - low) / high >= ESTIMATE_ERROR_RATIO:
            middle = min((high + low) // 2, low * 2)
            if caller.suffices(Gas(middle)):
                high = Gas(middle)
            else:
                low = middle
        return high


class _BlockRun:
    """A block in the making: the overlay and what has been included so far."""

    def __init__(self, reader: StateReader, context: BlockContext, allow_unprotected: bool) -> None:
        self._context = context
        self._params = ChainParams(chain_id=context.chain_id, gas_limit=context.gas_limit)
        self._allow_unprotected = allow_unprotected
        self._overlay = Overlay(reader)
        self._state = State(self._overlay, context)
        self._gas_used = 0
        self._transactions: list[Transaction] = []
        self._receipts: list[Receipt] = []
        self._gas_used_each: list[Gas] = []
        self._created: list[Address | None] = []
        self.rejected: list[tuple[Transaction, InvalidTransaction]] = []
        _run_system_calls(self._state, context)

    @property
    def is_full(self) -> bool:
        """True when no transaction at all fits any more."""
        return self._gas_left < GAS_BASE

    @property
    def _gas_left(self) -> int:
        return self._context.gas_limit - self._gas_used

    def check(self, tx: Transaction) -> None:
        """Raise the InvalidTransaction that `tx` deserves as the block's next."""
        check_static(tx, self._params, allow_unprotected=self._allow_unprotected)
        if tx.gas > self._gas_left:
            raise GasLimitExceeded("gas limit reached", gas=tx.gas, limit=self._gas_left)
        account = self._overlay.account(tx.sender)
        code = self._overlay.get_code(tx.sender)
        check_against_state(tx, account, code, self._context.base_fee)

    def include(self, tx: Transaction) -> None:
        """Run a checked transaction and write its receipt."""
        outcome = run(self._state, order_of(tx, self._context.base_fee))
        self._gas_used += outcome.gas_used
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
            )
        )

    def result(self) -> Execution:
        """Return the block's execution."""
        return Execution(
            transactions=tuple(self._transactions),
            receipts=tuple(self._receipts),
            changes=self._overlay.changes(),
            gas_used=Gas(self._gas_used),
            rejected=tuple(self.rejected),
            gas_used_each=tuple(self._gas_used_each),
            created=tuple(self._created),
        )


def _run_system_calls(state: State, context: BlockContext) -> None:
    """Keep the parent's hash and beacon root where their contracts are (EIP-2935, EIP-4788)."""
    parent_hash = context.block_hash(Height(context.height - 1)) if context.height else None
    if parent_hash is not None:
        _system_call(state, EthAddress(HISTORY_STORAGE_ADDRESS), parent_hash)
    _system_call(state, EthAddress(BEACON_ROOTS_ADDRESS), context.parent_beacon_block_root)


def _system_call(state: State, to: EthAddress, data: bytes) -> None:
    """Call a system contract, if it exists; its failure changes nothing."""
    code = state.get_code(to)
    if code:
        message = Message(SYSTEM_GAS, to, SYSTEM_ADDRESS, 0, data, code)
        context = CancunTransactionContext(gas_price=0, origin=SYSTEM_ADDRESS)
        state.computation_class.apply_message(state, message, context)
        state.overlay.finish_transaction()


class _Caller:
    """Runs one call as often as needed, each time on an overlay of its own."""

    def __init__(
        self, reader: StateReader, context: BlockContext, call: Call, stop: Stop | None
    ) -> None:
        self._reader = reader
        self._context = context
        self._call = call
        self._stop = stop

    def run(self, gas: Gas) -> Outcome:
        """Run the call with `gas`; raises InvalidTransaction when it cannot start."""
        call, context = self._call, self._context
        check_initcode(call)
        check_gas_covers(call, gas)
        account = self._reader.account(call.sender) or Account()
        if call.gas_price:
            _check_price(call, context.base_fee)
            check_funds(call.sender, account, Wei(gas * call.gas_price + call.value))
        else:
            context = replace(context, base_fee=Wei(0))
            if account.balance < call.value:
                raise _cannot_transfer(call, account.balance)
        state = State(Overlay(self._reader), context, self._stop)
        return run(state, order_of_call(call, gas, context.base_fee))

    def attempt(self, gas: Gas) -> Outcome | None:
        """Return the outcome, or None when `gas` is not even enough to begin."""
        try:
            return self.run(gas)
        except IntrinsicGasTooLow:
            return None

    def suffices(self, gas: Gas) -> bool:
        """True when the call succeeds with `gas`."""
        outcome = self.attempt(gas)
        return outcome is not None and outcome.error is None

    def is_plain(self) -> bool:
        """True when the call only moves value, unless its recipient is a precompile."""
        if self._call.data or self._call.to is None:
            return False
        account = self._reader.account(self._call.to)
        return account is None or account.code_hash == EMPTY_CODE_HASH

    def ceiling(self) -> Gas:
        """Return the most gas to try: the call's or the block's, less if the sender must pay."""
        call = self._call
        ceiling = call.gas if call.gas >= GAS_BASE else self._context.gas_limit
        if not call.gas_price:
            return ceiling
        balance = (self._reader.account(call.sender) or Account()).balance
        if call.value and call.value >= balance:
            raise _cannot_transfer(call, balance)
        return Gas(min(ceiling, (balance - call.value) // call.gas_price))


def _check_price(call: Call, base_fee: Wei) -> None:
    if call.gas_price < base_fee:
        raise FeeTooLow(
            f"max fee per gas less than block base fee: address {checksum(call.sender)}, "
            f"maxFeePerGas: {call.gas_price}, baseFee: {base_fee}",
            address=call.sender,
            max_fee_per_gas=call.gas_price,
            base_fee=base_fee,
        )


def _cannot_transfer(call: Call, balance: Wei) -> InsufficientFunds:
    return InsufficientFunds(
        f"insufficient funds for transfer: address {checksum(call.sender)}",
        address=call.sender,
        have=balance,
        want=call.value,
    )
