"""What proof of work fixed: the difficulty of a block and the rewards of those who found it.

Only for importing public chains. The proof itself (ethash) is not verified: it would take
gigabytes of tables, and a chain that is imported is trusted by its head hash.
Sources: Yellow Paper 4.4.4 and 11.3; EIP-2, 100, 649, 1234, 2384, 3554, 4345, 5133.
"""

from __future__ import annotations

from typing import Final

from primitives.ethereum import PublicBlock, PublicHeader
from primitives.types import EMPTY_OMMERS_HASH, Address, Wei
from vm.forks import Fork

DIFFICULTY_MIN: Final = 131_072
DIFFICULTY_DIVISOR: Final = 2_048
FALL_MAX: Final = 99
FRONTIER_LIMIT_S: Final = 13
BOMB_PERIOD: Final = 100_000
ETHER: Final = 10**18
OMMER_DEPTH: Final = 8
NEPHEW_SHARE: Final = 32

_BOMB_DELAYS: Final = (
    (Fork.GRAY_GLACIER, 11_400_000),
    (Fork.ARROW_GLACIER, 10_700_000),
    (Fork.LONDON, 9_700_000),
    (Fork.MUIR_GLACIER, 9_000_000),
    (Fork.CONSTANTINOPLE, 5_000_000),
    (Fork.BYZANTIUM, 3_000_000),
)
"""By how many heights each fork put off the rise that doubles every 100,000."""


def difficulty(parent: PublicHeader, timestamp: int, fork: Fork) -> int:
    """Return the difficulty of a child of `parent` with this timestamp, under `fork`."""
    step = parent.difficulty // DIFFICULTY_DIVISOR
    seconds = timestamp - parent.timestamp
    if fork >= Fork.BYZANTIUM:
        ommers = 1 if parent.ommers_hash == EMPTY_OMMERS_HASH else 2
        change = max(ommers - seconds // 9, -FALL_MAX)
    elif fork >= Fork.HOMESTEAD:
        change = max(1 - seconds // 10, -FALL_MAX)
    else:
        change = 1 if seconds < FRONTIER_LIMIT_S else -1
    plain = max(parent.difficulty + step * change, DIFFICULTY_MIN)
    return max(plain + _bomb(parent.height, fork), DIFFICULTY_MIN)


def _bomb(parent_height: int, fork: Fork) -> int:
    delay = next((delay for since, delay in _BOMB_DELAYS if fork >= since), None)
    height = parent_height + 1 if delay is None else max(parent_height - (delay - 1), 0)
    period = height // BOMB_PERIOD
    return int(2 ** (period - 2)) if period > 1 else 0


def block_reward(fork: Fork) -> Wei:
    """Return what the finder of a block gets, in wei."""
    if fork >= Fork.CONSTANTINOPLE:
        return Wei(2 * ETHER)
    return Wei(3 * ETHER if fork >= Fork.BYZANTIUM else 5 * ETHER)


def rewards(block: PublicBlock, fork: Fork) -> tuple[tuple[Address, Wei], ...]:
    """Return who gets how much for `block`: the finders of its ommers, then its own."""
    reward = block_reward(fork)
    height = block.header.height
    paid = [
        (each.fee_recipient, Wei((each.height + OMMER_DEPTH - height) * reward // OMMER_DEPTH))
        for each in block.ommers
    ]
    own = Wei(reward + len(block.ommers) * (reward // NEPHEW_SHARE))
    return (*paid, (block.header.fee_recipient, own))
