"""RocksDB behind the KeyValue interface: same answers as the memory store, whole after a crash."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.blockstore import BlockStore
from node.store import (
    CACHE_BYTES,
    SCAN_ROWS,
    SCAN_ROWS_FIRST,
    WRITE_BUFFERS_BYTES,
    RocksStore,
    scan_rows,
)
from primitives.errors import BrokenInvariant, ConfigError, StoreCorrupt
from primitives.keyvalue import Column, KeyValueReader, MemoryStore, Write
from tests.node.chains import chain, next_block

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    opened = RocksStore(tmp_path / "chain")
    yield opened
    opened.close()


keys = st.binary(max_size=3)
columns = st.sampled_from([Column.META, Column.SLOT])
rows = st.tuples(columns, keys, st.one_of(st.none(), st.binary(max_size=4)))


def everything(store: KeyValueReader) -> dict[Column, list[tuple[bytes, bytes]]]:
    return {column: list(store.scan(column)) for column in Column}


@pytest.mark.slow
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(rows, max_size=8), max_size=4), columns, keys, keys)
def test_equals_memory_store(
    store: RocksStore, history: list[list[Write]], column: Column, prefix: bytes, start: bytes
) -> None:
    """Batches, gets and scans give what the memory store gives, in the store and in snapshots.

    Kills: a scan of a snapshot that sees later writes; a delete after a put of one key in a batch
    that is lost; a scan that goes past its prefix; a missing key that raises.
    """
    store.write([(each, key, None) for each in Column for key, _ in store.scan(each)], sync=False)
    memory = MemoryStore()
    pairs: list[tuple[KeyValueReader, KeyValueReader]] = [(store, memory)]
    for batch in history:
        store.write(batch, sync=False)
        memory.write(batch, sync=False)
        pairs.append((store.snapshot(), memory.snapshot()))
    for found, expected in pairs:
        assert everything(found) == everything(expected)
        assert found.get(column, prefix) == expected.get(column, prefix)
        scanned = list(found.scan(column, prefix, start))
        assert scanned == list(expected.scan(column, prefix, start))


def test_reopened_store_holds_all(tmp_path: Path) -> None:
    """What was written, with and without sync, is there after close and open."""
    store = RocksStore(tmp_path)
    store.write([(Column.META, b"a", b"1")], sync=True)
    store.write([(Column.TRIE, b"b", b"2"), (Column.TRIE, b"c", b"")], sync=False)
    store.close()
    again = RocksStore(tmp_path)
    assert again.get(Column.META, b"a") == b"1"
    assert list(again.scan(Column.TRIE)) == [(b"b", b"2"), (b"c", b"")]
    again.close()


def test_snapshot_is_one_moment_over_all_columns(store: RocksStore) -> None:
    """A snapshot sees none of the later writes in any column, and nothing deleted later."""
    store.write([(column, b"k", b"old") for column in Column], sync=False)
    snapshot = store.snapshot()
    store.write([(column, b"k", b"new") for column in Column], sync=False)
    store.write([(Column.META, b"k", None)], sync=False)
    assert {snapshot.get(column, b"k") for column in Column} == {b"old"}
    assert store.get(Column.META, b"k") is None
    assert list(snapshot.scan(Column.META)) == [(b"k", b"old")]


@pytest.mark.parametrize("count", [255, 256, 257, 700])
def test_long_scans(store: RocksStore, count: int) -> None:
    """Scans longer than one step lose and repeat nothing, also two of one snapshot at a time.

    Kills: a step that begins at the last row of the one before, or after the next.
    """
    rows = [(n.to_bytes(2, "big"), bytes([n & 255])) for n in range(count)]
    store.write([(Column.TRIE, key, value) for key, value in rows], sync=False)
    snapshot = store.snapshot()
    store.write([(Column.TRIE, key, None) for key, _ in rows[::2]], sync=False)
    one, other = snapshot.scan(Column.TRIE), snapshot.scan(Column.TRIE)
    pairs = list(zip(one, other, strict=True))
    assert pairs == [(row, row) for row in rows]
    assert list(store.scan(Column.TRIE)) == rows[1::2]
    assert list(snapshot.scan(Column.TRIE, b"\x00", b"\x00\x05")) == rows[5:256]


class Interrupted(dict[Column, Any]):
    """Columns during whose walk another thread gets its chance."""

    def __init__(self, columns: dict[Column, Any], other: Callable[[], None]) -> None:
        super().__init__(columns)
        self._thread = threading.Thread(target=other)

    def items(self) -> Any:
        for number, row in enumerate(super().items()):
            if number == 3:
                self._thread.start()
                self._thread.join(0.05)
            yield row

    def wait(self) -> None:
        self._thread.join()


def test_snapshot_excludes_the_writer(store: RocksStore) -> None:
    """A write that comes while a snapshot is taken waits, so no snapshot has half of a batch.

    Kills: a snapshot that is taken column by column without the writer's lock.
    """
    store.write([(column, b"k", b"old") for column in Column], sync=False)
    batch: list[Write] = [(column, b"k", b"new") for column in Column]
    tables = Interrupted(store._tables, lambda: store.write(batch, sync=False))
    store._tables = tables
    snapshot = store.snapshot()
    tables.wait()
    assert {snapshot.get(column, b"k") for column in Column} == {b"old"}
    assert {row for column in Column for row in snapshot.scan(column)} == {(b"k", b"old")}
    assert {store.get(column, b"k") for column in Column} == {b"new"}


class Rows:
    """An iterator as rocksdict has it, which lets another thread in at its first value."""

    def __init__(self, rows: list[tuple[bytes, bytes]]) -> None:
        self._rows = rows
        self._at = 0
        self.other: Callable[[], None] | None = None
        self.thread = threading.Thread(target=lambda: None)

    def seek(self, key: bytes) -> None:
        self._at = next((n for n, row in enumerate(self._rows) if row[0] >= key), len(self._rows))

    def valid(self) -> bool:
        return self._at < len(self._rows)

    def key(self) -> bytes:
        return self._rows[self._at][0]

    def value(self) -> bytes:
        if self.other is not None:
            self.thread = threading.Thread(target=self.other)
            self.other = None
            self.thread.start()
            self.thread.join(0.05)
        return self._rows[self._at][1]

    def next(self) -> None:
        self._at += 1

    def status(self) -> None:
        pass


def test_shared_iterator_is_moved_by_one_at_a_time() -> None:
    """Two threads that scan one snapshot both get every row once.

    Kills: a shared iterator that is moved without the lock.
    """
    content = [(bytes([n]), b"v") for n in range(9)]
    rows, lock = Rows(content), threading.Lock()
    seen: list[tuple[bytes, bytes]] = []
    rows.other = lambda: seen.extend(scan_rows(rows, lock, b"", b""))
    assert list(scan_rows(rows, lock, b"", b"")) == content
    rows.thread.join()
    assert seen == content


def test_scans_begin_with_a_short_step() -> None:
    """Who takes one row reads few, and a long scan still gives every row once, in order."""
    content = [(n.to_bytes(2, "big"), b"v") for n in range(3 * SCAN_ROWS + 7)]
    rows, lock = Rows(content), threading.Lock()
    assert next(scan_rows(rows, lock, b"", b"\x00\x05")) == content[5]
    assert rows._at <= 5 + SCAN_ROWS_FIRST
    for start in (0, 1, SCAN_ROWS_FIRST, SCAN_ROWS):
        assert list(scan_rows(rows, lock, b"", content[start][0])) == content[start:]


def test_one_snapshot_in_many_threads(store: RocksStore) -> None:
    """Threads share one snapshot, getting and scanning at once, while the store moves on."""
    rows = [(n.to_bytes(2, "big"), b"old") for n in range(600)]
    store.write([(Column.SLOT, key, value) for key, value in rows], sync=False)
    snapshot = store.snapshot()

    def read(number: int) -> bool:
        if number % 2:
            return list(snapshot.scan(Column.SLOT)) == rows
        return all(snapshot.get(Column.SLOT, key) == value for key, value in rows[::20])

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(read, range(24))
        for key, _ in rows[:50]:
            store.write([(Column.SLOT, key, b"new"), (Column.SLOT, key + b"x", b"new")], sync=False)
        assert all(answers)


def test_close_ends_everything_once(tmp_path: Path) -> None:
    """A second close does nothing; later use, of snapshots too, is a programmer's mistake."""
    store = RocksStore(tmp_path)
    store.write([(Column.META, b"a", b"1")], sync=False)
    snapshot = store.snapshot()
    store.close()
    store.close()
    uses: list[Callable[[], object]] = [
        lambda: store.get(Column.META, b"a"),
        lambda: store.scan(Column.META),
        lambda: store.write([], sync=False),
        store.snapshot,
        lambda: snapshot.get(Column.META, b"a"),
        lambda: snapshot.scan(Column.META),
    ]
    for use in uses:
        with pytest.raises(BrokenInvariant, match="closed"):
            use()
    RocksStore(tmp_path).close()


