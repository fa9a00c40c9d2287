"""MemoryStore keeps what was written, scans in order, and its snapshots do not move."""

from hypothesis import given
from hypothesis import strategies as st

from primitives.keyvalue import Column, KeyValue, MemoryStore

keys = st.binary(max_size=3)
tables = st.dictionaries(keys, st.binary(max_size=3), max_size=20)


@given(tables, keys, keys)
def test_scan_is_ordered_and_filtered(table: dict[bytes, bytes], prefix: bytes, at: bytes) -> None:
    """A scan yields exactly the keys with the prefix from `start` on, in order."""
    store = MemoryStore()
    store.write([(Column.META, key, value) for key, value in table.items()], sync=True)
    wanted = sorted((k, v) for k, v in table.items() if k.startswith(prefix) and k >= at)
    assert list(store.scan(Column.META, prefix, at)) == wanted
    assert list(store.scan(Column.CODE)) == []


@given(tables, tables)
def test_snapshots_stand_still(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> None:
    """A snapshot answers as at its moment; None deletes."""
    store: KeyValue = MemoryStore()
    store.write([(Column.CODE, key, value) for key, value in before.items()], sync=False)
    snapshot = store.snapshot()
    store.write([(Column.CODE, key, None) for key in before], sync=False)
    store.write([(Column.CODE, key, value) for key, value in after.items()], sync=False)
    assert dict(snapshot.scan(Column.CODE)) == before
    assert dict(store.scan(Column.CODE)) == after
    for key in before.keys() | after.keys():
        assert store.get(Column.CODE, key) == after.get(key)
        assert snapshot.get(Column.CODE, key) == before.get(key)


def test_close_forgets() -> None:
    """A closed store is empty."""
    store = MemoryStore()
    store.write([(Column.META, b"a", b"b")], sync=True)
    store.close()
    assert store.get(Column.META, b"a") is None
