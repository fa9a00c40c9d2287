"""Matching and searching logs: bloom first, receipts only where the bloom may match.

Source: execution-apis eth_getLogs. An address list matches any of its members; a topic position
matches any of its alternatives, and an empty position anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.rpc.api import ChainReader
from node.rpc.arguments import FilterObject
from node.rpc.encode import Json, Place, log_json, to_hex
from node.rpc.errors import LIMIT_EXCEEDED, RpcError
from primitives.receipt import EMPTY_BLOOM, Log, Receipt, bloom_bits
from primitives.transaction import Transaction
from primitives.types import Height

BLOCKS_BETWEEN_CHECKS = 64


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A log and its JSON."""

    log: Log
    json: Json


def entries_of(
    transactions: Sequence[Transaction], receipts: Sequence[Receipt], place: Place
) -> list[LogEntry]:
    """Return all logs of one block in order."""
    return _matching(transactions, receipts, place, FilterObject())


def _matching(
    transactions: Sequence[Transaction],
    receipts: Sequence[Receipt],
    place: Place,
    wanted: FilterObject,
) -> list[LogEntry]:
    entries = []
    log_index = 0
    for index, receipt in enumerate(receipts):
        if not receipt.logs:
            continue
        transaction = (to_hex(transactions[index].hash), index)
        for log in receipt.logs:
            if is_match(wanted, log):
                entries.append(LogEntry(log, log_json(log, place, transaction, log_index)))
            log_index += 1
    return entries


def is_match(wanted: FilterObject, log: Log) -> bool:
    """Return whether the filter's addresses and topics match the log."""
    if wanted.addresses and log.address not in wanted.addresses:
        return False
    if len(wanted.topics) > len(log.topics):
        return False
    return all(
        not alternatives or log.topics[position] in alternatives
        for position, alternatives in enumerate(wanted.topics)
    )


def bloom_check(wanted: FilterObject) -> Callable[[bytes], bool]:
    """Return a function that tells whether a block with a given bloom may hold a match."""
    groups = [
        [bloom_bits(each) for each in group]
        for group in (wanted.addresses, *wanted.topics)
        if group
    ]

    def may_match(bloom: bytes) -> bool:
        bits = int.from_bytes(bloom, "big")
        return all(any(bits & mask == mask for mask in group) for group in groups)

    return may_match


@dataclass(frozen=True, slots=True)
class Search:
    """How far a search may go, and who tells it to stop by raising."""

    logs_max: int
    check_time: Callable[[], None]

    def run(
        self, view: ChainReader, wanted: FilterObject, first: Height, last: Height
    ) -> list[Json]:
        """Return the matching logs of heights `first` to `last`, both included.

        Raises RpcError when there are more than `logs_max`, or when the time is over.
        """
        may_match = bloom_check(wanted)
        found: list[Json] = []
        for height in range(first, last + 1):
            if (height - first) % BLOCKS_BETWEEN_CHECKS == 0:
                self.check_time()
            header = view.header(Height(height))
            if (
                header is None
                or header.logs_bloom == EMPTY_BLOOM
                or not may_match(header.logs_bloom)
            ):
                continue
            found += block_logs(view, wanted, Height(height))
            if len(found) > self.logs_max:
                raise RpcError(LIMIT_EXCEEDED, f"query returned more than {self.logs_max} results")
            self.check_time()
        return found


def block_logs(view: ChainReader, wanted: FilterObject, height: Height) -> list[Json]:
    """Return the matching logs of one block."""
    block, receipts = view.block(height), view.receipts(height)
    if block is None or receipts is None:
        return []
    place = Place.of(block.header, block.hash)
    return [each.json for each in _matching(block.transactions, receipts, place, wanted)]
