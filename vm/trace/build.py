"""From a request to its tracer."""

from __future__ import annotations

from collections.abc import Sequence

from primitives.receipt import Log
from vm.trace.calls import CallTracer, FourByteTracer
from vm.trace.flat import FlatCallTracer
from vm.trace.hooks import Begin, Budget, End, Enter, Exit, Step, Tracer
from vm.trace.prestate import PrestateTracer
from vm.trace.profile import GasProfiler
from vm.trace.requests import (
    CallTree,
    FlatCalls,
    FourBytes,
    GasProfile,
    Noop,
    Place,
    Prestate,
    Several,
    StructLogs,
    TraceRequest,
)
from vm.trace.structlog import StructLogger


def tracer_of(request: TraceRequest, place: Place, budget: Budget) -> Tracer:
    """Return a new tracer for one transaction at `place`."""
    match request:
        case StructLogs():
            return StructLogger(budget, request)
        case CallTree():
            return CallTracer(budget, request)
        case FlatCalls():
            return FlatCallTracer(budget, request, place)
        case Prestate():
            return PrestateTracer(budget, request)
        case FourBytes():
            return FourByteTracer(budget)
        case GasProfile():
            return GasProfiler(budget)
        case Several():
            parts = [(name, tracer_of(each, place, budget)) for name, each in request.parts]
            return Fan(budget, parts)
        case Noop():
            return Tracer(budget)


class Fan(Tracer):
    """Hands everything on to several tracers (muxTracer)."""

    def __init__(self, budget: Budget, parts: Sequence[tuple[str, Tracer]]) -> None:
        super().__init__(budget)
        self._parts = parts
        self._tracers = [tracer for _, tracer in parts]
        self.wants_steps = any(tracer.wants_steps for tracer in self._tracers)

    def on_begin(self, begin: Begin) -> None:
        """Hand on."""
        for tracer in self._tracers:
            tracer.on_begin(begin)

    def on_step(self, step: Step) -> None:
        """Hand on."""
        for tracer in self._tracers:
            tracer.on_step(step)

    def on_fault(self, step: Step) -> None:
        """Hand on."""
        for tracer in self._tracers:
            tracer.on_fault(step)

    def on_enter(self, enter: Enter) -> None:
        """Hand on."""
        for tracer in self._tracers:
            tracer.on_enter(enter)

    def on_log(self, log: Log, index: int) -> None:
        """Hand on."""
        for tracer in self._tracers:
            tracer.on_log(log, index)

    def on_exit(self, leave: Exit) -> None:
        """Hand on."""
        for tracer in self._tracers:
            tracer.on_exit(leave)

    def on_end(self, end: End) -> None:
        """Hand on."""
        for tracer in self._tracers:
            tracer.on_end(end)

    def result(self) -> object:
        """Return all results by name."""
        return {name: tracer.result() for name, tracer in self._parts}
