"""Modules that a library imports and a node never uses: loaded when something in them is called.

py-evm and libp2p import all that they can do: pairings whose tables py_ecc computes for a quarter
of a second, QUIC, WebSocket, certificates from the web, discovery by multicast. A node waits for
none of it after a crash. `defer(name)` makes the next import of that module give a stand-in; a
name imported from it is a class that, when called, loads the module and calls what has that name
there. So a thing that is used after all works, one import later, and the rest never enters the
process.

Right only for modules of which others take names to call or to write in types: a stand-in must
not be subclassed, and nothing is an instance of it. What is deferred is said beside the wall of its
library: `vm/pyevm/__init__.py`, `p2p/__init__.py`. docs/notes/0125-quick-start.md says why.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def defer(*names: str) -> None:
    """Let later imports of these modules give stand-ins; those that are loaded stay."""
    _FINDER.names.update(names)


def is_deferred(name: str) -> bool:
    """Whether the module was asked for and is still a stand-in."""
    return isinstance(sys.modules.get(name), _StandIn)


class _StandIn(ModuleType):
    """A module whose every name is a class that stands for the real thing."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(f"{self.__name__} is not loaded", name=name, obj=self)
        module = self.__name__

        def call(cls: type, *args: Any, **kwargs: Any) -> Any:
            if cls is not made:
                raise TypeError(f"{module}.{name} is deferred and cannot be subclassed")
            return getattr(_load(module), name)(*args, **kwargs)

        made = type(name, (), {"__new__": call, "__module__": module})
        setattr(self, name, made)
        return made


class _Finder(MetaPathFinder, Loader):
    """Answers imports of the deferred modules, before the finder of files does."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in self.names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: the stand-in is whole."""


def _load(name: str) -> ModuleType:
    """Return the real module, loading it the first time."""
    if isinstance(sys.modules.get(name), _StandIn):
        _FINDER.names.discard(name)
        del sys.modules[name]
    return import_module(name)


_FINDER = _Finder()
sys.meta_path.insert(0, _FINDER)
