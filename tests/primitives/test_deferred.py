"""A deferred module costs nothing until something in it is called, and then is the real one."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from primitives.deferred import defer, is_deferred

SOURCE = """
LOADED = True
def double(number: int) -> int:
    return 2 * number
class Box:
    def __init__(self, content: str) -> None:
        self.content = content
"""


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a package's module that nobody has imported."""
    name = f"slow_{tmp_path.name}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "heavy.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield f"{name}.heavy"
    for each in (name, f"{name}.heavy"):
        sys.modules.pop(each, None)


def imported(name: str) -> ModuleType:
    return import_module(name)


def test_nothing_runs_until_a_call(heavy: str) -> None:
    """Names can be taken and written in types; the first call runs the module."""
    defer(heavy)
    module = imported(heavy)
    double, box = module.double, module.Box
    assert (box | None) != box
    assert is_deferred(heavy)
    assert double(4) == 8
    assert not is_deferred(heavy)
    assert box("bread").content == "bread"
    assert type(box("bread")) is imported(heavy).Box
    assert imported(heavy).LOADED is True


def test_one_name_is_one_thing(heavy: str) -> None:
    """Tables keyed by a function find it again, as those of the precompiles do."""
    defer(heavy)
    module = imported(heavy)
    assert module.double is module.double
    assert {module.double: 1}[imported(heavy).double] == 1


def test_no_subclass_in_silence(heavy: str) -> None:
    """What cannot work says so when it is made."""
    defer(heavy)
    base: type = imported(heavy).Box
    made = type("Bigger", (base,), {})
    with pytest.raises(TypeError, match=f"{heavy}.Box is deferred"):
        made("bread")


def test_loaded_modules_stay(heavy: str) -> None:
    """Deferring what is loaded already changes nothing."""
    before = imported(heavy)
    defer(heavy)
    assert imported(heavy) is before
    assert not is_deferred(heavy)


def test_special_names_are_absent(heavy: str) -> None:
    """The import system's questions get an honest answer."""
    defer(heavy)
    with pytest.raises(AttributeError, match="is not loaded"):
        _ = imported(heavy).__file__
