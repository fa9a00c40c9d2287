"""The consensus core: Tendermint's algorithm 1 as a pure state machine.

`step(input, now_ms) -> effects`: no clock, chance, I/O, signing or logging in here. The inputs,
the effects and the ordering law stand in `consensus/events.py`, the protocol as a whole in the
package docstring. L-numbers are lines of algorithm 1 in "The latest gossip on BFT consensus"
(arXiv 1807.04938). After each input all upon-rules are tried in one fixed order, again and again,
until none applies.
"""

from __future__ import annotations

from dataclasses import dataclass

from consensus.algorithm import NIL, ROUND_0, Algorithm, Settings, Step
from consensus.events import (
    BlockBuilt,
    Broadcast,
    Committed,
    Effect,
    EvidenceReceived,
    Input,
    Persist,
    ProposalChecked,
    ProposalReceived,
    Replayed,
    ReportEvidence,
    RequestSync,
    Sign,
    Signed,
    TimerFired,
    TimerKind,
    VoteReceived,
    WorkAvailable,
)
from consensus.evidence import Reported, is_evidence
from consensus.messages import (
    NO_POL,
    Evidence,
    Kind,
    Message,
    Proposal,
    Vote,
    evidence_of,
    says_the_same,
)
from consensus.signing import Verify
from consensus.votes import FutureMessages, RoundVotes
from consensus.wal import (
    WATCH_HEIGHTS,
    Checkpoint,
    Entered,
    Intent,
    Kept,
    Record,
    Valid,
    needed,
)
from primitives.errors import ensure
from primitives.types import Address, Height, Round
from primitives.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class Status:
    """What an operator wants to see; `locked_round` and `valid_round` are -1 for none."""

    height: Height
    round: Round
    step: Step
    proposer: Address
    locked_round: Round
    valid_round: Round
    is_signing: bool
    is_watching: bool


