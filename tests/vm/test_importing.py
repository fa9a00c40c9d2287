"""Importing a public chain: the official 54 blocks of all forks, and every way to break one."""

import json
from collections import Counter
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest

from primitives import codec
from primitives.account import Account
from primitives.errors import ConfigError, Invalid, InvalidBlock, InvalidMessage, QenexError
from primitives.ethereum import (
    PublicHeader,
    decode_public_block,
    encode_public_header,
    header_items,
    split_blocks,
)
from primitives.keyvalue import Column, MemoryStore
from primitives.types import Address, Gas, Hash32, Height, Wei
from scripts.import_chain import import_chain
from tests.vectors import vectors
from vm.forks import Fork
from vm.importing import ChainImporter, Imported, PublicGenesis
from vm.pyevm.engine import make_engine
from vm.state.store import StateStore

FIELDS_OF: dict[Fork, int] = {Fork.LONDON: 16, Fork.SHANGHAI: 17, Fork.CANCUN: 20, Fork.PRAGUE: 21}


def genesis_document() -> dict[str, Any]:
    document = json.loads(vectors("execution-apis", "genesis.json").read_text())
    assert isinstance(document, dict)
    return document


def blocks() -> list[bytes]:
    return split_blocks(vectors("execution-apis", "chain.rlp").read_bytes())


def new_importer(store: MemoryStore | None = None) -> ChainImporter:
    engine = make_engine("plain", allow_unprotected=True)
    genesis = PublicGenesis.of_document(genesis_document())
    return ChainImporter(engine, genesis, MemoryStore() if store is None else store)


@cache
def whole_chain() -> tuple[ChainImporter, MemoryStore, list[Imported]]:
    store, seen = MemoryStore(), list[Imported]()
    importer = import_chain(
        vectors("execution-apis", "genesis.json"),
        vectors("execution-apis", "chain.rlp"),
        store,
        on_block=seen.append,
    )
    return importer, store, seen


@pytest.mark.slow
def test_the_official_chain_imports_to_its_head() -> None:
    """54 blocks, Homestead to BPO2, end at exactly the official head hash and state."""
    importer, store, seen = whole_chain()
    head = json.loads(vectors("execution-apis", "headfcu.json").read_text())
    wanted = head["params"][0]["headBlockHash"]
    assert "0x" + importer.head_hash.hex() == wanted
    assert importer.head.height == len(seen) == 54
    state = json.loads(vectors("execution-apis", "headstate.json").read_text())
    assert StateStore(store).root().hex() == importer.head.state_root.hex() == state["root"]
    forks = {each.rules.fork for each in seen}
    assert forks == set(Fork) - {Fork.FRONTIER}


@pytest.mark.slow
def test_every_account_of_the_official_state_is_there() -> None:
    """Balances, nonces, code hashes and storage roots, and not one account more."""
    _, store, _ = whole_chain()
    state = json.loads(vectors("execution-apis", "headstate.json").read_text())
    reader = StateStore(store).reader()
    for text, entry in state["accounts"].items():
        found = reader.account(Address(bytes.fromhex(text[2:])))
        assert found == Account(
            entry["nonce"],
            Wei(int(entry["balance"])),
            Hash32(bytes.fromhex(entry["root"][2:])),
            Hash32(bytes.fromhex(entry["codeHash"][2:])),
        )
    assert sum(1 for _ in store.scan(Column.ACCOUNT)) == len(state["accounts"])


@pytest.mark.slow
def test_the_chain_has_what_makes_forks_differ() -> None:
    """Receipts with a root, blobs, withdrawals, requests: a pass says something about each."""
    _, _, seen = whole_chain()
    counts = Counter[str]()
    for each in seen:
        header = each.block.header
        count = next((n for f, n in reversed(FIELDS_OF.items()) if each.rules.fork >= f), 15)
        assert len(header_items(header)) == count
        with_root = [receipt for receipt in each.receipts if receipt.state_root is not None]
        assert len(with_root) == (len(each.receipts) if each.rules.fork < Fork.BYZANTIUM else 0)
        counts["roots"] += len(with_root)
        counts["blobs"] += sum(len(tx.blob_hashes) for tx in each.block.transactions)
        counts["withdrawals"] += len(each.block.withdrawals or ())
        counts["requests"] += len(each.execution.requests)
        counts["work"] += header.difficulty > 0
    assert counts["work"] == 35
    assert all(counts[each] > 0 for each in ("roots", "blobs", "withdrawals", "requests"))


