"""Print the reference of all JSON-RPC methods: `python -m scripts.rpcdoc` writes docs/rpc.md.

The text comes from the one table of methods (`node.rpc.methods`): names, parameters by their
types, results and docstrings. What stands above the mark in docs/rpc.md is written by hand and is
kept. With --check it only compares, exit code 1 when the file is not current.
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path
from typing import Final

from node.rpc.access import namespace_of
from node.rpc.dispatch import Method, Parameter, is_required
from node.rpc.methods import all_methods
from node.rpc.shapes import SHAPES, Schema, result_schema

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "rpc.md"
MARK: Final = "<!-- printed from the code by `python -m scripts.rpcdoc`; edit the docstrings -->"


def reference() -> str:
    """Return the printed part of docs/rpc.md."""
    methods = all_methods()
    lines = [MARK, "", f"## Methods ({len(methods)})", "", _kinds()]
    by_namespace = groupby(
        sorted(methods.values(), key=lambda each: (namespace_of(each.name), each.name)),
        key=lambda each: namespace_of(each.name),
    )
    for namespace, group in by_namespace:
        lines += ["", f"### {namespace}", ""]
        for method in group:
            lines += _described(method)
    return "\n".join(lines).rstrip() + "\n"


def _kinds() -> str:
    words = sorted({each.words for each in SHAPES.values()})
    return "Kinds of parameters: " + ", ".join(f"*{each}*" for each in words) + "."


def _described(method: Method) -> list[str]:
    parameters = ", ".join(_parameter(each) for each in method.parameters)
    result = _result(result_schema(method.result))
    text = [" ".join(each.split()) for each in method.summary.split("\n\n")]
    about = "".join(f"\n\n  {each}" for each in [*text[1:], f"Errors: {_errors(method)}"])
    return [f"- **`{method.name}`**({parameters}) → {result}: {text[0]}{about}", ""]


def _parameter(parameter: Parameter) -> str:
    words = SHAPES[parameter.hint].words
    name = f"{parameter.name}: *{words}*"
    return name if is_required(parameter) else f"[{name}]"


def _result(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_result(each) for each in schema["anyOf"])
    return str(schema.get("type", "any"))


def _errors(method: Method) -> str:
    """Return the codes that a call of this method can meet beside those that all can."""
    found = []
    hints = {each.hint for each in method.parameters}
    names = {getattr(each, "__name__", "") for each in hints}
    if method.parameters:
        found.append("-32602 wrong parameters")
    if method.for_operator:
        found.append("-32604 not enabled (`rpc.operator`)")
    if "BlockRef" in names and _needs_state(method.name):
        found.append("4444 the state of that block is not kept")
    if "CallObject" in names or method.name in ("trace_call", "trace_callMany"):
        found.append("3 execution reverted, with the output as data")
    if method.name.startswith("eth_sendRaw"):
        found.append("-32000 refused, with the facts as data")
        found.append("-32007 the sender is not permitted")
    if method.name == "eth_sendRawTransactionSync":
        found.append("4 not in a block in time, with the hash as data")
    found.append("-32000")
    return "; ".join(dict.fromkeys(found)) + "."


def _needs_state(name: str) -> bool:
    plain = ("Block", "Header", "Raw", "Uncle", "Count", "Certificate", "Validators", "feeHistory")
    return not any(each in name for each in plain) or "trace" in name or "replay" in name


def whole(present: str) -> str:
    """Return docs/rpc.md with its printed part renewed."""
    return present.partition(MARK)[0] + reference()


def main() -> int:
    """Write or check docs/rpc.md."""
    parser = argparse.ArgumentParser(prog="python -m scripts.rpcdoc", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    chosen = parser.parse_args()
    present = FILE.read_text(encoding="utf-8")
    wanted = whole(present)
    if chosen.check:
        if present != wanted:
            print("docs/rpc.md is not current: python -m scripts.rpcdoc")
        return int(present != wanted)
    FILE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
