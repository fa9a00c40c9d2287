"""`db check` finds nothing wrong in a good chain and each planted damage in a bad one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from node.blockstore import GENESIS_KEY, HEAD_KEY, SCHEMA_KEY, BlockStore, ChainView
from node.check import ERRORS_MAX, CheckReport, check
from node.prune import TAIL_KEY
from primitives.block import Header, encode_header
from primitives.codec import encode
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, InvalidCertificate
from primitives.keyvalue import Column, MemoryStore, Write
from primitives.receipt import EMPTY_BLOOM, Receipt, encode_receipt
from primitives.types import ZERO_HASH, Gas, Hash32, Height
from primitives.validators import ValidatorSet
from tests.node.chains import ALICE, CODE, CONTRACT, TRANSACTIONS, chain, genesis, next_block
from vm.state.history import height_key, index_key
from vm.state.store import STORAGE_TRIE, hash_address, hash_slot

BLOCKS = 4


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    chain(made, BLOCKS)
    return made


def deep(store: MemoryStore) -> CheckReport:
    return check(store, deep=True)


def test_good_chain(store: MemoryStore) -> None:
    """A chain as it was written passes, with its counts and with progress to the end."""
    seen: list[tuple[str, int, int]] = []
    report = check(store, deep=True, progress=lambda *step: seen.append(step))
    assert report.errors == ()
    assert report.is_good
    assert (report.height, report.transactions) == (BLOCKS, len(TRANSACTIONS))
    assert report.accounts == 2 + BLOCKS
    assert report.slots == 20
    assert ("accounts", report.accounts, report.accounts) in seen
    assert seen[-1] == ("history", BLOCKS, BLOCKS)
    assert ("blocks", BLOCKS + 1, BLOCKS + 1) in seen


def test_quick_check_leaves_the_state_alone(store: MemoryStore) -> None:
    """Without deep a damaged slot is not looked at, and no account is counted."""
    store.write([(Column.SLOT, hash_address(CONTRACT) + hash_slot(5), b"\x63")], sync=False)
    report = check(store, deep=False)
    assert (report.is_good, report.accounts) == (True, 0)
    assert not deep(store).is_good


def test_certificates_are_verified_by_the_caller(store: MemoryStore) -> None:
    """Each certificate but genesis' goes to `verify` with its height, hash and deciding set."""
    view = ChainView(store)
    calls: list[tuple[Height, Hash32]] = []

    def verify(raw: bytes, height: Height, block_hash: Hash32, members: ValidatorSet) -> None:
        assert raw == b"certificate of " + block_hash
        assert members == view.validators_at(height)
        calls.append((height, block_hash))
        if height == 3:
            raise InvalidCertificate("too little power")

    report = check(store, deep=False, verify=verify)
    assert calls == [(height, view.block_hash(height)) for height in range(1, BLOCKS + 1)]
    assert report.errors == ("block 3: the certificate does not hold: too little power",)


SAMPLE = chain(MemoryStore(), BLOCKS).view()
"""The same chain as the fixture's, to take hashes and receipts from."""


def _receipts(change: Callable[[list[Receipt]], list[Receipt]]) -> bytes:
    """Return the encoding of block 4's receipts after a change."""
    receipts = change(list(SAMPLE.receipts(4) or ()))
    return encode([encode_receipt(each) for each in receipts])


def _no_bloom(receipts: list[Receipt]) -> list[Receipt]:
    return [replace(each, bloom=EMPTY_BLOOM) for each in receipts]


