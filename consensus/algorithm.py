"""Algorithm 1 of Tendermint: the variables of a height, its rounds, its upon-rules.

L-numbers are lines of algorithm 1 in "The latest gossip on BFT consensus" (arXiv 1807.04938).
`consensus/core.py` feeds this machine with verified messages and answers; here it moves.

Differences from the paper, each safe because it only affects when a nil vote is cast or a round
ends: a quorum of nil precommits ends the round at once; a validator seen in a later round counts
as heard where the paper counts messages of any value (L34, L47) and for the jump (L55); a block
is decided by a precommit quorum of any round, and locked by a prevote quorum of this round, as
soon as the block is known to be valid, whoever's proposal made it known (L36, L49).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from consensus.events import (
    Broadcast,
    BuildBlock,
    CheckProposal,
    Decide,
    Effect,
    Persist,
    RequestSync,
    SetTimer,
    Sign,
    Timer,
    TimerKind,
)
from consensus.messages import NO_POL, Kind, Message, Proposal, Vote
from consensus.proposer import schedule_of
from consensus.signing import Verify
from consensus.votes import HeightVotes, RoundVotes
from consensus.wal import Entered, Intent, Valid
from primitives.params import ConsensusTimes
from primitives.types import ZERO_HASH, Address, Hash32, Height, Round
from primitives.validators import ValidatorSet

NIL = ZERO_HASH
ROUND_0 = Round(0)
NOBODY = Address(b"")
"""An observer's own address: in no validator set."""


class Step(IntEnum):
    """Where a node stands in its round. WAIT lies before round 0, DECIDED after the last one."""

    WAIT = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    DECIDED = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """What one core is told once.

    `me` is this node's signing address, None for an observer. `may_sign_at_once` permits signing
    with an empty write-ahead log: true for a network's genesis start and for a single validator,
    otherwise such a key first watches (see Checkpoint). Periods count from start to start.
    """

    me: Address | None
    times: ConsensusTimes
    block_period_ms: int
    empty_block_period_ms: int
    may_sign_at_once: bool = False


def timeout_ms(times: ConsensusTimes, kind: TimerKind, round_: Round) -> int:
    """Return how long a round waits for a proposal or for votes: linear in the round, capped."""
    first = times.timeout_propose_ms if kind is TimerKind.PROPOSE else times.timeout_vote_ms
    return min(first + round_ * times.timeout_delta_ms, times.timeout_max_ms)


