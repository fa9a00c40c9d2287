"""The index of logs: at which heights an address or a topic occurs.

Column LOG holds an empty row for each different term of a block:

    term (10 bytes) + height (8 bytes, big-endian)

A term is BLAKE2b of its kind and value: the address of a log, a topic at its position, or ANY, that
the block has a log at all. Two values may share a term by chance, so a height found here is looked
at, never believed; one that is not found here has no match. Unlike a header's bloom, which a block
of some hundred logs fills, it stays exact, and a search costs what it finds, not the range.

A block's rows go into the block's own batch, so the index is as durable as the block. META "logs"
is the lowest height from which every block is indexed; chains from before the index get the rest
in the background (`Indexer`), newest first, a batch at a time, and a crash leaves it where the last
batch was. Below that height a search reads the blooms of the headers. Blocks and receipts are kept
for ever, whatever state is pruned, and so are their rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, islice
from typing import Final

from primitives.errors import StoreCorrupt, ensure
from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write
from primitives.receipt import Receipt
from primitives.types import Height
from vm.state.history import height_key

LOGS_KEY: Final = b"logs"
TERM_BYTES: Final = 10
HEIGHT_BYTES: Final = 8
BLOCKS_PER_BATCH: Final = 64
PROBES_MAX: Final = 1_000
"""Heights of one term that are looked up under another, instead of reading all of its rows."""
PAUSE_S: Final = 0.02
"""Between two batches of the background, so that the node's own work goes first."""
STOP_S_MAX: Final = 10.0

_ADDRESS: Final = b"\x00"
_TOPICS: Final = (b"\x01", b"\x02", b"\x03", b"\x04")

ReceiptsAt = Callable[[Height], Sequence[Receipt] | None]


def _term(kind: bytes, value: bytes) -> bytes:
    return blake2b(kind + value, digest_size=TERM_BYTES).digest()


ANY: Final = _term(b"\x05", b"")


def address_term(address: bytes) -> bytes:
    """Return the term of the logs of an address."""
    return _term(_ADDRESS, address)


def topic_term(position: int, topic: bytes) -> bytes:
    """Return the term of a topic at a position, 0 to 3."""
    return _term(_TOPICS[position], topic)


def terms_of(receipts: Iterable[Receipt]) -> set[bytes]:
    """Return the terms of a block."""
    addresses: set[bytes] = set()
    topics: set[tuple[int, bytes]] = set()
    for receipt in receipts:
        for log in receipt.logs:
            addresses.add(log.address)
            topics.update(enumerate(log.topics))
    if not addresses:
        return set()
    found = {address_term(each) for each in addresses}
    found.update(topic_term(position, topic) for position, topic in topics)
    found.add(ANY)
    return found


def index_writes(height: int, receipts: Sequence[Receipt]) -> list[Write]:
    """Return the rows of one block."""
    key = height_key(height)
    return [(Column.LOG, term + key, b"") for term in terms_of(receipts)]


def set_indexed_from(height: int) -> Write:
    """Return the write that says from which height every block is indexed."""
    return (Column.META, LOGS_KEY, height_key(height))


def indexed_from(store: KeyValueReader) -> int | None:
    """Return the lowest height from which every block is indexed; None where there is no index.

    Raises StoreCorrupt for a record that is none.
    """
    raw = store.get(Column.META, LOGS_KEY)
    if raw is None:
        return None
    if len(raw) != HEIGHT_BYTES:
        raise StoreCorrupt("the record of the logs index is damaged in the data folder")
    return int.from_bytes(raw, "big")


def begin_index(store: KeyValue, head: int) -> None:
    """Let the index of a chain that has none begin after its head."""
    if indexed_from(store) is None:
        store.write([set_indexed_from(head + 1)], sync=True)


def heights_of(store: KeyValueReader, term: bytes, first: int, last: int) -> Iterator[int]:
    """Yield the heights from `first` to `last` where a term occurs, in order."""
    end = term + height_key(last)
    for key, _ in store.scan(Column.LOG, term, term + height_key(first)):
        if key > end:
            return
        yield int.from_bytes(key[TERM_BYTES:], "big")


