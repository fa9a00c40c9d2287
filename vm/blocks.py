"""Blocks: build one from transactions, execute one from elsewhere, make the first one.

The header is Ethereum's Prague header. What a QENEX header must say, field by field:

- parent_hash, height: the parent's hash and height + 1
- fee_recipient: free, the proposer's choice
- timestamp: at least the parent's, at most the local clock plus `clock_drift_ms`
- gas_limit, base_fee_per_gas: `params.gas_limit`, `vm.fees.base_fee`
- mix_hash: keccak(parent's mix_hash | height as 32 bytes, big-endian); not random
- extra_data: hash of the validator set that decides the next height, as the registry contract
  holds it after this block
- state_root, transactions_root, receipts_root, logs_bloom, gas_used: from execution
- difficulty, nonce, ommers, withdrawals, blob fields, beacon root, requests: fixed, empty

A registry that cannot be read after a block leaves the validator set as it was; our contract
always answers, so this keeps a chain with a foreign registry deciding rather than stopping it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from primitives.account import GenesisAccount
from primitives.block import Block, Header, encode_block
from primitives.crypto.keccak import keccak
from primitives.errors import Fatal, InvalidBlock, InvalidTransaction, ensure
from primitives.keyvalue import KeyValueReader, Write
from primitives.params import BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, ChainParams
from primitives.receipt import EMPTY_BLOOM, Receipt, encode_receipt, join_blooms
from primitives.transaction import Transaction
from primitives.types import (
    EMPTY_ROOT,
    HASH_BYTES,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Gas,
    Hash32,
    Height,
)
from primitives.validators import ValidatorSet
from vm.engine import BlockContext, BlockRun, Engine, Execution
from vm.fees import base_fee
from vm.forks import Fork, Rules, rules_at
from vm.permissions import AccountRules, account_rules
from vm.registry import RegistryUnreadable, read_validators
from vm.state.first import Progress, WriteRows, no_progress, write_first_state
from vm.state.layered import LayeredState
from vm.state.memory import AllocState
from vm.state.nodes import NodeCache
from vm.state.roots import ordered_root
from vm.state.store import StateStore, StateUpdate

FIELDS_BEFORE: Final = (
    "parent_hash",
    "height",
    "timestamp",
    "gas_limit",
    "base_fee_per_gas",
    "mix_hash",
    "ommers_hash",
    "difficulty",
    "nonce",
    "withdrawals_root",
    "blob_gas_used",
    "excess_blob_gas",
    "parent_beacon_block_root",
    "requests_hash",
)
"""Header fields that need no execution to check, in the order in which they are."""

FIELDS_AFTER: Final = (
    "gas_used",
    "transactions_root",
    "receipts_root",
    "logs_bloom",
    "state_root",
    "extra_data",
)
"""Header fields that execution decides."""

FRAME_BYTES: Final = 1_024
"""Room for a block's header and the prefixes of its lists."""

PREFIX_BYTES: Final = 5
"""Room for what stands before an encoded transaction of at most TRANSACTION_BYTES_MAX."""

BlockHash = Callable[[Height], Hash32 | None]
Refusal = tuple[Transaction, InvalidTransaction]
Refused = tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Executed:
    """A block with all that follows from it; nothing of it is stored yet.

    `update` brings the parent's store to the block's state; `validators` decide the next height.
    """

    block: Block
    receipts: tuple[Receipt, ...]
    update: StateUpdate
    validators: ValidatorSet


