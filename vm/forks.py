"""Which rules a block runs under: Ethereum's forks from Frontier to BPO2, chosen by a schedule.

A `Rules` value says all that fees, validation and the engine need to know about forks; it is made
by a schedule from a block's height and timestamp. A QENEX network runs Prague from its first
block, and Osaka from `ChainParams.osaka_time` on. A public chain has a `ForkSchedule`, read from
the `config` section of its genesis in geth's shape: forks up to the merge come by height, the
merge by total difficulty, later ones by timestamp. Forks between two releases of blob limits
(BPO, EIP-7892) change nothing but the blob schedule.
Sources: EIP-606, 608, 609, 1013, 1716, 1679, 2387, 3675, 7607, 7840, 7892; geth, params/config.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from primitives.errors import ConfigError
from primitives.params import ChainParams
from primitives.types import ADDRESS_BYTES, Address, Height


class Fork(IntEnum):
    """Ethereum's forks in their order; a later one includes all earlier ones."""

    FRONTIER = 0
    HOMESTEAD = 1
    TANGERINE_WHISTLE = 2
    SPURIOUS_DRAGON = 3
    BYZANTIUM = 4
    CONSTANTINOPLE = 5
    PETERSBURG = 6
    ISTANBUL = 7
    MUIR_GLACIER = 8
    BERLIN = 9
    LONDON = 10
    ARROW_GLACIER = 11
    GRAY_GLACIER = 12
    PARIS = 13
    SHANGHAI = 14
    CANCUN = 15
    PRAGUE = 16
    OSAKA = 17
    BPO1 = 18
    BPO2 = 19


@dataclass(frozen=True, slots=True)
class BlobSchedule:
    """Blobs of a block: the target, the most, and how slowly their base fee moves (EIP-7840)."""

    target: int
    maximum: int
    update_fraction: int


BLOBS: Final[Mapping[Fork, BlobSchedule]] = {
    Fork.CANCUN: BlobSchedule(3, 6, 3_338_477),
    Fork.PRAGUE: BlobSchedule(6, 9, 5_007_716),
    Fork.OSAKA: BlobSchedule(6, 9, 5_007_716),
    Fork.BPO1: BlobSchedule(10, 15, 8_346_193),
    Fork.BPO2: BlobSchedule(14, 21, 11_684_671),
}
"""Ethereum's own schedules. Sources: EIP-4844, 7691, 7607 and 7892."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one block.

    `blobs` None means that the chain takes no blob transactions. `deposit_contract` None means
    that the block carries no requests to a consensus layer (EIP-7685). `moves_dao` is true for
    the one block that takes the DAO's ether (EIP-779).
    """

    fork: Fork = Fork.PRAGUE
    blobs: BlobSchedule | None = None
    deposit_contract: Address | None = None
    moves_dao: bool = False

    @property
    def keeps_empty(self) -> bool:
        """True before EIP-161: accounts with nothing in them exist and stay."""
        return self.fork < Fork.SPURIOUS_DRAGON


PRAGUE: Final = Rules(Fork.PRAGUE)
OSAKA: Final = Rules(Fork.OSAKA)


def rules_at(params: ChainParams, timestamp: int) -> Rules:
    """Return the rules of a block of a QENEX network that carries `timestamp`."""
    if params.osaka_time is not None and timestamp >= params.osaka_time:
        return OSAKA
    return PRAGUE


def latest_rules(params: ChainParams) -> Rules:
    """Return the newest rules that the network knows, for those who check ahead (the pool)."""
    return PRAGUE if params.osaka_time is None else OSAKA


_BY_HEIGHT: Final = {
    "homesteadBlock": Fork.HOMESTEAD,
    "eip150Block": Fork.TANGERINE_WHISTLE,
    "eip158Block": Fork.SPURIOUS_DRAGON,
    "byzantiumBlock": Fork.BYZANTIUM,
    "constantinopleBlock": Fork.CONSTANTINOPLE,
    "petersburgBlock": Fork.PETERSBURG,
    "istanbulBlock": Fork.ISTANBUL,
    "muirGlacierBlock": Fork.MUIR_GLACIER,
    "berlinBlock": Fork.BERLIN,
    "londonBlock": Fork.LONDON,
    "arrowGlacierBlock": Fork.ARROW_GLACIER,
    "grayGlacierBlock": Fork.GRAY_GLACIER,
}
_BY_TIME: Final = {
    "shanghaiTime": Fork.SHANGHAI,
    "cancunTime": Fork.CANCUN,
    "pragueTime": Fork.PRAGUE,
    "osakaTime": Fork.OSAKA,
    "bpo1Time": Fork.BPO1,
    "bpo2Time": Fork.BPO2,
}
_UNKNOWN: Final = (
    "bpo3Time",
    "bpo4Time",
    "bpo5Time",
    "amsterdamTime",
    "bogotaTime",
    "verkleTime",
    "clique",
)


