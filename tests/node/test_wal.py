"""The write-ahead log must be durable, survive a cut at any byte, and keep the guard's memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from consensus.messages import Kind, Vote
from consensus.wal import Checkpoint, Entered, Intent, Record, encode_record
from node import wal as wal_module
from node.wal import SUFFIX, Wal
from primitives.errors import BrokenInvariant, DoubleSignRefused, StoreCorrupt, WalFailed
from primitives.types import Address, ChainId, Hash32, Height, Round

CHAIN = ChainId(7)
ME = Address(b"\x01" * 20)


def vote(height: int, block: bytes = b"\xaa" * 32, round_: int = 0) -> Intent:
    return Intent(Vote(Kind.PREVOTE, Height(height), Round(round_), Hash32(block), ME))


def checkpoint(height: int) -> Checkpoint:
    return Checkpoint(Height(height), watch_left=0)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def test_records_come_back(tmp_path: Path) -> None:
    """What was appended is what the next start replays, in order."""
    wal = Wal(tmp_path, CHAIN)
    assert wal.is_new
    written: list[Record] = [checkpoint(1), vote(1), Entered(Height(1), Round(1))]
    wal.append(written[:1])
    wal.append(written[1:])
    wal.close()
    again = Wal(tmp_path, CHAIN)
    assert list(again.records) == written
    assert not again.is_new
    again.close()


def test_guard_survives_a_restart(tmp_path: Path) -> None:
    """A second, different vote for one place is refused after a restart, and nothing is written.

    Planted bug that this kills: a guard that is not fed with the log's records.
    """
    wal = Wal(tmp_path, CHAIN)
    wal.append([checkpoint(1), vote(1)])
    wal.close()
    again = Wal(tmp_path, CHAIN)
    before = segments(tmp_path)[0].read_bytes()
    again.append([vote(1)])
    with pytest.raises(DoubleSignRefused):
        again.append([vote(1, b"\xbb" * 32)])
    again.close()
    assert segments(tmp_path)[0].read_bytes() == before + encode_record(vote(1))


@pytest.mark.slow
def test_cut_at_every_byte(tmp_path: Path) -> None:
    """A log cut anywhere opens with the whole records before the cut and goes on from there."""
    records: list[Record] = [checkpoint(1), vote(1), vote(1, round_=1)]
    data = b"".join(map(encode_record, records))
    first = len(encode_record(records[0]))
    for cut in range(first, len(data) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / f"00000001{SUFFIX}").write_bytes(data[:cut])
        wal = Wal(folder, CHAIN)
        whole = len(wal.records)
        assert list(wal.records) == records[:whole]
        assert wal.torn_bytes == cut - sum(len(encode_record(each)) for each in wal.records)
        wal.append([vote(2)])
        wal.close()
        again = Wal(folder, CHAIN)
        assert list(again.records) == [*records[:whole], vote(2)]
        again.close()


def test_damaged_start_is_refused(tmp_path: Path) -> None:
    """A log whose first record is not whole is no torn tail: the key's past is lost, so stop."""
    (tmp_path / f"00000001{SUFFIX}").write_bytes(b"\x00" * 40)
    with pytest.raises(StoreCorrupt, match="does not begin with a whole record"):
        Wal(tmp_path, CHAIN)


def test_large_segment_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound the next checkpoint begins a segment that holds all that is needed."""
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES_MAX", 200)
    wal = Wal(tmp_path, CHAIN)
    for height in range(1, 40):
        wal.append([checkpoint(height), vote(height)])
        assert len(segments(tmp_path)) == 1
        assert segments(tmp_path)[0].stat().st_size < 400
    wal.close()
    again = Wal(tmp_path, CHAIN)
    assert again.records[-1] == vote(39)
    with pytest.raises(DoubleSignRefused):
        again.append([vote(39, b"\xbb" * 32)])
    with pytest.raises(DoubleSignRefused):
        again.append([vote(3)])
    again.close()


def test_left_over_segments_are_cleared(tmp_path: Path) -> None:
    """After a crash between rename and unlink the newest segment counts, half-made ones go."""
    old = encode_record(checkpoint(1)) + encode_record(vote(1))
    new = encode_record(checkpoint(2))
    (tmp_path / f"00000001{SUFFIX}").write_bytes(old)
    (tmp_path / f"00000002{SUFFIX}").write_bytes(new)
    (tmp_path / "00000003.new").write_bytes(new[:5])
    wal = Wal(tmp_path, CHAIN)
    assert wal.records == (checkpoint(2),)
    assert [each.name for each in tmp_path.iterdir()] == [f"00000003{SUFFIX}"]
    wal.close()


def test_full_disk_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that the disk refuses is WalFailed, so that nothing is signed."""
    wal = Wal(tmp_path, CHAIN)
    wal.append([checkpoint(1)])

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(WalFailed, match="No space left on device"):
        wal.append([vote(1)])
    monkeypatch.undo()
    wal.close()


def test_begin_declares_only_an_empty_log(tmp_path: Path) -> None:
    """A new key may sign from the height named; a log that holds anything cannot begin again."""
    wal = Wal(tmp_path, CHAIN)
    wal.begin(Height(1))
    assert wal.records == (checkpoint(1),)
    with pytest.raises(BrokenInvariant):
        wal.begin(Height(1))
    wal.close()
