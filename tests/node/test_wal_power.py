"""The real log on a disk that forgets: killed at every boundary, it never signs twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any, cast

import pytest

from consensus.messages import Kind, Message, Vote
from consensus.wal import Checkpoint, Intent
from node import wal as wal_module
from node.wal import Wal
from primitives.errors import DoubleSignRefused, WalFailed
from primitives.types import Address, ChainId, Hash32, Height, Round
from tests.node.faulty_files import Disk, FaultyPath, Killed

CHAIN = ChainId(7)
ME = Address(b"\x01" * 20)
HEIGHTS = 3
LIVES = 3
SEGMENT_BYTES = 150


def place(message: Message) -> tuple[int, int, int]:
    return message.height, message.round, message.kind


class Key:
    """What the world has seen signed: one message for one place, or the test fails."""

    def __init__(self) -> None:
        self.signed: dict[tuple[int, int, int], Message] = {}

    def sign(self, wal: Wal, message: Message) -> None:
        wal.guard.permit(message)
        assert self.signed.setdefault(place(message), message) == message, "signed twice"


def live(disk: Disk, key: Key, life: int) -> None:
    """Open the log, sign again what it intended, and go on for some heights."""
    wal = Wal(cast("Any", FaultyPath(disk, ("data", "wal"))), CHAIN)
    assert not (wal.is_new and key.signed), "the log is gone"
    height = 1
    for record in wal.records:
        height = max(height, record.height)
    for record in wal.records:
        if isinstance(record, Intent) and record.height == height:
            key.sign(wal, record.message)
    if wal.is_new:
        wal.begin(Height(1))
    for each in range(height, height + HEIGHTS):
        if each > height:
            wal.append([Checkpoint(Height(each), watch_left=0)])
        for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
            block_hash = Hash32(bytes([life + 1]) * 32)
            vote = Vote(kind, Height(each), Round(0), block_hash, ME)
            with suppress(DoubleSignRefused):
                wal.append([Intent(vote)])
                key.sign(wal, vote)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES_MAX", SEGMENT_BYTES)
    yield


def use(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(wal_module, "os", disk)
    FaultyPath(disk, ("data",)).mkdir()
    disk.root.sync()
    return disk


def boundaries(monkeypatch: pytest.MonkeyPatch) -> int:
    disk = use(monkeypatch)
    live(disk, Key(), 0)
    live(disk, Key(), 0)
    return disk.calls


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("how", ["kill", "fail"])
def test_every_boundary(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Killed, or refused by the disk, at any call, then without power: no conflicting signature.

    Planted bugs that this kills: no sync of the folder after the rename; no sync of the folder that
    the log's folder is in; a log that is read after a kill or a failed sync and held for durable.
    """
    calls = boundaries(monkeypatch)
    assert calls > 50
    for at in range(1, calls + 1):
        for seed in range(12):
            random = Random(f"{at}/{seed}")
            disk, key = use(monkeypatch), Key()
            for life in range(LIVES):
                first = disk.calls + at if life == 0 else disk.calls + random.randint(1, calls)
                disk.kill_at = first if how == "kill" or random.random() < 0.5 else -1
                disk.fail_at = first if how == "fail" and disk.kill_at < 0 else -1
                with suppress(Killed, WalFailed):
                    live(disk, key, life)
                disk.kill_at = disk.fail_at = -1
                if random.random() < 0.6:
                    disk.cut_power(random)
            live(disk, key, LIVES)
