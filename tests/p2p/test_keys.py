"""Node keys: libp2p's peer ids, files that only the owner reads, errors in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from libp2p.peer.id import ID

from p2p.keys import (
    NodeKey,
    check_peer_id,
    generate_node_key,
    load_node_key,
    save_node_key,
)
from p2p.security import key_pair_of
from primitives.errors import BrokenInvariant, ConfigError


def test_peer_id_is_libp2ps() -> None:
    """The peer id is the one that libp2p derives from the same seed."""

    for seed in (bytes(32), b"\x01" * 32, bytes(range(32))):
        key = NodeKey(seed)
        assert key.peer_id == str(ID.from_pubkey(key_pair_of(key).public_key))
        check_peer_id(key.peer_id)


def test_save_and_load(tmp_path: Path) -> None:
    """A saved key is loaded again, has mode 0600 and is never overwritten."""
    path, key = tmp_path / "node" / "key", generate_node_key()
    save_node_key(path, key)
    assert load_node_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="not overwritten"):
        save_node_key(path, generate_node_key())
    assert load_node_key(path) == key


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:zz", "ed25519:" + "00" * 31, "00" * 32, "\N{SNOWMAN}"]
)
def test_bad_file(tmp_path: Path, text: str) -> None:
    """A file that holds no key is a ConfigError that names the file, not its content."""
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"node key .*key"):
        load_node_key(path)


def test_open_file_is_refused(tmp_path: Path) -> None:
    """A key that others can read is refused with the way out; a missing one is a ConfigError."""
    path = tmp_path / "key"
    save_node_key(path, generate_node_key())
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_node_key(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_node_key(tmp_path / "none")


def test_secret_is_not_shown() -> None:
    """Neither form of text shows the seed; a seed of another length is our mistake."""
    key = NodeKey(b"\xab" * 32)
    assert "ab" * 4 not in repr(key)
    assert "xab" not in str(key)
    with pytest.raises(BrokenInvariant):
        NodeKey(b"short")


@pytest.mark.parametrize("peer", ["", "0OIl", "Qm" + "1" * 44, "1" * 52, "z" * 10_000])
def test_bad_peer_id(peer: str) -> None:
    """What is no Ed25519 peer id is a ConfigError."""
    with pytest.raises(ConfigError):
        check_peer_id(peer)
