"""The chain on disk: what is committed is read back, whole, and nothing else is accepted."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from node.blockstore import (
    GENESIS_KEY,
    HEAD_KEY,
    SCHEMA_KEY,
    BlockStore,
    ChainView,
    is_empty,
)
from node.cache import Cache
from node.logindex import terms_of
from primitives.block import decode_block, encode_block, encode_header
from primitives.codec import encode
from primitives.errors import BrokenInvariant, ConfigError, StoreCorrupt
from primitives.keyvalue import Column, MemoryStore, Write
from primitives.types import ZERO_HASH, Height
from primitives.validators import encode_validator_set
from tests.node.chains import (
    ALICE,
    CODE,
    CONTRACT,
    TRANSACTIONS,
    certificate_of,
    chain,
    genesis,
    next_block,
    validator_set,
)
from vm.state.history import height_key, split_diff
from vm.state.store import StateUpdate


class RecordingStore(MemoryStore):
    """Remembers how it was written; `fails` makes the next batch fail as a full disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[int, bool]] = []
        self.fails = False

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        rows = list(batch)
        if self.fails:
            raise OSError("No space left on device")
        self.writes.append((len(rows), sync))
        super().write(rows, sync=sync)


def test_committed_block_is_read_back() -> None:
    """Header, block, receipts, lookups, certificate and state come back, from cache and from disk.

    Kills: an index in the lookup that is off by one; legacy transactions stored as strings.
    """
    store = MemoryStore()
    blocks = BlockStore.create(store, genesis())
    following = next_block(blocks.view(), TRANSACTIONS[:4])
    certificate = certificate_of(following.block)
    warm = blocks.commit(following, certificate)
    assert blocks.view() is warm
    assert warm.block(1) is following.block, "a committed block is never decoded again"
    for view in (warm, ChainView(store), BlockStore.open(store, warm.genesis_hash).view()):
        block = following.block
        assert (view.height, view.head, view.head_hash) == (1, block.header, block.hash)
        assert view.header(1) == block.header
        assert view.block(1) == block
        assert view.block_hash(1) == block.hash
        assert view.height_of(block.hash) == 1
        assert view.receipts(1) == following.receipts
        assert view.certificate(1) == certificate
        assert view.raw_transactions(1) == [each.raw for each in TRANSACTIONS[:4]]
        for index, transaction in enumerate(block.transactions):
            assert view.transaction_lookup(transaction.hash) == (1, index)
        raw = view.raw_block(1)
        assert raw == encode_block(block)
        assert decode_block(raw) == block
        assert view.state.storage(CONTRACT, 101) == 1
        account, contract = view.state.account(ALICE), view.state.account(CONTRACT)
        assert account is not None
        assert contract is not None
        assert (account.nonce, view.state.code(contract.code_hash)) == (1, CODE)


def test_genesis_is_block_zero() -> None:
    """Genesis is block 0 with its state and validators, without a certificate."""
    view = BlockStore.create(MemoryStore(), genesis()).view()
    assert (view.height, view.block_hash(0)) == (0, view.genesis_hash)
    assert view.certificate(0) is None
    assert view.block(0) == genesis().block
    assert view.validators == view.validators_at(1) == validator_set(1)
    assert view.validators_at(0) is None


def test_nothing_beyond_the_head() -> None:
    """Above the head, below zero and for unknown hashes every answer is None."""
    view = chain(MemoryStore(), 1).view()
    for height in (-1, 2, 2**40):
        reads = [view.header, view.block, view.receipts, view.block_hash, view.raw_block]
        assert [read(height) for read in reads] == [None] * 5
        assert (view.certificate(height), view.raw_transactions(height)) == (None, None)
    assert (view.height_of(bytes(32)), view.transaction_lookup(bytes(32))) == (None, None)
    assert view.validators_at(3) is None


def test_view_stays_at_its_block() -> None:
    """A view knows nothing of later blocks, although the caches are shared.

    Kills: a cache that answers above the head of an older view.
    """
    blocks = chain(MemoryStore(), 2)
    old = blocks.view()
    following = next_block(old, TRANSACTIONS[1:3])
    new = blocks.commit(following, b"certificate")
    assert (old.height, new.height) == (2, 3)
    assert (old.block(3), old.header(3), old.receipts(3), old.block_hash(3)) == (None,) * 4
    assert (old.certificate(3), old.height_of(new.head_hash)) == (None, None)
    assert old.transaction_lookup(TRANSACTIONS[1].hash) is None
    assert (old.state.storage(CONTRACT, 5), new.state.storage(CONTRACT, 5)) == (2, 3)


