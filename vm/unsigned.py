"""Transactions that nobody signed, for simulations: signature zero, sender as claimed.

Source: go-ethereum TransactionArgs.ToTransaction; their hash is that of the encoding with a
signature of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.transaction import DYNAMIC_FEE, LEGACY, Transaction
from primitives.types import ChainId, Gas, Nonce
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
    is_legacy = call.gas_price is not None
    raw = _legacy(filled) if is_legacy else _dynamic(filled)
    price = call.gas_price
    return Transaction(
        type=LEGACY if is_legacy else DYNAMIC_FEE,
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=call.max_priority_fee_per_gas if price is None else price,
        max_fee_per_gas=call.max_fee_per_gas if price is None else price,
        gas=gas,
        to=call.to,
        value=call.value,
        data=call.data,
        access_list=call.access_list,
        authorizations=(),
        y_parity=0,
        r=0,
        s=0,
        sender=call.sender,
        hash=keccak(raw),
        raw=raw,
    )


def _body(filled: _Filled) -> list[Item]:
    call = filled.call
    return [uint(filled.gas), call.to or b"", uint(call.value), call.data]


def _legacy(filled: _Filled) -> bytes:
    price = uint(filled.call.gas_price or 0)
    return encode([uint(filled.nonce), price, *_body(filled), b"", b"", b""])


def _dynamic(filled: _Filled) -> bytes:
    call = filled.call
    access: Item = [
        [address, [slot.to_bytes(32, "big") for slot in slots]]
        for address, slots in call.access_list
    ]
    fees: list[Item] = [uint(call.max_priority_fee_per_gas), uint(call.max_fee_per_gas)]
    head: list[Item] = [uint(filled.chain_id), uint(filled.nonce), *fees]
    return bytes([DYNAMIC_FEE]) + encode([*head, *_body(filled), access, b"", b"", b""])
