"""Transactions for accounts whose key nobody has, and the ones that a key signs.

An impersonated account signs nothing. Its transactions carry a mark in place of a signature: r is a
number that is no point of the curve, so no public key fits it and every other network refuses
them, and s holds the sender. Only the functions here believe the mark, and only the developer
chain calls them. Sources: Yellow Paper 4.3; EIP-155, 2718, 2930, 1559, 7702.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from primitives.codec import Item, as_uint, decode_list, encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import BadSignature
from primitives.transaction import (
    ACCESS_LIST,
    DYNAMIC_FEE,
    LEGACY,
    SET_CODE,
    AccessList,
    Authorization,
    Transaction,
    decode_transaction,
    decode_transactions,
)
from primitives.types import ADDRESS_BYTES, Address, ChainId, Gas, Nonce, Wei

MARK_R: Final = 5
"""No point of secp256k1 has x = 5, nor x = 5 + ORDER: 5^3 + 7 is no square."""

MARK_S: Final = 1 << 8 * ADDRESS_BYTES
"""Is added to the sender's address, so that s is never zero."""

_STAND_IN_R: Final = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
"""The generator's x: with s = 1 it fits some public key whatever was signed."""

_SIGNATURE_ITEMS: Final = 3
_EIP155_OFFSET: Final = 35
_TYPES_END: Final = 0x80


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction before its signature; for types 0 and 1 both fees are the gas price."""

    type: int
    chain_id: ChainId
    nonce: Nonce
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    access_list: AccessList = ()
    authorizations: tuple[Authorization, ...] = ()


def signed_by(draft: Draft, key: PrivateKey) -> Transaction:
    """Return the transaction with the key's signature."""
    signature = key.sign(keccak(_encoded(draft, _unsigned_end(draft))))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return decode_transaction(_encoded(draft, _end(draft, signature[64], r, s)))


def marked(draft: Draft, sender: Address) -> Transaction:
    """Return the transaction of an impersonated sender, with the mark for a signature."""
    s = MARK_S | int.from_bytes(sender, "big")
    return _believed(_encoded(draft, _end(draft, 0, MARK_R, s)))


def decode_kept(raws: Sequence[bytes]) -> list[Transaction]:
    """Return the transactions of a block of a developer chain; marks are believed.

    Raises InvalidTransaction when one is neither signed nor marked.
    """
    found = []
    for raw, each in zip(raws, decode_transactions(raws), strict=True):
        if isinstance(each, BadSignature):
            found.append(_believed(raw))
        elif isinstance(each, Transaction):
            found.append(each)
        else:
            raise each
    return found


def _believed(raw: bytes) -> Transaction:
    """Return the transaction that `raw` with its mark is; raises BadSignature without a mark."""
    prefix = raw[:1] if raw[0] < _TYPES_END else b""
    items = decode_list(raw[len(prefix) :])
    r, s = (as_uint(each) for each in items[-2:])
    if r != MARK_R or s >> 8 * ADDRESS_BYTES != 1:
        raise BadSignature("invalid sender: neither signed nor marked by a developer chain")
    stand_in = prefix + encode([*items[:-2], uint(_STAND_IN_R), uint(1)])
    sender = Address((s ^ MARK_S).to_bytes(ADDRESS_BYTES, "big"))
    return replace(decode_transaction(stand_in), r=r, s=s, sender=sender, hash=keccak(raw), raw=raw)


def _encoded(draft: Draft, end: list[Item]) -> bytes:
    fees: list[Item] = [uint(draft.max_fee_per_gas)]
    if draft.type in (DYNAMIC_FEE, SET_CODE):
        fees = [uint(draft.max_priority_fee_per_gas), *fees]
    body: list[Item] = [uint(draft.gas), draft.to or b"", uint(draft.value), draft.data]
    if draft.type == LEGACY:
        return encode([uint(draft.nonce), *fees, *body, *end])
    access: Item = [
        [address, [slot.to_bytes(32, "big") for slot in slots]]
        for address, slots in draft.access_list
    ]
    head: list[Item] = [uint(draft.chain_id), uint(draft.nonce)]
    lists: list[Item] = [access]
    if draft.type == SET_CODE:
        lists.append([_authorization(each) for each in draft.authorizations])
    return bytes((draft.type,)) + encode([*head, *fees, *body, *lists, *end])


def _authorization(each: Authorization) -> Item:
    numbers = (each.nonce, each.y_parity, each.r, each.s)
    return [uint(each.chain_id), each.address, *map(uint, numbers)]


def _unsigned_end(draft: Draft) -> list[Item]:
    return [uint(draft.chain_id), b"", b""] if draft.type == LEGACY else []


def _end(draft: Draft, parity: int, r: int, s: int) -> list[Item]:
    v = parity + _EIP155_OFFSET + 2 * draft.chain_id if draft.type == LEGACY else parity
    return [uint(v), uint(r), uint(s)]


def type_of(*, has_price: bool, has_access_list: bool, has_authorizations: bool) -> int:
    """Return the type that fits: legacy or EIP-2930 with a gas price, else EIP-1559 or 7702."""
    if has_authorizations:
        return SET_CODE
    if not has_price:
        return DYNAMIC_FEE
    return ACCESS_LIST if has_access_list else LEGACY
