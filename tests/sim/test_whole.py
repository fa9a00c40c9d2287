"""Whole nodes that crash, lose power and are cut off keep one chain and lose nothing they owe."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

import pytest

from node.journal import Journal
from node.wal import Wal
from scripts.whole_nodes import main
from tests.node.faulty_files import Disk
from tests.sim.chain import Violation
from tests.sim.whole import WholeWorld

SEEDS = range(20, 40)
BUDGET = 60


@pytest.mark.slow
def test_whole_nodes_survive() -> None:
    """Twenty runs keep every invariant, and went through each kind of fault."""
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        WholeWorld(seed, seen).run()
    assert min(
        seen["killed at a write"],
        seen["the disk refused"],
        seen["power was cut with the process"],
        seen["the network was split"],
        seen["messages were lost"],
        seen["acknowledged transfer still pending"],
    )


@pytest.mark.slow
def test_equal_seeds_give_equal_runs() -> None:
    """A seed is an address, for whole nodes too."""
    assert WholeWorld(5).run() == WholeWorld(5).run()


def hunt() -> str:
    """Return what broke first, or fail."""
    for seed in range(BUDGET):
        try:
            WholeWorld(seed).run()
        except Violation as violation:
            return str(violation)
    pytest.fail("the planted bug survived")


@pytest.mark.slow
def test_unsynced_journal_is_found() -> None:
    """Planted bug: the journal tells that a transfer is durable before it is."""
    append = Journal.append_many

    def append_without_sync(journal: Journal, raws: list[bytes]) -> None:
        skip = patch.object(Disk, "fdatasync", lambda *_: None)
        with patch.object(Disk, "fsync", lambda *_: None), skip:
            append(journal, raws)

    with patch.object(Journal, "append_many", append_without_sync):
        assert "acknowledged transfers are lost" in hunt()


@pytest.mark.slow
def test_unwritten_log_is_found() -> None:
    """Planted bug: nothing is appended to the write-ahead log after its beginning."""
    append = Wal.append

    def forget(wal: Wal, records: list[object]) -> None:
        if wal.is_new:
            append(wal, records)  # type: ignore[arg-type]  # records, as they come
        else:
            for record in records:
                wal.guard.reserve(record)  # type: ignore[arg-type]  # as above

    with patch.object(Wal, "append", forget):
        assert "double sign" in hunt()


@pytest.mark.slow
def test_command_counts_and_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints its seeds and what happened."""
    assert main(["--runs", "2", "--seed", "7"]) == 0
    printed = capsys.readouterr().out
    assert "seeds 7 to 8" in printed
    assert "no violation" in printed