def test_second_opening_is_refused(store: RocksStore) -> None:
    """The folder of a running node is refused in one line, and stays usable for the first."""
    with pytest.raises(ConfigError, match="another node uses this folder"):
        RocksStore(store.path)
    assert store.get(Column.META, b"a") is None


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


OPEN = """
import sys
from pathlib import Path
from node.store import RocksStore
from primitives.errors import ConfigError
try:
    RocksStore(Path(sys.argv[1])).close()
except ConfigError as error:
    print(error)
"""


@pytest.mark.process
def test_folder_in_use_by_another_process(store: RocksStore) -> None:
    """Another process gets the same line, and the folder once the first lets go."""
    assert run_python(OPEN, str(store.path)).stdout == (
        f"another node uses this folder: {store.path}\n"
    )
    store.close()
    assert run_python(OPEN, str(store.path)).stdout == ""


def test_unusable_folders(tmp_path: Path) -> None:
    """A file in the place of the folder, and a place nobody can make, are ConfigErrors."""
    occupied = tmp_path / "file"
    occupied.write_text("x")
    for path in (occupied, occupied / "below"):
        with pytest.raises(ConfigError, match="cannot use the data folder"):
            RocksStore(path)


def filled(path: Path) -> None:
    """Leave a store with table files and a log, as a killed node does."""
    code = """
    import os, signal, sys
    from pathlib import Path
    from node.store import RocksStore
    from primitives.keyvalue import Column
    for flush in (True, False):
        store = RocksStore(Path(sys.argv[1]))
        rows = [(Column.TRIE, bytes([flush, n]) * 16, os.urandom(200)) for n in range(200)]
        store.write(rows, sync=True)
        store.write([(Column.META, b"last", bytes([flush]))], sync=True)
        if flush:
            store.close()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run_python(code, str(path)).returncode == -signal.SIGKILL


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0xFF
    path.write_bytes(raw)


def newest(folder: Path, pattern: str) -> Path:
    return max((p for p in folder.glob(pattern) if p.stat().st_size), key=lambda p: p.name)


def biggest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda p: p.stat().st_size)


@pytest.mark.process
@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST", "log", "table gone"])
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    """Damage that RocksDB finds at opening is StoreCorrupt with one line that names the folder."""
    filled(tmp_path)
    if name == "CURRENT":
        (tmp_path / "CURRENT").write_text("garbage\n")
    elif name == "MANIFEST":
        flip(newest(tmp_path, "MANIFEST*"), 50)
    elif name == "log":
        flip(newest(tmp_path, "*.log"), 5_000)
    else:
        biggest(tmp_path, "*.sst").unlink()
    with pytest.raises(StoreCorrupt) as caught:
        RocksStore(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.process
def test_damaged_table_is_refused_when_read(tmp_path: Path) -> None:
    """A flipped byte in a table raises StoreCorrupt from get, scan and snapshot.

    Kills: a scan that takes the damage for the end of the data.
    """
    filled(tmp_path)
    flip(biggest(tmp_path, "*.sst"), 1_000)
    store = RocksStore(tmp_path)
    key = bytes([1, 0]) * 16
    for reader in (store, store.snapshot()):
        with pytest.raises(StoreCorrupt, match="damaged"):
            reader.get(Column.TRIE, key)
        with pytest.raises(StoreCorrupt, match="damaged"):
            list(reader.scan(Column.TRIE))
    with suppress(StoreCorrupt):
        store.close()
    with suppress(StoreCorrupt):
        RocksStore(tmp_path).close()


@pytest.mark.process
def test_torn_end_of_the_log_is_cut_off(tmp_path: Path) -> None:
    """A log that ends in the middle of a batch opens with the batches before it."""
    filled(tmp_path)
    log = newest(tmp_path, "*.log")
    size = log.stat().st_size
    with log.open("r+b") as file:
        file.truncate(size - 3)
    store = RocksStore(tmp_path)
    assert store.get(Column.META, b"last") == b"\x01"
    assert store.get(Column.TRIE, bytes([0, 199]) * 16) is not None
    store.close()


KILLED = """
import sys
from pathlib import Path
from node.store import RocksStore
from primitives.keyvalue import Column
store = RocksStore(Path(sys.argv[1]))
value = int.from_bytes(store.get(Column.META, b"n") or b"", "big")
while True:
    value += 1
    row = value.to_bytes(4, "big")
    batch = [(column, n.to_bytes(2, "big"), row * 20) for column in Column for n in range(40)]
    store.write([*batch, (Column.META, b"n", row)], sync=True)
    print(value, flush=True)
