"""The core, step by step: what it says, when it keeps silent, and what it remembers."""

from __future__ import annotations

import pytest

from consensus.algorithm import Settings, Step, timeout_ms
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
    Timer,
    TimerFired,
    TimerKind,
    VoteReceived,
    WorkAvailable,
)
from consensus.messages import Kind, Message, Vote, evidence_of
from consensus.proposer import proposer_of
from consensus.signing import verifier
from consensus.votes import ROUNDS_AHEAD_MAX
from consensus.wal import Checkpoint, Entered, Intent, Record, Valid
from primitives.errors import BrokenInvariant
from primitives.params import ConsensusTimes
from primitives.types import ZERO_HASH, Hash32, Height, Round
from tests.consensus.makers import (
    BLOCK_A,
    BLOCK_B,
    CHAIN,
    H1,
    KEYS,
    ME,
    R0,
    R1,
    proposal,
    signed,
    validator_set,
    vote,
)

VALIDATORS = validator_set(4)
P0 = [key.address for key in KEYS].index(proposer_of(VALIDATORS, H1, R0))
P1 = [key.address for key in KEYS].index(proposer_of(VALIDATORS, H1, R1))
MY_HEIGHT = Height(4)
"""Round 0 of this height is ours."""


class Bench:
    """A core with its log and a signer, driven by hand."""

    def __init__(
        self,
        index: int | None = 0,
        *,
        height: int = 1,
        log: tuple[Record, ...] = (),
        may_sign_at_once: bool = True,
    ) -> None:
        self.key = None if index is None else KEYS[index]
        settings = Settings(
            None if self.key is None else self.key.address,
            ConsensusTimes(),
            1_000,
            10_000,
            may_sign_at_once,
        )
        self.core = Consensus(settings, Height(height), VALIDATORS, verifier(CHAIN))
        self.log: list[Record] = list(log)
        self.now_ms = 0
        self.effects: list[Effect] = []
        self.feed(Replayed(log))

    def feed(self, *events: Input) -> list[Effect]:
        """Feed inputs, sign what is asked, and return all effects."""
        effects: list[Effect] = []
        for event in events:
            for effect in self.core.step(event, self.now_ms):
                effects.append(effect)
                if isinstance(effect, Persist):
                    self.log.append(effect.record)
                elif isinstance(effect, Sign) and self.key is not None:
                    assert Intent(effect.message) in self.log
                    effects += self.feed(Signed(signed(effect.message, self.key)))
        self.effects += effects
        return effects

    def votes(self, kind: Kind, block_hash: Hash32, *who: int, round_: int = 0) -> list[Effect]:
        return self.feed(*(VoteReceived(vote(each, kind, block_hash, round_)) for each in who))

    def propose_and_check(self, index: int, block: Hash32, round_: int = 0) -> list[Effect]:
        return self.feed(
            ProposalReceived(proposal(index, block, round_)),
            ProposalChecked(H1, Round(round_), block, True),
        )

    @property
    def step(self) -> Step:
        return self.core.status().step


def said(effects: list[Effect]) -> list[tuple[Kind, int, Hash32]]:
    return [
        (effect.message.kind, effect.message.round, effect.message.block_hash)
        for effect in effects
        if isinstance(effect, Broadcast) and effect.message.validator == ME
    ]


