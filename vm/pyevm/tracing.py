"""py-evm's computation with hooks, and the runs that use it.

`traced` derives from a computation class one that reports to the `Probe` of its state. It runs
py-evm's own loop and opcodes, whatever the class it derives from does instead, so that faster
computations need no hooks. The price of an opcode is what the gas meter lost when its frame calls
another, gives gas back, or ends: py-evm charges all of it before. A call or creation that py-evm
refuses without a frame (depth, balance, collision) is reported as a frame that fails, as
go-ethereum does. Source of order and words: go-ethereum core/vm/interpreter.go, evm.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, cast

from eth.abc import ComputationAPI, MessageAPI, StateAPI, TransactionContextAPI
from eth.constants import STACK_DEPTH_LIMIT
from eth.exceptions import Halt, OutOfGas, VMError
from eth.vm.computation import BaseComputation
from eth.vm.gas_meter import GasMeter
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.memory import Memory
from eth.vm.stack import Stack
from eth_typing import Address as EthAddress

from primitives.receipt import Log
from primitives.transaction import Transaction
from primitives.transaction import authority as signer_of
from primitives.types import Address, Hash32, Wei
from vm.engine import OUT_OF_GAS, BlockContext, ExecutionStopped
from vm.fees import blob_base_fee
from vm.forks import Fork
from vm.pyevm.computation import Computation
from vm.pyevm.errors import StackOverflow, StackUnderflow, words
from vm.pyevm.state import PLAIN, State
from vm.pyevm.transition import Order, Outcome, contract_address, order_of, run
from vm.state.overlay import Overlay
from vm.trace.build import tracer_of
from vm.trace.hooks import Begin, Budget, End, Enter, Exit, Step, Tracer
from vm.trace.opcodes import CONSTANT_GAS, GROWING, STACK_NEEDS, opcode_name
from vm.trace.prestate import CALL_CODES, CREATE, SELFDESTRUCT, address_of, created_address
from vm.trace.requests import Place, TraceRequest
from vm.validate import intrinsic_gas

STACK_ITEMS_MAX: Final = 1_024
CREATE2: Final = 0xF5
CREATE_CODES: Final = frozenset((CREATE, CREATE2))
VALUE_CODES: Final = frozenset((0xF1, 0xF2))
GAS_CREATE_KEPT: Final = 64
STEPS_PER_STOP: Final = 64


class Probe:
    """Between computations and a tracer: what is open, what the last step cost, the refund."""

    def __init__(self, tracer: Tracer, stop: Callable[[], bool] | None, log_index: int) -> None:
        self.tracer = tracer
        self.wants_steps = tracer.wants_steps
        self.frames = 0
        self.refund = 0
        self.logs = log_index
        self._stop = stop
        self._steps = 0
        self._marks: list[tuple[int, int]] = []

    def check_stop(self) -> None:
        """Raise ExecutionStopped now and then when the caller wants no more."""
        self._steps += 1
        if self._stop is not None and self._steps % STEPS_PER_STOP == 0 and self._stop():
            raise ExecutionStopped("execution aborted")

    def enter(self, enter: Enter) -> None:
        """A frame begins."""
        self.frames += 1
        self._marks.append((self.refund, self.logs))
        self.tracer.on_enter(enter)

    def leave(self, leave: Exit) -> None:
        """A frame ends; a failed one takes its refunds and logs with it."""
        refund, logs = self._marks.pop()
        if leave.error is not None:
            self.refund, self.logs = refund, logs
        self.tracer.on_exit(leave)

    def log(self, log: Log) -> None:
        """A frame logs."""
        self.tracer.on_log(log, self.logs)
        self.logs += 1


class Meter(GasMeter):
    """Remembers the last amount that it gave, and the one that it could not give."""

    last = 0
    short = 0

    def consume_gas(self, amount: int, reason: str) -> None:
        """Take gas off; raises OutOfGas."""
        if amount > self.gas_remaining:
            self.short = amount
        super().consume_gas(amount, reason)
        self.last = amount


class Tracing(Computation):
    """The hooks; used in front of a computation class by `traced`."""

    step: Step | None = None
    """The opcode that runs, until its price is known."""

    kind = "CALL"
    """Name of the opcode that runs, and with `called` whom it calls."""

    called: Address | None = None

    next_pc = 0
    """Where the next opcode stands."""

    returned = 0
    """The gas that last came back from a child frame."""

    def _configure_gas_meter(self) -> GasMeter:
        plain = super()._configure_gas_meter()
        self.meter = Meter(plain.start_gas, plain.refund_strategy)
        return self.meter

    @property
    def probe(self) -> Probe:
        """The probe of the state."""
        return cast("TracedState", self.state).probe

    @classmethod
    def apply_message(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """Report the frame around the message; a creation has reported its own."""
        run = super().apply_message
        if message.is_create:
            return run(state, message, transaction_context, parent_computation=parent_computation)
        return _framed(run, state, message, transaction_context, parent_computation)

    @classmethod
    def apply_create_message(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """Report the frame around the creation."""
        run = super().apply_create_message
        return _framed(run, state, message, transaction_context, parent_computation)

    @classmethod
    def apply_computation(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """Run py-evm's loop, even where the base class has another."""
        run = BaseComputation.apply_computation.__func__  # type: ignore[attr-defined]  # a classmethod
        return cast(
            "ComputationAPI",
            run(cls, state, message, transaction_context, parent_computation=parent_computation),
        )

    def return_gas(self, amount: int) -> None:
        """Fix the price of the step first: what comes back is not part of it."""
        self.fix_price()
        self.returned = amount
        super().return_gas(amount)

    def refund_gas(self, amount: int) -> None:
        """Keep the sum over all frames too."""
        self.probe.refund += amount
        super().refund_gas(amount)

    def add_log_entry(self, account: EthAddress, topics: tuple[int, ...], data: bytes) -> None:
        """Report the log."""
        super().add_log_entry(account, topics, data)
        shown = tuple(Hash32(topic.to_bytes(32, "big")) for topic in topics)
        self.probe.log(Log(Address(account), shown, data))

    def fix_price(self, handed_on: int = 0) -> None:
        """Give the running step its price, unless it has one."""
        step = self.step
        if step is not None:
            self.step = None
            step.cost = step.gas - self._gas_meter.gas_remaining
            step.handed_on = handed_on
            step.refund = self.probe.refund


