"""The configuration of a chain's forks as eth_config shows it.

Sources: EIP-7910; EIP-2124 and EIP-6122 for the fork id: the CRC-32 of the genesis hash and of
the heights and times at which the rules changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zlib import crc32

from node.rpc.encode import Json, to_hex
from primitives.params import NODE_REGISTRY, VALIDATOR_REGISTRY, ChainParams
from primitives.types import Address, Hash32
from vm.forks import BLOBS, BlobSchedule, Fork, ForkSchedule

PRECOMPILES: Final = (
    (1, "ECREC", Fork.FRONTIER),
    (2, "SHA256", Fork.FRONTIER),
    (3, "RIPEMD160", Fork.FRONTIER),
    (4, "ID", Fork.FRONTIER),
    (5, "MODEXP", Fork.BYZANTIUM),
    (6, "BN254_ADD", Fork.BYZANTIUM),
    (7, "BN254_MUL", Fork.BYZANTIUM),
    (8, "BN254_PAIRING", Fork.BYZANTIUM),
    (9, "BLAKE2F", Fork.ISTANBUL),
    (10, "KZG_POINT_EVALUATION", Fork.CANCUN),
    (11, "BLS12_G1ADD", Fork.PRAGUE),
    (12, "BLS12_G1MSM", Fork.PRAGUE),
    (13, "BLS12_G2ADD", Fork.PRAGUE),
    (14, "BLS12_G2MSM", Fork.PRAGUE),
    (15, "BLS12_PAIRING_CHECK", Fork.PRAGUE),
    (16, "BLS12_MAP_FP_TO_G1", Fork.PRAGUE),
    (17, "BLS12_MAP_FP2_TO_G2", Fork.PRAGUE),
    (256, "P256VERIFY", Fork.OSAKA),
)
BEACON_ROOTS: Final = "0x000f3df6d732807ef1319fb7b8bb8522d0beac02"
HISTORY_STORAGE: Final = "0x0000f90827f1c53a10cb7a02335b175320002935"
WITHDRAWALS: Final = "0x00000961ef480eb55e80d19ad83579a64c007002"
CONSOLIDATIONS: Final = "0x0000bbddc7ce488642fb579f8b00f3a590007251"
NO_BLOBS: Final = BlobSchedule(0, 0, BLOBS[Fork.PRAGUE].update_fraction)


@dataclass(frozen=True, slots=True)
class Activation:
    """A set of rules that begins at a time, in seconds."""

    time: int
    fork: Fork
    blobs: BlobSchedule
    contracts: tuple[tuple[str, str], ...]


def own_activations(params: ChainParams) -> list[Activation]:
    """Return the rules of a QENEX network in order of time."""
    contracts = (
        ("HISTORY_STORAGE_ADDRESS", HISTORY_STORAGE),
        ("NODE_REGISTRY_ADDRESS", to_hex(NODE_REGISTRY)),
        ("VALIDATOR_REGISTRY_ADDRESS", to_hex(params.validator_registry or VALIDATOR_REGISTRY)),
    )
    found = [Activation(0, Fork.PRAGUE, NO_BLOBS, contracts)]
    if params.osaka_time is not None:
        found.append(Activation(params.osaka_time, Fork.OSAKA, NO_BLOBS, contracts))
    return found


def public_activations(schedule: ForkSchedule) -> list[Activation]:
    """Return the rules of a public chain from Cancun on, in order of time."""
    found = []
    for time, fork in schedule.times:
        if fork >= Fork.CANCUN:
            blobs = schedule.rules(0, time, merged=True).blobs or NO_BLOBS
            found.append(Activation(time, fork, blobs, _contracts(fork, schedule.deposit_contract)))
    return found


def _contracts(fork: Fork, deposits: Address | None) -> tuple[tuple[str, str], ...]:
    found = [("BEACON_ROOTS_ADDRESS", BEACON_ROOTS)]
    if fork >= Fork.PRAGUE:
        found += [
            ("CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS", CONSOLIDATIONS),
            ("DEPOSIT_CONTRACT_ADDRESS", to_hex(deposits or bytes(20))),
            ("HISTORY_STORAGE_ADDRESS", HISTORY_STORAGE),
            ("WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS", WITHDRAWALS),
        ]
    return tuple(found)


def changes_of(schedule: ForkSchedule, netsplit_height: int | None) -> list[int]:
    """Return the heights, then the times, at which the rules of a public chain change."""
    heights = {height for height, _ in schedule.heights}
    if netsplit_height is not None:
        heights.add(netsplit_height)
    if schedule.dao_height is not None:
        heights.add(schedule.dao_height)
    return [*sorted(heights - {0}), *sorted({time for time, _ in schedule.times} - {0})]


def fork_id(genesis_hash: Hash32, changes: list[int], upto: int, heights: int) -> str:
    """Return the fork hash after all changes of height and those of time up to `upto`.

    The first `heights` of `changes` are heights, which are all passed.
    """
    checksum = crc32(genesis_hash)
    for index, each in enumerate(changes):
        if index < heights or each <= upto:
            checksum = crc32(each.to_bytes(8, "big"), checksum)
    return f"0x{checksum:08x}"


def shown(activation: Activation, chain_id: int, fork_hash: str) -> Json:
    """Return one configuration as eth_config shows it."""
    return {
        "activationTime": activation.time,
        "blobSchedule": {
            "baseFeeUpdateFraction": activation.blobs.update_fraction,
            "max": activation.blobs.maximum,
            "target": activation.blobs.target,
        },
        "chainId": hex(chain_id),
        "forkId": fork_hash,
        "precompiles": {
            name: f"0x{number:040x}"
            for number, name, since in sorted(PRECOMPILES, key=lambda each: each[1])
            if activation.fork >= since
        },
        "systemContracts": dict(activation.contracts),
    }
