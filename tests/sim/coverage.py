"""Counts which roads through the protocol the schedules took."""

from __future__ import annotations

from collections import Counter

from consensus.algorithm import Step
from consensus.core import Consensus
from consensus.events import Committed
from consensus.messages import NO_POL, Evidence, Message, Proposal
from consensus.votes import RoundVotes
from consensus.wal import Record
from primitives.types import ZERO_HASH, Address

LINES = (
    "decided in round 0",
    "decided in a later round",
    "decided by precommits of an earlier round",
    "jumped to a round by f+1",
    "lock taken",
    "lock moved to another block by a later quorum",
    "prevoted nil because of a lock",
    "prevoted against the lock thanks to a later prevote quorum",
    "valid value taken without lock",
    "proposed a valid value again",
    "did not wait for an absent proposer",
    "absent proposer heard again",
    "height started by a proposal",
    "height started by f+1 votes",
    "message kept for the next height",
    "recovered votes from the log",
    "recovered a lock from the log",
    "recovered a proposal from the log",
    "log lost unsynced records",
    "log torn inside a record",
    "evidence reported",
    "second vote counted for a proposal's quorum",
    "block synced from a peer",
    "forged certificate refused",
    "key without a past watched, then signed",
    "all nodes lost power",
    "first to decide cut off, the others stopped",
    "observer decided",
    "log lost a rename",
    "log kept later writes behind a hole",
    "disk full: the node stopped",
    "disk slow",
    "sync failed: the node stopped",
    "block refused: ahead of the wall clock",
    "monotonic clock jumped",
    "message delivered twice",
    "validator set changed",
    "validator left the set",
    "validator came into the set",
    "votes forged in another's name",
    "messages held back and sent late",
    "re-proposal without its prevotes",
    "proposed two blocks for one round",
    "flooded with far rounds and heights",
)


class Covered(Consensus):
    """The core under test, with counters beside it; it decides exactly as its parent does."""

    seen: Counter[str]

    def _decide(self) -> bool:
        decided = super()._decide()
        if decided:
            certificate = self._effects[-1].certificate  # type: ignore[union-attr]  # Decide
            round_ = certificate.round
            self.seen["decided in round 0" if round_ == 0 else "decided in a later round"] += 1
            if round_ < self._round:
                self.seen["decided by precommits of an earlier round"] += 1
            if self._settings.me is None:
                self.seen["observer decided"] += 1
        return decided

    def _jump(self) -> bool:
        was_waiting = self._step is Step.WAIT
        jumped = super()._jump()
        if jumped and not was_waiting:
            self.seen["jumped to a round by f+1"] += 1
        elif jumped:
            by = "f+1 votes" if self._votes.jump_round() >= 0 else "a proposal"
            self.seen["height started by " + by] += 1
        return jumped

    def _open_round(self) -> None:
        super()._open_round()
        proposer = self._schedule.proposer(self._height, self._round)
        self.seen["did not wait for an absent proposer"] += proposer in self._absent

    def _note_presence(self, validator: Address) -> None:
        super()._note_presence(validator)
        self.seen["absent proposer heard again"] += 1

    def _lock(self, votes: RoundVotes) -> bool:
        locked_round, locked_hash = self._locked_round, self._locked_hash
        done = super()._lock(votes)
        if done and self._locked_round != locked_round:
            self.seen["lock taken"] += 1
            if locked_hash not in (ZERO_HASH, self._locked_hash):
                self.seen["lock moved to another block by a later quorum"] += 1
        elif done:
            self.seen["valid value taken without lock"] += 1
        return done

    def _prevote(self, votes: RoundVotes) -> bool:
        done = super()._prevote(votes)
        proposal = votes.proposal
        if not done or proposal is None:
            return done
        if self._locked_hash not in (ZERO_HASH, proposal.block_hash):
            is_later = proposal.pol_round >= self._locked_round
            self.seen[
                "prevoted against the lock thanks to a later prevote quorum"
                if is_later
                else "prevoted nil because of a lock"
            ] += 1
        return done

    def _sign(self, message: Message) -> None:
        super()._sign(message)
        if isinstance(message, Proposal) and message.pol_round != NO_POL:
            self.seen["proposed a valid value again"] += 1

    def _restore(self, records: list[Record]) -> None:
        super()._restore(records)
        self.seen["recovered votes from the log"] += 1
        self.seen["recovered a lock from the log"] += self._locked_round != NO_POL
        self.seen["recovered a proposal from the log"] += any(
            isinstance(getattr(record, "message", None), Proposal) for record in records
        )

    def _receive_elsewhere(self, message: Message) -> None:
        before = len(self._future)
        super()._receive_elsewhere(message)
        self.seen["message kept for the next height"] += len(self._future) > before

    def _receive_again(self, known: Message, message: Message) -> None:
        before, self._has_changed = self._has_changed, False
        super()._receive_again(known, message)
        self.seen["second vote counted for a proposal's quorum"] += self._has_changed
        self._has_changed = before or self._has_changed

    def _on_committed(self, event: Committed) -> None:
        was_watching = self._watch_left > 0
        super()._on_committed(event)
        if was_watching and not self._watch_left:
            self.seen["key without a past watched, then signed"] += 1

    def _report(self, evidence: Evidence) -> None:
        super()._report(evidence)
        self.seen["evidence reported"] += 1


def table(seen: Counter[str]) -> str:
    """Return the coverage as lines of text, in a fixed order."""
    return "\n".join(f"  {seen[line]:>9,}  {line}" for line in LINES)
