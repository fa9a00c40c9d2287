"""docs/rpc.md is what the code says, and says something of every method."""

from __future__ import annotations

from node.rpc.methods import all_methods
from node.rpc.shapes import SHAPES
from scripts.rpcdoc import FILE, whole


def test_the_reference_is_current() -> None:
    """Printing it again changes nothing: python -m scripts.rpcdoc."""
    present = FILE.read_text(encoding="utf-8")
    assert whole(present) == present


def test_every_method_is_described() -> None:
    """Each has a docstring, and a shape for each parameter."""
    for name, method in all_methods().items():
        assert method.summary.endswith((".", ":")) or "\n" in method.summary, name
        assert all(each.hint in SHAPES for each in method.parameters), name
        assert f"`{name}`" in FILE.read_text(encoding="utf-8"), name
