"""The event queue: one heap of (time, serial number, what to do), one source of randomness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from random import Random
from typing import Any, Protocol

from consensus.core import Consensus
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import Address, Power
from primitives.validators import Validator, ValidatorSet
from tests.sim.chain import Blocks, Ledger, Signatures, Violation
from tests.sim.coverage import Covered
from tests.sim.network import Network
from tests.sim.node import Node
from tests.sim.plan import Act, Fault, Plan, Traitor, draw, usurpation
from tests.sim.trace import brief
from tests.sim.traitor import Flooder, Forger

RECOVERY_MS_MAX = 30_000
"""After the faults end, every honest node must decide a new height within this virtual time. The
longest that was seen is 15.2 s, once in 250,000 schedules: a forger that split the locks of four
validators for seven rounds, each longer than the one before."""
ROUNDS_MAX = 12
ROUND_MS = 50
"""So many rounds beyond the highest one at the heal may that height take, and one more in each
ROUND_MS: a block that lies ahead of the clock is refused again and again until its time has come,
up to CLOCK_STEP_MS later, and a refusal takes no longer than messages and syncs do. The rounds and
messages of a validator that is alone cost nobody anything."""
MESSAGES_MAX = 400
"""So many messages each honest node may send for it."""
EVENTS_MAX = 200_000
DISK_SLOW_MS_MAX = 1_500
CLOCK_STEP_MS = 4_000
CLOCK_JUMP_MS = 600_000
MEMBERS_MIN = 3
USURPED_EVERY = 97
"""Of the schedules with four validators, one in so many is a usurpation."""
JUMP_LOOK_MS = 16_000
"""Longer than any timer of the core and than the repetition of messages."""


class _Alive(Protocol):
    life: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one schedule did: equal seeds give equal outcomes.

    `recovery_ms`, `rounds` and `messages` (a node's share) count from the end of the faults.
    """

    seed: int
    events: int
    heights: int
    recovery_ms: int
    rounds: int
    messages: int
    end_ms: int


