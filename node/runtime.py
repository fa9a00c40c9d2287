"""The loop of a node: hands the pure consensus core what happened, carries out what it asks.

Only this module loops over effects. The order inside a batch is law (consensus/events.py): all
that the core persists is durable, in one append and one fsync, before any effect signs, sends or
decides. Own messages come back through the same `step` as peers'. An effect that fails stops the
node.

    network ────────┐
    timers ─────────┼─> inbox ─> core.step ─> effects ─> log, signer, network, workers, store
    workers, sync ──┘                            └────────────── results return to the inbox
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio
from eth_utils.address import to_checksum_address

from consensus.certificate import Certificate, encode_certificate
from consensus.core import Consensus, Status
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
    Timer,
    TimerFired,
    VoteReceived,
    WorkAvailable,
)
from consensus.messages import (
    Evidence,
    Message,
    Proposal,
    Vote,
    decode_message,
    encode_message,
)
from consensus.signing import sign_digest
from consensus.votes import RoundVotes
from consensus.wal import Intent, Kept, Record, Valid
from node.early import EarlyMessages
from node.evidence import EvidenceStore
from node.inbox import Inbox
from node.intake import Intake
from node.ledger import Ledger
from node.log import get_log
from node.permissions import Permissions
from node.proposals import Proposals
from node.signer import Signer
from node.steptimes import StepTimes
from node.sync import Sync
from node.wal import Wal
from node.watchdog import Watchdog
from node.wire import TRANSACTIONS, decode_batch
from p2p.events import PeerDown, PeerUp, Received, Stream
from p2p.network import Network
from p2p.peers import Offence
from p2p.status import Role
from primitives.codec import encode
from primitives.errors import InvalidMessage, Unavailable, ensure
from primitives.meter import Stage, metered
from primitives.types import Address, Hash32, Height
from vm.blocks import Executed

TICK_S: Final = 1.0
TX_BATCHES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Synced:
    """A certified block from a peer, executed here; `done` is set when it is committed."""

    executed: Executed
    certificate: Certificate
    done: trio.Event


@dataclass(frozen=True, slots=True)
class Parts:
    """What the runtime drives; each part is made by `node.app`."""

    core: Consensus
    ledger: Ledger
    intake: Intake
    proposals: Proposals
    sync: Sync
    network: Network
    permissions: Permissions
    wal: Wal
    signer: Signer | None
    evidence: EvidenceStore


class Runtime:
    """One node's loop.

    `subscribers` hear of each committed block in the trio thread; `peers` is a picture of the
    connected peers for other threads, a second old at most.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._inbox: Inbox[Input | Synced] = Inbox()
        self._timers: dict[Timer, int] = {}
        self._timer_serial = 0
        self._nursery: trio.Nursery
        self._token: trio.lowlevel.TrioToken | None = None
        self._batches_in, self._batches = trio.open_memory_channel[Received](TX_BATCHES_MAX)
        self._early = EarlyMessages()
        self._relays: set[str] = set()
        self._logged: set[Hash32] = set()
        self._proposed_at: tuple[int, float] = (0, 0.0)
        self.peers: dict[str, dict[str, object]] = {}
        self.subscribers: dict[int, Callable[[Executed], None]] = {}
        self.watchdog = Watchdog()
        self.step_times = StepTimes()
        self._log = get_log("runtime")

    @property
    def sync(self) -> Sync:
        """The catching-up part."""
        return self._parts.sync

    @property
    def proposals(self) -> Proposals:
        """The part that builds and checks blocks."""
        return self._parts.proposals

    @property
    def validator_address(self) -> str | None:
        """Checksummed address of this node's validator key, None for an observer."""
        signer = self._parts.signer
        return None if signer is None else to_checksum_address(signer.address)

    def evidence(self) -> list[Evidence]:
        """Return the stored evidence of double signing; from any thread."""
        return self._parts.evidence.all()

    def consensus_status(self) -> Status:
        """Return where consensus stands; from any thread, perhaps between two steps."""
        return self._parts.core.status()

    def consensus_rounds(self) -> list[tuple[int, RoundVotes]]:
        """Return the votes by round of the present height; from any thread, as above."""
        return self._parts.core.rounds()

    def timers(self) -> list[Timer]:
        """Return the timers that run; from any thread."""
        return list(self._timers)

    @property
    def permissions(self) -> Permissions:
        """Who may connect."""
        return self._parts.permissions

    def run_in_loop(self, function: Callable[[], None]) -> None:
        """Run `function` in the loop's thread and wait for it; from another thread."""
        if self._token is None:
            raise Unavailable("the node is starting")
        trio.from_thread.run_sync(function, trio_token=self._token)

    async def run(self) -> None:
        """Run until cancelled; raises Fatal when an effect or an invariant fails."""
        self._token = trio.lowlevel.current_trio_token()
        parts = self._parts
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._read_network)
            nursery.start_soon(self._read_batches)
            nursery.start_soon(parts.intake.run, parts.network, self._on_work)
            nursery.start_soon(parts.sync.run, self._deliver)
            nursery.start_soon(self._tick)
            parts.proposals.remember(parts.wal.records)
            await self._carry_out(self._step(Replayed(parts.wal.records)))
            while True:
                await self._take(await self._inbox.wait_batch())

    # --- the loop ---------------------------------------------------------------------------------

    async def _take(self, batch: list[Input | Synced]) -> None:
        effects: list[Effect] = []
        for event in batch:
            if isinstance(event, Synced):
                await self._carry_out(effects)
                effects = []
                await self._commit_synced(event)
            else:
                effects += self._step(event)
        await self._carry_out(effects)

    @metered(Stage.CONSENSUS)
    def _step(self, event: Input) -> list[Effect]:
        if isinstance(event, ProposalReceived):
            self._note_proposal(event.proposal)
        elif isinstance(event, Signed) and isinstance(event.message, Proposal):
            self._note_proposal(event.message)
        effects = self._parts.core.step(event, round(trio.current_time() * 1000))
        self.step_times.note(self._parts.core.status(), trio.current_time())
        return effects

    def _note_proposal(self, proposal: Proposal) -> None:
        """Remember when the first proposal of the next height was seen; the log says how long."""
        height = self._parts.ledger.view.height + 1
        if proposal.height == height != self._proposed_at[0]:
            self._proposed_at = height, trio.current_time()

    def _decided_in_ms(self, height: Height) -> float | None:
        """Return the milliseconds from a height's first proposal until now, None without one."""
        seen, at = self._proposed_at
        return round((trio.current_time() - at) * 1_000, 1) if seen == height else None

    async def _carry_out(self, effects: list[Effect]) -> None:
        records = self._with_contents(
            [effect.record for effect in effects if isinstance(effect, Persist)]
        )
        if records:
            await trio.to_thread.run_sync(self._parts.wal.append, records)
        for effect in effects:
            match effect:
                case Persist(Valid(block_hash=likely)):
                    self._nursery.start_soon(self._parts.proposals.build_ahead, likely)
                case Persist():
                    pass
                case Sign(message):
                    self._sign(message)
                case Broadcast(message):
                    self._broadcast(message)
                case SetTimer(timer, delay_ms):
                    self._set_timer(timer, delay_ms)
                case BuildBlock():
                    self._nursery.start_soon(self._build, effect)
                case CheckProposal():
                    self._nursery.start_soon(self._check, effect)
                case Decide(certificate):
                    await self._decide(certificate)
                case ReportEvidence(evidence):
                    await self._report(evidence)
                case RequestSync():
                    self._parts.sync.nudge()

    def _with_contents(self, records: list[Record]) -> list[Record]:
        """Put the transactions of a block before the first record that names it.

        They may stand in nobody's pool after a power cut, and a locked block that nobody can have
        again would stop the chain.
        """
        complete: list[Record] = []
        for record in records:
            named = record.message if isinstance(record, Intent) else record
            if isinstance(named, Vote | Proposal | Valid):
                block = self._parts.ledger.kept(named.block_hash)
                if block is not None and named.block_hash not in self._logged:
                    self._logged.add(named.block_hash)
                    raws = [each.raw for each in block.transactions]
                    complete.append(Kept(named.height, named.block_hash, encode(raws)))
            complete.append(record)
        return complete

    @metered(Stage.CONSENSUS)
    def _sign(self, message: Message) -> None:
        signer = self._parts.signer
        if signer is None:
            ensure(False, "an observer was asked to sign", height=message.height)
            return
        self._parts.wal.guard.permit(message)
        digest = sign_digest(message, self._parts.ledger.params.chain_id)
        self._inbox.put(Signed(replace(message, signature=signer.sign(digest))))

    def _broadcast(self, message: Message | Evidence) -> None:
        raw = encode_message(message)
        self._parts.network.broadcast(Stream.CONSENSUS, raw[0], raw[1:])

    # --- timers -----------------------------------------------------------------------------------

    def _set_timer(self, timer: Timer, delay_ms: int) -> None:
        self._timer_serial += 1
        self._timers[timer] = self._timer_serial
        self._nursery.start_soon(self._wait_timer, timer, delay_ms / 1000, self._timer_serial)

    async def _wait_timer(self, timer: Timer, delay_s: float, serial: int) -> None:
        await trio.sleep(delay_s)
        if self._timers.get(timer) == serial:
            del self._timers[timer]
            self._inbox.put(TimerFired(timer))

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self._parts.sync.nudge()
            self._picture_peers()
            await trio.to_thread.run_sync(self._parts.intake.tidy)

    # --- blocks -----------------------------------------------------------------------------------

    async def _build(self, effect: BuildBlock) -> None:
        block_hash, body = await self._parts.proposals.build()
        self._inbox.put(BlockBuilt(effect.height, effect.round, block_hash, body))

    async def _check(self, effect: CheckProposal) -> None:
        ok = await self._parts.proposals.check(effect, self._peer_of(effect.proposer))
        self._inbox.put(ProposalChecked(effect.height, effect.round, effect.block_hash, ok))

    def _peer_of(self, validator: bytes) -> str | None:
        for peer in self._parts.network.peers():
            if peer.status.validator == validator:
                return peer.peer
        return None

    async def _decide(self, certificate: Certificate) -> None:
        """Commit what the core decided, unless sync has committed that very block meanwhile.

        The core hears of such a commit one batch later, and may decide in between.
        """
        height, view = certificate.height, self._parts.ledger.view
        if height <= view.height:
            ensure(
                view.block_hash(height) == certificate.block_hash,
                "another block was decided than sync has committed",
                height=height,
            )
            return
        executed = await trio.to_thread.run_sync(
            self._parts.ledger.executed, certificate.block_hash
        )
        if executed is None:
            ensure(False, "a decided block was not executed here", height=height)
            return
        await self._commit(executed, certificate)

    async def _commit_synced(self, synced: Synced) -> None:
        ledger = self._parts.ledger
        if synced.executed.block.header.parent_hash == ledger.view.head_hash:
            await self._commit(synced.executed, synced.certificate)
        synced.done.set()

    async def _deliver(self, executed: Executed, certificate: Certificate) -> None:
        done = trio.Event()
        self._inbox.put(Synced(executed, certificate, done))
        await done.wait()

    async def _commit(self, executed: Executed, certificate: Certificate) -> None:
        parts, block = self._parts, executed.block
        height = block.header.height
        decided_in_ms = self._decided_in_ms(height)
        raw = encode_certificate(certificate)
        await trio.to_thread.run_sync(partial(parts.ledger.commit, executed, raw))
        self._logged.clear()
        parts.network.set_head(height, block.hash)
        if await trio.to_thread.run_sync(parts.permissions.follow, parts.ledger.view):
            parts.permissions.apply(parts.network)
        self._timers = {each: n for each, n in self._timers.items() if each.height > height}
        await trio.to_thread.run_sync(parts.intake.committed, block.transactions)
        self._log.info(
            "block committed",
            height=height,
            round=certificate.round,
            hash=block.hash,
            txs=len(block.transactions),
            gas=block.header.gas_used,
            decided_in_ms=decided_in_ms,
        )
        for hear in list(self.subscribers.values()):
            hear(executed)
        has_work = parts.intake.has_work()
        self._inbox.put(Committed(height, block.hash, executed.validators, has_work))
        for message in self._early.take(height):
            self._inbox.put(_received(message))

    async def _report(self, evidence: Evidence) -> None:
        claim = evidence.first
        self._log.error(
            "validator signed twice",
            validator=claim.validator,
            height=claim.height,
            round=claim.round,
            kind=claim.kind.name,
        )
        await trio.to_thread.run_sync(self._parts.evidence.add, evidence)
        self._broadcast(evidence)

    # --- peers ------------------------------------------------------------------------------------

    def _on_work(self) -> None:
        if self._parts.intake.has_work():
            self._inbox.put(WorkAvailable())

    async def _read_network(self) -> None:
        network = self._parts.network
        async for event in network.events:
            match event:
                case PeerUp(peer, status):
                    if status.role is not Role.VALIDATOR:
                        self._relays.add(peer)
                    self._parts.sync.nudge()
                    self._picture_peers()
                    for batch in await trio.to_thread.run_sync(self._parts.intake.batches):
                        network.send(peer, Stream.TX, TRANSACTIONS, batch)
                case PeerDown(peer, _):
                    self._relays.discard(peer)
                    self._early.forget(peer)
                    self._parts.sync.forget(peer)
                    self._picture_peers()
                case Received(_, Stream.TX):
                    self._queue_batch(event)
                case Received():
                    await self._receive(event)

    def _picture_peers(self) -> None:
        self.peers = {
            each.peer: {
                "peerId": each.peer,
                "address": each.address,
                "role": each.status.role.name.lower(),
                "validator": _checksum(each.status.validator),
                "height": each.head_height,
                "rttMs": None if each.rtt_ms is None else round(each.rtt_ms, 2),
            }
            for each in self._parts.network.peers()
        }

    async def _receive(self, event: Received) -> None:
        try:
            message = decode_message(bytes([event.kind]) + event.body)
        except InvalidMessage as error:
            self._log.warning("undecodable message", peer=event.peer, reason=error.message)
            self._parts.network.penalise(event.peer, Offence.UNDECODABLE)
            return
        if isinstance(message, Evidence):
            await self._inbox.put_from_peer(EvidenceReceived(message))
            return
        head = self._parts.ledger.view.height
        if message.height > head + 1:
            self._parts.sync.note_head(event.peer, Height(message.height - 1))
        if not self._early.hold(event.peer, message, head):
            await self._inbox.put_from_peer(_received(message))

    def _queue_batch(self, event: Received) -> None:
        try:
            self._batches_in.send_nowait(event)
        except trio.WouldBlock:
            self._log.warning("transactions dropped: too many batches", peer=event.peer)

    async def _read_batches(self) -> None:
        parts = self._parts
        async for event in self._batches:
            try:
                raws = decode_batch(event.kind, event.body)
            except InvalidMessage as error:
                self._log.warning("bad transactions", peer=event.peer, reason=error.message)
                parts.network.penalise(event.peer, Offence.UNDECODABLE)
                continue
            forward = event.peer in self._relays
            add = partial(parts.intake.add_from_peer, raws, forward=forward)
            if await trio.to_thread.run_sync(add):
                parts.network.penalise(event.peer, Offence.UNDECODABLE)


def _received(message: Message) -> Input:
    """Return a peer's message as an input of the core."""
    return ProposalReceived(message) if isinstance(message, Proposal) else VoteReceived(message)


def _checksum(address: Address | None) -> str | None:
    return None if address is None else to_checksum_address(address)