class Consensus(Algorithm):
    """One node's part in deciding height after height, starting at `height`.

    `validators` decides `height`. `verify` answers for signatures of this chain; nothing is
    counted or kept before it said yes.
    """

    def __init__(
        self, settings: Settings, height: Height, validators: ValidatorSet, verify: Verify
    ) -> None:
        super().__init__(settings, height, validators, verify)
        self._future = FutureMessages()
        self._reported = Reported()
        self._ready = False
        self._has_changed = False
        self._has_work = False
        self._kept_records: tuple[Record, ...] = ()
        self._wait_from_ms = 0
        self._empty_wait_ms = 0

    # --- what the outside may ask -----------------------------------------------------------------

    @property
    def height(self) -> Height:
        """The height being decided."""
        return self._height

    def status(self) -> Status:
        """Return where this node stands."""
        return Status(
            self._height,
            self._round,
            self._step,
            self._schedule.proposer(self._height, self._round),
            self._locked_round,
            NO_POL if self._valid is None else self._valid.round,
            self._signing,
            self._watch_left > 0,
        )

    def rounds(self) -> list[tuple[int, RoundVotes]]:
        """Return the votes of the height by round, for an operator to look at."""
        return list(self._votes.rounds())

    def kept_messages(self) -> int:
        """Return how many messages are held in memory: at most (3 n) per round of the window."""
        return self._votes.size() + len(self._future)

    def step(self, event: Input, now_ms: int) -> list[Effect]:
        """Take one input at `now_ms` (monotonic) and return the effects, in lawful order.

        Raises BrokenInvariant when the runtime breaks the rules of `consensus/events.py`, among
        them a commit that differs from what this core decided.
        """
        self._now_ms = now_ms
        effects: list[Effect] = []
        self._effects = effects
        self._has_changed = False
        if not self._ready:
            ensure(isinstance(event, Replayed), "the first input is Replayed")
        if isinstance(event, VoteReceived):  # most of all inputs, by far
            self._receive(event.vote)
        else:
            self._take(event)
        if self._has_changed:
            while self._apply_rules():
                pass
            if self._unchecked:
                self._ask_checks()
        return effects

    def _take(self, event: Input) -> None:
        """Take anything but a vote; messages tell themselves whether rules may fit now."""
        if isinstance(event, Signed):
            self._on_signed(event.message)
            return
        if isinstance(event, ProposalReceived):
            self._receive(event.proposal)
            return
        self._has_changed = True
        match event:
            case TimerFired(timer):
                self._has_changed = self._on_timer(timer)
            case ProposalChecked():
                self._on_checked(event)
            case BlockBuilt():
                self._on_built(event)
            case Committed():
                self._on_committed(event)
            case WorkAvailable():
                self._on_work()
            case EvidenceReceived(evidence):
                self._on_evidence(evidence)
            case Replayed(records):
                self._on_replayed(records)
            case VoteReceived(vote):
                self._receive(vote)

    # --- messages ---------------------------------------------------------------------------------

    def _receive(self, message: Message, *, verified: bool = False) -> None:
        """Check, verify, count: in this order, so that nothing unverified leaves a trace."""
        if message.height != self._height:
            self._receive_elsewhere(message)
            return
        if self._decided is not None or message.validator not in self._powers:
            return
        if message.round < 0 or not (isinstance(message, Vote) or self._is_in_order(message)):
            return
        votes, current = self._votes, self._round
        known = votes.find(message)
        if known is not None:
            if known is not message:
                self._receive_again(known, message)
            return
        if not (votes.accepts(message, current) and (verified or self._verify(message))):
            return
        if votes.store(message, current):
            self._has_changed = True
        if self._absent and message.validator in self._absent:
            self._note_presence(message.validator)
        if message.round > current or self._step is Step.WAIT:
            self._may_jump = self._has_changed = True
        if isinstance(message, Proposal) and votes.find(message) is message:
            self._proposal_seen = True
            if message.block_hash not in self._blocks:
                self._unchecked[message.round] = message

    def _receive_again(self, known: Message, message: Message) -> None:
        """Take another message for a place that is filled: a repetition or a contradiction.

        A contradicting prevote still counts when the current proposal rests on a quorum with it:
        else one validator that votes twice could keep an honest one's lock unproven for ever.
        """
        if says_the_same(known, message):
            return
        is_support = self._votes.is_support(message, self._round)
        is_news = not self._reported.knows(message)
        if not (is_support or is_news) or not self._verify(message):
            return
        if is_news:
            self._report(evidence_of(known, message))
        if is_support and isinstance(message, Vote):
            self._votes.store_support(message)
            self._has_changed = True

    def _is_in_order(self, message: Proposal) -> bool:
        """Answer whether the validator named may propose this at all."""
        return (
            NO_POL <= message.pol_round < message.round
            and message.block_hash != NIL
            and message.proposer == self._schedule.proposer(message.height, message.round)
        )

    def _receive_elsewhere(self, message: Message) -> None:
        """Keep the next height's messages; tell that peers are ahead; ignore the past."""
        if message.height < self._height or message.validator not in self._powers:
            return
        is_next = message.height == self._height + 1
        if is_next and self._future.knows(message):
            return
        if not self._verify(message):
            return
        if is_next:
            self._future.add(message)
        if not (is_next and self._step is Step.DECIDED):
            self._effects.append(RequestSync(Height(message.height - 1)))

    def _report(self, evidence: Evidence) -> None:
        self._reported.note(evidence.first)
        self._effects.append(ReportEvidence(evidence))

    def _on_evidence(self, evidence: Evidence) -> None:
        if self._reported.knows(evidence.first):
            return
        if is_evidence(evidence, self._validators, self._verify):
            self._report(evidence)

    # --- answers of the runtime -------------------------------------------------------------------

    def _on_signed(self, message: Message) -> None:
        if message.height != self._height:
            return
        ensure(
            message.validator == self._me and self._verify(message),
            "the signer does not sign with this validator's key",
        )
        known = self._own.get(message.kind)
        if known is None or known.round <= message.round:
            self._own[message.kind] = message
        is_again = isinstance(message, Proposal) and message.pol_round != NO_POL
        self._effects.append(Broadcast(message))
        if is_again:
            self._relay_valid_votes()
        self._receive(message, verified=True)
        if is_again:
            for vote in self._valid_votes:
                self._receive(vote)

    def _on_built(self, event: BlockBuilt) -> None:
        is_wanted = (
            (event.height, event.round) == (self._height, self._round)
            and self._step is Step.PROPOSE
            and self._is_my_turn()
            and event.block_hash != NIL
        )
        if is_wanted:
            self._blocks[event.block_hash] = event.body
            self._propose(event.block_hash, event.body, NO_POL)

    def _on_checked(self, event: ProposalChecked) -> None:
        if event.height != self._height or self._step is Step.DECIDED:
            return
        proposal = self._unchecked.get(event.round)
        if proposal is not None and proposal.block_hash == event.block_hash:
            body = proposal.body
        elif self._restored is not None and self._restored.block_hash == event.block_hash:
            body, proposal = self._restored.body, None
        else:
            return
        if event.ok:
            self._blocks[event.block_hash] = body
            self._unchecked = {
                round_: each
                for round_, each in self._unchecked.items()
                if each.block_hash != event.block_hash
            }
        elif proposal is not None:
            self._votes.at(event.round).refused = True
            del self._unchecked[event.round]

    def _on_committed(self, event: Committed) -> None:
        if event.height < self._height:
            return
        is_own = self._decided is not None and event.height == self._height
        ensure(
            not is_own or event.block_hash == self._decided,
            "another block was committed than decided",
            height=event.height,
        )
        if is_own and self._watch_left:
            self._watch_left -= 1
        self._has_work = event.has_work
        settings = self._settings
        self._wait_from_ms = self._started_ms if is_own else self._now_ms
        self._empty_wait_ms = (
            max(settings.block_period_ms, settings.empty_block_period_ms)
            if is_own
            else settings.block_period_ms
        )
        self._begin_height(Height(event.height + 1), event.validators)

    def _on_work(self) -> None:
        if not self._has_work:
            self._has_work = True
            if self._step is Step.WAIT:
                self._wait()

    # --- heights ----------------------------------------------------------------------------------

    def _on_replayed(self, records: tuple[Record, ...]) -> None:
        ensure(not self._ready, "Replayed comes once")
        self._ready = True
        kept = needed(records)
        if kept and isinstance(kept[0], Checkpoint):
            self._log_height, self._watch_left = kept[0].height, kept[0].watch_left
        elif not self._settings.may_sign_at_once:
            self._watch_left = WATCH_HEIGHTS
        if self._settings.may_sign_at_once and self._watch_left:
            self._watch_left = 0
            self._effects.append(Persist(Checkpoint(self._log_height, self._watch_left)))
        self._kept_records = tuple(each for each in kept if not isinstance(each, Kept))
        self._wait_from_ms = self._now_ms
        self._begin_height(self._height, self._validators)

    def _begin_height(self, height: Height, validators: ValidatorSet) -> None:
        if height > self._log_height and self._settings.me is not None:
            self._log_height = height
            self._effects.append(Persist(Checkpoint(height, self._watch_left)))
        self._clear(height, validators)
        own = [each for each in self._kept_records if each.height == height]
        if self._log_height <= height:
            self._kept_records = ()
        if self._signing and any(not isinstance(each, Checkpoint) for each in own):
            self._restore(own)
        else:
            self._wait()
        for message in self._future.take():
            self._receive(message, verified=True)

    def _wait(self) -> None:
        """Start round 0 when its time has come, else see to it that it will.

        A clock that went back may not make the wait longer than the period.
        """
        period_ms = self._settings.block_period_ms if self._has_work else self._empty_wait_ms
        delay_ms = min(self._wait_from_ms + period_ms - self._now_ms, period_ms)
        if delay_ms <= 0:
            self._start_round(ROUND_0)
        else:
            self._set_timer(TimerKind.START, ROUND_0, delay_ms)

    def _restore(self, records: list[Record]) -> None:
        """Go on where the log ends: same round, step, lock, valid value and own messages."""
        intents: dict[Kind, Message] = {}
        for record in records:
            match record:
                case Intent(message):
                    intents[message.kind] = message
                    self._intended = max(self._intended, (message.round, message.kind))
                    self._round = max(self._round, message.round)
                case Entered(_, round_):
                    self._round = max(self._round, round_)
                case Valid():
                    self._valid = self._restored = record
                    self._valid_votes = _prevotes_of(record)
                    if record.locked:
                        self._locked_round, self._locked_hash = record.round, record.block_hash
                case Checkpoint() | Kept():
                    pass
        newest_round, newest_kind = self._intended
        self._step = Step.PROPOSE
        if newest_round == self._round:
            self._step = Step(max(newest_kind, Step.PROPOSE))
        self._started_ms = self._now_ms
        self._set_timer(TimerKind.REBROADCAST, ROUND_0, self._settings.times.rebroadcast_ms)
        for kind in Kind:
            intent = intents.get(kind)
            if intent is not None and (kind is not Kind.PROPOSAL or intent.round == self._round):
                self._effects.append(Sign(intent))
        if self._valid is not None:
            self._check(self._valid.round, self._valid.block_hash, self._valid.body, self._me)
            for vote in self._valid_votes:
                self._receive(vote)
        if self._step is Step.PROPOSE:
            self._open_round()


def _prevotes_of(valid: Valid) -> tuple[Vote, ...]:
    """Return the prevotes that a valid value stands on."""
    return tuple(
        Vote(Kind.PREVOTE, valid.height, valid.round, valid.block_hash, address, signature)
        for address, signature in valid.votes
    )
