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
    CRASH = "crash"
    RESTART = "restart"
    POWER_CUT = "power-cut"
    WIPE = "wipe"


SLOW_TIMES = ConsensusTimes(timeout_max_ms=4_000)
QUICK_TIMES = ConsensusTimes(
    timeout_propose_ms=120,
    timeout_vote_ms=80,
    timeout_delta_ms=40,
    timeout_max_ms=3_000,
    rebroadcast_ms=400,
)
"""Timeouts near the delays of a good network: many rounds, many locks."""


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
    has_bytes_log: bool
    faults: tuple[Fault, ...]
    times: ConsensusTimes
    ambush_ms: int
    """From this time on, the first node to decide is cut off, and the others lose power."""


def draw(random: Random, validators: int) -> Plan:
    """Return a random plan for a network of `validators`."""
    heal_ms = random.randint(1_500, 6_000)
    traitor = Traitor.NONE
    if validators >= 4:
        traitor = random.choices(list(Traitor), weights=(6, 2, 1))[0]
    observers = int(random.random() < 0.1)
    powers = (1,) * validators
    if validators >= 4 and random.random() < 0.1:
        powers = tuple(random.randint(1, 3) for _ in range(validators))
    can_wipe = traitor is Traitor.NONE and len(set(powers)) == 1
    faults = _faults(random, validators, heal_ms, can_wipe=can_wipe)
    return Plan(
        validators=validators,
        powers=powers,
        observers=observers,
        traitor=traitor,
        heal_ms=heal_ms,
        block_period_ms=random.choice((100, 300, 1_000)),
        empty_block_period_ms=random.choice((300, 1_000, 2_000)),
        fsync_ms_max=random.choice((1, 5, 50)),
        has_bytes_log=random.random() < 0.1,
        faults=faults,
        ambush_ms=random.randint(0, heal_ms) if random.random() < 0.3 else heal_ms,
        times=random.choice((SLOW_TIMES, QUICK_TIMES)),
    )


def _faults(random: Random, validators: int, heal_ms: int, *, can_wipe: bool) -> tuple[Fault, ...]:
    faults = []
    everyone = list(range(validators))
    for _ in range(random.randint(1, 8)):
        at_ms = random.randint(0, heal_ms)
        act = random.choices(
            (Act.SPLIT, Act.ONE_WAY, Act.LOSSY, Act.SLOW, Act.DOUBLE, Act.MUTE, Act.CRASH,
             Act.POWER_CUT, Act.WIPE),
            weights=(4, 2, 3, 2, 1, 9, 5, 2, 1),
        )[0]  # fmt: skip
        if act is Act.WIPE:
            if not can_wipe or validators < 4:
                continue
            can_wipe = False
        some = tuple(sorted(random.sample(everyone, random.randint(1, validators))))
        amount = random.random()
        faults.append(Fault(at_ms, act, some, amount))
        if act in (Act.SPLIT, Act.ONE_WAY):
            faults.append(Fault(at_ms + random.randint(100, 2_500), Act.JOIN))
        elif act in (Act.CRASH, Act.WIPE):
            faults[-1] = Fault(at_ms, act, some[:1], amount)
            faults.append(Fault(at_ms + random.randint(1, 2_000), Act.RESTART, some[:1]))
        elif act is Act.POWER_CUT:
            faults += [
                Fault(at_ms + random.randint(1, 1_500), Act.RESTART, (each,)) for each in everyone
            ]
    if random.random() < 0.5:
        at_ms = random.randint(0, 1_000)
        density = random.uniform(0.2, 0.6)
        while at_ms < heal_ms:
            faults.append(Fault(at_ms, Act.SHUFFLE, amount=density))
            at_ms += random.randint(50, 400)
    faults.sort(key=lambda fault: fault.at_ms)
    return tuple(fault for fault in faults if fault.at_ms < heal_ms)
