"""Planted protocol bugs: what a careless change could make of this node, each found by schedules.

A bug of the core is a subclass of it; a bug of the disk or of the node's loop is a patch for as
long as the schedules run. `hunt` answers after how many schedules a bug showed, and how.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import tests.sim.node
from consensus import algorithm, votes
from consensus.algorithm import Step
from consensus.certificate import Certificate
from consensus.events import Committed, Effect, TimerKind
from consensus.messages import NO_POL, Kind, Message, evidence_of, says_the_same
from consensus.votes import RoundVotes
from consensus.wal import Record, SignGuard
from primitives.types import ZERO_HASH, Address, Hash32, Height, Power, Round
from primitives.validators import ValidatorSet
from tests.sim.chain import Violation
from tests.sim.coverage import Covered
from tests.sim.disk import Disk, DiskFailed
from tests.sim.node import Node
from tests.sim.world import World

BUDGET = 50_000
"""Most schedules that a mutant may survive."""


class QuorumTooSmall(Covered):
    """Two of four are a quorum."""

    def _clear(self, height: Height, validators: ValidatorSet) -> None:
        super()._clear(height, validators)
        self._votes._quorum_power -= 1


class LockDropped(Covered):
    """A new round forgets the lock and the valid value."""

    def _start_round(self, round_: Round) -> None:
        self._locked_round, self._locked_hash, self._valid = NO_POL, ZERO_HASH, None
        super()._start_round(round_)


class LockNotKept(Covered):
    """A precommit locks nothing; the valid value stays."""

    def _lock(self, votes: RoundVotes) -> bool:
        done = super()._lock(votes)
        self._locked_round, self._locked_hash = NO_POL, ZERO_HASH
        return done


class LockIgnoresRounds(Covered):
    """Any prevote quorum that a proposal names releases a lock, even one from before it."""

    def _prevote(self, votes: RoundVotes) -> bool:
        locked_round = self._locked_round
        proposal = votes.proposal
        if proposal is not None and proposal.pol_round != NO_POL:
            self._locked_round = NO_POL
        done = super()._prevote(votes)
        self._locked_round = locked_round
        return done


class PolNotAsked(Covered):
    """A re-proposal is believed without the prevotes that it claims."""

    def _prevote(self, votes: RoundVotes) -> bool:
        proposal = votes.proposal
        if (
            self._step is Step.PROPOSE
            and proposal is not None
            and proposal.pol_round != NO_POL
            and proposal.block_hash in self._blocks
        ):
            self._vote(Kind.PREVOTE, proposal.block_hash)
            return True
        return super()._prevote(votes)


class ValidValueForgotten(Covered):
    """A proposer always builds a new block, whatever the others are locked on."""

    def _open_round(self) -> None:
        valid, self._valid = self._valid, None
        super()._open_round()
        self._valid = valid


class NoJump(Covered):
    """Nobody follows a third of the others to a later round, nor counts them as heard."""

    def _set_vote_timers(self, votes: RoundVotes) -> None:
        newest, self._votes._newest = self._votes._newest, {}
        super()._set_vote_timers(votes)
        self._votes._newest = newest

    def _jump(self) -> bool:
        if self._step is Step.WAIT:
            return super()._jump()
        self._may_jump = False
        return False


class NoRebroadcast(Covered):
    """What was lost stays lost."""

    def _rebroadcast(self) -> None:
        pass


class ProposeTimerLost(Covered):
    """A round whose proposer is silent waits for ever."""

    def _set_timer(self, kind: TimerKind, round_: Round, delay_ms: int | None = None) -> None:
        if kind is not TimerKind.PROPOSE:
            super()._set_timer(kind, round_, delay_ms)


class PrecommitTimerLost(Covered):
    """A round whose precommits differ never ends."""

    def _set_timer(self, kind: TimerKind, round_: Round, delay_ms: int | None = None) -> None:
        if kind is not TimerKind.PRECOMMIT:
            super()._set_timer(kind, round_, delay_ms)


class CountedBeforeVerified(Covered):
    """A vote counts before its signature was looked at."""

    def _receive(self, message: Message, *, verified: bool = False) -> None:
        super()._receive(message, verified=True)


class NextHeightUnverified(Covered):
    """Messages of the next height are kept without a look at their signatures."""

    def _receive_elsewhere(self, message: Message) -> None:
        if message.height == self._height + 1 and message.validator in self._validators:
            self._future.add(message)


class EvidenceUnverified(Covered):
    """A contradiction is reported though its signature is forged."""

    def _receive_again(self, known: Message, message: Message) -> None:
        if not says_the_same(known, message) and not self._reported.knows(message):
            self._report(evidence_of(known, message))


class VotesAgainAfterRestart(Covered):
    """A restart forgets which votes it made, though the log knows."""

    def _restore(self, records: list[Record]) -> None:
        super()._restore(records)
        self._intended = (-1, 0)
        self._start_round(Round(0))


class LogLosesLock(Covered):
    """A restart remembers its votes but not its lock."""

    def _restore(self, records: list[Record]) -> None:
        super()._restore([each for each in records if not hasattr(each, "locked")])


class PrecommitsWithoutQuorum(Covered):
    """A prevote is followed by a precommit, whatever the others prevoted."""

    def _vote(self, kind: Kind, block_hash: Hash32) -> None:
        super()._vote(kind, block_hash)
        if kind is Kind.PREVOTE and block_hash != ZERO_HASH:
            super()._vote(Kind.PRECOMMIT, block_hash)


class FreshKeySigns(Covered):
    """A key without a past signs at once."""

    def _on_replayed(self, records: tuple[Record, ...]) -> None:
        object.__setattr__(self._settings, "may_sign_at_once", True)
        super()._on_replayed(records)


class DecidesTooEarly(Covered):
    """One precommit less than a quorum decides."""

    def _decide(self) -> bool:
        for round_, each_votes in self._votes.rounds():
            for block_hash in list(self._blocks):
                votes_for = each_votes.precommits.votes_for(block_hash)
                if len(votes_for) == 2:
                    self._votes.precommit_quorums[round_] = block_hash
        return super()._decide()


class RoundsMixed(Covered):
    """Precommits of different rounds for one block are added up."""

    def _decide(self) -> bool:
        for block_hash in list(self._blocks):
            voters: set[Address] = set()
            for round_, each_votes in self._votes.rounds():
                those = each_votes.precommits.votes_for(block_hash)
                voters |= {each.validator for each in those}
                if those and sum(self._powers.get(each, Power(0)) for each in voters) >= (
                    self._validators.quorum_power
                ):
                    self._votes.precommit_quorums[round_] = block_hash
        return super()._decide()


class ChecksNothing(Covered):
    """Every proposal is held for valid."""

    def _receive(self, message: Message, *, verified: bool = False) -> None:
        super()._receive(message, verified=verified)
        for proposal in self._unchecked.values():
            self._blocks[proposal.block_hash] = proposal.body


class StaleSet(Covered):
    """The first validator set decides every height."""

    def _on_committed(self, event: Committed) -> None:
        super()._on_committed(
            Committed(event.height, event.block_hash, self._validators, event.has_work)
        )


class StrangersVote(Covered):
    """Who left the validator set still counts as one of it."""

    def _clear(self, height: Height, validators: ValidatorSet) -> None:
        before = getattr(self, "_powers", {})
        super()._clear(height, validators)
        self._powers = before | validators.powers
        self._votes._powers = self._powers


class ClockTrusted(Covered):
    """The wait for a height is computed from the clock alone."""

    def _wait(self) -> None:
        period_ms = self._settings.block_period_ms if self._has_work else self._empty_wait_ms
        delay_ms = self._wait_from_ms + period_ms - self._now_ms
        if delay_ms <= 0:
            self._start_round(Round(0))
        else:
            self._set_timer(TimerKind.START, Round(0), delay_ms)


class AbsentForEver(Covered):
    """A proposer that was silent once is never waited for again, whatever it says later."""

    def _note_presence(self, validator: Address) -> None:
        pass


class StopsAfterDecision(Covered):
    """A node that commits by sync stays where it was."""

    def _on_committed(self, event: Committed) -> None:
        if self._decided is not None:
            super()._on_committed(event)


def _append_nothing(disk: Disk, records: Sequence[Record]) -> None:
    """Write no log."""


def _sync_nothing(disk: Disk) -> None:
    """Say that all is durable."""


def _sign_first(node: Node, effects: list[Effect]) -> None:
    with patch.object(node.disk, "sync", lambda: None):
        _go_on(node, effects)
    if node.world.random.random() < 0.5:
        with suppress(DiskFailed):
            node.disk.sync()


def _accept_weak(certificate: Certificate, *_: object, **__: object) -> None:
    if not certificate.signatures:
        raise Violation("empty")


def _ask_nothing(guard: SignGuard, _: object) -> None:
    """Permit everything."""


_go_on = Node._go_on


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug: a core, and patches (of what, which name, by what)."""

    name: str
    what: str
    core_class: type[Covered] = Covered
    patches: tuple[tuple[object, str, Any], ...] = ()
    validators: int = 4
    is_quick: bool = True
    """Found soon enough for every run of the tests."""


