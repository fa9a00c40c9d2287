"""Measure the contracts: `python -m scripts.gas` prints gas, EVM instructions and code sizes.

With `--write` it also writes contracts/gas.json, which the tests compare at +5 %, and the tables
in docs/contracts.md. Gas is of whole transactions on the node's own engine, after refunds;
instructions are those of its struct log. The same on every machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from contracts import artifact, names
from tests.contracts.operations import Measured, Operation, measure, operations

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "contracts" / "gas.json"
PAGE = ROOT / "docs" / "contracts.md"
CODE_BYTES_MAX = 24_576

Row = tuple[Operation, Measured]


def main() -> None:
    """Measure, print, and write when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the figures")
    rows = [measure(each) for each in operations()]
    tables = {"gas": list(gas_table(rows)), "sizes": list(size_table())}
    for lines in tables.values():
        print("\n".join(lines) + "\n")
    if parser.parse_args().write:
        kept = {each.name: {"gas": m.gas, "operations": m.operations} for each, m in rows}
        FIGURES.write_text(json.dumps(kept, indent=1) + "\n")
        text = PAGE.read_text()
        for name, lines in tables.items():
            text = between(text, name, "\n".join(lines))
        PAGE.write_text(text)


def gas_table(rows: list[Row]) -> Iterator[str]:
    """Yield the table of operations in Markdown."""
    yield "| operation | gas | instructions | others |"
    yield "|---|---:|---:|---|"
    for each, found in rows:
        others = f"{each.anchor}: {each.anchor_gas:,}" if each.anchor_gas else ""
        if each.anchor_operations:
            others += f" / {each.anchor_operations:,}"
        yield f"| {each.name} | {found.gas:,} | {found.operations:,} | {others} |"


def size_table() -> Iterator[str]:
    """Yield the table of code sizes in Markdown."""
    yield f"| contract | bytes on chain | of {CODE_BYTES_MAX:,} |"
    yield "|---|---:|---:|"
    for name in names():
        size = len(artifact(name).deployed_bytecode)
        yield f"| {name} | {size:,} | {100 * size / CODE_BYTES_MAX:.0f} % |"


def between(text: str, name: str, new: str) -> str:
    """Return `text` with what stands between the marks of `name` replaced."""
    head, _, rest = text.partition(f"<!-- {name} -->\n")
    _, _, tail = rest.partition(f"<!-- end {name} -->")
    return f"{head}<!-- {name} -->\n{new}\n<!-- end {name} -->{tail}"


if __name__ == "__main__":
    main()