def of_type(effects: list[Effect], kind: type[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


def timer(kind: TimerKind, round_: int = 0, height: int = 1) -> TimerFired:
    return TimerFired(Timer(kind, Height(height), Round(round_)))


def test_us_is_not_the_first_proposer() -> None:
    """The table of this file: validator 0 is ours, rounds 0 and 1 of height 1 are others'."""
    assert 0 not in (P0, P1)
    assert proposer_of(VALIDATORS, MY_HEIGHT, R0) == ME


def test_the_good_case_decides_with_a_certificate_of_all_known_precommits() -> None:
    """Proposal, prevotes, precommits: one vote each, a lock, and a decision with four names."""
    bench = Bench()
    assert of_type(bench.feed(ProposalReceived(proposal(P0, BLOCK_A))), CheckProposal)
    effects = bench.feed(ProposalChecked(H1, R0, BLOCK_A, True))
    assert said(effects) == [(Kind.PREVOTE, 0, BLOCK_A)]
    effects = bench.votes(Kind.PREVOTE, BLOCK_A, 1, 2)
    assert said(effects) == [(Kind.PRECOMMIT, 0, BLOCK_A)]
    effects = bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2)
    (decide,) = of_type(effects, Decide)
    assert isinstance(decide, Decide)
    assert [name for name, _ in decide.certificate.signatures] == [key.address for key in KEYS[:3]]
    assert bench.votes(Kind.PRECOMMIT, BLOCK_A, 3) == []


def test_intent_lock_and_round_are_persisted_before_what_they_cover() -> None:
    """In the effects, a Persist stands directly before the Sign that it covers."""
    bench = Bench()
    bench.propose_and_check(P0, BLOCK_A)
    effects = bench.votes(Kind.PREVOTE, BLOCK_A, 1, 2)
    kinds = [type(effect) for effect in effects]
    assert kinds[kinds.index(Sign) - 2 : kinds.index(Sign) + 1] == [Persist, Persist, Sign]
    (valid,) = [record for record in bench.log if isinstance(record, Valid)]
    assert valid.locked
    assert valid.body == b"body"
    assert len(valid.votes) == 3
    bench.votes(Kind.PRECOMMIT, ZERO_HASH, 1, 2, 3)
    assert bench.log[-1] == Entered(H1, R1)


def test_refused_and_missing_proposals_get_nil() -> None:
    """An invalid block, and none at all, are prevoted nil; nil prevotes precommit nil."""
    bench = Bench()
    bench.feed(ProposalReceived(proposal(P0, BLOCK_A)))
    effects = bench.feed(ProposalChecked(H1, R0, BLOCK_A, False))
    assert said(effects) == [(Kind.PREVOTE, 0, ZERO_HASH)]
    silent = Bench()
    assert said(silent.feed(timer(TimerKind.PROPOSE))) == [(Kind.PREVOTE, 0, ZERO_HASH)]
    assert said(silent.votes(Kind.PREVOTE, ZERO_HASH, 1, 2)) == [(Kind.PRECOMMIT, 0, ZERO_HASH)]


def locked_in_round_1() -> Bench:
    bench = Bench()
    bench.propose_and_check(P0, BLOCK_A)
    bench.votes(Kind.PREVOTE, BLOCK_A, 1, 2)
    bench.votes(Kind.PRECOMMIT, ZERO_HASH, 1, 2, 3)
    assert bench.core.status().round == 1
    return bench


def test_a_lock_prevotes_nothing_else() -> None:
    """Locked on A, a fresh proposal of B gets nil, without waiting for its check."""
    bench = locked_in_round_1()
    effects = bench.feed(ProposalReceived(proposal(P1, BLOCK_B, 1)))
    assert said(effects) == [(Kind.PREVOTE, 1, ZERO_HASH)]


def test_a_later_quorum_moves_the_lock() -> None:
    """Locked on A in round 0, a prevote quorum of round 1 for B moves the lock to B (L36)."""
    bench = locked_in_round_1()
    bench.feed(ProposalReceived(proposal(P1, BLOCK_B, 1)))
    bench.feed(ProposalChecked(H1, R1, BLOCK_B, True))
    effects = bench.votes(Kind.PREVOTE, BLOCK_B, 1, 2, 3, round_=1)
    assert said(effects) == [(Kind.PRECOMMIT, 1, BLOCK_B)]
    assert bench.core.status().locked_round == 1


def test_a_known_block_is_not_checked_again_and_needs_its_quorum() -> None:
    """A re-proposal with pol_round 0 is prevoted once its prevote quorum is there (L28)."""
    bench = Bench()
    bench.propose_and_check(P0, BLOCK_A)
    bench.votes(Kind.PRECOMMIT, ZERO_HASH, 1, 2, 3)
    effects = bench.feed(ProposalReceived(proposal(P1, BLOCK_A, 1, pol_round=0)))
    assert not of_type(effects, CheckProposal)
    assert said(effects) == []
    assert said(bench.votes(Kind.PREVOTE, BLOCK_A, 1, 2)) == [(Kind.PREVOTE, 1, BLOCK_A)]


def test_a_double_voter_cannot_hide_a_quorum() -> None:
    """A prevote that contradicts a counted one still completes the proposal's quorum."""
    bench = Bench()
    bench.propose_and_check(P0, BLOCK_A)
    (report,) = of_type(
        bench.feed(
            VoteReceived(vote(3, Kind.PREVOTE, BLOCK_B)),
            VoteReceived(vote(3, Kind.PREVOTE, BLOCK_A)),
            VoteReceived(vote(3, Kind.PREVOTE, BLOCK_A)),
        ),
        ReportEvidence,
    )
    assert isinstance(report, ReportEvidence)
    bench.votes(Kind.PRECOMMIT, ZERO_HASH, 1, 2, 3)
    bench.votes(Kind.PREVOTE, BLOCK_A, 1)
    bench.feed(ProposalReceived(proposal(P1, BLOCK_A, 1, pol_round=0)))
    effects = bench.feed(VoteReceived(vote(3, Kind.PREVOTE, BLOCK_A)))
    assert said(effects) == [(Kind.PREVOTE, 1, BLOCK_A)]
    assert bench.feed(EvidenceReceived(report.evidence)) == []


def test_a_proposer_builds_then_repeats_its_valid_block() -> None:
    """The proposer asks for a block, proposes it, and later proposes a valid one again."""
    bench = Bench(height=MY_HEIGHT)
    assert of_type(bench.effects, BuildBlock) == [BuildBlock(MY_HEIGHT, R0)]
    effects = bench.feed(BlockBuilt(MY_HEIGHT, R0, BLOCK_A, b"mine"))
    assert said(effects) == [(Kind.PROPOSAL, 0, BLOCK_A), (Kind.PREVOTE, 0, BLOCK_A)]
    assert bench.feed(BlockBuilt(MY_HEIGHT, R0, BLOCK_B, b"again")) == []
    for kind, block in ((Kind.PREVOTE, BLOCK_A), (Kind.PRECOMMIT, ZERO_HASH)):
        bench.feed(*(VoteReceived(vote(each, kind, block, height=4)) for each in (1, 2, 3)))
    for round_ in (1, 2, 3):
        bench.feed(
            *(
                VoteReceived(vote(each, Kind.PRECOMMIT, ZERO_HASH, round_, height=4))
                for each in (1, 2, 3)
            )
        )
    again = [
        effect.message
        for effect in bench.effects
        if isinstance(effect, Broadcast) and effect.message.kind is Kind.PROPOSAL
    ][-1]
    assert (again.round, again.block_hash) == (4, BLOCK_A)
    relayed = of_type(bench.effects[-12:], Broadcast)
    assert len(relayed) >= 5


def test_a_decision_of_an_older_round_is_taken() -> None:
    """In round 1, three precommits of round 0 for a known block decide (L49)."""
    bench = Bench()
    bench.propose_and_check(P0, BLOCK_A)
    bench.feed(timer(TimerKind.PRECOMMIT))
    assert bench.core.status().round == 1
    assert of_type(bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3), Decide)


