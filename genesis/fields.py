"""Typed reads from parsed JSON whose errors name the place: `qenex.validators[2].power: ...`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from primitives.errors import ConfigError
from primitives.types import ADDRESS_BYTES, UINT256_MAX, Address

_KEY: Final = re.compile(r"[A-Za-z0-9_]+")
_HEX_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DECIMAL: Final = re.compile(r"[0-9]{1,78}")
_HEX_BYTES: Final = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})*)")
_TEXT_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_SHOWN_CHARS: Final = 60
DEPTH_MAX: Final = 32
"""Deepest nesting of a document; a genesis document needs 6."""


@dataclass(frozen=True, slots=True)
class Field:
    """A JSON value and the path that leads to it; every reader raises ConfigError."""

    path: str
    value: Any

    def wrong(self, why: str) -> ConfigError:
        """Return the error that says what this field must be."""
        return ConfigError(f"{self.path or 'document'}: {why}", path=self.path)

    @property
    def shown(self) -> str:
        """The value as JSON, cut to one short line."""
        text = json.dumps(self.value)
        return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."

    def keys(self, *, required: set[str], optional: set[str]) -> None:
        """Check that this is an object with all of `required` and nothing else but `optional`."""
        found = self._object()
        unknown = sorted(found.keys() - required - optional)
        if unknown:
            known = ", ".join(sorted(required | optional))
            raise self.at(unknown[0]).wrong(f"unknown key; known here are: {known}")
        missing = sorted(required - found.keys())
        if missing:
            raise self.at(missing[0]).wrong("missing")

    def at(self, key: str) -> Field:
        """Return the member `key`; its value is None when it is absent."""
        name = key if _KEY.fullmatch(key) else json.dumps(key)
        return Field(f"{self.path}.{name}" if self.path else name, self._object().get(key))

    def has(self, key: str) -> bool:
        """True when the object has the member `key`."""
        return key in self._object()

    def members(self) -> Iterator[tuple[str, Field]]:
        """Yield the members of an object in order of appearance."""
        for key in self._object():
            yield key, self.at(key)

    def items(self) -> list[Field]:
        """Return the elements of a list."""
        if not isinstance(self.value, list):
            raise self.wrong(f"must be a list, found {self.shown}")
        return [Field(f"{self.path}[{i}]", each) for i, each in enumerate(self.value)]

    def uint(self, low: int = 0, high: int = UINT256_MAX) -> int:
        """Return an integer in low..high, given as a number, decimal text or 0x hex text."""
        value = self.value
        if isinstance(value, str) and _HEX_NUMBER.fullmatch(value):
            value = int(value, 16)
        elif isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = int(value)
        if type(value) is not int:
            raise self.wrong(f"must be a number, found {self.shown}")
        if not low <= value <= high:
            limit = "2^256 - 1" if high == UINT256_MAX else str(high)
            raise self.wrong(f"must be {low} to {limit}, found {self.shown}")
        return value

    def text(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            raise self.wrong(f"must be text, found {self.shown}")
        return self.value

    def raw(self, length: int | None = None) -> bytes:
        """Return the bytes of 0x hex text, of `length` bytes when given."""
        match = _HEX_BYTES.fullmatch(self.text())
        if match is None:
            raise self.wrong(f"must be hex bytes (0x...), found {self.shown}")
        raw = bytes.fromhex(match[1])
        if length is not None and len(raw) != length:
            raise self.wrong(f"must be {length} bytes, found {len(raw)}")
        return raw

    def address(self) -> Address:
        """Return a 20-byte address."""
        return Address(self.raw(ADDRESS_BYTES))

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.wrong(f"must be an object, found {self.shown}")
        return self.value


def parse_json(raw: bytes, source: str) -> Any:
    """Return the JSON value in `raw`; raises ConfigError that names `source`.

    Refuses an object that has one key twice: two readers could take different ones. The depth is
    checked first, because Python's parser follows it on the machine's stack.
    """
    return parse_text(decode_text(raw, source), source)


def decode_text(raw: bytes, source: str) -> str:
    """Return the text of JSON that is not nested too deep; raises ConfigError."""
    try:
        text = raw.decode("utf-8")
    except ValueError as error:
        raise ConfigError(f"{source}: not JSON: {error}") from None
    if _depth(text) > DEPTH_MAX:
        raise ConfigError(f"{source}: not JSON: nested deeper than {DEPTH_MAX}")
    return text


def parse_text(text: str, source: str) -> Any:
    """Return the JSON value in a text of `decode_text`; raises as `parse_json`."""
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ConfigError(f"{source}: not JSON: {error.msg} at {where}") from None
    except ValueError as error:
        raise ConfigError(f"{source}: not JSON: {error}") from None


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return 0
    deepest = depth = 0
    for match in _TEXT_OR_BRACKET.finditer(text):
        first = match[0][0]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(f"the key {json.dumps(key)} stands twice in one object")
        found[key] = value
    return found


DECODER: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates)
"""Parses JSON and raises ConfigError for an object that has one key twice."""
