"""flatCallTracer: frames as a list in Parity's shape, each with its address in the tree.

Source: go-ethereum eth/tracers/native/call_flat.go. Calls to precompiles are left out unless
wanted; a failed frame but a reverted one has no `result`.
"""

from __future__ import annotations

from typing import Any, Final

from primitives.types import Address, Wei
from vm.engine import REVERTED
from vm.trace.calls import Frame, FrameTree
from vm.trace.hooks import CREATIONS, Begin, Budget, Exit
from vm.trace.requests import FlatCalls, Place

_PARITY_WORDS: Final = {
    "contract creation code storage out of gas": "Out of gas",
    "out of gas": "Out of gas",
    "gas uint64 overflow": "Out of gas",
    "max code size exceeded": "Out of gas",
    "invalid jump destination": "Bad jump destination",
    "execution reverted": "Reverted",
    "return data out of bounds": "Out of bounds",
    "stack limit reached 1024 (1023)": "Out of stack",
    "precompiled failed": "Built-in failed",
    "invalid input length": "Built-in failed",
}
_PARITY_BEGINNINGS: Final = {
    "invalid opcode:": "Bad instruction",
    "stack underflow": "Stack underflow",
}
_PRECOMPILE_KINDS: Final = frozenset(("CALL", "STATICCALL"))


class FlatCallTracer(FrameTree):
    """Shows the frames as a list, parents before children."""

    def __init__(self, budget: Budget, request: FlatCalls, place: Place) -> None:
        super().__init__(budget)
        self._request = request
        self._place = place
        self._precompiles: frozenset[Address] = frozenset()

    def on_begin(self, begin: Begin) -> None:
        """Remember the precompiles."""
        super().on_begin(begin)
        self._precompiles = begin.precompiles

    def on_exit(self, leave: Exit) -> None:
        """Close the frame, and drop it when it only was a precompile."""
        enter = self.current.enter
        super().on_exit(leave)
        is_precompile = enter.kind in _PRECOMPILE_KINDS and enter.to in self._precompiles
        if leave.depth and is_precompile and not self._request.precompiles:
            self.current.children.pop()

    def result(self) -> object:
        """Return the list."""
        found: list[dict[str, Any]] = []
        if self.top is not None:
            waiting: list[tuple[Frame, list[int]]] = [(self.top, [])]
            while waiting:
                frame, address = waiting.pop()
                self.budget.spend(8 * len(address))
                found.append(self._shown(frame, address))
                children = list(enumerate(frame.children))
                waiting += [(each, [*address, at]) for at, each in reversed(children)]
        return found

    def _shown(self, frame: Frame, address: list[int]) -> dict[str, Any]:
        place = self._place
        shown: dict[str, Any] = {
            "action": self._action(frame),
            "blockHash": None if place.block_hash is None else "0x" + place.block_hash.hex(),
            "blockNumber": place.height,
        }
        if frame.error is not None:
            is_parity = self._request.parity_errors
            shown["error"] = parity_words(frame.error) if is_parity else frame.error
        if frame.enter.kind != "SELFDESTRUCT" and frame.error in (None, REVERTED):
            shown["result"] = _result(frame)
        transaction = place.transaction_hash
        return shown | {
            "subtraces": len(frame.children),
            "traceAddress": address,
            "transactionHash": None if transaction is None else "0x" + transaction.hex(),
            "transactionPosition": place.index,
            "type": _kind(frame.enter.kind),
        }

    def _action(self, frame: Frame) -> dict[str, Any]:
        enter = frame.enter
        value = hex(enter.value or Wei(0))
        if enter.kind == "SELFDESTRUCT":
            return {
                "address": "0x" + enter.sender.hex(),
                "balance": value,
                "refundAddress": "0x" + enter.to.hex(),
            }
        gas = hex(self.gas_limit if frame is self.top else enter.gas)
        sender, data = "0x" + enter.sender.hex(), "0x" + enter.data.hex()
        if enter.kind in CREATIONS:
            return {"from": sender, "gas": gas, "init": data, "value": value}
        return {
            "callType": enter.kind.lower(),
            "from": sender,
            "gas": gas,
            "input": data,
            "to": "0x" + enter.to.hex(),
            "value": value,
        }


def _result(frame: Frame) -> dict[str, Any]:
    output = "0x" + frame.shown_output().hex()
    if frame.enter.kind not in CREATIONS:
        return {"gasUsed": hex(frame.gas_used), "output": output}
    rest = {"code": output, "gasUsed": hex(frame.gas_used)}
    return rest if frame.to is None else {"address": "0x" + frame.to.hex(), **rest}


def _kind(kind: str) -> str:
    if kind in CREATIONS:
        return "create"
    return "suicide" if kind == "SELFDESTRUCT" else "call"


def parity_words(error: str) -> str:
    """Return an error in Parity's words; one without a word there stays as it is."""
    if error in _PARITY_WORDS:
        return _PARITY_WORDS[error]
    for beginning, said in _PARITY_BEGINNINGS.items():
        if error.startswith(beginning):
            return said
    return error
