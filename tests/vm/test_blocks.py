"""Blocks: what is built can be executed, and every other header is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.block import Block, Header
from primitives.crypto.keccak import keccak
from primitives.errors import (
    BrokenInvariant,
    Fatal,
    InvalidBlock,
    InvalidTransaction,
    NonceTooHigh,
    WrongChain,
)
from primitives.keyvalue import MemoryStore
from primitives.params import VALIDATOR_REGISTRY, ChainParams
from primitives.transaction import Transaction
from primitives.types import (
    EMPTY_ROOT,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Gas,
    Hash32,
    Height,
    Power,
    Wei,
)
from primitives.validators import Validator, ValidatorSet
from tests.vm.support import (
    BOB,
    CHAIN,
    COINBASE,
    DAVE,
    ENGINE,
    GWEI,
    KEYS,
    LOG_ONE,
    PARAMS,
    account,
    allocation,
    initcode,
    reverting,
    signed,
    validator_set,
)
from vm.blocks import (
    FIELDS_AFTER,
    FIELDS_BEFORE,
    FRAME_BYTES,
    PREFIX_BYTES,
    BlockExecutor,
    Executed,
    Refused,
)
from vm.state.store import StateStore

EXECUTOR = BlockExecutor(ENGINE, PARAMS)
SET = validator_set()
START = 1_700_000_000


@dataclass
class Chain:
    """Committed blocks in memory."""

    store: MemoryStore
    blocks: list[Executed]

    @classmethod
    def new(cls, **changes: Any) -> Chain:
        alloc = allocation(SET) | changes.get("more", {})
        chain = cls(MemoryStore(), [])
        chain.commit(EXECUTOR.genesis(alloc, timestamp=START))
        return chain

    def commit(self, executed: Executed) -> None:
        self.store.write(executed.update.writes, sync=False)
        self.blocks.append(executed)

    @property
    def head(self) -> Header:
        return self.blocks[-1].block.header

    def block_hash(self, height: Height) -> Hash32 | None:
        return self.blocks[height].block.hash if 0 <= height < len(self.blocks) else None

    def build(
        self, transactions: Iterable[Transaction] = (), **changes: Any
    ) -> tuple[Executed, Refused]:
        options: dict[str, Any] = {"fee_recipient": COINBASE, "timestamp": START + 1} | changes
        return EXECUTOR.build(
            self.store,
            self.head,
            validators=self.blocks[-1].validators,
            transactions=transactions,
            block_hash=self.block_hash,
            **options,
        )

    def execute(self, block: Block, now: int | None = None) -> Executed:
        return EXECUTOR.execute(
            self.store,
            self.head,
            block,
            validators=self.blocks[-1].validators,
            now=now,
            block_hash=self.block_hash,
        )


def test_the_first_block() -> None:
    """Height 0, no parent, initial base fee, and the set that decides height 1."""
    header = Chain.new().head
    assert (header.height, header.parent_hash, header.mix_hash) == (0, ZERO_HASH, ZERO_HASH)
    assert (header.timestamp, header.fee_recipient) == (START, ZERO_ADDRESS)
    assert header.base_fee_per_gas == PARAMS.base_fee_initial
    assert header.extra_data == SET.hash
    assert header.transactions_root == header.receipts_root == EMPTY_ROOT


def test_a_genesis_without_validators_is_fatal() -> None:
    """No registry, or one that fails: the chain cannot begin."""
    for code in (b"", reverting(b"")):
        alloc = allocation(SET) | {VALIDATOR_REGISTRY: account(code=code)}
        with pytest.raises(Fatal, match="genesis has no validator set"):
            EXECUTOR.genesis(alloc, timestamp=START)


def test_a_child_follows_the_rules_of_the_header() -> None:
    """Parent, height, mix hash, base fee, limit and fixed fields, by their definitions."""
    chain = Chain.new()
    header = chain.build([signed()])[0].block.header
    assert header.parent_hash == chain.head.hash
    assert header.height == 1
    assert header.mix_hash == keccak(bytes(32) + (1).to_bytes(32, "big"))
    assert header.base_fee_per_gas == GWEI - GWEI // 8
    assert (header.gas_limit, header.gas_used) == (PARAMS.gas_limit, 21_000)
    assert (header.fee_recipient, header.extra_data) == (COINBASE, SET.hash)
    assert (header.difficulty, header.nonce) == (0, bytes(8))
    assert header.withdrawals_root == EMPTY_ROOT


def test_what_is_built_is_executed_to_the_same() -> None:
    """Three blocks with deployments, logs, failures and refusals: equal to the byte."""
    chain = Chain.new()
    runs = [
        [signed(to=None, data=initcode(LOG_ONE), gas=200_000), signed(nonce=5), signed(nonce=1)],
        [signed(KEYS[1], to=None, data=b"\xfe", gas=100_000), signed(chain_id=1)],
        [],
    ]
    for height, txs in enumerate(runs, start=1):
        built, _ = chain.build(txs, timestamp=START + height)
        executed = chain.execute(built.block, now=START + height)
        assert executed == built
        chain.commit(executed)
        assert StateStore(chain.store).root() == built.block.header.state_root
    assert [len(each.receipts) for each in chain.blocks] == [0, 2, 1, 0]


transactions = st.lists(
    st.builds(
        signed,
        st.sampled_from(KEYS[:3]),
        nonce=st.integers(0, 2),
        to=st.sampled_from([BOB, DAVE, None, VALIDATOR_REGISTRY]),
        data=st.sampled_from([b"", initcode(LOG_ONE), b"\xfe"]),
        gas=st.sampled_from([21_000, 100_000, 9_950_000]),
        tip=st.integers(0, 2 * GWEI),
        kind=st.sampled_from([0, 1, 2]),
        chain_id=st.sampled_from([CHAIN, CHAIN, CHAIN, 1]),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(transactions)
@settings(max_examples=60, deadline=None)
def test_any_built_block_can_be_executed(txs: list[Transaction]) -> None:
    """Whatever the pool holds: build and execute agree, and all others are listed as refused."""
    chain = Chain.new()
    built, refused = chain.build(txs)
    assert chain.execute(built.block, now=START + 1) == built
    assert len(built.block.transactions) + len(refused) == len(txs)
    with pytest.raises((InvalidTransaction, InvalidBlock)):
        chain.execute(Block.of(built.block.header, (*built.block.transactions, signed(nonce=9))))


OTHER: dict[str, Any] = {
    "parent_hash": Hash32(b"\1" * 32),
    "height": Height(2),
    "timestamp": START - 1,
    "gas_limit": Gas(PARAMS.gas_limit + 1),
    "base_fee_per_gas": Wei(GWEI),
    "mix_hash": Hash32(b"\1" * 32),
    "ommers_hash": ZERO_HASH,
    "difficulty": 1,
    "nonce": bytes(7) + b"\1",
    "withdrawals_root": ZERO_HASH,
    "blob_gas_used": Gas(1),
    "excess_blob_gas": Gas(1),
    "parent_beacon_block_root": Hash32(b"\1" * 32),
    "requests_hash": ZERO_HASH,
    "gas_used": Gas(21_001),
    "transactions_root": EMPTY_ROOT,
    "receipts_root": EMPTY_ROOT,
    "logs_bloom": b"\1" * 256,
    "state_root": EMPTY_ROOT,
    "extra_data": bytes(32),
}


@pytest.mark.parametrize("name", OTHER)
def test_each_wrong_header_field_is_refused_by_name(name: str) -> None:
    """Every field but the fee recipient is fixed by the parent, the rules or execution."""
    chain = Chain.new()
    block = chain.build([signed()])[0].block
    header = replace(block.header, **{name: OTHER[name]})
    with pytest.raises(InvalidBlock) as caught:
        chain.execute(Block.of(header, block.transactions))
    facts = caught.value.facts
    assert (facts["field"], facts["found"]) == (name, OTHER[name])
    expected = START if name == "timestamp" else getattr(block.header, name)
    assert facts["expected"] == expected
    assert name in caught.value.message


def test_the_list_of_mutations_is_complete() -> None:
    """No header field can be added without a rule and a mutation."""
    names = {each.name for each in fields(Header)}
    assert names == set(OTHER) | {"fee_recipient"}
    assert set(OTHER) == set(FIELDS_BEFORE) | set(FIELDS_AFTER)


def test_the_fee_recipient_is_free_and_part_of_the_result() -> None:
    """Another recipient makes another, valid block only with the state that pays it."""
    chain = Chain.new()
    mine = chain.build([signed()])[0].block
    with pytest.raises(InvalidBlock, match="state_root"):
        chain.execute(Block.of(replace(mine.header, fee_recipient=DAVE), mine.transactions))
    theirs = chain.build([signed()], fee_recipient=DAVE)[0]
    assert chain.execute(theirs.block) == theirs


def test_a_wrong_hash_is_refused() -> None:
    """A block value that carries a hash which is not its header's."""
    chain = Chain.new()
    block = chain.build()[0].block
    with pytest.raises(InvalidBlock, match="hash of another header"):
        chain.execute(replace(block, hash=ZERO_HASH))


