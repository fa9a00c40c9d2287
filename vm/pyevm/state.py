"""py-evm's state class over our overlay: no tries, no database, no system contract installation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from eth.abc import AccountDatabaseAPI
from eth.constants import MAX_PREV_HEADER_DEPTH
from eth.typing import JournalDBCheckpoint
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.state import PragueState
from eth_typing import Address as EthAddress
from eth_typing import BlockNumber
from eth_typing import Hash32 as EthHash32

from primitives.types import EMPTY_ROOT, Address, Height, Wei
from vm.engine import BlockContext
from vm.fees import blob_base_fee
from vm.pyevm.compile.computation import compiled
from vm.pyevm.computation import Computation
from vm.pyevm.forks.table import computation_of
from vm.state.overlay import Overlay

_NO_ROOT = EthHash32(EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What an engine does for speed: compile hot code, move plain transfers without an EVM.

    With `eager` all code is compiled, however seldom it runs: for tests.
    """

    compiles: bool
    shortcuts: bool
    eager: bool = False


PLAIN: Final = Tuning(compiles=False, shortcuts=False)
INTERPRETED: Final = Tuning(compiles=False, shortcuts=True)
TUNED: Final = Tuning(compiles=True, shortcuts=True)
EAGER: Final = Tuning(compiles=True, shortcuts=True, eager=True)


class State(PragueState):
    """One block's (or call's) state: py-evm's opcodes read and write the overlay through it.

    One class serves all forks: what differs is in the computation class of the context's fork.
    py-evm would build its account database from `account_db_class`; ours is handed in. With `stop`
    the code that runs can be stopped (ExecutionStopped).
    """

    computation_class = Computation
    has_read_time = False
    """True once anything has asked for the block's timestamp."""

    def __init__(
        self,
        overlay: Overlay,
        context: BlockContext,
        stop: Callable[[], bool] | None = None,
        tuning: Tuning = TUNED,
    ) -> None:
        self.overlay = overlay
        self.tuning = tuning
        fork = context.rules.fork
        if tuning.compiles:
            self.computation_class = compiled(computation_of(fork), eager=tuning.eager)
        else:
            self.computation_class = computation_of(fork, stoppable=stop is not None)
        if stop is not None:
            self.stop = stop
        if context.moved_precompiles:
            self.computation_class = _with_moved_precompiles(
                self.computation_class, context.moved_precompiles
            )
        self.context = context
        self._account_db = cast("AccountDatabaseAPI", overlay)
        self.execution_context = ExecutionContext(
            coinbase=EthAddress(context.coinbase),
            timestamp=context.timestamp,
            block_number=BlockNumber(context.height),
            difficulty=context.difficulty,
            mix_hash=EthHash32(context.mix_hash),
            gas_limit=context.gas_limit,
            prev_hashes=(),
            chain_id=context.chain_id,
            base_fee_per_gas=context.base_fee,
            excess_blob_gas=context.excess_blob_gas,
        )

    @property
    def timestamp(self) -> int:
        """Return the block's timestamp in seconds, and remember that it was asked for."""
        self.has_read_time = True
        return self.execution_context.timestamp

    def get_ancestor_hash(self, block_number: int) -> EthHash32:
        """Return the hash of one of the last 256 blocks, or nothing (opcode BLOCKHASH)."""
        if not 0 < self.context.height - block_number <= MAX_PREV_HEADER_DEPTH:
            return EthHash32(b"")
        return EthHash32(self.context.block_hash(Height(block_number)) or b"")

    @property
    def blob_base_fee(self) -> int:
        """Return the price of blob gas, or what a call puts in its place (opcode BLOBBASEFEE)."""
        return blob_fee_of(self.context)

    def snapshot(self) -> tuple[EthHash32, JournalDBCheckpoint]:
        """Return a checkpoint; the root beside it is not used."""
        return _NO_ROOT, cast("JournalDBCheckpoint", self.overlay.record())

    def revert(self, snapshot: tuple[EthHash32, JournalDBCheckpoint]) -> None:
        """Undo everything since `snapshot`."""
        self.overlay.discard(cast("int", snapshot[1]))

    def commit(self, snapshot: tuple[EthHash32, JournalDBCheckpoint]) -> None:
        """Keep everything since `snapshot`: nothing to do in an undo log."""

    def get_transient_storage(self, address: EthAddress, slot: int) -> bytes:
        """Return a transient slot (opcode TLOAD)."""
        return self.overlay.get_transient_storage(Address(address), slot)

    def set_transient_storage(self, address: EthAddress, slot: int, value: bytes) -> None:
        """Set a transient slot (opcode TSTORE)."""
        self.overlay.set_transient_storage(Address(address), slot, value)


def _with_moved_precompiles(
    base: type[Computation], moved: Mapping[Address, Address | None]
) -> type[Computation]:
    """Return `base` with other precompiles at some addresses, or none."""
    before = base.get_precompiles()
    after = dict(before)
    for address, source in moved.items():
        after.pop(EthAddress(address), None)
        if source is not None:
            after[EthAddress(address)] = before[EthAddress(source)]
    return type(base.__name__, (base,), {"_precompiles": after})


def blob_fee_of(context: BlockContext) -> Wei:
    """Return the price of blob gas in a block, or what a call puts in its place, in wei."""
    if context.blob_base_fee is not None:
        return context.blob_base_fee
    return blob_base_fee(context.excess_blob_gas, context.rules.blobs)
