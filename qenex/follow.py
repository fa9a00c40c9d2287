"""Follows a network by JSON-RPC: one line per new block, from whichever node answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from primitives.errors import QenexError, Unavailable
from qenex.jsonrpc import JsonRpc

BLOCKS_MAX: Final = 50
"""Most blocks shown at once; older ones are counted in one line."""


class Follower:
    """Remembers the height shown last."""

    def __init__(self, urls: Sequence[str], height: int) -> None:
        self._nodes = [JsonRpc(url, timeout_s=2.0) for url in urls]
        self._shown = height

    def new_lines(self) -> Iterator[str]:
        """Yield a line for each block since the last call; none when nobody answers."""
        for node in self._nodes:
            try:
                lines = list(self._lines(node))
            except Unavailable:
                continue
            except QenexError as error:
                lines = [f"{node.url}: {error.message}"]
            yield from lines
            return

    def _lines(self, node: JsonRpc) -> Iterator[str]:
        head = node.height()
        if head > self._shown + BLOCKS_MAX:
            yield f"... {head - BLOCKS_MAX - self._shown} blocks"
            self._shown = head - BLOCKS_MAX
        while self._shown < head:
            block = node.call("eth_getBlockByNumber", hex(self._shown + 1), False)
            if block is None:
                return
            self._shown += 1
            yield _line(self._shown, block)


def _line(height: int, block: dict[str, Any]) -> str:
    count = len(block.get("transactions", ()))
    when = time.strftime("%H:%M:%S", time.localtime(int(block["timestamp"], 16)))
    work = f"{count:>5} txs  gas {int(block['gasUsed'], 16):>11,}" if count else "    -"
    return f"{when}  block {height:<8} {block['hash'][:10]}  {work}"
