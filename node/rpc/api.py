"""What JSON-RPC needs from a node, and nothing more.

`NodeApi` is implemented by the node and by the tests' in-process chain. Every method may be called
from the JSON-RPC thread and from its workers. The callbacks given to `subscribe` and
`subscribe_pending` run in the node's own thread and return at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consensus.messages import Evidence
from primitives.errors import QenexError
from primitives.keyvalue import KeyValueReader
from primitives.params import ChainParams
from primitives.receipt import Receipt
from primitives.transaction import Transaction
from primitives.types import Address, Hash32, Height
from primitives.validators import ValidatorSet
from vm.blocks import Executed
from vm.chainrules import AnyBlock, AnyHeader, ChainRules
from vm.engine import Engine
from vm.state.changes import ChangeSet, StateReader
from vm.state.proofs import Prover


class ChainReader(Protocol):
    """One immutable view of the committed chain; safe to read from any thread."""

    @property
    def store(self) -> KeyValueReader:
        """What the view reads from: the tables of the state after the head, and its history."""
        ...

    @property
    def tail(self) -> Height:
        """The oldest height whose state can be read."""
        ...

    @property
    def genesis_hash(self) -> Hash32:
        """Hash of block 0."""
        ...

    @property
    def head(self) -> AnyHeader:
        """Header of the last committed block."""
        ...

    @property
    def head_hash(self) -> Hash32:
        """Hash of the last committed block."""
        ...

    @property
    def validators(self) -> ValidatorSet:
        """The set that decides the height after the head; raises Rejected where nobody votes."""
        ...

    @property
    def state(self) -> StateReader:
        """The state after the head."""
        ...

    def state_at(self, height: Height) -> StateReader:
        """Return the state after a block, not above the head; raises HistoryPruned."""
        ...

    def prover_at(self, height: Height) -> Prover:
        """Return what proves the state after a block, not above the head; raises HistoryPruned."""
        ...

    def state_root_with(self, height: Height, changes: ChangeSet) -> Hash32:
        """Return the root of the state after a block and `changes`; raises HistoryPruned."""
        ...

    def validators_at(self, height: Height) -> ValidatorSet | None:
        """Return the validators that decided `height`, None beyond; raises as `validators`."""
        ...

    def header(self, height: Height) -> AnyHeader | None:
        """Return the header at `height`, or None above the head."""
        ...

    def height_of(self, block_hash: Hash32) -> Height | None:
        """Return the height of a committed block, or None."""
        ...

    def block(self, height: Height) -> AnyBlock | None:
        """Return the block at `height`, or None above the head."""
        ...

    def raw_block(self, height: Height) -> bytes | None:
        """Return the block's encoding, or None above the head."""
        ...

    def transaction_hashes(self, height: Height) -> Sequence[Hash32]:
        """Return the hashes of a block's transactions, none above the head."""
        ...

    def block_hash(self, height: Height) -> Hash32 | None:
        """Return the hash of the block at `height`, or None above the head."""
        ...

    def receipts(self, height: Height) -> tuple[Receipt, ...] | None:
        """Return the receipts of the block at `height`, or None above the head."""
        ...

    def certificate(self, height: Height) -> bytes | None:
        """Return the encoded certificate of the block at `height`; none for the genesis block."""
        ...

    def transaction_lookup(self, transaction_hash: Hash32) -> tuple[Height, int] | None:
        """Return (height, index) of a committed transaction, or None."""
        ...


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How many transactions wait: `pending` can go into the next block, `queued` have gaps.

    `size_bytes` is the memory of all, estimated.
    """

    pending: int
    queued: int
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PoolContent:
    """The waiting transactions of each sender in ascending order of nonce."""

    pending: Mapping[Address, Sequence[Transaction]]
    queued: Mapping[Address, Sequence[Transaction]]


class PoolView(Protocol):
    """Thread-safe reads of the pool."""

    def pending_nonce(self, address: Address) -> int:
        """Return the next nonce after the sender's committed and pending transactions."""
        ...

    def get(self, transaction_hash: Hash32) -> Transaction | None:
        """Return a waiting transaction, or None."""
        ...

    def stats(self) -> PoolStats:
        """Return the counts."""
        ...

    def content(self) -> PoolContent:
        """Return all waiting transactions."""
        ...


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Heights of a catch-up: where it began, where it is, what peers have."""

    starting: Height
    current: Height
    highest: Height


Unsubscribe = Callable[[], None]


class Operator(Protocol):
    """What an operator sees and changes of a node that has peers and takes part in consensus."""

    def node(self) -> dict[str, object]:
        """Return peer id, listen addresses and data folder: `peerId`, `addresses`, `dataDir`."""
        ...

    def peers(self) -> Sequence[dict[str, object]]:
        """Return the connected peers as qenex_status shows them."""
        ...

    def add_peer(self, address: str) -> bool:
        """Dial `address`, a multiaddr that ends in a peer id; False when it is not permitted.

        Raises Rejected for one that is no such address.
        """
        ...

    def remove_peer(self, peer: str) -> bool:
        """Cut the link and dial no more; False when there is no such peer."""
        ...

    def vote(self, member: Address, power: int) -> Hash32:
        """Vote with the node's key that `member` gets `power`, 0 to leave; returns the hash.

        Raises Rejected without a key, and what `NodeApi.submit` raises.
        """
        ...

    def consensus(self) -> dict[str, object]:
        """Return height, round, step, votes, locks and timers as JSON values."""
        ...

    def permissions(self) -> dict[str, Sequence[str]]:
        """Return the permitted peers and the addresses where they are dialled."""
        ...


class NodeApi(Protocol):
    """A node as JSON-RPC sees it."""

    @property
    def params(self) -> ChainParams:
        """The chain's parameters."""
        ...

    @property
    def rules(self) -> ChainRules:
        """The rules of the chain's blocks."""
        ...

    @property
    def operator(self) -> Operator | None:
        """The operator's side; None for a node without peers and consensus."""
        ...

    def view(self) -> ChainReader:
        """Return the latest committed view."""
        ...

    def engine(self) -> Engine:
        """Return the engine that answers calls."""
        ...

    def submit(self, raw: bytes) -> Hash32:
        """Take a signed transaction into the pool; returns its hash once it is journaled.

        Blocks the calling worker. Raises InvalidTransaction or Rejected (Syncing among them).
        """
        ...

    def submit_many(self, raws: Sequence[bytes]) -> list[Hash32 | QenexError]:
        """Take signed transactions in order; returns each one's hash or the error of `submit`.

        Blocks the calling worker until all that were accepted are journaled, together.
        """
        ...

    def pool(self) -> PoolView:
        """Return the pool's thread-safe view."""
        ...

    def peer_count(self) -> int:
        """Return the number of connected peers."""
        ...

    def syncing(self) -> SyncStatus | None:
        """Return the progress of a catch-up, or None when the node is level with its peers."""
        ...

    def status(self) -> dict[str, object]:
        """Return what `qenex_status` shows: JSON values only."""
        ...

    def evidence(self) -> Sequence[Evidence]:
        """Return the stored evidence of double signing."""
        ...

    def subscribe(self, callback: Callable[[Executed], None]) -> Unsubscribe:
        """Call `callback` after each commit, in order of height, until unsubscribed."""
        ...

    def subscribe_pending(self, callback: Callable[[Sequence[Transaction]], None]) -> Unsubscribe:
        """Call `callback` with transactions newly admitted to the pool, until unsubscribed."""
        ...
