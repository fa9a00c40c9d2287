"""Makes the core's values quicker to make, for long runs of the simulator.

A frozen dataclass sets each field through `object.__setattr__`, which is three quarters of what a
value costs, and a schedule makes some thousand values. Thawed, a class has the plain `__init__` of
the same fields. Nothing assigns to them: mypy checks that, and the tests run with frozen values.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import ModuleType
from typing import Any

from consensus import algorithm, certificate, core, events, messages, wal

_MODULES = (algorithm, certificate, core, events, messages, wal)


def thaw() -> None:
    """Thaw the values of this process; a second call does nothing."""
    for module in _MODULES:
        for each in _frozen_values(module):
            _thaw(each)


def _frozen_values(module: ModuleType) -> list[type]:
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and is_dataclass(each)
        and each.__module__ == module.__name__
        and "__setattr__" in vars(each)
    ]


def _thaw(cls: type) -> None:
    names = [each.name for each in fields(cls)]
    defaults = {each.name: each.default for each in fields(cls) if each.default is not MISSING}
    body = {"__annotations__": dict.fromkeys(names, object), **defaults}
    plain: Any = dataclass(type(cls.__name__, (), body))
    cls.__init__ = plain.__init__  # type: ignore[misc]  # the point of this module
    del cls.__setattr__, cls.__delattr__
