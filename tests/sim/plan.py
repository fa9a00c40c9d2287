"""Draws one schedule of faults from one random source. All times are virtual milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from primitives.params import ConsensusTimes


class Traitor(Enum):
    """What kind of faulty validator takes part."""

    NONE = "none"
    FORGER = "forger"
    TWIN = "twin"
    FLOODER = "flooder"


class Act(Enum):
    """One thing that happens to the network or to a node."""

    SPLIT = "split"
    ONE_WAY = "one-way"
    JOIN = "join"
    LOSSY = "lossy"
    SLOW = "slow"
    DOUBLE = "double"
    MUTE = "mute"
    SHUFFLE = "shuffle"
    KILL = "kill"
    CRASH = "crash"
    RESTART = "restart"
    POWER_CUT = "power-cut"
    WIPE = "wipe"
    DISK_FULL = "disk-full"
    DISK_FREE = "disk-free"
    DISK_SLOW = "disk-slow"
    SYNC_FAILS = "sync-fails"
    CLOCK_STEP = "clock-step"
    CLOCK_JUMP = "clock-jump"


SLOW_TIMES = ConsensusTimes(timeout_max_ms=4_000)
QUICK_TIMES = ConsensusTimes(
    timeout_propose_ms=120,
    timeout_vote_ms=80,
    timeout_delta_ms=40,
    timeout_max_ms=3_000,
    rebroadcast_ms=400,
)
"""Timeouts near the delays of a good network: many rounds, many locks."""
LONG = 0.1
"""Share of the schedules that are long enough for locks to be taken, moved and lost."""

_WEIGHTS = {
    Act.SPLIT: 4,
    Act.ONE_WAY: 2,
    Act.LOSSY: 3,
    Act.SLOW: 2,
    Act.DOUBLE: 2,
    Act.MUTE: 9,
    Act.KILL: 2,
    Act.CRASH: 4,
    Act.POWER_CUT: 2,
    Act.WIPE: 1,
    Act.DISK_FULL: 1,
    Act.DISK_SLOW: 1,
    Act.SYNC_FAILS: 1,
    Act.CLOCK_STEP: 2,
    Act.CLOCK_JUMP: 1,
}
_ACTS, _ACT_WEIGHTS = tuple(_WEIGHTS), tuple(_WEIGHTS.values())
_ONE_NODE = frozenset({Act.KILL, Act.CRASH, Act.WIPE, Act.DISK_FULL, Act.SYNC_FAILS})


@dataclass(frozen=True, slots=True)
class Fault:
    """At `at_ms`, `act` happens to `nodes` with strength `amount`."""

    at_ms: int
    act: Act
    nodes: tuple[int, ...] = ()
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one schedule needs beside its random source."""

    validators: int
    powers: tuple[int, ...]
    observers: int
    traitor: Traitor
    heal_ms: int
    block_period_ms: int
    empty_block_period_ms: int
    fsync_ms_max: int
    clock_rates: tuple[float, ...]
    """How long each validator's timers take, as a share of what they should."""
    set_changes: float
    """Share of the blocks that change the validator set."""
    faults: tuple[Fault, ...]
    times: ConsensusTimes
    ambush_ms: int
    """From this time on one node hears less; the first to decide is cut off, others lose power."""
    work: float = 0.6
    """How often transactions wait when a block is committed."""
    jump: tuple[int, int] | None = None
    """At the first time the network stands still, and so many milliseconds pass at once."""


