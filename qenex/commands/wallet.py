"""What `qenex token`, `stake` and `gov` share: who acts, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any

import click

from genesis.profiles import TEST_KEYS
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError
from qenex.ballot import open_key
from qenex.client import DEFAULT_URL, Client
from qenex.contract import Receipt

Command = Callable[..., None]


def reading(command: Command) -> Command:
    """Add --rpc and --json; the command gets a `client` that only reads, and `as_json`."""

    @click.option("--rpc", "url", default=DEFAULT_URL, show_default=True, help="Address of a node.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(command)
    def wrapped(*values: Any, url: str, **more: Any) -> None:
        command(*values, client=Client(url), **more)

    return wrapped


def acting(command: Command) -> Command:
    """Add --rpc, --json and the key's options; the command gets a `client` that signs."""

    @click.option("--rpc", "url", default=DEFAULT_URL, show_default=True, help="Address of a node.")
    @click.option(
        "--key",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Keystore file of the account that acts.",
    )
    @click.option(
        "--password-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with the key's password; without it you are asked.",
    )
    @click.option(
        "--test-account",
        type=click.IntRange(0, len(TEST_KEYS) - 1),
        help="One of the public test accounts of localnet, in place of --key.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(command)
    def wrapped(
        *values: Any,
        url: str,
        key: Path | None,
        password_file: Path | None,
        test_account: int | None,
        **more: Any,
    ) -> None:
        client = Client(url, _key(key, password_file, test_account))
        command(*values, client=client, **more)

    return wrapped


def _key(path: Path | None, password_file: Path | None, test_account: int | None) -> PrivateKey:
    if (path is None) == (test_account is None):
        raise click.UsageError("say who acts: --key FILE, or --test-account N on a localnet")
    if path is not None:
        return open_key(path, password_file)
    return PrivateKey(list(TEST_KEYS.values())[test_account or 0])


def tell(receipt: Receipt, *, as_json: bool, words: str, **facts: object) -> None:
    """Print what a transaction did."""
    if as_json:
        row = {"hash": receipt.hash, "height": receipt.height, "gasUsed": receipt.gas_used}
        click.echo(json.dumps(row | facts, indent=2, default=_plain))
        return
    click.echo(words)
    click.echo(f"block {receipt.height}, {receipt.gas_used} gas, {receipt.hash}")


def show(row: object, *, as_json: bool) -> None:
    """Print the fields of a dataclass, or of a mapping, one a line, or as JSON."""
    fields: Mapping[str, Any] = row if isinstance(row, Mapping) else asdict(row)  # type: ignore[call-overload]  # always a dataclass otherwise
    if as_json:
        click.echo(json.dumps(fields, indent=2, default=_plain))
        return
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        click.echo(f"{name.replace('_', ' '):{width}}  {'-' if value is None else _plain(value)}")


def table(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """Print rows with equal keys as a table, or as JSON; `empty` when there are none."""
    if as_json:
        click.echo(json.dumps([dict(each) for each in rows], indent=2, default=_plain))
        return
    if not rows:
        click.echo(empty)
        return
    lines = [[str(each) for each in rows[0]], *([str(_plain(v)) for v in r.values()] for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        shown = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(shown).rstrip())


def number(text: str) -> int:
    """Return a proposal's number; raises ConfigError."""
    try:
        return int(text, 0)
    except ValueError:
        raise ConfigError(f"a proposal is named by its number, found {text}") from None


def plain(value: Decimal) -> str:
    """Return a number without an exponent and without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return plain(value) if isinstance(value, Decimal) else value
