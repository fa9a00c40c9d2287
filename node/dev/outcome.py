"""Why a mined transaction failed: receipts do not say it, so it is run again."""

from __future__ import annotations

from dataclasses import dataclass

from node.dev.chain import DevChain
from primitives.block import Block
from primitives.types import Height
from vm.blocks import block_context
from vm.engine import REVERTED, revert_message
from vm.trace.requests import CallTree


@dataclass(frozen=True, slots=True)
class Failure:
    """Geth's words for it, and the revert data; None where it did not revert."""

    words: str
    output: bytes | None


def failure_of(chain: DevChain, block: Block, index: int) -> Failure:
    """Return why the transaction at `index` of a committed `block` failed."""
    view = chain.view()
    (trace,) = chain.engine().trace(
        view.state_at(Height(block.header.height - 1)),
        block_context(block.header, chain.params, view.block_hash),
        block.transactions,
        CallTree(only_top=True),
        index=index,
        block_hash=block.hash,
    )
    found = trace if isinstance(trace, dict) else {}
    words = str(found.get("error", "execution failed"))
    if words != REVERTED:
        return Failure(words, None)
    output = bytes.fromhex(str(found.get("output", "0x"))[2:])
    return Failure(revert_message(output), output)
