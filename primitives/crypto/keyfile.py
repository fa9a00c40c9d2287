"""Private keys on disk: encrypted keystore files, version 3, that geth and every wallet read.

The wall file of the `eth_account` package. A key file is made whole or not at all, has mode 0600,
and never replaces another. Every failure is a ConfigError that names the file and the way out.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final

from eth_account import Account

from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError

KEYFILE_BYTES_MAX: Final = 16_384
SCRYPT_N: Final = 262_144
"""Work factor of geth's standard: about a second and 256 MB for each guess of the password."""

SCRYPT_N_LIGHT: Final = 4_096
"""Work factor for development networks: about 10 ms."""

SCRYPT_COST_MAX: Final = 1 << 26
"""Largest n * r * p, or rounds of PBKDF2, that a key file may ask of us: about 10 s of work."""


def save_key(path: Path, key: PrivateKey, password: str, light: bool = False) -> None:
    """Write `key`, encrypted with `password`, to the new file `path`; raises ConfigError.

    The file and its folder are on the disk when the call returns.
    """
    document = Account.encrypt(
        key.raw, password, kdf="scrypt", iterations=SCRYPT_N_LIGHT if light else SCRYPT_N
    )
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
        _check_cost(path, document)
        secret = bytes(Account.decrypt(document, password))
    except ConfigError:
        raise
    except (KeyError, TypeError, NotImplementedError, AttributeError, RecursionError) as error:
        raise ConfigError(f"key file {path} is not a version 3 keystore: {error}") from None
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise ConfigError(f"wrong password for key file {path}") from None
        raise ConfigError(f"key file {path} is not a version 3 keystore: {error}") from None
    return PrivateKey(secret)


def _check_cost(path: Path, document: dict[str, dict[str, dict[str, int]]]) -> None:
    """Refuse a file that would keep us busy or eat our memory."""
    sections = {name.lower(): section for name, section in document.items()}
    params = sections["crypto"]["kdfparams"]
    cost = params["c"] if "c" in params else params["n"] * params["r"] * params["p"]
    if not 0 < cost <= SCRYPT_COST_MAX:
        raise ConfigError(f"key file {path} asks for an unreasonable amount of work")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
