"""Evidence against validators that contradict themselves: checking it, and reporting it once."""

from __future__ import annotations

from typing import Final, TypeAlias

from consensus.messages import Claim, Evidence, Message, statement
from consensus.signing import Verify
from primitives.types import Address
from primitives.validators import ValidatorSet

EVIDENCE_REMEMBERED_MAX: Final = 1_024

_Place: TypeAlias = tuple[Address, int, int, int]


class Reported:
    """Remembers the newest places (validator, height, round, kind) that were reported."""

    def __init__(self) -> None:
        self._places: dict[_Place, None] = {}

    def knows(self, message: Message | Claim) -> bool:
        """Answer whether a contradiction at the place of `message` was reported already."""
        return _place(message) in self._places

    def note(self, message: Message | Claim) -> None:
        """Remember the place of `message`, forgetting the oldest above the maximum."""
        self._places[_place(message)] = None
        if len(self._places) > EVIDENCE_REMEMBERED_MAX:
            del self._places[next(iter(self._places))]


def is_evidence(evidence: Evidence, validators: ValidatorSet, verify: Verify) -> bool:
    """Answer whether `evidence` proves that a validator of the set contradicted itself."""
    first, second = evidence.first, evidence.second
    return (
        _place(first) == _place(second)
        and statement(first) < statement(second)
        and first.validator in validators
        and verify(first)
        and verify(second)
    )


def _place(message: Message | Claim) -> _Place:
    return message.validator, message.height, message.round, message.kind
