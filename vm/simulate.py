"""eth_simulateV1: blocks of calls on top of a block, as if they were mined, and nothing is kept.

Rules (go-ethereum internal/ethapi/simulate.go): heights and timestamps rise strictly; gaps of
height are filled with empty blocks, 12 seconds apart; at most 256 blocks from the base. Without
validation the base fee is 0 unless it is overridden, and nonces and fees are not checked. State
overrides apply before a block's calls. Errors carry go-ethereum's codes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from primitives.errors import (
    FeeTooLow,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceTooHigh,
    NonceTooLow,
    Rejected,
    SenderNotEOA,
    TipAboveFeeCap,
)
from primitives.ethereum import PublicBlock, PublicHeader, encode_public_block
from primitives.receipt import EMPTY_BLOOM, Log, encode_receipt, join_blooms
from primitives.transaction import Transaction
from primitives.types import (
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_ROOT,
    GAS_ZERO,
    ZERO_HASH,
    Address,
    Gas,
    Hash32,
    Height,
    Wei,
)
from vm.chainrules import AnyHeader, ChainRules
from vm.engine import (
    BlockContext,
    CallResult,
    Engine,
    SimulatedCall,
    SimulatedGasLimit,
    Simulation,
)
from vm.fees import BLOB_GAS
from vm.forks import Fork
from vm.overrides import (
    BlockOverrides,
    StateOverrides,
    moved_precompiles,
    override_block,
    state_changes,
)
from vm.state.changes import ChangeSet, StateReader
from vm.state.layered import LayeredState
from vm.state.roots import ordered_root

BLOCKS_MAX: Final = 256
SECONDS_BETWEEN: Final = 12

_CODES: Final[tuple[tuple[type[InvalidTransaction], int], ...]] = (
    (NonceTooLow, -38010),
    (NonceTooHigh, -38011),
    (FeeTooLow, -38012),
    (IntrinsicGasTooLow, -38013),
    (InsufficientFunds, -38014),
    (SenderNotEOA, -38024),
    (InitcodeTooLarge, -38025),
    (TipAboveFeeCap, -32602),
)
GAS_LIMIT_REACHED: Final = -38015
NUMBER_NOT_RISING: Final = -38020
TIME_NOT_RISING: Final = -38021
TOO_MANY_BLOCKS: Final = -38026
INTERNAL: Final = -32603


class SimulationRefused(Rejected):
    """A simulation that cannot be run; `code` is go-ethereum's JSON-RPC code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code=code)
        self.code = code


@dataclass(frozen=True, slots=True)
class WantedBlock:
    """One block to simulate."""

    calls: tuple[SimulatedCall, ...] = ()
    block: BlockOverrides = field(default_factory=BlockOverrides)
    state: StateOverrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """One block that was simulated; results and logs run parallel to its transactions."""

    block: PublicBlock
    results: tuple[CallResult, ...]
    logs: tuple[tuple[tuple[Log, int], ...], ...]