def test_one_synced_batch_per_block() -> None:
    """Genesis and each commit are one batch each, and synced.

    Kills: a head written after the block in a batch of its own; a commit that is not synced.
    """
    store = RecordingStore()
    blocks = BlockStore.create(store, genesis())
    blocks.commit(next_block(blocks.view(), TRANSACTIONS[:2]), b"certificate")
    assert [sync for _, sync in store.writes] == [True, True]


def test_layout_on_disk_is_pinned() -> None:
    """Keys and short values stand as the module says; another layout needs another version."""
    store = MemoryStore()
    blocks = BlockStore.create(store, genesis())
    following = next_block(blocks.view(), TRANSACTIONS[:2])
    blocks.commit(following, b"certificate")
    zero, one = bytes(8), bytes(7) + b"\x01"
    first, second = blocks.view().genesis_hash, following.block.hash
    keys = {column: [key for key, _ in store.scan(column)] for column in Column}
    assert keys[Column.BLOCK] == sorted(
        [b"h" + zero, b"h" + one, b"n" + first, b"n" + second, b"t" + zero, b"t" + one]
    )
    assert keys[Column.RECEIPT] == [zero, one]
    assert keys[Column.CERTIFICATE] == [one]
    terms = terms_of(following.receipts)
    assert keys[Column.LOG] == sorted(term + one for term in terms)
    assert store.get(Column.META, b"logs") == zero
    assert keys[Column.DIFF] == [one]
    names = split_diff(store.get(Column.DIFF, one) or b"")
    assert keys[Column.INDEX] == sorted(name + one for name in names)
    assert store.get(Column.META, b"tail") == zero
    assert keys[Column.META] == [
        b"genesis",
        b"head",
        b"logs",
        b"schema",
        b"set" + validator_set(1).hash,
        b"tail",
    ]
    assert dict(store.scan(Column.META, b"schema")) == {b"schema": b"\x02"}
    assert store.get(Column.BLOCK, b"n" + second) == one
    lookups = {each.hash: one + bytes([0, 0, 0, n]) for n, each in enumerate(TRANSACTIONS[:2])}
    assert dict(store.scan(Column.TRANSACTION)) == lookups
    assert store.get(Column.META, b"head") == encode([b"\x01", second, following.update.state_root])


def test_failed_commit_changes_nothing() -> None:
    """When the disk refuses a batch, view and store stay as they were and the next one passes."""
    store = RecordingStore()
    blocks = BlockStore.create(store, genesis())
    before = blocks.view()
    store.fails = True
    with pytest.raises(OSError, match="space"):
        blocks.commit(next_block(before, TRANSACTIONS[:2]), b"certificate")
    assert blocks.view() is before
    assert ChainView(store).height == 0
    store.fails = False
    assert blocks.commit(next_block(before), b"certificate").block(1) is not None


def test_commit_refuses_what_does_not_follow() -> None:
    """Another height, another parent, a missing certificate, a foreign root or set: refused."""
    blocks = chain(MemoryStore(), 2)
    good = next_block(blocks.view())
    header = good.block.header
    wrong_height = replace(
        good, block=replace(good.block, header=replace(header, height=Height(7)))
    )
    wrong_parent = replace(
        good, block=replace(good.block, header=replace(header, parent_hash=ZERO_HASH))
    )
    wrong_root = replace(good, update=StateUpdate(ZERO_HASH, good.update.writes))
    wrong_set = replace(good, validators=validator_set(2))
    for bad in (wrong_height, wrong_parent, wrong_root, wrong_set):
        with pytest.raises(BrokenInvariant):
            blocks.commit(bad, b"certificate")
    with pytest.raises(BrokenInvariant, match="certificate"):
        blocks.commit(good, b"")
    assert blocks.view().height == 2


def test_validator_sets_are_found_by_height() -> None:
    """Each height names the set that decided it, also after the set changed twice."""
    store = MemoryStore()
    blocks = BlockStore.create(store, genesis())
    for size in (3, 3, 2):
        blocks.commit(next_block(blocks.view(), validators=validator_set(size)), b"certificate")
    view = ChainView(store)
    sizes = [len(view.validators_at(height) or ()) for height in range(1, 5)]
    assert sizes == [1, 3, 3, 2]
    assert view.validators == validator_set(2)


def test_create_refuses_a_used_store() -> None:
    """A store that holds a chain is not overwritten."""
    store = MemoryStore()
    assert is_empty(store)
    BlockStore.create(store, genesis())
    assert not is_empty(store)
    with pytest.raises(ConfigError, match="already holds a chain"):
        BlockStore.create(store, genesis(2))


def test_open_refuses_another_chain() -> None:
    """A folder of another chain is refused with both genesis hashes in the line."""
    store = MemoryStore()
    own = BlockStore.create(store, genesis()).view().genesis_hash
    other = genesis(2).block.hash
    with pytest.raises(ConfigError) as caught:
        BlockStore.open(store, other)
    assert own.hex() in caught.value.message
    assert other.hex() in caught.value.message
    assert "\n" not in caught.value.message


