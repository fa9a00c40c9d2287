"""Spoilt frames of every kind end in Invalid or in a value, never in anything else."""

from __future__ import annotations

import random

import pytest

from primitives.codec import Item
from scripts import fuzz
from scripts.fuzz import MEMORY_GROWTH_MB_MAX, Sample

FRAMES = 20_000


@pytest.mark.slow
def test_spoilt_frames() -> None:
    """Fresh ones each time; what fails is shown with its seed."""
    seed = random.SystemRandom().randrange(2**32)
    outcome = fuzz.fuzz(FRAMES, seed, lambda _: None)
    assert outcome.crashes == [], f"seed {seed}"
    assert outcome.growth_mb < MEMORY_GROWTH_MB_MAX
    assert 0 < outcome.decoded < FRAMES


def test_a_crash_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that indexes without looking (planted) is reported."""

    def careless(_kind: int, raw: bytes) -> Item:
        return raw[40:41] + bytes((raw[60],))

    monkeypatch.setattr(fuzz, "samples", lambda: [Sample("careless", 1, bytes(61), careless)])
    outcome = fuzz.fuzz(500, 1, lambda _: None)
    assert outcome.crashes
    assert "careless" in outcome.crashes[0]
