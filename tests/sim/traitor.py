"""Validators that lie: forged and contradicting votes, false proposals and certificates, floods.

They have their own key and everybody's words, but nobody else's signature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from consensus.certificate import Certificate
from consensus.events import Input, ProposalReceived, VoteReceived
from consensus.messages import NO_POL, Kind, Message, Proposal, Vote
from consensus.proposer import proposer_of
from primitives.types import ZERO_HASH, Address, Hash32, Height, Round
from tests.sim.chain import with_signature
from tests.sim.node import Node

if TYPE_CHECKING:
    from tests.sim.world import World

MISCHIEF = 0.2
LATE_MS_MAX = 3_000
HELD_MAX = 30
GARBAGE = bytes([0xEE]) * 65
FLOOD_MS = 20
FLOOD_MESSAGES = 6
NOBODY = Address(bytes([0xDD]) * 20)


class Forger(Node):
    """Takes part without a core: it answers what it hears with mischief."""

    def __init__(self, world: World, index: int, address: Address) -> None:
        super().__init__(world, index, address)
        self.is_honest = False
        self._me = address
        self._heard: Hash32 = ZERO_HASH
        self._top = 0
        self._newest: Message | None = None
        self._held: list[Message] = []
        self._turns: set[tuple[int, int]] = set()

    def start(self, _: object = None) -> None:
        """Listen."""
        self.is_up = True

    def kill(self) -> None:
        """Stop listening."""
        self.is_up = False
        self.life += 1
        self.arriving.clear()

    def wipe(self) -> None:
        """There is nothing to lose."""
        self.kill()

    @property
    def claimed_height(self) -> int:
        """One more than anybody has."""
        return self._top + 1

    def serve(self, height: int) -> Certificate | None:
        """Return a certificate with one good signature and a forged rest."""
        blocks, members = self.world.blocks, self.world.ledger.validators(height)
        block = blocks.build(height, ZERO_HASH, 0, members)
        vote = self._vote(Kind.PRECOMMIT, Height(height), Round(0), block.hash)
        signatures = tuple(
            (each.address, vote.signature if each.address == self._me else GARBAGE)
            for each in members.validators
        )
        if self.world.random.random() < 0.5:
            signatures = ((self._me, vote.signature),)
        return Certificate(Height(height), Round(0), block.hash, signatures)

    def arrive(self, at_ms: int) -> None:
        """Hear messages; now and then answer."""
        for event in self.arriving.pop(at_ms):
            self._hear(event)

    def _hear(self, event: Input) -> None:
        if not isinstance(event, (VoteReceived, ProposalReceived)):
            return
        message = event.vote if isinstance(event, VoteReceived) else event.proposal
        self._newest = message
        self._top = max(self._top, message.height - 1)
        if message.block_hash != ZERO_HASH:
            self._heard = message.block_hash
        turn = message.height, message.round + 1
        if turn not in self._turns:
            self._turns.add(turn)
            self._propose(message, Round(turn[1]))
        elif self.world.random.random() < MISCHIEF:
            self._act(message)

    def _act(self, message: Message) -> None:
        random = self.world.random
        height, round_ = message.height, message.round
        match int(random.random() * 8):
            case 0:
                kind = random.choice((Kind.PREVOTE, Kind.PRECOMMIT))
                for peer in self.world.nodes:
                    block_hash = random.choice((ZERO_HASH, self._heard))
                    self._tell(peer, self._vote(kind, height, round_, block_hash))
            case 1:
                self._forge(message)
            case 2:
                self._propose(message, Round(round_ + random.randint(0, 1)))
            case 3 if isinstance(message, Proposal):
                self._send_all(replace(message, body=message.body + b"x"))
            case 4:
                far = Round(round_ + random.choice((1, 70, 1_000)))
                self._send_all(self._vote(Kind.PREVOTE, height, far, self._heard))
            case 5:
                self._hold(message)
            case 6:
                self._propose_again(message)
            case _:
                for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
                    self._send_all(self._vote(kind, height, round_, message.block_hash))

    def _forge(self, message: Message) -> None:
        """Say in another's name what it never said, and repeat others' words late."""
        random = self.world.random
        self.world.seen["votes forged in another's name"] += 1
        victim = random.choice(self.world.ledger.validators(message.height).validators).address
        kind = random.choice((Kind.PREVOTE, Kind.PRECOMMIT))
        block_hash = random.choice((ZERO_HASH, self._heard))
        height = Height(message.height + (random.random() < 0.3))
        forged = Vote(kind, height, message.round, block_hash, victim, GARBAGE)
        self._send_all(forged)
        if isinstance(message, Vote):
            self._send_all(replace(message, block_hash=block_hash))
            self._send_all(replace(message, signature=self._vote_like(message).signature))

    def _vote_like(self, message: Vote) -> Message:
        return self._vote(message.kind, message.height, message.round, message.block_hash)

    def _hold(self, message: Message) -> None:
        """Keep own and others' words back, and say them all when they are long past."""
        for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
            self._held.append(self._vote(kind, message.height, message.round, message.block_hash))
        self._held.append(message)
        if len(self._held) == 3:
            self._later(int(self.world.random.random() * LATE_MS_MAX), self._release)
        del self._held[HELD_MAX:]

    def _release(self, _: object) -> None:
        self.world.seen["messages held back and sent late"] += 1
        held, self._held = self._held, []
        for message in held:
            self._send_all(message)

    def _propose_again(self, message: Message) -> None:
        """Claim a prevote quorum that never was, for a block that others may have heard of."""
        round_ = Round(message.round + 1)
        members = self.world.ledger.validators(message.height)
        is_turn = proposer_of(members, message.height, round_) == self._me
        block = self.world.blocks.get(self._heard)
        if not is_turn or block is None:
            return
        self.world.seen["re-proposal without its prevotes"] += 1
        pol_round = Round(int(self.world.random.random() * round_))
        self._send_all(
            self._signed(
                Proposal(message.height, round_, pol_round, block.hash, block.body, self._me)
            )
        )

    def _propose(self, message: Message, round_: Round) -> None:
        """Propose two blocks, when it is the turn of this validator, or when it is not."""
        random = self.world.random
        height = message.height
        members = self.world.ledger.validators(height)
        parent = self.world.ledger.decided.get(height - 1, ZERO_HASH)
        is_turn = proposer_of(members, height, round_) == self._me
        if not is_turn and random.random() < 0.95:
            return
        blocks = [
            self.world.blocks.build(height, parent, 0, members, is_valid=random.random() < 0.8)
            for _ in range(random.randint(1, 2))
        ]
        self.world.seen["proposed two blocks for one round"] += len(blocks) == 2
        pol_round = random.choice((NO_POL, Round(round_ - 1), Round(random.randint(-1, round_))))
        for peer in self.world.nodes:
            block = random.choice(blocks)
            self._tell(
                peer,
                self._signed(Proposal(height, round_, pol_round, block.hash, block.body, self._me)),
            )
            for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
                self._tell(peer, self._vote(kind, height, round_, block.hash))

    def _vote(self, kind: Kind, height: Height, round_: Round, block_hash: Hash32) -> Message:
        return self._signed(Vote(kind, height, round_, block_hash, self._me))

    def _signed(self, message: Message) -> Message:
        return self.world.signatures.signed(message)

    def _tell(self, peer: Node, message: Message) -> None:
        if peer is not self:
            self.world.network.send(self, peer, message)

    def _send_all(self, message: Message) -> None:
        self.world.network.broadcast(self, message)