def test_open_refuses_unknown_layouts_and_empty_stores() -> None:
    """A newer layout, none, and an empty store are refused in one line each."""
    store = MemoryStore()
    with pytest.raises(ConfigError, match="no chain"):
        BlockStore.open(store, bytes(32))
    own = BlockStore.create(store, genesis()).view().genesis_hash
    for version in (b"\x03", None):
        store.write([(Column.META, SCHEMA_KEY, version)], sync=False)
        with pytest.raises(ConfigError, match="layout version"):
            BlockStore.open(store, own)


KEY = height_key(2)
DAMAGE: dict[str, list[Write]] = {
    "no head": [(Column.META, HEAD_KEY, None)],
    "head is garbage": [(Column.META, HEAD_KEY, b"\xc3\x01\x02")],
    "head of another block": [(Column.BLOCK, b"h" + KEY, b"\xc0")],
    "no header": [(Column.BLOCK, b"h" + KEY, None)],
    "no genesis hash": [(Column.META, GENESIS_KEY, None)],
    "no state": [(Column.TRIE, b"A", None)],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_open_refuses_a_damaged_head(name: str) -> None:
    """Whatever of the head is damaged, opening says so in one line, as StoreCorrupt."""
    store = MemoryStore()
    own = chain(store, 2).view().genesis_hash
    store.write(DAMAGE[name], sync=False)
    with pytest.raises(StoreCorrupt) as caught:
        BlockStore.open(store, own)
    assert "\n" not in caught.value.message


def test_old_header_as_head_is_refused() -> None:
    """A head record of an older block than the state belongs to is damage, not a shorter chain."""
    store = MemoryStore()
    blocks = chain(store, 1)
    head = store.get(Column.META, HEAD_KEY)
    blocks.commit(next_block(blocks.view()), b"certificate")
    store.write([(Column.META, HEAD_KEY, head)], sync=False)
    with pytest.raises(StoreCorrupt, match="root"):
        BlockStore.open(store, blocks.view().genesis_hash)


def test_other_header_at_the_head_is_refused() -> None:
    """A whole header with the right state root, but another hash than the head's, is damage."""
    store = MemoryStore()
    view = chain(store, 2).view()
    header = encode_header(replace(view.head, timestamp=7))
    store.write([(Column.BLOCK, b"h" + KEY, header)], sync=False)
    with pytest.raises(StoreCorrupt, match="height 2 differ"):
        BlockStore.open(store, view.genesis_hash)


def test_damaged_block_is_reported_when_read() -> None:
    """Receipts, transactions and sets that do not decode raise StoreCorrupt when asked for."""
    store = MemoryStore()
    chain(store, 3)
    view = ChainView(store)
    for column, key in ((Column.RECEIPT, KEY), (Column.BLOCK, b"t" + KEY)):
        for value in (b"\xc2\x01", b"\x01", None):
            store.write([(column, key, value)], sync=False)
            with pytest.raises(StoreCorrupt):
                (view.receipts if column is Column.RECEIPT else view.block)(2)
    for value in (b"\xc0", encode_validator_set(validator_set(2)), None):
        store.write([(Column.META, b"set" + view.head.extra_data, value)], sync=False)
        with pytest.raises(StoreCorrupt, match="validator set"):
            view.validators  # noqa: B018 - reading it is the test


def test_cache_keeps_its_weight() -> None:
    """The cache drops the least used rows above its weight, and keeps one that is heavier.

    Kills: weight of a replaced row counted twice; the newest row dropped first.
    """
    cache: Cache[int, str] = Cache(10)
    for key in range(5):
        cache.put(key, str(key), 2)
    assert cache.get(0) == "0"
    cache.put(5, "5", 2)
    assert [cache.get(key) for key in range(6)] == ["0", None, "2", "3", "4", "5"]
    cache.put(5, "five", 2)
    assert len(cache) == 5
    cache.put(6, "heavy", 50)
    assert (len(cache), cache.get(6)) == (1, "heavy")
    cache.put(7, "light", 1)
    assert (len(cache), cache.get(7)) == (1, "light")


@pytest.mark.slow
def test_views_are_read_from_threads() -> None:
    """Many threads read views while blocks are committed; each sees one whole chain."""
    blocks = BlockStore.create(MemoryStore(), genesis())

    def read(_: int) -> bool:
        view = blocks.view()
        block = view.block(view.height)
        return block is not None and view.state.storage(CONTRACT, 5) in (6, view.height)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            answers = list(pool.map(read, range(20)))
            blocks.commit(next_block(blocks.view()), b"certificate")
            assert all(answers)
