"""`ShadowEngine`: two engines run everything; the first difference stops the node.

The first engine's result is the one that is used. What is compared: receipts, gas, logs, addresses
created, refusals and their words, change sets; of calls their whole result or error. All that the
engines read is noted, so that a difference comes with a dump that `scripts.replay` runs again on
any machine, without the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias, TypeVar

from primitives.account import Account
from primitives.errors import EngineDiffers, Invalid
from primitives.transaction import AccessList, Transaction
from primitives.types import Address, Gas, Hash32, Height
from vm.engine import (
    BlockContext,
    BlockRun,
    Call,
    CallResult,
    Engine,
    Execution,
    SimulatedCall,
    Simulation,
)
from vm.pyevm.dump import Job, Reads, encode_dump
from vm.state.changes import StateReader
from vm.trace.requests import TraceRequest

Stop: TypeAlias = Callable[[], bool]
Dump: TypeAlias = Callable[[bytes], str]
"""Keeps a dump and returns where, for people."""

Result = TypeVar("Result")


class ShadowEngine:
    """An `Engine` that runs `first` and `second` and raises EngineDiffers when they differ."""

    def __init__(self, first: Engine, second: Engine, dump: Dump | None = None) -> None:
        self._first = first
        self._second = second
        self._dump = dump

    def execute(
        self,
        state: StateReader,
        context: BlockContext,
        transactions: Iterable[Transaction],
        *,
        skip_invalid: bool,
        stop: Stop | None = None,
    ) -> Execution:
        """Run `transactions` on both. See `Engine.execute`."""
        reader, context = NotingReader(state), _noting(context)
        taken: list[Transaction] = []
        first = _attempt(
            lambda: self._first.execute(
                reader, context, _noted(transactions, taken), skip_invalid=skip_invalid, stop=stop
            )
        )
        if isinstance(first, Execution):
            # One more may have been taken when there was no time or no room left for it.
            taken = taken[: len(first.transactions) + len(first.rejected)]
        second = _attempt(
            lambda: self._second.execute(reader, context, taken, skip_invalid=skip_invalid)
        )
        job = Job(context, tuple(taken), skip_invalid, None)
        return self._judge(job, reader, first, second)

    def begin(
        self, state: StateReader, context: BlockContext, *, abandon: Stop | None = None
    ) -> BlockRun:
        """Begin a block with the first; the second runs it at its end. See `Engine.begin`."""
        reader, context = NotingReader(state), _noting(context)
        run = self._first.begin(reader, context, abandon=abandon)

        def judge(first: Execution, taken: Sequence[Transaction]) -> Execution:
            second = _attempt(
                lambda: self._second.execute(reader, context, taken, skip_invalid=True)
            )
            return self._judge(Job(context, tuple(taken), True, None), reader, first, second)

        return _ShadowRun(run, judge)

    def call(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Stop | None = None,
    ) -> CallResult:
        """Run one message on both. See `Engine.call`."""
        reader, context = NotingReader(state), _noting(context)
        first = _attempt(lambda: self._first.call(reader, context, call, stop=stop))
        second = _attempt(lambda: self._second.call(reader, context, call, stop=stop))
        return self._judge(Job(context, (), False, call), reader, first, second)

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
        """Trace with the second only: traces decide nothing. See `Engine.trace`."""
        return self._second.trace(
            state, context, transactions, request, index=index, block_hash=block_hash, stop=stop
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
        """Trace with the second only. See `Engine.trace_call`."""
        return self._second.trace_call(state, context, call, request, stop=stop)

    def access_list(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Stop | None = None,
    ) -> tuple[AccessList, CallResult]:
        """Run on the second only. See `Engine.access_list`."""
        return self._second.access_list(state, context, call, stop=stop)

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
        """Run on the second only. See `Engine.simulate`."""
        return self._second.simulate(
            state,
            context,
            calls,
            validate=validate,
            transfers=transfers,
            gas_max=gas_max,
            stop=stop,
        )

    def precompiles(self, context: BlockContext) -> frozenset[Address]:
        """Return the addresses of the precompiles. See `Engine.precompiles`."""
        return self._second.precompiles(context)

    def estimate(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Stop | None = None,
    ) -> Gas:
        """Estimate on both. See `Engine.estimate`."""
        reader, context = NotingReader(state), _noting(context)
        first = _attempt(lambda: self._first.estimate(reader, context, call, stop=stop))
        second = _attempt(lambda: self._second.estimate(reader, context, call, stop=stop))
        return self._judge(Job(context, (), False, call), reader, first, second)

    def _judge(
        self, job: Job, reader: NotingReader, first: Result | Invalid, second: Result | Invalid
    ) -> Result:
        wrong = differences(first, second)
        if wrong:
            raw = encode_dump(job, reader.reads, differences=wrong)
            where = "nowhere" if self._dump is None else self._dump(raw)
            raise EngineDiffers(
                f"two engines differ in {', '.join(wrong)} at height {job.context.height}; "
                f"dump: {where}",
                differences=wrong,
                height=job.context.height,
                dump=where,
            )
        if isinstance(first, Invalid):
            raise first
        return first


class _ShadowRun:
    """A block in the making by one engine; `judge` compares it with another when it ends."""

    def __init__(
        self, run: BlockRun, judge: Callable[[Execution, Sequence[Transaction]], Execution]
    ) -> None:
        self._run = run
        self._judge = judge
        self._taken: list[Transaction] = []

    @property
    def is_full(self) -> bool:
        """True when no transaction at all fits any more."""
        return self._run.is_full

    @property
    def has_read_time(self) -> bool:
        """True when something that ran has looked at the block's timestamp."""
        return self._run.has_read_time

    def extend(self, transactions: Iterable[Transaction], stop: Stop | None = None) -> None:
        """Run what is valid of `transactions`. See `BlockRun.extend`."""
        self._run.extend(_noted(transactions, self._taken), stop)

    def result(self) -> Execution:
        """End the block; raises EngineDiffers."""
        return self._judge(self._run.result(), self._taken)


