"""Blocks, time and snapshots by hand: evm_, hardhat_ and anvil_ names."""

from __future__ import annotations

from typing import Any, Final

from node.dev.chain import DevChain
from node.dev.executor import Wishes
from node.dev.values import chain_of, fields, look_again, number
from node.rpc import methods_blocks
from node.rpc.arguments import BlockRef, Options
from node.rpc.backend import Request
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, block_json, to_hex
from node.rpc.errors import invalid_params, server_error
from node.rpc.lanes import Lane
from primitives.crypto.keccak import keccak
from primitives.types import Address, Hash32, Wei
from vm.forks import rules_at

TABLE = MethodTable()
MILLISECONDS: Final = 1_000
MILLISECONDS_FROM: Final = 10**11
"""A time this large, in seconds, would be in the year 5138: it is in milliseconds."""

INTERVAL_MS_MAX: Final = 86_400_000


@TABLE.method("eth_getBlockByNumber", lane=Lane.CALL)
def get_block_by_number(request: Request, block: BlockRef, full: bool = False) -> object:
    """Return a block; `pending` is the one that would be made now, without hash and nonce."""
    if block.tag != "pending":
        return methods_blocks.get_block_by_number(request, block, full)
    made = block_json(chain_of(request).pending().block, full=full)
    return {**made, "hash": None, "nonce": None}


@TABLE.method("evm_snapshot", lane=Lane.CALL)
@TABLE.method("anvil_snapshot", lane=Lane.CALL)
def snapshot(request: Request) -> str:
    """Remember this moment; returns its id."""
    return hex(chain_of(request).snapshot())


@TABLE.method("evm_revert", lane=Lane.CALL)
@TABLE.method("anvil_revert", lane=Lane.CALL)
def revert(request: Request, snapshot_id: Options) -> bool:
    """Go back to a snapshot, which is forgotten with all later ones; false if it is unknown."""
    chain = chain_of(request)
    done = chain.revert(number(snapshot_id, "snapshot id"))
    look_again(request)
    if done:
        request.backend.filters.rewind(request.view.head.height)
    return done


@TABLE.method("evm_mine", lane=Lane.CALL)
def mine_one(request: Request, options: Options | None = None) -> str:
    """Make a block, at a time if one is given: a number, or {timestamp, blocks}."""
    chain = chain_of(request)
    given: object = options
    count, timestamp = 1, given
    if isinstance(given, dict):
        wanted = fields(given, "options")
        count = number(wanted.get("blocks", 1), "blocks", 64)
        timestamp = wanted.get("timestamp")
    with chain.alone():
        if timestamp is not None:
            _set_next(chain, timestamp)
        chain.mine(count)
    look_again(request)
    return "0x0"


@TABLE.method("hardhat_mine", lane=Lane.CALL)
@TABLE.method("anvil_mine", lane=Lane.CALL)
def mine(request: Request, count: Options | None = None, interval: Options | None = None) -> bool:
    """Make blocks, `interval` seconds apart or by the clock."""
    wanted = 1 if count is None else number(count, "count", 64)
    apart = None if interval is None else number(interval, "interval", 32)
    chain_of(request).mine(wanted, apart)
    look_again(request)
    return True


@TABLE.method("evm_increaseTime", lane=Lane.CALL)
@TABLE.method("anvil_increaseTime", lane=Lane.CALL)
def increase_time(request: Request, seconds: Options) -> int:
    """Move the chain's clock ahead; returns how far it is ahead in all."""
    chain = chain_of(request)
    with chain.alone():
        return chain.clock.move(number(seconds, "seconds", 62))


@TABLE.method("evm_setNextBlockTimestamp", lane=Lane.CALL)
@TABLE.method("anvil_setNextBlockTimestamp", lane=Lane.CALL)
def set_next_block_timestamp(request: Request, timestamp: Options) -> str:
    """Give the next block this time, in seconds; later ones go on from there."""
    chain = chain_of(request)
    with chain.alone():
        return str(_set_next(chain, timestamp))


def _set_next(chain: DevChain, timestamp: object) -> int:
    wanted = number(timestamp, "timestamp", 63)
    chain.clock.set_next(wanted, chain.view().head.timestamp)
    return wanted


