"""Outages and dead validators in virtual time: how soon blocks come back, and how many are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from primitives.params import ConsensusTimes
from tests.sim.network import GRID_MS
from tests.sim.plan import Act, Fault, Plan, Traitor
from tests.sim.world import JUMP_LOOK_MS, World

VALIDATORS = 4
DOWN = (1, 2)
STEADY_MS = 5_000
SETTLED_MS = 20_000
RESUMED_MS = 5_000
"""What lies between these two parts of an outage, when nothing moves any more, passes at once."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Blocks in `seconds` of virtual time, with all validators and with one of them dead."""

    seconds: int
    blocks: int
    blocks_with_one_dead: int

    @property
    def share(self) -> float:
        """What is left of the rate with one validator dead."""
        return self.blocks_with_one_dead / self.blocks


def outage_ms(down_ms: int, seed: int, times: ConsensusTimes | None = None) -> int:
    """Return the time from the return of two dead validators of four to the next block on all.

    Both lose what was not synced, at moments that the seed draws, and come back within 500 ms.
    Raises Violation when an invariant breaks or the height takes longer than a recovery may.
    """
    random = Random(f"outage/{down_ms}/{seed}")
    at_ms = STEADY_MS + random.randint(0, 2_000)
    faults = [Fault(at_ms + random.randint(0, 500), Act.CRASH, (each,)) for each in DOWN]
    back_ms = at_ms + down_ms
    faults.append(Fault(back_ms - random.randint(1, 500), Act.RESTART, DOWN[:1]))
    plan = _plan(random, back_ms, tuple(faults), times or ConsensusTimes())
    still_ms = at_ms + SETTLED_MS
    passing_ms = (down_ms - SETTLED_MS - JUMP_LOOK_MS - RESUMED_MS) // GRID_MS * GRID_MS
    if passing_ms > 0:
        plan = replace(plan, jump=(still_ms, passing_ms))
    return World(seed, VALIDATORS, plan=plan, events_max=100_000_000).run().recovery_ms


def rate(
    seconds: int,
    *,
    block_period_ms: int = 1_000,
    times: ConsensusTimes | None = None,
    delay_ms: int = 50,
    seed: int = 0,
) -> Rate:
    """Return the blocks that four validators make under load, all alive and one dead for good.

    A message takes 5 to 5 + `delay_ms`, building a block up to 100 and checking one up to 40.
    """
    counts = []
    for dead in ((), (Fault(0, Act.KILL, (0,)),)):
        faults: Sequence[Fault] = [
            Fault(at_ms, each.act, each.nodes) for each in dead for at_ms in (0, 400)
        ]
        plan = _plan(
            Random(seed),
            seconds * 1_000,
            tuple(faults),
            times or ConsensusTimes(),
            block_period_ms=block_period_ms,
        )
        world = World(seed, VALIDATORS, plan=plan, events_max=100_000_000)
        world.network.delay_ms = delay_ms
        counts.append(world.run_for(seconds * 1_000))
    return Rate(seconds, counts[0], counts[1])


def _plan(
    random: Random,
    heal_ms: int,
    faults: tuple[Fault, ...],
    times: ConsensusTimes,
    *,
    block_period_ms: int = 1_000,
) -> Plan:
    return Plan(
        validators=VALIDATORS,
        powers=(1,) * VALIDATORS,
        observers=0,
        traitor=Traitor.NONE,
        heal_ms=heal_ms,
        block_period_ms=block_period_ms,
        empty_block_period_ms=10_000,
        fsync_ms_max=5,
        clock_rates=tuple(random.choice((0.99, 1.0, 1.01)) for _ in range(VALIDATORS)),
        set_changes=0.0,
        faults=faults,
        times=times,
        ambush_ms=heal_ms,
        work=1.0,
    )