class Algorithm:
    """The machine of one height; `_clear` begins another one."""

    def __init__(
        self, settings: Settings, height: Height, validators: ValidatorSet, verify: Verify
    ) -> None:
        self._settings = settings
        self._me = settings.me or NOBODY
        self._verify = verify
        self._effects: list[Effect] = []
        self._now_ms = 0
        self._started_ms = 0
        self._watch_left = 0
        self._log_height = Height(0)
        self._absent: set[Address] = set()
        self._validators = validators
        self._schedule = schedule_of(validators)
        self._clear(height, validators)

    def _clear(self, height: Height, validators: ValidatorSet) -> None:
        """L1-L9: the variables of a height."""
        self._height = height
        if validators is not self._validators:
            self._validators = validators
            self._schedule = schedule_of(validators)
        self._powers = validators.powers
        self._votes = HeightVotes(validators)
        self._round = ROUND_0
        self._step = Step.WAIT
        self._locked_round, self._locked_hash = NO_POL, NIL
        self._valid: Valid | None = None
        self._valid_votes: tuple[Vote, ...] = ()
        self._blocks: dict[Hash32, bytes] = {}
        self._unchecked: dict[Round, Proposal] = {}
        self._restored: Valid | None = None
        self._own: dict[Kind, Message] = {}
        self._intended: tuple[int, int] = (-1, 0)
        self._decided: Hash32 | None = None
        self._may_jump = False
        self._proposal_seen = False
        self._absent.intersection_update(self._powers)
        self._signing = (
            self._me in validators and not self._watch_left and height >= self._log_height
        )

    # --- rounds -----------------------------------------------------------------------------------

    def _start_round(self, round_: Round) -> None:
        """L11-L13, and what a new round lets go of."""
        if self._step is Step.WAIT:
            self._started_ms = self._now_ms
            self._set_timer(TimerKind.REBROADCAST, ROUND_0, self._settings.times.rebroadcast_ms)
        self._round = round_
        self._step = Step.PROPOSE
        if round_ > 0 and self._signing:
            self._effects.append(Persist(Entered(self._height, round_)))
        if round_ > 0:
            self._forget(round_)
        self._open_round()

    def _open_round(self) -> None:
        """L14-L21: propose when it is this node's turn; in any case, wait only so long.

        Nobody waits for an absent proposer: one that was silent for a whole height up to the end
        of its turn, and has not been heard since.
        """
        proposer = self._schedule.proposer(self._height, self._round)
        self._set_timer(TimerKind.PROPOSE, self._round, 0 if proposer in self._absent else None)
        if not self._is_my_turn():
            return
        if self._valid is not None:
            self._propose(self._valid.block_hash, self._valid.body, self._valid.round)
        else:
            self._effects.append(BuildBlock(self._height, self._round))

    def _is_my_turn(self) -> bool:
        """Answer whether this node may propose in this round and has not done so."""
        return (
            self._signing
            and self._schedule.proposer(self._height, self._round) == self._me
            and self._intended < (self._round, Kind.PROPOSAL)
        )

    def _forget(self, round_: Round) -> None:
        """Keep memory within the window of rounds; blocks stay while something names them."""
        self._votes.forget_before(round_)
        named = {votes.proposal.block_hash for _, votes in self._votes.rounds() if votes.proposal}
        if self._valid is not None:
            named.add(self._valid.block_hash)
        self._blocks = {each: body for each, body in self._blocks.items() if each in named}
        self._unchecked = {
            number: proposal
            for number, proposal in self._unchecked.items()
            if self._votes.find(proposal) is proposal
        }

    def _propose(self, block_hash: Hash32, body: bytes, pol_round: Round) -> None:
        self._sign(Proposal(self._height, self._round, pol_round, block_hash, body, self._me))
        if self._step is Step.PROPOSE and block_hash in self._blocks:
            self._prevote_own(block_hash, pol_round)

    def _prevote_own(self, block_hash: Hash32, pol_round: Round) -> None:
        """L22, L28 for the own proposal, in the same step: one sync of the log carries both.

        The proposal itself counts when its signature is there, as anybody's does. When the rules
        say nil, or not yet, they say so then.
        """
        votes = self._votes.at(self._round)
        is_proven = pol_round == NO_POL or self._votes.at(pol_round).prevotes.quorum == block_hash
        is_free = self._locked_round <= pol_round or self._locked_hash == block_hash
        if is_proven and is_free and not votes.refused:
            self._vote(Kind.PREVOTE, block_hash)

    def _vote(self, kind: Kind, block_hash: Hash32) -> None:
        self._step = Step.PREVOTE if kind is Kind.PREVOTE else Step.PRECOMMIT
        if self._signing:
            self._sign(Vote(kind, self._height, self._round, block_hash, self._me))

    def _sign(self, message: Message) -> None:
        """Save, then sign; never a second time for one round and kind, and never backwards."""
        if (message.round, message.kind) <= self._intended:
            return
        self._intended = (message.round, message.kind)
        self._effects += [Persist(Intent(message)), Sign(message)]

    # --- timers -----------------------------------------------------------------------------------

    def _set_timer(self, kind: TimerKind, round_: Round, delay_ms: int | None = None) -> None:
        if delay_ms is None:
            delay_ms = timeout_ms(self._settings.times, kind, round_)
        self._effects.append(SetTimer(Timer(kind, self._height, round_), delay_ms))

    def _on_timer(self, timer: Timer) -> bool:
        """Take a timer; answer whether it still mattered, so that rules may fit now."""
        if timer.height != self._height or self._step is Step.DECIDED:
            return False
        if timer.kind is TimerKind.REBROADCAST:
            self._rebroadcast()
            return False
        if timer.round != self._round:
            return False
        match timer.kind, self._step:
            case TimerKind.START, Step.WAIT:
                self._start_round(ROUND_0)
            case TimerKind.PROPOSE, Step.PROPOSE:  # L57
                self._note_absence()
                self._vote(Kind.PREVOTE, NIL)
            case TimerKind.PREVOTE, Step.PREVOTE:  # L61
                self._vote(Kind.PRECOMMIT, NIL)
            case TimerKind.PRECOMMIT, step if step is not Step.WAIT:  # L65
                self._start_round(Round(self._round + 1))
            case _:
                return False
        return True

    def _note_absence(self) -> None:
        """Remember a proposer of whom nothing at all was heard in this height."""
        proposer = self._schedule.proposer(self._height, self._round)
        if proposer != self._me and not self._votes.has_heard(proposer):
            self._absent.add(proposer)

    def _note_presence(self, validator: Address) -> None:
        """Wait again for a validator that has been heard."""
        self._absent.discard(validator)

    def _rebroadcast(self) -> None:
        """Repeat what peers may have missed: the newest own messages, the reason for the lock."""
        self._set_timer(TimerKind.REBROADCAST, ROUND_0, self._settings.times.rebroadcast_ms)
        for kind, message in sorted(self._own.items()):
            if kind is not Kind.PROPOSAL or message.round == self._round:
                self._effects.append(Broadcast(message))
        if self._valid is not None and self._valid.round < self._round:
            self._relay_valid_votes()
        if self._votes.precommit_quorums:
            self._effects.append(RequestSync(self._height))

    def _relay_valid_votes(self) -> None:
        """Repeat the prevotes that made the valid value, own ones included."""
        if self._signing:
            self._effects += [Broadcast(vote) for vote in self._valid_votes]

    # --- upon-rules -------------------------------------------------------------------------------

    def _apply_rules(self) -> bool:
        """Apply the first rule that fits; answer whether one did."""
        if self._decided is not None:
            return False
        all_votes = self._votes
        if (all_votes.precommit_quorums and self._decide()) or (self._may_jump and self._jump()):
            return True
        step = self._step
        if step is Step.WAIT:
            return False
        votes = all_votes.at(self._round)
        if step is Step.PROPOSE:
            if votes.proposal is not None and self._prevote(votes):
                return True
        elif votes.prevotes.quorum is not None and (
            (not votes.quorum_seen and self._lock(votes)) or self._precommit_nil(votes)
        ):
            return True
        if votes.precommits.quorum == NIL:
            self._end_round()
            return True
        if all_votes.may_be_heard(self._round, votes):
            self._set_vote_timers(votes)
        return False

    def _decide(self) -> bool:  # L49
        for round_, block_hash in sorted(self._votes.precommit_quorums.items()):
            if block_hash in self._blocks:
                self._step = Step.DECIDED
                self._decided = block_hash
                self._effects.append(Decide(self._votes.certificate(round_, block_hash)))
                return True
        return False

    def _jump(self) -> bool:
        """L55; and the height's beginning, by a proposal or by more than a third of power."""
        self._may_jump = False
        is_waiting = self._step is Step.WAIT
        round_ = self._votes.jump_round()
        if round_ > self._round or (is_waiting and round_ == ROUND_0):
            self._start_round(round_)
            return True
        if is_waiting and self._proposal_seen:
            self._start_round(ROUND_0)
            return True
        return False

    def _prevote(self, votes: RoundVotes) -> bool:  # L22, L28
        proposal = votes.proposal
        if proposal is None:
            return False
        block_hash, pol_round = proposal.block_hash, proposal.pol_round
        if pol_round != NO_POL and self._votes.at(pol_round).prevotes.quorum != block_hash:
            return False
        is_free = self._locked_round <= pol_round or self._locked_hash == block_hash
        if not is_free or votes.refused:
            self._vote(Kind.PREVOTE, NIL)
        elif block_hash in self._blocks:
            self._vote(Kind.PREVOTE, block_hash)
        else:
            return False
        return True

    def _lock(self, votes: RoundVotes) -> bool:  # L36
        block_hash = votes.prevotes.quorum
        if block_hash is None or block_hash not in self._blocks:
            return False
        votes.quorum_seen = True
        is_locking = self._step is Step.PREVOTE
        self._valid_votes = tuple(votes.prevotes.votes_for(block_hash))
        signatures = tuple((vote.validator, vote.signature) for vote in self._valid_votes)
        self._valid = Valid(
            self._height,
            self._round,
            block_hash,
            self._blocks[block_hash],
            is_locking,
            signatures,
        )
        if self._signing:
            self._effects.append(Persist(self._valid))
        if is_locking:
            self._locked_round, self._locked_hash = self._round, block_hash
            self._vote(Kind.PRECOMMIT, block_hash)
        return True

    def _precommit_nil(self, votes: RoundVotes) -> bool:  # L44
        if self._step is not Step.PREVOTE or votes.prevotes.quorum != NIL:
            return False
        self._vote(Kind.PRECOMMIT, NIL)
        return True

    def _end_round(self) -> None:
        """A quorum of nil precommits: this round cannot decide any more."""
        self._start_round(Round(self._round + 1))

    def _set_vote_timers(self, votes: RoundVotes) -> None:  # L34, L47
        heard = self._votes.has_quorum_of_any
        if (
            self._step is Step.PREVOTE
            and not votes.prevote_timer_set
            and heard(self._round, votes.prevotes)
        ):
            votes.prevote_timer_set = True
            self._set_timer(TimerKind.PREVOTE, self._round)
        if not votes.precommit_timer_set and heard(self._round, votes.precommits):
            votes.precommit_timer_set = True
            self._set_timer(TimerKind.PRECOMMIT, self._round)

    # --- checks -----------------------------------------------------------------------------------

    def _ask_checks(self) -> None:
        """Have proposals checked: this round's, and those that a quorum speaks for."""
        if self._step in (Step.WAIT, Step.DECIDED):
            return
        for round_, proposal in self._unchecked.items():
            votes = self._votes.at(round_)
            block_hash = proposal.block_hash
            is_wanted = (
                round_ == self._round
                or votes.prevotes.quorum == block_hash
                or block_hash in self._votes.precommit_quorums.values()
            )
            if is_wanted and not votes.check_asked:
                votes.check_asked = True
                self._check(round_, block_hash, proposal.body, proposal.proposer)

    def _check(self, round_: Round, block_hash: Hash32, body: bytes, proposer: Address) -> None:
        self._effects.append(CheckProposal(self._height, round_, block_hash, body, proposer))
