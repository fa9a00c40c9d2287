"""Official Ethereum state tests (EEST v5.4.0, Prague) against the engine and our own trie."""

from dataclasses import replace

import pytest

from primitives.types import ZERO_HASH
from scripts.vectors import SETS, Case, judge, load_cases
from tests.vectors import vectors
from vm.pyevm.engine import PyEvmEngine

ENGINE = PyEvmEngine(allow_unprotected=True)
CASES = {"static": 494, "eest": 298, "osaka": 0}
"""How many Prague cases each set holds: a runner that finds fewer proves nothing."""


def prague(name: str) -> list[Case]:
    return list(load_cases(vectors("state-tests"), "Prague", (name,)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_every_prague_case_has_the_official_result(name: str) -> None:
    """All official results hold; only blob transactions, which no QENEX chain takes, are left."""
    verdicts = [judge(case, ENGINE) for case in prague(name)]
    assert len(verdicts) == CASES[name]
    assert [f"{v.name}: {v.why}" for v in verdicts if v.outcome == "failed"] == []
    skipped = [v for v in verdicts if v.outcome == "skipped"]
    assert {v.why for v in skipped} <= {"blob transaction"}
    assert len(skipped) == (42 if name == "eest" else 0)


@pytest.mark.slow
def test_every_case_that_must_be_refused_is_refused() -> None:
    """The suite holds refusals of several kinds, and none of them is executed."""
    refusals = [c for name in SETS for c in prague(name) if c.must_fail and c.raw[0] != 3]
    assert len(refusals) >= 20
    assert {judge(case, ENGINE).outcome for case in refusals} == {"passed"}


def test_the_judge_sees_a_wrong_root_wrong_logs_and_a_wrong_acceptance() -> None:
    """A case whose expectation is changed fails, so that a pass means something."""
    case = next(c for c in prague("eest") if not c.must_fail)
    assert judge(case, ENGINE).outcome == "passed"
    assert judge(replace(case, state_root=ZERO_HASH), ENGINE).outcome == "failed"
    assert judge(replace(case, logs_hash=ZERO_HASH), ENGINE).outcome == "failed"
    assert judge(replace(case, must_fail="any"), ENGINE).outcome == "failed"
