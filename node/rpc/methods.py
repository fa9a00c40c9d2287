"""The one table of methods: what the server answers, the docs print and rpc.discover describes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from node.rpc import (
    methods_admin,
    methods_blocks,
    methods_config,
    methods_fees,
    methods_fill,
    methods_logs,
    methods_node,
    methods_ots,
    methods_parity,
    methods_pool,
    methods_proof,
    methods_qbft,
    methods_qenex,
    methods_raw,
    methods_simulate,
    methods_state,
    methods_tables,
    methods_testing,
    methods_trace,
)
from node.rpc.access import namespace_of
from node.rpc.backend import Request
from node.rpc.dispatch import Method, MethodTable, is_required
from node.rpc.encode import Json
from node.rpc.shapes import SHAPES, result_schema
from primitives.errors import ensure

OPENRPC_VERSION: Final = "1.2.6"
TABLE = MethodTable()


@TABLE.method("rpc_modules")
def modules(request: Request) -> dict[str, str]:
    """Return the namespaces that this server answers to the caller."""
    return dict.fromkeys(sorted({namespace_of(each.name) for each in _shown(request)}), "1.0")


@TABLE.method("rpc.discover")
def discover(request: Request) -> Json:
    """Return the OpenRPC document of this service: every method with its parameters."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": "QENEX JSON-RPC", "version": request.backend.settings.client_version},
        "methods": [_described(each) for each in _shown(request)],
    }


def _shown(request: Request) -> list[Method]:
    caller = request.caller
    visible = None if caller is None else caller.visible
    return [each for each in _METHODS.values() if visible is None or each.name in visible]


_TABLES: Final = (
    methods_admin.TABLE,
    methods_blocks.TABLE,
    methods_config.TABLE,
    methods_fees.TABLE,
    methods_fill.TABLE,
    methods_logs.TABLE,
    methods_node.TABLE,
    methods_ots.TABLE,
    methods_parity.TABLE,
    methods_pool.TABLE,
    methods_proof.TABLE,
    methods_qbft.TABLE,
    methods_qenex.TABLE,
    methods_raw.TABLE,
    methods_simulate.TABLE,
    methods_state.TABLE,
    methods_tables.TABLE,
    methods_testing.TABLE,
    methods_trace.TABLE,
    TABLE,
)


def _joined(tables: Iterable[MethodTable]) -> dict[str, Method]:
    joined: dict[str, Method] = {}
    for table in tables:
        ensure(not joined.keys() & table.methods.keys(), "a method name is registered once")
        joined.update(table.methods)
    return dict(sorted(joined.items()))


_METHODS: Final = _joined(_TABLES)


def all_methods() -> dict[str, Method]:
    """Return every method by name, in order of name."""
    return dict(_METHODS)


def namespaces() -> list[str]:
    """Return the namespaces of all methods, in order."""
    return sorted({namespace_of(name) for name in _METHODS})


def _described(method: Method) -> Json:
    return {
        "name": method.name,
        "summary": method.summary,
        "params": [
            {
                "name": each.name,
                "required": is_required(each),
                "schema": SHAPES[each.hint].schema,
            }
            for each in method.parameters
        ],
        "result": {"name": "result", "schema": result_schema(method.result)},
    }