def test_the_clock_may_lead_by_the_drift_and_no_more() -> None:
    """A timestamp of now + 2 s passes with 2,000 ms drift; a second later it is refused."""
    chain = Chain.new()
    block = chain.build(timestamp=START + 10)[0].block
    assert chain.execute(block, now=START + 8).block == block
    with pytest.raises(InvalidBlock) as caught:
        chain.execute(block, now=START + 7)
    assert caught.value.facts["field"] == "timestamp"
    assert chain.execute(block, now=None).block == block


def test_equal_timestamps_are_legal_and_a_slow_clock_builds_one() -> None:
    """Blocks may be faster than a second; a proposer whose clock lags takes the parent's time."""
    chain = Chain.new()
    built, _ = chain.build(timestamp=START - 100)
    assert built.block.header.timestamp == START
    assert chain.execute(built.block, now=START) == built


def test_changed_transactions_are_refused() -> None:
    """Missing, added, reordered or replaced: roots or rules say no."""
    chain = Chain.new()
    first, second = signed(), signed(KEYS[1])
    block = chain.build([first, second])[0].block
    for txs in ([first], [], [second, first], [first, second, signed(nonce=1)]):
        with pytest.raises(InvalidBlock):
            chain.execute(Block.of(block.header, tuple(txs)))


