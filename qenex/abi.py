"""Calls, results, events and errors of contracts by name, from the committed artifacts.

Values are eth_abi's: integers, bytes, `0x` addresses (raw 20 bytes are taken too), tuples for
structs. Source: Solidity documentation, "Contract ABI Specification".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from contracts import artifact, names
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, InvalidMessage
from primitives.types import ZERO_ADDRESS, Address

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a log: `fields` by name, `address` where the contract stands."""

    contract: str
    name: str
    fields: Mapping[str, Any]
    address: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Failure:
    """A contract's error: its name and values; `name` is empty when nobody knows it."""

    name: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        shown = ", ".join(
            _hex(each) if isinstance(each, bytes) else str(each) for each in self.values
        )
        return f"{self.name}({shown})" if self.name else f"unknown error {shown}"


def call_data(contract: str, function: str, values: Sequence[Any]) -> bytes:
    """Return the data of a call; raises ConfigError when the values do not fit its parameters."""
    entry = _function(contract, function, len(values))
    return selector(entry)[:4] + encoded(entry, values, f"{contract}.{function}")


def constructor_data(contract: str, values: Sequence[Any]) -> bytes:
    """Return a contract's creation code with its arguments; raises ConfigError."""
    found = artifact(contract)
    entry: Entry = next(entries(contract, "constructor"), {"inputs": []})
    return found.bytecode + encoded(entry, values, f"constructor of {contract}")


def result(contract: str, function: str, count: int, raw: bytes) -> Any:
    """Return what a call of `function` with `count` arguments gave: one value, or a tuple.

    Raises InvalidMessage when `raw` is not of its form: no such contract stands there.
    """
    entry = _function(contract, function, count)
    try:
        found = decode(types_of(entry["outputs"]), raw)
    except DecodingError:
        raise InvalidMessage(f"this is no answer of {contract}.{function}: {_hex(raw)}") from None
    return found[0] if len(found) == 1 else found


def event(contract: str, topics: Sequence[bytes], data: bytes) -> Event | None:
    """Return the event of a log of `contract`, or None when the contract has no such event."""
    for entry in artifact(contract).abi:
        if entry["type"] == "event" and topics and selector(entry) == topics[0]:
            indexed = [each for each in entry["inputs"] if each["indexed"]]
            plain = [each for each in entry["inputs"] if not each["indexed"]]
            values = dict(
                zip([e["name"] for e in plain], decode(types_of(plain), data), strict=True)
            )
            for each, topic in zip(indexed, topics[1:], strict=True):
                kind = type_of(each)
                is_hashed = kind in ("string", "bytes") or kind.endswith(("]", ")"))
                values[each["name"]] = topic if is_hashed else decode([kind], topic)[0]
            return Event(contract, entry["name"], values)
    return None


def failure(output: bytes) -> Failure:
    """Return the error in revert data, of any of our contracts or of Solidity itself."""
    found = _errors().get(output[:4])
    if found is not None:
        name, types = found
        try:
            return Failure(name, decode(list(types), output[4:]))
        except DecodingError:
            return Failure(name, ())
    return Failure("", (output,))


@cache
def _errors() -> Mapping[bytes, tuple[str, tuple[str, ...]]]:
    known: dict[bytes, tuple[str, tuple[str, ...]]] = {
        keccak(b"Error(string)")[:4]: ("Error", ("string",)),
        keccak(b"Panic(uint256)")[:4]: ("Panic", ("uint256",)),
    }
    for contract in names():
        for entry in artifact(contract).abi:
            if entry["type"] == "error":
                known[selector(entry)[:4]] = (entry["name"], tuple(types_of(entry["inputs"])))
    return known


def selector(entry: Entry) -> bytes:
    """Return the hash of an entry's signature: an event's topic; its first 4 bytes name a call."""
    return keccak(f"{entry['name']}({','.join(types_of(entry['inputs']))})".encode())


def types_of(fields: Sequence[Entry]) -> list[str]:
    """Return the ABI types of parameters, structs as tuples."""
    return [type_of(each) for each in fields]


def type_of(field: Entry) -> str:
    """Return the ABI type of one parameter."""
    kind = str(field["type"])
    if kind.startswith("tuple"):
        return f"({','.join(types_of(field['components']))}){kind.removeprefix('tuple')}"
    return kind


def entries(contract: str, kind: str) -> Iterator[Entry]:
    """Yield the ABI's entries of a kind: function, event, error."""
    return (each for each in artifact(contract).abi if each["type"] == kind)


def _function(contract: str, name: str, count: int) -> Entry:
    for each in entries(contract, "function"):
        if each["name"] == name and len(each["inputs"]) == count:
            return each
    raise ConfigError(f"{contract} has no function {name} with {count} arguments")


def encoded(entry: Entry, values: Sequence[Any], place: str) -> bytes:
    """Return arguments as a call carries them; raises ConfigError when they do not fit."""
    types = types_of(entry["inputs"])
    if len(types) != len(values):
        raise ConfigError(f"{place} takes {len(types)} arguments, found {len(values)}")
    try:
        return encode(types, list(values))
    except (EncodingError, OverflowError, TypeError) as error:
        raise ConfigError(f"{place}: {error}") from None


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
