"""Base fees: EIP-1559's formula, the floor, and chains without a fee."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.block import Header
from primitives.errors import InvalidBlock
from primitives.params import ChainParams
from primitives.types import Gas, Wei
from tests.vm.support import CHAIN, ENGINE, GWEI, PARAMS, allocation, validator_set
from vm.blocks import BlockExecutor
from vm.fees import base_fee, blob_base_fee, excess_blob_gas, public_base_fee
from vm.forks import BLOBS, Fork, Rules

GENESIS = BlockExecutor(ENGINE, PARAMS).genesis(allocation(validator_set()), timestamp=0)
LIMIT = 1_000_000


def parent(fee: int, used: int, limit: int = LIMIT) -> Header:
    return replace(
        GENESIS.block.header,
        base_fee_per_gas=Wei(fee),
        gas_used=Gas(used),
        gas_limit=Gas(limit),
    )


def params(floor: int) -> ChainParams:
    return ChainParams(chain_id=CHAIN, base_fee_min=Wei(floor))


@pytest.mark.parametrize(
    ("fee", "used", "expected"),
    [
        (GWEI, LIMIT // 2, GWEI),
        (GWEI, LIMIT, GWEI + GWEI // 8),
        (GWEI, 0, GWEI - GWEI // 8),
        (GWEI, LIMIT // 4, GWEI - GWEI // 16),
        (1, LIMIT, 2),
        (7, 0, 7),
    ],
)
def test_the_fee_moves_by_the_formula(fee: int, used: int, expected: int) -> None:
    """Half full keeps the fee; full and empty move it by an eighth; it rises by at least 1."""
    assert base_fee(parent(fee, used), params(0)) == expected


def test_the_fee_never_falls_below_the_floor() -> None:
    """An empty block's child pays the floor where the formula says less."""
    assert base_fee(parent(1_000, 0), params(900)) == 900
    assert base_fee(parent(1_000, 0), params(875)) == 875
    assert base_fee(parent(1_000, 0), params(874)) == 875


def test_a_free_chain_stays_free() -> None:
    """A full block on a chain with base fee 0 does not make the next one cost something."""
    assert base_fee(parent(0, LIMIT), params(0)) == 0
    assert base_fee(parent(0, LIMIT), params(5)) == 5


def test_a_parent_above_its_limit_is_refused() -> None:
    """The parent may use its limit and no more."""
    assert base_fee(parent(GWEI, LIMIT), params(0)) > GWEI
    with pytest.raises(InvalidBlock):
        base_fee(parent(GWEI, LIMIT + 1), params(0))


@given(
    fee=st.integers(0, 10**20),
    limit=st.integers(1, 10**9),
    share=st.fractions(0, 1),
    floor=st.integers(0, 10**10),
)
def test_the_fee_moves_at_most_an_eighth_and_in_the_right_direction(
    fee: int, limit: int, share: object, floor: int
) -> None:
    """Bounds of EIP-1559 for all parents; kills a swapped sign and a forgotten floor."""
    used = int(share * limit)  # type: ignore[operator]
    child = base_fee(parent(fee, used, limit), params(floor))
    assert child >= floor
    if child > floor and fee:
        # A limit of one gas more than twice the target lets a full block exceed 1/8 slightly.
        assert fee - fee // 8 - 1 <= child <= fee + fee // 4 + fee // 8 + 1
        assert child >= fee if used >= limit // 2 else child <= fee


def test_public_chains_follow_the_eip_to_the_letter() -> None:
    """Where ours stays free, the EIP's fee rises by one."""
    assert public_base_fee(Wei(0), Gas(LIMIT), Gas(LIMIT)) == 1
    assert public_base_fee(Wei(GWEI), Gas(LIMIT), Gas(LIMIT)) == GWEI + GWEI // 8
    assert public_base_fee(Wei(7), Gas(0), Gas(LIMIT)) == 7


@pytest.mark.parametrize(
    ("fork", "excess", "fee"),
    [
        (Fork.CANCUN, 0, 1),
        (Fork.CANCUN, 2_314_057, 1),
        (Fork.CANCUN, 2_314_058, 2),
        (Fork.CANCUN, 10 * 1024 * 1024, 23),
        (Fork.PRAGUE, 10 * 1024 * 1024, 8),
        (Fork.BPO2, 10 * 1024 * 1024, 2),
    ],
)
def test_blob_base_fee(fork: Fork, excess: int, fee: int) -> None:
    """geth's table for Cancun (eip4844_test.go); e^(excess/fraction) for the others."""
    assert blob_base_fee(Gas(excess), BLOBS[fork]) == fee


def test_blobs_cost_the_least_where_there_are_none() -> None:
    """BLOBBASEFEE on our networks."""
    assert blob_base_fee(Gas(10**9), None) == 1
    assert excess_blob_gas(Gas(10**9), Gas(10**9), Wei(1), Rules(Fork.PRAGUE)) == 0


ONE = 1 << 17


@pytest.mark.parametrize(
    ("excess", "used", "expected"),
    [(0, 0, 0), (0, 3, 0), (0, 4, 1), (1, 2, 0), (10, 1, 8), (10, 0, 7), (2, 0, 0)],
)
def test_excess_blob_gas_counts_what_is_above_the_target(
    excess: int, used: int, expected: int
) -> None:
    """Cancun's target of three blobs. Source: geth, eip4844_test.go."""
    rules = Rules(Fork.CANCUN, BLOBS[Fork.CANCUN])
    assert excess_blob_gas(Gas(excess * ONE), Gas(used * ONE), Wei(10**12), rules) == expected * ONE


def test_the_reserve_price_keeps_the_excess_while_gas_is_dear() -> None:
    """EIP-7918: from a base fee of 16 times the blob fee on, the excess does not fall.

    Kills: the comparison the other way round, and the rule before Osaka.
    """
    excess, used = Gas(ONE * 100), Gas(ONE * 3)
    price = blob_base_fee(excess, BLOBS[Fork.OSAKA])
    osaka, prague = (Rules(fork, BLOBS[fork]) for fork in (Fork.OSAKA, Fork.PRAGUE))
    assert excess_blob_gas(excess, used, Wei(16 * price), osaka) == 97 * ONE
    assert excess_blob_gas(excess, used, Wei(16 * price + 1), osaka) == 101 * ONE
    assert excess_blob_gas(excess, used, Wei(16 * price + 1), prague) == 97 * ONE
