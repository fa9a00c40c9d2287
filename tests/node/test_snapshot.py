"""A snapshot makes the same state, or changes nothing: whatever is damaged, forged or stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from genesis.writing import save
from node.app import first_block, open_chain
from node.blockstore import ChainView
from node.check import check
from node.config import Settings
from node.folder import DataFolder
from node.ledger import Ledger
from node.snapshot import (
    UNITS,
    InvalidSnapshot,
    Place,
    decode_rows,
    encode_rows,
    read_chunk,
    root_node,
    unit_of,
    unit_reference,
)
from node.snapshot_build import Builder, install, old_folder, part_folder
from node.snapshot_files import export_snapshot, import_snapshot, trusted_genesis
from node.store import RocksStore
from primitives.crypto.keccak import keccak
from primitives.errors import HistoryPruned, QenexError
from primitives.keyvalue import Column, MemoryStore
from qenex.cli import main
from tests.node.nodes import GENESIS, extend, make_ledger, transfer
from vm.pyevm.engine import PyEvmEngine
from vm.state.encoding import decode_slim, encode_account
from vm.state.trie import build_trie
from vm.state.walk import walk_below

BLOCKS = 6
CHAIN_ID = GENESIS.params.chain_id
FIRST = first_block(PyEvmEngine(), GENESIS)
CREATION = bytes.fromhex("6001600055600260015560016000f3")
"""Stores two slots and leaves one byte of code."""


def nothing(what: str, done: int, total: int) -> None:
    """Take no notice."""


@pytest.fixture(scope="module")
def full() -> Ledger:
    """A chain with transfers and a contract in it."""
    ledger = make_ledger()
    for nonce in range(BLOCKS):
        made = transfer(sender=1, nonce=nonce, to=None, data=CREATION, gas=200_000)
        extend(ledger, [transfer(nonce=nonce), made])
    return ledger


@pytest.fixture
def exported(full: Ledger, tmp_path: Path) -> Path:
    """The snapshot of the chain's head, as files."""
    target = tmp_path / "snapshot"
    export_snapshot(full.view, BLOCKS, trusted_genesis(FIRST), CHAIN_ID, target, nothing)
    return target


@pytest.fixture
def home(tmp_path: Path) -> DataFolder:
    """A new node's folder."""
    folder = DataFolder(tmp_path / "new")
    folder.make()
    save(GENESIS, folder.genesis)
    return folder


def take(source: Path, home: DataFolder, trusted: bytes | None = None) -> None:
    import_snapshot(source, partial(Builder, home, fresh=True), FIRST, CHAIN_ID, trusted, nothing)


def arguments(home: DataFolder, source: Path) -> list[str]:
    return ["snapshot", "import", "--data-dir", str(home.path), "--from", str(source)]


def opened(home: DataFolder, do: Callable[[Ledger], None]) -> None:
    """Open the chain of a folder as a node does, let `do` use it, and close it."""
    store = RocksStore(home.chain)
    try:
        blocks = open_chain(store, PyEvmEngine(), GENESIS, Settings(home.path))
        do(Ledger(blocks, PyEvmEngine(), GENESIS.params))
        report = check(store.snapshot(), deep=True)
        assert report.is_good, report.errors
    finally:
        store.close()


def grow(ledger: Ledger) -> None:
    for _ in range(3):
        extend(ledger)


