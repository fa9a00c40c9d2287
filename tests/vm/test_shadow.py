"""The shadow engine: equal engines are invisible, a difference is fatal and can be replayed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from primitives.errors import ConfigError, EngineDiffers, InvalidTransaction, NonceTooLow
from primitives.transaction import Transaction
from primitives.types import Gas, Wei
from tests.vm.support import (
    ALICE,
    BALANCE_OF,
    BOB,
    CONTRACT,
    LOG_ONE,
    REVERT_TEXT,
    STORE_1,
    context,
    contract,
    reverting,
    signed,
    world,
)
from vm.engine import BlockContext, Call, CallResult, Execution, ExecutionReverted
from vm.pyevm.dump import decode_dump, encode_dump
from vm.pyevm.engine import ENGINES, PyEvmEngine, make_engine
from vm.pyevm.shadow import ShadowEngine
from vm.state.changes import StateReader


class Wrong(PyEvmEngine):
    """An engine with a mistake: `field` of its results is changed."""

    def __init__(self, **changed: Any) -> None:
        super().__init__()
        self._changed = changed

    def execute(
        self,
        state: StateReader,
        context: BlockContext,
        transactions: Iterable[Transaction],
        **options: Any,
    ) -> Execution:
        found = super().execute(state, context, transactions, **options)
        return replace(found, **self._changed)

    def call(
        self, state: StateReader, context: BlockContext, call: Call, **options: Any
    ) -> CallResult:
        return replace(super().call(state, context, call, **options), **self._changed)


def shadow(**changed: Any) -> tuple[ShadowEngine, list[bytes]]:
    dumps: list[bytes] = []

    def keep(raw: bytes) -> str:
        dumps.append(raw)
        return "there"

    return ShadowEngine(PyEvmEngine(), Wrong(**changed), keep), dumps


def test_make_engine_knows_its_kinds() -> None:
    """Every kind answers the same; another one is a ConfigError."""
    state = world(contract(LOG_ONE))
    results = [
        make_engine(kind, compiles=compiles).execute(
            state, context(), [signed(to=CONTRACT, gas=90_000)], skip_invalid=False
        )
        for kind in ENGINES
        for compiles in (True, False)
    ]
    assert all(each == results[0] for each in results)
    with pytest.raises(ConfigError):
        make_engine("native")


def test_equal_engines_give_the_first_ones_results_and_errors() -> None:
    """Blocks, calls, estimates, refusals and reverts pass through."""
    engine, state = make_engine("shadow"), world(contract(reverting(REVERT_TEXT)))
    txs = [signed(), signed(nonce=9), signed(nonce=1, to=CONTRACT, gas=90_000)]
    found = engine.execute(state, context(), txs, skip_invalid=True)
    assert [each.status for each in found.receipts] == [1, 0]
    assert len(found.rejected) == 1
    with pytest.raises(InvalidTransaction):
        engine.execute(state, context(), txs, skip_invalid=False)
    with pytest.raises(ExecutionReverted, match="nope"):
        engine.estimate(state, context(), Call(ALICE, CONTRACT))
    assert engine.estimate(state, context(), Call(ALICE, BOB)) == 21_000
    assert engine.call(state, context(), Call(ALICE, CONTRACT)).error == "execution reverted"


def test_a_block_that_is_stopped_early_is_compared_as_far_as_it_went() -> None:
    """The second engine gets what the first one ran. Planted bug: it gets all that was offered."""
    engine, answers = make_engine("shadow"), iter([False, False, True])
    txs = [signed(nonce=each) for each in range(5)]
    found = engine.execute(world(), context(), txs, skip_invalid=True, stop=lambda: next(answers))
    assert len(found.transactions) == 2


@pytest.mark.parametrize("field", ["gas_used", "receipts", "changes", "created", "rejected"])
def test_any_difference_in_a_block_is_fatal(field: str) -> None:
    """Each field alone is enough. Planted bug: comparing receipts only."""
    other = PyEvmEngine().execute(
        world(), context(), [signed(to=None, gas=90_000, nonce=0), signed()], skip_invalid=True
    )
    engine, dumps = shadow(**{field: getattr(other, field)})
    with pytest.raises(EngineDiffers) as caught:
        engine.execute(world(), context(), [signed(value=3)], skip_invalid=False)
    assert caught.value.facts["differences"] == [field]
    assert caught.value.facts["dump"] == "there"
    assert len(dumps) == 1


def test_a_refusal_in_other_words_is_a_difference() -> None:
    """Type and words of an error count, not only that there is one."""
    engine, _ = shadow(rejected=((signed(nonce=9), NonceTooLow("no")),))
    with pytest.raises(EngineDiffers):
        engine.execute(world(), context(), [signed(nonce=9)], skip_invalid=True)


def test_a_difference_in_a_call_is_fatal_and_its_dump_holds_the_call() -> None:
    """Output, gas or error of a call that differ."""
    engine, dumps = shadow(output=b"other")
    call = Call(ALICE, CONTRACT, b"\x01", Wei(2), Gas(90_000), access_list=((BOB, (1, 2)),))
    with pytest.raises(EngineDiffers, match="output"):
        engine.call(world(contract(STORE_1)), context(), call)
    job, _ = decode_dump(dumps[0])
    assert job.call == call


def test_a_dump_replays_without_the_chain(tmp_path: Path) -> None:
    """What the engines read is all that a replay needs. Planted bug: codes left out."""
    code = BALANCE_OF % BOB
    engine, dumps = shadow(gas_used=Gas(1))
    state = world(contract(code[:-1] + LOG_ONE))
    txs = (signed(to=CONTRACT, gas=90_000), signed(nonce=1))
    with pytest.raises(EngineDiffers):
        engine.execute(state, context(), txs, skip_invalid=False)
    job, dumped = decode_dump(dumps[0])
    assert job.transactions == txs
    for kind in ("tuned", "plain"):
        again = make_engine(kind).execute(dumped, job.context, txs, skip_invalid=False)
        assert again == PyEvmEngine().execute(state, context(), txs, skip_invalid=False)
    file = tmp_path / "dump.json"
    file.write_bytes(dumps[0])
    done = subprocess.run(
        [sys.executable, "-m", "scripts.replay", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "2 transactions at height 10: agree\n")


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"version": 2}', b'{"version": 1}', b"\xff"])
def test_what_is_not_a_dump_is_refused(raw: bytes) -> None:
    """One clear error, whatever the bytes."""
    with pytest.raises(ConfigError):
        decode_dump(raw)


def test_a_dump_of_a_dump_is_the_same() -> None:
    """Nothing is lost or changed by writing and reading."""
    engine, dumps = shadow(gas_used=Gas(1))
    state = world(contract(STORE_1))
    with pytest.raises(EngineDiffers):
        engine.execute(state, context(), [signed(to=CONTRACT, gas=90_000)], skip_invalid=False)
    job, dumped = decode_dump(dumps[0])
    reads = dumped.reads
    job_again, dumped_again = decode_dump(encode_dump(job, reads, differences=[]))
    assert dumped_again.reads == reads
    assert replace(job_again.context, block_hash=job.context.block_hash) == job.context
