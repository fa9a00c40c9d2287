"""What is read of a developer chain: a node's view, which also believes marks and edited states."""

from __future__ import annotations

from node.blockstore import ChainView
from node.dev.unsigned import decode_kept
from primitives.block import Block
from primitives.errors import StoreCorrupt
from primitives.types import Hash32
from vm.state.proofs import Prover
from vm.state.store import StateStore


class DevView(ChainView):
    """A `ChainView` of a developer chain, equally immutable."""

    @classmethod
    def of(cls, view: ChainView) -> DevView:
        """Return the same moment as `view`; what it has read already is shared."""
        made = cls.__new__(cls)
        made.__dict__.update(view.__dict__)
        return made

    def block(self, height: int) -> Block | None:
        """Return the block at `height`, senders recovered or believed, or None above the head."""
        try:
            return super().block(height)
        except StoreCorrupt:
            header, block_hash = self.header(height), self.block_hash(height)
            raws = self.raw_transactions(height)
            if header is None or block_hash is None or raws is None:
                raise
            return Block(header, tuple(decode_kept(raws)), block_hash)

    def transaction_hashes(self, height: int) -> list[Hash32]:
        """Return the hashes of the block's transactions; a believed one has no other place."""
        found = self.block(height)
        return [] if found is None else [each.hash for each in found.transactions]

    def prover_at(self, height: int) -> Prover:
        """Return what proves the state after the block at `height`, edits by hand included.

        The root is that of the state as it is, which an edit makes differ from the header's.
        """
        if height == self.head.height:
            return Prover(self.store, StateStore(self.store).root(), is_past=False)
        past = self._past(height)
        return Prover(past, StateStore(past).root(), is_past=True)