@pytest.mark.parametrize(
    ("bad", "error"),
    [(signed(nonce=3), NonceTooHigh), (signed(chain_id=CHAIN + 1), WrongChain)],
)
def test_an_invalid_transaction_makes_the_block_invalid(
    bad: Transaction, error: type[InvalidTransaction]
) -> None:
    """Its own error comes out; building leaves it out and says why."""
    chain = Chain.new()
    block = chain.build([signed()])[0].block
    with pytest.raises(error):
        chain.execute(Block.of(block.header, (signed(), bad)))
    built, refused = chain.build([signed(), bad])
    assert built.block.transactions == (signed(),)
    assert [(tx, type(why)) for tx, why in refused] == [(bad, error)]


def test_transactions_beyond_the_gas_limit_make_the_block_invalid() -> None:
    """A block that is full and goes on is refused, not cut."""
    params = ChainParams(chain_id=CHAIN, gas_limit=Gas(30_000))
    executor = BlockExecutor(ENGINE, params)
    start = executor.genesis(allocation(SET), timestamp=START)
    store = MemoryStore()
    store.write(start.update.writes, sync=False)
    options: dict[str, Any] = {"validators": SET, "block_hash": lambda _: None}
    parent = start.block.header
    built, _ = executor.build(
        store,
        parent,
        fee_recipient=COINBASE,
        timestamp=START,
        transactions=[signed(), signed(nonce=1)],
        **options,
    )
    assert len(built.block.transactions) == 1
    longer = Block.of(built.block.header, (signed(), signed(nonce=1)))
    with pytest.raises(InvalidBlock, match="exceed the gas limit"):
        executor.execute(store, parent, longer, now=None, **options)


def test_a_block_has_at_most_so_many_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building stops at the limit; executing refuses one more."""
    chain = Chain.new()
    txs = [signed(nonce=nonce) for nonce in range(3)]
    three = chain.build(txs)[0].block
    monkeypatch.setattr("vm.blocks.BLOCK_TRANSACTIONS_MAX", 2)
    two, refused = chain.build(txs)
    assert two.block.transactions == tuple(txs[:2])
    assert refused == ()
    chain.execute(two.block)
    with pytest.raises(InvalidBlock, match="too many transactions"):
        chain.execute(three)


def test_building_stops_when_told() -> None:
    """`stop` cuts the block short, and what there is stands."""
    chain = Chain.new()
    answers = iter([False, True])
    txs = [signed(nonce=nonce) for nonce in range(3)]
    built, _ = chain.build(txs, stop=lambda: next(answers))
    assert built.block.transactions == tuple(txs[:1])
    assert chain.execute(built.block) == built


def propose(key: int, member: Address, power: int, nonce: int = 0) -> Transaction:
    data = keccak(b"proposeChange(address,uint64,bytes32)")[:4] + abi_encode(
        ["address", "uint64", "bytes32"], [member, power, bytes(32)]
    )
    return signed(KEYS[key], to=VALIDATOR_REGISTRY, data=data, gas=400_000, value=0, nonce=nonce)


def test_a_vote_in_the_registry_changes_the_set_of_the_next_height() -> None:
    """Powers 1 to 4, quorum 7: after the approvals the new set's hash is in extraData."""
    chain = Chain.new()
    newcomer = KEYS[4].address
    first, _ = chain.build([propose(2, newcomer, 5)])
    assert first.receipts[0].status == 1
    assert first.block.header.extra_data == SET.hash
    chain.commit(chain.execute(first.block))
    second, _ = chain.build([propose(3, newcomer, 5)])
    assert second.receipts[0].status == 1
    wanted = ValidatorSet.of([*SET.validators, Validator(newcomer, Power(5))])
    assert second.validators == wanted
    assert second.block.header.extra_data == wanted.hash
    executed = chain.execute(second.block)
    assert executed == second
    wrong = replace(second.block.header, extra_data=SET.hash)
    with pytest.raises(InvalidBlock, match="extra_data"):
        chain.execute(Block.of(wrong, second.block.transactions))
    chain.commit(executed)
    third, _ = chain.build()
    assert third.block.header.extra_data == wanted.hash


