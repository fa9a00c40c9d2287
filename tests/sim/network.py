"""Links between nodes: partitions, one-way cuts, loss, delay, doubles, and muted message kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consensus.events import EvidenceReceived, Input, ProposalReceived, VoteReceived
from consensus.messages import Evidence, Kind, Message, Proposal, Vote
from tests.sim.plan import Act, Fault

if TYPE_CHECKING:
    from tests.sim.node import Node
    from tests.sim.world import World

LOSS_MAX = 0.6
DELAY_MS_MIN = 5
DELAY_MS_MAX = 4_000
DELAY_MS_HEALED = 50
GRID_MS = 8
"""Messages that reach a node within so long arrive together, as frames of one read do."""
UNMUTE = 0.4
"""Share of the mutings that end the earlier ones."""


class Network:
    """Delivers messages late, twice or never; after `heal` within DELAY_MS_HEALED."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._blocked: set[tuple[int, int]] = set()
        self._muted: dict[tuple[int, Kind], None] = {}
        self._alone: set[int] = set()
        self.exile: set[int] = set()
        self._loss = 0.0
        self._double = 0.0
        self.delay_ms = DELAY_MS_HEALED
        self._is_healthy = True

    def _look(self) -> None:
        """Note whether all messages pass, so that nothing needs to be asked for each."""
        self._is_healthy = not (
            self._blocked or self.exile or self._muted or self._loss or self._double
        )

    def banish(self, index: int) -> None:
        """Cut one node off until the heal."""
        self.exile.add(index)
        self._look()

    def apply(self, fault: Fault) -> None:
        """Let one fault happen."""
        self._change(fault)
        self._look()

    def _change(self, fault: Fault) -> None:
        everyone = range(len(self._world.nodes))
        inside = set(fault.nodes)
        match fault.act:
            case Act.SPLIT:
                self._blocked = {
                    (a, b) for a in everyone for b in everyone if (a in inside) != (b in inside)
                }
            case Act.ONE_WAY:
                self._blocked = {
                    (a, b) for a in everyone for b in everyone if a in inside and b not in inside
                }
            case Act.JOIN:
                self._blocked = set()
            case Act.LOSSY:
                self._loss = fault.amount * LOSS_MAX
            case Act.SLOW:
                self.delay_ms = int(DELAY_MS_MIN + fault.amount**2 * DELAY_MS_MAX)
            case Act.DOUBLE:
                self._double = fault.amount * 0.3
            case Act.MUTE:
                if fault.amount < UNMUTE:
                    self._muted = {}
                kind = Kind(1 + int(fault.amount * 1_000) % 3)
                self._muted |= {(each, kind): None for each in fault.nodes}
            case Act.SHUFFLE:
                self._shuffle(fault.amount)
            case _:
                pass

    def _shuffle(self, density: float) -> None:
        """Let some nodes miss some kinds of messages, and most learn nothing of peers' heads."""
        random = self._world.random
        everyone = range(len(self._world.nodes))
        self._muted = {}
        for kind in Kind:
            if random.random() < density:
                some = random.sample(everyone, random.randint(1, len(everyone)))
                self._muted |= {(each, kind): None for each in some}
        self._alone = {each for each in everyone if random.random() < 0.8}

    def hush(self) -> None:
        """Let one node miss some kinds of messages: it will know of no quorum."""
        random = self._world.random
        self._muted = {}
        one = int(random.random() * len(self._world.nodes))
        kinds = random.choice(
            ((Kind.PROPOSAL,), (Kind.PREVOTE,), (Kind.PROPOSAL, Kind.PREVOTE), tuple(Kind))
        )
        self._muted = {(one, kind): None for kind in kinds}
        self._look()

    def end_hush(self) -> None:
        """Let all messages through again."""
        self._muted = {}
        self._look()

    def heal(self) -> None:
        """End all faults of the links."""
        self._blocked, self._muted, self._alone, self.exile = set(), {}, set(), set()
        self._loss = self._double = 0.0
        self.delay_ms = DELAY_MS_HEALED
        self._look()

    def broadcast(self, source: Node, message: Message | Evidence) -> None:
        """Send to every other node."""
        event = received(message)
        world = self._world
        world.messages += source.is_honest
        is_healthy = self._is_healthy
        random, delay_ms, now_ms = world.random.random, self.delay_ms, world.now_ms
        for target in world.nodes:
            if target is source or not target.is_up:
                continue
            if not is_healthy:
                self._send(source, target, event)
                continue
            at_ms = now_ms + DELAY_MS_MIN + int(random() * delay_ms)
            at_ms += -at_ms % GRID_MS
            arriving = target.arriving.get(at_ms)
            if arriving is not None:
                arriving.append(event)
            else:
                target.arriving[at_ms] = [event]
                world.at(at_ms, target, target.arrive, at_ms)

    def send(self, source: Node, target: Node, message: Message | Evidence) -> None:
        """Send to one node, as the faults of the moment let it."""
        if target.is_up:
            self._send(source, target, received(message))

    def _send(self, source: Node, target: Node, event: Input) -> None:
        if self._is_healthy:
            self._deliver(target, event, self._world.random.random())
            return
        if self._blocked and (source.index, target.index) in self._blocked:
            return
        if self.exile and (source.index in self.exile or target.index in self.exile):
            return
        if self._muted and self._is_muted(target.index, event):
            return
        random = self._world.random.random
        if self._loss and random() < self._loss:
            return
        self._deliver(target, event, random())
        if self._double and random() < self._double:
            self._world.seen["message delivered twice"] += 1
            self._deliver(target, event, random())

    def ahead_of(self, node: Node) -> list[Node]:
        """Return who claims a higher block than `node` has, over a link in both directions."""
        if node.index in self._alone or node.index in self.exile:
            return []
        return [
            peer
            for peer in self._world.nodes
            if peer.claimed_height > node.height
            and peer.is_up
            and peer is not node
            and peer.index not in self.exile
            and (node.index, peer.index) not in self._blocked
            and (peer.index, node.index) not in self._blocked
        ]

    def _deliver(self, target: Node, event: Input, chance: float) -> None:
        world = self._world
        at_ms = world.now_ms + DELAY_MS_MIN + int(chance * self.delay_ms)
        at_ms += -at_ms % GRID_MS
        arriving = target.arriving.get(at_ms)
        if arriving is not None:
            arriving.append(event)
        else:
            target.arriving[at_ms] = [event]
            world.at(at_ms, target, target.arrive, at_ms)

    def _is_muted(self, target: int, event: Input) -> bool:
        if isinstance(event, VoteReceived):
            return (target, event.vote.kind) in self._muted
        return isinstance(event, ProposalReceived) and (target, Kind.PROPOSAL) in self._muted


def received(message: Message | Evidence) -> Input:
    """Return the input that a peer makes of `message`."""
    if isinstance(message, Vote):
        return VoteReceived(message)
    if isinstance(message, Proposal):
        return ProposalReceived(message)
    return EvidenceReceived(message)
