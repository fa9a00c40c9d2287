"""Standard contracts in a genesis document: named with their code's hash, read back, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.addresses import QXC, STANDARD, TIMELOCK
from genesis.document import Genesis, load, parse
from genesis.known import CONTRACTS_MAX
from genesis.nodes import NodeEntry, Role
from genesis.predeploys import Permissions, governance_of
from genesis.profiles import (
    LOCALNET_CHAIN_ID,
    Profile,
    localnet,
    network,
    params_of,
    public_funds,
)
from genesis.writing import save, to_json
from node.app import open_chain
from node.config import Settings
from p2p.keys import NodeKey
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError
from primitives.keyvalue import MemoryStore
from primitives.params import ACCOUNT_PERMISSIONS, NODE_REGISTRY, VALIDATOR_REGISTRY
from primitives.types import Address
from primitives.validators import Validator, ValidatorSet
from qenex.predeploys import quick, standard
from vm.pyevm.engine import PyEvmEngine

VALIDATOR = Address(b"\x01" * 20)
NODE = NodeEntry(NodeKey(bytes(31) + b"\x01").peer_id, (), VALIDATOR, Role.VALIDATOR)
CONTRACTS = standard(quick(VALIDATOR), LOCALNET_CHAIN_ID)


def whole() -> Genesis:
    return localnet([NODE], timestamp=7, contracts=CONTRACTS)


def document() -> dict[str, Any]:
    found = json.loads(json.dumps(to_json(whole())))
    assert isinstance(found, dict)
    return found


def test_localnet_has_all_at_fixed_addresses() -> None:
    """Each standard contract stands at its address, and the timelock governs the registries."""
    made = whole()
    assert {each.name: each.address for each in made.contracts} == dict(STANDARD)
    for each in made.contracts:
        assert keccak(made.alloc[each.address].code) == each.code_hash
    for name, place in (("ValidatorRegistry", VALIDATOR_REGISTRY), ("NodeRegistry", NODE_REGISTRY)):
        assert governance_of(name, made.alloc[place]) == TIMELOCK
    assert made.alloc[ACCOUNT_PERMISSIONS].storage == {0: int.from_bytes(TIMELOCK, "big")}


def test_minimal_has_only_the_registries() -> None:
    """Without contracts the document names none, and nobody but the members governs."""
    made = localnet([NODE], timestamp=7)
    assert made.contracts == ()
    assert not set(STANDARD.values()) & set(made.alloc)
    assert ACCOUNT_PERMISSIONS not in made.alloc
    assert not {"contracts", "accountPermissions"} & set(to_json(made)["qenex"])
    assert governance_of("ValidatorRegistry", made.alloc[VALIDATOR_REGISTRY]) == bytes(20)


def test_coins_back_the_reserve() -> None:
    """The tokens that staking begins with are backed by coins in QXC, and by no others."""
    made = {each.name: each.account for each in CONTRACTS}
    assert made["QXC"].balance == quick(VALIDATOR).reserve_wei
    assert not any(each.balance for name, each in made.items() if name != "QXC")


def test_round_trip(tmp_path: Path) -> None:
    """A written document reads back equal, also when its first state is known already."""
    path = tmp_path / "genesis.json"
    save(whole(), path)
    found = load(path)
    assert found == whole()
    assert load(path, known=found.summary).contracts == found.contracts


def test_the_same_settings_give_the_same_bytes() -> None:
    """Constructors run alike every time; only the chain id and the settings matter."""
    assert standard(quick(VALIDATOR), LOCALNET_CHAIN_ID) == CONTRACTS


@pytest.mark.parametrize("planted", ["code", "hash", "gone"])
def test_other_code_is_refused(planted: str) -> None:
    """A document whose alloc and hashes differ is no document. Planted: one byte of either."""
    raw = document()
    key = "0x" + QXC.hex()
    if planted == "code":
        raw["alloc"][key]["code"] = raw["alloc"][key]["code"][:-2] + "00"
    elif planted == "gone":
        del raw["alloc"][key]
    else:
        row = next(each for each in raw["qenex"]["contracts"] if each["name"] == "QXC")
        row["codeHash"] = "0x" + "11" * 32
    with pytest.raises(ConfigError, match="is not the code of QXC"):
        parse(raw)


def test_a_node_looks_at_its_state(tmp_path: Path) -> None:
    """A start whose document names other code than stands in the state ends with one line."""
    path = tmp_path / "genesis.json"
    save(whole(), path)
    store, engine, settings = MemoryStore(), PyEvmEngine(), Settings(tmp_path)
    first = load(path)
    open_chain(store, engine, first, settings)
    open_chain(store, engine, load(path, known=first.summary), settings)
    raw = document()
    raw["qenex"]["contracts"][0]["codeHash"] = "0x" + "11" * 32
    other = parse(raw, with_alloc=False)
    with pytest.raises(ConfigError, match="is not the code that the genesis document names"):
        open_chain(store, engine, other, settings)


def test_bad_sections() -> None:
    """Wrong rows are refused with their place."""
    first = document()["qenex"]["contracts"][0]
    rows: list[tuple[dict[str, Any], str]] = [
        ({"contracts": [first, first]}, "stands twice"),
        ({"contracts": [first] * (CONTRACTS_MAX + 1)}, "at most"),
        ({"contracts": [{"name": "QXC", "address": first["address"]}]}, "codeHash"),
        ({"accountPermissions": 1}, "true or false"),
    ]
    for change, words in rows:
        raw = document()
        raw["qenex"].update(change)
        with pytest.raises(ConfigError, match=words):
            parse(raw)


def test_permissions_need_their_contract() -> None:
    """`accountPermissions` without the contract is refused; with it, it is a parameter."""
    raw = document()
    raw["qenex"]["accountPermissions"] = True
    assert parse(raw).params.account_permissions
    del raw["alloc"]["0x" + ACCOUNT_PERMISSIONS.hex()]
    with pytest.raises(ConfigError, match="needs the contract"):
        parse(raw)


def test_permissions_of_a_minimal_network() -> None:
    """A network without standard contracts may limit its accounts too."""
    rights = Permissions(VALIDATOR, limits_senders=True, senders=(VALIDATOR,))
    made = network(
        params_of(Profile.PRIVATE, LOCALNET_CHAIN_ID),
        ValidatorSet.of([Validator(VALIDATOR)]),
        [NODE],
        timestamp=7,
        funded=public_funds([VALIDATOR]),
        permissions=rights,
    )
    assert made.params.account_permissions
    assert parse(json.loads(json.dumps(to_json(made)))) == made
