"""The batched trie equals a trie built key by key, in root and in every stored node."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from primitives.crypto.keccak import keccak
from primitives.errors import BrokenInvariant, StoreCorrupt
from primitives.types import EMPTY_ROOT, Hash32
from tests.vectors import from_hex, load_cases, vectors
from vm.state.encoding import rlp_list, rlp_string, split_list
from vm.state.nodes import NodeCache, decode_node
from vm.state.paths import Nibbles, nibbles_of, pack_path, unpack_path
from vm.state.trie import build_trie, update_trie
from vm.state.walk import build_in_parts, walk_trie

Batch = dict[bytes, bytes]


class Stored:
    """A trie whose nodes live in a dict, as a store would keep them."""

    def __init__(self, cache: NodeCache | None = None) -> None:
        self.root: Hash32 = EMPTY_ROOT
        self.nodes: dict[Nibbles, bytes] = {}
        self.cache = cache

    def update(self, changes: Mapping[bytes, bytes]) -> Hash32:
        result = update_trie(self.nodes.get, self.root, changes, self.cache)
        for path, node in result.nodes.items():
            if node is None:
                self.nodes.pop(path, None)
            else:
                self.nodes[path] = node
        self.root = result.root
        return self.root


def fixed_keys(length: int) -> st.SearchStrategy[bytes]:
    """Keys of one length: dense, with long shared beginnings, or anything."""
    nibble_rich = st.lists(
        st.sampled_from([0x00, 0x01, 0x10, 0xF0]), min_size=length, max_size=length
    )
    tail = st.binary(min_size=1, max_size=min(2, length))
    return st.one_of(
        nibble_rich.map(bytes),
        tail.map(lambda end: bytes(length - len(end)) + end),
        st.binary(min_size=length, max_size=length),
    )


values = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.sampled_from([b"\x00", b"\x7f", b"\x80", b"v" * 31, b"v" * 33, b"v" * 55, b"v" * 56]),
    st.just(b"v" * 300),
)


def batches(key: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[Batch]]:
    """Histories: batches over few keys, so that changes and deletions meet older entries."""
    return st.lists(key, min_size=1, max_size=24, unique=True).flatmap(
        lambda keys: st.lists(
            st.dictionaries(
                st.sampled_from(keys),
                st.booleans().flatmap(lambda keep: values if keep else st.just(b"")),
                max_size=24,
            ),
            min_size=1,
            max_size=6,
        )
    )


def check_history(history: list[Batch]) -> None:
    stored, reference, model = Stored(), HexaryTrie({}), dict[bytes, bytes]()
    cached = [Stored(NodeCache(bound)) for bound in (0, 8, 10_000)]
    for batch in history:
        for key, value in batch.items():
            if value:
                reference[key] = model[key] = value
            elif model.pop(key, None):
                reference[key] = b""
        assert stored.update(batch) == reference.root_hash
        for each in cached:
            assert each.update(batch) == stored.root
            assert each.nodes == stored.nodes
        fresh = build_trie(model.items())
        assert fresh.root == stored.root
        assert fresh.nodes == stored.nodes
    assert stored.update(dict.fromkeys(model, b"")) == EMPTY_ROOT
    assert stored.nodes == {}


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.sampled_from([1, 2, 5, 32]).flatmap(lambda length: batches(fixed_keys(length))))
def test_history_equals_reference(history: list[Batch]) -> None:
    """Any history gives HexaryTrie's root, and exactly the nodes of a fresh build.

    A cache of nodes, whatever its bound, changes nothing.

    Kills: no joining of a branch's last child with the extension above it; no deletion of the
    joined child's entry; a leaf of 31 bytes stored or one of 32 inlined; the entries inside an
    extension forgotten at a split; the fork of an extension taken from its first entry only.
    """
    check_history(history)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(batches(st.lists(st.sampled_from([0x00, 0x01, 0x10]), max_size=3).map(bytes)))
def test_history_with_keys_that_begin_others(history: list[Batch]) -> None:
    """Keys that begin other keys stand in the value of a branch; histories equal HexaryTrie's.

    Kills: a branch with only a value left that is not turned into a leaf; a value overlooked when
    the first key of a batch ends at the fork.
    """
    check_history(history)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(fixed_keys(32), values, max_size=40))
def test_walk_equals_build(items: Batch) -> None:
    """The walk in constant memory visits each node of the built trie once, with the same root.

    Kills: a leaf that begins one nibble too late; a lone child that is not joined.
    """
    seen: list[tuple[Nibbles, bytes | None]] = []
    root = walk_trie(sorted(items.items()), lambda path, node: seen.append((path, node)))
    built = build_trie(items.items())
    assert root == built.root
    assert len(seen) == len(built.nodes)
    assert dict(seen) == built.nodes


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(fixed_keys(32), values, max_size=40))
def test_build_in_parts_equals_build(items: Batch) -> None:
    """A trie built in parts has the nodes of the one built at once, each written once, last.

    Kills: a lone part whose path is not joined with the levels above it; the parts of one first
    nibble put into the branch of another.
    """
    seen: dict[Nibbles, bytes | None] = {}
    parts: dict[int, list[tuple[bytes, bytes]]] = {}
    for key, value in sorted(items.items()):
        parts.setdefault(key[0], []).append((key, rlp_string(value)))
    root = build_in_parts(parts.values(), seen.__setitem__, b"A")
    built = build_trie(items.items())
    assert root == built.root
    assert seen == {b"A" + path: node for path, node in built.nodes.items()}


def test_walk_refuses_descending_keys() -> None:
    """A walk over keys that do not ascend is a programmer's mistake and says so."""
    rows = [(b"\x02", b"a"), (b"\x01", b"b"), (b"\x03", b"c")]
    with pytest.raises(BrokenInvariant, match="ascend"):
        walk_trie(rows, lambda path, node: None)


