"""Transactions: legacy, EIP-2930, EIP-1559 and EIP-7702, decoded from raw bytes by slices.

A `Transaction` exists only with its sender recovered and its form checked, so no later step asks
again. One transaction has one encoding: leading zeros, longer length forms, trailing bytes and
fields that are too wide are refused. Blob transactions (EIP-4844) are refused: no QENEX chain
takes them. Only who reads a public Ethereum chain asks for the form `PUBLIC`, which decodes them
too. What depends on chain or state is `vm.validate`.

The decoder cuts slices out of the raw bytes and never encodes anything again: the signing hash is
taken over the very bytes that stand before the signature. It does not recurse, so nesting costs
nothing, and nothing is read before the size limit is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from primitives.codec import Cut, as_uint, encode, list_prefix, split, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import (
    BAD_VALUES,
    HALF_ORDER,
    NO_PUBLIC_KEY,
    ORDER,
    recover,
    recover_many,
)
from primitives.errors import (
    BadSignature,
    EmptyAuthorizations,
    InvalidMessage,
    InvalidTransaction,
    Malformed,
    NonceTooHigh,
    OversizedTransaction,
    UnsupportedType,
)
from primitives.meter import Stage, metered
from primitives.params import TRANSACTION_BYTES_MAX
from primitives.types import (
    ADDRESS_BYTES,
    HASH_BYTES,
    UINT64_MAX,
    WEI_ZERO,
    Address,
    ChainId,
    Gas,
    Hash32,
    Nonce,
    Wei,
)

AccessList = tuple[tuple[Address, tuple[int, ...]], ...]

LEGACY: Final = 0
ACCESS_LIST: Final = 1
DYNAMIC_FEE: Final = 2
BLOB: Final = 3
SET_CODE: Final = 4

_FIELDS: Final = {LEGACY: 9, ACCESS_LIST: 11, DYNAMIC_FEE: 12, BLOB: 14, SET_CODE: 13}
PUBLIC_TRANSACTION_BYTES_MAX: Final = 1 << 24
_AUTHORIZATION_MAGIC: Final = b"\x05"


@dataclass(frozen=True, slots=True)
class Form:
    """What the decoder takes: blob transactions, s in the upper half (Frontier), how many bytes."""

    blobs: bool = False
    high_s: bool = False
    size_bytes_max: int = TRANSACTION_BYTES_MAX


OURS: Final = Form()
"""What a QENEX network takes; everybody's default."""