class World:
    """One schedule from its beginning to the recovery of all honest nodes."""

    life = 0

    def __init__(
        self,
        seed: int,
        validators: int,
        *,
        core_class: type[Consensus] = Covered,
        seen: Counter[str] | None = None,
        has_real_keys: bool = False,
        trace: Callable[[str], None] | None = None,
        plan: Plan | None = None,
        events_max: int = EVENTS_MAX,
    ) -> None:
        self.random = Random(f"{seed}/{validators}")
        self.seed = seed
        is_usurpation = validators == 4 and seed % USURPED_EVERY == USURPED_EVERY - 1
        drawn = usurpation(self.random) if is_usurpation else draw(self.random, validators)
        self.plan: Plan = drawn if plan is None else plan
        self.core_class = core_class
        self.seen = Counter() if seen is None else seen
        self.now_ms = 0
        self.events = 0
        self._events_max = events_max
        self.messages = 0
        self.has_grown = False
        self._print = trace
        self.has_trace = trace is not None
        self._heap: list[tuple[int, int, _Alive, int, Callable[[Any], None], object]] = []
        self._next = count().__next__
        addresses, keys = _members(validators, has_real_keys=has_real_keys)
        members = [
            Validator(address, Power(power))
            for address, power in zip(addresses, self.plan.powers, strict=True)
        ]
        self._members = members
        self._sets: dict[tuple[Validator, ...], ValidatorSet] = {}
        genesis = self._set_of(members)
        self.signatures = Signatures(keys)
        self.blocks = Blocks(genesis)
        self.ledger = Ledger(self.blocks, self.signatures)
        self.network = Network(self)
        self.nodes = self._make_nodes(addresses, genesis)

    def _make_nodes(self, addresses: Sequence[Address], members: ValidatorSet) -> list[Node]:
        nodes = [Node(self, index, address) for index, address in enumerate(addresses)]
        index = int(self.random.random() * len(nodes))
        address = addresses[index]
        if self.plan.traitor is not Traitor.NONE and _is_tolerable(members, {address}):
            self.signatures.traitors.add(address)
            match self.plan.traitor:
                case Traitor.FORGER:
                    nodes[index] = Forger(self, index, address)
                case Traitor.FLOODER:
                    nodes[index] = Flooder(self, index, address)
                case _:
                    nodes.append(Node(self, len(nodes), address))
                    nodes[index].is_honest = nodes[-1].is_honest = False
        nodes += [Node(self, len(nodes) + each, None) for each in range(self.plan.observers)]
        return nodes

    # --- validator sets ---------------------------------------------------------------------------

    def next_set(self, current: ValidatorSet) -> ValidatorSet:
        """Return the set that a new block puts in the place of `current`; mostly the same."""
        random = self.random
        if not self.plan.set_changes or random.random() >= self.plan.set_changes:
            return current
        members = {each.address: each for each in current.validators}
        one = random.choice(self._members).address
        if one not in members:
            members[one] = Validator(one, Power(random.randint(1, 2)))
        elif random.random() < 0.6 and len(members) > MEMBERS_MIN:
            del members[one]
        else:
            members[one] = Validator(one, Power(random.randint(1, 3)))
        changed = self._set_of(members.values())
        return changed if _is_tolerable(changed, self.signatures.traitors) else current

    def _set_of(self, members: Any) -> ValidatorSet:
        ordered = tuple(sorted(members, key=lambda each: each.address))
        return self._sets.setdefault(ordered, ValidatorSet(ordered))

    # --- the queue --------------------------------------------------------------------------------

    def at(self, time_ms: int, who: _Alive, do: Callable[[Any], None], value: object) -> None:
        """Call `do(value)` at `time_ms` if `who` lives then; equal times keep their order."""
        heappush(self._heap, (time_ms, self._next(), who, who.life, do, value))

    def run(self) -> Outcome:
        """Run to the recovery; raises Violation when an invariant breaks or nobody recovers."""
        self._begin()
        heal_ms = self.plan.heal_ms
        if self.plan.jump is not None:
            self._run_until(self.plan.jump[0])
            if not self.jump(self.plan.jump[1]):
                raise Violation("the network moves where it was to stand still")
        if self.plan.ambush_ms < heal_ms and len(self.nodes) > 1:
            self.at(self.plan.ambush_ms, self, self._begin_hush, None)
        self._run_until(heal_ms)
        self.now_ms = heal_ms
        self._heal()
        goal = max((node.height for node in self.nodes if node.is_honest), default=0)
        first_round = max(node.round for node in self.nodes if node.is_honest)
        self.messages = 0
        self.has_grown = False
        while not self._has_recovered(goal):
            self._run_until(heal_ms + RECOVERY_MS_MAX, stops_at_growth=True)
            if not self.has_grown:
                raise Violation(f"stuck: heights {[node.height for node in self.nodes]}")
        outcome = Outcome(
            self.seed,
            self.events,
            len(self.ledger.decided),
            self.now_ms - heal_ms,
            max(self._round_of(goal + 1) - max(first_round, 0), 0),
            self.messages // len(self.nodes),
            self.now_ms,
        )
        rounds_max = ROUNDS_MAX + outcome.recovery_ms // ROUND_MS
        is_dear = outcome.rounds > rounds_max or outcome.messages > MESSAGES_MAX
        if is_dear and self.plan.validators > 1:
            raise Violation(f"recovered, but at the cost of {outcome}")
        return outcome

    def run_for(self, time_ms: int) -> int:
        """Run the plan's faults without a heal for `time_ms`; return how many heights it took."""
        self._begin()
        self._run_until(time_ms)
        return len(self.ledger.decided)

    def _begin(self) -> None:
        for fault in self.plan.faults:
            self.at(fault.at_ms, self, self._apply, fault)
        for node in self.nodes:
            self.at(int(self.random.random() * 300), self, node.start, None)

    def _round_of(self, height: int) -> int:
        return max(
            node.chain[height - 1][1].round
            for node in self.nodes
            if node.is_honest and node.height >= height
        )

    def trace(self, line: str, effects: Sequence[object]) -> None:
        """Print one step of one core and what it wants."""
        if self._print is not None:
            self._print(f"{self.now_ms:>7} {line}")
            for effect in effects:
                self._print(f"{'':>10}-> {brief(effect)}")

    def jump(self, delay_ms: int) -> bool:
        """Let `delay_ms` pass at once in a network that stands still; False when it moves.

        It stands still when JUMP_LOOK_MS change no node's place, lock or number of messages: what
        happens then (repetitions, pings) would only happen again. All that the nodes wait for
        comes later by `delay_ms`; faults come when they were to come.
        """
        before = self._still()
        self._run_until(self.now_ms + JUMP_LOOK_MS)
        if self._still() != before:
            return False
        for node in self.nodes:
            node.arriving = {at_ms + delay_ms: each for at_ms, each in node.arriving.items()}
        self._heap[:] = [
            (time_ms, serial, who, life, do, value)
            if who is self
            else (time_ms + delay_ms, serial, who, life, do, _later(do, value, delay_ms))
            for time_ms, serial, who, life, do, value in self._heap
        ]
        heapify(self._heap)
        self.now_ms += delay_ms
        return True

    def _still(self) -> list[object]:
        return [node.picture() for node in self.nodes]

    def close(self) -> None:
        """Let go of all that refers back to this world: no garbage is left to be searched for."""
        self._heap.clear()
        for node in self.nodes:
            node.close()
        self.nodes.clear()
        del self.network

    def _run_until(self, time_ms: int, *, stops_at_growth: bool = False) -> None:
        heap, events, events_max = self._heap, self.events, self._events_max
        self.has_grown = False
        while heap and heap[0][0] < time_ms:
            self.now_ms, _, who, life, do, value = heappop(heap)
            if who.life != life:
                continue
            events += 1
            do(value)
            if stops_at_growth and self.has_grown:
                break
            if events > events_max:
                raise Violation("a storm of messages")
        self.events = events

    # --- faults -----------------------------------------------------------------------------------

    def _apply(self, fault: Fault) -> None:
        if self._print is not None:
            self._print(f"{self.now_ms:>7} FAULT {brief(fault)}")
        match fault.act:
            case Act.POWER_CUT:
                self.seen["all nodes lost power"] += 1
                for node in self.nodes:
                    node.crash()
                for node in self.nodes[self.plan.validators :]:
                    self.at(self.now_ms + 500, self, node.start, None)
            case _:
                for index in fault.nodes:
                    self._apply_to(self.nodes[index], fault)
                self.network.apply(fault)

    def _apply_to(self, node: Node, fault: Fault) -> None:
        match fault.act:
            case Act.KILL:
                node.kill()
            case Act.CRASH:
                node.crash()
            case Act.RESTART:
                node.start()
            case Act.WIPE:
                node.wipe()
            case Act.DISK_FULL | Act.DISK_FREE:
                node.disk.is_full = fault.act is Act.DISK_FULL
            case Act.DISK_SLOW:
                self.seen["disk slow"] += 1
                node.disk.slow_ms = int(fault.amount * DISK_SLOW_MS_MAX)
            case Act.SYNC_FAILS:
                node.disk.fails_next_sync = True
            case Act.CLOCK_STEP:
                node.wall_ms = int((fault.amount - 0.5) * 2 * CLOCK_STEP_MS)
            case Act.CLOCK_JUMP:
                self.seen["monotonic clock jumped"] += 1
                node.jump_ms += int((fault.amount - 0.5) * 2 * CLOCK_JUMP_MS)
            case _:
                pass

    def ambush(self, node: Node) -> None:
        """Cut off the first node that decides, and stop the others before they hear of it."""
        if self.plan.ambush_ms <= self.now_ms < self.plan.heal_ms and not self.network.exile:
            self.network.banish(node.index)
            self.at(self.now_ms + int(self.random.random() * 1_000), self, self._end_hush, None)
            self.seen["first to decide cut off, the others stopped"] += 1
            for other in self.nodes:
                if other is not node and self.random.random() < 0.8:
                    other.crash()
                    after_ms = 1 + int(self.random.random() * 200)
                    self.at(self.now_ms + after_ms, self, other.start, None)

    def _begin_hush(self, _: object) -> None:
        self.network.hush()

    def _end_hush(self, _: object) -> None:
        self.network.end_hush()

    def _heal(self) -> None:
        if self._print is not None:
            self._print(f"{self.now_ms:>7} HEAL")
        self.network.heal()
        for node in self.nodes:
            node.disk.is_full = node.disk.fails_next_sync = False
            node.disk.slow_ms = node.wall_ms = 0
            node.start()

    def _has_recovered(self, goal: int) -> bool:
        return all(node.height > goal for node in self.nodes if node.is_honest)


def _later(do: Callable[[Any], None], value: object, delay_ms: int) -> object:
    """Return the value of a later event: arrivals are known by their time."""
    return value + delay_ms if do.__name__ == Node.arrive.__name__ else value  # type: ignore[operator]  # an int then


def _is_tolerable(members: ValidatorSet, traitors: set[Address]) -> bool:
    weight = sum(members.powers.get(each, 0) for each in traitors)
    return members.total_power - weight >= members.quorum_power


def _members(
    count: int, *, has_real_keys: bool
) -> tuple[list[Address], dict[Address, PrivateKey] | None]:
    if not has_real_keys:
        return [Address(bytes([index + 1]) * 20) for index in range(count)], None
    keys = [PrivateKey((index + 1).to_bytes(32, "big")) for index in range(count)]
    by_address = {key.address: key for key in keys}
    return list(by_address), by_address