class BlockExecutor:
    """Builds and executes the blocks of one chain with one engine."""

    def __init__(self, engine: Engine, params: ChainParams) -> None:
        self._engine = engine
        self._params = params
        self.nodes = NodeCache()
        """The newest trie nodes, for the roots of all blocks."""

    def build(
        self,
        store: KeyValueReader,
        parent: Header,
        *,
        validators: ValidatorSet,
        fee_recipient: Address,
        timestamp: int,
        transactions: Iterable[Transaction],
        block_hash: BlockHash,
        stop: Callable[[], bool] | None = None,
    ) -> tuple[Executed, Refused]:
        """Return the child of `parent` with those `transactions` that are valid, and the others.

        `store` holds the parent's state; `validators` decide this height; `block_hash` answers
        for the heights up to the parent's. A `timestamp` before the parent's becomes the
        parent's. `stop` ends building early.
        """
        draft = self.begin(
            store,
            parent,
            validators=validators,
            fee_recipient=fee_recipient,
            timestamp=timestamp,
            block_hash=block_hash,
        )
        draft.extend(transactions, stop)
        return draft.finish(draft.header.timestamp)

    def begin(
        self,
        store: KeyValueReader,
        parent: Header,
        *,
        validators: ValidatorSet,
        fee_recipient: Address,
        timestamp: int,
        block_hash: BlockHash,
        abandon: Callable[[], bool] | None = None,
    ) -> BlockDraft:
        """Begin a child of `parent` that is built in several steps; otherwise as `build`.

        When `abandon` says yes while code runs, ExecutionStopped is raised and the draft is lost.
        """
        self._check_validators(parent, validators)
        header = self._draft(parent, fee_recipient, max(timestamp, parent.timestamp))
        context = block_context(header, self._params, block_hash)
        state = StateStore(store).reader()
        rules = account_rules(state, self._params)
        run = self._engine.begin(state, context, abandon=abandon)
        return BlockDraft(self, store, header, context, run, rules=rules, validators=validators)

    def execute(
        self,
        store: KeyValueReader,
        parent: Header,
        block: Block,
        *,
        validators: ValidatorSet,
        now: int | None,
        block_hash: BlockHash,
    ) -> Executed:
        """Return what follows from `block`, a child of `parent` made elsewhere.

        `now` is the local clock in seconds; None skips its rule, for blocks that are decided
        already. Raises InvalidBlock, naming the field, or the InvalidTransaction of a
        transaction that must not be there.
        """
        header = block.header
        if now is not None:
            self._check_clock(header, now)
        timestamp = max(header.timestamp, parent.timestamp)
        draft = self._draft(parent, header.fee_recipient, timestamp)
        _check_fields(header, draft, FIELDS_BEFORE)
        _check_count(BLOCK_TRANSACTIONS_MAX, len(block.transactions), "too many transactions")
        self._check_validators(parent, validators)
        context = block_context(header, self._params, block_hash)
        if context.rules.fork >= Fork.OSAKA:
            _check_size(block)
        state = StateStore(store).reader()
        if rules := account_rules(state, self._params):
            for each in block.transactions:
                rules.check(each)
        execution = self._engine.execute(state, context, block.transactions, skip_invalid=False)
        fitting = len(execution.transactions)
        _check_count(fitting, len(block.transactions), "transactions exceed the gas limit")
        executed = self._finish(store, draft, execution, context, validators)
        _check_fields(header, executed.block.header, FIELDS_AFTER)
        _check_hash(block, executed.block)
        return replace(executed, block=block)

    def genesis(
        self,
        alloc: Mapping[Address, GenesisAccount],
        *,
        timestamp: int,
        write: WriteRows | None = None,
        progress: Progress = no_progress,
    ) -> Executed:
        """Return the block at height 0, whose state is `alloc`, for an empty store.

        `write` takes the state's rows in batches as they are made, which keeps memory flat; without
        it they are in the block's `update`.

        Raises Fatal when the registry in `alloc` does not hold a validator set.
        """
        rows: list[Write] = []
        update = StateUpdate(write_first_state(alloc, write or rows.extend, progress), rows)
        header = Header(
            parent_hash=ZERO_HASH,
            fee_recipient=ZERO_ADDRESS,
            state_root=update.state_root,
            transactions_root=EMPTY_ROOT,
            receipts_root=EMPTY_ROOT,
            logs_bloom=EMPTY_BLOOM,
            height=Height(0),
            gas_limit=self._params.gas_limit,
            gas_used=Gas(0),
            timestamp=timestamp,
            extra_data=b"",
            mix_hash=ZERO_HASH,
            base_fee_per_gas=self._params.base_fee_initial,
        )
        state = AllocState(alloc)
        context = block_context(header, self._params, lambda _: None)
        try:
            validators = read_validators(state, self._engine, context, self._params)
        except RegistryUnreadable as error:
            raise Fatal(f"genesis has no validator set: {error}", **error.facts) from error
        block = Block.of(replace(header, extra_data=validators.hash), ())
        return Executed(block, (), update, validators)

    def _check_validators(self, parent: Header, validators: ValidatorSet) -> None:
        ensure(
            validators.hash == parent.extra_data,
            "the validators of a height are those that the header before it names",
            height=parent.height + 1,
        )

    def _draft(self, parent: Header, fee_recipient: Address, timestamp: int) -> Header:
        """Return the child of `parent` with all fields that do not depend on execution."""
        height = Height(parent.height + 1)
        return Header(
            parent_hash=parent.hash,
            fee_recipient=fee_recipient,
            state_root=EMPTY_ROOT,
            transactions_root=EMPTY_ROOT,
            receipts_root=EMPTY_ROOT,
            logs_bloom=EMPTY_BLOOM,
            height=height,
            gas_limit=self._params.gas_limit,
            gas_used=Gas(0),
            timestamp=timestamp,
            extra_data=b"",
            mix_hash=keccak(parent.mix_hash + height.to_bytes(HASH_BYTES, "big")),
            base_fee_per_gas=base_fee(parent, self._params),
        )

    def _finish(
        self,
        store: KeyValueReader,
        draft: Header,
        execution: Execution,
        context: BlockContext,
        validators: ValidatorSet,
    ) -> Executed:
        """Return the block of `draft` with the fields that execution decides."""
        header, update = self.compute(store, draft, execution)
        return self.seal(store, header, execution, update, context, validators)

    def compute(
        self, store: KeyValueReader, draft: Header, execution: Execution
    ) -> tuple[Header, StateUpdate]:
        """Return `draft` with what execution decides, but for the validators, and the update."""
        update = StateStore(store, self.nodes).compute(execution.changes)
        header = replace(
            draft,
            state_root=update.state_root,
            transactions_root=ordered_root([tx.raw for tx in execution.transactions]),
            receipts_root=ordered_root([encode_receipt(each) for each in execution.receipts]),
            logs_bloom=join_blooms(each.bloom for each in execution.receipts),
            gas_used=execution.gas_used,
        )
        return header, update

    def seal(
        self,
        store: KeyValueReader,
        header: Header,
        execution: Execution,
        update: StateUpdate,
        context: BlockContext,
        validators: ValidatorSet,
    ) -> Executed:
        """Return the block of a computed `header`; `validators` are those of its height."""
        after = LayeredState(StateStore(store).reader(), execution.changes)
        with suppress(RegistryUnreadable):
            validators = read_validators(after, self._engine, context, self._params)
        block = Block.of(replace(header, extra_data=validators.hash), execution.transactions)
        return Executed(block, execution.receipts, update, validators)

    def rules_at(self, timestamp: int) -> Rules:
        """Return the rules of a block with this timestamp, in seconds."""
        return rules_at(self._params, timestamp)

    def _check_clock(self, header: Header, now: int) -> None:
        latest = now + self._params.clock_drift_ms / 1000
        if header.timestamp > latest:
            raise InvalidBlock(
                f"timestamp {header.timestamp} is in the future, now is {now}",
                field="timestamp",
                expected=latest,
                found=header.timestamp,
            )


