"""State and block overrides, and simulated blocks: JSON to the values of `vm`.

Source: execution-apis eth_call, eth_simulateV1; go-ethereum internal/ethapi/override for what is
refused. Unknown fields are ignored, as go-ethereum does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from node.rpc.arguments import (
    BadArgument,
    CallObject,
    parse_address,
    parse_call,
    parse_data,
    parse_flag,
    parse_hash,
    parse_quantity,
    parse_slot,
)
from primitives.types import Gas, Height, Nonce, Wei
from vm.overrides import AccountOverride, BlockOverrides, StateOverrides

CALLS_MAX: Final = 5_000
"""Calls in one simulated block."""

BLOCKS_MAX: Final = 256

_ACCOUNT_FIELDS: Final = {
    each.lower(): each
    for each in ("balance", "nonce", "code", "state", "stateDiff", "movePrecompileToAddress")
}


@dataclass(frozen=True, slots=True)
class StateArgument:
    """The state overrides of a request."""

    accounts: StateOverrides


@dataclass(frozen=True, slots=True)
class BlockWish:
    """One block of an eth_simulateV1 request."""

    block: BlockOverrides
    state: StateOverrides
    calls: tuple[CallObject, ...]


@dataclass(frozen=True, slots=True)
class SimulationArgument:
    """The first parameter of eth_simulateV1."""

    blocks: tuple[BlockWish, ...]
    transfers: bool
    validation: bool
    full: bool


def _object(value: object, kind: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadArgument(f"cannot unmarshal value into {kind}")
    return {name: each for name, each in value.items() if each is not None}


def _account_object(value: object) -> dict[str, Any]:
    """Return the fields of an account override; their letters' case is free, as in Go."""
    given = _object(value, "account override")
    return {_ACCOUNT_FIELDS.get(name.lower(), name): each for name, each in given.items()}


def parse_state(value: object) -> StateArgument:
    """Return state overrides; raises BadArgument."""
    return StateArgument(_parse_accounts(value))


def _parse_accounts(value: object) -> StateOverrides:
    given = _object(value, "state overrides")
    return {parse_address(name): _parse_account(each) for name, each in given.items()}


def _parse_account(value: object) -> AccountOverride:
    given = _account_object(value)
    move = "movePrecompileToAddress"
    return AccountOverride(
        balance=Wei(parse_quantity(given["balance"])) if "balance" in given else None,
        nonce=Nonce(parse_quantity(given["nonce"], 64)) if "nonce" in given else None,
        code=parse_data(given["code"]) if "code" in given else None,
        state=_parse_slots(given["state"]) if "state" in given else None,
        state_diff=_parse_slots(given["stateDiff"]) if "stateDiff" in given else None,
        move_precompile_to=parse_address(given[move]) if move in given else None,
    )


def _parse_slots(value: object) -> dict[int, int]:
    given = _object(value, "storage")
    return {
        int(parse_slot(name)): int.from_bytes(parse_hash(each), "big")
        for name, each in given.items()
    }


def parse_block_overrides(value: object) -> BlockOverrides:
    """Return block overrides; raises BadArgument."""
    given = _object(value, "block overrides")
    for name in ("beaconRoot", "withdrawals"):
        if name in given:
            raise BadArgument(f'block override "{name}" is not supported')

    def number(name: str, bits: int = 256) -> int | None:
        return parse_quantity(given[name], bits) if name in given else None

    height, gas_limit = number("number", 64), number("gasLimit", 64)
    base_fee, blob_base_fee = number("baseFeePerGas"), number("blobBaseFee")
    return BlockOverrides(
        number=None if height is None else Height(height),
        time=number("time", 64),
        gas_limit=None if gas_limit is None else Gas(gas_limit),
        fee_recipient=parse_address(given["feeRecipient"]) if "feeRecipient" in given else None,
        prev_randao=parse_hash(given["prevRandao"]) if "prevRandao" in given else None,
        base_fee=None if base_fee is None else Wei(base_fee),
        blob_base_fee=None if blob_base_fee is None else Wei(blob_base_fee),
    )


def parse_simulation(value: object) -> SimulationArgument:
    """Return what eth_simulateV1 is to simulate; raises BadArgument."""
    given = _object(value, "simulation")
    blocks = given.get("blockStateCalls", [])
    if not isinstance(blocks, list) or not blocks:
        raise BadArgument("empty input")
    return SimulationArgument(
        blocks=tuple(_parse_wish(each) for each in blocks),
        transfers=parse_flag(given.get("traceTransfers", False)),
        validation=parse_flag(given.get("validation", False)),
        full=parse_flag(given.get("returnFullTransactions", False)),
    )


def _parse_wish(value: object) -> BlockWish:
    given = _object(value, "simulated block")
    calls = given.get("calls", [])
    if not isinstance(calls, list) or len(calls) > CALLS_MAX:
        raise BadArgument(f"want a list of at most {CALLS_MAX} calls")
    return BlockWish(
        parse_block_overrides(given.get("blockOverrides", {})),
        _parse_accounts(given.get("stateOverrides", {})),
        tuple(parse_call(each) for each in calls),
    )


PARSERS: Final[dict[object, Callable[[object], object]]] = {
    StateArgument: parse_state,
    BlockOverrides: parse_block_overrides,
    SimulationArgument: parse_simulation,
}