def test_batch_order_and_size_do_not_matter() -> None:
    """One batch of a thousand entries equals a thousand batches of one, in any order."""
    items = {keccak(bytes([n & 255, n >> 8])): keccak(bytes([n & 255])) for n in range(400)}
    one_by_one = Stored()
    for key in reversed(items):
        one_by_one.update({key: items[key]})
    built = build_trie(items.items())
    assert (built.root, built.nodes) == (one_by_one.root, one_by_one.nodes)


def test_unchanged_values_and_absent_deletions_change_nothing() -> None:
    """Writing the same value and deleting an absent key leave root and nodes as they were."""
    stored = Stored()
    stored.update({keccak(bytes([n])): b"x" * 40 for n in range(50)})
    root, nodes = stored.root, dict(stored.nodes)
    assert stored.update({}) == root
    stored.update({keccak(b"\x07"): b"x" * 40, keccak(b"absent"): b"", bytes(32): b""})
    assert (stored.root, stored.nodes) == (root, nodes)


def test_small_nodes_live_in_their_parents() -> None:
    """Nodes below 32 bytes have no entry; the root has one whatever its size."""
    small = build_trie([(b"\x11", b"a"), (b"\x12", b"b")])
    assert set(small.nodes) == {b""}
    assert small.root == HexaryTrie({}, keccak(small.nodes[b""] or b"")).root_hash
    for length, entries in ((28, 1), (29, 3)):
        zeros = bytes(length)
        assert len(build_trie([(zeros, b"a"), (b"\x10" + zeros[1:], b"b")]).nodes) == entries


@pytest.mark.parametrize("damage", ["missing", "changed", "stale"])
def test_wrong_node_is_refused(damage: str) -> None:
    """A node that is missing, changed or of an older version raises StoreCorrupt, no wrong root."""
    stored = Stored()
    stored.update({keccak(bytes([n])): b"x" * 40 for n in range(50)})
    key = keccak(b"\x07")
    path = nibbles_of(key)[:1]
    old = stored.nodes[path]
    stored.update({key: b"y" * 40})
    if damage == "missing":
        del stored.nodes[path]
    else:
        stored.nodes[path] = old if damage == "stale" else stored.nodes[path][:-1] + b"\x00"
    with pytest.raises(StoreCorrupt, match="path"):
        stored.update({key: b"z"})


