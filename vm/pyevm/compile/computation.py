"""Run a message on compiled units and, between them, on py-evm's opcodes.

`compiled(base)` puts this in front of any of our computation classes: what a frame is, what calls
and creations do, and each opcode that is called stay those of `base`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, cast

from eth.abc import ComputationAPI, MessageAPI, StateAPI, TransactionContextAPI
from eth.exceptions import FullStack, Halt
from eth.vm.computation import NO_RESULT
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.opcode_values import JUMP, JUMPDEST, JUMPI, STOP
from eth.vm.stack import Stack

from vm.engine import ExecutionStopped
from vm.pyevm.compile.program import EAGER_PROGRAMS, PROGRAMS, Program, Programs
from vm.pyevm.compile.rules import Rules, rules_of
from vm.pyevm.compile.unit import END, STACK_ITEMS_MAX
from vm.pyevm.quick import quicker

COMPUTATIONS_MAX: Final = 64
"""Classes that `compiled` keeps: one for each fork."""


class _IntStack(Stack):
    """py-evm's stack with every item as an integer, as units want it; opcodes push in range."""

    def push_int(self, value: int) -> None:
        if len(self.values) >= STACK_ITEMS_MAX:
            raise FullStack("Stack limit reached")
        self.values.append(value)

    def pop_ints(self, num_items: int) -> tuple[int, ...]:
        return cast("tuple[int, ...]", self.pop_any(num_items))

    def push_bytes(self, value: bytes) -> None:
        if len(self.values) >= STACK_ITEMS_MAX:
            raise FullStack("Stack limit reached")
        self.values.append(int.from_bytes(value, "big"))


class CompiledFrame:
    """The part of a computation class that runs code; before `base` in the order of bases."""

    rules: Rules
    programs: Programs
    opcodes: Any
    transaction_context: Any
    code: Any
    msg: Any
    state: Any
    _log_entries: list[Any]
    _gas_meter: Any

    def __init__(
        self, state: StateAPI, message: MessageAPI, transaction_context: TransactionContextAPI
    ) -> None:
        super().__init__(state, message, transaction_context)  # type: ignore[call-arg]  # a mixin
        # py-evm finds these at the first use in each frame, by a slow descriptor.
        stack = self._stack = _IntStack()
        self.stack_pop_ints = stack.pop_ints
        self.stack_pop_bytes = stack.pop_bytes
        self.stack_pop_any = stack.pop_any
        self.stack_pop1_int = stack.pop1_int
        self.stack_pop1_bytes = stack.pop1_bytes
        self.stack_pop1_any = stack.pop1_any
        self.stack_push_int = stack.push_int
        self.stack_push_bytes = stack.push_bytes

    @classmethod
    def apply_computation(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """Run the message's code; what comes before the code is as in py-evm's computation."""
        frame: Any = cls(state, message, transaction_context)
        with frame:
            if frame.is_origin_computation:
                frame.contracts_created = []
                if message.is_create:
                    frame.consume_initcode_gas_cost(frame)
            if parent_computation is not None:
                frame.contracts_created = parent_computation.contracts_created
            if message.is_create:
                frame.contracts_created.append(message.storage_address)
            precompile = frame.precompiles.get(message.code_address, NO_RESULT)
            if precompile is not NO_RESULT:
                if not message.is_delegation:
                    precompile(frame)
            elif message.code:
                frame.run_code()
        return cast("ComputationAPI", frame)

    def note_log(self, topics: tuple[int, ...], data: bytes) -> None:
        """Add a log entry of this contract, as py-evm does after its checks of types."""
        counter = self.transaction_context.get_next_log_counter()
        self._log_entries.append((counter, self.msg.storage_address, topics, data))

    def run_code(self) -> None:
        """Run the code of the message to its end; raises what ends it otherwise."""
        program = self.programs.of(self.msg.code, self.rules)
        units, meter = program.units, self._gas_meter
        stack: Any = self._stack.values
        stop = getattr(self.state, "stop", None)
        at = 0
        try:
            while True:
                if stop is not None and stop():
                    raise ExecutionStopped("execution aborted")
                unit = units.get(at)
                if unit is None:
                    at = self._interpret(program, at)
                    continue
                at = unit(self, stack, meter)
                if at < 0:
                    if at == END:
                        return
                    at = self._interpret(program, ~at)
        except Halt:
            return

    def _interpret(self, program: Program, at: int) -> int:
        """Run one basic block by py-evm's opcodes; return where the next one begins."""
        program.visit(at)
        code, stream, opcodes = program.code, self.code, self.opcodes
        stream.program_counter = at
        size = len(code)
        count = 0
        has_begun = False
        while True:
            here = stream.program_counter
            opcode = code[here] if here < size else STOP
            if opcode != JUMPDEST:
                has_begun = True
            elif has_begun:
                program.credit += count
                return int(here)
            count += 1
            stream.program_counter = here + 1
            entry = opcodes.get(opcode)
            if entry is None:
                entry = InvalidOpcode(opcode)
            entry(computation=self)
            if opcode in (JUMP, JUMPI):
                program.credit += count
                return int(stream.program_counter)


@lru_cache(maxsize=COMPUTATIONS_MAX)
def compiled(base: type[Any], *, eager: bool = False) -> type[Any]:
    """Return `base` with compiled units; the same class for the same arguments."""
    parts = {
        "rules": rules_of(base.opcodes),
        "programs": EAGER_PROGRAMS if eager else PROGRAMS,
        "_precompiles": quicker(base.get_precompiles()),
    }
    return type(f"Compiled{base.__name__}", (CompiledFrame, base), parts)