"""


@pytest.mark.process
@pytest.mark.slow
def test_kill_in_the_middle_of_batches(tmp_path: Path) -> None:
    """After kill -9 the last acknowledged batch is there, and whatever is there is whole."""
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        acknowledged = 0
        for _ in range(12):
            acknowledged = int(child.stdout.readline())
        child.kill()
        rest = child.communicate(timeout=30)[0].split()
        acknowledged = max([acknowledged, *map(int, rest[:-1])])
        store = RocksStore(tmp_path)
        row = store.get(Column.META, b"n") or b""
        assert acknowledged <= int.from_bytes(row, "big") <= acknowledged + 2
        values = {value for column in Column for key, value in store.scan(column) if key != b"n"}
        assert values == {row * 20}
        store.close()


@pytest.mark.process
def test_full_disk_is_one_fatal_line(tmp_path: Path) -> None:
    """A batch that the disk does not take raises Fatal with one line, and earlier ones stay.

    A limit on the size of files stands for the full disk.
    """
    code = """
    import os, resource, signal, sys
    from pathlib import Path
    from node.store import RocksStore
    from primitives.errors import Fatal
    from primitives.keyvalue import Column
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = RocksStore(Path(sys.argv[1]))
    store.write([(Column.META, b"a", b"1")], sync=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        store.write([(Column.META, b"a", bytes(200_000))], sync=True)
    except Fatal as error:
        print(error)
    """
    result = run_python(code, str(tmp_path))
    assert result.stdout.startswith(f"cannot write to {tmp_path}: ")
    assert result.stdout.count("\n") == 1
    store = RocksStore(tmp_path)
    assert store.get(Column.META, b"a") == b"1"
    store.close()


def test_chain_lives_on_disk(tmp_path: Path) -> None:
    """A chain grows on RocksDB, survives closing, and is found again by its genesis hash."""
    store = RocksStore(tmp_path)
    view = chain(store, 3).view()
    head, own = view.head_hash, view.genesis_hash
    store.close()
    store = RocksStore(tmp_path)
    blocks = BlockStore.open(store, own)
    assert blocks.view().head_hash == head
    assert blocks.commit(next_block(blocks.view()), b"certificate").height == 4
    store.close()


def test_memory_is_bounded() -> None:
    """Cache and write buffers together stay below what four nodes on one machine can spare."""
    assert CACHE_BYTES + WRITE_BUFFERS_BYTES <= 30 * 2**20