def rehash(source: Path) -> None:
    """Make the manifest agree with the files, as a forger would."""
    manifest = json.loads((source / "manifest.json").read_text())
    for row in manifest["files"]:
        raw = (source / row["name"]).read_bytes()
        row["bytes"], row["hash"] = len(raw), "0x" + keccak(raw).hex()
    (source / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.slow
def test_imported_state_is_the_chains(full: Ledger, exported: Path, home: DataFolder) -> None:
    """The new node has the same head, state and proofs, goes on with blocks, and lacks the past."""
    assert main(arguments(home, exported)) == 0
    assert not part_folder(home).exists()

    def compare(ledger: Ledger) -> None:
        view = ledger.view
        assert view.head_hash == full.view.head_hash
        for column in (Column.ACCOUNT, Column.SLOT, Column.TRIE, Column.CODE):
            assert list(view.store.scan(column)) == list(full.view.store.scan(column))
        assert view.block(BLOCKS) == full.view.block(BLOCKS)
        assert view.receipts(BLOCKS) == full.view.receipts(BLOCKS)
        assert view.certificate(BLOCKS) == full.view.certificate(BLOCKS)
        assert view.header(1) == full.view.header(1)
        assert view.block(0) == full.view.block(0)
        for read in (view.block, view.receipts, view.certificate, view.state_at):
            with pytest.raises(HistoryPruned, match="pruned history unavailable"):
                read(BLOCKS - 1)
        extend(ledger, [transfer(nonce=BLOCKS)])
        assert ledger.view.block(BLOCKS + 1) is not None
        assert ledger.view.state_at(BLOCKS) is not None

    opened(home, compare)
    assert main(arguments(home, exported)) == 2


@pytest.mark.slow
def test_snapshot_of_a_snapshot(exported: Path, home: DataFolder, tmp_path: Path) -> None:
    """A node that began with a snapshot exports one itself, of an older height too."""
    take(exported, home)
    install(home)
    opened(home, grow)
    out, third = tmp_path / "again", DataFolder(tmp_path / "third")
    base = ["snapshot", "export", "--data-dir", str(home.path)]
    assert main([*base, "--out", str(out), "--height", str(BLOCKS + 1)]) == 0
    assert main([*base, "--out", str(out)]) == 2
    assert main([*base, "--out", str(tmp_path / "old"), "--height", str(BLOCKS - 1)]) == 2
    third.make()
    save(GENESIS, third.genesis)
    assert main(arguments(third, out)) == 0
    opened(third, lambda ledger: None)


def change_chain(source: Path) -> None:
    path = source / "manifest.json"
    path.write_text(path.read_text().replace(f'"chainId": {CHAIN_ID}', '"chainId": 5'))


def flip(name: str, *, hashed: bool) -> Callable[[Path], None]:
    def damage(source: Path) -> None:
        raw = bytearray((source / name).read_bytes())
        raw[len(raw) // 2] ^= 1
        (source / name).write_bytes(raw)
        if hashed:
            rehash(source)

    return damage


def truncate(source: Path) -> None:
    path = source / "000003.rows"
    path.write_bytes(path.read_bytes()[:-5])


def swap(source: Path) -> None:
    path = source / "manifest.json"
    manifest = json.loads(path.read_text())
    rows = manifest["files"]
    rows[3], rows[5] = rows[5], rows[3]
    path.write_text(json.dumps(manifest))


def drop(source: Path) -> None:
    path = source / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"][4]
    path.write_text(json.dumps(manifest))


def enrich(source: Path) -> None:
    """Give an account more coins, with hashes that fit."""
    path = source / "000003.rows"
    rows = decode_rows(path.read_bytes())
    at = next(n for n, (key, _) in enumerate(rows) if len(key) == 20)
    rows[at] = (rows[at][0], rows[at][1].replace(rows[at][1][1:2], b"\x05", 1))
    path.write_bytes(encode_rows(rows))
    rehash(source)


def lose_code(source: Path) -> None:
    for path in source.glob("*.rows"):
        path.write_bytes(encode_rows([row for row in decode_rows(path.read_bytes()) if row[0]]))
    rehash(source)


def cut(source: Path) -> None:
    (source / "manifest.json").write_text("{")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "another chain": (change_chain, "another chain"),
    "no manifest": (lambda source: (source / "manifest.json").unlink(), "cannot read"),
    "manifest cut": (cut, "not a manifest"),
    "flipped": (flip("000002.rows", hashed=False), "damaged"),
    "truncated": (truncate, "damaged"),
    "missing": (lambda source: (source / "000001.rows").unlink(), "missing"),
    "reordered": (swap, "not in order"),
    "chunk left out": (drop, "root"),
    "richer": (enrich, "root|one form|damaged"),
    "without code": (lose_code, "lacks the code"),
    "forged point": (flip("point.bin", hashed=True), "snapshot"),
    "forged steps": (flip("steps.bin", hashed=True), "not proven"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_bad_snapshot_changes_nothing(name: str, exported: Path, home: DataFolder) -> None:
    """One clear line and no chain (bug: rows are seen before the root is checked)."""
    damage, words = DAMAGES[name]
    damage(exported)
    with pytest.raises(QenexError, match=words) as caught:
        take(exported, home)
    assert "\n" not in caught.value.message
    assert not install(home)
    assert not home.chain.exists()


def test_trusted_block(full: Ledger, exported: Path, home: DataFolder) -> None:
    """With a trusted hash the proof must pass by that block (bug: the hash is not looked at)."""
    with pytest.raises(InvalidSnapshot, match="does not pass"):
        take(exported, home, trusted=b"\x01" * 32)
    take(exported, home, trusted=full.view.head_hash)


def test_install_survives_a_stop_at_every_rename(exported: Path, home: DataFolder) -> None:
    """Whatever names a stop left, the next start has one whole chain."""
    take(exported, home)
    home.chain.mkdir()
    (home.chain / "left").write_text("")
    home.chain.rename(old_folder(home))
    assert install(home)
    assert not (home.chain / "left").exists()
    assert not install(home)
    home.chain.rename(old_folder(home))
    assert not install(home)
    assert home.chain.is_dir()
    opened(home, lambda ledger: None)


@pytest.mark.slow
@pytest.mark.process
def test_killed_import_can_be_repeated(exported: Path, home: DataFolder) -> None:
    """kill -9 in the middle leaves no chain, and the same command does it again."""
    command = [sys.executable, "-m", "qenex", *arguments(home, exported)]
    killed = 0
    while killed < 2:
        with subprocess.Popen(command) as process:
            while process.poll() is None and not (part_folder(home) / "CURRENT").exists():
                pass
            process.send_signal(signal.SIGKILL)
        killed += 1
        assert not home.chain.exists()
    take(exported, home)
    assert install(home)
    opened(home, lambda ledger: None)


def test_units_make_the_state(full: Ledger) -> None:
    """Chunks of all units hold every row once, and fit the children of the root."""
    store = full.view.store
    root = root_node(store)
    found = 0
    for unit in range(UNITS):
        leaves = [
            (key, encode_account(decode_slim(slim)))
            for key, slim in store.scan(Column.ACCOUNT)
            if unit_of(key) == unit
        ]
        assert walk_below(bytes((unit,)), leaves, lambda *_: None) == unit_reference(root, unit)
        rows, after = read_chunk(store, unit, Place())
        assert after is None
        found += len(rows)
    counts = [sum(1 for _ in store.scan(each)) for each in (Column.ACCOUNT, Column.SLOT)]
    assert found == sum(counts)


def test_chunks_go_on_where_they_ended(full: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any size of chunk gives the same rows, also when it ends amid an account's slots."""
    store = full.view.store
    whole = {unit: read_chunk(store, unit, Place())[0] for unit in range(UNITS)}
    monkeypatch.setattr("node.snapshot.CHUNK_BYTES_MAX", 1)
    for unit in range(UNITS):
        rows = []
        after: Place | None = Place()
        while after is not None:
            some, after = read_chunk(store, unit, after)
            rows += some
        assert rows == whole[unit]


@pytest.mark.parametrize("count", range(1, 4))
def test_unit_references_of_small_tries(count: int) -> None:
    """A root that is a leaf or an extension has references for its units too."""
    for salt in range(40):
        begin = b"\x1a" if salt % 2 else b""
        keys = sorted((begin + keccak(bytes([salt, n])))[:32] for n in range(count))
        items = [(key, b"value" * 9) for key in keys]
        root = build_trie(items).nodes[b""]
        assert root is not None
        for unit in range(UNITS):
            own = [row for row in items if unit_of(row[0]) == unit]
            expected = walk_below(bytes((unit,)), own, lambda *_: None)
            assert unit_reference(root, unit) == expected


def test_empty_part_is_no_chain(home: DataFolder) -> None:
    """A part that was begun and left does not stand in a node's way."""
    builder = Builder(home, fresh=True)
    builder.start_unit(3)
    builder.close()
    assert not install(home)
    assert not home.chain.exists()
    view = ChainView(make_ledger().view.store)
    assert view.base == 1
    assert replace(FIRST).block.hash == view.head_hash
    assert list(MemoryStore().scan(Column.META)) == []
