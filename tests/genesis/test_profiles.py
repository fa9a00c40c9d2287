"""Profiles and predeploys: the values that tools and people rely on."""

from __future__ import annotations

import pytest
from eth_account import Account

from genesis.nodes import NodeEntry, Role
from genesis.predeploys import (
    DEPLOYER_ADDRESS,
    DEPLOYER_CODE,
    HISTORY_CODE,
    registry_account,
)
from genesis.profiles import TEST_BALANCE, TEST_KEYS, TEST_MNEMONIC, TEST_PATH, localnet, single
from p2p.keys import NodeKey
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError
from primitives.params import VALIDATOR_REGISTRY
from primitives.types import Address
from primitives.validators import Validator, ValidatorSet
from tests.contracts.chain import Chain

PEER, OTHER = (NodeKey(bytes([seed]) * 32).peer_id for seed in (1, 2))
NODE = NodeEntry(PEER, (), Address(b"\x01" * 20), Role.VALIDATOR)


def test_localnet() -> None:
    """Ten accounts hold 10,000 QXC; blocks come every 250 ms, empty ones every 2 s."""
    genesis = localnet([NODE, NodeEntry(OTHER, (), Address(b"\x02" * 20))], timestamp=7)
    assert (genesis.params.block_period_ms, genesis.params.empty_block_period_ms) == (250, 2_000)
    assert len(TEST_KEYS) == 10
    assert all(genesis.alloc[each].balance == TEST_BALANCE == 10**22 for each in TEST_KEYS)
    assert all(genesis.alloc[each].balance > 0 for each in genesis.validators.powers)
    assert genesis.alloc[VALIDATOR_REGISTRY] == registry_account(genesis.validators)
    assert genesis.validators == ValidatorSet.of(
        [Validator(Address(b"\x01" * 20)), Validator(Address(b"\x02" * 20))]
    )


def test_single() -> None:
    """One validator needs nobody else and is quick."""
    genesis = single(NODE, timestamp=7)
    assert len(genesis.validators) == 1
    assert genesis.params.block_period_ms == 200


def test_no_validator() -> None:
    """A network without validators is refused."""
    with pytest.raises(ConfigError, match="at least one"):
        localnet([NodeEntry(PEER)], timestamp=0)


def test_test_accounts_belong_to_their_keys() -> None:
    """Each address is that of its key."""
    assert all(PrivateKey(key).address == address for address, key in TEST_KEYS.items())


@pytest.mark.slow
def test_test_accounts_belong_to_the_mnemonic() -> None:
    """The table is what every wallet derives from the mnemonic."""
    Account.enable_unaudited_hdwallet_features()
    derived = [
        bytes(Account.from_mnemonic(TEST_MNEMONIC, account_path=f"{TEST_PATH}{i}").key)
        for i in range(len(TEST_KEYS))
    ]
    assert list(TEST_KEYS.values()) == derived


def test_history_code() -> None:
    """The history contract's code hash is that of Ethereum mainnet (EIP-2935)."""
    expected = "6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d"
    assert keccak(HISTORY_CODE).hex() == expected


def test_deployment_proxy() -> None:
    """The proxy creates a contract at the address that CREATE2 gives (EIP-1014)."""
    genesis = single(NODE, timestamp=7)
    chain = Chain(genesis.alloc)
    salt, code = b"\x07" * 32, bytes.fromhex("6001600c60003960016000f300")
    chain.send(DEPLOYER_ADDRESS, salt + code, Address(b"\x05" * 20))
    expected = keccak(b"\xff" + DEPLOYER_ADDRESS + salt + keccak(code))[12:]
    account = chain.state.account(Address(expected))
    assert account is not None
    assert chain.state.code(account.code_hash) == b"\x00"
    assert len(DEPLOYER_CODE) == 69
