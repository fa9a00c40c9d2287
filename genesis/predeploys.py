"""Contracts that stand in a network's state before its first block.

The ValidatorRegistry has no constructor: its first set is written into its storage here, at the
slots that the compiler's storage layout names (Solidity documentation, "Layout of State Variables
in Storage"). The history contract is EIP-2935's; the deployment proxy is the one that ecosystem
tools expect for CREATE2 at equal addresses on every chain (Arachnid's, used by forge and others).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contracts import artifact
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import ensure
from primitives.types import Address, Nonce
from primitives.validators import ValidatorSet

REGISTRY_CONTRACT: Final = "ValidatorRegistry"

HISTORY_ADDRESS: Final = Address(bytes.fromhex("0000F90827F1C53a10cb7A02335B175320002935"))
"""Address of the block hash history contract. Source: EIP-2935."""

HISTORY_CODE: Final = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257"
    "611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)

DEPLOYER_ADDRESS: Final = Address(bytes.fromhex("4e59b44847b379578588920cA78FbF26c0B4956C"))
"""Address of the deterministic deployment proxy: calldata = salt and creation code."""

DEPLOYER_CODE: Final = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035"
    "828234f58015156039578182fd5b8082525050506014600cf3"
)


def registry_account(validators: ValidatorSet) -> GenesisAccount:
    """Return the ValidatorRegistry whose first set is `validators`."""
    code = artifact(REGISTRY_CONTRACT).deployed_bytecode
    return GenesisAccount(nonce=Nonce(1), code=code, storage=registry_storage(validators))


def registry_storage(validators: ValidatorSet) -> dict[int, int]:
    """Return the storage of a ValidatorRegistry that holds `validators`: slot to value."""
    layout = artifact(REGISTRY_CONTRACT).storage_layout
    variable = next(each for each in layout["storage"] if each["label"] == "_validators")
    array_slot = int(variable["slot"])
    struct = layout["types"][layout["types"][variable["type"]]["base"]]
    slots_each = int(struct["numberOfBytes"]) // 32
    first = int.from_bytes(keccak(array_slot.to_bytes(32, "big")), "big")
    storage = {array_slot: len(validators)}
    for index, each in enumerate(validators.validators):
        values = {
            "account": int.from_bytes(each.address, "big"),
            "power": int(each.power),
            "pqKeyHash": int.from_bytes(each.pq_key_hash, "big"),
        }
        ensure(values.keys() == {member["label"] for member in struct["members"]}, "struct differs")
        start = first + index * slots_each
        for slot, value in _packed(struct["members"], values).items():
            if value:
                storage[(start + slot) % 2**256] = value
    return storage


def _packed(members: list[Mapping[str, Any]], values: Mapping[str, int]) -> dict[int, int]:
    slots: dict[int, int] = {}
    for member in members:
        slot = int(member["slot"])
        slots[slot] = slots.get(slot, 0) | values[member["label"]] << 8 * int(member["offset"])
    return slots


def history_account() -> GenesisAccount:
    """Return the block hash history contract of EIP-2935."""
    return GenesisAccount(nonce=Nonce(1), code=HISTORY_CODE)


def deployer_account() -> GenesisAccount:
    """Return the deterministic deployment proxy."""
    return GenesisAccount(nonce=Nonce(1), code=DEPLOYER_CODE)
