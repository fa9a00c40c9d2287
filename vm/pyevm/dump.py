"""Dumps: one execution with all that it read, as JSON, to be run again anywhere.

Bytes are hex with 0x, whole numbers are JSON's; callables (block hashes) become the table of what
was asked of them. `decode_dump` gives back a job and a state reader that holds what was read.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from primitives.account import Account
from primitives.errors import ConfigError, StoreCorrupt
from primitives.transaction import PUBLIC, Transaction, decode_transaction
from primitives.types import EMPTY_CODE_HASH, Address, Hash32, Height
from vm.engine import BlockContext, Call

VERSION: Final = 1
DUMP_BYTES_MAX: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Job:
    """What was run: transactions, or a call."""

    context: BlockContext
    transactions: tuple[Transaction, ...]
    skip_invalid: bool
    call: Call | None


@dataclass(frozen=True, slots=True)
class Reads:
    """What was read of a state."""

    accounts: dict[Address, Account | None]
    slots: dict[tuple[Address, int], int]
    codes: dict[Hash32, bytes]
    with_storage: dict[Address, bool]


class DumpedState:
    """The `StateReader` of a dump; what was not read there is as in an empty state."""

    def __init__(self, reads: Reads) -> None:
        self.reads = reads

    def account(self, address: Address) -> Account | None:
        """Return the account, or None when there is none."""
        return self.reads.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        """Return the value of a storage slot."""
        return self.reads.slots.get((address, slot), 0)

    def code(self, code_hash: Hash32) -> bytes:
        """Return the code with this hash; raises StoreCorrupt when the dump lacks it."""
        code = self.reads.codes.get(code_hash)
        if code is None and code_hash != EMPTY_CODE_HASH:
            raise StoreCorrupt(f"the dump lacks the code {code_hash.hex()}", code_hash=code_hash)
        return code or b""

    def has_storage(self, address: Address) -> bool:
        """Return whether any slot is not zero."""
        return self.reads.with_storage.get(address, False)


def encode_dump(job: Job, reads: Reads, *, differences: list[str]) -> bytes:
    """Return the dump of a job and what it read."""
    known = getattr(job.context.block_hash, "known", {})
    body = {
        "version": VERSION,
        "differences": differences,
        "context": _to_json(job.context),
        "block_hashes": [[height, _to_json(each)] for height, each in known.items()],
        "skip_invalid": job.skip_invalid,
        "transactions": [_to_json(each.raw) for each in job.transactions],
        "call": _to_json(job.call),
        "accounts": [[_to_json(key), _to_json(each)] for key, each in reads.accounts.items()],
        "slots": [
            [_to_json(address), slot, value] for (address, slot), value in reads.slots.items()
        ],
        "codes": [_to_json(code) for code in reads.codes.values()],
        "code_hashes": [_to_json(code_hash) for code_hash in reads.codes],
        "with_storage": [_to_json(address) for address, yes in reads.with_storage.items() if yes],
    }
    return json.dumps(body, indent=1).encode()


def decode_dump(raw: bytes) -> tuple[Job, DumpedState]:
    """Return what `encode_dump` wrote; raises ConfigError when it is not a dump of this version."""
    if len(raw) > DUMP_BYTES_MAX:
        raise ConfigError(f"a dump has at most {DUMP_BYTES_MAX} bytes")
    try:
        body = json.loads(raw)
        if body["version"] != VERSION:
            raise ConfigError(f"a dump of version {body['version']}; this is {VERSION}")
        return _decode(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"not a dump: {error}") from None


def _decode(body: Mapping[str, Any]) -> tuple[Job, DumpedState]:
    hashes = {
        Height(height): _from_json(Hash32 | None, value) for height, value in body["block_hashes"]
    }
    context = _from_json(BlockContext, {**body["context"], "block_hash": hashes.get})
    reads = Reads(
        accounts={
            _from_json(Address, key): _from_json(Account | None, value)
            for key, value in body["accounts"]
        },
        slots={(_from_json(Address, key), slot): value for key, slot, value in body["slots"]},
        codes={
            _from_json(Hash32, key): _from_json(bytes, code)
            for key, code in zip(body["code_hashes"], body["codes"], strict=True)
        },
        with_storage={_from_json(Address, key): True for key in body["with_storage"]},
    )
    transactions = tuple(
        decode_transaction(_from_json(bytes, each), PUBLIC) for each in body["transactions"]
    )
    call = _from_json(Call | None, body["call"])
    return Job(context, transactions, bool(body["skip_invalid"]), call), DumpedState(reads)


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        items = ((each.name, getattr(value, each.name)) for each in fields(value))
        return {name: _to_json(each) for name, each in items if not callable(each)}
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    if isinstance(value, Mapping):
        return [[_to_json(key), _to_json(each)] for key, each in value.items()]
    return value


def _from_json(kind: Any, value: Any) -> Any:
    """Return the value of a type, as its annotations say."""
    kind = getattr(kind, "__supertype__", kind)
    if callable(value):
        return value
    if get_origin(kind) in (Union, types.UnionType):
        others = [each for each in get_args(kind) if each is not type(None)]
        return None if value is None else _from_json(others[0], value)
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if parts[1:] == (...,):
            return tuple(_from_json(parts[0], each) for each in value)
        return tuple(_from_json(each, item) for each, item in zip(parts, value, strict=True))
    if get_origin(kind) is Mapping:
        key_kind, value_kind = get_args(kind)
        return {_from_json(key_kind, key): _from_json(value_kind, each) for key, each in value}
    if kind is bytes:
        return bytes.fromhex(value.removeprefix("0x"))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return typing.cast("Any", kind)(
            **{name: _from_json(hints[name], each) for name, each in value.items()}
        )
    return kind(value)
