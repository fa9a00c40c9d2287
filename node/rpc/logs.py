"""Matching and searching logs: the index says where, the receipts of those blocks are read.

Below the height where a chain's index begins (`node.logindex`), the blooms of the headers say
where a match may be.

Source: execution-apis eth_getLogs. An address list matches any of its members; a topic position
matches any of its alternatives, and an empty position anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.logindex import candidates, indexed_from
from node.rpc.api import ChainReader
from node.rpc.arguments import FilterObject
from node.rpc.encode import Json, Place, log_json, to_hex
from node.rpc.errors import LIMIT_EXCEEDED, RpcError
from primitives.receipt import EMPTY_BLOOM, Log, Receipt, bloom_bits
from primitives.transaction import Transaction
from primitives.types import Hash32, Height

BLOCKS_BETWEEN_CHECKS: Final = 64
INDEX_WINDOW: Final = 100_000
"""Heights that are looked up at once; bounds the memory of a search over more."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A log and its JSON."""

    log: Log
    json: Json


def entries_of(
    transactions: Sequence[Transaction], receipts: Sequence[Receipt], place: Place
) -> list[LogEntry]:
    """Return all logs of one block in order."""
    entries = []
    log_index = 0
    for index, receipt in enumerate(receipts):
        transaction = (to_hex(transactions[index].hash), index)
        for log in receipt.logs:
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
        found: list[Json] = []
        for height in self._heights(view, wanted, first, last):
            self.check_time()
            found += block_logs(view, wanted, height)
            if len(found) > self.logs_max:
                raise RpcError(LIMIT_EXCEEDED, f"query returned more than {self.logs_max} results")
        return found

    def _heights(
        self, view: ChainReader, wanted: FilterObject, first: Height, last: Height
    ) -> Iterator[Height]:
        """Yield the heights that may hold a match, in order."""
        indexed = indexed_from(view.store)
        start = last + 1 if indexed is None else max(first, indexed)
        yield from self.by_bloom(view, wanted, first, min(last, start - 1))
        for low in range(start, last + 1, INDEX_WINDOW):
            bounds = (low, min(last, low + INDEX_WINDOW - 1))
            heights = candidates(
                view.store, wanted.addresses, wanted.topics, bounds, self.check_time
            )
            yield from map(Height, heights)

    def by_bloom(
        self, view: ChainReader, wanted: FilterObject, first: int, last: int
    ) -> Iterator[Height]:
        """Yield the heights whose headers' blooms do not rule a match out, in order."""
        may_match = bloom_check(wanted)
        for height in range(first, last + 1):
            if (height - first) % BLOCKS_BETWEEN_CHECKS == 0:
                self.check_time()
            header = view.header(Height(height))
            if (
                header is not None
                and header.logs_bloom != EMPTY_BLOOM
                and may_match(header.logs_bloom)
            ):
                yield Height(height)


def block_logs(view: ChainReader, wanted: FilterObject, height: Height) -> list[Json]:
    """Return the matching logs of one block; no sender is recovered for it."""
    header, block_hash, receipts = view.header(height), view.block_hash(height), None
    if header is not None:
        receipts = view.receipts(height)
    if header is None or block_hash is None or receipts is None:
        return []
    found: list[Json] = []
    place, log_index = Place.of(header, block_hash), 0
    hashes: Sequence[Hash32] = ()
    for index, receipt in enumerate(receipts):
        shown: tuple[str, int] | None = None
        for log in receipt.logs:
            if is_match(wanted, log):
                if shown is None:
                    hashes = hashes or view.transaction_hashes(height)
                    shown = (to_hex(hashes[index]), index)
                found.append(log_json(log, place, shown, log_index))
            log_index += 1
    return found
