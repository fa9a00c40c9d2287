"""trace_*: flat traces in OpenEthereum's shapes.

Source: OpenEthereum's JSON-RPC trace module; Besu's and reth's answers where it is silent. The
frames are those of flatCallTracer with Parity's words for errors. Blocks under proof of work end
with their rewards. Calls to precompiles are left out, as there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from node.rpc.arguments import (
    LATEST,
    BadArgument,
    BlockRef,
    CallObject,
    Data,
    Names,
    Options,
    TraceFilter,
    parse_call,
    parse_names,
)
from node.rpc.backend import Request, height_at, resolve
from node.rpc.calls import call_context, message_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import invalid_params, server_error
from node.rpc.lanes import Lane
from node.rpc.overrides import StateArgument
from node.rpc.parity import DIFF_REQUEST, FRAMES, effect_of, state_diff, without_place
from node.rpc.replay import Deadline, block_at, place_of, traces_of
from node.rpc.vmtrace import VM_REQUEST, vm_trace
from primitives.ethereum import PublicBlock
from primitives.transaction import Transaction, decode_transaction
from primitives.types import Hash32, Height, Wei
from vm.chainrules import AnyBlock
from vm.engine import BlockContext, Call, ExecutionStopped
from vm.mining import rewards
from vm.overrides import StateOverrides, state_changes
from vm.state.changes import StateReader
from vm.state.layered import LayeredState
from vm.trace.requests import CallTree, Several, TraceRequest

KINDS: Final = ("trace", "vmTrace", "stateDiff")
FILTER_BLOCKS_MAX: Final = 1_000
"""Blocks of one trace_filter."""

CALLS_MAX: Final = 64
"""Calls of one trace_callMany."""

TABLE = MethodTable()


@TABLE.method("trace_block", lane=Lane.CALL)
def trace_block(request: Request, block: BlockRef) -> list[Json] | None:
    """Return the frames of all transactions of a block, then its rewards; null if unknown."""
    height = resolve(request.view, block)
    return None if height is None else list(_block_frames(request, height))


@TABLE.method("trace_transaction", lane=Lane.CALL)
def trace_transaction(request: Request, transaction: Hash32) -> list[Json] | None:
    """Return the frames of a committed transaction, null if it is unknown."""
    return _frames_of(request, transaction)


def _frames_of(request: Request, transaction: Hash32) -> list[Json] | None:
    place = request.view.transaction_lookup(transaction)
    if place is None:
        return None
    block = block_at(request.view, place[0])
    (frames,) = traces_of(request, block, FRAMES, index=place[1])
    return _frames(frames)


@TABLE.method("trace_get", lane=Lane.CALL)
def trace_get(request: Request, transaction: Hash32, address: Names) -> Json | None:
    """Return the frame of a transaction at a trace address of hex numbers, or null."""
    try:
        wanted = [int(each, 16) for each in address]
    except ValueError:
        raise invalid_params("invalid argument 1: want a list of hex numbers") from None
    frames = _frames_of(request, transaction) or []
    return next((each for each in frames if each["traceAddress"] == wanted), None)


@TABLE.method("trace_filter", lane=Lane.CALL)
def trace_filter(request: Request, wanted: TraceFilter) -> list[Json]:
    """Return the frames of a range of blocks whose sender and recipient are among those wanted."""
    view = request.view
    first = resolve(view, wanted.from_block) if wanted.from_block else Height(0)
    last = resolve(view, wanted.to_block) if wanted.to_block else view.head.height
    first = Height(1) if first is None else first
    last = view.head.height if last is None else last
    if last - first >= FILTER_BLOCKS_MAX:
        raise invalid_params(f"requested block range is too large (max {FILTER_BLOCKS_MAX})")
    found: list[Json] = []
    for height in range(first, last + 1):
        request.check_time()
        found += [e for e in _block_frames(request, Height(height)) if wanted.matches(e["action"])]
        if wanted.count is not None and len(found) >= wanted.after + wanted.count:
            break
    end = None if wanted.count is None else wanted.after + wanted.count
    return found[wanted.after : end]


@TABLE.method("trace_replayTransaction", lane=Lane.CALL)
def replay_transaction(request: Request, transaction: Hash32, kinds: Names) -> Json:
    """Return output and the wanted of trace, vmTrace and stateDiff of a transaction."""
    height, index = place_of(request, transaction)
    (found,) = traces_of(request, block_at(request.view, height), _request_of(kinds), index=index)
    return _replay(found, kinds)


@TABLE.method("trace_replayBlockTransactions", lane=Lane.CALL)
def replay_block(request: Request, block: BlockRef, kinds: Names) -> list[Json] | None:
    """Return `trace_replayTransaction` of all transactions of a block, null if it is unknown."""
    wanted = _request_of(kinds)
    height = resolve(request.view, block)
    if height is None:
        return None
    found = block_at(request.view, height)
    if height == 0:
        return []
    traces = traces_of(request, found, wanted)
    return [
        _replay(each, kinds) | {"transactionHash": to_hex(tx.hash)}
        for tx, each in zip(found.transactions, traces, strict=True)
    ]


@TABLE.method("trace_call", lane=Lane.CALL)
def trace_call(
    request: Request,
    transaction: Options,
    kinds: Names,
    block: BlockRef = LATEST,
    overrides: StateArgument | None = None,
) -> Json:
    """Return output and the wanted traces of a message on the state after a block."""
    accounts = overrides.accounts if overrides else {}
    return _trace_message(request, transaction, kinds, block, accounts)


@TABLE.method("trace_callMany", lane=Lane.CALL)
def trace_call_many(request: Request, calls: Options, block: BlockRef = LATEST) -> list[Json]:
    """Return `trace_call` of up to 64 messages, each on the state that those before it left.

    `calls` is a list of [transaction, kinds].
    """
    if not isinstance(calls, list) or len(calls) > CALLS_MAX:
        raise invalid_params(f"invalid argument 0: want a list of at most {CALLS_MAX} calls")
    answers = []
    state, context = call_context(request, block, None, None)
    for each in calls:
        if not isinstance(each, list) or len(each) != 2:
            raise invalid_params("invalid argument 0: want [transaction, kinds] for each call")
        try:
            kinds = parse_names(each[1])
        except BadArgument as error:
            raise invalid_params(f"invalid argument 0: {error}") from None
        message = message_of(request, _parsed(Options(each[0])), context)
        wanted = _request_of(Names((*kinds, "stateDiff")))
        found = _traced(request, (state, context, message), wanted)
        answers.append(_replay(found, kinds))
        state = LayeredState(state, state_changes(state, effect_of(found["stateDiff"])))
    return answers


@TABLE.method("trace_rawTransaction", lane=Lane.CALL)
def trace_raw_transaction(request: Request, raw: Data, kinds: Names) -> Json:
    """Return output and the wanted traces of a signed transaction on the head's state."""
    tx = decode_transaction(raw)
    wanted = _request_of(kinds)
    state, context = call_context(request, LATEST, None, None)
    return _replay(_traced(request, (state, context, _call_of(tx)), wanted), kinds)


