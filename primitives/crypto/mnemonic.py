"""Private keys from words: the accounts of a mnemonic, as every wallet derives them.

Sources: BIP-39 (words to seed), BIP-32 (tree of keys), BIP-44 (the path of Ethereum accounts). The
words are not looked up in a list: any sentence gives keys, as BIP-39 has it.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from typing import Final

import coincurve

from primitives.crypto.secp256k1 import ORDER, PrivateKey
from primitives.errors import ConfigError

SEED_ROUNDS: Final = 2_048
HARDENED: Final = 1 << 31
ETHEREUM_PATH: Final = (44 + HARDENED, 60 + HARDENED, HARDENED, 0)
"""m/44'/60'/0'/0, below which the accounts stand."""

_MASTER: Final = b"Bitcoin seed"


def keys_of(mnemonic: str, count: int) -> list[PrivateKey]:
    """Return the keys of the first `count` accounts below m/44'/60'/0'/0.

    Raises ConfigError for the words (one in 2^127) whose key would be none.
    """
    words = " ".join(unicodedata.normalize("NFKD", mnemonic).split())
    seed = hashlib.pbkdf2_hmac("sha512", words.encode(), b"mnemonic", SEED_ROUNDS)
    digest = hmac.new(_MASTER, seed, hashlib.sha512).digest()
    node = digest[:32], digest[32:]
    for index in ETHEREUM_PATH:
        node = _child(*node, index)
    return [PrivateKey(_child(*node, index)[0]) for index in range(count)]


def _child(secret: bytes, chain: bytes, index: int) -> tuple[bytes, bytes]:
    """Return key and chain code of a child. Source: BIP-32, CKDpriv."""
    if index >= HARDENED:
        data = b"\x00" + secret
    else:
        data = coincurve.PrivateKey(secret).public_key.format(compressed=True)
    digest = hmac.new(chain, data + index.to_bytes(4, "big"), hashlib.sha512).digest()
    left = int.from_bytes(digest[:32], "big")
    made = (left + int.from_bytes(secret, "big")) % ORDER
    if left >= ORDER or made == 0:
        raise ConfigError("these words give no key at this place; take others")
    return made.to_bytes(32, "big"), digest[32:]
