"""1,500 schedules of faults must keep every invariant, and must have gone down the rare roads."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.simulate import main
from tests.sim.coverage import LINES
from tests.sim.mutants import MUTANTS, hunt
from tests.sim.plan import Act
from tests.sim.shrink import failure, shrink
from tests.sim.world import World

RARE = {
    "lock moved to another block by a later quorum",
    "prevoted against the lock thanks to a later prevote quorum",
    "log torn inside a record",
    "key without a past watched, then signed",
    "second vote counted for a proposal's quorum",
    "decided by precommits of an earlier round",
    "log lost a rename",
    "log kept later writes behind a hole",
    "validator came into the set",
    "messages held back and sent late",
    "re-proposal without its prevotes",
    "flooded with far rounds and heights",
}
"""Roads that a batch may miss; all batches together must not."""
RAREST = {
    "prevoted against the lock thanks to a later prevote quorum",
    "key without a past watched, then signed",
}
"""Roads that some thousand schedules take for sure; the command asks for them from 10,000 on."""

_seen: Counter[str] = Counter()


def run_batch(first_seed: int, count: int, validators: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + count):
        World(seed, validators, seen=seen).run()
    _seen.update(seen)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(4))
def test_four_validators_agree_and_recover(batch: int) -> None:
    """Four validators (one may lie) never fork, never sign twice, and go on after the faults."""
    seen = run_batch(10_000 * (batch + 1), 300, 4)
    assert not [line for line in LINES if line not in RARE and not seen[line]]


@pytest.mark.slow
@pytest.mark.parametrize(("validators", "count"), [(1, 150), (7, 100), (10, 50)])
def test_other_sizes_agree_and_recover(validators: int, count: int) -> None:
    """One validator alone, seven, and ten (three may be away) keep the same invariants."""
    seen = run_batch(70_000, count, validators)
    assert seen["recovered votes from the log"] > 0


@pytest.mark.slow
def test_real_signatures_agree_and_recover() -> None:
    """The same holds with real secp256k1 signatures over the real digests."""
    for seed in range(8):
        World(seed, 4, has_real_keys=True).run()


@pytest.mark.slow
def test_rare_roads_were_taken() -> None:
    """Together the schedules moved locks, tore logs, and let a key without a past sign again."""
    if not _seen:
        pytest.skip("needs the batches of this file before it")
    assert not [line for line in LINES if not _seen[line] and line not in RAREST]


def test_equal_seeds_give_equal_schedules() -> None:
    """A seed is an address: two runs of it do the very same."""
    one: list[str] = []
    other: list[str] = []
    assert World(7, 4, trace=one.append).run() == World(7, 4, trace=other.append).run()
    assert one == other


def test_command_prints_the_replay_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command exits 0 without and 1 with a violation, and says how to repeat it."""
    assert main(["--schedules", "3", "--validators", "1,4"]) == 0
    assert "no violation" in capsys.readouterr().out
    monkeypatch.setattr("tests.sim.world.RECOVERY_MS_MAX", -1)
    assert main(["--schedules", "1", "--seed", "9", "--validators", "4"]) == 1
    assert "--replay 9 --validators 4 --shrink" in capsys.readouterr().out
    assert main(["--replay", "9", "--validators", "4"]) == 1
    assert "node 0 Status(height=1" in capsys.readouterr().out


def test_jobs_find_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes run the same schedules as one does."""
    counts = []
    for jobs in ("1", "2"):
        assert main(["--schedules", "150", "--validators", "1", "--jobs", jobs]) == 0
        counts.append(capsys.readouterr().out.splitlines()[1])
    assert counts[0] == counts[1]


@pytest.mark.slow
def test_shrinking_drops_needless_faults() -> None:
    """A failing schedule keeps failing in the same way with the few faults that it takes."""
    bug = next(each for each in MUTANTS if each.name == "ClockTrusted")
    found = hunt(bug)
    assert found is not None
    seed = found[0] - 1
    before = World(seed, 1).plan
    shrunk = shrink(seed, 1, bug.core_class)
    assert shrunk is not None
    plan, words = shrunk
    assert words.startswith("stuck")
    assert 1 <= len(plan.faults) < len(before.faults)
    assert Act.CLOCK_JUMP in {each.act for each in plan.faults}
    assert failure(seed, 1, plan) is None