class BlockDraft:
    """A block in the making, see `BlockExecutor.begin`; for one thread at a time.

    However it is cut into steps, the block is the one that `build` makes of all `offered`.
    """

    def __init__(
        self,
        executor: BlockExecutor,
        store: KeyValueReader,
        header: Header,
        context: BlockContext,
        run: BlockRun,
        *,
        rules: AccountRules | None,
        validators: ValidatorSet,
    ) -> None:
        self.header = header
        """All fields that do not depend on execution."""
        self.offered: list[Transaction] = []
        """The candidates that were looked at, in order."""
        self._executor = executor
        self._store = store
        self._context = context
        self._rules = rules
        self._run = run
        self._validators = validators
        self._places_left = BLOCK_TRANSACTIONS_MAX
        self._room_bytes: int | None = None
        if context.rules.fork >= Fork.OSAKA:
            self._room_bytes = BLOCK_BYTES_MAX - FRAME_BYTES
        self._refused: list[Refusal] = []
        self._computed: tuple[Execution, Header, StateUpdate] | None = None

    @property
    def is_full(self) -> bool:
        """True when no candidate that follows can change the block."""
        return self._computed is not None or self._run.is_full

    def extend(
        self, transactions: Iterable[Transaction], stop: Callable[[], bool] | None = None
    ) -> None:
        """Take those `transactions` that are valid; `stop` ends that early, between two of them."""
        if not self.is_full:
            self._run.extend(self._let_in(transactions), stop)

    def _let_in(self, transactions: Iterable[Transaction]) -> Iterator[Transaction]:
        candidates = self._noted(transactions)
        if self._room_bytes is not None:
            candidates = self._fitting(candidates, self._room_bytes)
        if self._rules:
            candidates = self._rules.permitted(candidates, self._refused)
        for tx in islice(candidates, self._places_left):
            self._places_left -= 1
            yield tx

    def _noted(self, transactions: Iterable[Transaction]) -> Iterator[Transaction]:
        for tx in transactions:
            self.offered.append(tx)
            yield tx

    def _fitting(
        self, transactions: Iterable[Transaction], room_bytes: int
    ) -> Iterator[Transaction]:
        """Yield from the front what fits into a block's encoding. Source: EIP-7934."""
        if room_bytes < 0:
            return
        for tx in transactions:
            room_bytes -= len(tx.raw) + PREFIX_BYTES
            self._room_bytes = room_bytes
            if room_bytes < 0:
                return
            yield tx

    def fits(self, timestamp: int) -> bool:
        """Return whether the block could be finished with this timestamp, in seconds.

        It can when it is its own, or when nothing has looked at it and the rules are the same.
        """
        return timestamp == self.header.timestamp or (
            not self._run.has_read_time
            and self._executor.rules_at(timestamp) == self._context.rules
        )

    def compute(self) -> tuple[Execution, Header, StateUpdate]:
        """Return the outcome with the roots, which no timestamp changes; nothing more gets in."""
        if self._computed is None:
            execution = self._run.result()
            header, update = self._executor.compute(self._store, self.header, execution)
            self._computed = execution, header, update
        return self._computed

    def finish(self, timestamp: int) -> tuple[Executed, Refused]:
        """Return the block with a timestamp that `fits`, and the transactions left out."""
        ensure(self.fits(timestamp), "a block's timestamp is the one that its contracts read")
        execution, header, update = self.compute()
        executed = self._executor.seal(
            self._store,
            replace(header, timestamp=timestamp),
            execution,
            update,
            replace(self._context, timestamp=timestamp),
            self._validators,
        )
        return executed, (*execution.rejected, *self._refused)


