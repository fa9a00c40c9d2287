"""RLP by slices for the state's hot paths: strings, lists, node items and accounts.

The general codec (`primitives.codec`) builds and checks nested lists; a trie touches thousands of
nodes a block and needs only their items in encoded form. Bytes read here were written here, and
trie nodes are checked against their hash before; what does not fit raises StoreCorrupt.
Sources: Yellow Paper appendix B (RLP), 4.1 (account); slim accounts as in geth's flat state.
"""

from __future__ import annotations

from typing import Final

from primitives.account import Account
from primitives.errors import StoreCorrupt
from primitives.types import EMPTY_CODE_HASH, EMPTY_ROOT, HASH_BYTES, Hash32, Nonce, Wei

EMPTY_ITEM: Final = b"\x80"
"""The encoding of the empty string."""

STRING: Final = 0x80
LIST: Final = 0xC0


# A branch with sixteen hashes and no value, as nearly all upper nodes of a large trie are.
_FULL_BYTES: Final = 532
_FULL_HEAD: Final = b"\xf9\x02\x11"
_FULL_MARKS: Final = b"\xa0" * 16 + b"\x80"
_FULL_STARTS: Final = range(3, 531, 33)


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
    return rlp_string(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def split_list(raw: bytes) -> list[bytes]:
    """Return the items of an encoded list, each still encoded.

    Raises StoreCorrupt when the items do not fill the list exactly.
    """
    if raw.startswith(_FULL_HEAD) and len(raw) == _FULL_BYTES and raw[3::33] == _FULL_MARKS:
        return [*(raw[at : at + 33] for at in _FULL_STARTS), EMPTY_ITEM]
    if not raw or raw[0] < LIST:
        raise StoreCorrupt("a stored list does not begin like one")
    at = 1 if raw[0] < 0xF8 else raw[0] - 0xF6
    size = len(raw)
    if at + (raw[0] - LIST if at == 1 else int.from_bytes(raw[1:at], "big")) != size:
        raise StoreCorrupt("a stored list has another length than it says")
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
    body = (
        rlp_uint(account.nonce)
        + rlp_uint(account.balance)
        + b"\xa0"
        + account.storage_root
        + b"\xa0"
        + account.code_hash
    )
    return rlp_prefix(LIST, len(body)) + body


def encode_slim(account: Account) -> bytes:
    """Return the account as the flat table holds it: empty root and code hash left out."""
    root, code = account.storage_root, account.code_hash
    return rlp_list(
        [
            rlp_uint(account.nonce),
            rlp_uint(account.balance),
            EMPTY_ITEM if root == EMPTY_ROOT else b"\xa0" + root,
            EMPTY_ITEM if code == EMPTY_CODE_HASH else b"\xa0" + code,
        ]
    )


def decode_slim(raw: bytes) -> Account:
    """Return the account that `encode_slim` wrote; raises StoreCorrupt."""
    items = split_list(raw)
    if len(items) != 4:
        raise StoreCorrupt("a stored account has not four fields")
    nonce, balance, root, code = map(string_of, items)
    if len(root) not in (0, HASH_BYTES) or len(code) not in (0, HASH_BYTES):
        raise StoreCorrupt("a stored account has a hash of another length than 32")
    return Account(
        Nonce(int.from_bytes(nonce, "big")),
        Wei(int.from_bytes(balance, "big")),
        Hash32(root) if root else EMPTY_ROOT,
        Hash32(code) if code else EMPTY_CODE_HASH,
    )
