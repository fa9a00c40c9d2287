"""The struct log: one entry for each opcode that runs.

Source: execution-apis openrpc.json, `OpcodeTransactionTrace`, fixed byte for byte in June 2026:
memory words and storage with 0x, `returnValue` "0x" when empty, `storage` only at SLOAD and
SSTORE, no `error` without one, `refund` always. Order of fields: go-ethereum's.
"""

from __future__ import annotations

from typing import Any, Final

from primitives.types import GAS_ZERO, Address
from vm.engine import REVERTED
from vm.trace.hooks import Begin, Budget, End, StateView, Step, Tracer
from vm.trace.requests import StructLogs

ENTRY_BYTES: Final = 500
"""About what an entry takes in memory, besides stack, memory and storage."""

TEXT_BYTES: Final = 300
POINTER_BYTES: Final = 8
WORD: Final = 32
SLOAD: Final = 0x54
SSTORE: Final = 0x55


class StructLogger(Tracer):
    """Keeps an entry for each step, up to the request's limit."""

    wants_steps = True

    def __init__(self, budget: Budget, request: StructLogs) -> None:
        super().__init__(budget)
        self._request = request
        self._entries: list[tuple[Step, dict[str, Any]]] = []
        self._storage: dict[Address, dict[str, str]] = {}
        self._texts: dict[int, str] = {}
        self._state: StateView | None = None
        self._end: End | None = None

    def on_begin(self, begin: Begin) -> None:
        """Remember the state, for the values that SLOAD will read."""
        self._state = begin.state

    def on_step(self, step: Step) -> None:
        """Keep what there is now; the price is filled in when the result is asked for."""
        request = self._request
        if request.limit and len(self._entries) >= request.limit:
            return
        self.budget.spend(ENTRY_BYTES)
        shown: dict[str, Any] = {}
        if request.stack:
            self.budget.spend(POINTER_BYTES * len(step.stack))
            shown["stack"] = [self._text(item) for item in step.stack]
        if request.return_data and step.return_data:
            self.budget.spend(2 * len(step.return_data))
            shown["returnData"] = "0x" + step.return_data.hex()
        if request.memory and step.memory:
            self.budget.spend(5 * len(step.memory))
            text = step.memory.hex()
            shown["memory"] = [
                "0x" + text[at : at + 2 * WORD].ljust(2 * WORD, "0")
                for at in range(0, len(text), 2 * WORD)
            ]
        if request.storage and step.code in (SLOAD, SSTORE):
            self._show_storage(step, shown)
        self._entries.append((step, shown))

    def _text(self, item: int) -> str:
        """Return a stack item in hex; equal items share one text."""
        text = self._texts.get(item)
        if text is None:
            self.budget.spend(TEXT_BYTES)
            text = self._texts[item] = hex(item)
        return text

    def _show_storage(self, step: Step, shown: dict[str, Any]) -> None:
        stack = step.stack
        seen = self._storage.setdefault(step.contract, {})
        if step.code == SLOAD and len(stack) >= 1 and self._state is not None:
            seen[_word(stack[-1])] = _word(self._state.get_storage(step.contract, stack[-1]))
        elif step.code == SSTORE and len(stack) >= 2:
            seen[_word(stack[-1])] = _word(stack[-2])
        else:
            return
        self.budget.spend(TEXT_BYTES * len(seen))
        shown["storage"] = dict(sorted(seen.items()))

    def on_end(self, end: End) -> None:
        """Remember the outcome."""
        self._end = end

    def result(self) -> object:
        """Return the trace."""
        end = self._end or End(GAS_ZERO, b"", None)
        shows_output = end.error in (None, REVERTED)
        return {
            "gas": end.gas_used,
            "failed": end.error is not None,
            "returnValue": "0x" + end.output.hex() if shows_output else "0x",
            "structLogs": [_entry(step, shown) for step, shown in self._entries],
        }


def _entry(step: Step, shown: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "pc": step.pc,
        "op": step.name,
        "gas": step.gas,
        "gasCost": step.cost,
        "depth": step.depth,
    }
    if step.error is not None:
        entry["error"] = step.error
    return entry | shown | {"refund": step.refund}


def _word(value: int) -> str:
    return f"0x{value:064x}"
