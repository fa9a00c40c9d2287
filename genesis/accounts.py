"""Reads the accounts of a large genesis document one by one, so that memory holds them only once.

Parsed whole, a million accounts are some three million objects of JSON beside their own. Here the
text is walked: the members of the document are parsed as always, those of `alloc` turned into
accounts as they come, most by one match of `_PLAIN`. Whatever is unusual in any way (no JSON, a key
twice, an account that is wrong) makes `read_accounts` answer None: the strict reader of
`genesis.document` then says what it is, or accepts it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from primitives.account import GenesisAccount
from primitives.errors import ConfigError
from primitives.types import Address, Wei

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_PLAIN: Final = re.compile(
    r'\s*"0x([0-9a-fA-F]{40})"\s*:\s*\{\s*"balance"\s*:\s*"0x([0-9a-fA-F]{1,64})"\s*\}\s*([,}])',
    re.ASCII,
)
"""An account with a balance alone, and what follows it."""

NO_SLOTS: Final = MappingProxyType[int, int]({})
"""The storage of all accounts without any."""

ReadAccount = Callable[[str, Any], tuple[Address, GenesisAccount]]
"""Returns address and account of a member of `alloc`; raises ConfigError."""

Accounts = dict[Address, GenesisAccount]


def read_accounts(
    text: str, read: ReadAccount, decoder: json.JSONDecoder
) -> tuple[dict[str, Any], Accounts] | None:
    """Return the document in `text` with an empty `alloc`, and its accounts; None if in doubt."""
    try:
        return _Walk(text, read, decoder).document()
    except (_InDoubt, ConfigError, ValueError):
        return None


class _InDoubt(Exception):
    """The text is not what a usual document is."""


class _Walk:
    """A place in the text."""

    def __init__(self, text: str, read: ReadAccount, decoder: json.JSONDecoder) -> None:
        self._text = text
        self._read = read
        self._decoder = decoder
        self._at = 0

    def document(self) -> tuple[dict[str, Any], Accounts]:
        members: dict[str, Any] = {}
        accounts: Accounts = {}
        self._take("{")
        follows = ","
        while follows == ",":
            key = self._key()
            if key in members:
                raise _InDoubt
            if key == "alloc":
                members[key] = {}
                accounts = self._accounts()
            else:
                members[key] = self._value()
            follows = self._take(",}")
        self._skip()
        if self._at != len(self._text):
            raise _InDoubt
        return members, accounts

    def _accounts(self) -> Accounts:
        found: Accounts = {}
        count, follows = 0, self._take("{") and ","
        while follows == ",":
            plain = _PLAIN.match(self._text, self._at)
            if plain is None:
                address, account = self._read(self._key(), self._value())
                follows = self._take(",}")
            else:
                address = Address(bytes.fromhex(plain[1]))
                account = GenesisAccount(Wei(int(plain[2], 16)), storage=NO_SLOTS)
                follows, self._at = plain[3], plain.end()
            found[address] = account
            count += 1
        if count != len(found):
            raise _InDoubt
        return found

    def _key(self) -> str:
        key = self._value()
        if not isinstance(key, str):
            raise _InDoubt
        self._take(":")
        return key

    def _value(self) -> Any:
        self._skip()
        value, self._at = self._decoder.raw_decode(self._text, self._at)
        return value

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = self._at if space is None else space.end()

    def _take(self, wanted: str) -> str:
        """Go behind the next character, which is one of `wanted`, and return it."""
        self._skip()
        found = self._text[self._at : self._at + 1]
        if not found or found not in wanted:
            raise _InDoubt
        self._at += 1
        return found
