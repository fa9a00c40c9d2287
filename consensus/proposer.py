"""Who proposes: a fixed timetable made from the validator set alone.

Each validator of power p gets p entries, spread evenly over the timetable: its j-th entry stands
at position (2j + 1) / 2p of the whole, ties go to the lower address. Powers are first divided by
their greatest common divisor, so equal powers give plain round-robin in order of address.

Round 0 of a height takes the entry `height mod length`: over one length of heights each validator
proposes exactly in proportion to its power. Later rounds walk on through the timetable and skip
an entry that repeats the validator before it, so two consecutive rounds of a height never have
the same proposer while there are two validators. Nothing depends on earlier heights or on who
proposed them: a node that just arrived computes the same answer.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from math import gcd
from typing import Final

from primitives.types import Address, Height, Round
from primitives.validators import ValidatorSet

SCHEDULES_MAX: Final = 16
_UNIT: Final = 2**64


class Schedule:
    """The timetable of one validator set; building it costs O(total power / gcd)."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._turns = _turns(validators)
        runs = [(address, len(list(group))) for address, group in groupby(self._turns)]
        self._rotation = tuple(address for address, _ in runs)
        if len(runs) > 1 and self._rotation[0] == self._rotation[-1]:
            self._rotation = self._rotation[:-1]
        self._run_of_turn = tuple(
            run % len(self._rotation) for run, (_, length) in enumerate(runs) for _ in range(length)
        )

    def proposer(self, height: Height, round_: Round) -> Address:
        """Return who proposes in `round_` of `height`."""
        run = self._run_of_turn[height % len(self._turns)]
        return self._rotation[(run + round_) % len(self._rotation)]


@lru_cache(maxsize=SCHEDULES_MAX)
def schedule_of(validators: ValidatorSet) -> Schedule:
    """Return the timetable of `validators`; the newest few are kept."""
    return Schedule(validators)


def proposer_of(validators: ValidatorSet, height: Height, round_: Round) -> Address:
    """Return who proposes in `round_` of `height`, the same on every node."""
    return schedule_of(validators).proposer(height, round_)


def _turns(validators: ValidatorSet) -> tuple[Address, ...]:
    divisor = gcd(*validators.powers.values())
    places = []
    for address, power in validators.powers.items():
        share = power // divisor
        places += [((2 * turn + 1) * _UNIT // (2 * share), address) for turn in range(share)]
    places.sort()
    return tuple(address for _, address in places)
