"""The engines agree: random transactions and bytecode on the plain and on the compiling engine."""

import sys
from collections import Counter

import pytest

from scripts.differ import (
    Pair,
    Report,
    compare,
    compare_in_processes,
    new_seed,
    not_covered,
    table,
    total,
)
from scripts.differ_world import CASES_PER_WORLD, FORKS, make_world
from tests.vm.mutants import MUTANTS, Mutant, differs
from vm.forks import Fork

CASES = 10_000
PARTS = 5
FORKS_SEEN_MIN = 15
AGREEING = sorted({mutant.world for mutant in MUTANTS})


class Campaign:
    """The cases of one run of the suite, a part at a time, in worlds nobody has had."""

    def __init__(self) -> None:
        self.found = Report()
        self._done: set[int] = set()

    def run(self, part: int) -> list[str]:
        """Run a part, once; return the commands that repeat what differs."""
        if part in self._done:
            return []
        self._done.add(part)
        seed = new_seed()
        sys.stdout.write(f"python -m scripts.differ --cases {CASES // PARTS} --seed {seed}\n")
        found = total(compare_in_processes(CASES // PARTS, seed, jobs=2))
        self.found.add(found)
        return [f"python -m scripts.differ --cases 1 --seed {number}" for number in found.wrong]


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return Campaign()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_both_engines_agree_on_ten_thousand_new_cases(campaign: Campaign, part: int) -> None:
    """Receipts, gas, logs, change sets, roots and call results are equal, in every fork.

    The worlds are new in each run; what differs is repeated by the command that is shown.
    """
    assert campaign.run(part) == []


@pytest.mark.slow
def test_the_ten_thousand_cases_run_every_opcode_and_many_forks(campaign: Campaign) -> None:
    """No opcode of the newest fork was left out by chance or by the generator."""
    assert [campaign.run(part) for part in range(PARTS)] == [[]] * PARTS
    found = campaign.found
    sys.stdout.write(f"forks:\n{table(found.forks)}\nopcodes:\n{table(found.opcodes)}\n")
    assert found.cases == CASES
    assert found.transactions >= CASES
    assert not_covered(found.opcodes) == []
    assert len(found.forks) >= FORKS_SEEN_MIN


def test_a_world_is_its_number() -> None:
    """The same number gives the same world and transactions, another one others."""
    one, again, other = make_world(7), make_world(7), make_world(8)
    assert (one.alloc, one.transactions) == (again.alloc, again.transactions)
    assert (one.alloc, one.transactions) != (other.alloc, other.transactions)
    assert len(one.transactions) >= CASES_PER_WORLD


def test_every_fork_has_worlds() -> None:
    """No fork is left out, and what a world is made of follows its fork."""
    assert set(FORKS) == set(Fork)
    for fork in Fork:
        world = make_world(3, fork)
        assert world.context.rules.fork is fork
        assert Pair().differ(world) == []


def test_an_opcode_that_did_not_run_is_named() -> None:
    """Planted bug: a generator that never writes CLZ."""
    assert "CLZ" in not_covered(Counter({"ADD": 1}))
    assert "ADD" not in not_covered(Counter({"ADD": 1}))


@pytest.mark.slow
def test_the_worlds_that_find_the_planted_bugs_agree_without_them() -> None:
    """What the tests below find is what they plant."""
    assert differs(None, AGREEING) is None
    assert compare(range(AGREEING[0], AGREEING[0] + 1)).wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    """Each bug in templates, prices, memory, stack, gas and jumps makes its world differ."""
    assert differs(mutant, [mutant.world]) == mutant.world