def candidates(
    store: KeyValueReader,
    addresses: Sequence[bytes],
    topics: Sequence[Sequence[bytes]],
    bounds: tuple[int, int],
    check_time: Callable[[], None],
) -> list[int]:
    """Return the indexed heights, in order, that may hold a log of the addresses and topics.

    Empty addresses, or an empty topic position, match any. `check_time` may raise to stop.
    """
    groups = [[address_term(each) for each in addresses]] if addresses else []
    for position, wanted in enumerate(topics):
        if wanted:
            groups.append([topic_term(position, each) for each in wanted])
    found: set[int] | None = None
    for group, few in _fewest_first(store, groups or [[ANY]], bounds, check_time):
        if found is None:
            found = few if few is not None else _heights(store, group, bounds, check_time)
        elif len(found) <= PROBES_MAX:
            check_time()
            found = {height for height in found if _occurs(store, group, height)}
        else:
            found &= _heights(store, group, bounds, check_time)
        if not found:
            return []
    return sorted(found or ())


def _fewest_first(
    store: KeyValueReader,
    groups: Sequence[Sequence[bytes]],
    bounds: tuple[int, int],
    check_time: Callable[[], None],
) -> list[tuple[Sequence[bytes], set[int] | None]]:
    """Return the groups with those first that occur at few heights, and these heights.

    A group is looked at for PROBES_MAX rows, so that one that occurs everywhere costs little
    beside one that does not.
    """
    if len(groups) == 1:
        return [(groups[0], None)]
    sized: list[tuple[Sequence[bytes], set[int] | None]] = []
    for group in groups:
        rows = chain.from_iterable(heights_of(store, term, *bounds) for term in group)
        check_time()
        seen = set(islice(rows, PROBES_MAX + 1))
        sized.append(
            (group, seen if len(seen) <= PROBES_MAX and next(rows, None) is None else None)
        )
    return sorted(sized, key=lambda each: PROBES_MAX + 1 if each[1] is None else len(each[1]))


def _heights(
    store: KeyValueReader,
    group: Sequence[bytes],
    bounds: tuple[int, int],
    check_time: Callable[[], None],
) -> set[int]:
    """Return all heights where one of the terms occurs."""
    found: set[int] = set()
    for term in group:
        check_time()
        found.update(heights_of(store, term, *bounds))
    return found


def _occurs(store: KeyValueReader, group: Sequence[bytes], height: int) -> bool:
    key = height_key(height)
    return any(store.get(Column.LOG, term + key) is not None for term in group)


class Indexer:
    """Indexes in its own thread what an older chain lacks, from its newest block down to `floor`.

    `floor` is the lowest height whose block is there; 0 but for a chain that began as a snapshot.
    """

    def __init__(self, store: KeyValue, receipts_at: ReceiptsAt, floor: int = 0) -> None:
        self._store = store
        self._receipts_at = receipts_at
        self._floor = floor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logs-index", daemon=True)

    def start(self) -> None:
        """Begin, if anything is missing."""
        if (indexed_from(self._store) or 0) > self._floor:
            self._thread.start()

    def stop(self) -> None:
        """End after the batch under way; the next start goes on there."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S_MAX)
            ensure(not self._thread.is_alive(), "the logs index ends in time")

    def _run(self) -> None:
        while not self._stop.is_set() and self.step():
            self._stop.wait(PAUSE_S)

    def step(self) -> bool:
        """Index the next blocks in one batch; False when nothing is left.

        The background writes only rows below `indexed_from` and moves that down in the same batch;
        nobody else does.
        """
        end = indexed_from(self._store)
        if end is None or end <= self._floor:
            return False
        first = max(self._floor, end - BLOCKS_PER_BATCH)
        rows: list[Write] = [set_indexed_from(first)]
        for height in range(first, end):
            receipts = self._receipts_at(Height(height))
            if receipts is None:
                raise StoreCorrupt(f"receipts of {height} are missing")
            rows += index_writes(height, receipts)
        self._store.write(rows, sync=False)
        return first > self._floor
