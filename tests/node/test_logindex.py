"""The index of logs finds what a look at every block finds, however the index came to be.

Planted bugs that these tests name: a topic indexed without its position, an index that is said to
reach further than its rows, rows of blocks above the head of a view, and a check that counts no
rows.
"""

from __future__ import annotations

import random
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node import logindex
from node.blockstore import BlockStore, ChainView
from node.check import check
from node.logindex import (
    ANY,
    BLOCKS_PER_BATCH,
    LOGS_KEY,
    Indexer,
    address_term,
    candidates,
    index_writes,
    indexed_from,
    set_indexed_from,
    topic_term,
)
from node.rpc.arguments import FilterObject
from node.rpc.errors import RpcError
from node.rpc.logs import Search, is_match
from node.store import RocksStore
from primitives.errors import StoreCorrupt
from primitives.keyvalue import Column, KeyValue, MemoryStore
from primitives.receipt import Log, Receipt, bloom_of
from primitives.types import Address, Gas, Hash32, Height
from tests.node.chains import CONTRACT, chain, genesis, next_block
from vm.state.history import height_key

ADDRESSES = [Address(bytes([n]) * 20) for n in range(3)]
TOPICS = [Hash32(bytes([n]) * 32) for n in range(3)]

logs = st.builds(
    Log,
    st.sampled_from(ADDRESSES),
    st.lists(st.sampled_from(TOPICS), max_size=4).map(tuple),
    st.just(b""),
)
filters = st.builds(
    FilterObject,
    addresses=st.lists(st.sampled_from(ADDRESSES), max_size=2).map(tuple),
    topics=st.lists(st.lists(st.sampled_from(TOPICS), max_size=2).map(tuple), max_size=4).map(
        tuple
    ),
)


def no_limit() -> None:
    """Take all the time."""


@given(st.lists(st.lists(logs, max_size=3), max_size=12), filters, st.data())
@settings(max_examples=150)
def test_no_match_is_missed(
    blocks: list[list[Log]], wanted: FilterObject, data: st.DataObject
) -> None:
    """Every block of a range with a matching log is a candidate; with one term, no other is.

    An empty position asks for a log with so many topics, which is no term.
    """
    store = MemoryStore()
    for height, found in enumerate(blocks):
        receipt = Receipt(2, 1, Gas(1), tuple(found), bloom_of(found))
        store.write(index_writes(height, [receipt]), sync=False)
    first = data.draw(st.integers(0, 12))
    last = data.draw(st.integers(first, 13))
    matching = [
        height
        for height, found in enumerate(blocks)
        if first <= height <= last and any(is_match(wanted, each) for each in found)
    ]
    heights = candidates(store, wanted.addresses, wanted.topics, (first, last), no_limit)
    assert heights == sorted(set(heights))
    assert set(matching) <= set(heights)
    assert all(first <= each <= last for each in heights)
    terms = bool(wanted.addresses) + sum(1 for each in wanted.topics if each)
    if terms == 1 and len(wanted.topics) <= 1 and all(wanted.topics):
        assert heights == matching


@given(st.data(), st.sampled_from([0, 1, 2, 3, 1_000]))
@settings(max_examples=150)
def test_candidates_are_the_heights_of_all_terms(data: st.DataObject, probes: int) -> None:
    """Exactly the heights where each group has a term, however many are looked up, not read.

    Planted bugs: one term of a group is looked up alone; rows behind the first ones are forgotten;
    heights of one group are added where they should be left out.
    """
    store = MemoryStore()
    groups: list[list[set[int]]] = data.draw(
        st.lists(st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=3), max_size=3)
    )
    everywhere = set(range(10))
    topics = [
        [Hash32(bytes([position, each]) * 16) for each in range(len(group))]
        for position, group in enumerate(groups)
    ]
    for position, group in enumerate(groups):
        for value, heights in zip(topics[position], group, strict=True):
            term = topic_term(position, value)
            store.write([(Column.LOG, term + height_key(each), b"") for each in heights], sync=True)
        everywhere &= set().union(*group)
    store.write([(Column.LOG, ANY + height_key(each), b"") for each in range(10)], sync=True)
    with patch.object(logindex, "PROBES_MAX", probes):
        found = candidates(store, (), topics, (2, 7), no_limit)
    assert found == sorted(everywhere & set(range(2, 8)))


def search(view: ChainView, wanted: FilterObject) -> list[str]:
    """Return the places of all matching logs."""
    found = Search(1_000_000, no_limit).run(view, wanted, Height(0), view.height)
    return [each["blockNumber"] + each["logIndex"] + each["transactionHash"] for each in found]


def without_index(store: KeyValue) -> None:
    """Make the store one from before the index."""
    rows = [(Column.LOG, key, None) for key, _ in store.scan(Column.LOG)]
    store.write([*rows, (Column.META, LOGS_KEY, None)], sync=True)