@dataclass(frozen=True, slots=True)
class ForkSchedule:
    """When the forks of a public chain begin.

    `heights` and `times` hold (first height or second, fork) in ascending order. Blocks after the
    `terminal_total_difficulty` (None: never) are under proof of stake. `dao_height` is where the
    DAO's ether was moved (EIP-779), None where it was not.
    """

    heights: tuple[tuple[int, Fork], ...] = ()
    times: tuple[tuple[int, Fork], ...] = ()
    terminal_total_difficulty: int | None = None
    blobs: Mapping[Fork, BlobSchedule] = field(default_factory=lambda: dict(BLOBS))
    deposit_contract: Address | None = None
    dao_height: Height | None = None

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> ForkSchedule:
        """Return the schedule that geth's `config` section describes.

        Raises ConfigError for forks out of order, and for those that this version does not know.
        """
        for key in _UNKNOWN:
            if config.get(key) is not None:
                raise ConfigError(f"config.{key}: this version does not know it", key=key)
        heights = _activations(config, _BY_HEIGHT)
        if config.get("eip155Block", config.get("eip158Block")) != config.get("eip158Block"):
            raise ConfigError("config.eip155Block: must be that of eip158Block")
        difficulty = config.get("terminalTotalDifficulty")
        times = _activations(config, _BY_TIME)
        if times and difficulty is None:
            raise ConfigError("config.terminalTotalDifficulty: missing, but later forks are set")
        return cls(
            heights,
            times,
            None if difficulty is None else number(difficulty),
            _blobs(config.get("blobSchedule") or {}),
            _deposit_contract(config, times),
            _dao_height(config),
        )

    def rules(self, height: int, timestamp: int, *, merged: bool) -> Rules:
        """Return the rules of a block; `merged` says that it is under proof of stake."""
        fork = Fork.FRONTIER
        for start, each in self.heights:
            if start <= height:
                fork = each
        if merged:
            fork = Fork.PARIS
            for start, each in self.times:
                if start <= timestamp:
                    fork = each
        blobs = next((self.blobs[each] for each in _down(fork) if each in self.blobs), None)
        contract = self.deposit_contract if fork >= Fork.PRAGUE else None
        return Rules(fork, blobs, contract, moves_dao=height == self.dao_height)


def _down(fork: Fork) -> list[Fork]:
    """Return the forks with blobs from `fork` downwards."""
    return [each for each in reversed(Fork) if Fork.CANCUN <= each <= fork]


def _activations(
    config: Mapping[str, Any], names: Mapping[str, Fork]
) -> tuple[tuple[int, Fork], ...]:
    found: list[tuple[int, Fork]] = []
    for key, fork in names.items():
        if config.get(key) is None:
            continue
        start = number(config[key])
        if found and start < found[-1][0]:
            raise ConfigError(f"config.{key}: {start} is before the fork ahead of it", key=key)
        found.append((start, fork))
    return tuple(found)


def _blobs(schedule: Mapping[str, Any]) -> dict[Fork, BlobSchedule]:
    blobs = dict(BLOBS)
    for name, entry in schedule.items():
        fork = Fork.__members__.get(name.upper())
        if fork is None or fork < Fork.CANCUN:
            continue
        blobs[fork] = BlobSchedule(
            number(entry["target"]), number(entry["max"]), number(entry["baseFeeUpdateFraction"])
        )
    return blobs


def _deposit_contract(
    config: Mapping[str, Any], times: tuple[tuple[int, Fork], ...]
) -> Address | None:
    if all(fork < Fork.PRAGUE for _, fork in times):
        return None
    text = config.get("depositContractAddress", "0x" + "00" * ADDRESS_BYTES)
    return Address(bytes.fromhex(text.removeprefix("0x")))


def _dao_height(config: Mapping[str, Any]) -> Height | None:
    height = config.get("daoForkBlock")
    if height is None or not config.get("daoForkSupport"):
        return None
    return Height(number(height))


def number(value: int | str) -> int:
    """Return a number that a document gives as a number, decimal text or 0x hex text."""
    return value if isinstance(value, int) else int(value, 0)
