"""The payload attributes of testing_buildBlockV1. Source: execution-apis PayloadAttributesV3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.rpc.arguments import BadArgument, parse_address, parse_hash, parse_quantity
from primitives.ethereum import Withdrawal
from primitives.types import ZERO_HASH, Address, Hash32

WITHDRAWALS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class PayloadAttributes:
    """What the maker of a block may choose."""

    timestamp: int
    prev_randao: Hash32
    fee_recipient: Address
    withdrawals: tuple[Withdrawal, ...]
    beacon_root: Hash32


def parse_attributes(value: object) -> PayloadAttributes:
    """Return the attributes; raises BadArgument."""
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into payload attributes")
    withdrawals = value.get("withdrawals") or []
    if not isinstance(withdrawals, list) or len(withdrawals) > WITHDRAWALS_MAX:
        raise BadArgument(f"want a list of at most {WITHDRAWALS_MAX} withdrawals")
    root = value.get("parentBeaconBlockRoot")
    return PayloadAttributes(
        timestamp=parse_quantity(value.get("timestamp"), 64),
        prev_randao=parse_hash(value.get("prevRandao")),
        fee_recipient=parse_address(value.get("suggestedFeeRecipient")),
        withdrawals=tuple(_withdrawal(each) for each in withdrawals),
        beacon_root=ZERO_HASH if root is None else parse_hash(root),
    )


def _withdrawal(value: object) -> Withdrawal:
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into withdrawal")
    return Withdrawal(
        index=parse_quantity(value.get("index"), 64),
        validator_index=parse_quantity(value.get("validatorIndex"), 64),
        address=parse_address(value.get("address")),
        amount_gwei=parse_quantity(value.get("amount"), 64),
    )


PARSERS: Final[dict[object, Callable[[object], object]]] = {PayloadAttributes: parse_attributes}