class Flooder(Forger):
    """Sends without end: far rounds, far heights, strangers' votes, garbage, repetitions."""

    def start(self, _: object = None) -> None:
        """Listen, and begin to flood."""
        if not self.is_up:
            super().start()
            self._later(FLOOD_MS, self._flood)

    def _hear(self, event: Input) -> None:
        if isinstance(event, (VoteReceived, ProposalReceived)):
            message = event.vote if isinstance(event, VoteReceived) else event.proposal
            self._newest = message
            self._top = max(self._top, message.height - 1)

    def _flood(self, _: object) -> None:
        self._later(FLOOD_MS, self._flood)
        newest = self._newest
        if newest is None:
            return
        self.world.seen["flooded with far rounds and heights"] += 1
        random = self.world.random
        for _ in range(FLOOD_MESSAGES):
            kind = random.choice((Kind.PREVOTE, Kind.PRECOMMIT))
            round_ = Round(newest.round + int(random.random() ** 4 * 2_000))
            height = Height(newest.height + int(random.random() * 3) * int(random.random() * 50))
            block_hash = Hash32(random.randbytes(32))
            said_by = NOBODY if random.random() < 0.2 else self._me
            vote: Message = Vote(kind, height, round_, block_hash, said_by)
            match int(random.random() * 4):
                case _ if said_by == NOBODY:
                    vote = with_signature(vote, GARBAGE)
                case 0:
                    vote = with_signature(vote, GARBAGE)
                case 1:
                    vote = newest
                case _:
                    vote = self._signed(vote)
            self._send_all(vote)