K3, K4 = height_key(3), height_key(4)
LAST = TRANSACTIONS[-1].hash
ACCOUNT = hash_address(CONTRACT)
SLOT_NAME = index_key(Column.SLOT, ACCOUNT + hash_slot(5))
ALICE_NAME = index_key(Column.ACCOUNT, hash_address(ALICE))
ROOT_NAME = index_key(Column.TRIE, b"A")
DAMAGE: dict[str, tuple[list[Write], str]] = {
    "no head": ([(Column.META, HEAD_KEY, None)], "head record"),
    "no header": ([(Column.BLOCK, b"h" + K3, None)], "header 3 is missing"),
    "header is garbage": ([(Column.BLOCK, b"h" + K3, b"\xc0")], "header 3 in the data folder"),
    "another genesis": ([(Column.META, GENESIS_KEY, keccak(b"x"))], "not the genesis block"),
    "no transactions": ([(Column.BLOCK, b"t" + K3, None)], "transactions of 3 is missing"),
    "other transactions": ([(Column.BLOCK, b"t" + K4, b"\xc0")], "transactions root"),
    "no lookup": ([(Column.TRANSACTION, LAST, None)], "not found by its hash"),
    "wrong lookup": ([(Column.TRANSACTION, LAST, K4 + bytes(4))], "not found by its hash"),
    "extra lookup": ([(Column.TRANSACTION, bytes(32), K4 + bytes(4))], "lookup has 7"),
    "no receipts": ([(Column.RECEIPT, K3, None)], "receipts of 3"),
    "a receipt less": (
        [(Column.RECEIPT, K4, _receipts(lambda all_of: all_of[1:]))],
        "3 transactions and 2 receipts",
    ),
    "a receipt's bloom": ([(Column.RECEIPT, K4, _receipts(_no_bloom))], "do not give the bloom"),
    "no certificate": ([(Column.CERTIFICATE, K3, None)], "block 3 has no certificate"),
    "no validator set": (
        [(Column.META, b"set" + SAMPLE.head.extra_data, None)],
        "validator set",
    ),
    "no hash index": (
        [(Column.BLOCK, b"n" + (SAMPLE.block_hash(3) or b""), None)],
        "block 3 is not found by its hash",
    ),
    "no state root": ([(Column.TRIE, b"A", None)], "state root"),
    "slot changed": ([(Column.SLOT, ACCOUNT + hash_slot(5), b"\x63")], "another storage root"),
    "slot zero": ([(Column.SLOT, ACCOUNT + hash_slot(5), b"\x00")], "zero or not minimal"),
    "slot gone": ([(Column.SLOT, ACCOUNT + hash_slot(5), None)], "another storage root"),
    "orphan slot": ([(Column.SLOT, bytes(64), b"\x01")], "slots belong to no account"),
    "account gone": ([(Column.ACCOUNT, hash_address(ALICE), None)], "the accounts give state root"),
    "account garbage": ([(Column.ACCOUNT, ACCOUNT, b"\xc1\x01")], "stored account"),
    "code gone": ([(Column.CODE, keccak(CODE), None)], "code is missing"),
    "code changed": ([(Column.CODE, keccak(CODE), CODE[:-1])], "code is missing or damaged"),
    "node gone": ([(Column.TRIE, STORAGE_TRIE + ACCOUNT, None)], "trie node"),
    "node changed": ([(Column.TRIE, STORAGE_TRIE + ACCOUNT, b"\xc0")], "is wrong or missing"),
    "no old values": ([(Column.DIFF, K3, None)], "the old values of block 3 are missing"),
    "list of keys garbage": ([(Column.DIFF, K3, b"a\x20")], "list of changed keys is damaged"),
    "a key less": ([(Column.DIFF, K3, b"")], "block 3: the old values lead to"),
    "old value gone": ([(Column.INDEX, SLOT_NAME + K3, None)], "an old value of block 3"),
    "old value changed": ([(Column.INDEX, SLOT_NAME + K3, b"\x63")], "another storage root"),
    "old account changed": ([(Column.INDEX, ALICE_NAME + K3, None)], "an old value of block 3"),
    "old node changed": ([(Column.INDEX, ROOT_NAME + K3, b"\xc0")], "is not the one"),
    "old value too many": ([(Column.INDEX, SLOT_NAME + bytes(8), b"\x01")], "1 old values belong"),
    "old list too many": ([(Column.DIFF, bytes(8), b"")], "1 lists of changed keys"),
    "no tail": ([(Column.META, TAIL_KEY, None)], "oldest state"),
    "tail above the head": ([(Column.META, TAIL_KEY, height_key(9))], "above the head"),
    "stale node": ([(Column.TRIE, STORAGE_TRIE + bytes(32), b"\xc0")], "belong to no trie"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(store: MemoryStore, name: str) -> None:
    """Each planted damage is found, as plain single lines, and the check itself goes on."""
    writes, expected = DAMAGE[name]
    store.write(writes, sync=False)
    errors = deep(store).errors
    assert any(expected in line for line in errors), errors
    assert all("\n" not in line for line in errors)


LIES: dict[str, tuple[Callable[[Header], Header], str]] = {
    "height": (lambda header: replace(header, height=Height(7)), "says it has height 7"),
    "gas": (lambda header: replace(header, gas_used=Gas(5)), "the receipts say 42000 gas"),
    "bloom": (lambda header: replace(header, logs_bloom=bytes(256)), "do not give the bloom"),
    "parent": (lambda header: replace(header, parent_hash=ZERO_HASH), "does not follow"),
    "receipts": (lambda header: replace(header, receipts_root=ZERO_HASH), "receipts root"),
    "transactions": (
        lambda header: replace(header, transactions_root=ZERO_HASH),
        "transactions root",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_header_that_lies_is_found(name: str) -> None:
    """A header that does not fit its block is found, and so is the break of the next link."""
    store = MemoryStore()
    blocks = BlockStore.create(store, genesis())
    good = next_block(blocks.view(), TRANSACTIONS[:2])
    blocks.commit(good, b"certificate")
    blocks.commit(next_block(blocks.view()), b"certificate")
    lie, expected = LIES[name]
    header = lie(good.block.header)
    store.write(
        [
            (Column.BLOCK, b"h" + height_key(1), encode_header(header)),
            (Column.BLOCK, b"n" + header.hash, height_key(1)),
        ],
        sync=False,
    )
    first, second = check(store, deep=False).errors
    assert "block 1" in first
    assert expected in first
    assert second == "block 2 does not follow its parent"


def test_empty_and_foreign_layouts_are_refused(store: MemoryStore) -> None:
    """A store without a chain, or in an unknown layout, is not checked but refused in one line."""
    with pytest.raises(ConfigError, match="no chain"):
        check(MemoryStore(), deep=False)
    store.write([(Column.META, SCHEMA_KEY, b"\x09")], sync=False)
    with pytest.raises(ConfigError, match="version 9"):
        check(store, deep=False)


def test_errors_are_bounded(store: MemoryStore) -> None:
    """More errors than the bound end the check with a line that says so."""
    rows = [(Column.SLOT, ACCOUNT + bytes([0, n]) * 16, b"\x00") for n in range(ERRORS_MAX + 5)]
    store.write(rows, sync=False)
    errors = deep(store).errors
    assert len(errors) == ERRORS_MAX + 1
    assert "not checked" in errors[-1]
