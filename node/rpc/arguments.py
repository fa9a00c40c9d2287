"""Typed parameters: JSON values to our types, or a clear refusal in go-ethereum's words.

A JSON-RPC method is a function with annotated parameters; `parser_for` gives the parser of an
annotation. Formats: execution-apis "Hex value encoding": a quantity has no leading zeros, data has
an even number of digits, and both begin with 0x.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NewType

from primitives.transaction import AccessList, Authorization
from primitives.types import (
    ADDRESS_BYTES,
    HASH_BYTES,
    UINT64_MAX,
    Address,
    Hash32,
    Height,
)

Quantity = NewType("Quantity", int)
Data = NewType("Data", bytes)
Slot = NewType("Slot", int)
Slots = NewType("Slots", tuple[tuple[str, int], ...])
Count = NewType("Count", int)
Percentiles = NewType("Percentiles", tuple[float, ...])
Name = NewType("Name", str)
Options = NewType("Options", object)
Names = NewType("Names", tuple[str, ...])
Raws = NewType("Raws", tuple[bytes, ...])

TOPICS_MAX: Final = 4
ALTERNATIVES_MAX: Final = 1_000
PERCENTILES_MAX: Final = 100
BLOB_HASHES_MAX: Final = 64
NAMES_MAX: Final = 16
RAWS_MAX: Final = 10_000
AUTHORIZATIONS_MAX: Final = 1_000
TAGS: Final = frozenset(("latest", "pending", "safe", "finalized", "earliest"))

_HEX: Final = re.compile(r"[0-9a-fA-F]*\Z")


class BadArgument(ValueError):
    """A JSON value does not fit its parameter."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block named by tag, height or hash; exactly one is set."""

    tag: str | None = None
    height: Height | None = None
    hash: Hash32 | None = None


LATEST: Final = BlockRef(tag="latest")


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """What trace_filter looks for; empty sets match any. `count` None means all."""

    from_block: BlockRef | None = None
    to_block: BlockRef | None = None
    senders: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    after: int = 0
    count: int | None = None

    def matches(self, action: dict[str, Any]) -> bool:
        """Return whether a frame's action has a wanted sender and a wanted recipient."""
        sender = action.get("from", action.get("address", action.get("author")))
        to = action.get("to", action.get("refundAddress", action.get("author")))
        return (not self.senders or sender in self.senders) and (
            not self.recipients or to in self.recipients
        )


