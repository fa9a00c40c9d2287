"""A block handed over as bytes is traced like a committed one, or refused with its reason."""

from __future__ import annotations

import pytest

from primitives.block import Block, Header, encode_block
from primitives.errors import Invalid, InvalidTransaction
from primitives.params import ChainParams
from primitives.receipt import EMPTY_BLOOM
from primitives.transaction import Transaction
from primitives.types import EMPTY_ROOT, ZERO_HASH, Gas, Hash32
from tests.vm.support import ENGINE, account, context, world
from tests.vm.trace.tracing import A, B, call_to, code, transaction
from vm.state.changes import StateReader
from vm.state.roots import ordered_root
from vm.trace.blocks import trace_raw_block
from vm.trace.requests import CallTree

PARAMS = ChainParams(chain_id=context().chain_id, gas_limit=context().gas_limit)
STATE = world(
    {A: account(100, code=code(call_to(B), "00")), B: account(100, code=code("602a5f5260205ff3"))}
)


def parent_state(header: Header) -> StateReader:
    """Return the state for the parent that is known."""
    if header.parent_hash != bytes(32):
        raise LookupError("parent not found")
    return STATE


def raw_block(*txs: Transaction, parent_hash: Hash32 = ZERO_HASH) -> bytes:
    """Return a block on the state; its roots are not those of its execution."""
    block = context()
    header = Header(
        parent_hash=parent_hash,
        fee_recipient=block.coinbase,
        state_root=EMPTY_ROOT,
        transactions_root=ordered_root([tx.raw for tx in txs]),
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        height=block.height,
        gas_limit=block.gas_limit,
        gas_used=Gas(0),
        timestamp=block.timestamp,
        extra_data=bytes(32),
        mix_hash=block.mix_hash,
        base_fee_per_gas=block.base_fee,
    )
    return encode_block(Block.of(header, txs))


def test_a_raw_block_is_traced() -> None:
    """The traces are those of the same transactions run as a block; the block comes back."""
    txs = (transaction(), transaction(nonce=1))
    block, traces = trace_raw_block(
        ENGINE, raw_block(*txs), PARAMS, parent_state, context().block_hash, CallTree()
    )
    assert [tx.hash for tx in block.transactions] == [tx.hash for tx in txs]
    expected = ENGINE.trace(STATE, context(), txs, CallTree())
    assert traces == expected
    assert len(traces) == 2


def test_what_cannot_run_is_refused() -> None:
    """Bytes that are no block, a parent that is not known, a transaction that is not valid."""

    def trace(raw: bytes) -> object:
        return trace_raw_block(ENGINE, raw, PARAMS, parent_state, context().block_hash, CallTree())

    with pytest.raises(Invalid):
        trace(b"\xc0")
    with pytest.raises(LookupError):
        trace(raw_block(parent_hash=Hash32(b"\x01" * 32)))
    with pytest.raises(InvalidTransaction):
        trace(raw_block(transaction(nonce=7)))