def block_context(header: Header, params: ChainParams, block_hash: BlockHash) -> BlockContext:
    """Return what the EVM sees in the block of `header`; also for calls on its state."""
    return BlockContext(
        height=header.height,
        timestamp=header.timestamp,
        coinbase=header.fee_recipient,
        gas_limit=header.gas_limit,
        base_fee=header.base_fee_per_gas,
        mix_hash=header.mix_hash,
        chain_id=params.chain_id,
        block_hash=block_hash,
        parent_beacon_block_root=header.parent_beacon_block_root,
        rules=rules_at(params, header.timestamp),
    )


def _check_size(block: Block) -> None:
    size = len(encode_block(block))
    if size > BLOCK_BYTES_MAX:
        raise InvalidBlock(
            f"block RLP-encoded size exceeds maximum: {size} > {BLOCK_BYTES_MAX}",
            field="size",
            expected=BLOCK_BYTES_MAX,
            found=size,
        )


def _check_fields(header: Header, expected: Header, names: Iterable[str]) -> None:
    for name in names:
        wanted, found = getattr(expected, name), getattr(header, name)
        if wanted != found:
            raise InvalidBlock(
                f"wrong {name}: expected {_show(wanted)}, found {_show(found)}",
                field=name,
                expected=wanted,
                found=found,
            )


def _check_hash(block: Block, ours: Block) -> None:
    if block.hash != ours.hash:
        raise InvalidBlock(
            "block carries the hash of another header",
            field="hash",
            expected=ours.hash,
            found=block.hash,
        )


def _show(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _check_count(expected: int, found: int, why: str) -> None:
    if found > expected:
        raise InvalidBlock(why, field="transactions", expected=expected, found=found)
