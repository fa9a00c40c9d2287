"""What to trace: plain values, one class for each tracer, and where a transaction stands.

Source: go-ethereum eth/tracers/native and eth/tracers/logger, whose option names stand in
`node.rpc.tracing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from primitives.types import Hash32, Height


@dataclass(frozen=True, slots=True)
class StructLogs:
    """Every step. `limit` is the most steps to keep, 0 for no limit; execution goes on after it."""

    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False
    limit: int = 0


@dataclass(frozen=True, slots=True)
class CallTree:
    """Nested frames. With `only_top` the first only; with `logs` what each frame logged."""

    only_top: bool = False
    logs: bool = False


@dataclass(frozen=True, slots=True)
class FlatCalls:
    """Frames as a list. `parity_errors` gives errors in Parity's words."""

    parity_errors: bool = False
    precompiles: bool = False


@dataclass(frozen=True, slots=True)
class Prestate:
    """The accounts as they were before; with `diff` only what changed, before and after."""

    diff: bool = False
    code: bool = True
    storage: bool = True
    empty: bool = False


@dataclass(frozen=True, slots=True)
class FourBytes:
    """Selectors and sizes of call data, counted."""


@dataclass(frozen=True, slots=True)
class Noop:
    """Nothing: runs the transaction and answers with an empty object."""


@dataclass(frozen=True, slots=True)
class GasProfile:
    """Gas by contract and opcode, without what child frames used."""


@dataclass(frozen=True, slots=True)
class Several:
    """Several tracers in one run, each under its name; they are not nested."""

    parts: tuple[tuple[str, TraceRequest], ...]


TraceRequest: TypeAlias = (
    "StructLogs | CallTree | FlatCalls | Prestate | FourBytes | Noop | GasProfile | Several"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a traced transaction stands; a call has a height only."""

    height: Height
    block_hash: Hash32 | None = None
    transaction_hash: Hash32 | None = None
    index: int = 0
