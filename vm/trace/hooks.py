"""What an engine reports to a tracer, and the values it reports.

Order of calls: `on_begin`, then for each frame `on_enter`, its steps, logs and child frames,
`on_exit`; at last `on_end`. A step comes before its opcode runs, with the stack and the memory as
they are then; `cost`, `refund` and `error` are filled in later, before `on_exit` of its frame.
The stack and memory of a step are views that are gone after `on_step` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from primitives.errors import Rejected
from primitives.receipt import Log
from primitives.types import Address, Gas, Wei

TRACE_BYTES_MAX: Final = 128 * 1024 * 1024
"""About the most bytes of memory that one trace may keep."""

CREATIONS: Final = frozenset(("CREATE", "CREATE2"))
CALLS: Final = frozenset(("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"))


class TraceTooLarge(Rejected):
    """A trace would keep more than `TRACE_BYTES_MAX`."""


class StateView(Protocol):
    """Reads of the state as it is at this moment of the execution."""

    def get_balance(self, address: Address) -> int: ...  # noqa: D102 (names of Overlay)

    def get_nonce(self, address: Address) -> int: ...  # noqa: D102

    def get_code(self, address: Address) -> bytes: ...  # noqa: D102

    def get_storage(self, address: Address, slot: int) -> int: ...  # noqa: D102

    def account_exists(self, address: Address) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Begin:
    """The transaction or call that starts; the state is still the one before it.

    `to` of a creation is the new contract's address. `authorities` signed delegations (EIP-7702).
    `log_index` is the number of logs before it in its block. With `only_new_die` SELFDESTRUCT ends
    contracts of the same transaction only (EIP-6780).
    """

    state: StateView
    sender: Address
    to: Address
    is_creation: bool
    gas: Gas
    coinbase: Address
    precompiles: frozenset[Address]
    authorities: tuple[Address, ...] = ()
    log_index: int = 0
    only_new_die: bool = True


@dataclass(slots=True)
class Step:
    """One opcode about to run. `depth` of the first frame is 1; `contract` owns the storage.

    `stack` has its top last. `cost` is without the gas that a creation hands to its frame, but
    with what a call hands on, as go-ethereum counts it; `handed_on` is that part.
    """

    pc: int
    code: int
    name: str
    gas: int
    depth: int
    contract: Address
    stack: Sequence[int]
    memory: bytearray
    return_data: bytes
    cost: int = 0
    handed_on: int = 0
    refund: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Enter:
    """A frame begins. `kind` is an opcode's name; `value` is None for STATICCALL."""

    kind: str
    depth: int
    sender: Address
    to: Address
    data: bytes
    gas: int
    value: Wei | None


@dataclass(frozen=True, slots=True)
class Exit:
    """A frame ends; `error` is None or go-ethereum's words, and then its changes are undone."""

    depth: int
    output: bytes
    gas_used: int
    error: str | None


@dataclass(frozen=True, slots=True)
class End:
    """The whole transaction's outcome, after refunds; the state is the one after it."""

    gas_used: Gas
    output: bytes
    error: str | None


class Budget:
    """Counts what a trace keeps and refuses what would be too much."""

    def __init__(self, limit_bytes: int = TRACE_BYTES_MAX) -> None:
        self._left = limit_bytes
        self._limit = limit_bytes

    def spend(self, amount_bytes: int) -> None:
        """Take `amount_bytes` off; raises TraceTooLarge when nothing is left."""
        self._left -= amount_bytes
        if self._left < 0:
            raise TraceTooLarge("trace too large", limit_bytes=self._limit)


class Tracer:
    """Takes no notice of anything; tracers override what they need."""

    wants_steps = False
    """False spares the engine the work of reporting steps."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def on_begin(self, begin: Begin) -> None:
        """Take note of a transaction before anything of it happened."""

    def on_step(self, step: Step) -> None:
        """Take note of an opcode before it runs."""

    def on_fault(self, step: Step) -> None:
        """Take note that the last step had too little gas; its `error` says so."""

    def on_enter(self, enter: Enter) -> None:
        """Take note of a frame's beginning."""

    def on_log(self, log: Log, index: int) -> None:
        """Take note of a log, `index` being its place in the block."""

    def on_exit(self, leave: Exit) -> None:
        """Take note of a frame's end."""

    def on_end(self, end: End) -> None:
        """Take note of the outcome."""

    def result(self) -> object:
        """Return the trace as a JSON value."""
        return {}
