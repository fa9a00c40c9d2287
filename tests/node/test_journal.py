"""What the journal acknowledged survives a crash; what it did not is cut off cleanly."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.journal import BLOATED_RECORDS_MIN, HEADER_BYTES, MARK, Journal
from primitives.errors import BrokenInvariant, StoreCorrupt
from primitives.params import TRANSACTION_BYTES_MAX

IGNORED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
"""Each example starts with a fresh file, so sharing the folder is no fault."""

raws = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "pool.journal"


def write(path: Path, records: list[bytes]) -> None:
    """Write a fresh journal and close it."""
    path.unlink(missing_ok=True)
    journal = Journal(path)
    assert journal.load() == []
    journal.append_many(records)
    journal.close()


def read(path: Path) -> list[bytes]:
    """Return what a journal holds."""
    journal = Journal(path)
    found = journal.load()
    journal.close()
    return found


@settings(suppress_health_check=IGNORED, max_examples=25)
@given(batches=st.lists(raws, max_size=4))
def test_round_trip(path: Path, batches: list[list[bytes]]) -> None:
    """All batches come back in order, over any number of restarts."""
    path.unlink(missing_ok=True)
    told: list[bytes] = []
    for batch in batches:
        journal = Journal(path)
        assert journal.load() == told
        journal.append_many(batch)
        told += batch
        assert len(journal) == len(told)
        journal.close()
    assert read(path) == told
    assert path.stat().st_mode & 0o777 == 0o600


@settings(suppress_health_check=IGNORED, max_examples=30)
@given(records=raws, data=st.data())
def test_torn_tail(path: Path, records: list[bytes], data: st.DataObject) -> None:
    """Cut anywhere, a file yields its whole records, and takes new ones after them.

    Planted bug: not truncating, so that new records land behind the torn one and are lost.
    """
    write(path, records)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept: list[bytes] = []
    end = len(MARK)
    for record in records:
        end += HEADER_BYTES + len(record)
        if end <= cut:
            kept.append(record)
    journal = Journal(path)
    assert journal.load() == kept
    journal.append_many([b"new"])
    journal.close()
    assert read(path) == [*kept, b"new"]


@settings(suppress_health_check=IGNORED, max_examples=30)
@given(records=raws.filter(bool), data=st.data())
def test_damaged_bytes(path: Path, records: list[bytes], data: st.DataObject) -> None:
    """A changed byte never yields a record that was not written; those before it are kept."""
    write(path, records)
    damaged = bytearray(path.read_bytes())
    index = data.draw(st.integers(len(MARK), len(damaged) - 1))
    damaged[index] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(damaged))
    found = read(path)
    assert found == records[: len(found)]
    whole = len(MARK)
    for count, record in enumerate(records):
        whole += HEADER_BYTES + len(record)
        if index < whole:
            assert len(found) == count
            break


def test_what_was_cut_off_never_comes_back(path: Path) -> None:
    """A record behind a damaged one is gone for good; planted bug: not truncating at load."""
    write(path, [b"first", b"second", b"third"])
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"second", b"SECOND"))
    journal = Journal(path)
    assert journal.load() == [b"first"]
    journal.append_many([b"latest"])
    journal.close()
    assert read(path) == [b"first", b"latest"]


def test_torn_bytes_are_counted(path: Path) -> None:
    """The loader tells how much it cut off."""
    write(path, [b"one"])
    path.write_bytes(path.read_bytes() + b"\x00\x00\x00\x09torn")
    journal = Journal(path)
    assert journal.load() == [b"one"]
    assert journal.torn_bytes == 8
    journal.close()


def test_foreign_file_is_left_alone(path: Path) -> None:
    """A file that is no journal is refused and keeps its bytes."""
    path.write_bytes(b"something else entirely")
    with pytest.raises(StoreCorrupt, match="not a pool journal"):
        Journal(path).load()
    assert path.read_bytes() == b"something else entirely"


def test_compaction(path: Path) -> None:
    """Compacting keeps what is needed, and a crash before the rename keeps all."""
    write(path, [b"included", b"kept", b"included too"])
    path.with_name(path.name + ".new").write_bytes(b"left by a crash")
    journal = Journal(path)
    journal.load()
    assert not path.with_name(path.name + ".new").exists()
    journal.compact(lambda raw: raw == b"kept")
    journal.append_many([b"later"])
    assert len(journal) == 2
    journal.close()
    assert read(path) == [b"kept", b"later"]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]


def test_compaction_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new file cannot be made durable, the old one stays in use."""
    write(path, [b"a", b"b"])
    journal = Journal(path)
    journal.load()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", _no_space)
        with pytest.raises(OSError, match="No space"):
            journal.compact(lambda raw: raw == b"b")
    journal.append_many([b"c"])
    journal.close()
    assert read(path) == [b"a", b"b", b"c"]


