"""`qenex import`: make a data folder from a public Ethereum chain, to serve it read-only."""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO, Final

import click

from node.folder import DataFolder
from node.publicstore import PublicStore
from node.store import RocksStore
from primitives.errors import ConfigError, Invalid, InvalidBlock
from primitives.ethereum import decode_public_block, read_block
from primitives.types import Hash32
from vm.pyevm.engine import make_engine

SYNC_BLOCKS: Final = 256
"""Blocks between two syncs; a power cut costs at most these."""
SHOWN_EVERY_S: Final = 1.0


@click.command("import")
@click.argument("chain", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--genesis",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="Genesis document of the chain, in geth's form.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to make, or that of an import to go on with.",
)
def command(*, chain: Path, genesis: Path, data_dir: Path) -> int:
    """Import the blocks of CHAIN, as `geth export` writes them, into a folder of its own.

    Every block of every fork from Frontier to BPO2 is checked and executed; proof of work alone
    is not verified. Blocks that the folder holds are passed over, so the same command goes on
    after it was stopped, and a longer file adds what is new.

    \b
    Examples:
      qenex import --genesis genesis.json --data-dir chain chain.rlp
      qenex node --data-dir chain --read-only
    """
    folder = DataFolder(data_dir)
    document = genesis.read_bytes()
    _check_folder(folder, document)
    folder.make()
    with folder.locked():
        folder.imported.write_text("made by qenex import\n", encoding="utf-8")
        folder.genesis.write_bytes(document)
        store = RocksStore(folder.chain)
        try:
            engine = make_engine(allow_unprotected=True)
            with chain.open("rb") as source:
                head = _import(PublicStore(store, engine, document), source, chain)
        finally:
            store.close()
    click.echo(head)
    return 0


def _check_folder(folder: DataFolder, document: bytes) -> None:
    if folder.genesis.is_file() and not folder.imported.is_file():
        raise ConfigError(f"{folder.path} is the data folder of a node; choose another folder")
    if folder.imported.is_file() and folder.genesis.read_bytes() != document:
        raise ConfigError(
            f"{folder.path} holds the import of another genesis document; choose another folder"
        )


def _import(chain: PublicStore, source: BinaryIO, name: Path) -> str:
    """Add the blocks of `source` that are not there yet; return the line to show at the end."""
    known = chain.view()
    begun = shown = time.monotonic()
    added = transactions = 0
    while True:
        try:
            raw = read_block(source)
            if raw is None:
                break
            block = decode_public_block(raw)
            height = block.header.height
            if height <= known.head.height:
                _check_same(known.block_hash(height), block.hash, height)
                continue
            imported = chain.add(raw)
        except Invalid as error:
            chain.sync()
            last = chain.importer.head.height
            raise InvalidBlock(
                f"{name}: the block after height {last} is refused: {error.message} "
                f"(the {added} blocks before it are imported)"
            ) from None
        added += 1
        transactions += len(imported.block.transactions)
        if added % SYNC_BLOCKS == 0:
            chain.sync()
        if time.monotonic() - shown > SHOWN_EVERY_S:
            shown = time.monotonic()
            rate = added / (shown - begun)
            click.echo(f"block {height:,} ({rate:,.0f} blocks/s)", err=True)
    chain.sync()
    head = chain.importer.head
    return (
        f"{added:,} blocks with {transactions:,} transactions imported; head {head.height:,} "
        f"0x{chain.importer.head_hash.hex()}"
    )


def _check_same(known: Hash32 | None, found: Hash32, height: int) -> None:
    if known != found:
        raise InvalidBlock(
            f"block {height} has hash 0x{found.hex()}, but the folder holds another chain "
            "there; use an empty folder",
            field="hash",
        )
