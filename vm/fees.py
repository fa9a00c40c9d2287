"""Base fees: EIP-1559 with a floor that the chain's parameters set; and the fees of public chains.

Two points are ours. The fee never falls below `params.base_fee_min`. And a base fee of zero stays
at the floor however full blocks are: the EIP's "rises by at least 1" would slowly price a
gas-free chain, on which wallets send transactions with a fee of zero, out of its own blocks.
Public chains follow the EIP to the letter, and price blobs by EIP-4844 and EIP-7918.
"""

from __future__ import annotations

from typing import Final

from primitives.block import Header
from primitives.errors import InvalidBlock
from primitives.params import BASE_FEE_CHANGE_DENOMINATOR, ELASTICITY_MULTIPLIER, ChainParams
from primitives.types import Gas, Wei
from vm.forks import BlobSchedule, Fork, Rules

BLOB_GAS: Final = 1 << 17
"""Blob gas of one blob. Source: EIP-4844."""

BLOB_BASE_FEE_MIN: Final = 1
BLOB_BASE_COST: Final = 1 << 13
"""Gas that a blob shall cost at least, for the reserve price of EIP-7918."""


def base_fee(parent: Header, params: ChainParams) -> Wei:
    """Return the base fee of the child of `parent`, in wei per unit of gas.

    Moves by at most 1/8 per block towards the price at which blocks are half full. Source:
    EIP-1559, "calc base fee". Raises InvalidBlock when the parent used more gas than its limit.
    """
    if parent.gas_used > parent.gas_limit:
        raise InvalidBlock(
            "gas used exceeds gas limit", gas_used=parent.gas_used, gas_limit=parent.gas_limit
        )
    fee = parent.base_fee_per_gas
    return Wei(max(params.base_fee_min, fee + _change(fee, parent.gas_used, parent.gas_limit)))


def _change(fee: int, gas_used: int, gas_limit: int) -> int:
    return 0 if fee == 0 else _change_of_eip(fee, gas_used, gas_limit)


def _change_of_eip(fee: int, gas_used: int, gas_limit: int) -> int:
    target = gas_limit // ELASTICITY_MULTIPLIER
    if gas_used == target or target == 0:
        return 0
    change = fee * abs(gas_used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
    return max(change, 1) if gas_used > target else -change


def public_base_fee(fee: Wei, gas_used: Gas, gas_limit: Gas) -> Wei:
    """Return the base fee of the child of a block of a public chain, in wei per gas (EIP-1559)."""
    return Wei(fee + _change_of_eip(fee, gas_used, gas_limit))


def blob_base_fee(excess: Gas, blobs: BlobSchedule | None) -> Wei:
    """Return the price of blob gas, in wei; the least where the chain takes no blobs (EIP-4844)."""
    if blobs is None:
        return Wei(BLOB_BASE_FEE_MIN)
    return Wei(_exponential(BLOB_BASE_FEE_MIN, excess, blobs.update_fraction))


def _exponential(factor: int, numerator: int, denominator: int) -> int:
    """Return factor * e^(numerator / denominator), by Taylor. Source: EIP-4844, helpers."""
    output, term, index = 0, factor * denominator, 1
    while term > 0:
        output += term
        term = term * numerator // (denominator * index)
        index += 1
    return output // denominator


def excess_blob_gas(excess: Gas, used: Gas, base_fee: Wei, rules: Rules) -> Gas:
    """Return the excess blob gas of a block under `rules`, from its parent's three values.

    Sources: EIP-4844, EIP-7691; from Osaka on EIP-7918: while gas is dear, blobs pay at least what
    their gas would cost, so the excess does not fall.
    """
    blobs = rules.blobs
    if blobs is None:
        return Gas(0)
    target = blobs.target * BLOB_GAS
    if excess + used < target:
        return Gas(0)
    if rules.fork >= Fork.OSAKA:
        price = blob_base_fee(excess, blobs)
        if BLOB_BASE_COST * base_fee > BLOB_GAS * price:
            return Gas(excess + used * (blobs.maximum - blobs.target) // blobs.maximum)
    return Gas(excess + used - target)
