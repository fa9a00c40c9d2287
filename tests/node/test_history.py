"""The past of a chain: each retained height is as it was, whatever the node kept or crashed at."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.blockstore import SCHEMA_KEY, BlockStore, ChainView, check_layout, is_empty
from node.check import check, no_progress
from node.prune import HEIGHTS_PER_BLOCK, TAIL_KEY, prune, read_tail
from primitives.account import Account
from primitives.errors import BrokenInvariant, ConfigError, HistoryPruned, StoreCorrupt
from primitives.keyvalue import Column, MemoryStore, Write
from tests.node.chains import ALICE, CONTRACT, chain, executed, genesis, grow, next_block
from tests.vm.test_history import ADDRESSES, SLOTS, change_sets, check_proof
from vm.state.changes import ChangeSet
from vm.state.history import height_key
from vm.state.memory import MemoryState

KEEPS = [None, 1, 2, 5]


class Crash(Exception):
    """The process died."""


class MortalStore(MemoryStore):
    """Dies after a number of batches; what was written stays, whole batches only."""

    def __init__(self) -> None:
        super().__init__()
        self.batches_left = 10**9

    def write(self, batch: Iterable[Write], *, sync: bool) -> None:
        """Write a whole batch, or die before it."""
        if not self.batches_left:
            raise Crash
        self.batches_left -= 1
        super().write(list(batch), sync=sync)


def commit(blocks: BlockStore, changes: ChangeSet) -> ChainView:
    """Commit a block that does `changes`."""
    view = blocks.view()
    return blocks.commit(executed(view.store, view.head, changes), b"certificate")


def check_heights(view: ChainView, models: list[MemoryState]) -> None:
    """Each height from the tail on equals its model; those before it are refused."""
    for height, model in enumerate(models[: view.height + 1]):
        if height < view.tail:
            for read in (view.state_at, view.prover_at):
                with pytest.raises(HistoryPruned, match="pruned history unavailable") as caught:
                    read(height)
                assert caught.value.facts == {"height": height, "oldest": view.tail}
            continue
        state = view.state_at(height)
        for address in ADDRESSES:
            found, expected = state.account(address), model.account(address)
            assert (found is None) == (expected is None)
            if found is not None and expected is not None:
                assert (found.nonce, found.balance) == (expected.nonce, expected.balance)
            assert [state.storage(address, slot) for slot in SLOTS] == [
                model.storage(address, slot) for slot in SLOTS
            ]


def check_nothing_is_left(store: MemoryStore, view: ChainView) -> None:
    """There are old values of the heights above the tail, and of no other."""
    kept = {height_key(height) for height in range(view.tail + 1, view.height + 1)}
    assert {key for key, _ in store.scan(Column.DIFF)} == kept
    assert {key[-8:] for key, _ in store.scan(Column.INDEX)} <= kept


@st.composite
def plans(draw: st.DrawFn) -> list[tuple[str, object]]:
    """What happens to a node: blocks, restarts with another mode, pruning, crashes."""
    steps: list[tuple[str, object]] = []
    for _ in range(draw(st.integers(3, 14))):
        kind = draw(st.sampled_from(["block"] * 6 + ["restart", "prune", "crash"]))
        value: object = None
        if kind == "block":
            value = draw(change_sets())
        elif kind == "restart":
            value = draw(st.sampled_from(KEEPS))
        elif kind == "prune":
            value = (draw(st.integers(1, 5)), draw(st.integers(0, 3)))
        steps.append((kind, value))
    return steps


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(plans(), st.sampled_from(KEEPS))
def test_any_life_of_a_node(plan: list[tuple[str, object]], keep: int | None) -> None:
    """Blocks, mode changes, pruning, and crashes between any two batches: every retained height
    equals the model, proofs hold, nothing is left over, and a deep check finds nothing.

    Kills: the tail moved in another batch than the deletions; one height too many pruned; the new
    block's own old values pruned; a tail that moves back; old values in a batch of their own.
    """
    store, first = MortalStore(), genesis()
    blocks = BlockStore.create(store, first, keep=keep)
    models = [MemoryState()]
    tail = 0
    for kind, value in plan:
        if isinstance(value, ChangeSet):
            commit(blocks, value)
            models.append(deepcopy(models[-1]))
            models[-1].apply(value)
        elif kind == "crash":
            store.batches_left = 0
            with pytest.raises(Crash):
                commit(blocks, ChangeSet(accounts={ADDRESSES[0]: Account()}))
            store.batches_left = 10**9
            blocks = BlockStore.open(store, first.block.hash, keep=keep)
        elif isinstance(value, tuple):
            store.batches_left = value[1]
            with suppress(Crash):
                prune(store, blocks.view().height, value[0], no_progress)
            store.batches_left = 10**9
            blocks = BlockStore.open(store, first.block.hash, keep=keep)
        else:
            keep = value if isinstance(value, int) else None
            blocks = BlockStore.open(store, first.block.hash, keep=keep)
        view = blocks.view()
        check_heights(view, models)
        check_nothing_is_left(store, view)
        assert tail <= view.tail <= view.height
        tail = view.tail
    for height in range(view.tail, view.height + 1):
        header = view.header(height)
        assert header is not None
        for address in ADDRESSES[:4]:
            proof = view.prover_at(height).prove(address, tuple(SLOTS[:3]))
            check_proof(proof, header.state_root)
    assert check(store, deep=True).errors == ()


def test_each_mode_keeps_its_heights() -> None:
    """With `keep` heights the state of head - keep is there and that before it is not.

    Kills: one height more or less.
    """
    store = MemoryStore()
    blocks = BlockStore.create(store, genesis(), keep=3)
    for height in range(1, 9):
        view = blocks.commit(next_block(blocks.view()), b"certificate")
        assert view.tail == max(0, height - 3)
        assert view.state_at(view.tail).storage(CONTRACT, 5) == (view.tail or 6)
    archive = chain(MemoryStore(), 9).view()
    assert [archive.state_at(h).storage(CONTRACT, 5) for h in range(10)] == [6, *range(1, 10)]


def test_no_state_above_the_head() -> None:
    """A height above the head or below zero is the caller's mistake."""
    view = chain(MemoryStore(), 2).view()
    assert view.state_at(2) is view.state
    for height in (-1, 3):
        with pytest.raises(BrokenInvariant):
            view.state_at(height)


