"""A validator set is sorted, bounded, hashed canonically, and counts power, not heads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives import codec
from primitives.crypto.keccak import keccak
from primitives.errors import Invalid, InvalidMessage
from primitives.params import POWER_MAX, VALIDATORS_MAX
from primitives.types import Address, Power
from primitives.validators import (
    Validator,
    ValidatorSet,
    decode_validator_set,
    encode_validator_set,
)
from tests.primitives.samples import validators

sets = st.lists(validators, min_size=1, max_size=12, unique_by=lambda each: each.address).map(
    ValidatorSet.of
)


def make(count: int, power: int = 1) -> list[Validator]:
    return [Validator(Address(i.to_bytes(20, "big")), Power(power)) for i in range(count)]


@given(sets)
def test_round_trip(found: ValidatorSet) -> None:
    """A set decodes to itself and its hash is that of its bytes."""
    raw = encode_validator_set(found)
    assert decode_validator_set(raw) == found
    assert found.hash == keccak(raw)


@given(st.lists(validators, min_size=1, max_size=9, unique_by=lambda each: each.address), st.data())
def test_order_does_not_matter(members: list[Validator], data: st.DataObject) -> None:
    """The same members in any order are the same set."""
    assert ValidatorSet.of(data.draw(st.permutations(members))) == ValidatorSet.of(members)


@given(st.binary(max_size=120) | st.lists(st.binary(max_size=32)).map(codec.encode))
def test_garbage(raw: bytes) -> None:
    """Bytes that are no set raise Invalid or InvalidMessage."""
    with pytest.raises((Invalid, InvalidMessage)):
        decode_validator_set(raw)


@given(sets)
def test_two_quorums_share_an_honest_validator(found: ValidatorSet) -> None:
    """Two quorums overlap in more than a third; planted bug: two thirds without the one more."""
    total = found.total_power
    assert 3 * found.quorum_power > 2 * total >= 3 * (found.quorum_power - 1)
    assert 3 * found.honest_power > total >= 3 * (found.honest_power - 1)
    assert 2 * found.quorum_power - total >= found.honest_power or total < 3
    assert total == sum(each.power for each in found.validators)


@pytest.mark.parametrize(
    ("count", "quorum", "honest"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 3, 2), (7, 5, 3)]
)
def test_known_quorums(count: int, quorum: int, honest: int) -> None:
    """The thresholds of small networks are the well-known ones."""
    found = ValidatorSet.of(make(count))
    assert (found.quorum_power, found.honest_power) == (quorum, honest)
    assert len(found) == count
    assert found.validators[0].address in found
    assert b"nobody" not in found


def test_bounds() -> None:
    """Sizes and powers are accepted up to their bounds and refused beyond."""
    ValidatorSet.of(make(VALIDATORS_MAX, POWER_MAX))
    for wrong in (make(0), make(VALIDATORS_MAX + 1), make(2, 0), make(2, POWER_MAX + 1)):
        with pytest.raises(Invalid):
            ValidatorSet.of(wrong)
    twice = make(1) * 2
    with pytest.raises(Invalid, match="duplicates"):
        ValidatorSet.of(twice)


def test_encoding_must_ascend() -> None:
    """A set whose bytes are out of order is refused: one set, one hash."""
    rows = codec.decode_list(encode_validator_set(ValidatorSet.of(make(2))))
    with pytest.raises(Invalid, match="ascend"):
        decode_validator_set(codec.encode(rows[::-1]))
