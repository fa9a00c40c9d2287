"""`qenex snapshot`: carry the state of a long chain to a new node."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Final

import click

from genesis.document import load
from node.app import first_block
from node.blockstore import ChainView, check_layout
from node.folder import DataFolder
from node.snapshot_build import Builder, check_replaceable, install
from node.snapshot_files import export_snapshot, import_snapshot, trusted_genesis
from node.store import RocksStore
from primitives.errors import ConfigError, HistoryPruned
from vm.pyevm.engine import make_engine

_CLEAR_LINE: Final = "\r\x1b[K"
_HASH_CHARACTERS: Final = 66


@click.group("snapshot")
def command() -> None:
    """Export a chain's state, or begin a node with one; the node must not run."""


@command.command("export")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the node.",
)
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="New folder for the snapshot.",
)
@click.option("--height", type=click.IntRange(min=1), help="Block; the newest if left out.")
def export_command(data_dir: Path, target: Path, height: int | None) -> int:
    """Write the state after a block, with the proof of it, into a folder of files.

    Whoever imports it need not trust it, nor you: everything in it follows from certificates that
    the validators signed.

    \b
    Examples:
      qenex snapshot export --data-dir mynode --out snapshot
    """
    folder = DataFolder(data_dir)
    folder.check()
    genesis = load(folder.genesis)
    if not folder.chain.is_dir():
        raise ConfigError(f"{folder.path} holds no chain yet: the node never ran")
    with folder.locked():
        store = RocksStore(folder.chain)
        try:
            check_layout(store)
            view = ChainView(store.snapshot())
            wanted = view.height if height is None else height
            if not 0 < wanted <= view.height:
                raise ConfigError(
                    f"there is no block {wanted} to export; the head is {view.height}"
                )
            first = first_block(make_engine("tuned"), genesis)
            manifest = export_snapshot(
                view,
                wanted,
                trusted_genesis(first),
                genesis.params.chain_id,
                target,
                partial(_progress, "writing"),
            )
        except HistoryPruned as error:
            raise ConfigError(
                f"this node does not keep block {wanted}; its oldest is {error.facts['oldest']}"
            ) from None
        finally:
            store.close()
    _clear()
    size = sum(each["bytes"] for each in manifest["files"])
    print(f"block {wanted:,} {manifest['block']}: {len(manifest['files'])} files, {size:,} bytes")
    return 0


@command.command("import")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of a new node, as `qenex init` makes it.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the snapshot.",
)
@click.option(
    "--trusted",
    help="Hash of a block that you know to be of the chain; the proof must pass by it.",
)
def import_command(data_dir: Path, source: Path, trusted: str | None) -> int:
    """Begin a new node with a snapshot; nothing of it counts before all of it is proven.

    The header is proven by certificates from the genesis document's validators on, the state by
    the header. A snapshot that is damaged, or of another chain, changes nothing. Stopped anywhere,
    it can be called again. The node then has no blocks before the snapshot's.

    \b
    Examples:
      qenex snapshot import --data-dir mynode --from snapshot
      qenex snapshot import --data-dir mynode --from snapshot --trusted 0x4d2c...
    """
    folder = DataFolder(data_dir)
    folder.check()
    genesis = load(folder.genesis)
    with folder.locked():
        install(folder)
        check_replaceable(folder)
        point = import_snapshot(
            source,
            partial(Builder, folder, fresh=True),
            first_block(make_engine("tuned"), genesis),
            genesis.params.chain_id,
            None if trusted is None else _hash(trusted),
            partial(_progress, "taking"),
        )
        install(folder)
    _clear()
    header = point.header
    print(f"the node begins at block {header.height:,} 0x{header.hash.hex()}")
    return 0


def _hash(text: str) -> bytes:
    try:
        if len(text) == _HASH_CHARACTERS and text.startswith("0x"):
            return bytes.fromhex(text[2:])
    except ValueError:
        pass
    raise ConfigError(f"--trusted: {text} is no block hash (0x and 64 hex digits)")


def _progress(verb: str, what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        shown = f"{done:,} of {total:,}" if total else f"{done:,}"
        print(f"{_CLEAR_LINE}{verb} {what}: {shown}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
