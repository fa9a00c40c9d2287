"""A validator that lies: forged and contradicting votes, double proposals, false certificates.

It has its own key and everybody's words, but nobody else's signature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from consensus.certificate import Certificate
from consensus.events import Input, ProposalReceived, VoteReceived
from consensus.messages import Kind, Message, Proposal, Vote
from consensus.proposer import proposer_of
from primitives.types import ZERO_HASH, Address, Hash32, Height, Round
from tests.sim.node import Node, received, with_signature

if TYPE_CHECKING:
    from tests.sim.world import World

MISCHIEF = 0.25
GARBAGE = bytes([0xEE]) * 65


class Forger(Node):
    """Takes part without a core: it answers what it hears with mischief."""

    def __init__(self, world: World, index: int, address: Address) -> None:
        super().__init__(world, index, address)
        self.is_honest = False
        self._me = address
        self._heard: Hash32 = ZERO_HASH
        self._top = 0
        self._turns: set[tuple[int, int]] = set()

    def start(self) -> None:
        """Listen."""
        self.is_up = True

    def crash(self) -> None:
        """Stop listening."""
        self.is_up = False
        self.life += 1

    def wipe(self) -> None:
        """There is nothing to lose."""
        self.crash()

    @property
    def claimed_height(self) -> int:
        """One more than anybody has."""
        return self._top + 1

    def serve(self, height: int) -> Certificate | None:
        """Return a certificate with one good signature and a forged rest."""
        block = self.world.blocks.build(height, ZERO_HASH)
        vote = self._vote(Kind.PRECOMMIT, Height(height), Round(0), block.hash)
        members = self.world.ledger.validators.validators
        signatures = tuple(
            (each.address, vote.signature if each.address == self._me else GARBAGE)
            for each in members
        )
        if self.world.random.random() < 0.5:
            signatures = ((self._me, vote.signature),)
        return Certificate(Height(height), Round(0), block.hash, signatures)

    def take(self, event: Input) -> None:
        """Hear a message; now and then answer."""
        if not isinstance(event, VoteReceived | ProposalReceived):
            return
        message = event.vote if isinstance(event, VoteReceived) else event.proposal
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
        choice = random.randrange(6)
        if choice == 0:
            kind = random.choice((Kind.PREVOTE, Kind.PRECOMMIT))
            for peer in self.world.nodes:
                block_hash = random.choice((ZERO_HASH, self._heard))
                self._tell(peer, self._vote(kind, height, round_, block_hash))
        elif choice == 1:
            self._forge(message)
        elif choice == 2:
            self._propose(message, Round(round_ + random.randint(0, 1)))
        elif choice == 3 and isinstance(message, Proposal):
            self._send_all(replace(message, body=message.body + b"x"))
        elif choice == 4:
            far = Round(round_ + random.choice((1, 70, 1_000)))
            self._send_all(self._vote(Kind.PREVOTE, height, far, self._heard))
        else:
            for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
                self._send_all(self._vote(kind, height, round_, message.block_hash))

    def _forge(self, message: Message) -> None:
        """Say in another's name what it never said, and repeat others' words late."""
        random = self.world.random
        victim = random.choice(self.world.ledger.validators.validators).address
        kind = random.choice((Kind.PREVOTE, Kind.PRECOMMIT))
        block_hash = random.choice((ZERO_HASH, self._heard))
        forged = Vote(kind, message.height, message.round, block_hash, victim, GARBAGE)
        self._send_all(forged)
        if isinstance(message, Vote):
            self._send_all(replace(message, block_hash=block_hash))

    def _propose(self, message: Message, round_: Round) -> None:
        """Propose two blocks, when it is the turn of this validator, or when it is not."""
        random = self.world.random
        height = message.height
        decided = self.world.ledger.decided
        parent = decided.get(height - 1, ZERO_HASH)
        is_turn = proposer_of(self.world.ledger.validators, height, round_) == self._me
        if not is_turn and random.random() < 0.95:
            return
        blocks = [
            self.world.blocks.build(height, parent, is_valid=random.random() < 0.8)
            for _ in range(random.randint(1, 2))
        ]
        pol_round = random.choice((Round(round_ - 1), Round(random.randint(-1, round_))))
        for peer in self.world.nodes:
            block = random.choice(blocks)
            unsigned = Proposal(height, round_, pol_round, block.hash, block.body, self._me)
            self._tell(peer, with_signature(unsigned, self.world.signatures.sign(unsigned)))
            for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
                self._tell(peer, self._vote(kind, height, round_, block.hash))

    def _vote(self, kind: Kind, height: Height, round_: Round, block_hash: Hash32) -> Vote:
        unsigned = Vote(kind, height, round_, block_hash, self._me)
        return replace(unsigned, signature=self.world.signatures.sign(unsigned))

    def _tell(self, peer: Node, message: Message) -> None:
        if peer is not self:
            self.world.network.send(self, peer, received(message))

    def _send_all(self, message: Message) -> None:
        self.world.network.broadcast(self, received(message))
