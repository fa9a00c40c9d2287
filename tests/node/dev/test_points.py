"""A store that goes back is byte for byte what it was, whatever was written meanwhile.

Planted bugs that these kill: `go_back` applies the newest noted value instead of the oldest; a
point notes a value again after it has changed; the bounds forget the newest point.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from node.dev.points import PointStore
from primitives.keyvalue import Column, MemoryStore, Write

COLUMNS = (Column.ACCOUNT, Column.BLOCK)
KEYS = st.sampled_from([b"", b"a", b"b", b"ab"])
VALUES = st.one_of(st.none(), st.binary(max_size=3))
BATCHES = st.lists(st.tuples(st.sampled_from(COLUMNS), KEYS, VALUES), max_size=6)
Rows = dict[tuple[Column, bytes], bytes]


def rows_of(store: PointStore) -> Rows:
    """Return all that a store holds."""
    return {(column, key): value for column in Column for key, value in store.scan(column)}


class Back(RuleBasedStateMachine):
    """The store beside a list of copies."""

    points = Bundle("points")

    def __init__(self) -> None:
        super().__init__()
        self.store = PointStore(MemoryStore())
        self.rows: Rows = {}
        self.held: dict[int, Rows] = {}

    @rule(batch=BATCHES)
    def write(self, batch: list[Write]) -> None:
        self.store.write(batch, sync=True)
        for column, key, value in batch:
            if value is None:
                self.rows.pop((column, key), None)
            else:
                self.rows[column, key] = value

    @rule(target=points)
    def hold(self) -> int:
        point = self.store.hold()
        self.held[point] = dict(self.rows)
        return point

    @rule(point=consumes(points))
    def go_back(self, point: int) -> None:
        known = point in self.held
        assert self.store.go_back(point) is known
        if known:
            self.rows = self.held[point]
            self.held = {each: rows for each, rows in self.held.items() if each < point}

    @invariant()
    def same(self) -> None:
        assert rows_of(self.store) == self.rows
        assert all(self.store.holds(point) for point in self.held)


TestBack = Back.TestCase


@given(batch=BATCHES)
def test_snapshot_outlives_going_back(batch: list[Write]) -> None:
    """Who reads an older moment goes on reading it."""
    store = PointStore(MemoryStore())
    point = store.hold()
    store.write(batch, sync=False)
    then = store.snapshot()
    before = {(c, key): value for c in Column for key, value in then.scan(c)}
    assert store.go_back(point)
    assert {(c, key): value for c in Column for key, value in then.scan(c)} == before
    assert rows_of(store) == {}


def test_points_are_bounded() -> None:
    """Above the bounds the oldest points are forgotten, never the newest."""
    store = PointStore(MemoryStore(), points_max=2)
    first, second, third = store.hold(), store.hold(), store.hold()
    assert [store.holds(each) for each in (first, second, third)] == [False, True, True]
    assert store.go_back(first) is False
    small = PointStore(MemoryStore(), noted_bytes_max=1_000)
    point = small.hold()
    small.write([(Column.META, b"%d" % n, bytes(100)) for n in range(2)], sync=False)
    assert small.holds(point)
    small.write([(Column.META, b"m%d" % n, bytes(100)) for n in range(9)], sync=False)
    assert not small.holds(point)
    assert small.noted_bytes == 0


def test_without_a_point_nothing_is_noted() -> None:
    """A chain that never takes a snapshot pays nothing for them."""
    store = PointStore(MemoryStore())
    store.write([(Column.META, b"k", b"v")], sync=False)
    assert store.noted_bytes == 0
    store.hold()
    store.clear()
    assert rows_of(store) == {}
    assert store.noted_bytes == 0
