"""callTracer: the tree of frames, and 4byteTracer, which counts their selectors.

Source: go-ethereum eth/tracers/native/call.go and 4byte.go. The first frame shows the whole
transaction's gas limit and gas used; a frame that fails loses its logs and those of its children.
A creation that fails has no `to`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from primitives.receipt import Log
from primitives.types import Address
from vm.engine import REVERTED, revert_reason
from vm.trace.hooks import CALLS, CREATIONS, Begin, Budget, End, Enter, Exit, Tracer
from vm.trace.requests import CallTree

FRAME_BYTES: Final = 1_000
"""About what a frame takes in memory, besides its data."""

SELECTOR_BYTES: Final = 4


@dataclass(slots=True)
class Frame:
    """One frame and what happened in it."""

    enter: Enter
    output: bytes = b""
    gas_used: int = 0
    error: str | None = None
    children: list[Frame] = field(default_factory=list)
    logs: list[tuple[Log, int, int]] = field(default_factory=list)

    @property
    def to(self) -> Address | None:
        """Whom the frame ran at; None for a creation that failed."""
        return None if self.error is not None and self.enter.kind in CREATIONS else self.enter.to

    def shown_output(self) -> bytes:
        """Return the output if there is one worth showing: none of a failure but a revert's."""
        return self.output if self.error in (None, REVERTED) else b""


class FrameTree(Tracer):
    """Keeps all frames of a transaction; `top` is the first."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.top: Frame | None = None
        self._open: list[Frame] = []
        self._gas_limit = 0

    def on_begin(self, begin: Begin) -> None:
        """Remember the gas limit."""
        self._gas_limit = begin.gas

    @property
    def gas_limit(self) -> int:
        """The transaction's gas limit."""
        return self._gas_limit

    def on_enter(self, enter: Enter) -> None:
        """Open a frame in the one that is open."""
        self.budget.spend(FRAME_BYTES + 3 * len(enter.data))
        frame = Frame(enter)
        if self._open:
            self._open[-1].children.append(frame)
        else:
            self.top = frame
        self._open.append(frame)

    def on_exit(self, leave: Exit) -> None:
        """Close the frame."""
        frame = self._open.pop()
        frame.gas_used, frame.error = leave.gas_used, leave.error
        if leave.error in (None, REVERTED):
            self.budget.spend(3 * len(leave.output))
            frame.output = leave.output

    def on_end(self, end: End) -> None:
        """Give the first frame the transaction's gas."""
        if self.top is not None:
            self.top.gas_used = end.gas_used

    @property
    def current(self) -> Frame:
        """The frame that is open."""
        return self._open[-1]


class CallTracer(FrameTree):
    """Shows the frames as a tree."""

    def __init__(self, budget: Budget, request: CallTree) -> None:
        super().__init__(budget)
        self._request = request

    def on_enter(self, enter: Enter) -> None:
        """Open a frame, if it is wanted."""
        if enter.depth == 0 or not self._request.only_top:
            super().on_enter(enter)

    def on_exit(self, leave: Exit) -> None:
        """Close the frame, if it was wanted."""
        if leave.depth == 0 or not self._request.only_top:
            super().on_exit(leave)

    def on_log(self, log: Log, index: int) -> None:
        """Keep a log, if it is wanted."""
        if self._request.logs:
            self.budget.spend(FRAME_BYTES + 3 * len(log.data))
            self.current.logs.append((log, index, len(self.current.children)))

    def result(self) -> object:
        """Return the first frame."""
        if self.top is None:
            return {}
        shown = _shown(self.top, is_lost=False)
        shown["gas"] = hex(self.gas_limit)
        return shown


def _shown(frame: Frame, *, is_lost: bool) -> dict[str, Any]:
    """Return a frame with its children; recursion is as deep as calls are."""
    enter = frame.enter
    is_lost = is_lost or frame.error is not None
    shown: dict[str, Any] = {
        "from": "0x" + enter.sender.hex(),
        "gas": hex(enter.gas),
        "gasUsed": hex(frame.gas_used),
    }
    if frame.to is not None:
        shown["to"] = "0x" + frame.to.hex()
    shown["input"] = "0x" + enter.data.hex()
    if output := frame.shown_output():
        shown["output"] = "0x" + output.hex()
    if frame.error is not None:
        shown["error"] = frame.error
        if frame.error == REVERTED and (reason := revert_reason(frame.output)):
            shown["revertReason"] = reason
    if frame.children:
        shown["calls"] = [_shown(each, is_lost=is_lost) for each in frame.children]
    if frame.logs and not is_lost:
        shown["logs"] = [_shown_log(*each) for each in frame.logs]
    if enter.value is not None:
        shown["value"] = hex(enter.value)
    return shown | {"type": enter.kind}


def _shown_log(log: Log, index: int, position: int) -> dict[str, Any]:
    return {
        "address": "0x" + log.address.hex(),
        "topics": ["0x" + topic.hex() for topic in log.topics],
        "data": "0x" + log.data.hex(),
        "index": hex(index),
        "position": hex(position),
    }


class FourByteTracer(Tracer):
    """Counts selector and argument size of each call that is not to a precompile."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._counts: dict[str, int] = {}
        self._precompiles: frozenset[Address] = frozenset()

    def on_begin(self, begin: Begin) -> None:
        """Remember the precompiles."""
        self._precompiles = begin.precompiles

    def on_enter(self, enter: Enter) -> None:
        """Count a call's selector."""
        data = enter.data
        if len(data) < SELECTOR_BYTES or enter.kind not in CALLS or enter.to in self._precompiles:
            return
        key = f"0x{data[:SELECTOR_BYTES].hex()}-{len(data) - SELECTOR_BYTES}"
        if key not in self._counts:
            self.budget.spend(FRAME_BYTES)
        self._counts[key] = self._counts.get(key, 0) + 1

    def result(self) -> object:
        """Return the counts, in order of selector."""
        return dict(sorted(self._counts.items()))
