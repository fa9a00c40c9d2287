"""qbft_* and ibft_*: Besu's names where the meaning is the same here.

Validators change by votes in the ValidatorRegistry contract, not by header votes: what is pending
is read from the contract, and a vote is a transaction to it, signed with the node's validator key.
A vote that was cast cannot be taken back; a change of the set ends all other proposals.
Source: Besu, ethereum/api QBFT methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from node.rpc.arguments import LATEST, BlockRef
from node.rpc.backend import Request, height_at, operator_of, validators_at
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import invalid_params, server_error
from node.rpc.lanes import Lane
from node.rpc.registry import pending_changes
from primitives.types import Address, Hash32, Height

METRICS_BLOCKS_MAX: Final = 1_000
METRICS_BLOCKS_DEFAULT: Final = 100
HINT: Final = (
    "a vote in the ValidatorRegistry cannot be taken back; it ends with the next change of the set"
)

TABLE = MethodTable()


def _validators_by_number(request: Request, block: BlockRef) -> list[str]:
    """Return the validators that decided a block, in order of address."""
    return _validators(request, height_at(request.view, block))


def _validators_by_hash(request: Request, block: Hash32) -> list[str]:
    """Return the validators that decided a block, in order of address."""
    return _validators(request, height_at(request.view, BlockRef(hash=block)))


def _validators(request: Request, height: Height) -> list[str]:
    found = validators_at(request.view, Height(max(height, 1)))
    if found is None:
        raise server_error("header not found")
    return sorted(to_hex(each.address) for each in found.validators)


def _pending_votes(request: Request) -> dict[str, bool]:
    """Return the open proposals of the registry: true for a member to join, false to leave."""
    return {to_hex(member): power > 0 for member, power in pending_changes(request)}


def _signer_metrics(
    request: Request, first: BlockRef | None = None, last: BlockRef = LATEST
) -> list[Json]:
    """Return how many blocks each fee recipient proposed in a range, the last 100 by default."""
    end = height_at(request.view, last)
    start = max(1, end - METRICS_BLOCKS_DEFAULT + 1)
    if first is not None:
        start = max(1, height_at(request.view, first))
    if end - start >= METRICS_BLOCKS_MAX:
        raise invalid_params(f"requested range above {METRICS_BLOCKS_MAX} blocks")
    counts: Counter[Address] = Counter()
    newest: dict[Address, int] = {}
    for height in range(start, end + 1):
        request.check_time()
        header = request.view.header(Height(height))
        if header is not None:
            counts[header.fee_recipient] += 1
            newest[header.fee_recipient] = height
    members = validators_at(request.view, Height(max(end, 1)))
    names = {each.address for each in members.validators} if members else set()
    return [
        {
            "address": to_hex(each),
            "proposedBlockCount": hex(counts[each]),
            "lastProposedBlockNumber": hex(newest.get(each, 0)),
        }
        for each in sorted(names | counts.keys())
    ]


def _propose(request: Request, validator: Address, add: bool) -> bool:
    """Vote that an account becomes a validator with power 1, or leaves; true when it is pooled.

    Proposes the change, or approves it when it is open. The node's validator key pays the fee.
    """
    operator_of(request).vote(validator, int(add))
    return True


def _discard(request: Request, validator: Address) -> bool:
    """Refuse: a vote that was cast in the registry stays until the set changes."""
    raise server_error(HINT)


_METHODS: Final[tuple[tuple[str, Callable[..., object]], ...]] = (
    ("getValidatorsByBlockNumber", _validators_by_number),
    ("getValidatorsByBlockHash", _validators_by_hash),
    ("getPendingVotes", _pending_votes),
    ("getSignerMetrics", _signer_metrics),
    ("proposeValidatorVote", _propose),
    ("discardValidatorVote", _discard),
)
_VOTES: Final = frozenset(("proposeValidatorVote", "discardValidatorVote"))

for _namespace in ("qbft", "ibft"):
    for _name, _function in _METHODS:
        _lane = Lane.SUBMIT if _name in _VOTES else Lane.CALL
        TABLE.method(f"{_namespace}_{_name}", lane=_lane, for_operator=_name in _VOTES)(_function)


@TABLE.method("qbft_getRequestTimeoutSeconds")
def request_timeout(request: Request) -> int:
    """Return the first timeout of a round, in whole seconds, at least 1."""
    return max(1, request.backend.api.params.times.timeout_propose_ms // 1_000)