class NotingReader:
    """A state reader that keeps what was asked and answered."""

    def __init__(self, below: StateReader) -> None:
        self._below = below
        self.reads = Reads({}, {}, {}, {})

    def account(self, address: Address) -> Account | None:
        """Return the account, or None when there is none."""
        found = self.reads.accounts[address] = self._below.account(address)
        return found

    def storage(self, address: Address, slot: int) -> int:
        """Return the value of a storage slot; 0 when it was never set."""
        found = self.reads.slots[address, slot] = self._below.storage(address, slot)
        return found

    def code(self, code_hash: Hash32) -> bytes:
        """Return the code with this hash."""
        found = self.reads.codes[code_hash] = self._below.code(code_hash)
        return found

    def has_storage(self, address: Address) -> bool:
        """Return whether any slot is not zero."""
        found = self.reads.with_storage[address] = self._below.has_storage(address)
        return found


def differences(first: object, second: object) -> list[str]:
    """Return the names of what differs between two results; a refusal counts by its words."""
    if isinstance(first, Execution) and isinstance(second, Execution):
        names = [each.name for each in fields(Execution)]
        return [
            name for name in names if _plain(getattr(first, name)) != _plain(getattr(second, name))
        ]
    if isinstance(first, CallResult) and isinstance(second, CallResult):
        names = [each.name for each in fields(CallResult)]
        return [name for name in names if getattr(first, name) != getattr(second, name)]
    return [] if _plain(first) == _plain(second) else ["result"]


def _plain(value: Any) -> Any:
    """Return the value with errors as their type, words and output."""
    if isinstance(value, Invalid):
        return type(value), str(value), getattr(value, "output", b"")
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    return value


def _attempt(run: Callable[[], Result]) -> Result | Invalid:
    try:
        return run()
    except Invalid as error:
        return error


def _noted(transactions: Iterable[Transaction], taken: list[Transaction]) -> Iterator[Transaction]:
    for each in transactions:
        taken.append(each)
        yield each


def _noting(context: BlockContext) -> BlockContext:
    """Return the context with block hashes that can be asked twice at the price of once."""
    return replace(context, block_hash=BlockHashes(context.block_hash))


class BlockHashes:
    """Block hashes that remember what was asked."""

    def __init__(self, below: Callable[[Height], Hash32 | None]) -> None:
        self._below = below
        self.known: dict[Height, Hash32 | None] = {}

    def __call__(self, height: Height) -> Hash32 | None:
        """Return the hash at `height`, asked for below once."""
        if height not in self.known:
            self.known[height] = self._below(height)
        return self.known[height]
