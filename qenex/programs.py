"""Contracts by what they are written in: a name of ours, a compiler's JSON, or bare code in hex.

Arguments are given by the names that the contract's ABI has for them, those without a name by their
place ("0", "1"). Values are eth_abi's:
integers (amounts in smallest units), bytes, `0x` addresses, tuples and lists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from contracts import artifact, names
from primitives.errors import ConfigError, InvalidMessage
from qenex.abi import Entry, encoded, selector, types_of


@dataclass(frozen=True, slots=True)
class Program:
    """Creation code and its ABI; the ABI is empty for bare code."""

    name: str
    abi: Sequence[Entry]
    code: bytes

    def creation(self, params: Mapping[str, Any]) -> bytes:
        """Return the code with its constructor's arguments; raises ConfigError."""
        found = [each for each in self.abi if each["type"] == "constructor"]
        entry = found[0] if found else {"inputs": []}
        return self.code + encoded(entry, _ordered(entry, params, self.name), self.name)

    def function(self, name: str, params: Mapping[str, Any]) -> Entry:
        """Return the function of this name that takes these parameters; raises ConfigError."""
        found = [e for e in self.abi if e["type"] == "function" and e["name"] == name]
        if not found:
            known = sorted({e["name"] for e in self.abi if e["type"] == "function"})
            there = f"there are: {', '.join(known)}" if known else "its ABI is not known here"
            raise ConfigError(f"{self.name} has no function {name}; {there}")
        for each in found:
            if set(_names(each)) == set(params):
                return each
        return found[0]

    def call(self, entry: Entry, params: Mapping[str, Any]) -> bytes:
        """Return the data of a call; raises ConfigError."""
        place = f"{self.name}.{entry['name']}"
        return selector(entry)[:4] + encoded(entry, _ordered(entry, params, place), place)


def program(code: str) -> Program:
    """Read a contract's name, a compiler's JSON with `abi` and `bytecode`, or hex; ConfigError."""
    text = code.strip()
    if text.startswith("{"):
        return _compiled(text)
    if text.isidentifier() and not text.startswith("0x"):
        found = artifact(text)
        return Program(text, found.abi, found.bytecode)
    return Program("the contract", (), _bytes(text))


def answer(entry: Entry, raw: bytes) -> Any:
    """Return what a function gave: None, one value, or a tuple; raises InvalidMessage."""
    try:
        found = decode(types_of(entry["outputs"]), raw)
    except DecodingError:
        raise InvalidMessage(f"this is no answer of {entry['name']}: 0x{raw.hex()}") from None
    if not found:
        return None
    return found[0] if len(found) == 1 else found


def _compiled(text: str) -> Program:
    try:
        found = json.loads(text)
        code = found["bytecode"]
        raw = code["object"] if isinstance(code, dict) else code
        name = str(found.get("contractName", "the contract"))
        return Program(name, list(found["abi"]), _bytes(raw))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError("a compiled contract is JSON with `abi` and `bytecode`") from None


def _bytes(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if not raw:
        raise ConfigError(
            "code is one of our contracts' names, a compiler's JSON with `abi` and `bytecode`, or "
            f"creation code in hex; source must be compiled first. Names: {', '.join(names())}"
        )
    return raw


def _names(entry: Entry) -> list[str]:
    return [each["name"] or str(index) for index, each in enumerate(entry["inputs"])]


def _ordered(entry: Entry, params: Mapping[str, Any], place: str) -> list[Any]:
    wanted = _names(entry)
    if set(wanted) != set(params):
        needs = ", ".join(wanted) or "nothing"
        raise ConfigError(f"{place} takes {needs}; found {', '.join(params) or 'nothing'}")
    return [params[each] for each in wanted]
