"""2,000 schedules of faults must keep every invariant, and must have gone down the rare roads."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.simulate import main
from tests.sim.coverage import LINES
from tests.sim.world import World

RARE = {
    "lock moved to another block by a later quorum",
    "prevoted against the lock thanks to a later prevote quorum",
    "log torn inside a record",
    "key without a past watched, then signed",
    "second vote counted for a proposal's quorum",
    "decided by precommits of an earlier round",
}
"""Roads that a batch of 450 schedules may miss; all batches together must not."""

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
    seen = run_batch(10_000 * (batch + 1), 450, 4)
    assert not [line for line in LINES if line not in RARE and not seen[line]]


@pytest.mark.slow
@pytest.mark.parametrize(("validators", "count"), [(1, 100), (7, 100)])
def test_other_sizes_agree_and_recover(validators: int, count: int) -> None:
    """One validator alone and seven (two may be away) keep the same invariants."""
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
    assert {line: _seen[line] for line in LINES if not _seen[line]} == {}


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
    assert "--schedules 1 --seed 9 --validators 4 --trace" in capsys.readouterr().out
    assert main(["--schedules", "1", "--seed", "9", "--validators", "4", "--trace"]) == 1
    assert "node 0 Status(height=1" in capsys.readouterr().out