@pytest.mark.slow
def test_blocks_split_and_decode_to_the_same_bytes() -> None:
    """The header codec gives back every header of the chain, of 15 to 21 fields."""
    for raw in blocks():
        block = decode_public_block(raw)
        assert encode_public_header(block.header) in raw
        assert block.header.hash == block.hash
        assert block.size_bytes == len(raw)


def rebuilt(raw: bytes, header: PublicHeader) -> bytes:
    """The block `raw` with another header."""
    parts = codec.as_list(codec.decode(raw))
    return codec.encode([header_items(header), *parts[1:]])


CHANGED: dict[str, Any] = {
    "parent_hash": b"\1" * 32,
    "ommers_hash": b"\1" * 32,
    "fee_recipient": b"\1" * 20,
    "state_root": b"\1" * 32,
    "transactions_root": b"\1" * 32,
    "receipts_root": b"\1" * 32,
    "logs_bloom": b"\1" * 256,
    "difficulty": 7,
    "height": 8,
    "gas_limit": 9_999,
    "gas_used": 20_999,
    "timestamp": 0,
    "extra_data": b"x" * 33,
    "mix_hash": None,
    "nonce": None,
    "base_fee_per_gas": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [each.name for each in fields(PublicHeader)][:16])
def test_a_changed_field_of_the_first_block_is_refused(name: str) -> None:
    """And leaves the importer where it was. Proof of work alone is not verified."""
    importer, raw = new_importer(), blocks()[0]
    header = decode_public_block(raw).header
    if CHANGED[name] is None:
        value: Any = b"\7" * len(getattr(header, name))
        importer.add(rebuilt(raw, replace(header, **{name: value})))
        assert importer.head.height == 1
        return
    with pytest.raises(InvalidBlock):
        importer.add(rebuilt(raw, replace(header, **{name: CHANGED[name]})))
    assert importer.head.height == 0
    importer.add(raw)
    assert importer.head.height == 1


LATE: dict[str, Any] = {
    "difficulty": 1,
    "nonce": b"\1" * 8,
    "mix_hash": b"\1" * 32,
    "base_fee_per_gas": 1,
    "withdrawals_root": b"\1" * 32,
    "blob_gas_used": 1 << 20,
    "excess_blob_gas": 1,
    "parent_beacon_block_root": b"\1" * 32,
    "requests_hash": b"\1" * 32,
}


@pytest.mark.slow
def test_a_changed_field_of_the_last_block_is_refused() -> None:
    """Fields of proof of stake, of blobs and of requests, and a header that ends too early."""
    importer, raws = new_importer(), blocks()
    for raw in raws[:-1]:
        importer.add(raw)
    header = decode_public_block(raws[-1]).header
    for name, value in LATE.items():
        if name != "mix_hash":
            with pytest.raises(InvalidBlock):
                importer.add(rebuilt(raws[-1], replace(header, **{name: value})))
    with pytest.raises(Invalid):
        importer.add(rebuilt(raws[-1], replace(header, requests_hash=None)))
    with pytest.raises(InvalidBlock, match="parent_hash"):
        importer.add(raws[0])
    importer.add(raws[-1])
    assert importer.head.height == 54


@pytest.mark.slow
def test_garbage_is_refused_by_an_error_of_ours() -> None:
    """Cut, changed and foreign bytes never move the head and never escape the error tree."""
    importer, raw = new_importer(), blocks()[0]
    for wrong in (b"", b"\xc0", raw[:-1], raw + b"\0", b"\x80", codec.encode([b"", [], []])):
        with pytest.raises(InvalidMessage):
            importer.add(wrong)
    proof = decode_public_block(raw).header.mix_hash + b"\x88" + bytes(8)
    start = raw.index(proof)
    for at in range(0, len(raw), 29):
        if start <= at < start + len(proof):
            continue  # it is not verified
        changed = raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1 :]
        with pytest.raises(QenexError):
            importer.add(changed)
    assert importer.head.height == 0


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        {"difficulty": "many"},
        {"alloc": {"0x12": {"balance": "1"}}},
        {"alloc": {"0x" + "00" * 20: {"balance": "x"}}},
        {"mixHash": "0x1234"},
    ],
)
def test_a_bad_genesis_is_refused(change: dict[str, Any]) -> None:
    """Missing, misspelt or misshapen: one ConfigError, never a bare exception."""
    with pytest.raises(ConfigError):
        PublicGenesis.of_document(genesis_document() | change)