def test_a_quorum_for_an_unknown_block_asks_for_sync() -> None:
    """Precommits without the block do not decide; the next rebroadcast asks for the block."""
    bench = Bench()
    assert not of_type(bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3), Decide)
    assert RequestSync(H1) in bench.feed(timer(TimerKind.REBROADCAST))


def test_jump_goes_where_a_third_is_however_far() -> None:
    """One validator far ahead is not followed; two are, even beyond the window of rounds."""
    bench = Bench()
    far = ROUNDS_AHEAD_MAX + 100
    bench.votes(Kind.PREVOTE, BLOCK_A, 1, round_=far)
    assert bench.core.status().round == 0
    assert bench.core.kept_messages() == 0
    bench.votes(Kind.PREVOTE, BLOCK_A, 2, round_=far - 1)
    assert bench.core.status().round == far - 1


def test_nothing_unverified_or_unknown_is_kept() -> None:
    """A wrong signature, a stranger, a proposal out of turn: no trace, no effect."""
    bench = Bench()
    good = vote(1, Kind.PREVOTE, BLOCK_A)
    forged = Vote(Kind.PREVOTE, H1, R0, BLOCK_A, KEYS[2].address, good.signature)
    assert bench.feed(VoteReceived(forged)) == []
    assert bench.feed(VoteReceived(vote(5, Kind.PREVOTE, BLOCK_A))) == []
    assert bench.feed(ProposalReceived(proposal(P1, BLOCK_A, 0))) == []
    assert bench.core.kept_messages() == 0