def test_cached_nodes_are_bounded_and_not_read() -> None:
    """Made nodes are not read again while they are cached; after each batch half of them may stay.

    Kills: a cache that never forgets; one that forgets what was made last.
    """
    cache, reads = NodeCache(100), list[Nibbles]()
    stored = Stored(cache)

    def read(path: Nibbles) -> bytes | None:
        reads.append(path)
        return stored.nodes.get(path)

    keys = [keccak(bytes([n, 1])) for n in range(200)]
    stored.update(dict.fromkeys(keys, b"x" * 40))
    assert len(cache) > 200
    for turn in range(8):
        stored.update({key: bytes([turn + 1]) * 40 for key in keys[:5]})
        assert len(cache) <= 100
    result = update_trie(read, stored.root, dict.fromkeys(keys[:5], b"z" * 40), cache)
    assert not reads
    assert result == update_trie(read, stored.root, dict.fromkeys(keys[:5], b"z" * 40))
    assert len(reads) > 5


def test_one_cache_for_two_tries() -> None:
    """Tries that share a cache do not see each other's nodes, unless they are the same."""
    cache = NodeCache()
    items: Batch = {keccak(bytes([n])): b"x" * 40 for n in range(50)}
    one, other = Stored(cache), Stored(cache)
    one.update(items)
    other.update({**items, keccak(b"more"): b"y"})
    for each in (one, other):
        each.update(dict.fromkeys(list(items)[:7], b"z" * 40))
    assert (
        one.nodes == build_trie((items | dict.fromkeys(list(items)[:7], b"z" * 40)).items()).nodes
    )
    assert other.root != one.root


@pytest.mark.parametrize("length", [1, 31, 32, 33, 55, 56, 80])
def test_keys_of_any_length(length: int) -> None:
    """Leaves of keys up to 55 bytes and beyond are packed as `pack_path` does it."""
    keys = [bytes([n]) + b"k" * (length - 1) for n in (0x11, 0x12, 0x80)]
    reference, stored = HexaryTrie({}), Stored()
    for key in keys:
        reference[key] = b"v" * 40
        assert stored.update({key: b"v" * 40}) == reference.root_hash


def test_node_of_three_items_is_refused() -> None:
    """An entry that is a list of neither 2 nor 17 items raises StoreCorrupt."""
    with pytest.raises(StoreCorrupt, match="3 items"):
        decode_node(rlp_list([b"\x80"] * 3))
    assert len(split_list(rlp_list([b"\x80"] * 17))) == 17


@given(st.binary(max_size=33).map(nibbles_of), st.booleans(), st.booleans())
def test_hex_prefix_round_trip(path: Nibbles, is_odd: bool, is_leaf: bool) -> None:
    """Paths of even and odd length come back from their hex-prefix encoding."""
    path = path[1:] if is_odd else path
    assert unpack_path(pack_path(path, is_leaf)) == (path, is_leaf)


def test_hex_prefix_examples() -> None:
    """The examples of the Yellow Paper's appendix C: flags 0..3 in the first nibble."""
    assert pack_path(b"\x01\x02\x03\x04\x05", False) == bytes.fromhex("112345")
    assert pack_path(b"\x00\x01\x02\x03\x04\x05", False) == bytes.fromhex("00012345")
    assert pack_path(b"\x00\x0f\x01\x0c\x0b\x08", True) == bytes.fromhex("200f1cb8")
    assert pack_path(b"\x0f\x01\x0c\x0b\x08", True) == bytes.fromhex("3f1cb8")


def _bytes_of(text: str | None) -> bytes:
    if text is None:
        return b""
    return from_hex(text) if text.startswith("0x") else text.encode()


VECTOR_FILES = [
    "trietest.json",
    "trieanyorder.json",
    "trietest_secureTrie.json",
    "trieanyorder_secureTrie.json",
    "hex_encoded_securetrie_test.json",
]


@pytest.mark.parametrize("name", VECTOR_FILES)
def test_official_vectors(name: str) -> None:
    """The official TrieTests: step by step as written, and in as few batches as possible."""
    is_secure = "secure" in name.lower()
    for case in load_cases(vectors("ethereum-tests", "TrieTests", name)).values():
        rows = case["in"].items() if isinstance(case["in"], dict) else case["in"]
        steps = [(_bytes_of(key), _bytes_of(value)) for key, value in rows]
        if is_secure:
            steps = [(keccak(key), value) for key, value in steps]
        stepwise, at_once = Stored(), Stored()
        for key, value in steps:
            stepwise.update({key: value})
        at_once.update(dict(steps))
        assert stepwise.root == at_once.root == from_hex(case["root"])
        assert stepwise.nodes == at_once.nodes
