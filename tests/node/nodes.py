"""Parts of a node on a real chain in memory: ledger, intake and proposals, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from consensus.certificate import Certificate, encode_certificate
from consensus.messages import Kind, Vote
from consensus.signing import sign_digest
from genesis.nodes import NodeEntry, Role
from genesis.profiles import TEST_KEYS, single
from node.blockstore import BlockStore
from node.intake import Intake
from node.journal import Journal
from node.ledger import Ledger
from node.permissions import Permissions
from node.pool import Pool, PoolLimits
from p2p.keys import NodeKey
from primitives.crypto.secp256k1 import PrivateKey
from primitives.keyvalue import MemoryStore
from primitives.transaction import Transaction
from primitives.types import Height, Round
from tests.vm.support import signed
from vm.blocks import BlockExecutor, Executed
from vm.pyevm.engine import PyEvmEngine

GENESIS_TIME = 1_700_000_000
VALIDATOR = PrivateKey(bytes(31) + b"\x07")
SENDERS = [PrivateKey(key) for key in TEST_KEYS.values()]
PEER = NodeKey(b"\x01" * 32).peer_id
ENTRY = NodeEntry(PEER, (), VALIDATOR.address, Role.VALIDATOR)
GENESIS = single(ENTRY, timestamp=GENESIS_TIME)


def make_ledger() -> Ledger:
    """Return a ledger at genesis with one validator and the ten funded accounts."""
    engine = PyEvmEngine()
    first = BlockExecutor(engine, GENESIS.params).genesis(GENESIS.alloc, timestamp=GENESIS_TIME)
    return Ledger(BlockStore.create(MemoryStore(), first), engine, GENESIS.params)


def make_permissions(ledger: Ledger) -> Permissions:
    """Return what the registry in the ledger's state permits, as the node of GENESIS sees it."""
    return Permissions(PyEvmEngine(), ledger.params, ledger.view, PEER)


def make_intake(ledger: Ledger, journal: Path | None = None) -> Intake:
    """Return an intake with an empty pool, restored from `journal` when given."""
    pool = Pool(PoolLimits(), ledger.params, lambda: 0.0)
    intake = Intake(pool, ledger, None if journal is None else Journal(journal))
    intake.restore()
    return intake


def transfer(sender: int = 0, nonce: int = 0, **changes: object) -> Transaction:
    """Return a signed transfer from a funded account on the test chain."""
    fields = {"chain_id": GENESIS.params.chain_id, "nonce": nonce, **changes}
    return signed(SENDERS[sender], **fields)


def certificate(executed: Executed) -> Certificate:
    """Return the certificate of a block by the one validator."""
    header, block_hash = executed.block.header, executed.block.hash
    vote = Vote(Kind.PRECOMMIT, header.height, Round(0), block_hash, VALIDATOR.address)
    signature = VALIDATOR.sign(sign_digest(vote, GENESIS.params.chain_id))
    return Certificate(
        Height(header.height), Round(0), block_hash, ((VALIDATOR.address, signature),)
    )


def extend(ledger: Ledger, transactions: Sequence[Transaction] = ()) -> Executed:
    """Commit a block with `transactions` and return it."""
    executed, _ = ledger.build(transactions, VALIDATOR.address, GENESIS_TIME, lambda: False)
    ledger.commit(executed, encode_certificate(certificate(executed)))
    return executed
