"""An imported chain on disk: whole at every block, resumable, and only ever the same chain."""

from __future__ import annotations

from typing import Any

import pytest

from node.publicstore import PublicStore, check_public, is_public
from primitives.errors import ConfigError, InvalidBlock
from primitives.ethereum import split_blocks
from primitives.keyvalue import Column, KeyValue, MemoryStore
from primitives.types import Address, Height
from tests.vectors import load_cases, vectors
from vm.pyevm.engine import make_engine

HEAD = "d226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"


def document() -> bytes:
    return vectors("execution-apis", "genesis.json").read_bytes()


def raws() -> list[bytes]:
    return split_blocks(vectors("execution-apis", "chain.rlp").read_bytes())


def opened(store: KeyValue, genesis: bytes | None = None) -> PublicStore:
    return PublicStore(store, make_engine(allow_unprotected=True), genesis or document())


def test_an_import_goes_on_where_it_was_stopped() -> None:
    """Cut at any of these blocks and opened anew, it reaches the same head and state.

    Kills: ommers, block hashes or total difficulty that are forgotten at a restart (the merge at
    36 comes by total difficulty).
    """
    store, blocks = MemoryStore(), raws()
    for start, end in ((0, 1), (1, 12), (12, 35), (35, 36), (36, 54)):
        chain = opened(store)
        assert chain.importer.head.height == start
        for raw in blocks[start:end]:
            chain.add(raw)
    view = opened(store).view()
    assert view.head_hash.hex() == HEAD
    accounts = load_cases(vectors("execution-apis", "headstate.json"))["accounts"]
    for name, wanted in accounts.items():
        account = view.state.account(Address(bytes.fromhex(name[2:])))
        assert account is not None
        assert (account.balance, account.nonce) == (int(wanted["balance"]), wanted["nonce"])


def test_every_height_is_readable() -> None:
    """State, proofs, block and receipts of each height are those of its header."""
    store = MemoryStore()
    chain = opened(store)
    for raw in raws()[:20]:
        chain.add(raw)
    view = chain.view()
    finder = Address(bytes(20))
    balances: list[int] = []
    for height in range(21):
        header, block = view.header(Height(height)), view.block(height)
        assert header is not None
        assert block is not None
        assert (block.hash, block.header) == (view.block_hash(Height(height)), header)
        assert view.height_of(block.hash) == height
        assert view.raw_block(Height(height)) is not None
        proof = view.prover_at(Height(height)).prove(finder, (), lambda: None)
        account = view.state_at(Height(height)).account(finder)
        assert proof.account == account
        balances.append(account.balance if account else 0)
        receipts = view.receipts(Height(height)) or ()
        assert len(receipts) == len(block.transactions)
        assert all((each.state_root is not None) == (height < 9) for each in receipts)
    assert balances == sorted(set(balances)), "each block pays its finder"
    assert view.header(Height(21)) is None


def test_a_bad_block_changes_nothing() -> None:
    """A refused block leaves the head and lets the right one in."""
    store, blocks = MemoryStore(), raws()
    chain = opened(store)
    with pytest.raises(InvalidBlock):
        chain.add(blocks[1])
    assert chain.view().head.height == 0
    chain.add(blocks[0])
    assert chain.view().head.height == 1


def test_only_the_same_chain_goes_on() -> None:
    """Another document, another layout and no chain at all are refused in words."""
    store: Any = MemoryStore()
    with pytest.raises(ConfigError, match="qenex import"):
        check_public(store)
    opened(store)
    assert is_public(store)
    with pytest.raises(ConfigError, match="another genesis"):
        opened(store, document() + b" ")
    store.write([(Column.META, b"public", b"\x09")], sync=True)
    with pytest.raises(ConfigError, match="layout version 9"):
        opened(store)
    with pytest.raises(ConfigError, match="not JSON"):
        opened(MemoryStore(), b"{")
