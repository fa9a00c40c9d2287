"""ECDSA over P-256 (secp256r1), to verify only. Backed by the OpenSSL inside `cryptography`."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

FIELD: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Prime of the field and order of the group. Source: SEC 2, section 2.4.2."""

_CURVE: Final = SECP256R1()
_DIGEST_OF_32_BYTES: Final = ECDSA(Prehashed(SHA256()))


def is_signature(digest: bytes, r: int, s: int, x: int, y: int) -> bool:
    """True when (r, s) is the signature of a 32-byte digest by the key (x, y).

    Any s below the order counts, the upper half too. False for values out of range, a point that
    is not on the curve, and the point at infinity.
    """
    if not (0 < r < ORDER and 0 < s < ORDER and x < FIELD and y < FIELD):
        return False
    try:
        key = EllipticCurvePublicNumbers(x, y, _CURVE).public_key()
        key.verify(encode_dss_signature(r, s), digest, _DIGEST_OF_32_BYTES)
    except (InvalidSignature, ValueError):
        return False
    return True
