"""The real journal on a disk that forgets: what was acknowledged is there after any boundary."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any, cast

import pytest

from node import journal as journal_module
from node.journal import Journal
from tests.node.faulty_files import Disk, FaultyPath, Killed

BATCHES = 4
LIVES = 3
SEEDS = 10
SPARE_BYTES = 60
"""Some batches go over zeros, some grow the file."""


def live(disk: Disk, told: list[bytes], life: int) -> None:
    """Open the journal, find all that was acknowledged, add some, and write it anew."""
    path = cast("Any", FaultyPath(disk, ("data", "pool.journal")))
    journal = Journal(path, spare_bytes=SPARE_BYTES)
    found = journal.load()
    lost = [raw for raw in told if raw not in found]
    assert not lost, f"{len(lost)} acknowledged records are lost"
    for batch in range(BATCHES):
        raws = [bytes([life, batch, each]) * 5 for each in range(2)]
        journal.append_many(raws)
        told += raws
    journal.compact(lambda raw: raw in told)
    journal.close()


def use(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(journal_module, "os", disk)
    FaultyPath(disk, ("data",)).mkdir()
    disk.root.sync()
    return disk


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "fail"])
def test_every_boundary(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Killed, or refused by the disk, at any call, then without power: nothing told is lost.

    Planted bugs that this kills: a folder that is synced only by the process that made the file;
    a file whose tail a failed fsync left in the system's memory alone; zeros that are used before
    they are synced with the length; a torn record that is left behind the last whole one.
    """
    disk = use(monkeypatch)
    live(disk, [], 0)
    live(disk, [], 1)
    calls = disk.calls
    assert calls > 30
    for at in range(1, calls + 1):
        for seed in range(SEEDS):
            random = Random(f"{at}/{seed}")
            disk = use(monkeypatch)
            told: list[bytes] = []
            for life in range(LIVES):
                first = disk.calls + at if life == 0 else disk.calls + random.randint(1, calls)
                disk.kill_at = first if how == "kill" or random.random() < 0.5 else -1
                disk.fail_at = first if how == "fail" and disk.kill_at < 0 else -1
                with suppress(Killed, OSError):
                    live(disk, told, life)
                disk.kill_at = disk.fail_at = -1
                if random.random() < 0.6:
                    disk.cut_power(random)
            live(disk, told, LIVES)
