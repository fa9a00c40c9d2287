"""Real nodes through a short chaos lose nothing; and what the chaos looks for, it finds."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.messages import Kind
from consensus.wal import Intent, encode_record
from node.folder import DataFolder
from scripts import chaos
from scripts.chaos_watch import Ballots
from tests.consensus.makers import BLOCK_A, BLOCK_B, vote

SECONDS = 20.0


@pytest.mark.process
@pytest.mark.slow
def test_short_chaos(tmp_path: Path) -> None:
    """Kills, stops, cuts and full disks under transfers: nothing is lost, forked or voted twice."""
    seed = random.SystemRandom().randrange(2**32)
    report = chaos.run(tmp_path, SECONDS, 0, 20, seed)
    assert report.wrong == [], report.as_json()
    assert sum(report.faults.values()) >= 2
    assert report.acknowledged == report.mined + report.pending > 0
    assert report.votes_read > 0


def test_second_vote_in_a_log_is_found(tmp_path: Path) -> None:
    """Two votes of a node for one place are told, also when its log was written anew between."""
    folder = DataFolder(tmp_path)
    folder.wal.mkdir()
    ballots = Ballots([folder])
    votes = [vote(0, Kind.PREVOTE, block) for block in (BLOCK_A, BLOCK_B)]
    first, second = (Intent(replace(each, signature=b"")) for each in votes)
    (folder.wal / "1.log").write_bytes(encode_record(first))
    ballots.read()
    assert ballots.conflicts == []
    (folder.wal / "1.log").unlink()
    (folder.wal / "2.log").write_bytes(encode_record(second))
    ballots.read()
    assert ballots.conflicts == ["node 1 signed twice: height 1 round 0 PREVOTE"]
