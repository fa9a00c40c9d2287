"""Each stage of a node's work is metered where the work is done, and shown to Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consensus.wal import Checkpoint
from node.stages import stage_families
from node.wal import Wal
from primitives.meter import METER, Meter, Stage
from primitives.types import Height
from tests.node.nodes import (
    GENESIS,
    GENESIS_TIME,
    extend,
    make_intake,
    make_ledger,
    transfer,
)

Work = Callable[[], object]


def _submit(path: Path) -> Work:
    intake, raw = make_intake(make_ledger(), path / "journal"), transfer().raw
    return lambda: intake.submit_many([raw])


def _extend(_path: Path) -> Work:
    ledger, transaction = make_ledger(), transfer()
    return lambda: extend(ledger, [transaction])


def _check(_path: Path) -> Work:
    ledger, block = make_ledger(), extend(make_ledger(), [transfer()]).block
    return lambda: ledger.check(block, now=GENESIS_TIME)


def _log(path: Path) -> Work:
    wal = Wal(path / "wal", GENESIS.params.chain_id)
    return lambda: wal.append([Checkpoint(Height(1), watch_left=0)])


@contextmanager
def grows(*stages: Stage) -> Iterator[None]:
    """Check that some processor time of these stages passes."""
    before = METER.seconds()
    yield
    after = METER.seconds()
    assert {each for each in stages if after[each] <= before[each]} == set()


@pytest.mark.parametrize(
    ("prepare", "stages"),
    [
        (_submit, (Stage.DECODE, Stage.POOL, Stage.JOURNAL)),
        (_extend, (Stage.BUILD, Stage.STORE)),
        (_check, (Stage.CHECK,)),
        (_log, (Stage.LOG,)),
    ],
)
def test_work_counts_to_its_stage(
    prepare: Callable[[Path], Work], stages: tuple[Stage, ...], tmp_path: Path
) -> None:
    """Real work moves the counter of its stage. Kills: a part that nobody meters any more."""
    work = prepare(tmp_path)
    with grows(*stages):
        work()


def test_all_stages_are_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family has each stage once, and together they are the process's processor time."""
    meter = Meter()
    monkeypatch.setattr("node.stages.METER", meter)
    meter.run(Stage.CHECK, sum, range(10_000))
    before = time.process_time()
    (family,) = stage_families()
    after = time.process_time()
    assert (family.name, family.kind) == ("qenex_node_stage_seconds_total", "counter")
    shown = {dict(labels)["stage"]: value for suffix, labels, value in family.samples}
    assert list(shown) == [each.value for each in Stage]
    assert before - 1e-6 <= sum(shown.values()) <= after + 1e-6