def test_the_genesis_hash_is_what_the_first_block_names() -> None:
    """State root, fields and encoding of the genesis block are geth's."""
    genesis = PublicGenesis.of_document(genesis_document())
    assert genesis.header.hash == decode_public_block(blocks()[0]).header.parent_hash
    assert len(header_items(genesis.header)) == 15


def test_a_genesis_after_the_merge_has_all_fields() -> None:
    """A chain that begins with every fork active has a header of 21 fields."""
    document = genesis_document()
    config = {
        key: 0 if key.endswith(("Block", "Time")) else value
        for key, value in document["config"].items()
    }
    document["config"] = config | {"terminalTotalDifficulty": 0}
    document["difficulty"] = "0x0"
    header = PublicGenesis.of_document(document).header
    assert len(header_items(header)) == 21
    assert header.base_fee_per_gas == 10**9


def mined(importer: ChainImporter, header: PublicHeader, ommers: list[PublicHeader]) -> bytes:
    """An empty block with this header, its fields corrected until the importer would take it."""
    for _ in range(20):
        ommer_items: list[codec.Item] = [header_items(each) for each in ommers]
        raw = codec.encode([header_items(header), [], ommer_items])
        try:
            importer.check(raw)
        except InvalidBlock as error:
            if "expected" not in error.facts:
                raise
            change: dict[str, Any] = {str(error.facts["field"]): error.facts["expected"]}
            header = replace(header, **change)
        else:
            return raw
    raise AssertionError("no such block")


def child(parent: PublicHeader, **changes: Any) -> PublicHeader:
    empty = replace(parent, parent_hash=parent.hash, height=Height(parent.height + 1))
    empty = replace(empty, timestamp=parent.timestamp + 10, gas_used=Gas(0), extra_data=b"")
    return replace(empty, **changes)


@pytest.mark.slow
def test_ommers_are_paid_and_checked() -> None:
    """A sibling of a recent ancestor counts once; others are refused. Source: Yellow Paper 11.1.

    Kills: each of the four rules left out, and the nephew's share forgotten.
    """
    importer = new_importer()
    start = importer.head
    finder = Address(b"\x0f" * 20)
    importer.add(mined(importer, child(start), []))
    first = importer.head
    hardness = first.difficulty
    ommer = child(start, fee_recipient=finder, difficulty=hardness, extra_data=b"late")
    for wrong in (
        [ommer, ommer],
        [first],
        [child(first, difficulty=hardness)],
        [replace(ommer, parent_hash=Hash32(b"\1" * 32))],
        [replace(ommer, gas_limit=Gas(9))],
    ):
        with pytest.raises(InvalidBlock):
            mined(importer, child(first), wrong)
    block = importer.add(mined(importer, child(first, fee_recipient=NEPHEW), [ommer]))
    paid = {who: block.execution.changes.accounts[who] for who in (finder, NEPHEW)}
    assert {who: each and each.balance for who, each in paid.items()} == {
        finder: 5 * 10**18 * 7 // 8,
        NEPHEW: 5 * 10**18 * 33 // 32,
    }
    with pytest.raises(InvalidBlock, match="duplicate"):
        mined(importer, child(importer.head), [ommer])


NEPHEW = Address(b"\x0e" * 20)


@pytest.mark.slow
def test_an_ommer_of_the_seventh_generation_is_too_old() -> None:
    """Six are allowed: from both sides of the limit."""
    importer = new_importer()
    start = importer.head
    importer.add(mined(importer, child(start), []))
    ommer = child(start, difficulty=importer.head.difficulty, extra_data=b"late")
    for _ in range(5):
        importer.add(mined(importer, child(importer.head), []))
    mined(importer, child(importer.head), [ommer])
    importer.add(mined(importer, child(importer.head), []))
    with pytest.raises(InvalidBlock, match="dangling"):
        mined(importer, child(importer.head), [ommer])