def test_a_registry_that_breaks_leaves_the_set_as_it_was() -> None:
    """A foreign registry that stops answering after genesis does not stop the chain."""
    answer = registry_answer()
    size = len(answer).to_bytes(2, "big")
    # Height 0: return the set that the code carries. Later: revert.
    code = bytes.fromhex("4315600857 5f5ffd".replace(" ", "")).ljust(8, b"\0")
    code += b"\x5b\x61" + size + b"\x60\x16\x5f\x39\x61" + size + b"\x5f\xf3"
    code = code.ljust(0x16, b"\0") + answer
    chain = Chain.new(more={VALIDATOR_REGISTRY: account(code=code)})
    for _ in range(2):
        built, _ = chain.build()
        assert built.validators == SET
        assert built.block.header.extra_data == SET.hash
        chain.commit(chain.execute(built.block))


def registry_answer() -> bytes:
    members = SET.validators
    return abi_encode(
        ["address[]", "uint64[]", "bytes32[]"],
        [
            [each.address for each in members],
            [each.power for each in members],
            [each.pq_key_hash for each in members],
        ],
    )


def test_the_validators_must_be_those_of_the_parent() -> None:
    """A caller that brings another set than the parent's header names has a bug."""
    chain = Chain.new()
    chain.blocks[-1] = replace(chain.blocks[-1], validators=validator_set(3))
    with pytest.raises(BrokenInvariant):
        chain.build()


OSAKA_PARAMS = replace(PARAMS, osaka_time=START + 10)
CLZ_OF_ONE = bytes.fromhex("60011e5f5500")
"""SSTORE slot 0 = CLZ(1), STOP: an invalid instruction before Osaka."""


def osaka_block(timestamp: int, *transactions: Transaction) -> Executed:
    executor = BlockExecutor(ENGINE, OSAKA_PARAMS)
    alloc = allocation(SET) | {DAVE: account(code=CLZ_OF_ONE)}
    start = executor.genesis(alloc, timestamp=START)
    store = MemoryStore()
    store.write(start.update.writes, sync=False)
    options: dict[str, Any] = {"validators": SET, "block_hash": lambda _: None}
    built, _ = executor.build(
        store,
        start.block.header,
        fee_recipient=COINBASE,
        timestamp=timestamp,
        transactions=transactions,
        **options,
    )
    again = executor.execute(store, start.block.header, built.block, now=None, **options)
    assert again == built
    return built


@pytest.mark.parametrize(("offset", "status"), [(9, 0), (10, 1)])
def test_osaka_begins_with_its_timestamp(offset: int, status: int) -> None:
    """The first block at or above `osaka_time` has CLZ. Kills: rules by the parent's timestamp."""
    built = osaka_block(START + offset, signed(to=DAVE, value=0, gas=100_000))
    assert [receipt.status for receipt in built.receipts] == [status]


def test_a_block_in_osaka_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """EIP-7934: building stops below the limit, executing refuses above it; Prague has none."""
    txs = [signed(nonce=nonce) for nonce in range(3)]
    size = len(txs[0].raw) + PREFIX_BYTES
    monkeypatch.setattr("vm.blocks.BLOCK_BYTES_MAX", FRAME_BYTES + 2 * size)
    assert len(osaka_block(START + 10, *txs).block.transactions) == 2
    assert len(osaka_block(START, *txs).block.transactions) == 3
    monkeypatch.setattr("vm.blocks.BLOCK_BYTES_MAX", 700)
    monkeypatch.setattr("vm.blocks.FRAME_BYTES", 0)
    with pytest.raises(InvalidBlock, match="size exceeds maximum"):
        osaka_block(START + 10, *txs)
