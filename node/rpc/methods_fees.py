"""Fee suggestions that agree with each other, on chains with and without fees.

The suggested tip is the median of what recent transactions paid. Without recent transactions it is
the next base fee, at most one gwei: a wallet then offers at least twice the base fee, which
outlives five full blocks, and on a chain whose base fee is zero every suggestion is zero.
"""

from __future__ import annotations

from typing import Final

from node.rpc.api import ChainReader
from node.rpc.arguments import BlockRef, Count, Percentiles
from node.rpc.backend import Request, resolve
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json
from node.rpc.errors import server_error
from node.rpc.lanes import Lane
from primitives.errors import HistoryPruned
from primitives.types import WEI_ZERO, Height, Wei
from vm.chainrules import AnyHeader
from vm.fees import BLOB_GAS

TABLE = MethodTable()

TIP_BLOCKS: Final = 20
TIP_SAMPLES_MAX: Final = 400
TIP_DEFAULT_MAX: Final = 1_000_000_000
SECONDS_BETWEEN: Final = 12
"""After how long the next block is expected, where its rules depend on its timestamp."""


def next_base_fee(request: Request) -> Wei:
    """Return the base fee of the block after the head, in wei."""
    return request.rules.child_base_fee(request.view.head)


def suggested_tip(request: Request) -> int:
    """Return the median tip per gas, in wei, of the last TIP_BLOCKS blocks, or the default."""
    tips = sorted(_recent_tips(request.view))
    usual = tips[len(tips) // 2] if tips else min(TIP_DEFAULT_MAX, next_base_fee(request))
    return max(usual, request.backend.settings.tip_min_wei)


def _recent_tips(view: ChainReader) -> list[int]:
    tips: list[int] = []
    lowest = max(0, view.head.height - TIP_BLOCKS + 1)
    for height in range(view.head.height, lowest - 1, -1):
        header = view.header(Height(height))
        if header is None or header.gas_used == 0:
            continue
        try:
            block = view.block(Height(height))
        except HistoryPruned:
            break
        if block is None:
            continue
        fee = header.base_fee_per_gas or WEI_ZERO
        tips += [each.effective_gas_price(fee) - fee for each in block.transactions]
        if len(tips) >= TIP_SAMPLES_MAX:
            break
    return tips


@TABLE.method("eth_gasPrice", lane=Lane.CALL)
def gas_price(request: Request) -> str:
    """Return a gas price with which a legacy transaction enters the next block."""
    fee = max(next_base_fee(request), request.view.head.base_fee_per_gas or WEI_ZERO)
    return hex(fee + suggested_tip(request))


@TABLE.method("eth_maxPriorityFeePerGas", lane=Lane.CALL)
def max_priority_fee(request: Request) -> str:
    """Return the suggested tip."""
    return hex(suggested_tip(request))


@TABLE.method("eth_baseFee")
def next_fee(request: Request) -> str:
    """Return the base fee of the next block."""
    return hex(next_base_fee(request))


@TABLE.method("eth_blobBaseFee")
def blob_base_fee(request: Request) -> str:
    """Return the price of blob gas in the next block; the least one where there are no blobs."""
    head = request.view.head
    return hex(request.rules.child_blob_fee(head, head.timestamp + SECONDS_BETWEEN))


@TABLE.method("eth_feeHistory", lane=Lane.CALL)
def fee_history(
    request: Request,
    block_count: Count,
    newest_block: BlockRef,
    percentiles: Percentiles = Percentiles(()),  # noqa: B008  an immutable tuple
) -> Json:
    """Return base fees, fullness and, for percentiles, tips of the last `block_count` blocks."""
    _check_percentiles(percentiles)
    view = request.view
    last = resolve(view, newest_block)
    if last is None:
        raise server_error(
            f"request beyond head block: requested {newest_block.height}, head {view.head.height}"
        )
    count = min(block_count, request.backend.settings.fee_history_max, last + 1)
    if count == 0:
        return {"oldestBlock": "0x0", "gasUsedRatio": [], "baseFeePerGas": []}
    first = _oldest_kept(view, last - count + 1, last, bodies=bool(percentiles))
    fees, ratios, rewards, blob_fees, blob_ratios = [], [], [], [], []
    newest = view.head
    for height in range(first, last + 1):
        request.check_time()
        header = view.header(Height(height))
        if header is None:
            raise server_error("header not found")
        fees.append(hex(header.base_fee_per_gas or 0))
        blob_fees.append(hex(request.rules.blob_fee(header)))
        blob_ratios.append(_blob_ratio(request, header))
        ratios.append(header.gas_used / header.gas_limit)
        if percentiles:
            rewards.append(_rewards(view, Height(height), percentiles))
        newest = header
    next_blob_fee = request.rules.child_blob_fee(newest, newest.timestamp + SECONDS_BETWEEN)
    answer: Json = {
        "oldestBlock": hex(first),
        "baseFeePerGas": [*fees, hex(request.rules.child_base_fee(newest))],
        "gasUsedRatio": ratios,
        "baseFeePerBlobGas": [*blob_fees, hex(next_blob_fee)],
        "blobGasUsedRatio": blob_ratios,
    }
    if percentiles:
        answer["reward"] = rewards
    return answer


def _blob_ratio(request: Request, header: AnyHeader) -> float:
    blobs = request.rules.rules(header).blobs
    if blobs is None or not header.blob_gas_used:
        return 0
    return header.blob_gas_used / (blobs.maximum * BLOB_GAS)


def _oldest_kept(view: ChainReader, first: int, last: int, *, bodies: bool) -> int:
    """Return `first`, or the oldest block that a node which began with a snapshot has.

    Raises HistoryPruned when that is above `last`.
    """
    try:
        if bodies:
            view.block(Height(first))
        else:
            view.header(Height(first))
    except HistoryPruned as error:
        oldest = error.facts["oldest"]
        if not isinstance(oldest, int) or oldest > last:
            raise
        return oldest
    return first


def _check_percentiles(percentiles: tuple[float, ...]) -> None:
    for position, each in enumerate(percentiles):
        if not 0 <= each <= 100:
            raise server_error(f"invalid reward percentile: {each:f}")
        if position and each <= percentiles[position - 1]:
            raise server_error(
                f"invalid reward percentile: #{position - 1}:{percentiles[position - 1]:f}"
                f" >= #{position}:{each:f}"
            )


def _rewards(view: ChainReader, height: Height, percentiles: tuple[float, ...]) -> list[str]:
    """Return the tip at each percentile of a block's gas, zeros for an empty block."""
    block, receipts = view.block(height), view.receipts(height)
    if block is None or not receipts:
        return ["0x0"] * len(percentiles)
    fee = block.header.base_fee_per_gas or WEI_ZERO
    paid = []
    before = 0
    for transaction, receipt in zip(block.transactions, receipts, strict=True):
        tip = transaction.effective_gas_price(fee) - fee
        paid.append((tip, receipt.cumulative_gas_used - before))
        before = receipt.cumulative_gas_used
    paid.sort()
    answers = []
    index, gas = 0, paid[0][1]
    for percentile in percentiles:
        threshold = int(block.header.gas_used * percentile / 100)
        while gas < threshold and index < len(paid) - 1:
            index += 1
            gas += paid[index][1]
        answers.append(hex(paid[index][0]))
    return answers
