"""An account as the state trie holds it, and as a genesis document gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from primitives.types import (
    EMPTY_CODE_HASH,
    EMPTY_ROOT,
    NONCE_ZERO,
    WEI_ZERO,
    Hash32,
    Nonce,
    Wei,
)


@dataclass(frozen=True, slots=True)
class Account:
    """The four fields of the state trie's leaf. Source: Yellow Paper, section 4.1."""

    nonce: Nonce = NONCE_ZERO
    balance: Wei = WEI_ZERO
    storage_root: Hash32 = EMPTY_ROOT
    code_hash: Hash32 = EMPTY_CODE_HASH

    @property
    def is_empty(self) -> bool:
        """True when nonce, balance and code are all nothing. Source: EIP-161."""
        return self.nonce == 0 and self.balance == 0 and self.code_hash == EMPTY_CODE_HASH


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """An account before the first block; storage maps slot number to value, zeros left out."""

    balance: Wei = WEI_ZERO
    nonce: Nonce = NONCE_ZERO
    code: bytes = b""
    storage: Mapping[int, int] = field(default_factory=dict)
