"""Makes a failing schedule small: drops faults while it still fails in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from consensus.core import Consensus
from tests.sim.chain import Violation
from tests.sim.coverage import Covered
from tests.sim.plan import Plan, Traitor
from tests.sim.world import World

TRIES_MAX = 400


def failure(
    seed: int, validators: int, plan: Plan | None, core_class: type[Consensus] = Covered
) -> str | None:
    """Return what breaks under `plan` (None: the seed's own), or None when nothing does."""
    try:
        World(seed, validators, plan=plan, core_class=core_class).run()
    except Violation as violation:
        return str(violation)
    return None


def shrink(
    seed: int, validators: int, core_class: type[Consensus] = Covered
) -> tuple[Plan, str] | None:
    """Return a smaller plan that fails with the same words as the seed's, and how; None if good.

    First halves of the faults are dropped, then quarters, down to single ones, and last the
    traitor, the observers, the ambush, the skew of the clocks and the changes of the set.
    """
    plan = World(seed, validators).plan
    words = failure(seed, validators, None, core_class)
    if words is None:
        return None
    kind = words.split()[0]
    tries = 0
    has_shrunk = True
    while has_shrunk and tries < TRIES_MAX:
        has_shrunk = False
        for smaller in _smaller(plan):
            tries += 1
            found = failure(seed, validators, smaller, core_class)
            if found is not None and found.split()[0] == kind:
                plan, words, has_shrunk = smaller, found, True
                break
            if tries >= TRIES_MAX:
                break
    return plan, words


def _smaller(plan: Plan) -> Iterator[Plan]:
    size = len(plan.faults)
    while size:
        for first in range(0, len(plan.faults), size):
            yield replace(plan, faults=plan.faults[:first] + plan.faults[first + size :])
        size //= 2
    if plan.traitor is not Traitor.NONE:
        yield replace(plan, traitor=Traitor.NONE)
    if plan.observers:
        yield replace(plan, observers=0)
    if plan.ambush_ms < plan.heal_ms:
        yield replace(plan, ambush_ms=plan.heal_ms)
    if set(plan.clock_rates) != {1.0}:
        yield replace(plan, clock_rates=(1.0,) * plan.validators)
    if plan.set_changes:
        yield replace(plan, set_changes=0.0)
    if plan.fsync_ms_max:
        yield replace(plan, fsync_ms_max=0)
