"""`PyEvmEngine`: the `Engine` on py-evm. One value, no state of its own, any number of threads.

A message at the depth limit of 1,024 needs about 1 MiB of the thread's stack, and a recursion
limit above 10,000, which py-evm sets when it is imported. Threads with smaller stacks crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from primitives.account import Account
from primitives.errors import (
    BadBlobs,
    ConfigError,
    FeeTooLow,
    InsufficientFunds,
    IntrinsicGasTooLow,
)
from primitives.transaction import AccessList, Transaction
from primitives.types import EMPTY_CODE_HASH, Address, Gas, Hash32, Wei
from vm.engine import (
    OUT_OF_GAS,
    REVERTED,
    BlockContext,
    BlockRun,
    Call,
    CallResult,
    Engine,
    Execution,
    ExecutionFailed,
    ExecutionReverted,
    ExecutionStopped,
    SimulatedCall,
    Simulation,
    revert_message,
)
from vm.fees import BLOB_GAS, blob_base_fee
from vm.forks import Fork
from vm.pyevm.blockrun import PyEvmRun
from vm.pyevm.errors import STACK_UNDERFLOW
from vm.pyevm.forks.system import begin_block
from vm.pyevm.shadow import Dump, ShadowEngine
from vm.pyevm.simulating import BlockSimulation
from vm.pyevm.state import INTERPRETED, PLAIN, TUNED, State, Tuning
from vm.pyevm.tracing import run_traced, trace_transactions
from vm.pyevm.transition import Outcome, order_of_call, run
from vm.state.changes import StateReader
from vm.state.memory import MemoryState
from vm.state.overlay import Overlay
from vm.trace.access import AccessListTracer, in_order
from vm.trace.build import tracer_of
from vm.trace.hooks import Budget, Tracer
from vm.trace.requests import Place, TraceRequest
from vm.validate import (
    BLOB_VERSION,
    GAS_BASE,
    TRANSACTION_GAS_MAX,
    check_funds,
    check_gas_covers,
    check_initcode,
    checksum,
)

Stop: TypeAlias = Callable[[], bool]
ESTIMATE_ERROR_RATIO: Final = 0.015
CALL_STIPEND: Final = 2_300


class PyEvmEngine:
    """Executes by py-evm's opcodes under the rules of each block's context.

    `allow_unprotected` lets legacy transactions without a chain id in: official state tests have
    them, our networks do not. `tuning` says what it does for speed; results are the same.
    """

    def __init__(self, *, allow_unprotected: bool = False, tuning: Tuning = TUNED) -> None:
        self._allow_unprotected = allow_unprotected
        self._tuning = tuning

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
        block = PyEvmRun(state, context, self._allow_unprotected, self._tuning)
        if skip_invalid:
            block.extend(transactions, stop)
        else:
            for tx in block.taken(transactions, stop):
                block.check(tx)
                block.include(tx)
        return block.result()

    def begin(
        self, state: StateReader, context: BlockContext, *, abandon: Stop | None = None
    ) -> BlockRun:
        """Begin a block that is built in several steps. See `Engine.begin`."""
        return PyEvmRun(state, context, self._allow_unprotected, self._tuning, abandon)

    def call(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Stop | None = None,
    ) -> CallResult:
        """Run one message and forget its changes. See `Engine.call`."""
        outcome = _Caller(state, context, call, stop, self._tuning).run(
            call.gas or context.gas_limit
        )
        return _call_result(outcome)

    def trace(
        self,
        state: StateReader,
        context: BlockContext,
        transactions: Iterable[Transaction],
        request: TraceRequest,
        *,
        index: int | None = None,
        block_hash: Hash32 | None = None,
        stop: Stop | None = None,
    ) -> tuple[object, ...]:
        """Replay `transactions` and return their traces. See `Engine.trace`."""
        overlay = Overlay(state, keeps_empty=context.rules.keeps_empty)
        block = State(overlay, context, tuning=self._tuning)
        begin_block(block, context)
        return trace_transactions(
            block, transactions, request, index=index, block_hash=block_hash, stop=stop
        )

    def trace_call(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        request: TraceRequest,
        *,
        stop: Stop | None = None,
    ) -> object:
        """Run one message and return its trace. See `Engine.trace_call`."""
        tracer = tracer_of(request, Place(context.height), Budget())
        caller = _Caller(state, context, call, stop, self._tuning)
        caller.run(call.gas or context.gas_limit, tracer)
        return tracer.result()

    def access_list(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Stop | None = None,
    ) -> tuple[AccessList, CallResult]:
        """Return what `call` touches. See `Engine.access_list`."""
        while stop is None or not stop():
            tracer = AccessListTracer(Budget(), call.access_list)
            caller = _Caller(state, context, call, stop, self._tuning)
            outcome = caller.run(call.gas or context.gas_limit, tracer)
            found = tracer.access_list()
            if found == in_order(call.access_list):
                return found, _call_result(outcome)
            call = replace(call, access_list=found)
        raise ExecutionStopped("execution aborted")

    def simulate(
        self,
        state: StateReader,
        context: BlockContext,
        calls: Sequence[SimulatedCall],
        *,
        validate: bool,
        transfers: bool,
        gas_max: Gas,
        stop: Stop | None = None,
    ) -> Simulation:
        """Run `calls` as one block. See `Engine.simulate`."""
        overlay = Overlay(state, keeps_empty=context.rules.keeps_empty)
        block = State(overlay, context, tuning=self._tuning)
        begin_block(block, context)
        simulation = BlockSimulation(block, validate=validate, transfers=transfers, gas_max=gas_max)
        return simulation.run(calls, stop)

    def precompiles(self, context: BlockContext) -> frozenset[Address]:
        """Return the addresses of the precompiles. See `Engine.precompiles`."""
        state = State(Overlay(MemoryState()), context)
        return frozenset(map(Address, state.computation_class.get_precompiles()))

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
        caller = _Caller(state, context, call, stop, self._tuning)
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


def _call_result(outcome: Outcome) -> CallResult:
    return CallResult(
        success=outcome.error is None,
        output=outcome.output,
        gas_used=outcome.gas_used,
        error=outcome.error,
        logs=outcome.logs,
        gas_refunded=outcome.gas_refunded,
    )


class _Caller:
    """Runs one call as often as needed, each time on an overlay of its own."""

    def __init__(
        self,
        reader: StateReader,
        context: BlockContext,
        call: Call,
        stop: Stop | None,
        tuning: Tuning,
    ) -> None:
        self._tuning = tuning
        self._reader = reader
        self._context = context
        self._call = call
        self._stop = stop

    def run(self, gas: Gas, tracer: Tracer | None = None) -> Outcome:
        """Run the call with `gas`; raises InvalidTransaction when it cannot start."""
        call, context = self._call, self._context
        fork = context.rules.fork
        check_initcode(call, fork)
        check_gas_covers(call, gas, len(call.authorizations), fork)
        blob_fee = _blob_fee(call, context)
        account = self._reader.account(call.sender) or Account()
        if call.gas_price:
            _check_price(call, context.base_fee)
            blobs = len(call.blob_hashes) * BLOB_GAS * call.max_fee_per_blob_gas
            check_funds(call.sender, account, Wei(gas * call.gas_price + call.value + blobs))
        else:
            context = replace(context, base_fee=Wei(0))
            if account.balance < call.value:
                raise _cannot_transfer(call, account.balance)
        keeps_empty = context.rules.keeps_empty
        overlay = Overlay(self._reader, keeps_empty=keeps_empty)
        order = order_of_call(call, gas, context.base_fee, blob_fee)
        if tracer is not None:
            return run_traced(overlay, context, order, tracer, stop=self._stop)
        outcome = run(State(overlay, context, self._stop, self._tuning), order)
        if outcome.error != STACK_UNDERFLOW:
            return outcome
        # Only a traced run knows how many items there were, which belongs to geth's words.
        tracer = Tracer(Budget())
        overlay = Overlay(self._reader, keeps_empty=keeps_empty)
        return run_traced(overlay, context, order, tracer, stop=self._stop)

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
        call = self._call
        if call.data or call.to is None or call.authorizations or call.blob_hashes:
            return False
        account = self._reader.account(call.to)
        return account is None or account.code_hash == EMPTY_CODE_HASH

    def ceiling(self) -> Gas:
        """Return the most gas to try: the call's or the block's, less if the sender must pay."""
        call = self._call
        ceiling = call.gas if call.gas >= GAS_BASE else self._context.gas_limit
        if self._context.rules.fork >= Fork.OSAKA:
            ceiling = Gas(min(ceiling, TRANSACTION_GAS_MAX))
        if not call.gas_price:
            return ceiling
        balance = (self._reader.account(call.sender) or Account()).balance
        if call.value and call.value >= balance:
            raise _cannot_transfer(call, balance)
        return Gas(min(ceiling, (balance - call.value) // call.gas_price))


def _blob_fee(call: Call, context: BlockContext) -> Wei:
    """Return what a call pays for blob gas; raises InvalidTransaction for blobs that cannot be."""
    if not call.blob_hashes:
        return Wei(0)
    if call.to is None:
        raise BadBlobs("blob transaction of type create")
    for index, each in enumerate(call.blob_hashes):
        if each[0] != BLOB_VERSION:
            raise BadBlobs(f"blob {index} has invalid hash version", index=index)
    if not call.max_fee_per_blob_gas:
        return Wei(0)
    fee = context.blob_base_fee
    if fee is None:
        fee = blob_base_fee(context.excess_blob_gas, context.rules.blobs)
    if call.max_fee_per_blob_gas < fee:
        raise FeeTooLow(
            f"max fee per blob gas less than block blob gas fee: address {checksum(call.sender)} "
            f"blobGasFeeCap: {call.max_fee_per_blob_gas}, blobBaseFee: {fee}",
            max_fee_per_blob_gas=call.max_fee_per_blob_gas,
            blob_fee=fee,
        )
    return fee


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


ENGINES: Final = ("tuned", "plain", "shadow")
"""The kinds of engine that `make_engine` knows; the first is the one that nodes use."""


def make_engine(
    kind: str = "tuned",
    *,
    compiles: bool = True,
    allow_unprotected: bool = False,
    dump: Dump | None = None,
) -> Engine:
    """Return the engine of this kind; raises ConfigError for a kind that is not in ENGINES.

    `plain` runs everything by py-evm's own computation. `tuned` compiles hot code, unless
    `compiles` is off, and moves plain transfers directly. `shadow` runs both and raises
    EngineDiffers at the first difference, after it has handed what replays it to `dump`.
    """
    if kind not in ENGINES:
        raise ConfigError(f"engine {kind} is not one of {', '.join(ENGINES)}", kind=kind)
    tuned = PyEvmEngine(
        allow_unprotected=allow_unprotected, tuning=TUNED if compiles else INTERPRETED
    )
    plain = PyEvmEngine(allow_unprotected=allow_unprotected, tuning=PLAIN)
    if kind == "shadow":
        return ShadowEngine(tuned, plain, dump)
    return tuned if kind == "tuned" else plain