def _core(core_class: type[Covered], *, validators: int = 4, is_quick: bool = True) -> Mutant:
    what = (core_class.__doc__ or "").rstrip(".")
    return Mutant(core_class.__name__, what, core_class, (), validators, is_quick)


MUTANTS = (
    _core(QuorumTooSmall),
    _core(LockDropped),
    _core(LockNotKept),
    _core(LockIgnoresRounds),
    _core(PolNotAsked, is_quick=False),
    _core(ValidValueForgotten),
    _core(NoJump),
    _core(NoRebroadcast),
    _core(ProposeTimerLost),
    _core(PrecommitTimerLost),
    _core(CountedBeforeVerified),
    _core(NextHeightUnverified, is_quick=False),
    _core(EvidenceUnverified),
    _core(VotesAgainAfterRestart),
    _core(LogLosesLock),
    _core(PrecommitsWithoutQuorum),
    _core(FreshKeySigns),
    _core(DecidesTooEarly),
    _core(RoundsMixed, is_quick=False),
    _core(ChecksNothing),
    _core(StaleSet),
    _core(StrangersVote, is_quick=False),
    _core(StopsAfterDecision),
    _core(AbsentForEver, is_quick=False),
    _core(ClockTrusted, validators=1),
    Mutant("NoLog", "Nothing is written to the log", patches=((Disk, "append", _append_nothing),)),
    Mutant(
        "LogNotSynced",
        "The log is written and never synced",
        patches=((Disk, "sync", _sync_nothing), (Disk, "rewrites_on_open", False)),
    ),
    Mutant(
        "SignsBeforeSync",
        "A signature leaves before the log is durable",
        patches=((Node, "_go_on", _sign_first),),
    ),
    Mutant(
        "RenameNotSynced",
        "The folder is not synced after a new segment was renamed into it",
        patches=((Disk, "renames_are_synced", False), (Disk, "rewrites_on_open", False)),
    ),
    Mutant(
        "FailedSyncTrusted",
        "What is read after a failed sync is held for durable",
        patches=((Disk, "rewrites_on_open", False),),
        is_quick=False,
    ),
    Mutant(
        "NoGuard",
        "Neither the guard nor the core remembers a vote after a restart",
        VotesAgainAfterRestart,
        ((SignGuard, "reserve", _ask_nothing), (SignGuard, "permit", _ask_nothing)),
    ),
    Mutant(
        "WeakCertificates",
        "Sync takes certificates below the quorum",
        patches=((tests.sim.node, "check_certificate", _accept_weak),),
    ),
    Mutant(
        "NoWindow",
        "Votes of any round are kept",
        patches=((votes, "ROUNDS_AHEAD_MAX", 1_000_000),),
    ),
    Mutant(
        "TimeoutsDoNotGrow",
        "Each round waits as long as the first",
        patches=((algorithm, "timeout_ms", lambda times, kind, _: times.timeout_vote_ms),),
        is_quick=False,
    ),
)


def hunt(mutant: Mutant, budget: int = BUDGET, first_seed: int = 0) -> tuple[int, str] | None:
    """Return after how many schedules `mutant` broke an invariant, and which; None if it lives."""
    with ExitStack() as stack:
        for target, name, bug in mutant.patches:
            stack.enter_context(patch.object(target, name, bug))
        for count in range(budget):
            try:
                World(first_seed + count, mutant.validators, core_class=mutant.core_class).run()
            except Violation as violation:
                return count + 1, str(violation)
    return None