def test_contradictions_are_reported_once() -> None:
    """Two precommits of one place are evidence, once; foreign evidence is checked first."""
    bench = Bench()
    one, other = vote(1, Kind.PRECOMMIT, BLOCK_A), vote(1, Kind.PRECOMMIT, BLOCK_B)
    effects = bench.feed(VoteReceived(one), VoteReceived(other), VoteReceived(other))
    assert of_type(effects, ReportEvidence) == [ReportEvidence(evidence_of(one, other))]
    fake = Vote(Kind.PREVOTE, H1, R0, BLOCK_B, KEYS[2].address, b"\1" * 65)
    false_evidence = evidence_of(vote(2, Kind.PREVOTE, BLOCK_A), fake)
    assert bench.feed(EvidenceReceived(false_evidence)) == []


def test_heights_are_paced_from_start_to_start() -> None:
    """The next height waits 10 s when idle, 1 s with work, and no longer than a proposal."""
    bench = Bench()
    bench.propose_and_check(P0, BLOCK_A)
    bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3)
    bench.now_ms = 400
    effects = bench.feed(Committed(H1, BLOCK_A, VALIDATORS))
    start = Timer(TimerKind.START, Height(2), R0)
    assert SetTimer(start, 9_600) in effects
    assert bench.step is Step.WAIT
    assert bench.feed(WorkAvailable()) == [SetTimer(start, 600)]
    bench.now_ms = 1_000
    assert SetTimer(Timer(TimerKind.PROPOSE, Height(2), R0), 500) in bench.feed(TimerFired(start))


def test_the_next_height_starts_at_once_by_a_proposal_or_a_third() -> None:
    """Messages of the next height are kept until it begins, and then begin it."""
    turn = [key.address for key in KEYS].index(proposer_of(VALIDATORS, Height(2), R0))
    early: tuple[tuple[Message, ...], ...] = (
        (proposal(turn, BLOCK_B, height=2),),
        tuple(vote(each, Kind.PREVOTE, ZERO_HASH, height=2) for each in (1, 2)),
    )
    for messages in early:
        bench = Bench()
        bench.propose_and_check(P0, BLOCK_A)
        for message in messages:
            event: Input = (
                VoteReceived(message) if isinstance(message, Vote) else ProposalReceived(message)
            )
            assert bench.feed(event) == [RequestSync(H1)]
        bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3)
        bench.feed(Committed(H1, BLOCK_A, VALIDATORS))
        assert (bench.core.height, bench.step) == (2, Step.PROPOSE)
    lone = Bench()
    lone.propose_and_check(P0, BLOCK_A)
    lone.feed(VoteReceived(vote(1, Kind.PREVOTE, ZERO_HASH, height=2)))
    lone.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3)
    lone.feed(Committed(H1, BLOCK_A, VALIDATORS))
    assert lone.step is Step.WAIT


def test_a_restart_says_the_same_again_and_nothing_else() -> None:
    """From any prefix of its log the core stands by its votes, its lock and its round.

    Kills: restoring the round but not the step, dropping the lock, voting again after a restart.
    """
    bench = locked_in_round_1()
    bench.feed(timer(TimerKind.PROPOSE, 1))
    for cut in range(1, len(bench.log) + 1):
        log = tuple(bench.log[:cut])
        again = Bench(log=log)
        intents = [record.message for record in log if isinstance(record, Intent)]
        for round_ in (0, 1):
            again.feed(timer(TimerKind.PROPOSE, round_), timer(TimerKind.PREVOTE, round_))
        for record in again.log[cut:]:
            if isinstance(record, Intent):
                places = {(each.round, each.kind): each for each in intents}
                place = record.message.round, record.message.kind
                assert places.get(place, record.message) == record.message
    status = Bench(log=tuple(bench.log)).core.status()
    assert (status.round, status.step, status.locked_round) == (1, Step.PREVOTE, 0)


def test_a_restored_lock_can_be_decided_and_proposed() -> None:
    """After a restart the body comes back from the log: it is checked, then decided."""
    log = tuple(locked_in_round_1().log)
    bench = Bench(log=log)
    assert CheckProposal(H1, R0, BLOCK_A, b"body", ME) in bench.effects
    assert not of_type(bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3), Decide)
    assert of_type(bench.feed(ProposalChecked(H1, R0, BLOCK_A, True)), Decide)