@dataclass(frozen=True, slots=True)
class StorageRequest:
    """The accounts of eth_getStorageValues with the slots wanted of each."""

    rows: tuple[tuple[Address, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class CallObject:
    """The transaction object of eth_call and eth_estimateGas; None where the caller said nothing.

    Source: execution-apis GenericTransaction; unknown fields are ignored, as go-ethereum does.
    """

    sender: Address | None = None
    to: Address | None = None
    gas: int | None = None
    gas_price: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    value: int = 0
    data: bytes = b""
    access_list: AccessList | None = None
    chain_id: int | None = None
    nonce: int | None = None
    authorizations: tuple[Authorization, ...] = ()
    blob_hashes: tuple[Hash32, ...] = ()
    blob_price: int | None = None


@dataclass(frozen=True, slots=True)
class FilterObject:
    """What eth_getLogs and log filters look for.

    `addresses` empty matches any; a position of `topics` that is empty matches any topic.
    """

    from_block: BlockRef | None = None
    to_block: BlockRef | None = None
    block_hash: Hash32 | None = None
    addresses: tuple[Address, ...] = ()
    topics: tuple[tuple[Hash32, ...], ...] = ()


def parse_digits(value: object, kind: str) -> str:
    """Return the hex digits behind 0x; raises BadArgument."""
    if not isinstance(value, str):
        raise BadArgument(f"cannot unmarshal non-string into {kind}")
    if not value:
        raise BadArgument("empty hex string")
    if value[:2] not in ("0x", "0X"):
        raise BadArgument("hex string without 0x prefix")
    digits = value[2:]
    if not _HEX.match(digits):
        raise BadArgument(f"invalid hex string, want {kind}")
    return digits


def parse_quantity(value: object, bits: int = 256) -> Quantity:
    """Return an unsigned integer below 2^bits; raises BadArgument."""
    digits = parse_digits(value, "quantity")
    if not digits:
        raise BadArgument('hex string "0x", want quantity')
    if len(digits) > 1 and digits[0] == "0":
        raise BadArgument("hex number with leading zero digits")
    if len(digits) * 4 > bits and int(digits[: bits // 4 + 1], 16) >> bits:
        raise BadArgument(f"hex number > {bits} bits")
    return Quantity(int(digits, 16))


def parse_data(value: object) -> Data:
    """Return the bytes of a hex string; raises BadArgument."""
    digits = parse_digits(value, "data")
    if len(digits) % 2:
        raise BadArgument("hex string of odd length")
    return Data(bytes.fromhex(digits))


def _parse_fixed(value: object, size: int, kind: str) -> bytes:
    digits = parse_digits(value, kind)
    if len(digits) != 2 * size:
        raise BadArgument(f"hex string has length {len(digits)}, want {2 * size} for {kind}")
    return bytes.fromhex(digits)


def parse_address(value: object) -> Address:
    """Return a 20-byte address in any letter case; raises BadArgument."""
    return Address(_parse_fixed(value, ADDRESS_BYTES, "address"))


def parse_hash(value: object) -> Hash32:
    """Return a 32-byte hash; raises BadArgument."""
    return Hash32(_parse_fixed(value, HASH_BYTES, "hash"))


def parse_slot(value: object) -> Slot:
    """Return a storage slot; short keys, odd lengths and a missing 0x pass, as in go-ethereum."""
    if not isinstance(value, str):
        raise BadArgument("cannot unmarshal non-string into storage key")
    digits = value[2:] if value[:2] in ("0x", "0X") else value
    if not _HEX.match(digits):
        raise BadArgument("unable to decode storage key: hex string invalid")
    if len(digits) > 2 * HASH_BYTES:
        raise BadArgument("storage key too long (want at most 32 bytes)")
    return Slot(int(digits or "0", 16))


def parse_slots(value: object) -> Slots:
    """Return storage slots, each with the form in which go-ethereum repeats it; see parse_slot.

    A key of 32 bytes comes back as such, a shorter one as a quantity.
    """
    if not isinstance(value, list):
        raise BadArgument("cannot unmarshal non-array into storage keys")
    slots = []
    for each in value:
        slot = parse_slot(each)
        digits = len(each.removeprefix("0x").removeprefix("0X"))
        slots.append((f"0x{slot:064x}" if digits > 2 * HASH_BYTES - 2 else hex(slot), int(slot)))
    return Slots(tuple(slots))


def parse_count(value: object) -> Count:
    """Return a 64-bit count given as hex quantity, decimal string or JSON number."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise BadArgument("cannot unmarshal value into count")
    if isinstance(value, str):
        if value[:2] in ("0x", "0X"):
            return Count(int(parse_quantity(value, 64)))
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            raise BadArgument("invalid hex or decimal integer")
        value = int(value)
    if not 0 <= value <= UINT64_MAX:
        raise BadArgument("count out of range")
    return Count(value)


def parse_percentiles(value: object) -> Percentiles:
    """Return reward percentiles; order and range are checked by eth_feeHistory."""
    if not isinstance(value, list) or len(value) > PERCENTILES_MAX:
        raise BadArgument(f"want a list of at most {PERCENTILES_MAX} percentiles")
    if any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in value):
        raise BadArgument("want a list of numbers")
    if any(not -1e9 <= each <= 1e9 for each in value):
        raise BadArgument("percentile out of range")
    return Percentiles(tuple(float(each) for each in value))


def parse_flag(value: object) -> bool:
    """Return a JSON boolean; raises BadArgument."""
    if not isinstance(value, bool):
        raise BadArgument("cannot unmarshal non-boolean into bool")
    return value


def parse_name(value: object) -> Name:
    """Return a JSON string of at most 128 characters; raises BadArgument."""
    if not isinstance(value, str) or len(value) > 128:
        raise BadArgument("cannot unmarshal value into string")
    return Name(value)


def parse_block(value: object) -> BlockRef:
    """Return the block that a tag, a height or an EIP-1898 object names; raises BadArgument."""
    if isinstance(value, dict):
        return _parse_block_object(value)
    if not isinstance(value, str):
        raise BadArgument("cannot unmarshal value into block number or tag")
    if value in TAGS:
        return BlockRef(tag=value)
    if len(value) == 2 + 2 * HASH_BYTES:
        return BlockRef(hash=parse_hash(value))
    return _parse_block_height(value)


def _parse_block_height(value: object) -> BlockRef:
    height = parse_quantity(value, 64)
    if height > UINT64_MAX >> 1:
        raise BadArgument("block number larger than int64")
    return BlockRef(height=Height(height))


def _parse_block_object(value: dict[str, Any]) -> BlockRef:
    has_hash, has_height = "blockHash" in value, "blockNumber" in value
    if has_hash and has_height:
        raise BadArgument("cannot specify both BlockHash and BlockNumber, choose one or the other")
    if has_hash:
        parse_flag(value.get("requireCanonical", False))
        return BlockRef(hash=parse_hash(value["blockHash"]))
    if not has_height:
        raise BadArgument("invalid arguments; neither block nor hash specified")
    return parse_block_number(value["blockNumber"])


def parse_block_number(value: object) -> BlockRef:
    """Return the block that a tag or a height names; raises BadArgument."""
    if isinstance(value, str) and value in TAGS:
        return BlockRef(tag=value)
    return _parse_block_height(value)


def parse_call(value: object) -> CallObject:
    """Return a call object; raises BadArgument for wrong types and contradictions."""
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into transaction object")
    given = {name: each for name, each in value.items() if each is not None}
    if "blobs" in given:
        raise BadArgument("blobs do not enter calls; name them by blobVersionedHashes")
    fees = ("maxFeePerGas", "maxPriorityFeePerGas")
    if "gasPrice" in given and any(name in given for name in fees):
        raise BadArgument("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")

    def number(name: str, bits: int = 256) -> int | None:
        return parse_quantity(given[name], bits) if name in given else None

    return CallObject(
        sender=parse_address(given["from"]) if "from" in given else None,
        to=parse_address(given["to"]) if "to" in given else None,
        gas=number("gas", 64),
        gas_price=number("gasPrice"),
        max_fee_per_gas=number("maxFeePerGas"),
        max_priority_fee_per_gas=number("maxPriorityFeePerGas"),
        value=number("value") or 0,
        data=_parse_call_data(given),
        access_list=_parse_access_list(given["accessList"]) if "accessList" in given else None,
        chain_id=number("chainId"),
        nonce=number("nonce", 64),
        authorizations=_parse_authorizations(given.get("authorizationList", [])),
        blob_hashes=_parse_blob_hashes(given.get("blobVersionedHashes", ())),
        blob_price=number("maxFeePerBlobGas"),
    )


def _parse_blob_hashes(value: object) -> tuple[Hash32, ...]:
    if value == ():
        return ()
    if value == []:
        raise BadArgument("blob transaction missing blob hashes")
    if not isinstance(value, list) or len(value) > BLOB_HASHES_MAX:
        raise BadArgument(f"want a list of at most {BLOB_HASHES_MAX} blob hashes")
    return tuple(parse_hash(each) for each in value)


def _parse_authorizations(value: object) -> tuple[Authorization, ...]:
    if not isinstance(value, list) or len(value) > AUTHORIZATIONS_MAX:
        raise BadArgument(f"want a list of at most {AUTHORIZATIONS_MAX} authorizations")
    return tuple(_parse_authorization(each) for each in value)


def _parse_authorization(value: object) -> Authorization:
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into authorization")
    parity = value.get("yParity", value.get("v"))
    return Authorization(
        chain_id=parse_quantity(value.get("chainId")),
        address=parse_address(value.get("address")),
        nonce=parse_quantity(value.get("nonce"), 64),
        y_parity=parse_quantity(parity, 8),
        r=parse_quantity(value.get("r")),
        s=parse_quantity(value.get("s")),
    )


def _parse_call_data(given: dict[str, Any]) -> bytes:
    data = parse_data(given["data"]) if "data" in given else None
    code = parse_data(given["input"]) if "input" in given else None
    if data is not None and code is not None and data != code:
        raise BadArgument(
            'both "data" and "input" are set and not equal. '
            'Please use "input" to pass transaction call data'
        )
    return code if code is not None else data or b""


def _parse_access_list(value: object) -> AccessList:
    if not isinstance(value, list):
        raise BadArgument("cannot unmarshal value into access list")
    entries = []
    for entry in value:
        if not isinstance(entry, dict) or "address" not in entry:
            raise BadArgument("cannot unmarshal value into access list entry")
        keys = entry.get("storageKeys") or []
        if not isinstance(keys, list):
            raise BadArgument("cannot unmarshal value into storage keys")
        slots = tuple(int.from_bytes(parse_hash(key), "big") for key in keys)
        entries.append((parse_address(entry["address"]), slots))
    return tuple(entries)


def parse_filter(value: object) -> FilterObject:
    """Return a log filter; raises BadArgument."""
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into filter object")
    given = {name: each for name, each in value.items() if each is not None}
    block_hash = parse_hash(given["blockHash"]) if "blockHash" in given else None
    if block_hash is not None and ("fromBlock" in given or "toBlock" in given):
        raise BadArgument(
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
        )
    return FilterObject(
        from_block=parse_block_number(given["fromBlock"]) if "fromBlock" in given else None,
        to_block=parse_block_number(given["toBlock"]) if "toBlock" in given else None,
        block_hash=block_hash,
        addresses=_parse_addresses(given.get("address", [])),
        topics=_parse_topics(given.get("topics", [])),
    )


def _parse_addresses(value: object) -> tuple[Address, ...]:
    if not isinstance(value, list):
        return (parse_address(value),)
    if len(value) > ALTERNATIVES_MAX:
        raise BadArgument("exceed max addresses")
    return tuple(parse_address(each) for each in value)


def _parse_topics(value: object) -> tuple[tuple[Hash32, ...], ...]:
    if not isinstance(value, list):
        raise BadArgument("invalid topics: want a list")
    if len(value) > TOPICS_MAX:
        raise BadArgument("exceed max topics")
    positions: list[tuple[Hash32, ...]] = []
    for each in value:
        if isinstance(each, list):
            if len(each) > ALTERNATIVES_MAX:
                raise BadArgument("exceed max topics")
            # A null among the alternatives makes the position match anything, as in go-ethereum.
            wild = any(topic is None for topic in each)
            positions.append(() if wild else tuple(parse_hash(topic) for topic in each))
        else:
            positions.append(() if each is None else (parse_hash(each),))
    return tuple(positions)


def parse_storage_request(value: object) -> StorageRequest:
    """Return the slots wanted of each account; raises BadArgument."""
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into a map of address to storage keys")
    return StorageRequest(
        tuple(
            (parse_address(name), tuple(slot for _, slot in parse_slots(slots)))
            for name, slots in value.items()
        )
    )


def parse_names(value: object) -> Names:
    """Return a list of at most 16 names; raises BadArgument."""
    if not isinstance(value, list) or len(value) > NAMES_MAX:
        raise BadArgument(f"want a list of at most {NAMES_MAX} names")
    return Names(tuple(str(parse_name(each)) for each in value))


def parse_raws(value: object) -> Raws:
    """Return a list of byte strings; raises BadArgument."""
    if not isinstance(value, list) or len(value) > RAWS_MAX:
        raise BadArgument(f"want a list of at most {RAWS_MAX} hex strings")
    return Raws(tuple(bytes(parse_data(each)) for each in value))


def parse_trace_filter(value: object) -> TraceFilter:
    """Return what trace_filter looks for; raises BadArgument."""
    if not isinstance(value, dict):
        raise BadArgument("cannot unmarshal value into trace filter")
    given = {name: each for name, each in value.items() if each is not None}

    def addresses(name: str) -> frozenset[str]:
        return frozenset("0x" + each.hex() for each in _parse_addresses(given.get(name, [])))

    return TraceFilter(
        from_block=parse_block_number(given["fromBlock"]) if "fromBlock" in given else None,
        to_block=parse_block_number(given["toBlock"]) if "toBlock" in given else None,
        senders=addresses("fromAddress"),
        recipients=addresses("toAddress"),
        after=int(parse_count(given.get("after", 0))),
        count=int(parse_count(given["count"])) if "count" in given else None,
    )


def parse_options(value: object) -> Options:
    """Return any JSON value; the method checks it."""
    return Options(value)


PARSERS: Final[dict[object, Callable[[object], object]]] = {
    Quantity: parse_quantity,
    Data: parse_data,
    Slot: parse_slot,
    Slots: parse_slots,
    Count: parse_count,
    Percentiles: parse_percentiles,
    Name: parse_name,
    Options: parse_options,
    Names: parse_names,
    TraceFilter: parse_trace_filter,
    Raws: parse_raws,
    StorageRequest: parse_storage_request,
    Address: parse_address,
    Hash32: parse_hash,
    BlockRef: parse_block,
    CallObject: parse_call,
    FilterObject: parse_filter,
    bool: parse_flag,
}
