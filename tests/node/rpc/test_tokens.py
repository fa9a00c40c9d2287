"""Bearer tokens: only what the configured key signed, only while it holds, whatever the bytes."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.tokens import TokenRefused, Tokens, load_tokens
from primitives.errors import ConfigError

NOW = 1_800_000_000.0
LEEWAY_S = 30.0
SECRET = bytes(range(32))
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65_537, 2_048)


def encoded(value: object) -> str:
    """Return the JSON of a value in base64url without padding."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(claims: object, secret: bytes = SECRET, **header: object) -> str:
    """Return an HS256 token."""
    text = f"{encoded({'alg': 'HS256', 'typ': 'JWT'} | header)}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), sha256))}"


def _signed_by_rsa(claims: object) -> str:
    text = f"{encoded({'alg': 'RS256'})}.{encoded(claims)}"
    return f"{text}.{encoded(RSA_KEY.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"


def _signed_by_p256(claims: object) -> str:
    text = f"{encoded({'alg': 'ES256'})}.{encoded(claims)}"
    r, s = decode_dss_signature(EC_KEY.sign(text.encode(), ec.ECDSA(SHA256())))
    return f"{text}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


def _pem(key: Any) -> bytes:
    raw: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return raw


def write_secret(folder: Path) -> str:
    """Return the path of a file with the secret, which only this user can read."""
    path = folder / "jwt.hex"
    path.write_text(SECRET.hex() + "\n")
    path.chmod(0o600)
    return str(path)


def _key_file(folder: Path, raw: bytes) -> str:
    path = folder / "jwt.pem"
    path.write_bytes(raw)
    return str(path)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """What checks HS256 tokens."""
    made = load_tokens(write_secret(tmp_path), "", LEEWAY_S)
    assert made is not None
    return made


def test_a_right_token_says_who_and_what(tokens: Tokens) -> None:
    """Subject, roles and end come from the token; a single role may stand alone."""
    claims = tokens.check(signed({"exp": NOW + 9, "sub": "desk", "roles": ["a", "b"]}), NOW)
    assert (claims.subject, claims.roles, tokens.end(claims)) == ("desk", ("a", "b"), NOW + 39)
    assert tokens.check(signed({"exp": NOW, "role": "a"}), NOW).roles == ("a",)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": NOW - LEEWAY_S}, "token expired"),
        ({"exp": NOW - LEEWAY_S + 1}, None),
        ({"exp": NOW + 1, "nbf": NOW + LEEWAY_S}, None),
        ({"exp": NOW + 99, "nbf": NOW + LEEWAY_S + 1}, "token not valid yet"),
        ({"exp": NOW + 1, "iat": NOW + LEEWAY_S}, None),
        ({"exp": NOW + 99, "iat": NOW + LEEWAY_S + 1}, "token issued in the future"),
        ({}, "token has no exp"),
        ({"exp": True}, "token has a wrong exp"),
        ({"exp": "1"}, "token has a wrong exp"),
        ({"exp": None}, "token has a wrong exp"),
        ({"exp": 1e300}, "token has a wrong exp"),
        ({"exp": NOW, "nbf": "x"}, "token has a wrong nbf"),
        ({"exp": NOW, "iat": []}, "token has a wrong iat"),
        ({"exp": NOW, "sub": 1}, "token has a wrong sub"),
        ({"exp": NOW, "roles": "a"}, "token has wrong roles"),
        ({"exp": NOW, "roles": [1]}, "token has wrong roles"),
        ([], "not a signed token"),
    ],
)
def test_claims(tokens: Tokens, claims: object, words: str | None) -> None:
    """Times hold with the leeway and not a second more; each time, not at the first use only.

    Kills: a leeway that is forgotten or added twice, a cache that forgets the end of a token.
    """
    token = signed(claims)
    for _ in range(2):
        if words is None:
            tokens.check(token, NOW)
        else:
            with pytest.raises(TokenRefused, match=words):
                tokens.check(token, NOW)


def test_a_token_that_was_right_ends(tokens: Tokens) -> None:
    """A token is checked again at each use. Kills: trusting the cache alone."""
    token = signed({"exp": NOW + 1})
    tokens.check(token, NOW)
    with pytest.raises(TokenRefused, match="token expired"):
        tokens.check(token, NOW + 1 + LEEWAY_S)


