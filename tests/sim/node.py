"""A simulated node: the runtime's side of the ordering law around one core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consensus.algorithm import Settings
from consensus.certificate import Certificate, check_certificate
from consensus.core import Consensus
from consensus.events import (
    BlockBuilt,
    Broadcast,
    BuildBlock,
    CheckProposal,
    Committed,
    Decide,
    Effect,
    EvidenceReceived,
    Input,
    Persist,
    ProposalChecked,
    ProposalReceived,
    Replayed,
    ReportEvidence,
    RequestSync,
    SetTimer,
    Sign,
    Signed,
    TimerFired,
    VoteReceived,
    WorkAvailable,
)
from consensus.messages import Message, Proposal, Vote
from consensus.votes import ROUNDS_AHEAD_MAX, ROUNDS_BEHIND_MAX
from consensus.wal import SignGuard
from primitives.errors import Fatal, InvalidCertificate
from primitives.types import ZERO_HASH, Address, Hash32, Height
from tests.sim.chain import CHAIN_ID, Violation
from tests.sim.disk import Disk
from tests.sim.trace import brief

if TYPE_CHECKING:
    from tests.sim.world import World

PING_MS = 500
SYNC_PAUSE_MS = 200


class Node:
    """One process: it may crash at any event, and starts again from its disk and its chain."""

    def __init__(self, world: World, index: int, address: Address | None) -> None:
        self.world = world
        self.index = index
        self.address = address
        self.is_honest = True
        self.is_up = False
        self.life = 0
        self.chain: list[tuple[Hash32, Certificate]] = []
        self.disk = Disk(world.random, world.seen, has_bytes=world.plan.has_bytes_log)
        self._core: Consensus | None = None
        self._guard = SignGuard(CHAIN_ID)
        self._may_sign_at_once = True
        self._deferred = 0
        self._busy_until_ms = 0
        self._synced_ms = -SYNC_PAUSE_MS

    @property
    def height(self) -> int:
        """Height of the last committed block."""
        return len(self.chain)

    @property
    def head(self) -> Hash32:
        """Hash of the last committed block, zero at genesis."""
        return self.chain[-1][0] if self.chain else ZERO_HASH

    # --- life and death ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process from what is durable."""
        if self.is_up:
            return
        world = self.world
        plan = world.plan
        self.is_up = True
        self._deferred = 0
        self._busy_until_ms = 0
        settings = Settings(
            self.address,
            plan.times,
            plan.block_period_ms,
            plan.empty_block_period_ms,
            self._may_sign_at_once,
        )
        self._core = world.core_class(
            settings, Height(self.height + 1), world.ledger.validators, world.signatures.verify
        )
        self._core.seen = world.seen  # type: ignore[attr-defined]  # Covered has it
        records = self.disk.read()
        try:
            self._guard = SignGuard(CHAIN_ID, records)
        except Fatal as error:
            raise Violation(f"the log contradicts itself: {error}") from error
        self.take(Replayed(records))
        self._later(world.random.randint(1, PING_MS), self._ping)

    def crash(self) -> None:
        """End the process at once; only what is durable stays."""
        if self.is_up:
            self.is_up = False
            self.life += 1
            self._core = None
            self.disk.crash()

    def wipe(self) -> None:
        """Lose log and chain; the key survives and knows nothing of its past."""
        self.crash()
        self.disk.wipe()
        self.chain.clear()
        self._may_sign_at_once = False

    # --- inputs -----------------------------------------------------------------------------------

    def take(self, event: Input) -> None:
        """Step the core and carry out, or defer, what it wants."""
        core = self._core
        if core is None:
            return
        world = self.world
        try:
            effects = core.step(event, world.now_ms)
        except Fatal as error:
            raise Violation(f"node {self.index} stopped: {error}") from error
        if world.has_trace:
            world.trace(f"node {self.index} {brief(core.status())} <- {brief(event)}", effects)
        if not effects:
            return
        records = [effect.record for effect in effects if isinstance(effect, Persist)]
        if records:
            for record in records:
                self._reserve(record)
            mark = self.disk.append(records)
            due_ms = world.now_ms + world.random.randint(1, world.plan.fsync_ms_max)
            self._busy_until_ms = max(self._busy_until_ms, due_ms)
        elif not self._deferred:
            self._carry_out(effects)
            return
        else:
            mark = 0
        self._deferred += 1
        world.at(self._busy_until_ms, self._go_on, (self.life, effects, mark))

    def receive(self, life: int, event: Input) -> None:
        """Take a message unless the connection it came by is gone."""
        if life == self.life and self.is_up:
            self.take(event)

    def _go_on(self, life: int, effects: list[Effect], mark: int) -> None:
        if life == self.life:
            self._deferred -= 1
            self.disk.sync(mark)
            self._carry_out(effects)

    def _reserve(self, record: object) -> None:
        try:
            self._guard.reserve(record)  # type: ignore[arg-type]  # a Record
        except Fatal as error:
            if self.is_honest:
                raise Violation(f"guard of node {self.index}: {error}") from error

    # --- effects ----------------------------------------------------------------------------------

    def _carry_out(self, effects: list[Effect]) -> None:
        signed: list[Message] = []
        for effect in effects:
            match effect:
                case Persist():
                    pass
                case Broadcast(message):
                    self.world.network.broadcast(self, received(message))
                case SetTimer(timer, delay_ms):
                    self._later(delay_ms, self.take, TimerFired(timer))
                case Sign(message):
                    signed.append(self._sign(message))
                case CheckProposal():
                    self._later(self.world.random.randint(1, 40), self._check, effect)
                case Decide(certificate):
                    self._decide(certificate)
                case BuildBlock():
                    self._later(self.world.random.randint(1, 100), self._build, effect)
                case RequestSync(height):
                    if height > self.height:
                        self._sync_soon()
                case ReportEvidence(evidence):
                    if evidence.first.validator not in self.world.signatures.traitors:
                        raise Violation("evidence against an honest validator")
                    self.world.network.broadcast(self, EvidenceReceived(evidence))
        for message in signed:
            self.take(Signed(message))

    def _sign(self, message: Message) -> Message:
        try:
            self._guard.permit(message)
        except Fatal as error:
            raise Violation(f"guard of node {self.index}: {error}") from error
        return with_signature(message, self.world.signatures.sign(message))

    def _build(self, wish: BuildBlock) -> None:
        if wish.height == self.height + 1:
            block = self.world.blocks.build(wish.height, self.head)
            self.take(BlockBuilt(wish.height, wish.round, block.hash, block.body))

    def _check(self, wish: CheckProposal) -> None:
        is_good = self.world.blocks.is_valid(wish.block_hash, wish.body, wish.height, self.head)
        self.take(ProposalChecked(wish.height, wish.round, wish.block_hash, is_good))

    def _decide(self, certificate: Certificate) -> None:
        if self.is_honest:
            self.world.ledger.check_decision(certificate)
            self.world.ambush(self)
        self._later(self.world.random.randint(1, 20), self._commit, certificate)

    def _commit(self, certificate: Certificate) -> None:
        if certificate.height == self.height + 1:
            self._append(certificate)
            self._tell_committed()

    def _append(self, certificate: Certificate) -> None:
        if self.is_honest:
            self.world.ledger.check_commit(certificate.height, certificate.block_hash)
            if self.world.blocks.parent(certificate.block_hash) != self.head:
                raise Violation("a block was committed on a foreign parent")
            if self.world.blocks.is_evil(certificate.block_hash):
                raise Violation("an invalid block was committed")
        self.chain.append((certificate.block_hash, certificate))

    def _tell_committed(self) -> None:
        has_work = self.world.random.random() < 0.6
        self.take(Committed(Height(self.height), self.head, self.world.ledger.validators, has_work))
        self._check_memory()

    def _check_memory(self) -> None:
        members = len(self.world.ledger.validators)
        bound = (ROUNDS_AHEAD_MAX + ROUNDS_BEHIND_MAX + 3) * (2 * members + 1) + 3 * members
        if self._core is not None and self._core.kept_messages() > bound:
            raise Violation(f"node {self.index} keeps more than {bound} messages")

    # --- sync -------------------------------------------------------------------------------------

    def _ping(self) -> None:
        """Once in a while: learn who is ahead; perhaps a transaction comes in."""
        self._later(PING_MS, self._ping)
        self._check_memory()
        if self.world.random.random() < 0.3:
            self.take(WorkAvailable())
        if any(peer.claimed_height > self.height for peer in self.world.network.reachable(self)):
            self._sync_soon()

    def _sync_soon(self) -> None:
        if self.world.now_ms >= self._synced_ms + SYNC_PAUSE_MS:
            self._synced_ms = self.world.now_ms
            self._later(self.world.random.randint(5, 60), self._sync)

    @property
    def claimed_height(self) -> int:
        """The head that this node tells its peers."""
        return self.height

    def serve(self, height: int) -> Certificate | None:
        """Return the certificate (standing for the block too) of `height`, if there."""
        return self.chain[height - 1][1] if height <= self.height else None

    def _sync(self) -> None:
        peers = [
            peer for peer in self.world.network.reachable(self) if peer.claimed_height > self.height
        ]
        if not peers:
            return
        peer = self.world.random.choice(peers)
        before = self.height
        while (certificate := peer.serve(self.height + 1)) is not None:
            if not self._is_proven(certificate):
                break
            self._append(certificate)
        if self.height > before:
            self.world.seen["block synced from a peer"] += self.height - before
            self._tell_committed()

    def _is_proven(self, certificate: Certificate) -> bool:
        world = self.world
        try:
            check_certificate(
                certificate, world.ledger.validators, CHAIN_ID, verify=world.signatures.verify
            )
        except InvalidCertificate:
            world.seen["forged certificate refused"] += 1
            return False
        return certificate.height == self.height + 1

    def _later(self, delay_ms: int, do: object, *values: object) -> None:
        self.world.at(self.world.now_ms + delay_ms, self._if_alive, (self.life, do, values))

    def _if_alive(self, life: int, do: object, values: tuple[object, ...]) -> None:
        if life == self.life:
            do(*values)  # type: ignore[operator]  # a bound method


def received(message: Message) -> Input:
    """Return the input that a peer makes of `message`."""
    if isinstance(message, Proposal):
        return ProposalReceived(message)
    return VoteReceived(message)


def with_signature(message: Message, signature: bytes) -> Message:
    """Return `message` with `signature` (dataclasses.replace, but quicker)."""
    if isinstance(message, Proposal):
        return Proposal(
            message.height,
            message.round,
            message.pol_round,
            message.block_hash,
            message.body,
            message.proposer,
            signature,
        )
    return Vote(
        message.kind,
        message.height,
        message.round,
        message.block_hash,
        message.validator,
        signature,
    )
