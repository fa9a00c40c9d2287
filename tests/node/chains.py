"""Small chains with true roots, made without an engine: what a block store has to keep."""

from __future__ import annotations

from collections.abc import Sequence

from node.blockstore import BlockStore, ChainView
from primitives.account import Account, GenesisAccount
from primitives.block import Block, Header
from primitives.crypto.keccak import keccak
from primitives.keyvalue import KeyValue, KeyValueReader, MemoryStore
from primitives.receipt import Log, Receipt, bloom_of, encode_receipt, join_blooms
from primitives.transaction import Transaction, decode_transaction
from primitives.types import ZERO_HASH, Address, Gas, Hash32, Height, Nonce, Power, Wei
from primitives.validators import Validator, ValidatorSet
from tests.primitives.samples import DYNAMIC_FIELDS, LEGACY_FIELDS, sign
from vm.blocks import Executed
from vm.state.changes import ChangeSet
from vm.state.roots import ordered_root
from vm.state.store import StateStore, genesis_changes

ALICE = Address(b"\xa1" * 20)
CONTRACT = Address(b"\xc0" * 20)
CODE = b"\x60\x00\x60\x00\xfd"
TRANSACTIONS = [
    decode_transaction(sign(fields | {"nonce": nonce}))
    for nonce in range(3)
    for fields in (LEGACY_FIELDS, DYNAMIC_FIELDS)
]
"""Six signed transactions, legacy and typed by turns."""

ALLOC = {
    ALICE: GenesisAccount(Wei(10**18)),
    CONTRACT: GenesisAccount(Wei(1), Nonce(1), CODE, {slot: slot + 1 for slot in range(20)}),
}


def validator_set(count: int) -> ValidatorSet:
    """Return `count` validators with powers from 1 up."""
    members = [Validator(Address(bytes([n + 1]) * 20), Power(n + 1)) for n in range(count)]
    return ValidatorSet.of(members)


def executed(
    store: KeyValueReader,
    parent: Header | None,
    changes: ChangeSet,
    transactions: Sequence[Transaction] = (),
    validators: ValidatorSet | None = None,
) -> Executed:
    """Return a block on `parent` (None: genesis) whose header agrees with all that it holds."""
    decide_next = validators or validator_set(1)
    receipts = receipts_of(transactions)
    update = StateStore(store).compute(changes)
    height = Height(0 if parent is None else parent.height + 1)
    header = Header(
        parent_hash=ZERO_HASH if parent is None else parent.hash,
        fee_recipient=ALICE,
        state_root=update.state_root,
        transactions_root=ordered_root([each.raw for each in transactions]),
        receipts_root=ordered_root([encode_receipt(each) for each in receipts]),
        logs_bloom=join_blooms(each.bloom for each in receipts),
        height=height,
        gas_limit=Gas(60_000_000),
        gas_used=receipts[-1].cumulative_gas_used if receipts else Gas(0),
        timestamp=1_800_000_000 + height,
        extra_data=decide_next.hash,
        mix_hash=ZERO_HASH,
        base_fee_per_gas=Wei(7),
    )
    block = Block.of(header, tuple(transactions))
    return Executed(block, receipts, update, decide_next)


def receipts_of(transactions: Sequence[Transaction]) -> tuple[Receipt, ...]:
    """Return receipts that fit the transactions: 21,000 gas and one log each."""
    made = []
    for index, each in enumerate(transactions):
        logs = (Log(CONTRACT, (Hash32(keccak(each.hash)),), each.data),)
        gas = Gas(21_000 * (index + 1))
        made.append(Receipt(each.type, 1, gas, logs, bloom_of(logs)))
    return tuple(made)


def genesis(balance: int = 10**18) -> Executed:
    """Return a genesis block; another balance makes another chain."""
    alloc = ALLOC | {ALICE: GenesisAccount(Wei(balance))}
    return executed(MemoryStore(), None, genesis_changes(alloc))


def next_block(
    view: ChainView,
    transactions: Sequence[Transaction] = (),
    validators: ValidatorSet | None = None,
) -> Executed:
    """Return a block on the view's head that changes an account and some slots."""
    height = view.height + 1
    account = view.state.account(ALICE)
    assert account is not None
    changes = ChangeSet(
        accounts={
            ALICE: Account(Nonce(height), account.balance),
            Address(keccak(bytes([height]))[:20]): Account(balance=Wei(height)),
        },
        storage={CONTRACT: {height: 0, 100 + height: height, 5: height}},
    )
    return executed(view.store, view.head, changes, transactions, validators or view.validators)


def certificate_of(block: Block) -> bytes:
    """Return what stands for a certificate here: bytes that name the block."""
    return b"certificate of " + block.hash


def grow(blocks: BlockStore, count: int) -> ChainView:
    """Commit `count` blocks; the first ones hold one of TRANSACTIONS more than the one before."""
    at = 0
    for size in range(count):
        chosen = TRANSACTIONS[at : at + size]
        at += size
        following = next_block(blocks.view(), chosen)
        blocks.commit(following, certificate_of(following.block))
    return blocks.view()


def chain(store: KeyValue, count: int) -> BlockStore:
    """Return the block store of a new chain with `count` blocks after genesis."""
    blocks = BlockStore.create(store, genesis())
    grow(blocks, count)
    return blocks
