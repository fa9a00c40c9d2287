"""Reads the nodes that may connect from the NodeRegistry contract, by a call of `getNodes()`.

The answer is an ABI array of (bytes peerId, address validator, uint8 role, string[] addresses).
It decides no block, so any well-formed encoding is taken; but every offset, length and count is
bounded, and a role that contradicts the validator is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from primitives.crypto.keccak import keccak
from primitives.errors import Invalid, InvalidTransaction
from primitives.params import NODE_REGISTRY
from primitives.types import ZERO_ADDRESS, Address, Gas
from vm.engine import BlockContext, Call, Engine
from vm.state.changes import StateReader

GET_NODES: Final = keccak(b"getNodes()")[:4]
NODES_GAS: Final = Gas(1_000_000_000)
"""Gas of the call: 1,000 nodes of eight long addresses each need a fifth of it."""
NODES_MAX: Final = 1_000
ADDRESSES_MAX: Final = 8
TEXT_BYTES_MAX: Final = 1_024

WORD: Final = 32


class NodesUnreadable(Invalid):
    """The registry call failed, or its answer is no list of nodes."""


@dataclass(frozen=True, slots=True)
class RegisteredNode:
    """One node that may connect; `validator` is None for an observer."""

    peer_id: bytes
    validator: Address | None
    addresses: tuple[str, ...]


def read_nodes(
    state: StateReader, engine: Engine, context: BlockContext
) -> tuple[RegisteredNode, ...]:
    """Return the nodes that `state` permits, in the registry's order; raises NodesUnreadable."""
    call = Call(ZERO_ADDRESS, NODE_REGISTRY, bytes(GET_NODES), gas=NODES_GAS)
    try:
        result = engine.call(state, context, call)
    except InvalidTransaction as error:
        raise NodesUnreadable(f"node registry call cannot start: {error}") from None
    if not result.success:
        raise NodesUnreadable(f"node registry call failed: {result.error}", error=result.error)
    return decode_nodes(result.output)


def decode_nodes(output: bytes) -> tuple[RegisteredNode, ...]:
    """Return the nodes in the ABI encoding of getNodes' answer; raises NodesUnreadable."""
    answer = _Answer(output)
    start = answer.number(0, len(output))
    first = start + WORD
    count = answer.number(start, NODES_MAX)
    return tuple(
        _node(answer, first + answer.number(first + index * WORD, len(output)))
        for index in range(count)
    )


def _node(answer: _Answer, start: int) -> RegisteredNode:
    peer_id = answer.text(start + answer.number(start, len(answer.raw)))
    validator = Address(answer.number(start + WORD, 2**160 - 1).to_bytes(20, "big"))
    role = answer.number(start + 2 * WORD, 1)
    if role != (validator != ZERO_ADDRESS):
        raise NodesUnreadable("a node's role contradicts its validator")
    texts = start + answer.number(start + 3 * WORD, len(answer.raw))
    first = texts + WORD
    addresses = tuple(
        answer.text(first + answer.number(first + index * WORD, len(answer.raw)))
        for index in range(answer.number(texts, ADDRESSES_MAX))
    )
    return RegisteredNode(
        peer_id,
        validator if role else None,
        tuple(each.decode("ascii", "replace") for each in addresses),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """ABI bytes that are read only within their bounds."""

    raw: bytes

    def number(self, start: int, most: int) -> int:
        """Return the word at `start`; raises NodesUnreadable above `most`."""
        if start + WORD > len(self.raw):
            raise NodesUnreadable("node registry answer ends too soon", length=len(self.raw))
        value = int.from_bytes(self.raw[start : start + WORD], "big")
        if value > most:
            raise NodesUnreadable("node registry answer holds a value out of range")
        return value

    def text(self, start: int) -> bytes:
        """Return the byte string at `start`."""
        length = self.number(start, TEXT_BYTES_MAX)
        found = self.raw[start + WORD : start + WORD + length]
        if len(found) != length:
            raise NodesUnreadable("node registry answer ends too soon", length=len(self.raw))
        return found
