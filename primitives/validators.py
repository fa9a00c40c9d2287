"""Validators and validator sets: who decides a height, with which power.

The hash of the set that decides the next height stands in every header's extraData, so that a
light client follows changes of the set by headers alone. All thresholds count power, never heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from primitives.codec import Item, as_bytes, as_list, as_uint, decode, encode, uint
from primitives.crypto.keccak import keccak
from primitives.errors import Invalid
from primitives.params import POWER_MAX, VALIDATORS_MAX
from primitives.types import ADDRESS_BYTES, HASH_BYTES, ZERO_HASH, Address, Hash32, Power

POWER_DEFAULT: Final = Power(1)


@dataclass(frozen=True, slots=True)
class Validator:
    """One member: signing address, power >= 1, hash of its post-quantum key or zero."""

    address: Address
    power: Power = POWER_DEFAULT
    pq_key_hash: Hash32 = ZERO_HASH


@dataclass(frozen=True)
class ValidatorSet:
    """An immutable set of validators in ascending order of address.

    Raises Invalid when it is empty, too large, has a duplicate or a power outside 1..POWER_MAX.
    """

    validators: tuple[Validator, ...]

    @classmethod
    def of(cls, validators: Iterable[Validator]) -> ValidatorSet:
        """Return the set of `validators`, sorted by address."""
        return cls(tuple(sorted(validators, key=lambda each: each.address)))

    def __post_init__(self) -> None:
        if not 1 <= len(self.validators) <= VALIDATORS_MAX:
            raise Invalid(f"a validator set has 1 to {VALIDATORS_MAX} members")
        addresses = [each.address for each in self.validators]
        if any(a >= b for a, b in pairwise(addresses)):
            raise Invalid("validators must ascend by address without duplicates")
        if any(not 1 <= each.power <= POWER_MAX for each in self.validators):
            raise Invalid(f"a validator's power is 1 to {POWER_MAX}")

    @cached_property
    def powers(self) -> dict[Address, Power]:
        """Power by address; treat as read-only."""
        return {each.address: each.power for each in self.validators}

    @cached_property
    def total_power(self) -> int:
        """Sum of all powers."""
        return sum(self.powers.values())

    @property
    def quorum_power(self) -> int:
        """Least power above two thirds of the total: floor(2n/3) + 1."""
        return self.total_power * 2 // 3 + 1

    @property
    def honest_power(self) -> int:
        """Least power above one third of the total: at least one honest validator is in it."""
        return self.total_power // 3 + 1

    @cached_property
    def hash(self) -> Hash32:
        """Keccak of the set's canonical RLP: the extraData of the header before."""
        return keccak(encode_validator_set(self))

    def __contains__(self, address: object) -> bool:
        return address in self.powers

    def __len__(self) -> int:
        return len(self.validators)


def encode_validator_set(validators: ValidatorSet) -> bytes:
    """Return the RLP list of [address, power, post-quantum key hash] in order of address."""
    rows: list[Item] = [
        [each.address, uint(each.power), each.pq_key_hash] for each in validators.validators
    ]
    return encode(rows)


def decode_validator_set(raw: bytes) -> ValidatorSet:
    """Return the set that `raw` encodes; raises InvalidMessage or Invalid."""
    validators = []
    for row in as_list(decode(raw)):
        address, power, key_hash = as_list(row, 3)
        validators.append(
            Validator(
                Address(as_bytes(address, ADDRESS_BYTES)),
                Power(as_uint(power, 64)),
                Hash32(as_bytes(key_hash, HASH_BYTES)),
            )
        )
    return ValidatorSet(tuple(validators))
