"""A simulated node: the runtime's side of the ordering law around one core.

As the real loop does, it takes what has arrived in one batch, appends all that the core wants to
persist at once, syncs once, and only then goes on; what arrives meanwhile waits for the next batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

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
    Input,
    Persist,
    ProposalChecked,
    Replayed,
    ReportEvidence,
    RequestSync,
    SetTimer,
    Sign,
    Signed,
    Timer,
    TimerFired,
    WorkAvailable,
)
from consensus.messages import Evidence, Message
from consensus.votes import ROUNDS_AHEAD_MAX, ROUNDS_BEHIND_MAX
from consensus.wal import Record, SignGuard
from primitives.errors import Fatal, InvalidCertificate
from primitives.types import ZERO_HASH, Address, Hash32, Height
from primitives.validators import ValidatorSet
from tests.sim.chain import CHAIN_ID, DRIFT_MS, Violation
from tests.sim.disk import Disk, DiskFailed
from tests.sim.trace import brief

if TYPE_CHECKING:
    from tests.sim.world import World

PING_MS = 600
SYNC_PAUSE_MS = 200
RESTART_MS = 400
"""After so long the supervisor starts a node again that stopped by itself."""


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
        self.height = 0
        """Height of the last committed block."""
        self.arriving: dict[int, list[Input]] = {}
        self.disk = Disk(world.random, world.seen)
        self.wall_ms = 0
        """How far this node's wall clock is ahead of the true time."""
        self.jump_ms = 0
        """How far its monotonic clock is."""
        rates = world.plan.clock_rates
        self._rate = rates[index % len(rates)]
        self._core: Consensus | None = None
        self._guard = SignGuard(CHAIN_ID)
        self._may_sign_at_once = True
        self._is_syncing = False
        self._waiting: list[Input] = []
        self._synced_ms = -SYNC_PAUSE_MS
        self._validators = world.blocks.at(ZERO_HASH).validators

    @property
    def head(self) -> Hash32:
        """Hash of the last committed block, zero at genesis."""
        return self.chain[-1][0] if self.chain else ZERO_HASH

    @property
    def round(self) -> int:
        """The round this node is in, -1 when it is down."""
        return -1 if self._core is None else self._core.status().round

    def picture(self) -> object:
        """Return where this node stands: equal pictures, nothing has moved in between."""
        core = self._core
        return None if core is None else (self.height, core.status(), core.kept_messages())

    # --- life and death ---------------------------------------------------------------------------

    def start(self, _: object = None) -> None:
        """Start the process from what is durable."""
        if self.is_up:
            return
        world = self.world
        plan = world.plan
        self.is_up = True
        settings = Settings(
            self.address,
            plan.times,
            plan.block_period_ms,
            plan.empty_block_period_ms,
            self._may_sign_at_once,
        )
        self._core = world.core_class(
            settings, Height(self.height + 1), self._validators, world.signatures.verify
        )
        self._core.seen = world.seen  # type: ignore[attr-defined]  # Covered has it
        records = self.disk.read()
        try:
            self._guard = SignGuard(CHAIN_ID, records)
        except Fatal as error:
            raise Violation(f"the log contradicts itself: {error}") from error
        self._later(1 + int(world.random.random() * PING_MS), self._ping)
        self._process((Replayed(records),))

    def kill(self) -> None:
        """End the process at once; what it wrote stays in the system's memory."""
        if self.is_up:
            self.is_up = False
            self.life += 1
            self._core = None
            self._is_syncing = False
            self._waiting.clear()
            self.arriving.clear()

    def crash(self) -> None:
        """End the process and the power; only what is durable stays."""
        self.kill()
        self.disk.cut_power()

    def wipe(self) -> None:
        """Lose log and chain; the key survives and knows nothing of its past."""
        self.kill()
        self.disk.wipe()
        self.chain.clear()
        self.height = 0
        self._validators = self.world.blocks.at(ZERO_HASH).validators
        self._may_sign_at_once = False

    def close(self) -> None:
        """Let go of the world, at its end."""
        del self.world
        self._core = None
        self.arriving.clear()
        self._waiting.clear()

    def _stop(self) -> None:
        """End as a node does whose disk failed; a supervisor starts it again."""
        self.kill()
        self._later(RESTART_MS, self.start)

    # --- inputs -----------------------------------------------------------------------------------

    def take(self, event: Input) -> None:
        """Take an input from this node's own parts."""
        if self._is_syncing:
            self._waiting.append(event)
        else:
            self._process((event,))

    def arrive(self, at_ms: int) -> None:
        """Take the messages that the network brings now."""
        events = self.arriving.pop(at_ms)
        if self._is_syncing:
            self._waiting += events
        else:
            self._process(events)

    def _process(self, events: Sequence[Input]) -> None:
        """Step the core through a batch and carry out what it wants."""
        core = self._core
        if core is None:
            return
        world = self.world
        now_ms = world.now_ms + self.jump_ms
        has_trace = world.has_trace
        wanted: list[Effect] = []
        try:
            for event in events:
                effects = core.step(event, now_ms)
                if effects:
                    wanted += effects
                if has_trace:
                    line = f"node {self.index} {brief(core.status())} <- {brief(event)}"
                    world.trace(line, effects)
        except Fatal as error:
            raise Violation(f"node {self.index} stopped: {error}") from error
        if not wanted:
            return
        records: list[Record] = []
        for each in wanted:
            if type(each) is Persist:
                records.append(each.record)  # noqa: PERF401 - a comprehension costs a call more
        if not records:
            self._carry_out(wanted)
            return
        try:
            for record in records:
                self._guard.reserve(record)
        except Fatal as error:
            raise Violation(f"guard of node {self.index}: {error}") from error
        try:
            self.disk.append(records)
        except DiskFailed:
            self._stop()
            return
        sync_ms = world.plan.fsync_ms_max + self.disk.slow_ms
        if sync_ms:
            self._is_syncing = True
            self._later(1 + int(world.random.random() * sync_ms), self._go_on, wanted)
        else:
            self._go_on(wanted)

    def _go_on(self, effects: list[Effect]) -> None:
        """Make the log durable, then do what had to wait for that."""
        try:
            self.disk.sync()
        except DiskFailed:
            self._stop()
            return
        self._is_syncing = False
        self._carry_out(effects)
        if self._waiting and not self._is_syncing:
            events, self._waiting = self._waiting, []
            self._process(events)

    # --- effects ----------------------------------------------------------------------------------

    def _carry_out(self, effects: list[Effect]) -> None:
        world = self.world
        signed: list[Input] = []
        for effect in effects:
            if isinstance(effect, Persist):
                continue
            if isinstance(effect, Broadcast):
                world.network.broadcast(self, effect.message)
            elif isinstance(effect, SetTimer):
                self._later(int(effect.delay_ms * self._rate), self._fire, effect.timer)
            elif isinstance(effect, Sign):
                signed.append(Signed(self._sign(effect.message)))
            else:
                self._carry_out_rarer(effect)
        if signed:
            self._process(signed)

    def _carry_out_rarer(self, effect: Effect) -> None:
        random = self.world.random.random
        match effect:
            case CheckProposal():
                self._later(1 + int(random() * 40), self._check, effect)
            case Decide(certificate):
                self._decide(certificate)
            case BuildBlock():
                self._later(1 + int(random() * 100), self._build, effect)
            case RequestSync(height):
                if height > self.height:
                    self._sync_soon()
            case ReportEvidence(evidence):
                self._report(evidence)
            case _:
                raise AssertionError(f"nobody carries out {effect}")

    def _fire(self, timer: Timer) -> None:
        if timer.height > self.height:
            self.take(TimerFired(timer))

    def _sign(self, message: Message) -> Message:
        try:
            self._guard.permit(message)
        except Fatal as error:
            raise Violation(f"guard of node {self.index}: {error}") from error
        return self.world.signatures.signed(message)

    def _report(self, evidence: Evidence) -> None:
        if evidence.first.validator not in self.world.signatures.traitors:
            raise Violation("evidence against an honest validator")
        self.world.network.broadcast(self, evidence)

    def _build(self, wish: BuildBlock) -> None:
        if wish.height != self.height + 1:
            return
        world = self.world
        block = world.blocks.build(
            wish.height,
            self.head,
            max(world.now_ms + self.wall_ms, 0),
            world.next_set(self._validators),
        )
        self.take(BlockBuilt(wish.height, wish.round, block.hash, block.body))

    def _check(self, wish: CheckProposal) -> None:
        world = self.world
        is_good = world.blocks.is_valid(wish.block_hash, wish.body, wish.height, self.head)
        if is_good and world.blocks.at(wish.block_hash).time_ms > self._clock_ms() + DRIFT_MS:
            world.seen["block refused: ahead of the wall clock"] += 1
            is_good = False
        self.take(ProposalChecked(wish.height, wish.round, wish.block_hash, is_good))

    def _clock_ms(self) -> int:
        return self.world.now_ms + self.wall_ms

    def _decide(self, certificate: Certificate) -> None:
        if self.is_honest:
            self.world.ledger.check_decision(certificate)
            self.world.ambush(self)
        self._later(1 + int(self.world.random.random() * 20), self._commit, certificate)

    def _commit(self, certificate: Certificate) -> None:
        if self.disk.is_full:
            self._stop()
        elif certificate.height == self.height + 1:
            self._append(certificate)
            self._tell_committed()

    def _append(self, certificate: Certificate) -> None:
        world = self.world
        block_hash = certificate.block_hash
        if self.is_honest:
            world.ledger.check_commit(certificate.height, block_hash)
            if world.blocks.at(block_hash).parent != self.head:
                raise Violation("a block was committed on a foreign parent")
            if world.blocks.is_evil(block_hash):
                raise Violation("an invalid block was committed")
        self.chain.append((block_hash, certificate))
        self.height += 1
        before, self._validators = self._validators, world.blocks.at(block_hash).validators
        if before is not self._validators:
            self._note_change(before)
        world.has_grown = True

    def _note_change(self, before: ValidatorSet) -> None:
        seen = self.world.seen
        seen["validator set changed"] += 1
        was_in, is_in = self.address in before, self.address in self._validators
        seen["validator left the set"] += was_in and not is_in
        seen["validator came into the set"] += is_in and not was_in

    def _tell_committed(self) -> None:
        has_work = self.world.random.random() < self.world.plan.work
        self.take(Committed(Height(self.height), self.head, self._validators, has_work))

    def _check_memory(self) -> None:
        members = len(self._validators)
        bound = (ROUNDS_AHEAD_MAX + ROUNDS_BEHIND_MAX + 3) * (2 * members + 1) + 3 * members
        core = self._core
        if core is None:
            return
        if core.kept_messages() > bound:
            raise Violation(f"node {self.index} keeps more than {bound} messages")
        top = max((each for each, _ in core._votes.rounds()), default=0)
        if top > core._round + ROUNDS_AHEAD_MAX:
            raise Violation(f"node {self.index} keeps votes of a round far ahead")

    # --- sync -------------------------------------------------------------------------------------

    def _ping(self, _: object) -> None:
        """Once in a while: learn who is ahead; perhaps a transaction comes in."""
        self._later(PING_MS, self._ping)
        self._check_memory()
        if self.world.random.random() < 0.3:
            self.take(WorkAvailable())
        if self.world.network.ahead_of(self):
            self._sync_soon()

    def _sync_soon(self) -> None:
        if self.world.now_ms >= self._synced_ms + SYNC_PAUSE_MS:
            self._synced_ms = self.world.now_ms
            self._later(5 + int(self.world.random.random() * 55), self._sync)

    @property
    def claimed_height(self) -> int:
        """The head that this node tells its peers."""
        return self.height

    def serve(self, height: int) -> Certificate | None:
        """Return the certificate (standing for the block too) of `height`, if there."""
        return self.chain[height - 1][1] if height <= self.height else None

    def _sync(self, _: object) -> None:
        peers = self.world.network.ahead_of(self)
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
                certificate, self._validators, CHAIN_ID, verify=world.signatures.verify
            )
        except InvalidCertificate:
            world.seen["forged certificate refused"] += 1
            return False
        return certificate.height == self.height + 1

    def _later(self, delay_ms: int, do: Callable[[Any], None], value: object = None) -> None:
        world = self.world
        world.at(world.now_ms + delay_ms, self, do, value)
