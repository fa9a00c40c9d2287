"""Contracts that stand in a network's state before its first block.

The registries have no constructors: their first contents are written into their storage here, at
the slots that the compiler's storage layout names (Solidity documentation, "Layout of State
Variables in Storage"). The EvidenceVerifier begins empty. The history contract is EIP-2935's; the
deployment proxy is the one that ecosystem tools expect for CREATE2 at equal addresses on every
chain (Arachnid's, used by forge and others).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts import artifact
from genesis.nodes import NodeEntry, peer_id_bytes
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import ensure
from primitives.params import DEPLOYMENT_PROXY
from primitives.types import ZERO_ADDRESS, Address, Nonce
from primitives.validators import ValidatorSet

REGISTRY_CONTRACT: Final = "ValidatorRegistry"
NODES_CONTRACT: Final = "NodeRegistry"
EVIDENCE_CONTRACT: Final = "EvidenceVerifier"
PERMISSIONS_CONTRACT: Final = "AccountPermissions"

HISTORY_ADDRESS: Final = Address(bytes.fromhex("0000F90827F1C53a10cb7A02335B175320002935"))
"""Address of the block hash history contract. Source: EIP-2935."""

HISTORY_CODE: Final = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257"
    "611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)

DEPLOYER_ADDRESS: Final = DEPLOYMENT_PROXY

DEPLOYER_CODE: Final = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035"
    "828234f58015156039578182fd5b8082525050506014600cf3"
)


@dataclass(frozen=True, slots=True)
class Predeploy:
    """A named contract with its first state, made elsewhere: see `qenex.predeploys`."""

    name: str
    address: Address
    account: GenesisAccount


@dataclass(frozen=True, slots=True)
class Permissions:
    """What AccountPermissions begins with: who manages it, who may send and deploy, if limited."""

    manager: Address = ZERO_ADDRESS
    limits_senders: bool = False
    limits_deployers: bool = False
    senders: tuple[Address, ...] = ()
    deployers: tuple[Address, ...] = ()


def registry_account(
    validators: ValidatorSet, governance: Address = ZERO_ADDRESS
) -> GenesisAccount:
    """Return the ValidatorRegistry whose first set is `validators`.

    `governance` may change the set besides a quorum of its members; zero for nobody.
    """
    code = artifact(REGISTRY_CONTRACT).deployed_bytecode
    storage = registry_storage(validators, governance)
    return GenesisAccount(nonce=Nonce(1), code=code, storage=storage)


def registry_storage(
    validators: ValidatorSet, governance: Address = ZERO_ADDRESS
) -> dict[int, int]:
    """Return the storage of a ValidatorRegistry that holds `validators`: slot to value."""
    array_slot, struct = _array_of_structs(REGISTRY_CONTRACT, "_validators")
    slots_each = int(struct["numberOfBytes"]) // 32
    first = _data_slot(array_slot)
    storage = {array_slot: len(validators), **_governed(REGISTRY_CONTRACT, governance)}
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


def node_registry_account(
    nodes: Sequence[NodeEntry], registry: Address, governance: Address = ZERO_ADDRESS
) -> GenesisAccount:
    """Return the NodeRegistry that holds `nodes`; the validators of `registry` vote in it.

    `governance` may change the nodes besides them; zero for nobody.
    """
    code = artifact(NODES_CONTRACT).deployed_bytecode
    storage = node_registry_storage(nodes, registry, governance)
    return GenesisAccount(nonce=Nonce(1), code=code, storage=storage)


def node_registry_storage(
    nodes: Sequence[NodeEntry], registry: Address, governance: Address = ZERO_ADDRESS
) -> dict[int, int]:
    """Return the storage of a NodeRegistry that holds `nodes` in this order: slot to value."""
    array_slot, struct = _array_of_structs(NODES_CONTRACT, "_nodes")
    slots_each = int(struct["numberOfBytes"]) // 32
    place = {member["label"]: int(member["slot"]) for member in struct["members"]}
    ensure(place.keys() == {"validator", "peerId", "addresses"}, "struct differs")
    places, counts = _slot_of(NODES_CONTRACT, "_places"), _slot_of(NODES_CONTRACT, "_nodesOf")
    storage = {
        _slot_of(NODES_CONTRACT, "validatorRegistry"): int.from_bytes(registry, "big"),
        array_slot: len(nodes),
        **_governed(NODES_CONTRACT, governance),
    }
    for index, each in enumerate(nodes):
        start = (_data_slot(array_slot) + index * slots_each) % 2**256
        raw, validator = peer_id_bytes(each.peer_id), each.validator or ZERO_ADDRESS
        storage[start + place["validator"]] = int.from_bytes(validator, "big")
        storage |= _bytes_at(start + place["peerId"], raw)
        texts = start + place["addresses"]
        storage[texts] = len(each.addresses)
        for number, address in enumerate(each.addresses):
            storage |= _bytes_at((_data_slot(texts) + number) % 2**256, address.encode())
        storage[_entry_slot(places, keccak(raw))] = index + 1
        count = _entry_slot(counts, bytes(12) + validator)
        storage[count] = storage.get(count, 0) + 1
    return {slot: value for slot, value in storage.items() if value}


def governance_of(contract: str, account: GenesisAccount) -> Address:
    """Return the governance contract that a registry's first storage names; zero for none."""
    slot, offset = _governance_place(contract)
    word = account.storage.get(slot, 0) >> 8 * offset
    return Address((word % 2**160).to_bytes(20, "big"))


