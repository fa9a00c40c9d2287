"""Contracts that a genesis document names with the hash of their code: `qenex.contracts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from genesis.fields import Field
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError
from primitives.params import ACCOUNT_PERMISSIONS, ChainParams
from primitives.types import HASH_BYTES, Address, Hash32

CONTRACTS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class KnownCode:
    """A contract that stands at `address` from the first block on, and the hash of its code."""

    name: str
    address: Address
    code_hash: Hash32


def known_codes(qenex: Field) -> tuple[KnownCode, ...]:
    """Return the contracts that the section `qenex` names; raises ConfigError."""
    rows = qenex.at("contracts").items() if qenex.has("contracts") else []
    if len(rows) > CONTRACTS_MAX:
        raise qenex.at("contracts").wrong(f"must have at most {CONTRACTS_MAX} contracts")
    found: list[KnownCode] = []
    for row in rows:
        row.keys(required={"name", "address", "codeHash"}, optional=set())
        code_hash = Hash32(row.at("codeHash").raw(HASH_BYTES))
        address = row.at("address").address()
        if any(each.address == address for each in found):
            raise row.at("address").wrong("this contract stands twice in contracts")
        found.append(KnownCode(row.at("name").text(), address, code_hash))
    return tuple(found)


def check_known_codes(
    field: Field,
    alloc: Mapping[Address, GenesisAccount],
    contracts: tuple[KnownCode, ...],
    params: ChainParams,
) -> None:
    """Raise ConfigError unless `alloc`, at `field`, holds the code of each of `contracts`.

    A network with account permissions must have the contract that says them.
    """
    for each in contracts:
        place = f"{field.path}.0x{each.address.hex()}"
        found = alloc.get(each.address, GenesisAccount())
        if keccak(found.code) != each.code_hash:
            message = f"{place}.code: is not the code of {each.name} that qenex.contracts names"
            raise ConfigError(message, path=place)
    if params.account_permissions and not alloc.get(ACCOUNT_PERMISSIONS, GenesisAccount()).code:
        place = f"{field.path}.0x{ACCOUNT_PERMISSIONS.hex()}"
        raise ConfigError(
            f"{place}.code: missing; qenex.accountPermissions needs the contract there", path=place
        )
