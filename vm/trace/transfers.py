"""The logs that eth_simulateV1 shows: real ones, and one for each movement of ether if wanted.

Source: go-ethereum internal/ethapi/logtracer.go. A transfer looks like an ERC-20 Transfer event
of an address that has no code. Frames that fail lose their logs, whose indexes are free again.
"""

from __future__ import annotations

from typing import Final

from primitives.crypto.keccak import keccak
from primitives.receipt import Log
from primitives.types import Address, Hash32
from vm.trace.hooks import Begin, Budget, Enter, Exit, Tracer

TRANSFER_ADDRESS: Final = Address(b"\xee" * 20)
TRANSFER_TOPIC: Final = keccak(b"Transfer(address,address,uint256)")
MOVES: Final = frozenset(("CALL", "CREATE", "CREATE2", "SELFDESTRUCT"))
"""Frames that move ether from one account to another."""

LOG_BYTES: Final = 1_000


class LogTracer(Tracer):
    """Collects the logs of one call; `count` is the next log's index."""

    def __init__(self, budget: Budget, *, transfers: bool) -> None:
        super().__init__(budget)
        self._transfers = transfers
        self._open: list[list[tuple[Log, int]]] = []
        self._kept: list[tuple[Log, int]] = []
        self.count = 0

    def on_begin(self, begin: Begin) -> None:
        """Count on from the logs before."""
        self.count = begin.log_index

    def on_enter(self, enter: Enter) -> None:
        """Open a frame; log the ether that it brings."""
        self._open.append([])
        if self._transfers and enter.value and enter.kind in MOVES:
            topics = (TRANSFER_TOPIC, _padded(enter.sender), _padded(enter.to))
            self._add(Log(TRANSFER_ADDRESS, topics, enter.value.to_bytes(32, "big")))

    def on_log(self, log: Log, index: int) -> None:
        """Keep a log."""
        self._add(log)

    def _add(self, log: Log) -> None:
        self.budget.spend(LOG_BYTES + 3 * len(log.data))
        self._open[-1].append((log, self.count))
        self.count += 1

    def on_exit(self, leave: Exit) -> None:
        """Give a frame's logs to its parent, unless it failed."""
        logs = self._open.pop()
        if leave.error is not None:
            self.count -= len(logs)
        else:
            (self._open[-1] if self._open else self._kept).extend(logs)

    def logs(self) -> tuple[tuple[Log, int], ...]:
        """Return the logs with their indexes."""
        return tuple(self._kept)


def _padded(address: Address) -> Hash32:
    return Hash32(bytes(12) + address)
