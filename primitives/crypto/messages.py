"""Digests of what wallets sign besides transactions: personal messages and typed data.

A wall file of the `eth_account` package. Sources: EIP-191 (version 0x45), EIP-712.
"""

from __future__ import annotations

from typing import Any

from eth_account.messages import encode_typed_data

from primitives.crypto.keccak import keccak
from primitives.errors import InvalidRequest
from primitives.types import Hash32


def personal_digest(message: bytes) -> Hash32:
    """Return the digest that eth_sign and personal_sign sign."""
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


def typed_digest(document: dict[str, Any]) -> Hash32:
    """Return the digest that eth_signTypedData_v4 signs; raises InvalidRequest."""
    try:
        signable = encode_typed_data(full_message=document)
    except Exception as error:  # noqa: BLE001 - eth_account raises nothing narrower
        raise InvalidRequest(f"not typed data of EIP-712: {error}") from None
    return keccak(b"\x19" + signable.version + signable.header + signable.body)
