"""Building the next block of a developer chain: what a test wishes for it, and who may send."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from primitives.block import Header
from primitives.params import ChainParams
from primitives.transaction import Transaction
from primitives.types import Address, Hash32, Wei
from vm.blocks import BlockExecutor
from vm.engine import BlockContext, BlockRun, Engine, Execution
from vm.pyevm.engine import PyEvmEngine
from vm.state.changes import StateReader


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the header of the next block shall say; None: what the chain's rules say."""

    base_fee: Wei | None = None
    mix_hash: Hash32 | None = None

    def applied(self, draft: Header) -> Header:
        """Return the header with the wishes in it."""
        if self.base_fee is not None:
            draft = replace(draft, base_fee_per_gas=self.base_fee)
        if self.mix_hash is not None:
            draft = replace(draft, mix_hash=self.mix_hash)
        return draft


class DevEngine(PyEvmEngine):
    """The engine of every network, but contracts may send: impersonated ones do."""

    def execute(
        self,
        state: StateReader,
        context: BlockContext,
        transactions: Iterable[Transaction],
        *,
        skip_invalid: bool,
        stop: Callable[[], bool] | None = None,
    ) -> Execution:
        """Run `transactions`. See `Engine.execute`."""
        return super().execute(
            state,
            replace(context, contracts_send=True),
            transactions,
            skip_invalid=skip_invalid,
            stop=stop,
        )

    def begin(
        self,
        state: StateReader,
        context: BlockContext,
        *,
        abandon: Callable[[], bool] | None = None,
    ) -> BlockRun:
        """Begin a block. See `Engine.begin`."""
        return super().begin(state, replace(context, contracts_send=True), abandon=abandon)


class DevExecutor(BlockExecutor):
    """Builds one block with wishes."""

    def __init__(self, engine: Engine, params: ChainParams, wishes: Wishes) -> None:
        super().__init__(engine, params)
        self._wishes = wishes

    def _draft(self, parent: Header, fee_recipient: Address, timestamp: int) -> Header:
        return self._wishes.applied(super()._draft(parent, fee_recipient, timestamp))
