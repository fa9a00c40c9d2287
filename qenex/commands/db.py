"""`qenex db`: look after a node's database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from consensus.certificate import check_certificate, decode_certificate
from genesis.document import load
from node.check import Verify, check
from node.folder import DataFolder
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
    height, and the state root.

    \b
    Examples:
      qenex db check --data-dir mynode
      qenex db check --data-dir localnet/node1 --deep
    """
    folder = DataFolder(data_dir)
    folder.check()
    chain_id = load(folder.genesis).params.chain_id
    if not folder.chain.is_dir():
        raise ConfigError(f"{data_dir} holds no chain yet: the node never ran")
    with folder.locked():
        store = RocksStore(folder.chain)
        try:
            report = check(store, deep=deep, progress=_progress, verify=_verifier(chain_id))
        finally:
            store.close()
    _clear()
    for line in report.errors:
        print(f"wrong: {line}")
    counts = f"height {report.height:,}, {report.transactions:,} transactions"
    if deep:
        counts += f", {report.accounts:,} accounts, {report.slots:,} slots"
    print(f"{'good' if report.is_good else 'DAMAGED'}: {counts}")
    return 0 if report.is_good else 1


def _verifier(chain_id: ChainId) -> Verify:
    """Return what checks a certificate of the block store with all its signatures."""

    def verify(raw: bytes, height: Height, block_hash: Hash32, validators: ValidatorSet) -> None:
        certificate = decode_certificate(raw)
        if (certificate.height, certificate.block_hash) != (height, block_hash):
            raise InvalidCertificate("it proves another block", height=certificate.height)
        check_certificate(certificate, validators, chain_id)

    return verify


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        shown = f"{done:,} of {total:,}" if total else f"{done:,}"
        print(f"{_CLEAR_LINE}checking {what}: {shown}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