def test_a_log_ahead_of_the_store_keeps_the_key_silent() -> None:
    """When the block store is older than the log, heights below the log's are only watched."""
    bench = Bench(log=(Checkpoint(Height(9), 0),))
    bench.feed(timer(TimerKind.PROPOSE))
    assert not of_type(bench.effects, Sign)
    assert not of_type(bench.effects, Persist)
    bench.feed(Committed(Height(8), BLOCK_A, VALIDATORS))
    assert bench.core.status().is_signing


def test_a_key_without_a_past_watches_two_heights() -> None:
    """An empty log keeps the key silent until two heights were decided before its eyes."""
    bench = Bench(may_sign_at_once=False)
    blocks = [Hash32(bytes([each]) * 32) for each in (1, 2)]
    for height, block in enumerate(blocks, start=1):
        assert bench.core.status().is_watching
        turn = [key.address for key in KEYS].index(proposer_of(VALIDATORS, Height(height), R0))
        bench.feed(
            ProposalReceived(proposal(turn, block, height=height)),
            ProposalChecked(Height(height), R0, block, True),
            *(VoteReceived(vote(each, Kind.PRECOMMIT, block, height=height)) for each in (1, 2, 3)),
            Committed(Height(height), block, VALIDATORS, True),
        )
    assert not of_type(bench.effects, Sign)
    assert bench.core.status().is_signing
    assert bench.log == [Checkpoint(Height(each), 3 - each) for each in (1, 2, 3)]


def test_synced_heights_are_not_watched_heights() -> None:
    """Blocks that came by sync do not end the watching."""
    bench = Bench(may_sign_at_once=False)
    bench.feed(*(Committed(Height(each), BLOCK_A, VALIDATORS) for each in range(1, 9)))
    assert bench.core.status().is_watching


def test_an_observer_follows_and_never_signs() -> None:
    """Without a key the core decides all the same, and writes no log."""
    bench = Bench(None)
    bench.propose_and_check(P0, BLOCK_A)
    bench.votes(Kind.PREVOTE, BLOCK_A, 1, 2, 3)
    assert of_type(bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3), Decide)
    assert not of_type(bench.effects, Sign) + of_type(bench.effects, Persist)


def test_the_runtime_must_keep_the_rules() -> None:
    """Inputs before Replayed, two of them, or a foreign commit are broken invariants."""
    settings = Settings(ME, ConsensusTimes(), 1, 1, True)
    core = Consensus(settings, H1, VALIDATORS, verifier(CHAIN))
    with pytest.raises(BrokenInvariant):
        core.step(WorkAvailable(), 0)
    core.step(Replayed(()), 0)
    with pytest.raises(BrokenInvariant):
        core.step(Replayed(()), 0)
    bench = Bench()
    bench.propose_and_check(P0, BLOCK_A)
    bench.votes(Kind.PRECOMMIT, BLOCK_A, 1, 2, 3)
    with pytest.raises(BrokenInvariant):
        bench.feed(Committed(H1, BLOCK_B, VALIDATORS))
    with pytest.raises(BrokenInvariant):
        bench.feed(Signed(vote(1, Kind.PREVOTE, BLOCK_A)))


def test_timeouts_grow_in_a_line_up_to_the_cap() -> None:
    """500, 750, ... and never above ten seconds."""
    waits = [timeout_ms(ConsensusTimes(), TimerKind.PROPOSE, Round(each)) for each in range(60)]
    assert waits[:3] == [500, 750, 1_000]
    assert max(waits) == waits[-1] == 10_000


def test_clock_that_goes_back_cannot_stretch_a_wait() -> None:
    """However far the clock jumps back while a height waits, it begins within one period.

    Planted bug that this kills: a delay computed from the clock alone, so that a validator alone
    stood still for ten minutes after its clock went back by ten.
    """
    bench = Bench(0, height=1)
    bench.core.step(Committed(H1, BLOCK_A, VALIDATORS), 600_000)
    effects = bench.core.step(WorkAvailable(), 0)
    delays = [each.delay_ms for each in effects if isinstance(each, SetTimer)]
    assert delays == [1_000]
