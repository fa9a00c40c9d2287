"""Transactions that nobody signed, for simulations: signature zero, sender as claimed.

Source: go-ethereum TransactionArgs.ToTransaction; their hash is that of the encoding with a
signature of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.transaction import BLOB, DYNAMIC_FEE, LEGACY, SET_CODE, Authorization, Transaction
from primitives.types import WEI_ZERO, ChainId, Gas, Nonce
from vm.engine import SimulatedCall


@dataclass(frozen=True, slots=True)
class _Filled:
    call: SimulatedCall
    chain_id: ChainId
    nonce: Nonce
    gas: Gas


def unsigned_transaction(
    call: SimulatedCall, chain_id: ChainId, nonce: Nonce, gas: Gas
) -> Transaction:
    """Return the transaction that `call` is with this nonce and gas limit."""
    filled = _Filled(call, chain_id, nonce, gas)
    kind = _type_of(call)
    raw = _legacy(filled) if kind == LEGACY else _typed(filled, kind)
    price = call.gas_price
    return Transaction(
        type=kind,
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=call.max_priority_fee_per_gas if price is None else price,
        max_fee_per_gas=call.max_fee_per_gas if price is None else price,
        gas=gas,
        to=call.to,
        value=call.value,
        data=call.data,
        access_list=call.access_list,
        authorizations=call.authorizations if kind == SET_CODE else (),
        y_parity=0,
        r=0,
        s=0,
        sender=call.sender,
        hash=keccak(raw),
        raw=raw,
        max_fee_per_blob_gas=call.max_fee_per_blob_gas if kind == BLOB else WEI_ZERO,
        blob_hashes=call.blob_hashes if kind == BLOB else (),
    )


def _type_of(call: SimulatedCall) -> int:
    if call.gas_price is not None:
        return LEGACY
    if call.authorizations:
        return SET_CODE
    return BLOB if call.blob_hashes else DYNAMIC_FEE


def _body(filled: _Filled) -> list[Item]:
    call = filled.call
    return [uint(filled.gas), call.to or b"", uint(call.value), call.data]


def _legacy(filled: _Filled) -> bytes:
    price = uint(filled.call.gas_price or 0)
    return encode([uint(filled.nonce), price, *_body(filled), b"", b"", b""])


def _typed(filled: _Filled, kind: int) -> bytes:
    call = filled.call
    access: Item = [
        [address, [slot.to_bytes(32, "big") for slot in slots]]
        for address, slots in call.access_list
    ]
    fees: list[Item] = [uint(call.max_priority_fee_per_gas), uint(call.max_fee_per_gas)]
    head: list[Item] = [uint(filled.chain_id), uint(filled.nonce), *fees]
    rest: list[Item] = [access]
    if kind == BLOB:
        rest += [uint(call.max_fee_per_blob_gas), list(call.blob_hashes)]
    if kind == SET_CODE:
        rest.append([_authorization(each) for each in call.authorizations])
    return bytes([kind]) + encode([*head, *_body(filled), *rest, b"", b"", b""])


def _authorization(entry: Authorization) -> Item:
    return [
        uint(entry.chain_id),
        entry.address,
        uint(entry.nonce),
        uint(entry.y_parity),
        uint(entry.r),
        uint(entry.s),
    ]
