"""A block built in steps, on one that nobody has stored, is the block built at once after it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import BrokenInvariant
from primitives.keyvalue import Column, MemoryStore, Write
from primitives.transaction import Transaction
from primitives.types import Address, Gas, Wei
from tests.vm.support import (
    BOB,
    COINBASE,
    ENGINE,
    KEYS,
    PARAMS,
    account,
    context,
    contract,
    initcode,
    signed,
    world,
)
from tests.vm.test_blocks import START, Chain
from vm.blocks import BlockDraft, BlockExecutor, Executed, Refused
from vm.engine import ExecutionStopped
from vm.pyevm.engine import PyEvmEngine, make_engine
from vm.pyevm.state import EAGER
from vm.state.layered import UncommittedStore

COUNT = bytes.fromhex("60015f54015f5500")
"""Adds one to slot 0."""
CLEAR = bytes.fromhex("5f5f5500")
"""Sets slot 0 to zero."""
PARENT = bytes.fromhex("60014303405f5500")
"""Keeps the hash of the block before in slot 0."""
TIME = bytes.fromhex("425f5500")
"""Keeps the timestamp in slot 0."""
FOREVER = bytes.fromhex("5b5f56")
"""Jumps to itself."""

COUNTER, CLEARER, KEEPER, CLOCK, LOOP = (Address(bytes(19) + bytes([n])) for n in range(201, 206))
CODES = {
    COUNTER: account(code=COUNT, s0=4),
    CLEARER: account(code=CLEAR, s0=7),
    KEEPER: account(code=PARENT),
    CLOCK: account(code=TIME),
    LOOP: account(code=FOREVER),
}
TARGETS = (BOB, COUNTER, CLEARER, KEEPER, None)


def make(who: int, nonce: int, target: int) -> Transaction:
    data = initcode(COUNT) if TARGETS[target] is None else b""
    return signed(KEYS[who], nonce=nonce, to=TARGETS[target], gas=200_000, data=data)


def begin(
    chain: Chain, below: Executed, executor: BlockExecutor | None = None, **changes: Any
) -> tuple[BlockDraft, UncommittedStore]:
    """Return a draft on `below`, which extends the chain's head and is not in its store."""
    store = UncommittedStore(chain.store, below.update.writes)
    parent, before = below.block.header, chain.block_hash
    options: dict[str, Any] = {"fee_recipient": COINBASE, "timestamp": START + 2} | changes
    draft = (executor or BlockExecutor(ENGINE, PARAMS)).begin(
        store,
        parent,
        validators=below.validators,
        block_hash=lambda n: below.block.hash if n == parent.height else before(n),
        **options,
    )
    return draft, store


