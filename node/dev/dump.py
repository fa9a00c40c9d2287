"""The whole state of a developer chain as JSON, gzipped: written by one run, read by another.

`accounts` has anvil's form (address: nonce, balance, code, storage), so a dump of anvil's can be
loaded too; `block` says where it was made and is not read back. Blocks and transactions are not in
it: a chain that shall keep them has a data folder.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Final

from node.blockstore import ChainView
from node.rpc.arguments import (
    BadArgument,
    parse_address,
    parse_count,
    parse_data,
    parse_quantity,
    parse_slot,
)
from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, InvalidRequest, StoreCorrupt
from primitives.keyvalue import Column
from primitives.types import EMPTY_CODE_HASH, Address, Nonce, Wei
from vm.state.changes import ChangeSet, StateReader
from vm.state.encoding import decode_slim

DUMP_BYTES_MAX: Final = 512 * 2**20
"""Largest dump once unpacked; a packed one that unpacks to more is refused."""

_GZIP: Final = 16 + zlib.MAX_WBITS


def dump(view: ChainView) -> bytes:
    """Return the state after the head of `view`."""
    accounts: dict[str, Any] = {}
    for hashed, raw in view.store.scan(Column.ACCOUNT):
        account = decode_slim(raw)
        storage = {
            _preimage(view, key[32:]): f"0x{int.from_bytes(value, 'big'):064x}"
            for key, value in view.store.scan(Column.SLOT, hashed)
        }
        accounts[_preimage(view, hashed)] = {
            "nonce": account.nonce,
            "balance": hex(account.balance),
            "code": "0x" + view.state.code(account.code_hash).hex(),
            "storage": storage,
        }
    block = {"number": hex(view.height), "timestamp": hex(view.head.timestamp)}
    return gzip.compress(json.dumps({"block": block, "accounts": accounts}).encode(), 6, mtime=0)


def _preimage(view: ChainView, hashed: bytes) -> str:
    plain = view.store.get(Column.PREIMAGE, hashed)
    if plain is None:
        raise StoreCorrupt("the name of an account or slot is missing in the data folder")
    return "0x" + plain.hex()


def parse_dump(raw: bytes) -> dict[Address, GenesisAccount]:
    """Return the accounts of a dump, ours or anvil's, packed or plain; raises InvalidRequest."""
    try:
        document = json.loads(_unpacked(raw))
        rows = document["accounts"].items()
        return {parse_address(name): _account(row) for name, row in rows}
    except (BadArgument, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequest(f"not a dump of a developer chain: {error}") from None


def _unpacked(raw: bytes) -> bytes:
    if raw[:2] != b"\x1f\x8b":
        return raw
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(raw, DUMP_BYTES_MAX)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if unpacker.unconsumed_tail:
        raise ValueError(f"more than {DUMP_BYTES_MAX} bytes")
    return plain


def _account(row: dict[str, Any]) -> GenesisAccount:
    storage = {
        int(parse_slot(slot)): int(parse_slot(value)) for slot, value in row["storage"].items()
    }
    return GenesisAccount(
        balance=Wei(parse_quantity(row["balance"])),
        nonce=Nonce(parse_count(row["nonce"])),
        code=parse_data(row["code"]),
        storage=storage,
    )


def changes_of(state: StateReader, accounts: dict[Address, GenesisAccount]) -> ChangeSet:
    """Return the change that makes these accounts what the dump says; others stay as they are."""
    changes = ChangeSet()
    for address, each in accounts.items():
        code_hash = keccak(each.code) if each.code else EMPTY_CODE_HASH
        before = state.account(address) or Account()
        account = Account(each.nonce, each.balance, before.storage_root, code_hash)
        changes.accounts[address] = account
        changes.wiped.add(address)
        if each.code:
            changes.codes[code_hash] = each.code
        if each.storage:
            changes.storage[address] = dict(each.storage)
    return changes


def load_file(path: Path) -> dict[Address, GenesisAccount]:
    """Return the accounts of the dump in a file; raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(DUMP_BYTES_MAX + 1)
        if len(raw) > DUMP_BYTES_MAX:
            raise ConfigError(f"{path}: a dump has at most {DUMP_BYTES_MAX} bytes")
        return parse_dump(raw)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the state: {error.strerror}") from None
    except InvalidRequest as error:
        raise ConfigError(f"{path}: {error.message}") from None


def save_file(view: ChainView, path: Path) -> None:
    """Write the state to a file, whole or not at all; raises ConfigError."""
    scratch = path.with_name(path.name + ".new")
    try:
        scratch.write_bytes(dump(view))
        scratch.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the state: {error.strerror}") from None
