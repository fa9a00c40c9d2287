"""Base fees: EIP-1559 with a floor that the chain's parameters set.

Two points are ours. The fee never falls below `params.base_fee_min`. And a base fee of zero stays
at the floor however full blocks are: the EIP's "rises by at least 1" would slowly price a
gas-free chain, on which wallets send transactions with a fee of zero, out of its own blocks.
"""

from __future__ import annotations

from primitives.block import Header
from primitives.errors import InvalidBlock
from primitives.params import BASE_FEE_CHANGE_DENOMINATOR, ELASTICITY_MULTIPLIER, ChainParams
from primitives.types import Wei


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
    target = gas_limit // ELASTICITY_MULTIPLIER
    if fee == 0 or gas_used == target or target == 0:
        return 0
    change = fee * abs(gas_used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
    return max(change, 1) if gas_used > target else -change