def said(made: tuple[Executed, Refused]) -> tuple[Executed, list[tuple[Transaction, str]]]:
    """Return a block and the refused, with errors as words, which compare."""
    return made[0], [(tx, repr(error)) for tx, error in made[1]]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, len(TARGETS) - 1), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    st.data(),
)
def test_steps_on_an_uncommitted_block_give_the_block(
    plan: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    """Hash, receipts, every row, every old row and every refusal; wherever it is cut and stored.

    Kills: rows of the block below left out of the store, `before` read from the state before it,
    a block hash that is not known, a step that begins the gas or the indexes anew.
    """
    nonces = [count(), count(), count()]
    txs = [make(who, next(nonces[who]) + 5 * wrong, what) for who, what, wrong in plan]
    chain = Chain.new(more=CODES)
    first = data.draw(st.integers(0, len(txs)))
    below, _ = chain.build(txs[:first])
    draft, store = begin(chain, below)
    at = first
    while at < len(txs):
        step = data.draw(st.integers(1, len(txs) - at))
        draft.extend(txs[at : at + step])
        at += step
        if data.draw(st.booleans()) and chain.head != below.block.header:
            chain.commit(below)
            store.settle(chain.store)
    assert draft.offered == txs[first:]
    made = draft.finish(START + 3)
    if chain.head != below.block.header:
        chain.commit(below)
    assert said(made) == said(chain.build(txs[first:], timestamp=START + 3))


def test_what_is_not_written_yet_reads_as_if_it_were() -> None:
    """Reads and scans of all columns, before and after it was written."""
    below = MemoryStore()
    old: list[Write] = [(Column.SLOT, bytes([n]), b"old") for n in range(6)]
    below.write([*old, (Column.TRIE, b"\1", b"trie")], sync=False)
    writes: list[Write] = [
        (Column.SLOT, b"\2", b"new"),
        (Column.SLOT, b"\3", None),
        (Column.SLOT, b"\2\1", b"more"),
        (Column.SLOT, b"\7", None),
        (Column.TRIE, b"\2", b"trie too"),
    ]
    store = UncommittedStore(below.snapshot(), writes)
    after = MemoryStore()
    after.write([*old, (Column.TRIE, b"\1", b"trie"), *writes], sync=False)

    def same() -> bool:
        keys = [bytes([n]) for n in range(9)] + [b"\2\1"]
        reads = all(store.get(c, key) == after.get(c, key) for c in Column for key in keys)
        places = [(b"", b""), (b"\2", b""), (b"", b"\3"), (b"\2", b"\2\1"), (b"\7", b"")]
        return reads and all(
            list(store.scan(c, *place)) == list(after.scan(c, *place))
            for c in Column
            for place in places
        )

    assert same()
    store.settle(after)
    assert same()


@pytest.mark.parametrize("kind", ["tuned", "plain", "shadow", "eager"])
def test_a_timestamp_that_was_read_stays(kind: str) -> None:
    """Another one fits a draft as long as no code has looked at it.

    Kills: a draft that always fits; compiled code that reads past the note.
    """
    engine = PyEvmEngine(tuning=EAGER) if kind == "eager" else make_engine(kind)
    chain, executor = Chain.new(more=CODES), BlockExecutor(engine, PARAMS)
    below, _ = chain.build()
    draft, _ = begin(chain, below, executor)
    draft.extend([signed(), signed(nonce=1, to=COUNTER, gas=90_000)])
    assert draft.fits(START + 9)
    draft.extend([signed(nonce=2, to=CLOCK, gas=90_000)])
    assert draft.fits(START + 2)
    assert not draft.fits(START + 9)
    with pytest.raises(BrokenInvariant):
        draft.finish(START + 9)
    made = draft.finish(START + 2)
    chain.commit(below)
    assert made == chain.build(draft.offered, timestamp=START + 2)


def test_a_timestamp_of_other_rules_does_not_fit() -> None:
    """A block that Osaka's first second parts from its draft is built anew."""
    executor = BlockExecutor(ENGINE, replace(PARAMS, osaka_time=START + 5))
    chain = Chain.new()
    draft, _ = begin(chain, chain.build()[0], executor)
    assert draft.fits(START + 4)
    assert not draft.fits(START + 5)


def test_bounds_hold_across_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places and, under Osaka, bytes are counted over all steps of a block, as in one."""
    txs = [signed(nonce=nonce) for nonce in range(6)]
    size = len(txs[0].raw)
    for limit, value in (("BLOCK_TRANSACTIONS_MAX", 4), ("BLOCK_BYTES_MAX", 5 * size + 1_024)):
        monkeypatch.undo()
        monkeypatch.setattr(f"vm.blocks.{limit}", value)
        executor = BlockExecutor(ENGINE, replace(PARAMS, osaka_time=0))
        chain = Chain.new()
        below, _ = chain.build()
        draft, _ = begin(chain, below, executor)
        for each in txs:
            draft.extend([each])
        made, _ = draft.finish(START + 2)
        assert len(made.block.transactions) == 4


def test_a_stop_between_transactions_takes_none_that_is_not_run() -> None:
    """What was taken was run, so the next step begins where this one ended."""
    chain = Chain.new()
    below, _ = chain.build()
    draft, _ = begin(chain, below)
    txs = [signed(nonce=nonce) for nonce in range(5)]
    answers = iter([False, False, True])
    draft.extend(txs, lambda: next(answers))
    assert draft.offered == txs[:2]
    draft.extend(txs[2:])
    chain.commit(below)
    assert draft.finish(START + 2) == chain.build(txs, timestamp=START + 2)


def test_nothing_gets_into_a_computed_draft() -> None:
    """Roots that were computed are those of the block."""
    chain = Chain.new()
    below, _ = chain.build()
    draft, _ = begin(chain, below)
    draft.extend([signed()])
    draft.compute()
    assert draft.is_full
    draft.extend([signed(nonce=1)])
    assert draft.offered == [signed()]
    assert len(draft.finish(START + 2)[0].block.transactions) == 1


@pytest.mark.parametrize("kind", ["tuned", "plain", "shadow"])
def test_code_that_runs_can_be_abandoned(kind: str) -> None:
    """The answer is asked for while code loops, not only between transactions."""
    asked = count()
    run = make_engine(kind).begin(
        world(contract(FOREVER)),
        context(gas_limit=Gas(2**40), base_fee=Wei(0)),
        abandon=lambda: next(asked) > 50,
    )
    with pytest.raises(ExecutionStopped):
        run.extend([signed(gas=2**37, cap=1, tip=0, to=next(iter(contract(b""))))])
    assert next(asked) < 100
