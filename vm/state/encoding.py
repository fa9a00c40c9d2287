"""RLP by slices for the state's hot paths: strings, lists, node items and accounts.

The general codec (`primitives.codec`) builds and checks nested lists; a trie touches thousands of
nodes a block and needs only their items in encoded form. Bytes read here were written here, and
trie nodes are checked against their hash before; what does not fit raises StoreCorrupt.
Sources: Yellow Paper appendix B (RLP), 4.1 (account); slim accounts as in geth's flat state.
"""

from __future__ import annotations

import re
from typing import Final

from primitives.account import Account
from primitives.errors import StoreCorrupt
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, HASH_BYTES, Hash32, Nonce, Wei

EMPTY_ITEM: Final = b"\x80"
"""The encoding of the empty string."""

STRING: Final = 0x80
LIST: Final = 0xC0


_SMALL: Final = [EMPTY_ITEM, *(bytes((value,)) for value in range(1, 0x80))]
"""The encodings of the integers below 128."""

_SHORT: Final = [bytes((STRING + length,)) for length in range(56)]
"""The prefixes of short strings."""

_NO_HASHES: Final = EMPTY_ITEM * 2
"""How the flat row of an account without storage and code ends."""

_BRANCH_ITEMS: Final = re.compile(b"(?s:" + b"(\xa0.{32}|\x80)" * 17 + b")").fullmatch
"""Splits the body of a branch whose items are hashes or empty, as nearly all are, in one step."""


def rlp_prefix(kind: int, length: int) -> bytes:
    """Return the prefix of a string (kind STRING) or list (kind LIST) of `length` bytes."""
    if length < 56:
        return bytes((kind + length,))
    if length < 256:
        return bytes((kind + 56, length))
    size = (length.bit_length() + 7) // 8
    return bytes((kind + 55 + size,)) + length.to_bytes(size, "big")


def rlp_string(payload: bytes) -> bytes:
    """Return the encoding of a byte string."""
    length = len(payload)
    if length == 1 and payload[0] < 0x80:
        return payload
    if length < 56:
        return bytes((0x80 + length,)) + payload
    return rlp_prefix(STRING, length) + payload


def rlp_list(items: list[bytes]) -> bytes:
    """Return the encoding of a list whose items are encoded already."""
    body = b"".join(items)
    return rlp_prefix(LIST, len(body)) + body


def rlp_uint(value: int) -> bytes:
    """Return the encoding of an unsigned integer."""
    if value < 0x80:
        return _SMALL[value]
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return rlp_prefix(STRING, len(raw)) + raw


def split_list(raw: bytes) -> list[bytes]:
    """Return the items of an encoded list, each still encoded.

    Raises StoreCorrupt when the items do not fill the list exactly.
    """
    if not raw or raw[0] < LIST:
        raise StoreCorrupt("a stored list does not begin like one")
    at = 1 if raw[0] < 0xF8 else raw[0] - 0xF6
    size = len(raw)
    if at + (raw[0] - LIST if at == 1 else int.from_bytes(raw[1:at], "big")) != size:
        raise StoreCorrupt("a stored list has another length than it says")
    branch = _BRANCH_ITEMS(raw, at)
    if branch is not None:
        return list(branch.groups())
    items = []
    while at < size:
        first = raw[at]
        if first == 0xA0:
            end = at + 33
        elif first <= 0x80:
            end = at + 1
        else:
            end = _item_end(raw, at, first)
        items.append(raw[at:end])
        at = end
    if at != size:
        raise StoreCorrupt("an item of a stored list runs over its end")
    return items


def _item_end(raw: bytes, at: int, first: int) -> int:
    if first < 0xB8:
        return at + 1 + first - 0x80
    if 0xC0 <= first < 0xF8:
        return at + 1 + first - 0xC0
    size = first - (0xB7 if first < 0xC0 else 0xF7)
    return at + 1 + size + int.from_bytes(raw[at + 1 : at + 1 + size], "big")


def string_of(item: bytes) -> bytes:
    """Return the payload of an encoded string."""
    first = item[0]
    if first < 0x80:
        return item
    if first < 0xB8:
        return item[1:]
    return item[first - 0xB6 :]


def encode_account(account: Account) -> bytes:
    """Return the account's leaf value in the state trie. Source: Yellow Paper 4.1."""
    return string_of(encode_rows(account, account.storage_root)[1])


def encode_slim(account: Account) -> bytes:
    """Return the account as the flat table holds it: empty root and code hash left out."""
    return encode_rows(account, account.storage_root)[0]


def encode_rows(account: Account, root: Hash32) -> tuple[bytes, bytes]:
    """Return the account with this storage root in both forms.

    First as the flat table holds it, then as the item of its leaf, an encoded string.
    """
    code = account.code_hash
    nonce, balance = account.nonce, account.balance
    digits = balance.to_bytes((balance.bit_length() + 7) // 8, "big")
    numbers = (_SMALL[nonce] if nonce < 0x80 else rlp_uint(nonce)) + (
        _SHORT[len(digits)] + digits if balance >= 0x80 else _SMALL[balance]
    )
    full = numbers + b"\xa0" + root + b"\xa0" + code
    size = len(full)
    leaf = bytes((0xB8, size + 2, 0xF8, size)) + full
    if root == EMPTY_ROOT and code == EMPTY_CODE_HASH:
        return bytes((LIST + len(numbers) + 2,)) + numbers + _NO_HASHES, leaf
    slim = (
        numbers
        + (EMPTY_ITEM if root == EMPTY_ROOT else b"\xa0" + root)
        + (EMPTY_ITEM if code == EMPTY_CODE_HASH else b"\xa0" + code)
    )
    return rlp_prefix(LIST, len(slim)) + slim, leaf


def storage_root_of(raw: bytes) -> Hash32:
    """Return the storage root of the account that `encode_slim` wrote; raises StoreCorrupt."""
    if raw.endswith(_NO_HASHES) and raw[0] - LIST == len(raw) - 1:
        at = 2 if raw[1] <= 0x80 else raw[1] - 0x7E
        if at < len(raw) and len(raw) - 2 == (at + 1 if raw[at] <= 0x80 else at + raw[at] - 0x7F):
            return EMPTY_ROOT
    return decode_slim(raw).storage_root


def decode_slim(raw: bytes) -> Account:
    """Return the account that `encode_slim` wrote; raises StoreCorrupt."""
    if raw.endswith(_NO_HASHES) and raw[0] - LIST == len(raw) - 1:
        nonce, at = _number(raw, 1)
        balance, at = _number(raw, min(at, len(raw) - 1))
        if at == len(raw) - 2:
            return Account(Nonce(nonce), Wei(balance))
    items = split_list(raw)
    if len(items) != 4:
        raise StoreCorrupt("a stored account has not four fields")
    first, second, root, code = map(string_of, items)
    if len(root) not in (0, HASH_BYTES) or len(code) not in (0, HASH_BYTES):
        raise StoreCorrupt("a stored account has a hash of another length than 32")
    return Account(
        Nonce(int.from_bytes(first, "big")),
        Wei(int.from_bytes(second, "big")),
        Hash32(root) if root else EMPTY_ROOT,
        Hash32(code) if code else EMPTY_CODE_HASH,
    )


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """Return the number whose encoding begins at `at`, and where that ends."""
    first = raw[at]
    if first <= 0x80:
        return first & 0x7F, at + 1
    end = at + first - 0x7F
    return int.from_bytes(raw[at + 1 : end], "big"), end