def reopened(store: KeyValue) -> BlockStore:
    """Open the chain again, as a start does."""
    return BlockStore.open(store, genesis().block.hash)


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    chain(made, 4)
    return made


def test_an_older_chain_is_indexed_in_the_background(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no index, half of it, or all: the same logs; in the end the same rows as at once."""
    expected_rows = dict(store.scan(Column.LOG))
    wanted = FilterObject(addresses=(CONTRACT,))
    expected = search(reopened(store).view(), wanted)
    assert len(expected) == 6
    without_index(store)
    blocks = reopened(store)
    assert indexed_from(store) == 5
    monkeypatch.setattr("node.logindex.BLOCKS_PER_BATCH", 2)
    indexer = Indexer(store, lambda height: blocks.view().receipts(height))
    seen = [search(reopened(store).view(), wanted)]
    while indexer.step():
        seen.append(search(reopened(store).view(), wanted))
        assert check(store, deep=False).errors == ()
    assert seen == [expected] * 3
    assert indexed_from(store) == 0
    assert dict(store.scan(Column.LOG)) == expected_rows
    assert not indexer.step()


def test_blocks_above_an_unfinished_index_are_found(store: MemoryStore) -> None:
    """A new block is indexed with its own batch while older ones still wait."""
    without_index(store)
    blocks = reopened(store)
    before = search(blocks.view(), FilterObject(addresses=(CONTRACT,)))
    blocks.commit(next_block(blocks.view()), b"certificate")
    assert search(blocks.view(), FilterObject(addresses=(CONTRACT,))) == before
    assert indexed_from(store) == 5
    indexer = Indexer(store, lambda height: blocks.view().receipts(height))
    indexer.start()
    indexer.stop()
    assert indexed_from(store) in (0, 5)


def test_the_check_finds_what_is_missing_and_what_is_too_much(store: MemoryStore) -> None:
    """A row that is gone, one that belongs nowhere and a damaged record are each named."""
    assert check(store, deep=False).is_good
    key, _ = next(store.scan(Column.LOG, address_term(CONTRACT)))
    store.write([(Column.LOG, key, None)], sync=False)
    errors = check(store, deep=False).errors
    assert any("not found by the logs index" in each for each in errors)
    store.write([(Column.LOG, key, b""), (Column.LOG, ANY + bytes(8), b"")], sync=False)
    assert any("logs index has" in each for each in check(store, deep=False).errors)
    store.write([(Column.META, LOGS_KEY, b"x")], sync=False)
    assert not check(store, deep=False).is_good
    with pytest.raises(StoreCorrupt, match="logs index"):
        indexed_from(store)


def test_an_index_that_reaches_too_far_is_found_out(store: MemoryStore) -> None:
    """Rows are demanded from where the record says that they begin."""
    without_index(store)
    store.write([set_indexed_from(0)], sync=False)
    assert not check(store, deep=False).is_good


def test_a_search_stops_when_it_is_told(store: MemoryStore) -> None:
    """The time is asked for on the way, with the index as without."""

    def late() -> None:
        raise RpcError(-32002, "request timed out")

    view = reopened(store).view()
    with pytest.raises(RpcError, match="timed out"):
        Search(10, late).run(view, FilterObject(addresses=(CONTRACT,)), Height(0), view.height)


def test_a_view_does_not_see_later_rows(tmp_path: Path) -> None:
    """On disk: a view that was taken before a commit searches what it shows."""
    store = RocksStore(tmp_path / "chain")
    blocks = chain(store, 4)
    old = blocks.view()
    before = search(old, FilterObject())
    blocks.commit(next_block(old), b"certificate")
    assert search(old, FilterObject()) == before
    assert list(old.store.scan(Column.LOG)) == list(store.scan(Column.LOG))
    store.close()


def test_one_address_over_a_long_range_reads_only_its_blocks(tmp_path: Path) -> None:
    """Of 20,000 blocks full of other logs, only those of the address are looked at."""
    store = RocksStore(tmp_path / "chain")
    wanted, chance = Address(b"\xaa" * 20), random.Random(5)
    expected = sorted(chance.sample(range(20_000), 50))
    for first in range(0, 20_000, BLOCKS_PER_BATCH):
        rows = []
        for height in range(first, min(20_000, first + BLOCKS_PER_BATCH)):
            other = Address(chance.randbytes(20))
            found = [Log(each, (TOPICS[0],), b"") for each in (other, wanted)]
            found = found if height in expected else found[:1]
            rows += index_writes(height, [Receipt(2, 1, Gas(1), tuple(found), bytes(256))])
        store.write(rows, sync=False)
    assert candidates(store, [wanted], [], (0, 19_999), no_limit) == expected
    assert candidates(store, [wanted], [[TOPICS[0]]], (0, 19_999), no_limit) == expected
    assert candidates(store, [wanted], [[TOPICS[1]]], (0, 19_999), no_limit) == []
    store.close()
