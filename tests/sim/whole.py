"""Whole nodes in one process under a clock that jumps: crashes, power cuts, partitions, loss.

    python -m scripts.whole_nodes --runs 200 --seed 1

One seed makes one run: trio's scheduler, the clocks, the workers, the disk and the network draw
from it. Four validators make blocks while a client sends transfers, and creations that read the
time, to whoever is up. Then the faults end, and within RECOVERY_S every node has two more blocks.
Kept at all times: one block at a height, a good certificate for it, one signature for a place in
the protocol whatever a node forgot, no log and no block lost that was durable. At the end every
transfer that a node acknowledged is in the chain, or in the pool of a node.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog
import trio
import trio.testing
from trio._core import _run

import node.journal
import node.proposals
import node.wal
import p2p.peers
from consensus.messages import Message, Proposal
from genesis.document import Genesis
from genesis.nodes import NodeEntry
from genesis.nodes import Role as NodeRole
from genesis.profiles import TEST_KEYS, localnet
from p2p.keys import NodeKey
from primitives.block import Block
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import Fatal, QenexError
from primitives.types import Hash32
from tests.node.faulty_files import Disk, Killed
from tests.p2p.memory import Hub
from tests.sim.chain import Violation
from tests.sim.whole_node import RESTART_S, WholeNode
from tests.vm.support import signed
from vm.blocks import BlockExecutor, Executed
from vm.pyevm.engine import PyEvmEngine

VALIDATORS = 4
GENESIS_TIME = 1_700_000_000
FAULTS_S = 6.0
RECOVERY_S = 30.0
WORKER_S_MAX = 0.02
LAG_S_MAX = 0.4
LOSS_MAX = 0.4
LOOK_AT_THE_TIME: dict[str, Any] = {"to": None, "data": b"\x42\x50\x00", "gas": 90_000}
"""A creation whose block must be of the second that it saw: the third transaction of a sender."""
SEGMENT_BYTES = 3_000
"""Logs begin new segments after a few heights, so that renames happen in each run."""


@dataclass(frozen=True, slots=True)
class WholeOutcome:
    """What one run did: equal seeds give equal outcomes."""

    seed: int
    heights: int
    recovery_ms: int
    acknowledged: int
    deaths: int


class FaultyHub(Hub):
    """Connections that are late, and that stand still between the groups of a partition."""

    def __init__(self, world: WholeWorld) -> None:
        super().__init__()
        self._world = world
        self.inside: set[str] = set()
        self.lag_s = 0.0
        self._joined = trio.Event()

    def split(self, inside: set[str]) -> None:
        """Let nothing pass between `inside` and the others."""
        self.join()
        self.inside, self._joined = inside, trio.Event()

    def join(self) -> None:
        """Let everything pass."""
        self.inside = set()
        self._joined.set()

    def is_split(self, one: str, other: str) -> bool:
        """Answer whether the peers are on different sides."""
        return (one in self.inside) != (other in self.inside)

    async def wait_passage(self, source: str, target: str) -> None:
        """Wait out the partition, and a while."""
        while self.is_split(source, target):
            await self._joined.wait()
        await trio.sleep(self._world.random.uniform(0.001, 0.005 + self.lag_s))


@lru_cache(maxsize=1)
def _beginning() -> tuple[Genesis, Executed, tuple[PrivateKey, ...], tuple[NodeKey, ...]]:
    keys = tuple(PrivateKey(bytes(31) + bytes([n + 1])) for n in range(VALIDATORS))
    node_keys = tuple(NodeKey(bytes([n + 1]) * 32) for n in range(VALIDATORS))
    entries = [
        NodeEntry(node_key.peer_id, (), key.address, NodeRole.VALIDATOR)
        for key, node_key in zip(keys, node_keys, strict=True)
    ]
    genesis = localnet(entries, timestamp=GENESIS_TIME)
    first = BlockExecutor(PyEvmEngine(), genesis.params).genesis(
        genesis.alloc, timestamp=GENESIS_TIME
    )
    return genesis, first, keys, node_keys


class WholeWorld:
    """One run of four whole validators."""

    def __init__(self, seed: int, seen: Counter[str] | None = None) -> None:
        self.seed = seed
        self.random = Random(f"whole/{seed}")
        self.seen = Counter() if seen is None else seen
        self.genesis, self.first_block, self._keys, self._node_keys = _beginning()
        self.engine = PyEvmEngine()
        self.disk = Disk()
        self.loss = 0.0
        self._chain: dict[int, Hash32] = {}
        self._included: set[Hash32] = set()
        self._signed: dict[tuple[object, ...], Message] = {}
        self._acknowledged: dict[Hash32, str] = {}
        self._nonces = Counter[int]()
        self._deaths = 0

    def run(self) -> WholeOutcome:
        """Run to the recovery; raises Violation when an invariant breaks or nobody recovers."""
        found: list[WholeOutcome] = []

        async def main() -> None:
            found.append(await self._main())

        with ExitStack() as stack:
            for target, name, stand_in in self._stand_ins():
                stack.enter_context(patch.object(target, name, stand_in))
            stack.callback(structlog.configure, **structlog.get_config())
            structlog.configure(
                wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
            )
            try:
                trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
            except BaseExceptionGroup as group:
                raise _cause(group) from group
        return found[0]

    def _stand_ins(self) -> list[tuple[object, str, object]]:
        """Return what takes the place of the machine: its disk, clocks, threads and chance."""
        clock = SimpleNamespace(
            monotonic=trio.current_time, time=lambda: GENESIS_TIME + trio.current_time()
        )
        return [
            (node.wal, "os", self.disk),
            (node.wal, "SEGMENT_BYTES_MAX", SEGMENT_BYTES),
            (node.journal, "os", self.disk),
            (node.proposals, "time", clock),
            (p2p.peers, "random", Random(self.seed)),
            (trio.to_thread, "run_sync", self._work),
            (_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
            (_run, "_r", Random(self.seed)),
        ]

    async def _work(self, do: Callable[..., Any], *values: Any, **_: Any) -> Any:
        """Stand in for a worker thread: the result is there after a while."""
        result = do(*values)
        await trio.sleep(self.random.uniform(0, WORKER_S_MAX))
        return result

    async def _main(self) -> WholeOutcome:
        self.hub = FaultyHub(self)
        self.addresses = {each.peer_id: (f"/memory/{each.peer_id}",) for each in self._node_keys}
        self.nodes = [
            WholeNode(self, index, key, node_key)
            for index, (key, node_key) in enumerate(zip(self._keys, self._node_keys, strict=True))
        ]
        self.disk.root.sync()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for each in self.nodes:
                nursery.start_soon(self._supervise, each)
            with trio.move_on_after(FAULTS_S):
                async with trio.open_nursery() as troubles:
                    troubles.start_soon(self._send_transfers)
                    troubles.start_soon(self._trouble)
            outcome = await self._recover()
            nursery.cancel_scope.cancel()
        return outcome

    async def _supervise(self, each: WholeNode) -> None:
        await trio.sleep(self.random.uniform(0, 0.3))
        while True:
            await each.live()
            self._deaths += 1
            if self.random.random() < 0.5:
                self.seen["power was cut with the process"] += 1
                each.cut_power()
            await trio.sleep(RESTART_S * self.random.uniform(0.2, 3))

    # --- faults -------------------------------------------------------------------------------

    async def _trouble(self) -> None:
        while True:
            await trio.sleep(self.random.uniform(0.1, 1.2))
            self._trouble_once()

    def _trouble_once(self) -> None:
        random, disk = self.random, self.disk
        some = random.sample(self.nodes, random.randint(1, VALIDATORS))
        match random.randrange(7):
            case 0 | 1:
                disk.kill_at = disk.calls + random.randint(1, 40)
            case 2:
                disk.fail_at = disk.calls + random.randint(1, 40)
            case 3:
                self.seen["processes were killed between writes"] += 1
                for each in some:
                    each.kill()
            case 4:
                self.seen["the network was split"] += 1
                self.hub.split({each.peer_id for each in some})
            case 5:
                self.hub.join()
                self.hub.lag_s = random.choice((0.0, random.uniform(0, LAG_S_MAX)))
            case _:
                self.seen["messages were lost"] += 1
                self.loss = random.uniform(0, LOSS_MAX)

    def is_lost(self) -> bool:
        """Draw whether a message to one peer is lost."""
        return self.loss > 0 and self.random.random() < self.loss

    # --- the client ---------------------------------------------------------------------------

    async def _send_transfers(self) -> None:
        senders = [PrivateKey(key) for key in TEST_KEYS.values()]
        for number in count():
            await trio.sleep(self.random.uniform(0.02, 0.3))
            target = self.random.choice(self.nodes)
            index = number % len(senders)
            if target.intake is None:
                continue
            transfer = signed(
                senders[index],
                chain_id=self.genesis.params.chain_id,
                nonce=self._nonces[index],
                **(LOOK_AT_THE_TIME if self._nonces[index] % 3 == 2 else {}),
            )
            try:
                target.intake.submit(transfer.raw)
            except Killed:
                target.kill()
            except QenexError:
                self.seen["transfer not taken"] += 1
            else:
                self._acknowledged[transfer.hash] = target.name
                self._nonces[index] += 1

    # --- the invariants -----------------------------------------------------------------------

    def note_end(self, group: BaseExceptionGroup[BaseException]) -> None:
        """Count how a life ended by itself."""
        is_killed = group.subgroup(Killed) is not None
        self.seen["killed at a write" if is_killed else "the disk refused"] += 1

    def note_signature(self, message: Message) -> None:
        """Raise Violation when this validator signed something else for the same place."""
        place = message.validator, message.kind, message.height, message.round
        known = self._signed.setdefault(place, message)
        same = known.block_hash == message.block_hash
        if isinstance(message, Proposal) and isinstance(known, Proposal):
            same &= (known.pol_round, known.body) == (message.pol_round, message.body)
        if not same:
            raise Violation(f"double sign by {message.validator.hex()[:6]} at {place[1:]}")

    def note_block(self, block: Block) -> None:
        """Raise Violation when another block stands at this height."""
        height = block.header.height
        if self._chain.setdefault(height, block.hash) != block.hash:
            raise Violation(f"fork at height {height}")
        self._included |= {each.hash for each in block.transactions}

    async def _recover(self) -> WholeOutcome:
        """End the faults, wait for two more blocks everywhere, and look at what is left."""
        self.hub.join()
        self.hub.lag_s = self.loss = 0.0
        self.disk.kill_at = self.disk.fail_at = -1
        goal, healed_s = max(self._chain, default=0) + 2, trio.current_time()
        while any(each.ledger is None or each.ledger.view.height < goal for each in self.nodes):
            if trio.current_time() > healed_s + RECOVERY_S:
                heights = [each.ledger and each.ledger.view.height for each in self.nodes]
                raise Violation(f"stuck: heights {heights}, goal {goal}")
            await trio.sleep(0.01)
        pending = {
            each.hash
            for one in self.nodes
            if one.intake is not None
            for each in one.intake.pool.transactions()
        }
        lost = self._acknowledged.keys() - self._included - pending
        if lost:
            raise Violation(f"{len(lost)} acknowledged transfers are lost")
        recovery_ms = round((trio.current_time() - healed_s) * 1_000)
        self.seen["transfer acknowledged"] += len(self._acknowledged)
        self.seen["acknowledged transfer still pending"] += len(
            self._acknowledged.keys() - self._included
        )
        acknowledged = len(self._acknowledged)
        return WholeOutcome(self.seed, len(self._chain), recovery_ms, acknowledged, self._deaths)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the violation in a group, or the first invariant of a node that broke."""
    for kind in (Violation, Fatal):
        found: BaseException | None = group.subgroup(kind)
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        if found is not None:
            return found if isinstance(found, Violation) else Violation(f"a node stopped: {found}")
    return group
