"""Access lists and simulated blocks.

Source: execution-apis eth_createAccessList and eth_simulateV1; go-ethereum
internal/ethapi/simulate.go for codes and words. A simulation stands on any block whose state the
node keeps.
"""

from __future__ import annotations

from node.rpc.arguments import LATEST, BlockRef, CallObject
from node.rpc.backend import Request, state_at
from node.rpc.calls import call_context, header_of, message_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, Place, block_json, checksum_address, log_json, to_hex
from node.rpc.errors import (
    REVERTED,
    RpcError,
    invalid_params,
    reverted,
    server_error,
)
from node.rpc.lanes import Lane
from node.rpc.overrides import BLOCKS_MAX, BlockWish, SimulationArgument
from primitives.types import ZERO_ADDRESS, Gas, Nonce, Wei
from vm.engine import REVERTED as EXECUTION_REVERTED
from vm.engine import CallResult, ExecutionStopped, SimulatedCall
from vm.forks import Fork
from vm.overrides import StateOverrides
from vm.simulate import Base, SimulatedBlock, SimulationRefused, WantedBlock, Wishes, simulate

TABLE = MethodTable()
VM_ERROR = -32015
TOO_MUCH = -38026


@TABLE.method("eth_createAccessList", lane=Lane.CALL)
def create_access_list(
    request: Request,
    transaction: CallObject,
    block: BlockRef = LATEST,
) -> Json:
    """Return the access list that a message needs, and its gas with that list."""
    state, context = call_context(request, block, None, None)
    if context.rules.fork < Fork.BERLIN:
        name = checksum_address(transaction.sender or ZERO_ADDRESS)
        raise server_error(
            "failed to apply transaction: err: transaction type not supported: access list tx "
            f"(sender {name})"
        )
    message = message_of(request, transaction, context)
    engine = request.backend.api.engine()
    found, result = engine.access_list(state, context, message, stop=request.is_late)
    answer: Json = {
        "accessList": [
            {
                "address": to_hex(address),
                "storageKeys": [f"0x{slot:064x}" for slot in slots],
            }
            for address, slots in found
        ]
    }
    if result.error is not None:
        answer["error"] = result.error
    return answer | {"gasUsed": hex(result.gas_used)}


@TABLE.method("eth_simulateV1", lane=Lane.CALL)
def simulate_blocks(
    request: Request, wanted: SimulationArgument, block: BlockRef = LATEST
) -> list[Json]:
    """Return the blocks that the wanted calls would make on top of a block."""
    view, backend = request.view, request.backend
    header, state = header_of(request, block), state_at(view, block)
    if len(wanted.blocks) > BLOCKS_MAX:
        raise RpcError(TOO_MUCH, "too many blocks")
    base = Base(
        header,
        request.view.block_hash(header.height) or header.hash,
        state,
        view.block_hash,
        lambda changes: view.state_root_with(header.height, changes),
    )
    wishes = Wishes(
        validate=wanted.validation,
        transfers=wanted.transfers,
        gas_max=Gas(backend.settings.call_gas_max),
    )
    try:
        blocks = simulate(
            backend.api.engine(),
            request.rules,
            base,
            [_wanted(request, each) for each in wanted.blocks],
            wishes,
            stop=request.is_late,
        )
    except SimulationRefused as error:
        raise RpcError(error.code, error.message) from None
    except ExecutionStopped:
        raise server_error("execution aborted (timeout)") from None
    return [_block_json(each, full=wanted.full) for each in blocks]


def _wanted(request: Request, wish: BlockWish) -> WantedBlock:
    state: StateOverrides = wish.state
    return WantedBlock(tuple(_call(request, each) for each in wish.calls), wish.block, state)


def _call(request: Request, wanted: CallObject) -> SimulatedCall:
    chain_id = request.rules.chain_id
    if wanted.chain_id is not None and wanted.chain_id != chain_id:
        raise invalid_params(
            f"chainId does not match node's (have={wanted.chain_id}, want={chain_id})"
        )
    return SimulatedCall(
        sender=wanted.sender or ZERO_ADDRESS,
        to=wanted.to,
        data=wanted.data,
        value=Wei(wanted.value),
        gas=None if wanted.gas is None else Gas(wanted.gas),
        nonce=None if wanted.nonce is None else Nonce(wanted.nonce),
        gas_price=None if wanted.gas_price is None else Wei(wanted.gas_price),
        max_fee_per_gas=Wei(wanted.max_fee_per_gas or 0),
        max_priority_fee_per_gas=Wei(wanted.max_priority_fee_per_gas or 0),
        access_list=wanted.access_list or (),
        authorizations=wanted.authorizations,
        blob_hashes=wanted.blob_hashes,
        max_fee_per_blob_gas=Wei(wanted.blob_price or 0),
    )


def _block_json(simulated: SimulatedBlock, *, full: bool) -> Json:
    block = simulated.block
    place = Place.of(block.header, block.hash)
    calls = []
    for index, result in enumerate(simulated.results):
        transaction = (to_hex(block.transactions[index].hash), index)
        logs = [log_json(log, place, transaction, at) for log, at in simulated.logs[index]]
        calls.append(_result_json(result, logs))
    return block_json(block, full=full) | {"calls": calls}


def _result_json(result: CallResult, logs: list[Json]) -> Json:
    answer: Json = {
        "returnData": to_hex(result.output if result.success else b""),
        "logs": logs,
        "gasUsed": hex(result.gas_used),
        "maxUsedGas": hex(result.gas_used + result.gas_refunded),
        "status": hex(result.success),
    }
    if result.error == EXECUTION_REVERTED:
        answer["returnData"] = to_hex(result.output)
        error = reverted(result.output)
        answer["error"] = {"code": REVERTED, "message": error.message, "data": error.data}
    elif result.error is not None:
        answer["error"] = {"code": VM_ERROR, "message": result.error}
    return answer
