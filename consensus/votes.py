"""Verified messages of one height, counted by power, within fixed bounds.

Everything that gets here carries a valid signature of a validator. Bounds: one message per
(validator, kind, round); rounds from `current - ROUNDS_BEHIND_MAX` to `current +
ROUNDS_AHEAD_MAX`, plus the one old round that the current proposal refers to. Of rounds beyond
that only each validator's newest round number is kept, which is enough to jump there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from consensus.certificate import Certificate, certificate_of
from consensus.messages import NO_POL, Kind, Message, Proposal, Vote
from primitives.types import ZERO_HASH, Address, Hash32, Round
from primitives.validators import ValidatorSet

ROUNDS_AHEAD_MAX: Final = 64
ROUNDS_BEHIND_MAX: Final = 64
_PREVOTE: Final = Kind.PREVOTE


class Tally:
    """Votes of one kind in one round."""

    __slots__ = ("_power", "_supports", "by_validator", "quorum", "total")

    def __init__(self) -> None:
        self.by_validator: dict[Address, Vote] = {}
        self.total = 0
        self.quorum: Hash32 | None = None
        self._power: dict[Hash32, int] = {}
        self._supports: dict[tuple[Address, Hash32], Vote] = {}

    def add(self, vote: Vote, power: int, quorum_power: int) -> None:
        """Count `vote`; `quorum` becomes the hash (ZERO_HASH for nil) that reaches the quorum."""
        self.by_validator[vote.validator] = vote
        self.total += power
        counts, block_hash = self._power, vote.block_hash
        counted = counts[block_hash] = counts.get(block_hash, 0) + power
        if counted >= quorum_power and self.quorum is None:
            self.quorum = block_hash

    def add_support(self, vote: Vote, power: int, quorum_power: int) -> None:
        """Count a second, different vote of one validator for its own block as well."""
        self._supports[vote.validator, vote.block_hash] = vote
        counted = self._power[vote.block_hash] = self._power.get(vote.block_hash, 0) + power
        if counted >= quorum_power and self.quorum is None:
            self.quorum = vote.block_hash

    def has_support(self, vote: Message) -> bool:
        """Answer whether `vote` was counted by `add_support`."""
        return (vote.validator, vote.block_hash) in self._supports

    def size(self) -> int:
        """Return how many votes are kept."""
        return len(self.by_validator) + len(self._supports)

    def votes_for(self, block_hash: Hash32) -> list[Vote]:
        """Return the votes for one block, ascending by address."""
        known = (*self.by_validator.values(), *self._supports.values())
        votes = [vote for vote in known if vote.block_hash == block_hash]
        votes.sort(key=lambda vote: vote.validator)
        return votes


class RoundVotes:
    """One round: its proposal, its two tallies, and which of its rules have run already."""

    __slots__ = (
        "check_asked",
        "precommit_timer_set",
        "precommits",
        "prevote_timer_set",
        "prevotes",
        "proposal",
        "quorum_seen",
        "refused",
    )

    def __init__(self) -> None:
        self.proposal: Proposal | None = None
        self.prevotes = Tally()
        self.precommits = Tally()
        self.check_asked = False
        self.refused = False
        self.quorum_seen = False
        self.prevote_timer_set = False
        self.precommit_timer_set = False


class HeightVotes:
    """All that is known of one height."""

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self.precommit_quorums: dict[Round, Hash32] = {}
        self._powers = validators.powers
        self._quorum_power = validators.quorum_power
        self._honest_power = validators.honest_power
        self._rounds: dict[Round, RoundVotes] = {}
        self._newest: dict[Address, Round] = {}
        self._top = NO_POL

    def at(self, round_: Round) -> RoundVotes:
        """Return the votes of a round, making room for them when it is new."""
        found = self._rounds.get(round_)
        if found is None:
            found = self._rounds[round_] = RoundVotes()
        return found

    def rounds(self) -> Iterator[tuple[Round, RoundVotes]]:
        """Yield the kept rounds in the order in which they were first heard of."""
        return iter(self._rounds.items())

    def find(self, message: Message) -> Message | None:
        """Return the stored message of the same validator, kind and round."""
        votes = self._rounds.get(message.round)
        if votes is None:
            return None
        if isinstance(message, Vote):
            tally = votes.prevotes if message.kind is _PREVOTE else votes.precommits
            return tally.by_validator.get(message.validator)
        return votes.proposal

    def accepts(self, message: Message, current: Round) -> bool:
        """Answer whether the round of `message` is worth verifying while in round `current`."""
        if message.round >= current - ROUNDS_BEHIND_MAX:
            return True
        return message.kind is Kind.PREVOTE and self._pol_round(current) == message.round

    def is_support(self, message: Message, current: Round) -> bool:
        """Answer whether `message` is a prevote that the proposal of round `current` rests on.

        At most one block per proposal can ask for such votes, which bounds them.
        """
        if message.kind is not Kind.PREVOTE or self._pol_round(current) != message.round:
            return False
        proposal = self.at(current).proposal
        return (
            proposal is not None
            and proposal.block_hash == message.block_hash
            and not self.at(message.round).prevotes.has_support(message)
        )

    def store_support(self, vote: Vote) -> None:
        """Count a verified prevote beside the contradicting one of the same validator."""
        power = self._powers[vote.validator]
        self.at(vote.round).prevotes.add_support(vote, power, self._quorum_power)

    def _pol_round(self, current: Round) -> Round:
        votes = self._rounds.get(current)
        return NO_POL if votes is None or votes.proposal is None else votes.proposal.pol_round

    def store(self, message: Message, current: Round) -> bool:
        """Count a verified message that was not there before.

        Answers whether a rule may fit now that did not before: false for a vote that leaves its
        tally below the quorum while nobody is in a later round.
        """
        validator, round_ = message.validator, message.round
        if round_ > self._newest.get(validator, NO_POL):
            self._newest[validator] = round_
            if round_ > self._top:
                self._top = round_
        if round_ > current + ROUNDS_AHEAD_MAX:
            return True
        votes = self._rounds.get(round_)
        if votes is None:
            votes = self._rounds[round_] = RoundVotes()
        if isinstance(message, Proposal):
            votes.proposal = message
            return True
        quorum_power = self._quorum_power
        if message.kind is _PREVOTE:
            tally = votes.prevotes
            tally.add(message, self._powers[validator], quorum_power)
        else:
            tally = votes.precommits
            tally.add(message, self._powers[validator], quorum_power)
            if tally.quorum is not None and tally.quorum != ZERO_HASH:
                self.precommit_quorums[round_] = tally.quorum
        return self._top > current or tally.total >= quorum_power or tally.quorum is not None

    def has_heard(self, validator: Address) -> bool:
        """Answer whether any message of `validator` was counted in this height."""
        return validator in self._newest

    def jump_round(self) -> Round:
        """Return the highest round that more than a third of power has reached, -1 for none.

        The paper (L55) asks for f+1 messages of one round; messages of higher rounds count here
        for the lower ones too, because only each validator's newest messages are repeated.
        """
        power = 0
        for round_, validator in sorted(
            ((round_, each) for each, round_ in self._newest.items()), reverse=True
        ):
            power += self._powers[validator]
            if power >= self._honest_power:
                return round_
        return NO_POL

    def may_be_heard(self, round_: Round, votes: RoundVotes) -> bool:
        """Answer whether `has_quorum_of_any` can hold for a tally of `votes`: the quick look."""
        quorum_power = self._quorum_power
        return (
            self._top > round_
            or votes.prevotes.total >= quorum_power
            or votes.precommits.total >= quorum_power
        )

    def has_quorum_of_any(self, round_: Round, tally: Tally) -> bool:
        """Answer whether a quorum has voted in `tally` or has gone beyond `round_` (L34, L47).

        A validator that is already in a later round may never vote in this one; counting it only
        starts a timer, which is always safe, and keeps the others from waiting for ever.
        """
        if tally.total >= self._quorum_power:
            return True
        if self._top <= round_:
            return False
        gone = sum(
            self._powers[validator]
            for validator, newest in self._newest.items()
            if newest > round_ and validator not in tally.by_validator
        )
        return tally.total + gone >= self._quorum_power

    def certificate(self, round_: Round, block_hash: Hash32) -> Certificate:
        """Return the certificate of all precommits for `block_hash` known in `round_`."""
        return certificate_of(self.at(round_).precommits.votes_for(block_hash))

    def forget_before(self, current: Round) -> None:
        """Drop the rounds that lie more than ROUNDS_BEHIND_MAX before `current`."""
        for old in [each for each in self._rounds if each < current - ROUNDS_BEHIND_MAX]:
            del self._rounds[old]
            self.precommit_quorums.pop(old, None)

    def size(self) -> int:
        """Return how many messages are kept: what the bounds of this module limit."""
        size = 0
        for votes in self._rounds.values():
            size += votes.prevotes.size() + votes.precommits.size() + (votes.proposal is not None)
        return size


class FutureMessages:
    """Messages of the next height: the newest per (validator, kind), at most three per validator.

    They are verified already. What does not fit the next height's validators is dropped there.
    """

    def __init__(self) -> None:
        self._messages: dict[tuple[Address, Kind], Message] = {}

    def add(self, message: Message) -> None:
        """Keep `message` unless one of the same validator and kind, as new or newer, is kept."""
        place = message.validator, message.kind
        known = self._messages.get(place)
        if known is None or known.round < message.round:
            self._messages[place] = message

    def knows(self, message: Message) -> bool:
        """Answer whether adding `message` would change nothing."""
        known = self._messages.get((message.validator, message.kind))
        return known is not None and known.round >= message.round

    def take(self) -> list[Message]:
        """Return all and forget them: proposals first, then by round and address."""
        messages = sorted(
            self._messages.values(), key=lambda each: (each.kind, each.round, each.validator)
        )
        self._messages.clear()
        return messages

    def __len__(self) -> int:
        return len(self._messages)
