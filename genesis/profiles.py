"""Ready-made networks: `localnet` for several nodes on one machine, `single` for one.

Both fund the ten accounts of the mnemonic that every Ethereum developer knows (anvil and hardhat
use it too). Its keys are public: whoever sends anything of worth to them loses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from genesis.document import Genesis
from genesis.known import KnownCode
from genesis.nodes import NodeEntry
from genesis.predeploys import (
    DEPLOYER_ADDRESS,
    HISTORY_ADDRESS,
    Permissions,
    Predeploy,
    deployer_account,
    evidence_account,
    history_account,
    node_registry_account,
    permissions_account,
    registry_account,
)
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError
from primitives.params import ACCOUNT_PERMISSIONS, EVIDENCE_VERIFIER, NODE_REGISTRY, ChainParams
from primitives.types import ZERO_ADDRESS, Address, ChainId, Hash32, Wei
from primitives.validators import Validator, ValidatorSet

LOCALNET_CHAIN_ID: Final = ChainId(20_260)
TEST_BALANCE: Final = Wei(10_000 * 10**18)
VALIDATOR_BALANCE: Final = Wei(100 * 10**18)
TEST_MNEMONIC: Final = "test test test test test test test test test test test junk"
TEST_PATH: Final = "m/44'/60'/0'/0/"
TEST_KEYS: Final[Mapping[Address, bytes]] = {
    Address(bytes.fromhex(address)): bytes.fromhex(key)
    for address, key in (
        (
            "f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
            "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        ),
        (
            "70997970c51812dc3a010c7d01b50e0d17dc79c8",
            "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        ),
        (
            "3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
            "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        ),
        (
            "90f79bf6eb2c4f870365e785982e1f101e93b906",
            "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        ),
        (
            "15d34aaf54267db7d7c367839aaf71a00a2c6a65",
            "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        ),
        (
            "9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
            "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
        ),
        (
            "976ea74026e726554db657fa54763abd0c3a0aa9",
            "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
        ),
        (
            "14dc79964da2c08b23698b3d3cc7ca32193d9955",
            "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
        ),
        (
            "23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
            "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
        ),
        (
            "a0ee7a142d267c1f36714e4a8f75612f20a79720",
            "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
        ),
    )
}
"""Accounts of the test mnemonic: address to private key, in order of their index."""


class Profile(StrEnum):
    """Ready-made parameters; the value is what `qenex genesis --profile` takes."""

    PRIVATE = "private"
    LOCALNET = "localnet"
    SINGLE = "single"


def params_of(profile: Profile, chain_id: ChainId) -> ChainParams:
    """Return the parameters of a profile.

    private: a block every second while there are transactions, every 10 s otherwise; localnet:
    every 250 ms and 2 s; single: every 200 ms and 2 s.
    """
    match profile:
        case Profile.PRIVATE:
            return ChainParams(chain_id=chain_id)
        case Profile.LOCALNET:
            return ChainParams(chain_id=chain_id, block_period_ms=250, empty_block_period_ms=2_000)
        case Profile.SINGLE:
            return ChainParams(chain_id=chain_id, block_period_ms=200, empty_block_period_ms=2_000)


def localnet(
    nodes: Sequence[NodeEntry],
    *,
    timestamp: int,
    chain_id: ChainId = LOCALNET_CHAIN_ID,
    contracts: Sequence[Predeploy] = (),
) -> Genesis:
    """Return a quick network whose validators are those that `nodes` name, each of power 1.

    With `contracts` (`qenex.predeploys`) they stand in it, and the timelock among them governs the
    registries; without any it has the registries alone.

    `timestamp` is seconds since 1970. The ten test accounts are funded, and the validators, who
    pay gas for their votes. Raises ConfigError when no node names a validator.
    """
    validators = [Validator(each.validator) for each in nodes if each.validator is not None]
    if not validators:
        raise ConfigError("a network needs at least one validator")
    profile = Profile.SINGLE if len(validators) == 1 else Profile.LOCALNET
    return network(
        params_of(profile, chain_id),
        ValidatorSet.of(validators),
        nodes,
        timestamp=timestamp,
        funded=public_funds(each.address for each in validators),
        contracts=contracts,
    )


def public_funds(validators: Iterable[Address]) -> dict[Address, Wei]:
    """Return the test accounts' balances, and what validators need to pay for votes."""
    return dict.fromkeys(validators, VALIDATOR_BALANCE) | dict.fromkeys(TEST_KEYS, TEST_BALANCE)


def single(node: NodeEntry, *, timestamp: int, chain_id: ChainId = LOCALNET_CHAIN_ID) -> Genesis:
    """Return a network of one validator: the quickest blocks, no fault tolerated."""
    return localnet([node], timestamp=timestamp, chain_id=chain_id)


def network(
    params: ChainParams,
    validators: ValidatorSet,
    nodes: Sequence[NodeEntry],
    *,
    timestamp: int,
    funded: Mapping[Address, Wei],
    contracts: Sequence[Predeploy] = (),
    permissions: Permissions | None = None,
) -> Genesis:
    """Return a network with the registries, the `funded` accounts, and more `contracts` if given.

    Where these hold a Timelock, it governs the registries and manages AccountPermissions, unless
    `permissions` names another manager. AccountPermissions stands there with either; the nodes ask
    it where `permissions` are given.
    """
    places = {each.name: each.address for each in contracts}
    governance = places.get("Timelock", ZERO_ADDRESS)
    alloc = {each: GenesisAccount(balance=balance) for each, balance in funded.items()}
    alloc[params.validator_registry] = registry_account(validators, governance)
    alloc[EVIDENCE_VERIFIER] = evidence_account()
    registry = params.validator_registry
    alloc[NODE_REGISTRY] = node_registry_account(nodes, registry, governance)
    alloc[HISTORY_ADDRESS] = history_account()
    alloc[DEPLOYER_ADDRESS] = deployer_account()
    if permissions:
        params = replace(params, account_permissions=True)
    if contracts or permissions:
        rights = permissions or Permissions(manager=governance)
        alloc[ACCOUNT_PERMISSIONS] = permissions_account(rights)
    alloc |= {each.address: each.account for each in contracts}
    known = tuple(
        KnownCode(each.name, each.address, Hash32(keccak(each.account.code))) for each in contracts
    )
    return Genesis(params, timestamp, alloc, validators, tuple(nodes), known)
