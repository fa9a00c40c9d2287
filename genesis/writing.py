"""Writes a genesis document; `genesis.document` reads it back to an equal value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genesis.document import BLOB_SCHEDULE, BLOB_SCHEDULE_OSAKA, FORKS, OSAKA, Genesis
from genesis.nodes import NodeEntry
from primitives.account import GenesisAccount
from primitives.types import ZERO_ADDRESS, ZERO_HASH


def to_json(genesis: Genesis) -> dict[str, Any]:
    """Return the document of `genesis` as JSON values, accounts in order of address."""
    params = genesis.params
    has_osaka = params.osaka_time is not None
    return {
        "config": {
            "chainId": int(params.chain_id),
            **dict.fromkeys(FORKS, 0),
            **({OSAKA: params.osaka_time} if has_osaka else {}),
            "terminalTotalDifficulty": 0,
            "blobSchedule": BLOB_SCHEDULE_OSAKA if has_osaka else BLOB_SCHEDULE,
        },
        "nonce": "0x0",
        "timestamp": hex(genesis.timestamp),
        "extraData": _hex(genesis.validators.hash),
        "gasLimit": hex(params.gas_limit),
        "difficulty": "0x0",
        "mixHash": _hex(ZERO_HASH),
        "coinbase": _hex(ZERO_ADDRESS),
        "baseFeePerGas": hex(params.base_fee_initial),
        "qenex": _qenex_section(genesis),
        "alloc": {_hex(each): _account(genesis.alloc[each]) for each in sorted(genesis.alloc)},
    }


def save(genesis: Genesis, path: Path) -> None:
    """Write the document to a new file at `path`; raises FileExistsError, OSError."""
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(to_json(genesis), indent=2) + "\n")


def _qenex_section(genesis: Genesis) -> dict[str, Any]:
    params, times = genesis.params, genesis.params.times
    return {
        "blockPeriodMs": params.block_period_ms,
        "emptyBlockPeriodMs": params.empty_block_period_ms,
        "clockDriftMs": params.clock_drift_ms,
        "baseFeeMin": hex(params.base_fee_min),
        "validatorRegistry": _hex(params.validator_registry),
        "timeouts": {
            "proposeMs": times.timeout_propose_ms,
            "voteMs": times.timeout_vote_ms,
            "deltaMs": times.timeout_delta_ms,
            "maxMs": times.timeout_max_ms,
            "rebroadcastMs": times.rebroadcast_ms,
        },
        "validators": [
            {
                "address": _hex(each.address),
                "power": int(each.power),
                "pqKeyHash": _hex(each.pq_key_hash),
            }
            for each in genesis.validators.validators
        ],
        "nodes": [_node(each) for each in genesis.nodes],
        **_optional(genesis),
    }


def _optional(genesis: Genesis) -> dict[str, Any]:
    """Return the keys that a network without standard contracts and permissions leaves out."""
    found: dict[str, Any] = {}
    if genesis.contracts:
        found["contracts"] = [
            {"name": each.name, "address": _hex(each.address), "codeHash": _hex(each.code_hash)}
            for each in genesis.contracts
        ]
    if genesis.params.account_permissions:
        found["accountPermissions"] = True
    return found


def _node(node: NodeEntry) -> dict[str, Any]:
    row: dict[str, Any] = {"peerId": node.peer_id, "addresses": list(node.addresses)}
    if node.validator is not None:
        row["validator"] = _hex(node.validator)
    return {**row, "role": str(node.role)}


def _account(account: GenesisAccount) -> dict[str, Any]:
    row: dict[str, Any] = {"balance": hex(account.balance)}
    if account.nonce:
        row["nonce"] = hex(account.nonce)
    if account.code:
        row["code"] = _hex(account.code)
    if account.storage:
        row["storage"] = {
            f"0x{slot:064x}": f"0x{account.storage[slot]:064x}" for slot in sorted(account.storage)
        }
    return row


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