def _governed(contract: str, governance: Address) -> dict[int, int]:
    """Return the slot of a registry's governance contract; nothing for none."""
    slot, offset = _governance_place(contract)
    value = int.from_bytes(governance, "big") << 8 * offset
    return {slot: value} if value else {}


def _governance_place(contract: str) -> tuple[int, int]:
    storage = artifact(contract).storage_layout["storage"]
    found = next(each for each in storage if each["label"] == "governance")
    return int(found["slot"]), int(found["offset"])


def permissions_account(rights: Permissions) -> GenesisAccount:
    """Return the AccountPermissions contract with its first rights and limits."""
    code = artifact(PERMISSIONS_CONTRACT).deployed_bytecode
    head = int.from_bytes(rights.manager, "big")
    head |= rights.limits_senders << 160 | rights.limits_deployers << 168
    senders, deployers = set(rights.senders), set(rights.deployers)
    table = _slot_of(PERMISSIONS_CONTRACT, "_rights")
    storage = {
        _slot_of(PERMISSIONS_CONTRACT, "manager"): head,
        _slot_of(PERMISSIONS_CONTRACT, "senderCount"): len(senders),
    }
    for each in senders | deployers:
        value = (each in senders) | (each in deployers) << 1
        storage[_entry_slot(table, bytes(12) + each)] = value
    kept = {slot: value for slot, value in storage.items() if value}
    return GenesisAccount(nonce=Nonce(1), code=code, storage=kept)


def evidence_account() -> GenesisAccount:
    """Return the EvidenceVerifier, which has recorded nothing yet."""
    return GenesisAccount(nonce=Nonce(1), code=artifact(EVIDENCE_CONTRACT).deployed_bytecode)


def _slot_of(contract: str, label: str) -> int:
    storage = artifact(contract).storage_layout["storage"]
    return int(next(each["slot"] for each in storage if each["label"] == label))


def _array_of_structs(contract: str, label: str) -> tuple[int, Mapping[str, Any]]:
    layout = artifact(contract).storage_layout
    variable = next(each for each in layout["storage"] if each["label"] == label)
    return int(variable["slot"]), layout["types"][layout["types"][variable["type"]]["base"]]


def _data_slot(slot: int) -> int:
    """Return where the contents of the dynamic array or long byte string at `slot` begin."""
    return int.from_bytes(keccak(slot.to_bytes(32, "big")), "big")


def _entry_slot(mapping: int, key: bytes) -> int:
    """Return the slot of a mapping's entry; `key` is a 32-byte word."""
    return int.from_bytes(keccak(key + mapping.to_bytes(32, "big")), "big")


def _bytes_at(slot: int, raw: bytes) -> dict[int, int]:
    """Return the slots of a byte string: within its own slot up to 31 bytes, else behind it."""
    if len(raw) < 32:
        return {slot: int.from_bytes(raw.ljust(31, b"\0") + bytes([2 * len(raw)]), "big")}
    words = [raw[start : start + 32].ljust(32, b"\0") for start in range(0, len(raw), 32)]
    first = _data_slot(slot)
    return {slot: 2 * len(raw) + 1} | {
        (first + index) % 2**256: int.from_bytes(word, "big") for index, word in enumerate(words)
    }


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
