"""The validator key of a node: a secp256k1 key in an encrypted keystore file, and its password.

The password comes from a file or from the environment, never from the command line or the
configuration file, and is never logged. (The node key, which names a peer, is `p2p.keys`.)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from node.config import KeysSection
from node.folder import DataFolder
from primitives.crypto.keyfile import load_key
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError

SECRET_FILE_BYTES_MAX: Final = 4_096


def load_validator_key(folder: DataFolder, keys: KeysSection) -> PrivateKey | None:
    """Return the validator key, or None when its file does not exist (an observer).

    Raises ConfigError when the file is there but cannot be opened with the password given.
    """
    path = folder.resolve(keys.validator)
    if not path.exists():
        return None
    return load_key(path, password_of(folder, keys))


def password_of(folder: DataFolder, keys: KeysSection) -> str:
    """Return the keystore's password; raises ConfigError that names the ways to give one."""
    if keys.password:
        return keys.password
    if not keys.password_file:
        raise ConfigError(
            f"{folder.resolve(keys.validator)} needs its password: name a file by "
            "--keys.password_file or set QENEX_KEYS__PASSWORD"
        )
    return read_password(folder.resolve(keys.password_file))


def read_password(path: Path) -> str:
    """Return the first line of a password file; raises ConfigError, also when others may read."""
    lines = _read_secret(path).splitlines()
    if not lines or not lines[0]:
        raise ConfigError(f"password file {path} is empty")
    return lines[0]


def write_secret(path: Path, text: str) -> None:
    """Write one line to the new file `path`, mode 0600, durably; raises ConfigError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"{path} is open to others: run `chmod 600 {path}`")
            return file.read(SECRET_FILE_BYTES_MAX).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text") from None