def draw(random: Random, validators: int) -> Plan:
    """Return a random plan for a network of `validators`."""
    is_long = random.random() < LONG
    heal_ms = random.randint(2_500, 6_000) if is_long else random.randint(500, 2_500)
    traitor = Traitor.NONE
    if validators >= 4:
        traitor = random.choices(list(Traitor), weights=(30, 9, 5, 1))[0]
    powers = (1,) * validators
    if validators >= 4 and random.random() < 0.1:
        powers = tuple(random.randint(1, 3) for _ in range(validators))
    is_siege = validators >= 4 and random.random() < 0.15
    is_even = traitor is Traitor.NONE and len(set(powers)) == 1
    faults = () if is_siege else _faults(random, validators, heal_ms, can_wipe=is_even)
    has_wipe = any(each.act is Act.WIPE for each in faults)
    can_change = validators >= 4 and not has_wipe and random.random() < 0.25
    if is_siege and not is_long:
        heal_ms = random.randint(1_200, 3_000)
    return Plan(
        validators=validators,
        powers=powers,
        observers=int(random.random() < 0.1),
        traitor=traitor,
        heal_ms=heal_ms,
        block_period_ms=100 if is_siege else random.choice((100, 300, 1_000)),
        empty_block_period_ms=300 if is_siege else random.choice((300, 1_000, 2_000)),
        fsync_ms_max=random.choice((0, 10, 100)),
        clock_rates=tuple(random.choice((1.0, 1.0, 0.8, 1.25)) for _ in range(validators)),
        set_changes=random.choice((0.3, 0.8)) if can_change else 0.0,
        faults=faults,
        ambush_ms=random.randint(0, heal_ms // 3)
        if is_siege or random.random() < 0.25
        else heal_ms,
        times=QUICK_TIMES if is_siege or is_long else random.choice((SLOW_TIMES, QUICK_TIMES)),
    )


def usurpation(random: Random) -> Plan:
    """Return a plan that gives four validators a lock and, on one of them, an older valid value.

    In round 0 the votes of validator 3 reach nobody and validator 0 misses the proposal: 3 alone
    sees a prevote quorum, and locks. In round 1 the others lock another block, and the first to
    decide it is cut off while they lose power. In round 2 it is 3 that proposes, its own block,
    with the quorum of round 0: nobody who is locked since round 1 may follow.
    """
    second_ms = random.randint(600, 800)
    join_ms = second_ms + random.randint(800, 2_000)
    hears_no_proposal, hears_no_prevote = 0.3005, 0.3015
    return Plan(
        validators=4,
        powers=(1,) * 4,
        observers=0,
        traitor=Traitor.NONE,
        heal_ms=join_ms + random.randint(2_000, 4_000),
        block_period_ms=100,
        empty_block_period_ms=300,
        fsync_ms_max=random.choice((0, 10)),
        clock_rates=(1.0,),
        set_changes=0.0,
        faults=(
            Fault(2, Act.ONE_WAY, (3,)),
            Fault(2, Act.MUTE, (0,), hears_no_proposal),
            Fault(second_ms, Act.MUTE, (3,), hears_no_prevote),
            Fault(join_ms, Act.JOIN),
        ),
        times=ConsensusTimes(timeout_propose_ms=600, timeout_vote_ms=200, timeout_max_ms=3_000),
        ambush_ms=1,
    )


def _faults(random: Random, validators: int, heal_ms: int, *, can_wipe: bool) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    everyone = range(validators)
    for _ in range(random.randint(1, 8)):
        at_ms = random.randint(0, heal_ms)
        act = random.choices(_ACTS, weights=_ACT_WEIGHTS)[0]
        if act is Act.WIPE:
            if not can_wipe or validators < 4:
                continue
            can_wipe = False
        some = tuple(sorted(random.sample(everyone, random.randint(1, validators))))
        if act in _ONE_NODE:
            some = some[:1]
        faults.append(Fault(at_ms, act, some, random.random()))
        faults += _end(random, faults[-1], everyone)
    if random.random() < 0.5:
        at_ms = random.randint(0, 1_000)
        density = random.uniform(0.2, 0.6)
        while at_ms < heal_ms:
            faults.append(Fault(at_ms, Act.SHUFFLE, amount=density))
            at_ms += random.randint(50, 400)
    faults.sort(key=lambda fault: fault.at_ms)
    return tuple(fault for fault in faults if fault.at_ms < heal_ms)


def _end(random: Random, fault: Fault, everyone: range) -> list[Fault]:
    """Return what ends a fault, in its time."""
    match fault.act:
        case Act.SPLIT | Act.ONE_WAY:
            return [Fault(fault.at_ms + random.randint(100, 2_500), Act.JOIN)]
        case Act.KILL | Act.CRASH | Act.WIPE | Act.SYNC_FAILS:
            return [Fault(fault.at_ms + random.randint(1, 2_000), Act.RESTART, fault.nodes)]
        case Act.DISK_FULL:
            free_ms = fault.at_ms + random.randint(100, 2_000)
            return [
                Fault(free_ms, Act.DISK_FREE, fault.nodes),
                Fault(free_ms + random.randint(1, 500), Act.RESTART, fault.nodes),
            ]
        case Act.POWER_CUT:
            return [
                Fault(fault.at_ms + random.randint(1, 1_500), Act.RESTART, (each,))
                for each in everyone
            ]
        case _:
            return []
