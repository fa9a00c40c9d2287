"""Official Ethereum state tests (EEST v5.4.0: Cancun, Prague, Osaka) against engine and trie."""

import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from primitives.types import ZERO_HASH
from scripts import vectors as script
from scripts.vectors import Case, judge, load_cases
from tests.vectors import vectors
from vm.pyevm.engine import make_engine

ENGINE = make_engine("plain", allow_unprotected=True)
CASES = {"Cancun": 732, "Prague": 792, "Osaka": 113}
"""How many cases each fork has: a runner that finds fewer proves nothing."""

BLOB_CASES = {"Cancun": 19, "Prague": 42, "Osaka": 0}


@cache
def cases(fork: str) -> tuple[Case, ...]:
    return tuple(load_cases([vectors("state-tests")], fork))


@pytest.mark.slow
@pytest.mark.parametrize("fork", CASES)
def test_every_case_has_the_official_result(fork: str) -> None:
    """All official results hold, those of blob transactions too; nothing is left out."""
    verdicts = [judge(case, ENGINE) for case in cases(fork)]
    assert len(verdicts) == CASES[fork]
    assert sum(case.raw[0] == 3 for case in cases(fork)) == BLOB_CASES[fork]
    assert [f"{v.name}: {v.why}" for v in verdicts if v.outcome != "passed"] == []


@pytest.mark.slow
def test_every_case_that_must_be_refused_is_refused() -> None:
    """The suite holds refusals of several kinds, and none of them is executed."""
    refusals = [case for fork in CASES for case in cases(fork) if case.must_fail]
    assert len(refusals) == 58
    assert {judge(case, ENGINE).outcome for case in refusals} == {"passed"}


def test_the_judge_sees_a_wrong_root_wrong_logs_and_a_wrong_acceptance() -> None:
    """A case whose expectation is changed fails, so that a pass means something."""
    case = next(c for c in cases("Osaka") if not c.must_fail)
    assert judge(case, ENGINE).outcome == "passed"
    assert judge(replace(case, state_root=ZERO_HASH), ENGINE).outcome == "failed"
    assert judge(replace(case, logs_hash=ZERO_HASH), ENGINE).outcome == "failed"
    assert judge(replace(case, must_fail="any"), ENGINE).outcome == "failed"
    assert judge(replace(case, rules=None), ENGINE).outcome == "left out"


def test_the_rules_of_another_fork_are_seen() -> None:
    """The Osaka cases are no Prague cases: run under Prague, most of them fail."""
    prague = cases("Prague")[0].rules
    outcomes = Counter(
        judge(replace(case, rules=prague), ENGINE).outcome for case in cases("Osaka")[::9]
    )
    assert outcomes["failed"] > outcomes["passed"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["vectors", *arguments])
    return script.main()


def test_the_command_says_how_many_passed_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any folder or file of tests; one fork; a part of the name; the last line counts."""
    path = str(vectors("state-tests", "osaka", "eip7939_count_leading_zeros.json"))
    assert run(monkeypatch, path, "--engine", "plain", "--fork", "osaka", "--every", "5") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(" passed, 0 failed")
    assert int(last.split()[0]) > 0
    assert run(monkeypatch, path, "-k", "no such case") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed"


def test_the_command_names_failures_and_counts_unknown_forks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A case with another root fails by name; a fork that we lack is neither passed nor failed."""
    source = vectors("state-tests", "osaka", "eip7939_count_leading_zeros.json").read_text()
    case = next(c for c in cases("Osaka") if "count_leading_zeros" in c.name and not c.must_fail)
    root = case.state_root.hex()
    (tmp_path / "wrong.json").write_text(source.replace(root, "11" * 32))
    assert run(monkeypatch, str(tmp_path), "--list-failures") == 1
    out = capsys.readouterr().out
    assert "FAILED wrong.json::" in out
    assert not out.splitlines()[-1].endswith(" 0 failed")
    (tmp_path / "wrong.json").write_text(source.replace('"Osaka":', '"Amsterdam":'))
    assert run(monkeypatch, str(tmp_path)) == 1
    out = capsys.readouterr().out
    assert "left out: no fork Amsterdam" in out
    assert out.splitlines()[-1] == "0 passed, 0 failed"


def test_the_command_refuses_what_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder that does not exist, an unknown engine, and no folder at all."""
    monkeypatch.delenv("QENEX_VECTORS", raising=False)
    for wrong in ((str(tmp_path / "none"),), ("--engine", "steam"), ()):
        with pytest.raises(SystemExit):
            run(monkeypatch, *wrong)