PUBLIC: Final = Form(blobs=True, high_s=True, size_bytes_max=PUBLIC_TRANSACTION_BYTES_MAX)
"""What stands in blocks of public Ethereum chains, for importing them and for official tests."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One entry of a set-code transaction's list. Source: EIP-7702.

    Only the widths are checked at decoding; an entry that is wrong is skipped at execution.
    """

    chain_id: int
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A well-formed, signed transaction with its sender.

    For types 0 and 1 both fee fields hold the gas price. `chain_id` is None for a legacy
    transaction without EIP-155 protection. `raw` is the canonical EIP-2718 encoding.
    """

    type: int
    chain_id: ChainId | None
    nonce: Nonce
    max_priority_fee_per_gas: Wei
    max_fee_per_gas: Wei
    gas: Gas
    to: Address | None
    value: Wei
    data: bytes
    access_list: AccessList
    authorizations: tuple[Authorization, ...]
    y_parity: int
    r: int
    s: int
    sender: Address
    hash: Hash32
    raw: bytes
    max_fee_per_blob_gas: Wei = WEI_ZERO
    blob_hashes: tuple[Hash32, ...] = ()

    def effective_gas_price(self, base_fee: Wei) -> Wei:
        """Return what the sender pays per gas, in wei. Source: EIP-1559."""
        return Wei(min(self.max_fee_per_gas, base_fee + self.max_priority_fee_per_gas))


_Signature: TypeAlias = tuple[int, int, int]
_Content: TypeAlias = tuple[
    int,
    ChainId | None,
    Nonce,
    Wei,
    Wei,
    Gas,
    Address | None,
    Wei,
    bytes,
    AccessList,
    tuple[Authorization, ...],
    int,
    int,
    int,
]
"""The fields of a Transaction before its sender, in their order."""

_Blobs: TypeAlias = "tuple[()] | tuple[Wei, tuple[Hash32, ...]]"
"""The fields of a Transaction after its raw bytes; only blob transactions have them."""

_Parsed: TypeAlias = tuple[_Content, bytes, bytes, _Blobs]
"""Content, signing digest, 65-byte signature and blob fields."""


def decode_transaction(raw: bytes, form: Form = OURS) -> Transaction:
    """Return the transaction that `raw` encodes, sender recovered; raises InvalidTransaction.

    `raw` is the EIP-2718 form: RLP for legacy, type byte and RLP for the others.
    """
    content, digest, signature, blobs = _parse(raw, form)
    sender = recover(digest, signature, high_s=form.high_s)
    return Transaction(*content, sender, keccak(raw), raw, *blobs)


@metered(Stage.DECODE)
def decode_transactions(
    raws: Sequence[bytes], form: Form = OURS
) -> list[Transaction | InvalidTransaction]:
    """Decode and recover a batch; the answer at each index is a transaction or its error.

    Senders of large batches are recovered in threads (see `recover_many`).
    """
    parsed: list[_Parsed | InvalidTransaction] = [_parse_or_error(raw, form) for raw in raws]
    pairs = [(each[1], each[2]) for each in parsed if isinstance(each, tuple)]
    senders = iter(recover_many(pairs, high_s=form.high_s))
    answers: list[Transaction | InvalidTransaction] = []
    for raw, each in zip(raws, parsed, strict=True):
        if isinstance(each, InvalidTransaction):
            answers.append(each)
            continue
        sender = next(senders)
        if sender is None:
            answers.append(BadSignature(NO_PUBLIC_KEY))
        else:
            answers.append(Transaction(*each[0], sender, keccak(raw), raw, *each[3]))
    return answers


def authority(authorization: Authorization) -> Address | None:
    """Return who signed an authorization, or None when nobody did. Source: EIP-7702.

    The digest is keccak(0x05 | rlp([chain_id, address, nonce])); s must be in the lower half.
    """
    if authorization.y_parity > 1 or not 0 < authorization.r < ORDER:
        return None
    if not 0 < authorization.s <= HALF_ORDER:
        return None
    signed = [uint(authorization.chain_id), authorization.address, uint(authorization.nonce)]
    digest = keccak(_AUTHORIZATION_MAGIC + encode(signed))
    signature = authorization.r.to_bytes(32, "big") + authorization.s.to_bytes(32, "big")
    try:
        return recover(digest, signature + bytes((authorization.y_parity,)))
    except BadSignature:
        return None


def _parse_or_error(raw: bytes, form: Form) -> _Parsed | InvalidTransaction:
    try:
        return _parse(raw, form)
    except InvalidTransaction as error:
        return error


def _parse(raw: bytes, form: Form) -> _Parsed:
    if len(raw) > form.size_bytes_max:
        raise OversizedTransaction(
            f"oversized data: transaction size {len(raw)}, limit {form.size_bytes_max}",
            size_bytes=len(raw),
            size_bytes_max=form.size_bytes_max,
        )
    if not raw:
        raise Malformed("typed transaction too short")
    kind = raw[0]
    if 0x80 <= kind < 0xC0:
        raise Malformed("rlp: expected input list for a legacy transaction")
    if kind == BLOB and not form.blobs:
        raise UnsupportedType(
            "transaction type not supported: this chain does not take blobs (EIP-4844)", type=kind
        )
    if kind not in (ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE) and kind < 0x80:
        raise UnsupportedType(f"transaction type not supported: {kind}", type=kind)
    try:
        return _parse_typed(raw, kind) if kind < 0x80 else _parse_legacy(raw, form)
    except InvalidMessage as error:
        raise Malformed(error.message) from None


def _parse_legacy(raw: bytes, form: Form) -> _Parsed:
    items, starts = _fields(raw, 0, LEGACY)
    price = Wei(as_uint(items[1]))
    v = as_uint(items[6])
    head = (
        LEGACY,
        ChainId((v - 35) // 2) if v >= 35 else None,
        _nonce(items[0]),
        price,
        price,
        Gas(as_uint(items[2], 64)),
        _recipient(items[3]),
        Wei(as_uint(items[4])),
        _string(items[5]),
        (),
        (),
    )
    if v < 35 and v not in (27, 28):
        raise BadSignature(BAD_VALUES, v=v)
    r, s, signature = _signature(1 - v % 2, items[7], items[8], high_s=form.high_s)
    signed = raw[starts[0] : starts[6]]
    if v >= 35:
        signed += encode(uint((v - 35) // 2)) + b"\x80\x80"
    return (*head, 1 - v % 2, r, s), keccak(list_prefix(len(signed)) + signed), signature, ()


def _parse_typed(raw: bytes, kind: int) -> _Parsed:
    items, starts = _fields(raw, 1, kind)
    parity_at = len(items) - 3
    tip = Wei(as_uint(items[2]))
    at = 3 if kind == ACCESS_LIST else 4
    head = (
        kind,
        ChainId(as_uint(items[0])),
        _nonce(items[1]),
        tip,
        tip if kind == ACCESS_LIST else Wei(as_uint(items[3])),
        Gas(as_uint(items[at], 64)),
        _recipient(items[at + 1]),
        Wei(as_uint(items[at + 2])),
        _string(items[at + 3]),
        _access_list(raw, items[at + 4]),
        _authorizations(raw, items, at) if kind == SET_CODE else (),
    )
    y_parity = as_uint(items[parity_at])
    if y_parity > 1:
        raise BadSignature(BAD_VALUES, v=y_parity)
    r, s, signature = _signature(y_parity, items[-2], items[-1])
    signed = raw[starts[0] : starts[parity_at]]
    digest = keccak(raw[:1] + list_prefix(len(signed)) + signed)
    return (*head, y_parity, r, s), digest, signature, _blobs(raw, items) if kind == BLOB else ()


def _blobs(raw: bytes, items: list[Cut]) -> tuple[Wei, tuple[Hash32, ...]]:
    """Return the fee and the versioned hashes of a blob transaction. Source: EIP-4844."""
    if not _string(items[5]):
        raise Malformed("a blob transaction cannot create a contract")
    hashes = split(raw, *_list(items[10]))[0]
    return Wei(as_uint(items[9])), tuple(map(_hash, hashes))


def _hash(item: Cut) -> Hash32:
    found = _string(item)
    if len(found) != HASH_BYTES:
        raise Malformed(f"rlp: a blob hash has 32 bytes, found {len(found)}")
    return Hash32(found)


def _fields(raw: bytes, at: int, kind: int) -> tuple[list[Cut], list[int]]:
    """Return the items of the outer list at `at` and where each begins."""
    outer, starts = split(raw, at, len(raw))
    if len(outer) != 1:
        raise Malformed(
            "rlp: input contains more than one value" if outer else "typed transaction too short"
        )
    start, end = _list(outer[0])
    items, starts = split(raw, start, end)
    if len(items) != _FIELDS[kind]:
        few = "few elements" if len(items) < _FIELDS[kind] else "many elements"
        raise Malformed(f"rlp: too {few} for a transaction of type {kind}")
    return items, starts


def _string(item: Cut) -> bytes:
    if isinstance(item, tuple):
        raise Malformed("rlp: expected input string or byte, found a list")
    return item


def _list(item: Cut) -> tuple[int, int]:
    if isinstance(item, bytes):
        raise Malformed("rlp: expected input list, found a string")
    return item


def _nonce(item: Cut) -> Nonce:
    """Return the nonce; the last 64-bit value is refused. Source: EIP-2681."""
    nonce = as_uint(item, 64)
    if nonce == UINT64_MAX:
        raise NonceTooHigh("nonce has max value", nonce=nonce)
    return Nonce(nonce)


def _recipient(item: Cut) -> Address | None:
    to = _string(item)
    if not to:
        return None
    if len(to) != ADDRESS_BYTES:
        raise Malformed(f"rlp: an address has 20 bytes, found {len(to)}")
    return Address(to)


def _signature(
    y_parity: int, r_item: Cut, s_item: Cut, *, high_s: bool = False
) -> tuple[int, int, bytes]:
    r, s = as_uint(r_item), as_uint(s_item)
    if not (0 < r < ORDER and 0 < s <= (ORDER - 1 if high_s else HALF_ORDER)):
        raise BadSignature(BAD_VALUES)
    return r, s, r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))


def _access_list(raw: bytes, item: Cut) -> AccessList:
    start, end = _list(item)
    entries = []
    for entry in split(raw, start, end)[0]:
        pair = split(raw, *_list(entry))[0]
        if len(pair) != 2:
            raise Malformed("rlp: an access list entry is an address and a list of keys")
        entries.append((_address(pair[0]), tuple(map(_key, split(raw, *_list(pair[1]))[0]))))
    return tuple(entries)


def _key(item: Cut) -> int:
    key = _string(item)
    if len(key) != HASH_BYTES:
        raise Malformed(f"rlp: a storage key has 32 bytes, found {len(key)}")
    return int.from_bytes(key, "big")


def _address(item: Cut) -> Address:
    address = _recipient(item)
    if address is None:
        raise Malformed("rlp: an address has 20 bytes, found 0")
    return address


def _authorizations(raw: bytes, items: list[Cut], at: int) -> tuple[Authorization, ...]:
    if not _string(items[at + 1]):
        raise EmptyAuthorizations("EIP-7702 transaction cannot be used to create contract")
    start, end = _list(items[at + 5])
    if start == end:
        raise EmptyAuthorizations("EIP-7702 transaction with empty auth list")
    found = []
    for entry in split(raw, start, end)[0]:
        parts = split(raw, *_list(entry))[0]
        if len(parts) != 6:
            raise Malformed("rlp: an authorization has 6 elements")
        found.append(
            Authorization(
                chain_id=as_uint(parts[0]),
                address=_address(parts[1]),
                nonce=as_uint(parts[2], 64),
                y_parity=as_uint(parts[3], 8),
                r=as_uint(parts[4]),
                s=as_uint(parts[5]),
            )
        )
    return tuple(found)
