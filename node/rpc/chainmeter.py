"""The numbers of a node that JSON-RPC sees: head, pool, peers, catch-up and consensus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from node.metrics import Family, counter, gauge
from node.rpc.api import NodeApi
from primitives.types import Height

STEPS: Final = ("wait", "propose", "prevote", "precommit", "decided")


def chain_families(api: NodeApi) -> list[Family]:
    """Return what a node of any kind shows; from any thread."""
    sync, pool = api.syncing(), api.pool().stats()
    behind = 0 if sync is None else max(0, sync.highest - sync.current)
    return [
        *_head(api),
        gauge("qenex_pool_pending", "Transactions that can go into a block.", pool.pending),
        gauge("qenex_pool_queued", "Transactions behind a nonce gap.", pool.queued),
        gauge("qenex_pool_bytes", "Memory of the pool's transactions, estimated.", pool.size_bytes),
        gauge("qenex_p2p_peers", "Connected peers.", api.peer_count()),
        gauge("qenex_sync_active", "1 while the node catches up.", float(sync is not None)),
        gauge("qenex_sync_behind_blocks", "Blocks to the highest peer while catching up.", behind),
        *_status(api.status()),
    ]


def _head(api: NodeApi) -> list[Family]:
    view = api.view()
    head = view.head
    block = view.block(head.height)
    parent = view.header(Height(head.height - 1)) if head.height else None
    families = [
        gauge("qenex_chain_height", "Height of the last committed block.", head.height),
        gauge("qenex_chain_head_timestamp_seconds", "Timestamp of the last block.", head.timestamp),
        gauge("qenex_chain_block_gas", "Gas used by the last block.", head.gas_used),
        gauge("qenex_chain_block_gas_limit", "Gas limit of the last block.", head.gas_limit),
        gauge(
            "qenex_chain_block_transactions",
            "Transactions in the last block.",
            0 if block is None else len(block.transactions),
        ),
    ]
    if parent is not None:
        families.append(
            gauge(
                "qenex_chain_block_interval_seconds",
                "Time between the timestamps of the last two blocks.",
                head.timestamp - parent.timestamp,
            )
        )
    return families


def _status(status: Mapping[str, Any]) -> list[Family]:
    """Return what only a node with consensus, or with a watchdog, tells of itself."""
    families: list[Family] = []
    consensus = status.get("consensus")
    if isinstance(consensus, Mapping):
        families += [
            gauge("qenex_consensus_height", "Height being decided.", consensus["height"]),
            gauge(
                "qenex_consensus_round", "Round of the height being decided.", consensus["round"]
            ),
            Family(
                "qenex_consensus_step",
                "gauge",
                "1 for the step that consensus is in.",
                tuple(("", (("step", each),), float(each == consensus["step"])) for each in STEPS),
            ),
        ]
    loop = status.get("loop")
    if isinstance(loop, Mapping):
        families += [
            gauge(
                "qenex_node_loop_lag_seconds",
                "Longest lag of the node's loop in the last minute.",
                loop["lagMaxMs"] / 1e3,
            ),
            counter(
                "qenex_node_loop_stalls_total",
                "How often the node's loop computed for too long in one go.",
                loop["stalls"],
            ),
        ]
    return families
