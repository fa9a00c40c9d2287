"""Chain parameters: what every node of one network must agree on.

They come from the genesis document and never change while a node runs. Times are milliseconds,
fees are wei, gas is gas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from primitives.types import WEI_ZERO, Address, ChainId, Gas, Wei

BASE_FEE_CHANGE_DENOMINATOR: Final = 8
ELASTICITY_MULTIPLIER: Final = 2
TRANSACTION_BYTES_MAX: Final = 131_072
BLOCK_TRANSACTIONS_MAX: Final = 10_000
BLOCK_BYTES_MAX: Final = 10 * 1024 * 1024 - 2 * 1024 * 1024
"""Largest encoding of a block from Osaka on. Source: EIP-7934."""

VALIDATORS_MAX: Final = 100
POWER_MAX: Final = 1_000
EXTRA_DATA_BYTES: Final = 32
GAS_LIMIT_DEFAULT: Final = Gas(30_000_000)
BASE_FEE_INITIAL_DEFAULT: Final = Wei(1_000_000_000)

VALIDATOR_REGISTRY: Final = Address(bytes.fromhex("0000000000000000000000000000000000001001"))
"""Fixed address of the ValidatorRegistry predeploy."""

EVIDENCE_VERIFIER: Final = Address(bytes.fromhex("0000000000000000000000000000000000001002"))
"""Fixed address of the EvidenceVerifier predeploy."""

NODE_REGISTRY: Final = Address(bytes.fromhex("0000000000000000000000000000000000001003"))
"""Fixed address of the NodeRegistry predeploy."""

ACCOUNT_PERMISSIONS: Final = Address(bytes.fromhex("0000000000000000000000000000000000001004"))
"""Fixed address of the AccountPermissions predeploy, where a network has it."""

DEPLOYMENT_PROXY: Final = Address(bytes.fromhex("4e59b44847b379578588920cA78FbF26c0B4956C"))
"""Address of the deterministic deployment proxy: calldata = salt and creation code."""


@dataclass(frozen=True, slots=True)
class ConsensusTimes:
    """Timers of the consensus machine, in milliseconds.

    A round's timeout is `first + round * delta`, never above `timeout_max_ms`.
    """

    timeout_propose_ms: int = 500
    timeout_vote_ms: int = 500
    timeout_delta_ms: int = 250
    timeout_max_ms: int = 10_000
    rebroadcast_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class ChainParams:
    """The agreed rules of one network.

    Blocks follow Prague; those whose timestamp is at or above `osaka_time` (seconds) follow Osaka.
    With `account_permissions` the contract of this name says who may send and deploy.
    """

    chain_id: ChainId
    gas_limit: Gas = GAS_LIMIT_DEFAULT
    base_fee_min: Wei = WEI_ZERO
    base_fee_initial: Wei = BASE_FEE_INITIAL_DEFAULT
    block_period_ms: int = 1_000
    empty_block_period_ms: int = 10_000
    clock_drift_ms: int = 2_000
    times: ConsensusTimes = field(default_factory=ConsensusTimes)
    validator_registry: Address = VALIDATOR_REGISTRY
    osaka_time: int | None = None
    account_permissions: bool = False
