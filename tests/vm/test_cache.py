"""The hot-state cache is invisible: snapshots stay what they were, and it has a bound."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.keyvalue import Column, KeyValueReader, MemoryStore
from vm.state.cache import ENTRY_BYTES, CachedStore

COLUMNS = (Column.ACCOUNT, Column.TRIE, Column.META)
KEYS = [bytes([each]) for each in range(6)]
writes = st.lists(
    st.tuples(st.sampled_from(COLUMNS), st.sampled_from(KEYS), st.none() | st.binary(max_size=40)),
    max_size=6,
)
reads = st.tuples(st.integers(0, 9), st.sampled_from(COLUMNS), st.sampled_from(KEYS))
steps: st.SearchStrategy[list[tuple[str, Any]]] = st.lists(
    st.one_of(
        st.tuples(st.just("write"), writes),
        st.tuples(st.just("snapshot"), st.none()),
        st.tuples(
            st.just("read"),
            st.tuples(st.integers(0, 9), st.sampled_from(COLUMNS), st.sampled_from(KEYS)),
        ),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(steps, st.sampled_from((0, 1_000, 100_000)))
def test_every_snapshot_reads_as_without_a_cache(history: list[tuple[str, Any]], room: int) -> None:
    """Any order of writes, snapshots and reads of old and new ones.

    Planted bug: an old snapshot that keeps what it read for the newest one.
    """
    plain, cached = MemoryStore(), CachedStore(MemoryStore(), room)
    pairs: list[tuple[KeyValueReader, KeyValueReader]] = [(plain.snapshot(), cached.snapshot())]
    for kind, what in history:
        if kind == "write":
            plain.write(what, sync=False)
            cached.write(what, sync=False)
        elif kind == "snapshot":
            pairs.append((plain.snapshot(), cached.snapshot()))
        else:
            at, column, key = what
            expected, found = pairs[at % len(pairs)]
            assert found.get(column, key) == expected.get(column, key)
    for expected, found in pairs:
        for column in COLUMNS:
            assert [found.get(column, key) for key in KEYS] == [
                expected.get(column, key) for key in KEYS
            ]
            assert list(found.scan(column)) == list(expected.scan(column))


class Counting(MemoryStore):
    """Counts the reads of its snapshots."""

    reads = 0

    def get(self, column: Column, key: bytes) -> bytes | None:
        Counting.reads += 1
        return super().get(column, key)

    def snapshot(self) -> MemoryStore:
        copy = Counting()
        copy._columns = {column: dict(table) for column, table in self._columns.items()}
        return copy


def test_what_was_read_or_written_is_not_read_again() -> None:
    """Hits of what was read, of what was written, and of keys that do not exist."""
    store = CachedStore(Counting(), 100_000)
    store.write([(Column.SLOT, b"a", b"1"), (Column.META, b"m", b"2")], sync=False)
    view, Counting.reads = store.snapshot(), 0
    assert [view.get(Column.SLOT, b"a"), view.get(Column.SLOT, b"b")] == [b"1", None]
    assert [view.get(Column.SLOT, b"a"), view.get(Column.SLOT, b"b")] == [b"1", None]
    assert Counting.reads == 1
    view.get(Column.META, b"m")
    view.get(Column.META, b"m")
    assert Counting.reads == 3


def test_the_cache_has_a_bound_and_keeps_what_is_used() -> None:
    """Never more than bytes_max; the key that is read all the time stays."""
    room = 20 * (ENTRY_BYTES + 40)
    store = CachedStore(Counting(), room)
    view = store.snapshot()
    hot = b"hot".ljust(32)
    view.get(Column.ACCOUNT, hot)
    for number in range(200):
        view.get(Column.ACCOUNT, number.to_bytes(32, "big"))
        before = Counting.reads
        view.get(Column.ACCOUNT, hot)
        assert Counting.reads == before
        assert (len(store._young) + len(store._old)) * ENTRY_BYTES <= room


def test_a_write_that_fails_leaves_nothing_of_itself() -> None:
    """The cache forgets all rather than keep what may not be on the disk."""

    class Broken(MemoryStore):
        def write(self, batch: object, *, sync: bool) -> None:
            raise OSError("disk full")

    store = CachedStore(Broken(), 10_000)
    view = store.snapshot()
    view.get(Column.ACCOUNT, b"a")
    with pytest.raises(OSError, match="disk full"):
        store.write([(Column.ACCOUNT, b"a", b"1")], sync=True)
    assert store.snapshot().get(Column.ACCOUNT, b"a") is None


def test_readers_in_threads_never_see_a_newer_value() -> None:
    """A snapshot that is read while others are written keeps its values."""
    store = CachedStore(MemoryStore(), 50_000)
    store.write([(Column.ACCOUNT, key, b"0") for key in KEYS], sync=False)
    view, done = store.snapshot(), threading.Event()
    wrong: list[bytes] = []

    def read() -> None:
        while not done.is_set():
            wrong.extend(key for key in KEYS if view.get(Column.ACCOUNT, key) != b"0")

    threads = [threading.Thread(target=read) for _ in range(2)]
    for each in threads:
        each.start()
    for number in range(300):
        store.write([(Column.ACCOUNT, key, b"%d" % (number + 1)) for key in KEYS], sync=False)
        assert store.snapshot().get(Column.ACCOUNT, KEYS[0]) == b"%d" % (number + 1)
    done.set()
    for each in threads:
        each.join()
    assert wrong == []
