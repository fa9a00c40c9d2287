"""`qenex status`: what a running node does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from primitives.errors import QenexError
from qenex.jsonrpc import JsonRpc

DEFAULT_URL: Final = "http://127.0.0.1:8545"
_ROWS_MAX: Final = 200


@click.command("status")
@click.option("--rpc", "url", default=DEFAULT_URL, show_default=True, help="Address of the node.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(url: str, as_json: bool) -> None:
    """Show height, round, peers, validators and pool of a running node.

    \b
    Examples:
      qenex status
      qenex status --rpc http://127.0.0.1:8546
      qenex status --json | jq .height
    """
    status = JsonRpc(url).call("qenex_status")
    if not isinstance(status, dict):
        raise QenexError(f"{url} answers qenex_status with {status!r}")
    if as_json:
        click.echo(json.dumps(status, indent=2))
        return
    for line in table(status):
        click.echo(line)


def table(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a status for people: plain facts first, then lists and groups."""
    plain = {key: value for key, value in status.items() if not isinstance(value, list | dict)}
    width = max((len(key) for key in status), default=0)
    for key, value in plain.items():
        yield f"{_words(key):<{width + 4}}{_shown(value)}"
    for key, value in status.items():
        if isinstance(value, dict):
            yield f"{_words(key):<{width + 4}}{_line(value)}"
        elif isinstance(value, list):
            yield f"{_words(key):<{width + 4}}{len(value)}"
            yield from _rows(value[:_ROWS_MAX])


def _rows(rows: Sequence[Any]) -> Iterator[str]:
    """Yield a list of objects as columns under their names, other values one a line."""
    if not all(isinstance(row, dict) for row in rows):
        yield from (f"  {_shown(row)}" for row in rows)
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_words(name) for name in names]] if rows else []
    cells += [[_shown(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  " + "  ".join(padded).rstrip()


def _words(key: str) -> str:
    """`roundsOfHeight` and `rounds_of_height` read `rounds of height`."""
    spaced = "".join(f" {each.lower()}" if each.isupper() else each for each in key)
    return spaced.replace("_", " ").strip()


def _line(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{_words(key)} {_shown(value)}" for key, value in row.items())


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            return json.dumps(value)
        case _:
            return str(value)
