"""Ethereum's own specification in Python (EELS, `ethereum-execution`) as the judge of our engine.

`judge(world)` runs the block of one of `scripts.differ_world`'s worlds on EELS and on an engine of
ours, under Prague or Osaka, and compares who was refused, each receipt with its gas, status, bloom
and logs, and the state root. What EELS holds of a block is made by hand here: accounts, block
environment and transactions, one after another, as its own `apply_body` does without system calls
and withdrawals. `python -m scripts.differ --judge eels --cases N --seed S` runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import ethereum.forks.osaka.fork as osaka
import ethereum.forks.osaka.fork_types as osaka_types
import ethereum.forks.osaka.state as osaka_state
import ethereum.forks.osaka.transactions as osaka_transactions
import ethereum.forks.osaka.trie as osaka_trie
import ethereum.forks.osaka.vm as osaka_vm
import ethereum.forks.prague.fork as prague
import ethereum.forks.prague.fork_types as prague_types
import ethereum.forks.prague.state as prague_state
import ethereum.forks.prague.transactions as prague_transactions
import ethereum.forks.prague.trie as prague_trie
import ethereum.forks.prague.vm as prague_vm
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U64, U256, Uint

from primitives.receipt import encode_receipt
from primitives.transaction import LEGACY, Transaction
from primitives.types import Height
from scripts.differ_world import World, root_after
from vm.engine import Engine, Execution
from vm.forks import Fork
from vm.state.memory import MemoryState

ANCESTORS: Final = 256


@dataclass(frozen=True, slots=True)
class Specification:
    """The modules of one fork in EELS."""

    fork: ModuleType
    types: ModuleType
    state: ModuleType
    transactions: ModuleType
    trie: ModuleType
    vm: ModuleType


SPECIFICATIONS: Final = {
    Fork.PRAGUE: Specification(
        prague, prague_types, prague_state, prague_transactions, prague_trie, prague_vm
    ),
    Fork.OSAKA: Specification(
        osaka, osaka_types, osaka_state, osaka_transactions, osaka_trie, osaka_vm
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a block: who was let in, their encoded receipts, the state root."""

    accepted: tuple[bytes, ...]
    receipts: tuple[bytes, ...]
    gas_used: int
    state_root: bytes


def by_specification(world: World) -> Verdict:
    """Return what EELS makes of a world's block."""
    spec = SPECIFICATIONS[world.context.rules.fork]
    environment = _environment(spec, world)
    output = spec.vm.BlockOutput()
    accepted: list[Transaction] = []
    for tx in world.transactions:
        if _is_accepted(spec, environment, output, tx, len(accepted)):
            accepted.append(tx)
    receipts = []
    for tx, key in zip(accepted, output.receipt_keys, strict=True):
        receipt: Any = spec.trie.trie_get(output.receipts_trie, key)
        receipts.append(bytes(rlp.encode(receipt) if tx.type == LEGACY else receipt))
    return Verdict(
        tuple(tx.hash for tx in accepted),
        tuple(receipts),
        int(output.block_gas_used),
        bytes(spec.state.state_root(environment.state)),
    )


def _is_accepted(
    spec: Specification, environment: Any, output: Any, tx: Transaction, index: int
) -> bool:
    try:
        content = spec.transactions.decode_transaction(
            rlp.decode_to(spec.transactions.LegacyTransaction, tx.raw)
            if tx.type == LEGACY
            else Bytes(tx.raw)
        )
        spec.fork.process_transaction(environment, output, content, Uint(index))
    except EthereumException:
        return False
    return True


def _environment(spec: Specification, world: World) -> Any:
    context = world.context
    first = context.height - ANCESTORS
    return spec.vm.BlockEnvironment(
        chain_id=U64(context.chain_id),
        state=_state(spec, world),
        block_gas_limit=Uint(context.gas_limit),
        block_hashes=[
            Bytes32(context.block_hash(Height(at)) or bytes(32))
            for at in range(first, context.height)
        ],
        coinbase=spec.types.Address(context.coinbase),
        number=Uint(context.height),
        base_fee_per_gas=Uint(context.base_fee),
        time=U256(context.timestamp),
        prev_randao=Bytes32(context.mix_hash),
        excess_blob_gas=U64(context.excess_blob_gas),
        parent_beacon_block_root=Bytes32(context.parent_beacon_block_root),
    )


def _state(spec: Specification, world: World) -> Any:
    state = spec.state.State()
    for address, account in world.alloc.items():
        who = spec.types.Address(address)
        content = spec.types.Account(
            nonce=Uint(account.nonce), balance=U256(account.balance), code=Bytes(account.code)
        )
        spec.state.set_account(state, who, content)
        for slot, value in account.storage.items():
            key = Bytes32(slot.to_bytes(32, "big"))
            spec.state.set_storage(state, who, key, U256(value))
    return state


def by_engine(engine: Engine, world: World) -> Verdict:
    """Return what an engine of ours makes of a world's block."""
    done: Execution = engine.execute(
        MemoryState.of(world.alloc), world.context, world.transactions, skip_invalid=True
    )
    return Verdict(
        tuple(tx.hash for tx in done.transactions),
        tuple(map(encode_receipt, done.receipts)),
        done.gas_used,
        root_after(world, done),
    )


def judge(engine: Engine, world: World) -> list[str]:
    """Return the names of what EELS and the engine make differently; nothing when all is well."""
    expected, found = by_specification(world), by_engine(engine, world)
    wrong = [
        name
        for name in ("accepted", "gas_used", "state_root")
        if getattr(expected, name) != getattr(found, name)
    ]
    pairs = zip(expected.receipts, found.receipts, strict=False)
    return wrong + [f"receipt {at}" for at, (one, other) in enumerate(pairs) if one != other]