def _framed(
    run: Callable[..., ComputationAPI],
    state: StateAPI,
    message: MessageAPI,
    transaction_context: TransactionContextAPI,
    parent: ComputationAPI | None,
) -> ComputationAPI:
    probe = cast("TracedState", state).probe
    if message.is_create:
        cast("State", state).computation_class.validate_create_message(message)
    if parent is None:
        probe.refund += message.refund
    probe.enter(_enter(message, cast("Tracing | None", parent)))
    computation = run(state, message, transaction_context, parent_computation=parent)
    used = message.gas - computation.get_gas_remaining()
    output = computation.output
    probe.leave(Exit(message.depth, output, used, words(computation)))
    return computation


def _enter(message: MessageAPI, parent: Tracing | None) -> Enter:
    """Return the frame of a message, and fix the price of the opcode that began it."""
    kind, to = "CREATE" if message.is_create else "CALL", Address(message.storage_address)
    sender = Address(message.sender)
    data = message.code if message.is_create else message.data_as_bytes
    if parent is not None:
        kind, sender = parent.kind, Address(parent.msg.storage_address)
        to = parent.called or to
        if step := parent.step:
            handed_on = message.gas
            if message.is_create:
                parent.fix_price()
                step.cost -= message.gas
            else:
                has_stipend = step.code in VALUE_CODES and message.value
                parent.fix_price(handed_on - (2_300 if has_stipend else 0))
    value = None if kind == "STATICCALL" else Wei(message.value)
    return Enter(kind, message.depth, sender, to, bytes(data), message.gas, value)


class _Opcodes(dict[int, Any]):
    """Opcodes with hooks; bytes that are no opcode get them as well."""

    def __missing__(self, code: int) -> Any:
        found = self[code] = _stepping(code, InvalidOpcode(code))
        return found


@cache
def traced(base: type[Computation]) -> type[Computation]:
    """Return the computation class that runs as `base` does, with hooks."""
    opcodes = _Opcodes({code: _stepping(code, each) for code, each in base.opcodes.items()})
    return type("Traced" + base.__name__, (Tracing, base), {"opcodes": opcodes})


