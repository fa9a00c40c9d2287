"""py-evm's state class over our overlay: no tries, no database, no system contract installation."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from eth.abc import AccountDatabaseAPI
from eth.constants import MAX_PREV_HEADER_DEPTH
from eth.typing import JournalDBCheckpoint
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.state import PragueState
from eth_typing import Address as EthAddress
from eth_typing import BlockNumber
from eth_typing import Hash32 as EthHash32

from primitives.types import EMPTY_ROOT, Address, Height
from vm.engine import BlockContext
from vm.pyevm.computation import Computation, StoppableComputation
from vm.state.overlay import Overlay

_NO_ROOT = EthHash32(EMPTY_ROOT)


class State(PragueState):
    """One block's (or call's) state: py-evm's opcodes read and write the overlay through it.

    py-evm would build its account database from `account_db_class`; ours is handed in. With `stop`
    the code that runs can be stopped (ExecutionStopped).
    """

    computation_class = Computation

    def __init__(
        self, overlay: Overlay, context: BlockContext, stop: Callable[[], bool] | None = None
    ) -> None:
        self.overlay = overlay
        if stop is not None:
            self.stop = stop
            self.computation_class = StoppableComputation
        self.context = context
        self._account_db = cast("AccountDatabaseAPI", overlay)
        self.execution_context = ExecutionContext(
            coinbase=EthAddress(context.coinbase),
            timestamp=context.timestamp,
            block_number=BlockNumber(context.height),
            difficulty=0,
            mix_hash=EthHash32(context.mix_hash),
            gas_limit=context.gas_limit,
            prev_hashes=(),
            chain_id=context.chain_id,
            base_fee_per_gas=context.base_fee,
            excess_blob_gas=context.excess_blob_gas,
        )

    def get_ancestor_hash(self, block_number: int) -> EthHash32:
        """Return the hash of one of the last 256 blocks, or nothing (opcode BLOCKHASH)."""
        if not 0 < self.context.height - block_number <= MAX_PREV_HEADER_DEPTH:
            return EthHash32(b"")
        return EthHash32(self.context.block_hash(Height(block_number)) or b"")

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
