"""`qenex db`: look after a node's database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Final

import click

from consensus.certificate import check_certificate, decode_certificate
from genesis.document import load
from node.blockstore import check_layout, read_head
from node.check import Verify, check
from node.folder import DataFolder
from node.prune import prune
from node.store import RocksStore
from primitives.errors import ConfigError, InvalidCertificate
from primitives.types import ChainId, Hash32, Height
from primitives.validators import ValidatorSet

_CLEAR_LINE: Final = "\r\x1b[K"


@click.group("db")
def command() -> None:
    """Look after a node's database; the node must not run."""


@command.command("check")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the node.",
)
@click.option("--deep", is_flag=True, help="Also rebuild the whole state and compare each node.")
def check_command(data_dir: Path, deep: bool) -> int:
    """Prove that the database holds one whole, consistent chain; exit code 1 if it does not.

    Walks every block: hashes, roots, receipts, certificates against the validators of their
    height, and the state root. With --deep also every account, slot and trie node, and the state
    of each height that is kept, back from the head.

    \b
    Examples:
      qenex db check --data-dir mynode
      qenex db check --data-dir localnet/node1 --deep
    """
    folder = DataFolder(data_dir)
    folder.check()
    chain_id = load(folder.genesis).params.chain_id
    with _opened(folder) as store, ExitStack() as stack:
        scratch = stack.enter_context(_scratch(folder)) if deep else None
        report = check(
            store, deep=deep, progress=_progress, verify=_verifier(chain_id), scratch=scratch
        )
    _clear()
    for line in report.errors:
        print(f"wrong: {line}")
    counts = f"height {report.height:,}, {report.transactions:,} transactions"
    if deep:
        counts += f", {report.accounts:,} accounts, {report.slots:,} slots"
    counts += f", state since height {report.tail:,}"
    print(f"{'good' if report.is_good else 'DAMAGED'}: {counts}")
    return 0 if report.is_good else 1


@command.command("prune")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the node.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    help="Heights below the head whose state stays readable.",
)
def prune_command(data_dir: Path, keep: int) -> int:
    """Forget state of the past, at once; blocks and receipts stay.

    The node does the same by itself, block by block, under `state.history`; this is for a folder
    that must become small now. What is forgotten does not come back. Stopped anywhere, it goes on
    when it is called again.

    \b
    Examples:
      qenex db prune --data-dir mynode --keep 128
    """
    folder = DataFolder(data_dir)
    folder.check()
    with _opened(folder) as store:
        check_layout(store)
        height, _, _ = read_head(store)
        first, tail = prune(store, height, keep, partial(_progress, verb="pruning"))
    _clear()
    print(f"state since height {tail:,} (before: {first:,}), head {height:,}")
    return 0


@contextmanager
def _opened(folder: DataFolder) -> Iterator[RocksStore]:
    """Hold the folder alone, with its store open; raises ConfigError."""
    if not folder.chain.is_dir():
        raise ConfigError(f"{folder.path} holds no chain yet: the node never ran")
    with folder.locked():
        store = RocksStore(folder.chain)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def _scratch(folder: DataFolder) -> Iterator[RocksStore]:
    """Make an empty store that is removed afterwards, and before if a crash left one."""
    rmtree(folder.scratch, ignore_errors=True)
    store = RocksStore(folder.scratch)
    try:
        yield store
    finally:
        store.close()
        rmtree(folder.scratch, ignore_errors=True)


def _verifier(chain_id: ChainId) -> Verify:
    """Return what checks a certificate of the block store with all its signatures."""

    def verify(raw: bytes, height: Height, block_hash: Hash32, validators: ValidatorSet) -> None:
        certificate = decode_certificate(raw)
        if (certificate.height, certificate.block_hash) != (height, block_hash):
            raise InvalidCertificate("it proves another block", height=certificate.height)
        check_certificate(certificate, validators, chain_id)

    return verify


def _progress(what: str, done: int, total: int, verb: str = "checking") -> None:
    if sys.stderr.isatty():
        shown = f"{done:,} of {total:,}" if total else f"{done:,}"
        print(f"{_CLEAR_LINE}{verb} {what}: {shown}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
