"""Key files are encrypted, private, whole or absent, and every failure names the way out."""

import json
from pathlib import Path
from typing import Literal

import pytest
from eth_account import Account

from primitives.crypto.keccak import keccak
from primitives.crypto.keyfile import KEYFILE_BYTES_MAX, load_key, save_key
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError

KEY = PrivateKey(keccak(b"key"))
EXAMPLE = {
    "Crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved key file with password "right"."""
    path = tmp_path / "validator.json"
    save_key(path, KEY, "right", light=True)
    return path


def test_round_trip(path: Path) -> None:
    """What was saved loads with the password, has mode 0600, and is readable by eth-account."""
    assert load_key(path, "right").raw == KEY.raw
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert bytes(Account.decrypt(path.read_text(), "right")) == KEY.raw
    assert KEY.raw.hex() not in path.read_text()


def test_wrong_password(path: Path) -> None:
    """A wrong password is told so, without the key or the password."""
    with pytest.raises(ConfigError, match="wrong password") as caught:
        load_key(path, "wrong")
    assert '"wrong"' not in str(caught.value)


def test_keys_are_never_overwritten(path: Path) -> None:
    """Saving over a file is refused and leaves it as it was; so is a folder that is not there."""
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        save_key(path, KEY, "other", light=True)
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="cannot write"):
        save_key(path.parent / "absent" / "key.json", KEY, "right", light=True)


def test_files_open_to_others(path: Path) -> None:
    """A file that others may read is refused with the command that mends it."""
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_key(path, "right")


def test_absent_file(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(ConfigError, match=r"cannot read key file .*nothing.json"):
        load_key(tmp_path / "nothing.json", "right")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"crypto": 1, "version": 3}',
        '{"crypto": {"kdfparams": {"n": "x", "r": 1, "p": 1}}, "version": 3}',
        '{"crypto": {"kdfparams": {"c": 1}}, "version": 9}',
        '{"crypto": {"kdfparams": {"n": 8, "r": 1, "p": 1}}, "version": 3}',
        '{"crypto": {"kdf": "none", "kdfparams": {"c": 1}}, "version": 3}',
        "[" * 10_000,
        "\x00\xff",
    ],
)
def test_garbage(tmp_path: Path, text: str) -> None:
    """A file that is no keystore is refused as one."""
    path = tmp_path / "key.json"
    path.touch(mode=0o600)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="not a version 3 keystore"):
        load_key(path, "right")


def test_bounds(path: Path) -> None:
    """A file that is too large or asks for hours of work is refused at once."""
    document = json.loads(path.read_text())
    document["crypto"]["kdfparams"]["n"] = 1 << 40
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="unreasonable"):
        load_key(path, "right")
    path.write_text(" " * (KEYFILE_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load_key(path, "right")


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
@pytest.mark.parametrize("password", ["right", "", "p\u00e4ss w\u00f6rd \u2713"])
def test_files_of_others(tmp_path: Path, kdf: Literal["scrypt", "pbkdf2"], password: str) -> None:
    """What eth-account wrote is read, by both ways that a password becomes a key."""
    path = tmp_path / "key.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(Account.encrypt(KEY.raw, password, kdf=kdf, iterations=1_024)))
    assert load_key(path, password).raw == KEY.raw


def test_specification(tmp_path: Path) -> None:
    """The example of the definition is read: `Crypto` in capitals, its password and its key."""
    path = tmp_path / "key.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(EXAMPLE))
    key = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
    assert load_key(path, "testpassword").raw.hex() == key


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cipher", "aes-256-ctr"),
        ("ciphertext", "00" * 31),
        ("cipherparams", {"iv": "00"}),
        ("kdf", "argon2id"),
    ],
)
def test_what_is_not_ours(path: Path, field: str, value: object) -> None:
    """Another cipher, length or derivation is refused by name and never tried."""
    document = json.loads(path.read_text())
    document["crypto"][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="not a version 3 keystore"):
        load_key(path, "right")


@pytest.mark.slow
def test_standard_work_factor(tmp_path: Path) -> None:
    """Without `light` the file has geth's standard work factor."""
    path = tmp_path / "key.json"
    save_key(path, KEY, "right")
    assert json.loads(path.read_text())["crypto"]["kdfparams"]["n"] == 262_144
    assert load_key(path, "right").address == KEY.address