@dataclass(frozen=True, slots=True)
class Base:
    """The block that a simulation stands on.

    `state_root` returns the root of `state` after a change set; `block_hash` knows the base and
    the heights before it.
    """

    header: AnyHeader
    hash: Hash32
    state: StateReader
    block_hash: Callable[[Height], Hash32 | None]
    state_root: Callable[[ChangeSet], Hash32]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to simulate: see `Engine.simulate`."""

    validate: bool = False
    transfers: bool = False
    gas_max: Gas = GAS_ZERO


def simulate(
    engine: Engine,
    rules: ChainRules,
    base: Base,
    blocks: Sequence[WantedBlock],
    wishes: Wishes,
    *,
    stop: Callable[[], bool] | None = None,
) -> tuple[SimulatedBlock, ...]:
    """Return the blocks that `blocks` become, with those that fill the gaps between them.

    Raises SimulationRefused, BadOverride, ExecutionStopped, TraceTooLarge.
    """
    run = _Run(engine, rules, base, wishes, stop)
    return tuple(run.block(each) for each in in_sequence(base.header, blocks))


def in_sequence(base: AnyHeader, blocks: Sequence[WantedBlock]) -> list[WantedBlock]:
    """Return `blocks` with heights and timestamps, and the gaps between them filled."""
    found: list[WantedBlock] = []
    height, time = base.height, base.timestamp
    for each in blocks:
        wanted = height + 1 if each.block.number is None else each.block.number
        if wanted <= height:
            raise SimulationRefused(
                f"block numbers must be in order: {wanted} <= {height}", NUMBER_NOT_RISING
            )
        if wanted - base.height > BLOCKS_MAX:
            raise SimulationRefused("too many blocks", TOO_MANY_BLOCKS)
        for missing in range(height + 1, wanted):
            time += SECONDS_BETWEEN
            found.append(WantedBlock(block=BlockOverrides(number=Height(missing), time=time)))
        later = time + SECONDS_BETWEEN if each.block.time is None else each.block.time
        if later <= time:
            raise SimulationRefused(
                f"block timestamps must be in order: {later} <= {time}", TIME_NOT_RISING
            )
        height, time = Height(wanted), later
        found.append(replace(each, block=replace(each.block, number=height, time=time)))
    return found


class _Run:
    """A simulation in progress: the last header, the changes so far, the gas that is left."""

    def __init__(
        self,
        engine: Engine,
        rules: ChainRules,
        base: Base,
        wishes: Wishes,
        stop: Callable[[], bool] | None,
    ) -> None:
        self._engine = engine
        self._rules = rules
        self._base = base
        self._wishes = wishes
        self._stop = stop
        self._parent: AnyHeader = base.header
        self._hashes: dict[Height, Hash32] = {base.header.height: base.hash}
        self._changes = ChangeSet()
        self._gas_left = wishes.gas_max

    def block(self, wanted: WantedBlock) -> SimulatedBlock:
        """Run one block on those before it."""
        draft = self._draft(wanted.block)
        context = self._context(draft, wanted)
        overridden = state_changes(self._state(), wanted.state)
        self._changes = joined(self._changes, overridden)
        done = self._execute(context, wanted.calls)
        self._gas_left = Gas(self._gas_left - done.gas_used)
        self._changes = joined(self._changes, done.changes)
        header = replace(
            draft,
            state_root=self._base.state_root(replace(self._changes, keeps_empty=True)),
            transactions_root=ordered_root([tx.raw for tx in done.transactions]),
            receipts_root=ordered_root([encode_receipt(each) for each in done.receipts]),
            logs_bloom=join_blooms(each.bloom for each in done.receipts),
            gas_used=done.gas_used,
            blob_gas_used=None if draft.blob_gas_used is None else _blob_gas(done.transactions),
        )
        block = _assembled(header, done.transactions)
        self._parent = header
        self._hashes[header.height] = block.hash
        return SimulatedBlock(block, done.results, done.logs)

    def _state(self) -> StateReader:
        return LayeredState(self._base.state, self._changes)

    def _execute(self, context: BlockContext, calls: Sequence[SimulatedCall]) -> Simulation:
        try:
            return self._engine.simulate(
                self._state(),
                context,
                calls,
                validate=self._wishes.validate,
                transfers=self._wishes.transfers,
                gas_max=self._gas_left,
                stop=self._stop,
            )
        except SimulatedGasLimit as error:
            raise SimulationRefused(error.message, GAS_LIMIT_REACHED) from None
        except InvalidTransaction as error:
            if "nonce has max value" in error.message:
                raise SimulationRefused(error.message, INTERNAL) from None
            code = next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL)
            raise SimulationRefused(error.message, code) from None

    def _draft(self, overrides: BlockOverrides) -> PublicHeader:
        """Return the header with all fields that do not depend on execution."""
        parent, time = self._parent, overrides.time or 0
        fork = self._rules.child_rules(parent, time).fork
        fee = overrides.base_fee
        if fee is None:
            fee = self._rules.child_base_fee(parent) if self._wishes.validate else Wei(0)
        has_blobs = fork >= Fork.CANCUN
        return PublicHeader(
            ommers_hash=EMPTY_OMMERS_HASH,
            difficulty=parent.difficulty,
            nonce=bytes(8),
            withdrawals_root=EMPTY_ROOT if fork >= Fork.SHANGHAI else None,
            blob_gas_used=GAS_ZERO if has_blobs else None,
            excess_blob_gas=self._rules.child_excess(parent, time) if has_blobs else None,
            parent_beacon_block_root=ZERO_HASH if has_blobs else None,
            requests_hash=EMPTY_REQUESTS_HASH if fork >= Fork.PRAGUE else None,
            parent_hash=self._hashes[parent.height],
            fee_recipient=_or(overrides.fee_recipient, parent.fee_recipient),
            state_root=EMPTY_ROOT,
            transactions_root=EMPTY_ROOT,
            receipts_root=EMPTY_ROOT,
            logs_bloom=EMPTY_BLOOM,
            height=Height(overrides.number or 0),
            gas_limit=Gas(parent.gas_limit if overrides.gas_limit is None else overrides.gas_limit),
            gas_used=GAS_ZERO,
            timestamp=time,
            extra_data=b"",
            mix_hash=overrides.prev_randao or ZERO_HASH,
            base_fee_per_gas=fee if fork >= Fork.LONDON else None,
        )

    def _context(self, draft: PublicHeader, wanted: WantedBlock) -> BlockContext:
        context = self._rules.context(draft, self._block_hash)
        moved = moved_precompiles(wanted.state, self._engine.precompiles(context))
        only_fee = BlockOverrides(blob_base_fee=wanted.block.blob_base_fee)
        return replace(override_block(context, only_fee), moved_precompiles=moved)

    def _block_hash(self, height: Height) -> Hash32 | None:
        return self._hashes.get(height) or self._base.block_hash(height)


def _assembled(header: PublicHeader, transactions: tuple[Transaction, ...]) -> PublicBlock:
    """Return the block with its hash and its size."""
    withdrawals = None if header.withdrawals_root is None else ()
    block = PublicBlock(header, transactions, (), withdrawals, header.hash, 0)
    return replace(block, size_bytes=len(encode_public_block(block)))


def _blob_gas(transactions: Sequence[Transaction]) -> Gas:
    return Gas(sum(len(each.blob_hashes) for each in transactions) * BLOB_GAS)


def _or(wanted: Address | None, present: Address) -> Address:
    return present if wanted is None else wanted


def joined(first: ChangeSet, second: ChangeSet) -> ChangeSet:
    """Return the change set that does what `first` and then `second` do."""
    accounts = {**first.accounts, **second.accounts}
    gone = {address for address, account in second.accounts.items() if account is None}
    cut = second.wiped | gone
    storage = {address: slots for address, slots in first.storage.items() if address not in cut}
    for address, slots in second.storage.items():
        storage[address] = {**storage.get(address, {}), **slots}
    return ChangeSet(
        accounts=accounts,
        storage=storage,
        wiped=first.wiped | cut,
        codes={**first.codes, **second.codes},
    )
