"""What the ValidatorRegistry has open, read by calls on the head's state."""

from __future__ import annotations

from typing import Final

from node.rpc.backend import Request
from primitives.crypto.keccak import keccak
from primitives.types import ZERO_ADDRESS, Address, Gas
from vm.engine import Call

GET_OPEN_CHANGES: Final = keccak(b"getOpenChanges()")[:4]
GET_CHANGE: Final = keccak(b"getChange(bytes32)")[:4]
CHANGES_MAX: Final = 256
"""Most open proposals that are shown."""

WORD: Final = 32


def pending_changes(request: Request) -> list[tuple[Address, int]]:
    """Return member and wished power of each open proposal; none without a registry."""
    found = []
    answer = _words(request, GET_OPEN_CHANGES)
    count = answer[1] if len(answer) > 1 else 0
    for name in answer[2 : 2 + min(count, CHANGES_MAX)]:
        row = _words(request, GET_CHANGE + name.to_bytes(WORD, "big"))
        if len(row) >= 2:
            found.append((Address(row[0].to_bytes(WORD, "big")[12:]), row[1]))
    return found


def _words(request: Request, data: bytes) -> list[int]:
    view = request.view
    context = request.rules.context(view.head, view.block_hash)
    call = Call(
        ZERO_ADDRESS,
        request.backend.api.params.validator_registry,
        data,
        gas=Gas(request.backend.settings.call_gas_max),
    )
    engine = request.backend.api.engine()
    output = engine.call(view.state, context, call, stop=request.is_late).output
    size = len(output) // WORD * WORD
    return [int.from_bytes(output[at : at + WORD], "big") for at in range(0, size, WORD)]
