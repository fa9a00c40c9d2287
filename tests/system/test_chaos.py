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
from scripts.chaos_clocks import AHEAD_S_MAX, find_library
from scripts.chaos_report import Report
from scripts.chaos_watch import Ballots
from tests.consensus.makers import BLOCK_A, BLOCK_B, vote
from tests.system.test_chaos_packets import needs_namespaces

SECONDS = {"namespaces": 12.0, "proxies": 3.0}


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("links", chaos.LINKS)
def test_short_chaos(tmp_path: Path, links: str) -> None:
    """Kills, cuts, full disks, bad links, wrong clocks: nothing is lost, forked or voted twice."""
    if links == "namespaces":
        needs_namespaces()
    seed = random.SystemRandom().randrange(2**32)
    report = chaos.run(tmp_path, SECONDS[links], 20, seed, links=links, library=find_library(None))
    assert report.wrong == [], report.as_json()
    assert sum(report.faults.values()) >= 1
    assert report.acknowledged == report.mined + report.pending > 0
    assert report.votes_read > 0
    assert report.traffic["carried" if links == "namespaces" else "bytesCarried"] > 1_000


def test_clocks_that_do_not_step_or_lead_the_chain_are_told() -> None:
    """A step that no log shows is wrong; so is a block further ahead than drift and rounding."""
    report = Report(1)
    report.note_clocks({0: 60.0, 2: -60.0}, {0, 2}, AHEAD_S_MAX)
    assert report.wrong == []
    report.note_clocks({1: 5.0, 3: 5.0}, {3}, AHEAD_S_MAX + 0.5)
    assert report.wrong == [
        "nodes [2] felt no step of their clocks",
        "a block was 3.5 s ahead of the right clocks",
    ]
    assert (len(report.steps_s), report.steps_felt) == (4, 3)


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
