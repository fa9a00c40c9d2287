"""Reads the validator set from the ValidatorRegistry contract, by a call of `getValidators()`.

The answer is `(address[] addresses, uint64[] powers, bytes32[] pqKeyHashes)` in the contract ABI,
ascending by address. It decides consensus, so it is decoded strictly: canonical offsets, no byte
too few or too many, every rule of `ValidatorSet`.
"""

from __future__ import annotations

from typing import Final

from primitives.crypto.keccak import keccak
from primitives.errors import Invalid, InvalidTransaction
from primitives.params import VALIDATORS_MAX, ChainParams
from primitives.types import UINT64_MAX, ZERO_ADDRESS, Address, Gas, Hash32, Power
from primitives.validators import Validator, ValidatorSet
from vm.engine import BlockContext, Call, Engine
from vm.state.changes import StateReader

GET_VALIDATORS: Final = keccak(b"getValidators()")[:4]
REGISTRY_GAS: Final = Gas(30_000_000)
"""Gas of the call: part of the rules, since a set that needs more could not be read."""

WORD: Final = 32
ARRAYS: Final = 3


class RegistryUnreadable(Invalid):
    """The registry call failed, or its answer is not a validator set."""


def read_validators(
    state: StateReader, engine: Engine, context: BlockContext, params: ChainParams
) -> ValidatorSet:
    """Return the validator set that `state` holds; it decides the height after `context`'s.

    Raises RegistryUnreadable.
    """
    call = Call(ZERO_ADDRESS, params.validator_registry, bytes(GET_VALIDATORS), gas=REGISTRY_GAS)
    try:
        result = engine.call(state, context, call)
    except InvalidTransaction as error:
        raise RegistryUnreadable(f"registry call cannot start: {error}") from None
    if not result.success:
        raise RegistryUnreadable(
            f"registry call failed: {result.error}", error=result.error, output=result.output
        )
    return decode_validators(result.output)


def decode_validators(output: bytes) -> ValidatorSet:
    """Return the set in the ABI encoding of getValidators' answer; raises RegistryUnreadable."""
    words = _words(output)
    count = words[ARRAYS] if len(words) > ARRAYS else 0
    size = 1 + count
    offsets = [(ARRAYS + index * size) * WORD for index in range(ARRAYS)]
    if not 1 <= count <= VALIDATORS_MAX or len(words) != ARRAYS + ARRAYS * size:
        raise RegistryUnreadable("registry answer has a wrong length", length=len(output))
    if words[:ARRAYS] != offsets or any(words[at // WORD] != count for at in offsets):
        raise RegistryUnreadable("registry answer is not canonical ABI")
    columns = [words[at // WORD + 1 : at // WORD + size] for at in offsets]
    rows = zip(*columns, strict=True)
    try:
        return ValidatorSet(tuple(_validator(*row) for row in rows))
    except Invalid as error:
        raise RegistryUnreadable(f"registry holds no validator set: {error}") from None


def _words(output: bytes) -> list[int]:
    if len(output) % WORD:
        raise RegistryUnreadable("registry answer has a wrong length", length=len(output))
    return [int.from_bytes(output[at : at + WORD], "big") for at in range(0, len(output), WORD)]


def _validator(address: int, power: int, key_hash: int) -> Validator:
    if address >> 160 or power > UINT64_MAX:
        raise RegistryUnreadable("registry answer holds a value out of range")
    return Validator(
        Address(address.to_bytes(20, "big")), Power(power), Hash32(key_hash.to_bytes(WORD, "big"))
    )