@TABLE.method("evm_setTime", lane=Lane.CALL)
@TABLE.method("anvil_setTime", lane=Lane.CALL)
def set_time(request: Request, time: Options) -> int:
    """Set the chain's clock, in seconds or milliseconds since 1970; returns the seconds moved."""
    chain = chain_of(request)
    wanted = number(time, "time", 63)
    with chain.alone():
        return chain.clock.set_time(
            wanted // MILLISECONDS if wanted >= MILLISECONDS_FROM else wanted
        )


@TABLE.method("anvil_setBlockTimestampInterval", lane=Lane.CALL)
def set_block_timestamp_interval(request: Request, seconds: Options) -> None:
    """Let each block be exactly this much later than the one before."""
    chain = chain_of(request)
    with chain.alone():
        chain.clock.set_interval(number(seconds, "seconds", 32))


@TABLE.method("anvil_removeBlockTimestampInterval", lane=Lane.CALL)
def remove_block_timestamp_interval(request: Request) -> bool:
    """Let the clock decide the time of blocks again."""
    chain = chain_of(request)
    with chain.alone():
        chain.clock.set_interval(None)
    return True


@TABLE.method("evm_setAutomine", lane=Lane.CALL)
@TABLE.method("anvil_setAutomine", lane=Lane.CALL)
@TABLE.method("anvil_setAutoMine", lane=Lane.CALL)
def set_automine(request: Request, enabled: bool) -> bool:
    """Mine each transaction at once, or let it wait."""
    chain_of(request).set_automine(enabled)
    return True


@TABLE.method("hardhat_getAutomine")
@TABLE.method("anvil_getAutomine")
def get_automine(request: Request) -> bool:
    """Return whether transactions are mined at once."""
    return chain_of(request).automine


@TABLE.method("evm_setIntervalMining", lane=Lane.CALL)
def set_interval_mining(request: Request, interval: Options) -> bool:
    """Make a block every so many milliseconds, as hardhat has it; 0 stops."""
    given: object = interval
    if isinstance(given, list) and len(given) == 2:  # hardhat's [least, most]
        given = given[1]
    return _set_interval(request, number(given, "interval", 32))


@TABLE.method("anvil_setIntervalMining", lane=Lane.CALL)
def set_interval_mining_seconds(request: Request, interval: Options) -> bool:
    """Make a block every so many seconds, as anvil has it, and none at once; 0 stops."""
    seconds = number(interval, "interval", 32)
    chain_of(request).set_automine(False)
    return _set_interval(request, seconds * MILLISECONDS)


def _set_interval(request: Request, interval_ms: int) -> bool:
    if interval_ms > INTERVAL_MS_MAX:
        raise invalid_params(f"interval: at most {INTERVAL_MS_MAX} ms")
    chain_of(request).set_interval(interval_ms)
    return True


@TABLE.method("anvil_getIntervalMining")
def get_interval_mining(request: Request) -> int | None:
    """Return the seconds between blocks, or null when none are made by the clock."""
    interval_ms = chain_of(request).interval_ms
    return interval_ms // MILLISECONDS if interval_ms else None


@TABLE.method("evm_setBlockGasLimit", lane=Lane.CALL)
@TABLE.method("anvil_setBlockGasLimit", lane=Lane.CALL)
def set_block_gas_limit(request: Request, gas_limit: Options) -> bool:
    """Give later blocks this gas limit."""
    chain_of(request).set_gas_limit(number(gas_limit, "gas limit", 64))
    return True


@TABLE.method("hardhat_setNextBlockBaseFeePerGas", lane=Lane.CALL)
@TABLE.method("anvil_setNextBlockBaseFeePerGas", lane=Lane.CALL)
def set_next_base_fee(request: Request, base_fee: Options) -> bool:
    """Give the next block this base fee, in wei per gas; later ones follow from it."""
    chain_of(request).wish(Wishes(base_fee=Wei(number(base_fee, "base fee", 128))))
    return True


@TABLE.method("hardhat_setPrevRandao", lane=Lane.CALL)
@TABLE.method("anvil_setPrevRandao", lane=Lane.CALL)
def set_prev_randao(request: Request, mix_hash: Hash32) -> bool:
    """Give the next block this prevRandao."""
    chain_of(request).wish(Wishes(mix_hash=mix_hash))
    return True


@TABLE.method("hardhat_setCoinbase", lane=Lane.CALL)
@TABLE.method("anvil_setCoinbase", lane=Lane.CALL)
def set_fee_recipient(request: Request, address: Address) -> bool:
    """Let this account get the tips of later blocks."""
    chain = chain_of(request)
    with chain.alone():
        chain.fee_recipient = address
    return True


