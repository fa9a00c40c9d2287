"""Reading the validator set from the registry contract, strictly."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.params import POWER_MAX, VALIDATOR_REGISTRY, VALIDATORS_MAX
from primitives.types import Address, Hash32, Power
from primitives.validators import Validator, ValidatorSet
from tests.vm.support import ENGINE, PARAMS, account, context, registry, reverting, validator_set
from vm.registry import RegistryUnreadable, decode_validators, read_validators
from vm.state.memory import MemoryState

validators = st.lists(
    st.builds(
        Validator,
        st.binary(min_size=20, max_size=20).map(Address),
        st.integers(1, POWER_MAX).map(Power),
        st.binary(min_size=32, max_size=32).map(Hash32),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda each: each.address,
).map(ValidatorSet.of)


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def encoded(members: ValidatorSet) -> bytes:
    """The ABI encoding, written from its specification."""
    count = len(members)
    heads = [word(96), word(96 + 32 * (count + 1)), word(96 + 64 * (count + 1))]
    columns = [
        [int.from_bytes(each.address, "big") for each in members.validators],
        [int(each.power) for each in members.validators],
        [int.from_bytes(each.pq_key_hash, "big") for each in members.validators],
    ]
    return b"".join(heads) + b"".join(
        word(count) + b"".join(word(value) for value in column) for column in columns
    )


def read(code: bytes) -> ValidatorSet:
    state = MemoryState.of({VALIDATOR_REGISTRY: account(code=code)})
    return read_validators(state, ENGINE, context(), PARAMS)


@pytest.mark.slow
@given(validators)
@settings(deadline=None, max_examples=25)
def test_the_contract_gives_back_what_its_storage_holds(members: ValidatorSet) -> None:
    """The real contract, any set: the same set and hash come out."""
    state = MemoryState.of({VALIDATOR_REGISTRY: registry(members.validators)})
    found = read_validators(state, ENGINE, context(), PARAMS)
    assert found == members
    assert found.hash == members.hash


def test_the_greatest_set_can_be_read() -> None:
    """100 members fit into the gas of the call."""
    members = ValidatorSet.of(
        Validator(Address(index.to_bytes(20, "big")), Power(POWER_MAX))
        for index in range(1, VALIDATORS_MAX + 1)
    )
    state = MemoryState.of({VALIDATOR_REGISTRY: registry(members.validators)})
    assert read_validators(state, ENGINE, context(), PARAMS) == members


@pytest.mark.slow
@given(validators)
def test_decoding_undoes_encoding(members: ValidatorSet) -> None:
    """Round trip."""
    assert decode_validators(encoded(members)) == members


@pytest.mark.slow
@given(validators, st.data())
def test_any_other_bytes_are_refused_or_another_set(
    members: ValidatorSet, data: st.DataObject
) -> None:
    """One changed byte never gives the same set; a lost or added byte is always refused."""
    raw = encoded(members)
    at = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != raw[at]))
    for wrong in (raw[:-1], raw + b"\0", raw + bytes(32), raw[:-32], b""):
        with pytest.raises(RegistryUnreadable):
            decode_validators(wrong)
    with suppress(RegistryUnreadable):
        assert decode_validators(raw[:at] + bytes([byte]) + raw[at + 1 :]) != members


@given(st.binary(max_size=400))
def test_garbage_is_refused(raw: bytes) -> None:
    """Random bytes are no set."""
    with pytest.raises(RegistryUnreadable):
        decode_validators(raw)


def test_sets_that_break_a_rule_are_refused() -> None:
    """Empty, descending, duplicate, power 0 and above the limit, address and power too wide."""
    pair = validator_set(2)
    raw = encoded(pair)
    words = [raw[at : at + 32] for at in range(0, len(raw), 32)]
    changes: list[dict[int, bytes]] = [
        {4: words[5], 5: words[4]},
        {5: words[4]},
        {7: word(0)},
        {7: word(POWER_MAX + 1)},
        {7: word(2**64)},
        {5: word(2**160 + int.from_bytes(words[5], "big"))},
        {6: word(1)},
        {1: word(96)},
    ]
    for change in changes:
        with pytest.raises(RegistryUnreadable):
            decode_validators(b"".join(change.get(i, each) for i, each in enumerate(words)))
    with pytest.raises(RegistryUnreadable):
        decode_validators(word(96) + word(128) + word(160) + word(0) * 3)


def test_a_registry_that_fails_or_is_absent_is_unreadable() -> None:
    """Revert, no code, no output; the call's error is in the message."""
    with pytest.raises(RegistryUnreadable, match="registry call failed: execution reverted"):
        read(reverting(b""))
    for code in (b"", b"\0"):
        with pytest.raises(RegistryUnreadable, match="wrong length"):
            read(code)
