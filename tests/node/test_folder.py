"""The data folder: its lock, its mark of a fresh key, and the keys in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.config import KeysSection
from node.folder import DataFolder
from node.keys import load_validator_key, read_password, write_secret
from primitives.crypto.keyfile import save_key
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError
from primitives.types import Address

KEY = PrivateKey(b"\x07" * 32)


def test_check(tmp_path: Path) -> None:
    """A folder without a genesis document is refused with the command that makes one."""
    folder = DataFolder(tmp_path)
    with pytest.raises(ConfigError, match="qenex init"):
        folder.check()
    folder.genesis.write_text("{}")
    folder.check()


def test_make(tmp_path: Path) -> None:
    """A new folder is closed to others; a file in its place is a ConfigError."""
    folder = DataFolder(tmp_path / "a" / "b")
    folder.make()
    folder.make()
    assert folder.path.stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make"):
        DataFolder(tmp_path / "file").make()


def test_fresh_key(tmp_path: Path) -> None:
    """The mark holds for the one key that was made here, and once."""
    folder = DataFolder(tmp_path)
    assert not folder.is_fresh_key(KEY.address)
    folder.mark_fresh_key(KEY.address)
    assert folder.is_fresh_key(KEY.address)
    assert not folder.is_fresh_key(Address(bytes(20)))
    folder.forget_fresh_key()
    assert not folder.is_fresh_key(KEY.address)
    folder.forget_fresh_key()


@pytest.mark.slow
@pytest.mark.process
def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """The lock keeps other processes out and is gone when its holder is killed."""
    program = (
        "import sys, time; from pathlib import Path; from node.folder import DataFolder\n"
        "with DataFolder(Path(sys.argv[1])).locked():\n"
        "    sys.stdout.write('held\\n'); sys.stdout.flush(); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with (
                pytest.raises(ConfigError, match=f"process {holder.pid}"),
                DataFolder(tmp_path).locked(),
            ):
                pass
        finally:
            holder.kill()
    with DataFolder(tmp_path).locked():
        pass


def test_validator_key(tmp_path: Path) -> None:
    """The key opens with the password of a file or of the environment; without a file: None."""
    folder = DataFolder(tmp_path)
    assert load_validator_key(folder, KeysSection()) is None
    save_key(tmp_path / "validator.json", KEY, "secret word", light=True)
    write_secret(tmp_path / "pw", "secret word")
    for keys in (KeysSection(password_file="pw"), KeysSection(password="secret word")):
        found = load_validator_key(folder, keys)
        assert found is not None
        assert found.address == KEY.address
    with pytest.raises(ConfigError, match="wrong password"):
        load_validator_key(folder, KeysSection(password="another"))
    with pytest.raises(ConfigError, match="QENEX_KEYS__PASSWORD"):
        load_validator_key(folder, KeysSection())


def test_password_files(tmp_path: Path) -> None:
    """Only the first line counts; open, empty, missing and binary files are refused."""
    good = tmp_path / "good"
    write_secret(good, "pass word\nnot this")
    assert read_password(good) == "pass word"
    with pytest.raises(ConfigError, match="cannot write"):
        write_secret(good, "again")
    good.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_password(good)
    write_secret(tmp_path / "empty", "")
    with pytest.raises(ConfigError, match="is empty"):
        read_password(tmp_path / "empty")
    with pytest.raises(ConfigError, match="cannot read"):
        read_password(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(ConfigError, match="not text"):
        read_password(tmp_path / "binary")