def test_a_write_that_fails_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the journal as it was; planted bug: keeping the half-written record."""
    journal = Journal(path)
    journal.load()
    journal.append_many([b"a"])
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", _no_space)
        with pytest.raises(OSError, match="No space"):
            journal.append_many([b"1", b"never acknowledged"])
    assert read(path) == [b"a"]
    journal.append_many([b"2"])
    journal.close()
    assert read(path) == [b"a", b"2"]


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_every_append_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch costs one sync, done before the call returns; planted bug: none.

    Over zeros written ahead fdatasync does; who writes new ones needs fsync, and the length stays
    as it is in between.
    """
    journal = Journal(path, spare_bytes=60)
    journal.load()
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append("all"))
    monkeypatch.setattr(os, "fdatasync", lambda _: synced.append("data"))
    lengths = []
    for _ in range(5):
        journal.append_many([b"a", b"b", b"c"])
        lengths.append(path.stat().st_size - len(MARK))
    assert synced == ["all", "data", "data", "all", "data"]
    assert lengths == [87, 87, 87, 168, 168]
    journal.close()
    assert path.stat().st_size == len(MARK) + 5 * 27


def test_zeros_ahead_are_no_torn_bytes(path: Path) -> None:
    """A node that was killed leaves zeros behind its records, and nothing that counts as torn."""
    journal = Journal(path)
    journal.load()
    journal.append_many([b"one"])
    killed = path.read_bytes()
    journal.close()
    assert len(killed) > len(MARK) + HEADER_BYTES + 3
    path.write_bytes(killed)
    again = Journal(path)
    assert again.load() == [b"one"]
    assert again.torn_bytes == 0
    assert path.stat().st_size == len(MARK) + HEADER_BYTES + 3
    again.close()


def test_bounds(path: Path) -> None:
    """File and record sizes are bounded on both sides of the limit."""
    record = b"x" * 100
    journal = Journal(path, bytes_max=len(MARK) + 2 * (HEADER_BYTES + len(record)))
    with pytest.raises(BrokenInvariant):
        journal.append_many([record])
    journal.load()
    journal.append_many([record, record])
    with pytest.raises(OSError, match="would exceed"):
        journal.append_many([b"y"])
    with pytest.raises(BrokenInvariant):
        journal.append_many([b""])
    with pytest.raises(BrokenInvariant):
        journal.append_many([b"x" * (TRANSACTION_BYTES_MAX + 1)])
    journal.close()
    assert read(path) == [record, record]


def test_when_to_compact(path: Path) -> None:
    """A journal is bloated when it is large and more than half of it is history."""
    journal = Journal(path)
    journal.load()
    journal.append_many([b"x"] * (BLOATED_RECORDS_MIN - 1))
    assert not journal.is_bloated(0)
    journal.append_many([b"x"])
    assert journal.is_bloated(0)
    assert journal.is_bloated(BLOATED_RECORDS_MIN // 2 - 1)
    assert not journal.is_bloated(BLOATED_RECORDS_MIN // 2)
    journal.close()
