"""Bearer tokens: JSON Web Tokens signed by HS256, RS256 or ES256.

Sources: RFC 7515 (JWS, compact form), RFC 7518 sections 3.2 to 3.4, RFC 7519 section 4.1. The key
decides the algorithm, never the token alone: a token that names another is refused, so no public
key is ever taken for a secret. `exp` must be there; `nbf` and `iat` are checked where they are.
Times are seconds since 1970. A token is never logged, nor any part of it.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from primitives.errors import ConfigError

TOKEN_BYTES_MAX: Final = 8_192
KEY_FILE_BYTES_MAX: Final = 16_384
SECRET_BYTES_MIN: Final = 32
SECRET_BYTES_MAX: Final = 1_024
RSA_BITS_MIN: Final = 2_048
RSA_BITS_MAX: Final = 8_192
ES256_BYTES: Final = 64
SUBJECT_CHARACTERS_MAX: Final = 256
ROLES_MAX: Final = 32
CHECKED_MAX: Final = 1_024
"""Tokens whose signature was right are not checked again while so many newer ones are not seen."""

Verify = Callable[[bytes, bytes], bool]
"""Whether a signature (second) of a text (first) is right."""


class TokenRefused(Exception):
    """A token is not valid; says why without showing it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is, which roles it gives, and when it holds."""

    subject: str
    roles: tuple[str, ...]
    expires: float
    not_before: float
    issued: float


class Tokens:
    """Checks tokens by the keys of the settings; used by one thread."""

    def __init__(self, keys: dict[str, Verify], leeway_s: float) -> None:
        self._keys = keys
        self._leeway_s = leeway_s
        self._checked: OrderedDict[str, Claims] = OrderedDict()

    def check(self, token: str, now: float) -> Claims:
        """Return what a token says at the time `now`; raises TokenRefused."""
        claims = self._checked.get(token)
        if claims is None:
            claims = self._signed(token)
            self._checked[token] = claims
            if len(self._checked) > CHECKED_MAX:
                self._checked.popitem(last=False)
        else:
            self._checked.move_to_end(token)
        if now >= self.end(claims):
            raise TokenRefused("token expired")
        if now + self._leeway_s < claims.not_before:
            raise TokenRefused("token not valid yet")
        if now + self._leeway_s < claims.issued:
            raise TokenRefused("token issued in the future")
        return claims

    def end(self, claims: Claims) -> float:
        """Return when a token ends, with what clocks may differ."""
        return claims.expires + self._leeway_s

    def _signed(self, token: str) -> Claims:
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenRefused("token too long")
        parts = token.split(".")
        if len(parts) != 3 or not token.isascii():
            raise TokenRefused("not a signed token")
        header = _table(parts[0])
        verify = self._keys.get(str(header.get("alg")))
        if verify is None:
            raise TokenRefused("token signed by an algorithm that is not accepted here")
        if "crit" in header:
            raise TokenRefused("token asks for extensions that are not known here")
        text = f"{parts[0]}.{parts[1]}".encode("ascii")
        if not verify(text, _decoded(parts[2])):
            raise TokenRefused("token signature is wrong")
        return _claims(_table(parts[1]))


def _decoded(part: str) -> bytes:
    """Return the bytes of base64url without padding, in its one right form."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise TokenRefused("not a signed token") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != part:
        raise TokenRefused("not a signed token")
    return raw


def _table(part: str) -> dict[str, Any]:
    try:
        found = json.loads(_decoded(part), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise TokenRefused("not a signed token") from None
    if not isinstance(found, dict):
        raise TokenRefused("not a signed token")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _claims(table: dict[str, Any]) -> Claims:
    subject = table.get("sub", "")
    if not isinstance(subject, str) or len(subject) > SUBJECT_CHARACTERS_MAX:
        raise TokenRefused("token has a wrong sub")
    if "exp" not in table:
        raise TokenRefused("token has no exp")
    roles = table.get("roles", [table["role"]] if "role" in table else [])
    if (
        not isinstance(roles, list)
        or len(roles) > ROLES_MAX
        or not all(isinstance(each, str) for each in roles)
    ):
        raise TokenRefused("token has wrong roles")
    times = [_time(table, name) for name in ("exp", "nbf", "iat")]
    return Claims(subject, tuple(roles), *times)


def _time(table: dict[str, Any], name: str) -> float:
    value = table.get(name, -math.inf)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) == math.inf:
        if name in table:
            raise TokenRefused(f"token has a wrong {name}")
        return -math.inf
    if value != value or not -1e15 < value < 1e15:
        raise TokenRefused(f"token has a wrong {name}")
    return float(value)


def load_tokens(secret_file: str, key_file: str, leeway_s: float) -> Tokens | None:
    """Return what checks tokens, None where no key is set; raises ConfigError."""
    keys: dict[str, Verify] = {}
    if secret_file:
        keys["HS256"] = _by_secret(_secret(Path(secret_file)))
    if key_file:
        name, verify = _by_public_key(Path(key_file))
        keys[name] = verify
    return Tokens(keys, leeway_s) if keys else None


def _read(path: Path, *, is_secret: bool) -> bytes:
    try:
        with path.open("rb") as file:
            if is_secret and os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"{path}: others can read the secret; run chmod 600 {path}")
            raw = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read: {error.strerror}") from None
    if len(raw) > KEY_FILE_BYTES_MAX:
        raise ConfigError(f"{path}: a key file has at most {KEY_FILE_BYTES_MAX} bytes")
    return raw


def _secret(path: Path) -> bytes:
    words = f"{path}: must hold {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in hex"
    try:
        secret = bytes.fromhex(
            _read(path, is_secret=True).decode("ascii").strip().removeprefix("0x")
        )
    except ValueError:
        raise ConfigError(f"{words}; make them by: openssl rand -hex 32") from None
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise ConfigError(f"{words}; make them by: openssl rand -hex 32")
    return secret


def _by_secret(secret: bytes) -> Verify:
    def verify(text: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, text, sha256), signature)

    return verify


def _by_public_key(path: Path) -> tuple[str, Verify]:
    words = f"{path}: must be a public key in PEM: RSA of {RSA_BITS_MIN} bits or more, or P-256"
    try:
        key = load_pem_public_key(_read(path, is_secret=False))
    except ValueError:
        raise ConfigError(words) from None
    if isinstance(key, RSAPublicKey) and RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        return "RS256", _by_rsa(key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256", _by_p256(key)
    raise ConfigError(words)


def _by_rsa(key: RSAPublicKey) -> Verify:
    def verify(text: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, text, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    return verify


def _by_p256(key: EllipticCurvePublicKey) -> Verify:
    def verify(text: bytes, signature: bytes) -> bool:
        if len(signature) != ES256_BYTES:
            return False
        half = ES256_BYTES // 2
        r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
        try:
            key.verify(encode_dss_signature(r, s), text, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    return verify