def test_a_view_keeps_its_past() -> None:
    """What a view could read it can read still, when later blocks have pruned it."""
    blocks = BlockStore.create(MemoryStore(), genesis(), keep=1)
    old = grow(blocks, 2)
    state = old.state_at(1)
    new = grow(blocks, 3)
    assert (old.tail, new.tail) == (1, 4)
    assert old.state_at(1).storage(CONTRACT, 5) == state.storage(CONTRACT, 5) == 1
    with pytest.raises(HistoryPruned):
        new.state_at(1)


def test_shorter_history_catches_up_in_steps() -> None:
    """After archive, pruned takes some heights with each block; longer again, it only grows."""
    store = MemoryStore()
    first = chain(store, 30).view()
    blocks = BlockStore.open(store, first.genesis_hash, keep=2)
    assert blocks.view().tail == 0
    tails = [grow(blocks, 1).tail for _ in range(6)]
    assert tails == [8, 16, 24, 32, 33, 34]
    assert HEIGHTS_PER_BLOCK == 8
    blocks = BlockStore.open(store, first.genesis_hash)
    assert [grow(blocks, 1).tail for _ in range(3)] == [34] * 3
    assert check(store, deep=True).is_good


def test_prune_at_once_says_how_far_it_is() -> None:
    """`prune` reports its progress, does nothing twice, and never goes back."""
    store = MemoryStore()
    chain(store, 12)
    seen: list[tuple[str, int, int]] = []
    assert prune(store, 12, 4, lambda *step: seen.append(step)) == (0, 8)
    assert seen == [("heights", 8, 8)]
    assert prune(store, 12, 4, no_progress) == (8, 8)
    assert prune(store, 12, 10, no_progress) == (8, 8)
    view = ChainView(store)
    check_nothing_is_left(store, view)
    assert view.state_at(8).storage(CONTRACT, 5) == 8


def test_chain_without_history_is_brought_up_to_date() -> None:
    """A folder of the layout before opens; its history begins at its head and grows."""
    store = MemoryStore()
    own = chain(store, 3).view().genesis_hash
    gone: list[Write] = [
        (c, k, None) for c in (Column.DIFF, Column.INDEX) for k, _ in store.scan(c)
    ]
    store.write(
        [*gone, (Column.META, TAIL_KEY, None), (Column.META, SCHEMA_KEY, b"\x01")], sync=False
    )
    with pytest.raises(ConfigError, match="run the node on it once"):
        check_layout(store)
    blocks = BlockStore.open(store, own)
    assert blocks.view().tail == 3
    view = grow(blocks, 1)
    assert view.state_at(3).storage(CONTRACT, 5) == 3
    with pytest.raises(HistoryPruned):
        view.state_at(2)
    assert check(store, deep=True).is_good


@pytest.mark.parametrize("batches", range(16))
def test_first_state_in_several_batches(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain whose beginning was cut off between two batches was never there, and what is left
    of it is not in the next one.

    Kills: META written before the last of the state; rows of an interrupted beginning kept.
    """
    whole, store = MemoryStore(), MortalStore()
    BlockStore.create(whole, genesis(7))
    monkeypatch.setattr("node.blockstore.ROWS_PER_BATCH", 5)
    store.batches_left = batches
    first = genesis()
    assert len(first.update.writes) // 5 == 15
    with pytest.raises(Crash):
        BlockStore.create(store, first)
    assert is_empty(store)
    store.batches_left = 10**9
    BlockStore.create(store, genesis(7))
    assert [list(store.scan(c)) for c in Column] == [list(whole.scan(c)) for c in Column]


def test_missing_old_values_stop_the_pruning() -> None:
    """A hole in the history is damage, not something to prune over."""
    store = MemoryStore()
    chain(store, 5)
    store.write([(Column.DIFF, height_key(2), None)], sync=False)
    with pytest.raises(StoreCorrupt, match="block 2"):
        prune(store, 5, 1, no_progress)
    assert read_tail(store) == 0


def test_account_of_the_past_is_not_the_present_one() -> None:
    """An account is as it was, also one that changed in every block."""
    view = chain(MemoryStore(), 4).view()
    nonces = [account.nonce for h in range(5) if (account := view.state_at(h).account(ALICE))]
    assert nonces == [0, 1, 2, 3, 4]
