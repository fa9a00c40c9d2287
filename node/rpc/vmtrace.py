"""vmTrace: OpenEthereum's trace of every instruction, from the struct logs of a run.

Each step shows its cost and what was there after it: gas left, what it pushed, the memory and the
slot that it wrote; a step that began a frame holds that frame as `sub`. What a step left behind
is read from the next step of the same frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from node.rpc.encode import Json
from vm.trace.requests import StructLogs

VM_REQUEST: Final = StructLogs(memory=True, stack=True, storage=True)

_PUSHES_NONE: Final = frozenset(
    (
        "STOP", "POP", "MSTORE", "MSTORE8", "SSTORE", "TSTORE", "JUMP", "JUMPI", "JUMPDEST",
        "RETURN", "REVERT", "INVALID", "SELFDESTRUCT", "CALLDATACOPY", "CODECOPY", "EXTCODECOPY",
        "RETURNDATACOPY", "MCOPY", "LOG0", "LOG1", "LOG2", "LOG3", "LOG4",
    )
)  # fmt: skip
_WRITES: Final = {
    "MSTORE": (0, None, 32),
    "MSTORE8": (0, None, 1),
    "MLOAD": (0, None, 32),
    "CALLDATACOPY": (0, 2, 0),
    "CODECOPY": (0, 2, 0),
    "RETURNDATACOPY": (0, 2, 0),
    "MCOPY": (0, 2, 0),
    "EXTCODECOPY": (1, 3, 0),
    "CALL": (5, 6, 0),
    "CALLCODE": (5, 6, 0),
    "DELEGATECALL": (4, 5, 0),
    "STATICCALL": (4, 5, 0),
}
"""Where a step writes memory: depth in the stack of the offset and of the size, or the size."""


def vm_trace(found: Any) -> Json:
    """Return the vmTrace of a struct-log trace; its code is that which ran, as far as is known."""
    steps = found["structLogs"]
    return {"code": "0x", "ops": _frame(steps, 0, len(steps))} if steps else _empty()


def _empty() -> Json:
    return {"code": "0x", "ops": []}


def _frame(steps: Sequence[Json], at: int, end: int) -> list[Json]:
    """Return the steps of one frame; recursion is as deep as calls are."""
    depth = steps[at]["depth"]
    shown = []
    while at < end:
        after = at + 1
        while after < end and steps[after]["depth"] > depth:
            after += 1
        sub = None
        if after > at + 1:
            sub = {"code": "0x", "ops": _frame(steps, at + 1, after)}
        following = steps[after] if after < end else None
        shown.append(_step(steps[at], following, sub))
        at = after
    return shown


def _step(step: Json, following: Json | None, sub: Json | None) -> Json:
    used = step["gas"] - step["gasCost"] if following is None else following["gas"]
    effect = None
    if "error" not in step:
        effect = {
            "mem": None if following is None else _memory(step, following),
            "push": [] if following is None else _pushed(step["op"], following["stack"]),
            "store": _store(step),
            "used": max(used, 0),
        }
    return {
        "cost": step["gasCost"],
        "ex": effect,
        "op": step["op"],
        "pc": step["pc"],
        "sub": sub,
    }


def _pushed(name: str, stack: Sequence[str]) -> list[str]:
    if name in _PUSHES_NONE:
        return []
    count = 1
    for family in ("DUP", "SWAP"):
        if name.startswith(family):
            count = int(name.removeprefix(family)) + 1
    return list(stack[-count:])


def _store(step: Json) -> Json | None:
    if step["op"] != "SSTORE" or len(step["stack"]) < 2:
        return None
    return {"key": step["stack"][-1], "val": step["stack"][-2]}


def _memory(step: Json, following: Json) -> Json | None:
    place = _WRITES.get(step["op"])
    if place is None:
        return None
    offset_at, size_at, size = place
    stack = step["stack"]
    if len(stack) <= max(offset_at, size_at or 0):
        return None
    offset = int(stack[-1 - offset_at], 16)
    if size_at is not None:
        size = int(stack[-1 - size_at], 16)
    words = "".join(each.removeprefix("0x") for each in following.get("memory", ()))
    data = words[2 * offset : 2 * (offset + size)]
    return {"data": "0x" + data, "off": offset} if data else None
