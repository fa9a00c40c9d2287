"""Turns to propose are fair by power, the same everywhere, and move on in every round."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from consensus.proposer import proposer_of
from primitives.types import Height, Round
from tests.consensus.makers import fake_set

powers = st.lists(st.integers(1, 12), min_size=1, max_size=8)


@given(powers)
def test_turns_are_proportional_to_power(shares: list[int]) -> None:
    """Over as many heights as there is power, everyone proposes as often as its power says."""
    validators = fake_set(shares)
    total = sum(shares)
    turns = Counter(proposer_of(validators, Height(1 + each), Round(0)) for each in range(total))
    assert turns == Counter(dict(validators.powers))


@given(powers, st.integers(1, 10**9), st.integers(0, 1_000))
def test_consecutive_rounds_differ(shares: list[int], height: int, round_: int) -> None:
    """Two rounds in a row never have one proposer, unless there is only one validator."""
    validators = fake_set(shares)
    one = proposer_of(validators, Height(height), Round(round_))
    other = proposer_of(validators, Height(height), Round(round_ + 1))
    assert (one != other) == (len(shares) > 1)


@given(powers, st.integers(1, 10**9))
def test_everyone_gets_a_round(shares: list[int], height: int) -> None:
    """Within twice the total power of rounds, each validator proposes at any height."""
    validators = fake_set(shares)
    seen = {proposer_of(validators, Height(height), Round(each)) for each in range(2 * sum(shares))}
    assert seen == set(validators.powers)


@given(st.integers(1, 20), st.integers(1, 12))
def test_equal_powers_take_turns_in_order(count: int, power: int) -> None:
    """Equal powers are plain round-robin in ascending order of address."""
    validators = fake_set([power] * count)
    addresses = [each.address for each in validators.validators]
    for height in range(1, 2 * count):
        for round_ in range(3):
            expected = addresses[(height + round_) % count]
            assert proposer_of(validators, Height(height), Round(round_)) == expected


@given(st.integers(1, 9), st.integers(1, 9))
def test_turns_are_spread(big: int, small: int) -> None:
    """Of two validators the stronger is never passed over twice in a row."""
    big += small
    validators = fake_set([big, small])
    weak = validators.validators[1].address
    turns = [
        proposer_of(validators, Height(1 + each), Round(0)) == weak
        for each in range(2 * (big + small))
    ]
    assert not any(one and other for one, other in itertools.pairwise(turns))
