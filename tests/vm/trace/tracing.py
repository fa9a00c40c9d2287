"""What the tests of traces share: transactions on hand-made contracts, and their traces."""

from __future__ import annotations

from typing import Any, cast

from primitives.transaction import Transaction
from primitives.types import Address, Gas
from tests.vm.support import ALICE, COINBASE, ENGINE, account, context, signed, world
from vm.engine import Call
from vm.trace.requests import TraceRequest

A, B, C, D = (Address(bytes([0xC0 + index]) * 20) for index in range(1, 5))
GAS = 400_000


def code(*parts: str | bytes | Address) -> bytes:
    """Join hex texts (blanks allowed) and bytes to code."""
    return b"".join(
        each if isinstance(each, bytes) else bytes.fromhex(each.replace(" ", "")) for each in parts
    )


def call_to(to: Address, op: str = "f1", *, value: int = 0, gas: int = 0xFFFF) -> bytes:
    """Code that calls `to` with 4 bytes of memory and takes 32 bytes back; leaves the result."""
    amount = f"60{value:02x}" if op in ("f1", "f2") else ""
    return code("60205f 60045f", amount, "73", to, f"61{gas:04x}", op)


def stored(data: bytes) -> bytes:
    """Code that writes up to 255 bytes to the start of memory, byte by byte."""
    return b"".join(bytes([0x60, each, 0x60, at, 0x53]) for at, each in enumerate(data))


def transaction(**changes: Any) -> Transaction:
    """Return a transaction from Alice to contract A."""
    fields: dict[str, Any] = {"to": A, "value": 0, "gas": GAS, "data": b"\1\2\3\4\5"}
    return signed(**(fields | changes))


def trace(
    request: TraceRequest, codes: dict[Address, bytes], *txs: Transaction, index: int | None = 0
) -> Any:
    """Return the trace of the transaction at `index` on contracts with 100 wei each."""
    state = world({address: account(100, code=each) for address, each in codes.items()})
    found = ENGINE.trace(state, context(), txs or (transaction(),), request, index=index)
    return cast("Any", found if index is None else found[0])


def trace_call(request: TraceRequest, codes: dict[Address, bytes], **changes: Any) -> Any:
    """Return the trace of a call from Alice to contract A."""
    state = world({address: account(100, code=each) for address, each in codes.items()})
    fields: dict[str, Any] = {"sender": ALICE, "to": A, "gas": Gas(GAS)} | changes
    call = Call(**fields)
    return cast("Any", ENGINE.trace_call(state, context(), call, request))


def text(address: Address) -> str:
    """Return an address as JSON shows it."""
    return "0x" + address.hex()


FEE_RECIPIENT = text(COINBASE)
