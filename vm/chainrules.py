"""What the blocks of a chain run under, for those who read chains of both kinds.

A QENEX chain has one header layout and rules from its parameters. A public Ethereum chain has the
layouts of all forks and rules from its schedule. `ChainRules` gives the answers that differ: the
context in which calls and replays run, and the fees of the block that would come next. Whether a
block of a public chain is under proof of stake is read from its difficulty, which is zero then.
Sources: EIP-1559, 3675, 4844, 7691, 7892, 7918.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from primitives.block import Block, Header
from primitives.ethereum import PublicBlock, PublicHeader
from primitives.params import ChainParams
from primitives.types import GAS_ZERO, WEI_ZERO, ZERO_HASH, ChainId, Gas, Hash32, Height, Wei
from vm.engine import BlockContext
from vm.fees import BLOB_BASE_FEE_MIN, base_fee, blob_base_fee, excess_blob_gas, public_base_fee
from vm.forks import Fork, ForkSchedule, Rules, rules_at
from vm.headers import BASE_FEE_FIRST

AnyHeader: TypeAlias = Header | PublicHeader
AnyBlock: TypeAlias = Block | PublicBlock
BlockHash: TypeAlias = Callable[[Height], Hash32 | None]


class ChainRules(Protocol):
    """The rules of one chain, at any of its blocks."""

    @property
    def chain_id(self) -> ChainId:
        """The chain id of EIP-155."""
        ...

    @property
    def is_public(self) -> bool:
        """Whether this is a public Ethereum chain, imported."""
        ...

    def rules(self, header: AnyHeader) -> Rules:
        """Return the rules of the block of `header`."""
        ...

    def child_rules(self, parent: AnyHeader, timestamp: int) -> Rules:
        """Return the rules of a child of `parent` that carries `timestamp`."""
        ...

    def context(self, header: AnyHeader, block_hash: BlockHash) -> BlockContext:
        """Return what the EVM sees in the block of `header`; also for calls on its state."""
        ...

    def child_base_fee(self, parent: AnyHeader) -> Wei:
        """Return the base fee of the child of `parent`, in wei; 0 where there is none."""
        ...

    def child_excess(self, parent: AnyHeader, timestamp: int) -> Gas:
        """Return the excess blob gas of a child of `parent` that carries `timestamp`."""
        ...

    def blob_fee(self, header: AnyHeader) -> Wei:
        """Return the price of blob gas in the block of `header`, in wei."""
        ...

    def child_blob_fee(self, parent: AnyHeader, timestamp: int) -> Wei:
        """Return the price of blob gas in a child of `parent`, in wei."""
        ...


@dataclass(frozen=True, slots=True)
class OwnRules:
    """The rules of a QENEX network: Prague or Osaka, no blobs."""

    params: ChainParams

    @property
    def chain_id(self) -> ChainId:
        """The chain id of EIP-155."""
        return self.params.chain_id

    @property
    def is_public(self) -> bool:
        """False."""
        return False

    def rules(self, header: AnyHeader) -> Rules:
        """Return the rules of the block of `header`."""
        return rules_at(self.params, header.timestamp)

    def child_rules(self, parent: AnyHeader, timestamp: int) -> Rules:
        """Return the rules of a block that carries `timestamp`."""
        return rules_at(self.params, timestamp)

    def context(self, header: AnyHeader, block_hash: BlockHash) -> BlockContext:
        """Return what the EVM sees in the block of `header`."""
        return _context(header, self.rules(header), self.chain_id, block_hash)

    def child_base_fee(self, parent: AnyHeader) -> Wei:
        """Return the base fee after `parent`, never below the chain's least."""
        return base_fee(_own(parent), self.params)

    def child_excess(self, parent: AnyHeader, timestamp: int) -> Gas:
        """Return 0: no blobs."""
        return GAS_ZERO

    def blob_fee(self, header: AnyHeader) -> Wei:
        """Return the least fee of EIP-4844; it never rises."""
        return Wei(BLOB_BASE_FEE_MIN)

    def child_blob_fee(self, parent: AnyHeader, timestamp: int) -> Wei:
        """Return the least fee of EIP-4844; it never rises."""
        return Wei(BLOB_BASE_FEE_MIN)


