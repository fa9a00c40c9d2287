"""The data folder of a node: what lies where, who may use it, and the mark of a fresh key.

config.toml      settings of this machine         genesis.json    what the network agreed on
validator.json   keystore of the validator key    node.key        Ed25519 key of the node
chain/           blocks and state                 wal/            write-ahead log of consensus
pool.journal     transactions accepted by RPC     LOCK            held while a node runs
scratch/         what `qenex db check --deep` needs while it runs
imported         mark of a folder that `qenex import` made
snapshot.part/   a snapshot that is being taken; snapshot.ready/ one that becomes chain/
fresh-key        address of a key that was made with this folder and has signed nothing yet
engine-*.json    what replays a difference between two engines (engine.kind = shadow)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from primitives.errors import ConfigError
from primitives.types import Address


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths of one node's data; nothing is read or made by naming them."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings of this machine."""
        return self.path / "config.toml"

    @property
    def genesis(self) -> Path:
        """The genesis document."""
        return self.path / "genesis.json"

    @property
    def chain(self) -> Path:
        """Folder of the block store."""
        return self.path / "chain"

    @property
    def wal(self) -> Path:
        """Folder of the write-ahead log."""
        return self.path / "wal"

    @property
    def pool_journal(self) -> Path:
        """Transactions that JSON-RPC accepted."""
        return self.path / "pool.journal"

    @property
    def scratch(self) -> Path:
        """Folder that a deep check fills and removes."""
        return self.path / "scratch"

    @property
    def lock(self) -> Path:
        """File that a running node holds locked."""
        return self.path / "LOCK"

    @property
    def imported(self) -> Path:
        """Mark of a folder that holds an imported public chain."""
        return self.path / "imported"

    @property
    def fresh_key(self) -> Path:
        """Mark of a key that has signed nothing."""
        return self.path / "fresh-key"

    def resolve(self, name: str) -> Path:
        """Return the file that a setting names; relative names start at this folder."""
        return self.path / Path(name).expanduser()

    def make(self) -> None:
        """Create the folder, readable by its owner only; raises ConfigError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot make the data folder {self.path}: {error.strerror}"
            ) from None

    def check(self) -> None:
        """Raise ConfigError unless this is a data folder that `qenex init` made."""
        if not self.genesis.is_file():
            raise ConfigError(
                f"{self.path} is not a data folder (no genesis.json); make one with: "
                f"qenex init --data-dir {self.path} --genesis GENESIS.json"
            )

    def check_not_imported(self) -> None:
        """Raise ConfigError when this folder holds an imported chain, which nobody extends."""
        if self.imported.is_file():
            raise ConfigError(
                f"{self.path} holds an imported public chain, which can only be served: "
                f"qenex node --data-dir {self.path} --read-only"
            )

    def keep_dump(self, raw: bytes) -> str:
        """Write what replays a difference between two engines; return its path."""
        path = self.path / f"engine-{hashlib.sha256(raw).hexdigest()[:16]}.json"
        path.write_bytes(raw)
        return str(path)

    def mark_fresh_key(self, address: Address) -> None:
        """Note that the key of `address` was made now and has signed nothing."""
        self.fresh_key.write_text("0x" + address.hex() + "\n", encoding="utf-8")

    def is_fresh_key(self, address: Address) -> bool:
        """True when the key of `address` was made with this folder and has signed nothing.

        Such a key may sign with an empty write-ahead log; every other one must first watch a
        height decided, for its log may be lost while its signatures are not.
        """
        if not self.fresh_key.is_file():
            return False
        return self.fresh_key.read_text(encoding="utf-8").strip() == "0x" + address.hex()

    def forget_fresh_key(self) -> None:
        """Remove the mark, durably; call before the key signs for the first time."""
        self.fresh_key.unlink(missing_ok=True)
        handle = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder alone while the context lasts; raises ConfigError when another does.

        The lock ends with the process, however it dies.
        """
        try:
            handle = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot lock {self.path}: {error.strerror}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise ConfigError(
                    f"{self.path} is in use by another node (process {holder})"
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)