def test_json_infinity_is_no_time(tokens: Tokens) -> None:
    """Python's JSON reads Infinity and NaN; no token lasts for ever by them."""
    for value in (b"Infinity", b"NaN", b"-Infinity"):
        with pytest.raises(TokenRefused):
            tokens.check(signed(b'{"exp":' + value + b"}"), NOW)


@pytest.mark.parametrize("secret", [bytes(32), SECRET + b"\1", b""])
def test_other_secrets_are_refused(tokens: Tokens, secret: bytes) -> None:
    """Another secret signs nothing here."""
    with pytest.raises(TokenRefused, match="signature is wrong"):
        tokens.check(signed({"exp": NOW}, secret or b"x"), NOW)


@pytest.mark.parametrize("name", ["none", "None", "HS512", "RS256", "ES256", ""])
def test_other_algorithms_are_refused(tokens: Tokens, name: str) -> None:
    """The key decides the algorithm. Kills: believing the token's alg."""
    with pytest.raises(TokenRefused, match="algorithm"):
        tokens.check(signed({"exp": NOW}, alg=name), NOW)
    with pytest.raises(TokenRefused, match="algorithm"):
        tokens.check(f"{encoded({'alg': name})}.{encoded({'exp': NOW})}.", NOW)


def test_public_keys(tmp_path: Path) -> None:
    """RS256 and ES256 tokens are checked by the public key, which is never taken for a secret."""
    claims = {"exp": NOW + 1, "sub": "x"}
    for key, right, wrong in (
        (RSA_KEY, _signed_by_rsa, _signed_by_p256),
        (EC_KEY, _signed_by_p256, _signed_by_rsa),
    ):
        found = load_tokens("", _key_file(tmp_path, _pem(key)), LEEWAY_S)
        assert found is not None
        assert found.check(right(claims), NOW).subject == "x"
        text, _, signature = right(claims).rpartition(".")
        flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
        for bad in (wrong(claims), signed(claims, _pem(key)), f"{text}.{flipped}", f"{text}."):
            with pytest.raises(TokenRefused):
                found.check(bad, NOW)


def test_key_files_that_will_not_do(tmp_path: Path) -> None:
    """Short secrets, secrets that others can read, weak and private keys stop the start."""
    path = Path(write_secret(tmp_path))
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_tokens(str(path), "", LEEWAY_S)
    path.chmod(0o600)
    for text in ("00" * 31, "00" * 1_025, "xyz", ""):
        path.write_text(text)
        with pytest.raises(ConfigError, match="32 to 1024 bytes in hex"):
            load_tokens(str(path), "", LEEWAY_S)
    with pytest.raises(ConfigError, match="cannot read"):
        load_tokens(str(tmp_path / "nothing"), "", LEEWAY_S)
    weak = _pem(rsa.generate_private_key(65_537, 1_024))
    other = _pem(ec.generate_private_key(ec.SECP384R1()))
    for raw in (weak, other, b"", b"x" * 20_000):
        with pytest.raises(ConfigError):
            load_tokens("", _key_file(tmp_path, raw), LEEWAY_S)
    assert load_tokens("", "", LEEWAY_S) is None


@given(st.text(max_size=60) | st.lists(st.binary(max_size=20), min_size=2, max_size=4))
def test_garbage_is_refused(parts: str | list[bytes]) -> None:
    """Whatever comes is a token or refused, never another error."""
    tokens = Tokens({"HS256": lambda text, signature: True}, LEEWAY_S)
    token = parts if isinstance(parts, str) else ".".join(map(encoded, parts))
    with pytest.raises(TokenRefused):
        tokens.check(token, NOW)


def test_duplicate_claims_and_twisted_encodings_are_refused(tokens: Tokens) -> None:
    """One text has one meaning. Kills: taking the last of two, padding, other last characters."""
    with pytest.raises(TokenRefused, match="not a signed token"):
        tokens.check(signed(b'{"exp":1,"exp":1800000000}'), NOW)
    right = signed({"exp": NOW})
    tokens.check(right, NOW)
    for twisted in (right + "=", right + ".", right[:-1], "." + right, right + " "):
        with pytest.raises(TokenRefused):
            tokens.check(twisted, NOW)
    with pytest.raises(TokenRefused, match="too long"):
        tokens.check("a" * 8_193, NOW)
    with pytest.raises(TokenRefused, match="extensions"):
        tokens.check(signed({"exp": NOW}, crit=["b64"]), NOW)
