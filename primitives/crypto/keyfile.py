"""Private keys on disk: encrypted keystore files, version 3, that geth and every wallet read.

A key is encrypted by AES-128 in counter mode, under the first half of what scrypt (or PBKDF2, in
files of others) makes of the password; Keccak-256 of the second half and the ciphertext tells a
wrong password. Source: "Web3 Secret Storage Definition", version 3. It stands here because a
package for it costs every node's start a quarter of its time (docs/notes/0125-quick-start.md).

A key file is made whole or not at all, has mode 0600, and never replaces another. Every failure is
a ConfigError that names the file and the way out.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError

KEYFILE_BYTES_MAX: Final = 16_384
SCRYPT_N: Final = 262_144
"""Work factor of geth's standard: about a second and 256 MB for each guess of the password."""

SCRYPT_N_LIGHT: Final = 4_096
"""Work factor for development networks: about 10 ms."""

SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
SCRYPT_COST_MAX: Final = 1 << 26
"""Largest n * r * p, or rounds of PBKDF2, that a key file may ask of us: about 10 s of work."""

SCRYPT_MEMORY_SPARE: Final = 1 << 20
"""Bytes that scrypt may use above the 128 * n * r of its table."""

DERIVED_BYTES: Final = 32
KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
IV_BYTES: Final = 16


def save_key(path: Path, key: PrivateKey, password: str, light: bool = False) -> None:
    """Write `key`, encrypted with `password`, to the new file `path`; raises ConfigError.

    The file and its folder are on the disk when the call returns.
    """
    document = _encrypt(key, password, SCRYPT_N_LIGHT if light else SCRYPT_N)
    if path.exists():
        raise ConfigError(f"key file {path} exists; keys are never overwritten: move it away first")
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise ConfigError(f"cannot write key file {path}: {error.strerror}") from None


def load_key(path: Path, password: str) -> PrivateKey:
    """Return the key that `path` holds; raises ConfigError.

    Refuses a file that group or others may read, an unknown form, and a wrong password.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"key file {path} is open to others: run `chmod 600 {path}`")
            raw = file.read(KEYFILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot read key file {path}: {error.strerror}") from None
    if len(raw) > KEYFILE_BYTES_MAX:
        raise ConfigError(f"key file {path} is larger than {KEYFILE_BYTES_MAX} bytes")
    try:
        document = json.loads(raw)
        crypto = _crypto_of(document)
        _check_cost(path, crypto["kdfparams"])
        secret = _decrypt(crypto, password)
    except ConfigError:
        raise
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError, MemoryError) as error:
        raise ConfigError(f"key file {path} is not a version 3 keystore: {error}") from None
    if secret is None:
        raise ConfigError(f"wrong password for key file {path}")
    return PrivateKey(secret)


def _crypto_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return what describes the encryption; some wallets write `Crypto`."""
    fields = {name.lower(): value for name, value in document.items()}
    if fields["version"] != 3:
        raise ValueError(f"version {fields['version']!r}")
    crypto: dict[str, Any] = {name.lower(): value for name, value in fields["crypto"].items()}
    return crypto


def _check_cost(path: Path, params: dict[str, Any]) -> None:
    """Refuse a file that would keep us busy or eat our memory."""
    cost = params["c"] if "c" in params else params["n"] * params["r"] * params["p"]
    if not 0 < cost <= SCRYPT_COST_MAX:
        raise ConfigError(f"key file {path} asks for an unreasonable amount of work")


def _encrypt(key: PrivateKey, password: str, n: int) -> dict[str, Any]:
    salt, iv = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(IV_BYTES)
    params = {"dklen": DERIVED_BYTES, "n": n, "r": SCRYPT_R, "p": SCRYPT_P, "salt": salt.hex()}
    derived = _derive("scrypt", params, password)
    ciphertext = _aes_ctr(derived[:16], iv, key.raw)
    return {
        "address": key.address.hex(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": params,
            "mac": keccak(derived[16:32] + ciphertext).hex(),
        },
        "id": str(uuid4()),
        "version": 3,
    }


def _decrypt(crypto: dict[str, Any], password: str) -> bytes | None:
    """Return the key, or None when the password is wrong; raises as a bad document does."""
    if crypto["cipher"] != "aes-128-ctr":
        raise ValueError(f"cipher {crypto['cipher']!r}")
    ciphertext, iv = _bytes_of(crypto["ciphertext"]), _bytes_of(crypto["cipherparams"]["iv"])
    if len(ciphertext) != KEY_BYTES or len(iv) != IV_BYTES:
        raise ValueError("the ciphertext or its iv has not the length of one")
    derived = _derive(crypto["kdf"], crypto["kdfparams"], password)
    if not compare_digest(keccak(derived[16:32] + ciphertext), _bytes_of(crypto["mac"])):
        return None
    return _aes_ctr(derived[:16], iv, ciphertext)


def _derive(kdf: str, params: dict[str, Any], password: str) -> bytes:
    """Return the 32 bytes that the password makes; raises ValueError for another function."""
    raw, salt = password.encode(), _bytes_of(params["salt"])
    if params["dklen"] != DERIVED_BYTES:
        raise ValueError(f"dklen {params['dklen']!r}")
    if kdf == "scrypt":
        n, r, p = params["n"], params["r"], params["p"]
        memory = 128 * r * (n + p) + SCRYPT_MEMORY_SPARE
        return hashlib.scrypt(raw, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=DERIVED_BYTES)
    if kdf == "pbkdf2" and params["prf"] == "hmac-sha256":
        return hashlib.pbkdf2_hmac("sha256", raw, salt, params["c"], DERIVED_BYTES)
    raise ValueError(f"key derivation {kdf!r}")


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(AES(key), CTR(iv)).encryptor().update(data)


def _bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
