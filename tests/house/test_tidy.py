"""The tree keeps the rules of style, and each rule bites on a planted sample."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts import tidy


class Sample(NamedTuple):
    """A text that breaks one rule, and the nearest text that keeps it."""

    rule: str
    bad: str
    good: str
    path: str = "node/sample.py"


DOC = '"""Says what it does."""\n'


def function(lines: int, docstring: int = 0) -> str:
    """Return a module with a function of that many lines, docstring lines on top of them."""
    doc = ['    """First.', *["    more"] * (docstring - 2), '    """'] if docstring else []
    return DOC + "\n".join(["def long() -> None:", *doc, *["    x = 1"] * (lines - 1), ""])


def table(cases: int) -> str:
    """Return a module whose one function is a `match` of that many cases."""
    body = [f"        case {n}:\n            return {n}" for n in range(cases)]
    return DOC + "\n".join(["def apply(x: int) -> int:", "    match x:", *body, ""])


TODO = "TO" + "DO"
SAMPLES = (
    Sample("function-size", function(61), function(60, docstring=20)),
    Sample("function-size", table(40) + "    return 0\n", table(40)),
    Sample("file-size", DOC + "X = 1\n" * 500, DOC + "X = 1\n" * 499),
    Sample(
        "positional-parameters",
        DOC + "def f(a, b, c, d, e, f, g): ...\n",
        DOC + "class C:\n    def f(self, a, b, c, d, e, f, *, g): ...\n",
    ),
    Sample("module-docstring", "X = 1\n", DOC + "X = 1\n"),
    Sample("module-docstring", "", DOC, "vm/__init__.py"),
    Sample("relative-import", DOC + "from . import x\n", DOC + "from node import x\n"),
    Sample("late-import", DOC + "def f():\n    import os\n", DOC + "import os\n"),
    Sample("late-import", DOC + "async def f():\n    from os import path\n", DOC + "import os\n"),
    Sample(
        "import-by-name",
        DOC + "import importlib\nX = importlib.import_module('eth')\n",
        DOC + "from importlib import resources\n",
    ),
    Sample("import-by-name", DOC + "X = __import__('eth')\n", DOC + "X = imported('eth')\n"),
    Sample(
        "post-quantum-wall",
        DOC + "from cryptography.hazmat.primitives.asymmetric import mldsa\n",
        DOC + "from cryptography.hazmat.primitives.asymmetric import ed25519\n",
    ),
    Sample("re-export", DOC + "from vm import x as x\n", DOC + "from vm import x as y\n"),
    Sample("re-export", DOC + '__all__ = ["x"]\n', DOC + 'NAMES = ["x"]\n'),
    Sample("assert", DOC + "assert True\n", DOC + "X = True\n"),
    Sample(
        "catch-all",
        DOC + "try:\n    X = 1\nexcept Exception:\n    X = 2\n",
        DOC + "try:\n    X = 1\nexcept ValueError:\n    X = 2\n",
    ),
    Sample(
        "catch-all",
        DOC + "try:\n    X = 1\nexcept (ValueError, BaseException):  # noqa: BLE001\n    X = 2\n",
        DOC + "try:\n    X = 1\nexcept Exception:  # noqa: BLE001 - turned into Fatal\n    X = 2\n",
    ),
    Sample(
        "catch-all",
        DOC + "try:\n    X = 1\nexcept Exception:\n    raise ValueError from None\n    X = 2\n",
        DOC + "try:\n    X = 1\nexcept Exception as error:\n    raise ValueError from error\n",
    ),
    Sample(
        "catch-all",
        DOC + "try:\n    X = 1\nexcept:\n    X = 2\n",
        DOC + "try:\n    X = 1\nexcept:\n    X = 2\n    raise\n",
    ),
    Sample(
        "catch-all",
        DOC + "try:\n    X = 1\nexcept Exception as error:\n    raise ValueError\n",
        DOC + "try:\n    X = 1\nexcept Exception:\n    # The one place per service.\n    X = 2\n",
    ),
    Sample("glossary", DOC + "def mempool_size(): ...\n", DOC + "def pool_size(): ...\n"),
    Sample("glossary", DOC + "def f(leader): ...\n", DOC + "def f(proposer): ...\n"),
    Sample("glossary", DOC + "class ReplicaSet: ...\n", DOC + "class ValidatorSet: ...\n"),
    Sample("glossary", DOC + "highQC = 1\n", DOC + "high_certificate = 1\n"),
    Sample("glossary", DOC + "commit_seal = 1\n", DOC + "sealed_air = 1\n"),
    Sample("glossary", DOC + "block_author = 1\n", DOC + "authorization = 1\n"),
    Sample("glossary", DOC + "miner = 1\n", DOC + 'X = {"miner": 1}\n'),
    Sample("glossary", DOC + "coinbase = 1\n", DOC + "fee_recipient = 1\n"),
    Sample("unfinished", DOC + f"# {TODO}: later\n", DOC + "# later\n"),
    Sample("unfinished", f"good for{' '}now\n", "good forever\n", "docs/page.md"),
    Sample("unfinished", "a simplified" + " check\n", "a simple check\n", "README.md"),
    Sample("type-ignore", DOC + "x = 1  # type: ignore\n", DOC),
    Sample(
        "type-ignore",
        DOC + "x = 1  # type: ignore[misc]\n",
        DOC + "x = 1  # type: ignore[misc]  # py-evm has no types\n",
    ),
    Sample("line-endings", DOC + "X = 1\r\n", DOC + "X = 1\n"),
    Sample("line-endings", DOC + "X = 1", DOC + "X = 1\n"),
    Sample("line-endings", "blank \n", "blank\n", "docs/page.md"),
    Sample("machine-path", DOC + 'X = "/home/me/x"\n', DOC + 'X = "~/x"\n'),
    Sample("machine-path", "see /work/x\n", "see node/work/x\n", "docs/page.md"),
    Sample("machine-path", '{"a": "/root/.cache"}\n', "{}\n", "contracts/artifacts/A.json"),
    Sample(
        "registry-host",
        '{"resolved": "https://registry.example/a.tgz"}\n',
        "{}\n",
        "tests/clients/package-lock.json",
    ),
    Sample("registry-host", "--index-url https://index.example/simple\n", "a==1\n",
           "requirements/runtime.txt"),
)  # fmt: skip


def rules(path: str, text: str) -> set[str]:
    """Return the names of the rules that a text breaks."""
    return {fault.rule for fault in tidy.faults_of(path, text)}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.rule)
def test_planted_fault_is_found(sample: Sample) -> None:
    """A sample that breaks a rule is found by that rule, and its nearest lawful text is not."""
    assert rules(sample.path, sample.bad) == {sample.rule}
    assert rules(sample.path, sample.good) == set()


def test_tests_may_assert_and_be_long() -> None:
    """Tests assert, their files have no size, their type ignores and parameters speak already."""
    text = DOC + "assert True\n" * 600 + "def f(a, b, c, d, e, f, g): ...\n"
    text += "x = 1  # type: ignore[misc]\n"
    assert rules("tests/node/test_sample.py", text) == set()


def test_evm_words_stay_in_their_rooms() -> None:
    """`coinbase` is lawful where the EVM and JSON-RPC fix it, and nowhere else."""
    text = DOC + "coinbase = 1\n"
    assert rules("vm/engine.py", text) == rules("node/rpc/encode.py", text) == set()
    assert rules("consensus/core.py", text) == {"glossary"}


def test_every_rule_has_a_sample() -> None:
    """Each rule that the tool can report has a sample here; the folder rule is tested below."""
    source = (tidy.ROOT / "scripts" / "tidy.py").read_text()
    named = set(re.findall(r'Fault\([^"]*"([a-z-]+)",', source))
    assert named - {"test-package"} == {sample.rule for sample in SAMPLES}


def test_folder_of_tests_needs_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with tests and no `__init__.py` is found."""
    folder = tmp_path / "tests" / "new"
    folder.mkdir(parents=True)
    (folder / "test_x.py").write_text(DOC)
    monkeypatch.setattr(tidy, "ROOT", tmp_path)
    assert [fault.path for fault in tidy.missing_packages()] == ["tests/new"]


@pytest.mark.slow
def test_tree_is_tidy() -> None:
    """No file of the checkout breaks a rule."""
    faults = tidy.all_faults()
    assert not faults, "\n" + "\n".join(str(fault) for fault in faults)