def _stepping(code: int, operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return the opcode with its hooks around it."""
    name = opcode_name(code)
    is_opcode = not isinstance(operation, InvalidOpcode)
    needs = STACK_NEEDS.get(code, 0) if is_opcode else 0
    grows = code in GROWING and is_opcode
    special = code in CALL_CODES or code in CREATE_CODES or code == SELFDESTRUCT

    def run(computation: Tracing) -> None:
        probe = computation.probe
        probe.check_stop()
        values = _items(computation)
        size = len(values)
        fault: VMError | None = None
        if size < needs:
            fault = StackUnderflow(f"stack underflow ({size} <=> {needs})")
        elif grows and size >= STACK_ITEMS_MAX:
            fault = StackOverflow(f"stack limit reached {size} ({STACK_ITEMS_MAX - 1})")
        step = None
        if probe.wants_steps:
            if not len(computation.code):  # an account without code runs nothing
                operation(computation=computation)
                return
            step = _report(computation, code, name, fault)
        if fault is not None:
            raise fault
        computation.kind = name
        try:
            if special:
                _run_special(computation, code, operation)
            else:
                operation(computation=computation)
        except OutOfGas:
            _starve(computation, step, code)
            raise
        finally:
            computation.fix_price()
            computation.next_pc = computation.code.program_counter

    return run


def _report(computation: Tracing, code: int, name: str, fault: VMError | None) -> Step:
    """Report a step before it runs."""
    values = _items(computation)
    items = [int.from_bytes(each, "big") if isinstance(each, bytes) else each for each in values]
    step = Step(
        pc=computation.next_pc,
        code=code,
        name=name,
        gas=computation._gas_meter.gas_remaining,
        depth=computation.msg.depth + 1,
        contract=Address(computation.msg.storage_address),
        stack=items,
        memory=cast("Memory", computation._memory)._bytes,
        return_data=computation.return_data,
        refund=computation.probe.refund,
    )
    if fault is not None:
        step.error = str(fault)
        step.cost = CONSTANT_GAS.get(code, 0)
    else:
        computation.step = step
    computation.probe.tracer.on_step(step)
    step.stack, step.memory, step.return_data = (), bytearray(), b""
    return step


def _starve(computation: Tracing, step: Step | None, code: int) -> None:
    """Mark the step that had too little gas; one whose frame ran has had enough."""
    if step is not None and computation.step is step:
        computation.fix_price()
        meter = computation.meter
        # A creation with too much initcode has paid for its frame; that is not its price.
        unpaid = -meter.last if code in CREATE_CODES and not meter.short else meter.short
        asked = step.cost + unpaid
        step.cost = max(asked, CONSTANT_GAS.get(code, 0))
        step.error = OUT_OF_GAS
        computation.probe.tracer.on_fault(step)


def _run_special(computation: Tracing, code: int, operation: Callable[..., Any]) -> None:
    """Run an opcode that begins a frame, or ends the contract."""
    if code == SELFDESTRUCT:
        _run_selfdestruct(computation, operation)
    elif code in CREATE_CODES:
        _run_create(computation, operation)
    else:
        _run_call(computation, code, operation)


def _run_call(computation: Tracing, code: int, operation: Callable[..., Any]) -> None:
    probe, items = computation.probe, _top(computation, 5)
    called = computation.called = address_of(items[1])
    frames = probe.frames
    operation(computation=computation)
    if probe.frames != frames:
        return
    value: int | None = computation.msg.value
    if code in VALUE_CODES:
        value = items[2]
    elif computation.kind == "STATICCALL":
        value = None
    start, size = items[3:5] if code in VALUE_CODES else items[2:4]
    data = computation.memory_read_bytes(start, size) if size else b""
    depth = computation.msg.depth + 1
    sender = Address(computation.msg.storage_address)
    shown = None if value is None else Wei(value)
    probe.enter(Enter(computation.kind, depth, sender, called, data, computation.returned, shown))
    probe.leave(Exit(depth, b"", 0, _refusal(depth)))


def _run_create(computation: Tracing, operation: Callable[..., Any]) -> None:
    probe, items = computation.probe, _top(computation, 4)
    state, sender = computation.state, computation.msg.storage_address
    nonce, frames, step = state.get_nonce(sender), probe.frames, computation.step
    computation.called = None
    operation(computation=computation)
    if probe.frames != frames:
        return
    is_collision = state.get_nonce(sender) != nonce
    remaining = computation._gas_meter.gas_remaining
    gas = computation.meter.last if is_collision else remaining - remaining // GAS_CREATE_KEPT
    computation.fix_price()
    if step is not None and is_collision:
        step.cost -= gas
    init = computation.memory_read_bytes(items[1], items[2]) if items[2] else b""
    made_with = None if computation.kind == "CREATE" else (items[3], init)
    to = created_address(Address(sender), nonce, made_with)
    depth = computation.msg.depth + 1
    probe.enter(Enter(computation.kind, depth, Address(sender), to, init, gas, Wei(items[0])))
    error = "contract address collision" if is_collision else _refusal(depth)
    probe.leave(Exit(depth, b"", gas if is_collision else 0, error))


def _refusal(depth: int) -> str:
    if depth > STACK_DEPTH_LIMIT:
        return "max call depth exceeded"
    return "insufficient balance for transfer"


def _run_selfdestruct(computation: Tracing, operation: Callable[..., Any]) -> None:
    to = address_of(_top(computation, 1)[0])
    sender = computation.msg.storage_address
    balance = Wei(computation.state.get_balance(sender))
    try:
        operation(computation=computation)
    except Halt:
        depth = computation.msg.depth + 1
        probe = computation.probe
        probe.enter(Enter("SELFDESTRUCT", depth, Address(sender), to, b"", 0, balance))
        probe.leave(Exit(depth, b"", 0, None))
        raise


def _items(computation: Tracing) -> list[int | bytes]:
    return cast("Stack", computation._stack).values


def _top(computation: Tracing, count: int) -> list[int]:
    """Return up to `count` items from the top of the stack, the top first."""
    items = reversed(_items(computation)[-count:])
    return [int.from_bytes(each, "big") if isinstance(each, bytes) else each for each in items]


class TracedState(State):
    """A state whose computations report to `probe`."""

    def __init__(self, overlay: Overlay, context: BlockContext, probe: Probe) -> None:
        super().__init__(overlay, context, tuning=PLAIN)
        self.probe = probe
        self.computation_class = traced(self.computation_class)


def run_traced(
    overlay: Overlay,
    context: BlockContext,
    order: Order,
    tracer: Tracer,
    *,
    stop: Callable[[], bool] | None = None,
    log_index: int = 0,
) -> Outcome:
    """Carry out `order` as `transition.run` does, and report it to `tracer`.

    Raises ExecutionStopped when `stop` says so, TraceTooLarge when the trace would be.
    """
    probe = Probe(tracer, stop, log_index)
    state = TracedState(overlay, context, probe)
    to = order.to or contract_address(order.sender, overlay.get_nonce(order.sender))
    signers = (signer_of(each) for each in order.authorizations)
    tracer.on_begin(
        Begin(
            state=overlay,
            sender=order.sender,
            to=to,
            is_creation=order.to is None,
            gas=order.gas,
            coinbase=context.coinbase,
            precompiles=frozenset(map(Address, state.computation_class.get_precompiles())),
            authorities=tuple(each for each in signers if each is not None),
            log_index=log_index,
            only_new_die=context.rules.fork >= Fork.CANCUN,
        )
    )
    outcome = run(state, order)
    if not probe.frames:
        kind = "CALL" if order.to else "CREATE"
        gas = order.gas - intrinsic_gas(order, len(order.authorizations), context.rules.fork)
        probe.enter(Enter(kind, 0, order.sender, to, order.data, gas, order.value))
        probe.leave(Exit(0, outcome.output, 0, outcome.error))
    tracer.on_end(End(outcome.gas_used, outcome.output, outcome.error))
    return outcome


def trace_transactions(
    state: State,
    transactions: Iterable[Transaction],
    request: TraceRequest,
    *,
    index: int | None,
    block_hash: Hash32 | None,
    stop: Callable[[], bool] | None,
) -> tuple[object, ...]:
    """Run `transactions` on `state`, which is at its block's beginning; see `Engine.trace`."""
    overlay, context = state.overlay, state.context
    blob_fee = blob_base_fee(context.excess_blob_gas, context.rules.blobs)
    budget = Budget()
    found: list[object] = []
    logs = 0
    for at, tx in enumerate(transactions):
        if stop is not None and stop():
            raise ExecutionStopped("execution aborted")
        order = order_of(tx, context.base_fee, blob_fee)
        if index in (None, at):
            place = Place(context.height, block_hash, tx.hash, at)
            tracer = tracer_of(request, place, budget)
            outcome = run_traced(overlay, context, order, tracer, stop=stop, log_index=logs)
            found.append(tracer.result())
        else:
            outcome = run(state, order)
        if index == at:
            break
        logs += len(outcome.logs)
    return tuple(found)
