"""Reads of many slots or accounts at once: eth_getStorageValues, debug_storageRangeAt and kin.

Source: execution-apis eth_getStorageValues; go-ethereum eth/api_debug.go. Tables are in order of
hashed keys. The keys themselves are not kept, so where go-ethereum shows a preimage that it does
not have, this does too: null for a slot, the hash for an address.
"""

from __future__ import annotations

import base64
from itertools import islice
from typing import Final

from node.rpc.arguments import (
    LATEST,
    BlockRef,
    Count,
    Data,
    StorageRequest,
)
from node.rpc.backend import Request, height_at, state_at
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import invalid_params, server_error
from node.rpc.lanes import Lane
from primitives.account import Account
from primitives.keyvalue import Column, KeyValueReader
from primitives.types import HASH_BYTES, Address, Height
from vm.state.changes import StateReader
from vm.state.encoding import decode_slim
from vm.state.history import PastReader
from vm.state.store import hash_address

SLOTS_MAX: Final = 1_024
"""Slots of one eth_getStorageValues."""

RANGE_MAX: Final = 256
"""Rows of one debug_storageRangeAt or debug_accountRange."""

TABLE = MethodTable()


@TABLE.method("eth_getStorageValues", lane=Lane.CALL)
def get_storage_values(
    request: Request, wanted: StorageRequest, block: BlockRef = LATEST
) -> dict[str, list[str]]:
    """Return the values of many slots of many accounts, in the order of the request."""
    count = sum(len(slots) for _, slots in wanted.rows)
    if count == 0:
        raise invalid_params("empty request")
    if count > SLOTS_MAX:
        raise invalid_params(f"too many slots (max {SLOTS_MAX})")
    state = state_at(request.view, block)
    return {
        to_hex(address): [f"0x{state.storage(address, slot):064x}" for slot in slots]
        for address, slots in wanted.rows
    }


@TABLE.method("eth_getAccount")
def get_account(request: Request, address: Address, block: BlockRef = LATEST) -> Json:
    """Return nonce, balance, code hash and storage root of an account; the empty one if unknown."""
    account = state_at(request.view, block).account(address) or Account()
    return {
        "nonce": hex(account.nonce),
        "balance": hex(account.balance),
        "codeHash": to_hex(account.code_hash),
        "storageRoot": to_hex(account.storage_root),
    }


@TABLE.method("eth_getAccountInfo")
def get_account_info(request: Request, address: Address, block: BlockRef = LATEST) -> Json:
    """Return balance, nonce and code of an account."""
    state = state_at(request.view, block)
    account = state.account(address) or Account()
    return {
        "balance": hex(account.balance),
        "nonce": hex(account.nonce),
        "code": to_hex(state.code(account.code_hash)),
    }


@TABLE.method("debug_storageRangeAt", lane=Lane.CALL)
def storage_range_at(
    request: Request,
    block: BlockRef,
    index: Count,
    address: Address,
    start: Data,
    count: Count,
) -> Json:
    """Return slots of an account from a hashed key on, before the transaction at `index`.

    Only the state before a block's first transaction (index 0) and after its last are served.
    """
    height = _before(request, height_at(request.view, block), index)
    most = min(int(count), RANGE_MAX)
    account, rows = hash_address(address), tables_at(request, height)
    found = list(islice(rows.scan(Column.SLOT, account, account + start), most + 1))
    storage = {
        to_hex(key[HASH_BYTES:]): {"key": None, "value": f"0x{int.from_bytes(value, 'big'):064x}"}
        for key, value in found[:most]
    }
    more = to_hex(found[most][0][HASH_BYTES:]) if len(found) > most else None
    return {"storage": storage, "nextKey": more}


def _before(request: Request, height: Height, index: int) -> Height:
    if height == 0:
        raise server_error("no transaction in genesis")
    block = request.view.block(height)
    if index == 0:
        return Height(height - 1)
    if block is not None and index == len(block.transactions):
        return height
    raise server_error(
        f"transaction index {index}: the state within a block is not kept; ask for index 0 (before "
        "its first transaction) or the number of its transactions (after the last)"
    )


def tables_at(request: Request, height: Height) -> KeyValueReader:
    """Return the accounts and slots after a block, to be scanned; raises HistoryPruned."""
    view = request.view
    view.state_at(height)
    return view.store if height == view.head.height else PastReader(view.store, height)


@TABLE.method("debug_accountRange", lane=Lane.CALL)
def account_range(
    request: Request,
    block: BlockRef,
    start: Data,
    count: Count,
    no_code: bool = False,
    no_storage: bool = True,
) -> Json:
    """Return accounts from a hashed address on, up to 256.

    `start` is a hashed address or "0x"; `next` is in base64 as go-ethereum has it. Storage is
    never listed: ask debug_storageRangeAt.
    """
    height = height_at(request.view, block)
    state, rows = state_at(request.view, block), tables_at(request, height)
    most = min(int(count), RANGE_MAX)
    found = list(islice(rows.scan(Column.ACCOUNT, b"", start), most + 1))
    header = request.view.header(height)
    answer: Json = {
        "root": "" if header is None else header.state_root.hex(),
        "accounts": {
            f"pre({to_hex(key)})": _dumped(state, key, value, with_code=not no_code)
            for key, value in found[:most]
        },
    }
    if len(found) > most:
        answer["next"] = base64.b64encode(found[most][0]).decode("ascii")
    return answer


def _dumped(state: StateReader, key: bytes, raw: bytes, *, with_code: bool) -> Json:
    account = decode_slim(raw)
    shown: Json = {
        "balance": str(account.balance),
        "nonce": account.nonce,
        "root": to_hex(account.storage_root),
        "codeHash": to_hex(account.code_hash),
        "key": to_hex(key),
    }
    code = state.code(account.code_hash) if with_code else b""
    return shown | {"code": to_hex(code)} if code else shown