def _call_of(tx: Transaction) -> Call:
    return Call(
        sender=tx.sender,
        to=tx.to,
        data=tx.data,
        value=tx.value,
        gas=tx.gas,
        gas_price=tx.max_fee_per_gas,
        access_list=tx.access_list,
        authorizations=tx.authorizations,
    )


def _trace_message(
    request: Request,
    transaction: Options,
    kinds: Names,
    block: BlockRef,
    accounts: StateOverrides,
) -> Json:
    wanted, call = _request_of(kinds), _parsed(transaction)
    state, context = call_context(request, block, accounts, None)
    message = message_of(request, call, context)
    return _replay(_traced(request, (state, context, message), wanted), kinds)


def _parsed(transaction: Options) -> CallObject:
    try:
        return parse_call(transaction)
    except BadArgument as error:
        raise invalid_params(f"invalid argument 0: {error}") from None


def _traced(
    request: Request, run: tuple[StateReader, BlockContext, Call], wanted: TraceRequest
) -> Json:
    state, context, message = run
    engine = request.backend.api.engine()
    try:
        found = engine.trace_call(state, context, message, wanted, stop=Deadline(request))
    except ExecutionStopped:
        raise server_error("execution timeout") from None
    return found if isinstance(found, dict) else {}


def _request_of(kinds: Names) -> TraceRequest:
    for each in kinds:
        if each not in KINDS:
            raise invalid_params(f"invalid argument 1: unknown kind {each!r}, want {KINDS}")
    parts: list[tuple[str, TraceRequest]] = [("call", CallTree(only_top=True)), ("trace", FRAMES)]
    if "stateDiff" in kinds:
        parts.append(("stateDiff", DIFF_REQUEST))
    if "vmTrace" in kinds:
        parts.append(("vmTrace", VM_REQUEST))
    return Several(tuple(parts))


def _replay(found: object, kinds: Names) -> Json:
    parts: dict[str, Any] = found if isinstance(found, dict) else {}
    frames = _frames(parts["trace"])
    answer: Json = {
        "output": parts["call"].get("output", "0x"),
        "stateDiff": state_diff(parts["stateDiff"]) if "stateDiff" in kinds else None,
        "trace": [without_place(each) for each in frames] if "trace" in kinds else [],
        "vmTrace": vm_trace(parts["vmTrace"]) if "vmTrace" in kinds else None,
    }
    return answer


def _frames(found: object) -> list[Json]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _block_frames(request: Request, height: Height) -> Iterable[Json]:
    if height == 0:
        return
    block = block_at(request.view, height)
    if block.transactions:
        for frames in traces_of(request, block, FRAMES):
            yield from _frames(frames)
    yield from _rewards(request, block)


def _rewards(request: Request, block: AnyBlock) -> Iterable[Json]:
    if not isinstance(block, PublicBlock) or block.header.difficulty == 0:
        return
    height_at(request.view, BlockRef(height=block.header.height))
    paid = rewards(block, request.rules.rules(block.header).fork)
    ommers, own = paid[:-1], paid[-1]
    for kind, (finder, value) in [("block", own), *(("uncle", each) for each in ommers)]:
        yield _reward(block, kind, to_hex(finder), value)


def _reward(block: AnyBlock, kind: str, finder: str, value: Wei) -> Json:
    return {
        "action": {"author": finder, "rewardType": kind, "value": hex(value)},
        "blockHash": to_hex(block.hash),
        "blockNumber": block.header.height,
        "result": None,
        "subtraces": 0,
        "traceAddress": [],
        "type": "reward",
    }