@dataclass(frozen=True, slots=True)
class PublicRules:
    """The rules of a public chain, from its schedule of forks."""

    chain_id: ChainId
    schedule: ForkSchedule
    netsplit_height: int | None = None
    """Where the fork id changes for the merge although no rule does by height (EIP-3675)."""

    @property
    def is_public(self) -> bool:
        """True."""
        return True

    def rules(self, header: AnyHeader) -> Rules:
        """Return the rules of the block of `header`."""
        return self.schedule.rules(header.height, header.timestamp, merged=header.difficulty == 0)

    def child_rules(self, parent: AnyHeader, timestamp: int) -> Rules:
        """Return the rules of a child; it is under proof of stake when its parent is."""
        merged = parent.difficulty == 0
        return self.schedule.rules(parent.height + 1, timestamp, merged=merged)

    def context(self, header: AnyHeader, block_hash: BlockHash) -> BlockContext:
        """Return what the EVM sees in the block of `header`."""
        return _context(header, self.rules(header), self.chain_id, block_hash)

    def child_base_fee(self, parent: AnyHeader) -> Wei:
        """Return the base fee after `parent` (EIP-1559); 0 before London."""
        if parent.base_fee_per_gas is not None:
            return public_base_fee(parent.base_fee_per_gas, parent.gas_used, parent.gas_limit)
        fork = self.child_rules(parent, parent.timestamp + 1).fork
        return Wei(BASE_FEE_FIRST) if fork >= Fork.LONDON else WEI_ZERO

    def child_excess(self, parent: AnyHeader, timestamp: int) -> Gas:
        """Return the excess blob gas after `parent`; 0 before Cancun."""
        return excess_blob_gas(
            parent.excess_blob_gas or GAS_ZERO,
            parent.blob_gas_used or GAS_ZERO,
            parent.base_fee_per_gas or WEI_ZERO,
            self.child_rules(parent, timestamp),
        )

    def blob_fee(self, header: AnyHeader) -> Wei:
        """Return the price of blob gas in the block of `header`."""
        return blob_base_fee(header.excess_blob_gas or GAS_ZERO, self.rules(header).blobs)

    def child_blob_fee(self, parent: AnyHeader, timestamp: int) -> Wei:
        """Return the price of blob gas after `parent`."""
        blobs = self.child_rules(parent, timestamp).blobs
        return blob_base_fee(self.child_excess(parent, timestamp), blobs)


def _own(header: AnyHeader) -> Header:
    if isinstance(header, Header):
        return header
    return Header(
        parent_hash=header.parent_hash,
        fee_recipient=header.fee_recipient,
        state_root=header.state_root,
        transactions_root=header.transactions_root,
        receipts_root=header.receipts_root,
        logs_bloom=header.logs_bloom,
        height=header.height,
        gas_limit=header.gas_limit,
        gas_used=header.gas_used,
        timestamp=header.timestamp,
        extra_data=header.extra_data,
        mix_hash=header.mix_hash,
        base_fee_per_gas=header.base_fee_per_gas or WEI_ZERO,
    )


def _context(
    header: AnyHeader, rules: Rules, chain_id: ChainId, block_hash: BlockHash
) -> BlockContext:
    return BlockContext(
        height=header.height,
        timestamp=header.timestamp,
        coinbase=header.fee_recipient,
        gas_limit=header.gas_limit,
        base_fee=header.base_fee_per_gas or WEI_ZERO,
        mix_hash=header.mix_hash,
        chain_id=chain_id,
        block_hash=block_hash,
        excess_blob_gas=header.excess_blob_gas or GAS_ZERO,
        parent_beacon_block_root=header.parent_beacon_block_root or ZERO_HASH,
        rules=rules,
        difficulty=header.difficulty,
    )
