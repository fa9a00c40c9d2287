"""One whole node for simulations: every part of a real one, on a disk and a network that fail.

Real are the runtime, the consensus core, the pool and its journal, the write-ahead log, the block
store, the engine, the keys and the p2p room above its transport. The disk is
`tests/node/faulty_files.py`, the key-value store keeps what a synced batch promises and no more,
and the connections are those of `tests/p2p/memory.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

import trio

from consensus.algorithm import Settings
from consensus.certificate import check_certificate, decode_certificate
from consensus.core import Consensus
from consensus.messages import Message
from consensus.signing import verifier
from node.blockstore import BlockStore, ChainView, is_empty
from node.evidence import EvidenceStore
from node.intake import Intake
from node.journal import Journal
from node.ledger import Ledger
from node.permissions import Permissions
from node.pool import Pool, PoolLimits
from node.proposals import Proposals
from node.runtime import Parts, Runtime
from node.serve import PeerService
from node.signer import LocalSigner
from node.sync import Sync
from node.wal import Wal
from p2p.events import Stream
from p2p.keys import NodeKey
from p2p.network import Network, NetworkConfig
from p2p.status import Role, Status
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import WalFailed
from primitives.types import Hash32, Height
from tests.node.faulty_files import FaultyPath, Killed
from tests.node.faulty_store import FaultyStore
from tests.sim.chain import Violation
from vm.blocks import Executed

if TYPE_CHECKING:
    from tests.sim.whole import WholeWorld

RESTART_S = 0.4
"""After so long the supervisor starts a node again that stopped by itself."""


class WatchedLedger(Ledger):
    """A ledger whose commits the world checks."""

    node: WholeNode

    def commit(self, executed: Executed, certificate: bytes) -> ChainView:
        """Commit, once the certificate is seen to be good."""
        params, members = self.params, self.view.validators
        check_certificate(decode_certificate(certificate), members, params.chain_id)
        self.node.world.note_block(executed.block)
        view = super().commit(executed, certificate)
        self.node.committed = view.height
        return view


class WatchedRuntime(Runtime):
    """A runtime whose signatures the world remembers."""

    node: WholeNode

    def _sign(self, message: Message) -> None:
        super()._sign(message)
        self.node.world.note_signature(message)


class LossyNetwork(Network):
    """A network whose queues drop messages, as they may when a peer does not keep up."""

    node: WholeNode

    def broadcast(self, stream: Stream, kind: int, body: bytes, skip: Collection[str] = ()) -> int:
        """Send to those who are not unlucky."""
        lost = [peer for peer in self._links if self.node.world.is_lost()]
        return super().broadcast(stream, kind, body, skip={*skip, *lost})


class WholeNode:
    """One validator: it may end at any write, and starts again from what is durable."""

    def __init__(self, world: WholeWorld, index: int, key: PrivateKey, node_key: NodeKey) -> None:
        self.world = world
        self.name = f"n{index}"
        self.peer_id = node_key.peer_id
        self.committed = 0
        """The highest block that this node was told to be durable."""
        self.ledger: Ledger | None = None
        self.intake: Intake | None = None
        self._key, self._node_key = key, node_key
        self._store = FaultyStore(world.disk)
        self._is_fresh = True
        self._scope: trio.CancelScope | None = None
        FaultyPath(world.disk, (self.name,)).mkdir()

    @property
    def is_up(self) -> bool:
        """Whether its process runs."""
        return self._scope is not None

    def kill(self) -> None:
        """End the process at once; what it wrote stays in the system's memory."""
        if self._scope is not None:
            self._scope.cancel()

    def cut_power(self) -> None:
        """Lose what was not synced; the process must be down."""
        self._store.cut_power(self.world.random)
        self.world.disk.cut_power_of(self.name, self.world.random)

    async def live(self) -> None:
        """Run one life, to its end."""
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                network, runtime = self._assemble()
                await nursery.start(network.run)
                nursery.start_soon(runtime.run)
        except* (Killed, WalFailed, OSError) as group:
            self.world.note_end(group)
        finally:
            self._scope = self.ledger = self.intake = None

    # --- parts --------------------------------------------------------------------------------

    def _assemble(self) -> tuple[Network, Runtime]:
        """Put the parts together as `node.app` does."""
        world, disk = self.world, self.world.disk
        params = world.genesis.params
        ledger = WatchedLedger(self._open_chain(), world.engine, params)
        ledger.node = self
        if ledger.view.height < self.committed:
            raise Violation(f"{self.name} lost block {self.committed}")
        wal = Wal(cast("Any", FaultyPath(disk, (self.name, "wal"))), params.chain_id)
        if wal.is_new:
            if not self._is_fresh:
                raise Violation(f"{self.name} lost its write-ahead log")
            wal.begin(Height(ledger.view.height + 1))
        self._is_fresh = False
        journal = Journal(cast("Any", FaultyPath(disk, (self.name, "pool.journal"))))
        intake = Intake(Pool(PoolLimits(), params, trio.current_time), ledger, journal)
        intake.restore()
        self.ledger, self.intake = ledger, intake
        permissions = Permissions(world.engine, params, ledger.view, self.peer_id)
        network = self._network(ledger, permissions)
        core = Consensus(
            Settings(
                self._key.address,
                params.times,
                params.block_period_ms,
                params.empty_block_period_ms,
            ),
            Height(ledger.view.height + 1),
            ledger.view.validators,
            verifier(params.chain_id),
        )
        runtime = WatchedRuntime(
            Parts(
                core=core,
                ledger=ledger,
                intake=intake,
                proposals=Proposals(ledger, intake, network, self._key.address, self._key.address),
                sync=Sync(ledger, network, params.chain_id),
                network=network,
                permissions=permissions,
                wal=wal,
                signer=LocalSigner(self._key),
                evidence=EvidenceStore(self._store),
            )
        )
        runtime.node = self
        return network, runtime

    def _open_chain(self) -> BlockStore:
        first = self.world.first_block
        if is_empty(self._store):
            return BlockStore.create(self._store, first)
        return BlockStore.open(self._store, first.block.hash)

    def _network(self, ledger: Ledger, permissions: Permissions) -> Network:
        def own_status() -> Status:
            view = ledger.view
            return Status(
                chain_id=ledger.params.chain_id,
                genesis_hash=view.genesis_hash,
                height=view.height,
                head_hash=view.head_hash,
                role=Role.VALIDATOR,
                validator=self._key.address,
            )

        network = LossyNetwork(
            NetworkConfig(
                node_key=self._node_key,
                permitted=permissions.is_permitted,
                addresses=self.world.addresses,
            ),
            own_status=own_status,
            prove=lambda digest: self._key.sign(Hash32(digest)),
            serve=PeerService(ledger).serve,
            transport=self.world.hub.transport(self.peer_id, permissions.is_permitted),
        )
        network.node = self
        return network
