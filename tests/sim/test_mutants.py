"""Planted protocol bugs: the simulator must find each of them within its budget of schedules."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import tests.sim.node
from consensus.algorithm import Step
from consensus.certificate import Certificate
from consensus.messages import NO_POL, Kind, Message
from consensus.votes import RoundVotes
from consensus.wal import Record
from primitives.types import ZERO_HASH, Hash32, Height, Round
from primitives.validators import ValidatorSet
from tests.sim.chain import Violation
from tests.sim.coverage import Covered
from tests.sim.disk import Disk
from tests.sim.world import World

BUDGET = 1_500
"""Most schedules that a mutant may survive; most die within twenty."""


def find(core_class: type[Covered] = Covered, budget: int = BUDGET) -> str:
    """Return the first violation of a mutant; fail when it survives its budget."""
    for seed in range(budget):
        try:
            World(seed, 4, core_class=core_class).run()
        except Violation as violation:
            return str(violation)
    pytest.fail(f"the mutant survived {budget} schedules")


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


class WaitsForAllInRound(Covered):
    """Nobody follows a third of the others to a later round, nor counts them as heard."""

    def _set_vote_timers(self, votes: RoundVotes) -> bool:
        newest, self._votes._newest = self._votes._newest, {}
        done = super()._set_vote_timers(votes)
        self._votes._newest = newest
        return done

    def _jump(self) -> bool:
        if self._step is Step.WAIT:
            return super()._jump()
        self._may_jump = False
        return False


class NoRebroadcast(Covered):
    """What was lost stays lost."""

    def _rebroadcast(self) -> None:
        pass


class CountedBeforeVerified(Covered):
    """A vote counts before its signature was looked at."""

    def _receive(self, message: Message, *, verified: bool = False) -> None:
        super()._receive(message, verified=True)


class VotesAgainAfterRestart(Covered):
    """A restart forgets which votes it made, though the log knows."""

    def _restore(self, records: list[Record]) -> None:
        super()._restore(records)
        self._intended = (-1, 0)
        self._start_round(Round(0))


class PrecommitsWithoutQuorum(Covered):
    """A prevote is followed by a precommit, whatever the others prevoted."""

    def _vote(self, kind: Kind, block_hash: Hash32) -> None:
        super()._vote(kind, block_hash)
        if kind is Kind.PREVOTE and block_hash != ZERO_HASH:
            super()._vote(Kind.PRECOMMIT, block_hash)


class LogLosesLock(Covered):
    """A restart remembers its votes but not its lock."""

    def _restore(self, records: list[Record]) -> None:
        super()._restore([each for each in records if not hasattr(each, "locked")])


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


class FreshKeySigns(Covered):
    """A key without a past signs at once."""

    def _on_replayed(self, records: tuple[Record, ...]) -> None:
        object.__setattr__(self._settings, "may_sign_at_once", True)
        super()._on_replayed(records)


class DecidesTooEarly(Covered):
    """One precommit less than a quorum decides."""

    def _decide(self) -> bool:
        for round_, votes in self._votes.rounds():
            for block_hash in list(self._blocks):
                votes_for = votes.precommits.votes_for(block_hash)
                if len(votes_for) == 2:
                    self._votes.precommit_quorums[round_] = block_hash
        return super()._decide()


class ChecksNothing(Covered):
    """Every proposal is held for valid."""

    def _receive(self, message: Message, *, verified: bool = False) -> None:
        super()._receive(message, verified=verified)
        for proposal in self._unchecked.values():
            self._blocks[proposal.block_hash] = proposal.body


MUTANTS = (
    QuorumTooSmall,
    LockDropped,
    WaitsForAllInRound,
    NoRebroadcast,
    CountedBeforeVerified,
    VotesAgainAfterRestart,
    PrecommitsWithoutQuorum,
    LogLosesLock,
    PolNotAsked,
    FreshKeySigns,
    DecidesTooEarly,
    ChecksNothing,
)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.__name__)
def test_mutant_is_found(mutant: type[Covered]) -> None:
    """Each planted bug of the core breaks an invariant."""
    assert find(mutant)


@pytest.mark.slow
def test_missing_log_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that writes no log signs twice after a crash."""

    def append_nothing(disk: Disk, records: Sequence[Record]) -> int:
        return 0

    monkeypatch.setattr(Disk, "append", append_nothing)
    assert "double sign" in find()


@pytest.mark.slow
def test_log_without_sync_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is written but never synced loses votes, and the node signs twice."""

    def sync_nothing(disk: Disk, mark: int) -> None:
        return None

    monkeypatch.setattr(Disk, "sync", sync_nothing)
    assert "double sign" in find()


@pytest.mark.slow
def test_weak_certificate_check_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that takes certificates below the quorum commits forged blocks."""

    def accept(certificate: Certificate, *_: object, **__: object) -> None:
        if not certificate.signatures:
            raise Violation("empty")

    monkeypatch.setattr(tests.sim.node, "check_certificate", accept)
    assert find()
