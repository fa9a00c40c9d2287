"""The event queue: one heap of (time, serial number, what to do), one source of randomness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Any

from consensus.core import Consensus
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import Address, Power
from primitives.validators import Validator, ValidatorSet
from tests.sim.chain import Blocks, Ledger, Signatures, Violation
from tests.sim.coverage import Covered
from tests.sim.network import Network
from tests.sim.node import Node
from tests.sim.plan import Act, Fault, Plan, Traitor, draw
from tests.sim.trace import brief
from tests.sim.traitor import Forger

RECOVERY_MS_MAX = 60_000
"""After the faults end, every honest node must decide a new height within this virtual time."""
EVENTS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one schedule did: equal seeds give equal outcomes."""

    seed: int
    events: int
    heights: int
    recovery_ms: int
    end_ms: int


class World:
    """One schedule from its beginning to the recovery of all honest nodes."""

    def __init__(
        self,
        seed: int,
        validators: int,
        *,
        core_class: type[Consensus] = Covered,
        seen: Counter[str] | None = None,
        has_real_keys: bool = False,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.random = Random(f"{seed}/{validators}")
        self.seed = seed
        self.plan: Plan = draw(self.random, validators)
        self.core_class = core_class
        self.seen = Counter() if seen is None else seen
        self.now_ms = 0
        self.events = 0
        self._print = trace
        self.has_trace = trace is not None
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = 0
        addresses, keys = _members(validators, has_real_keys=has_real_keys)
        members = [
            Validator(address, Power(power))
            for address, power in zip(addresses, self.plan.powers, strict=True)
        ]
        self.signatures = Signatures(addresses, keys)
        self.ledger = Ledger(ValidatorSet.of(members), self.signatures)
        self.blocks = Blocks()
        self.network = Network(self)
        self.nodes = self._make_nodes(addresses)

    def _make_nodes(self, addresses: Sequence[Address]) -> list[Node]:
        nodes = [Node(self, index, address) for index, address in enumerate(addresses)]
        traitor = self.random.randrange(len(nodes))
        weight = self.plan.powers[traitor]
        members = self.ledger.validators
        is_tolerable = members.total_power - weight >= members.quorum_power
        if self.plan.traitor is not Traitor.NONE and is_tolerable:
            address = addresses[traitor]
            self.signatures.traitors.add(address)
            if self.plan.traitor is Traitor.FORGER:
                nodes[traitor] = Forger(self, traitor, address)
            else:
                nodes.append(Node(self, len(nodes), address))
                nodes[traitor].is_honest = nodes[-1].is_honest = False
        nodes += [Node(self, len(nodes) + each, None) for each in range(self.plan.observers)]
        return nodes

    # --- the queue --------------------------------------------------------------------------------

    def at(self, time_ms: int, do: Callable[..., None], values: tuple[Any, ...]) -> None:
        """Call `do(*values)` at `time_ms`; equal times keep the order of the calls to `at`."""
        self._serial += 1
        heappush(self._heap, (time_ms, self._serial, do, values))

    def run(self) -> Outcome:
        """Run to the recovery; raises Violation when an invariant breaks or nobody recovers."""
        for fault in self.plan.faults:
            self.at(fault.at_ms, self._apply, (fault,))
        for node in self.nodes:
            self.at(self.random.randint(0, 300), node.start, ())
        self._run_until(self.plan.heal_ms)
        self._heal()
        goal = self._goal()
        deadline_ms = self.plan.heal_ms + RECOVERY_MS_MAX
        while not self._has_recovered(goal):
            if self.now_ms > deadline_ms:
                raise Violation(f"stuck: heights {[node.height for node in self.nodes]}")
            self._run_one()
        return Outcome(
            self.seed,
            self.events,
            len(self.ledger.decided),
            self.now_ms - self.plan.heal_ms,
            self.now_ms,
        )

    def trace(self, line: str, effects: Sequence[object]) -> None:
        """Print one step of one core and what it wants."""
        if self._print is not None:
            self._print(f"{self.now_ms:>7} {line}")
            for effect in effects:
                self._print(f"{'':>10}-> {brief(effect)}")

    def _run_until(self, time_ms: int) -> None:
        while self._heap and self._heap[0][0] < time_ms:
            self._run_one()
        self.now_ms = time_ms

    def _run_one(self) -> None:
        time_ms, _, do, values = heappop(self._heap)
        self.now_ms = time_ms
        self.events += 1
        if self.events > EVENTS_MAX:
            raise Violation("a storm of messages")
        do(*values)

    # --- faults -----------------------------------------------------------------------------------

    def _apply(self, fault: Fault) -> None:
        if self._print is not None:
            self._print(f"{self.now_ms:>7} FAULT {brief(fault)}")
        match fault.act:
            case Act.CRASH:
                self._each(fault, Node.crash)
            case Act.RESTART:
                self._each(fault, Node.start)
            case Act.POWER_CUT:
                self.seen["all nodes lost power"] += 1
                for node in self.nodes:
                    node.crash()
                for node in self.nodes[self.plan.validators :]:
                    self.at(self.now_ms + 500, node.start, ())
            case Act.WIPE:
                self._each(fault, Node.wipe)
            case _:
                self.network.apply(fault)

    def _each(self, fault: Fault, do: Callable[[Node], None]) -> None:
        for index in fault.nodes:
            getattr(self.nodes[index], do.__name__)()

    def ambush(self, node: Node) -> None:
        """Cut off the first node that decides, and stop the others before they hear of it."""
        if self.plan.ambush_ms <= self.now_ms < self.plan.heal_ms and not self.network.exile:
            self.network.exile.add(node.index)
            self.seen["first to decide cut off, the others stopped"] += 1
            for other in self.nodes:
                if other is not node:
                    other.crash()
                    self.at(self.now_ms + self.random.randint(1, 200), other.start, ())

    def _heal(self) -> None:
        if self._print is not None:
            self._print(f"{self.now_ms:>7} HEAL")
        self.network.heal()
        for node in self.nodes:
            node.start()

    def _goal(self) -> int:
        return max((node.height for node in self.nodes if node.is_honest), default=0)

    def _has_recovered(self, goal: int) -> bool:
        return all(node.height > goal for node in self.nodes if node.is_honest)


def _members(
    count: int, *, has_real_keys: bool
) -> tuple[list[Address], dict[Address, PrivateKey] | None]:
    if not has_real_keys:
        return [Address(bytes([index + 1]) * 20) for index in range(count)], None
    keys = [PrivateKey((index + 1).to_bytes(32, "big")) for index in range(count)]
    by_address = {key.address: key for key in keys}
    return list(by_address), by_address
