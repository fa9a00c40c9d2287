"""Import a public Ethereum chain: `python -m scripts.import_chain GENESIS CHAIN`.

GENESIS is geth's genesis.json, CHAIN a file of RLP-encoded blocks from height 1 on, as `geth
export` writes it. Every block is checked and executed in memory; the last line names the head.
Exit code 1 and the reason when a block is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from primitives.errors import Invalid
from primitives.ethereum import split_blocks
from primitives.keyvalue import KeyValue, MemoryStore
from vm.importing import ChainImporter, Imported, PublicGenesis
from vm.pyevm.engine import ENGINES, make_engine


def import_chain(
    genesis: Path,
    chain: Path,
    store: KeyValue,
    *,
    engine: str = ENGINES[0],
    on_block: Callable[[Imported], None] = lambda _: None,
) -> ChainImporter:
    """Import the file `chain` into the empty `store`; `on_block` gets each block when it is in.

    Raises ConfigError for a bad genesis, an Invalid error for a bad block.
    """
    document = json.loads(genesis.read_text())
    importer = ChainImporter(
        make_engine(engine, allow_unprotected=True), PublicGenesis.of_document(document), store
    )
    for raw in split_blocks(chain.read_bytes()):
        on_block(importer.add(raw))
    return importer


def _show(imported: Imported) -> None:
    block = imported.block
    print(
        f"{block.header.height:8} {imported.rules.fork.name:17} 0x{block.hash.hex()} "
        f"{len(block.transactions)} transactions, {block.header.gas_used} gas"
    )


def main() -> int:
    """Import the chain that the command line names; return 1 when a block is refused."""
    parser = argparse.ArgumentParser(prog="python -m scripts.import_chain", description=__doc__)
    parser.add_argument("genesis", type=Path)
    parser.add_argument("chain", type=Path)
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    chosen = parser.parse_args()
    try:
        importer = import_chain(
            chosen.genesis, chosen.chain, MemoryStore(), engine=chosen.engine, on_block=_show
        )
    except Invalid as error:
        print(f"refused: {error}")
        return 1
    head = importer.head
    print(f"head {head.height} 0x{importer.head_hash.hex()} state root 0x{head.state_root.hex()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