@TABLE.method("hardhat_dropTransaction", lane=Lane.CALL)
def drop_transaction(request: Request, transaction: Hash32) -> bool:
    """Take a waiting transaction out of the pool; false when it does not wait there."""
    chain = chain_of(request)
    if chain.view().transaction_lookup(transaction) is not None:
        raise server_error(
            f"Transaction {to_hex(transaction)} cannot be dropped because it's already mined"
        )
    return chain.drop(transaction)


@TABLE.method("anvil_dropTransaction", lane=Lane.CALL)
def drop_transaction_hash(request: Request, transaction: Hash32) -> str | None:
    """Take a waiting transaction out of the pool; its hash, or null when it does not wait."""
    return to_hex(transaction) if chain_of(request).drop(transaction) else None


@TABLE.method("anvil_dropAllTransactions", lane=Lane.CALL)
def drop_all_transactions(request: Request) -> bool:
    """Empty the pool."""
    chain_of(request).drop_all()
    return True


@TABLE.method("hardhat_reset", lane=Lane.CALL)
@TABLE.method("anvil_reset", lane=Lane.CALL)
def reset(request: Request, options: Options | None = None) -> bool:
    """Begin again at the genesis block."""
    if fields(options, "options").get("forking"):
        raise invalid_params("forking: this chain has no other chain behind it")
    chain_of(request).reset()
    look_again(request)
    request.backend.filters.rewind(request.view.head.height)
    return True


@TABLE.method("hardhat_setLoggingEnabled", lane=Lane.CALL)
@TABLE.method("anvil_setLoggingEnabled", lane=Lane.CALL)
def set_logging(request: Request, enabled: bool) -> bool:
    """Print a line for each transaction, or none."""
    chain_of(request).is_quiet = not enabled
    return True


@TABLE.method("hardhat_metadata")
@TABLE.method("anvil_metadata")
def metadata(request: Request) -> Json:
    """Return version, chain id, newest block and an id of this chain's genesis block."""
    view = request.view
    return {
        "clientVersion": request.backend.settings.client_version,
        "chainId": int(chain_of(request).params.chain_id),
        "instanceId": to_hex(keccak(view.genesis_hash)),
        "latestBlockNumber": int(view.head.height),
        "latestBlockHash": to_hex(view.head_hash),
    }


@TABLE.method("admin_datadir")
def datadir(request: Request) -> str:
    """Return the folder that holds the chain."""
    return str(chain_of(request).folder)


@TABLE.method("admin_nodeInfo")
def admin_node_info(request: Request) -> Json:
    """Return geth's description of a node, which here listens for no peers."""
    view = request.view
    return {
        "id": to_hex(keccak(view.genesis_hash))[2:],
        "name": request.backend.settings.client_version,
        "enode": "",
        "ip": "",
        "listenAddr": "",
        "ports": {"discovery": 0, "listener": 0},
        "protocols": {
            "eth": {
                "network": int(chain_of(request).params.chain_id),
                "genesis": to_hex(view.genesis_hash),
                "head": to_hex(view.head_hash),
            }
        },
    }


@TABLE.method("admin_peers")
def admin_peers(request: Request) -> list[Json]:
    """Return nothing: a developer chain has no peers."""
    return []


@TABLE.method("anvil_nodeInfo")
def node_info(request: Request) -> Json:
    """Return what anvil tells of itself: newest block, rules, prices."""
    chain, view = chain_of(request), request.view
    base_fee = chain.next_base_fee()
    environment: dict[str, Any] = {
        "baseFee": hex(base_fee),
        "chainId": int(chain.params.chain_id),
        "gasLimit": hex(chain.params.gas_limit),
        "gasPrice": hex(base_fee + 1_000_000_000),
    }
    return {
        "currentBlockNumber": hex(view.head.height),
        "currentBlockTimestamp": int(view.head.timestamp),
        "currentBlockHash": to_hex(view.head_hash),
        "hardFork": rules_at(chain.params, view.head.timestamp).fork.name.lower(),
        "transactionOrder": "fees",
        "environment": environment,
        "forkConfig": {"forkUrl": None, "forkBlockNumber": None, "forkRetryBackoff": None},
    }
