"""A file system in memory that loses what was never synced, for code written with `os` and `Path`.

It follows what POSIX promises and nothing more. A write can be read at once and is durable after
an fsync of its file; a new, renamed or removed name after an fsync of its folder. A power cut keeps
any prefix of a file's unsynced writes, with zeros where pages are missing, and any subset of a
folder's unsynced names. After a failed fsync the pages count as clean: they can be read until the
power goes, and no later fsync writes them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from random import Random


class Killed(BaseException):
    """The process ends here, as kill -9 does it."""


@dataclass(eq=False)
class Inode:
    """One file: what can be read, what is durable, and what never will be."""

    data: bytearray = field(default_factory=bytearray)
    durable: int = 0
    lost_from: int | None = None

    def dirty(self, at: int, data: bytes) -> None:
        """Note that pages are written: the next fsync takes them, clean as they may have been.

        The same bytes written again leave durable what was durable.
        """
        if self.lost_from is not None and at <= self.lost_from:
            self.durable, self.lost_from = min(self.durable, self.lost_from), None
        if self.data[at : at + len(data)] != data:
            self.durable = min(self.durable, at)

    def after_power_cut(self, random: Random) -> Inode:
        """Return what is left of it."""
        kept = random.choice(
            (self.durable, len(self.data), random.randint(self.durable, len(self.data)))
        )
        data = self.data[:kept]
        if self.lost_from is not None:
            data[self.lost_from :] = bytes(max(kept - self.lost_from, 0))
        elif kept > self.durable and random.random() < 0.3:
            data[self.durable] = 0
        return Inode(data, len(data))


@dataclass(eq=False)
class Folder:
    """Names now, names for sure, and the changes in between: (removed name, new name, what)."""

    names: dict[str, Inode | Folder] = field(default_factory=dict)
    durable: dict[str, Inode | Folder] = field(default_factory=dict)
    pending: list[tuple[str | None, str | None, Inode | Folder]] = field(default_factory=list)

    def change(self, old: str | None, new: str | None, what: Inode | Folder) -> None:
        """Rename, make (`old` None) or remove (`new` None) a name."""
        _change(self.names, old, new, what)
        self.pending.append((old, new, what))

    def sync(self) -> None:
        """Make the names durable."""
        self.durable, self.pending = dict(self.names), []

    def after_power_cut(self, random: Random) -> Folder:
        """Return what is left of it and of all below it."""
        names = dict(self.durable)
        share = random.choice((0.0, 0.5, 1.0))
        for old, new, what in self.pending:
            if random.random() < share:
                _change(names, old, new, what)
        left = {name: each.after_power_cut(random) for name, each in names.items()}
        return Folder(dict(left), dict(left))


def _change(
    names: dict[str, Inode | Folder], old: str | None, new: str | None, what: Inode | Folder
) -> None:
    if old is not None:
        names.pop(old, None)
    if new is not None:
        names[new] = what


class Disk:
    """Stands in for the module `os`; counts its calls and ends the process at one of them."""

    O_WRONLY, O_RDONLY, O_DIRECTORY = os.O_WRONLY, os.O_RDONLY, os.O_DIRECTORY
    O_CREAT, O_TRUNC, O_APPEND = os.O_CREAT, os.O_TRUNC, os.O_APPEND
    O_RDWR, O_CLOEXEC = os.O_RDWR, os.O_CLOEXEC

    def __init__(self) -> None:
        self.root = Folder()
        self.calls = 0
        self.kill_at = -1
        self.fail_at = -1
        self._handles: dict[int, Inode | Folder] = {}

    def cut_power(self, random: Random) -> None:
        """Lose what was not synced, and everything open."""
        self.root = self.root.after_power_cut(random)
        self._handles.clear()

    def cut_power_of(self, name: str, random: Random) -> None:
        """Lose what was not synced in one folder of the root: a machine among several."""
        left = self.folder((name,)).after_power_cut(random)
        self.root.names[name] = self.root.durable[name] = left

    def count(self) -> None:
        """Note one change of the disk; raises Killed when it is the last."""
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed

    def find(self, parts: tuple[str, ...]) -> Inode | Folder:
        """Return what stands at a path; raises FileNotFoundError."""
        found: Inode | Folder = self.root
        for part in parts:
            if not isinstance(found, Folder) or part not in found.names:
                raise FileNotFoundError(errno.ENOENT, "no such file", "/".join(parts))
            found = found.names[part]
        return found

    def folder(self, parts: tuple[str, ...]) -> Folder:
        """Return the folder at a path."""
        found = self.find(parts)
        assert isinstance(found, Folder)
        return found

    def open(self, path: FaultyPath, flags: int, mode: int = 0o777) -> int:
        """Open, and make when asked to, a file or a folder."""
        try:
            found = self.find(path.parts)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            self.count()
            found = Inode()
            self.folder(path.parts[:-1]).change(None, path.name, found)
        if isinstance(found, Inode) and flags & os.O_TRUNC:
            found.data.clear()
            found.durable, found.lost_from = 0, None
        handle = 3 + len(self._handles)
        self._handles[handle] = found
        return handle

    def write(self, handle: int, data: bytes) -> int:
        """Append; a process that is killed here has written half."""
        inode = self._handles[handle]
        assert isinstance(inode, Inode)
        return self._put(inode, bytes(data), len(inode.data))

    def pwrite(self, handle: int, data: bytes, at: int) -> int:
        """Write at a place; a process that is killed here has written half."""
        inode = self._handles[handle]
        assert isinstance(inode, Inode)
        assert at <= len(inode.data)
        return self._put(inode, bytes(data), at)

    def _put(self, inode: Inode, data: bytes, at: int) -> int:
        half = data[: len(data) // 2]
        if self.calls + 1 == self.kill_at:
            inode.data[at : at + len(half)] = half
        self.count()
        inode.dirty(at, data)
        if self.calls == self.fail_at:
            inode.data[at : at + len(half)] = half
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        inode.data[at : at + len(data)] = data
        return len(data)

    def pread(self, handle: int, length: int, at: int) -> bytes:
        """Return what can be read at a place."""
        inode = self._handles[handle]
        assert isinstance(inode, Inode)
        return bytes(inode.data[at : at + length])

    def fstat(self, handle: int) -> os.stat_result:
        """Return the size of a file, and nothing else that is true."""
        inode = self._handles[handle]
        assert isinstance(inode, Inode)
        return os.stat_result((0, 0, 0, 0, 0, 0, len(inode.data), 0, 0, 0))

    def fsync(self, handle: int) -> None:
        """Make a file's content, or a folder's names, durable."""
        self.count()
        found = self._handles[handle]
        if isinstance(found, Folder):
            found.sync()
            return
        if self.calls == self.fail_at:
            if found.lost_from is None:
                found.lost_from = found.durable
            found.durable = len(found.data)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        found.durable = len(found.data)

    fdatasync = fsync

    def ftruncate(self, handle: int, length: int) -> None:
        """Cut a file."""
        self.count()
        inode = self._handles[handle]
        assert isinstance(inode, Inode)
        del inode.data[length:]
        inode.durable = min(inode.durable, length)
        if inode.lost_from is not None and length <= inode.lost_from:
            inode.lost_from = None

    def close(self, handle: int) -> None:
        """Close; changes nothing on disk."""

    def strerror(self, code: int) -> str:
        """Return the words for an error."""
        return os.strerror(code)


@dataclass(frozen=True, slots=True)
class FaultyPath:
    """The part of `pathlib.Path` that the log uses."""

    disk: Disk
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self.name.rpartition(".")[0]

    @property
    def parent(self) -> FaultyPath:
        """The folder it is in."""
        return FaultyPath(self.disk, self.parts[:-1])

    def __lt__(self, other: FaultyPath) -> bool:
        return self.parts < other.parts

    def __truediv__(self, name: str) -> FaultyPath:
        return FaultyPath(self.disk, (*self.parts, name))

    def with_suffix(self, suffix: str) -> FaultyPath:
        """Return the path with another suffix."""
        return self.parent / (self.stem + suffix)

    def exists(self) -> bool:
        """Answer whether something has this name."""
        try:
            self.disk.find(self.parts)
        except FileNotFoundError:
            return False
        return True

    def mkdir(self, mode: int = 0o777, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the folder and those above it."""
        if len(self.parts) > 1:
            self.parent.mkdir(parents=parents, exist_ok=True)
        if not self.exists():
            self.disk.count()
            self.disk.folder(self.parts[:-1]).change(None, self.name, Folder())

    def glob(self, pattern: str) -> Iterator[FaultyPath]:
        """Yield what fits in this folder."""
        names = list(self.disk.folder(self.parts).names)
        return iter([self / name for name in names if fnmatch(name, pattern)])

    def with_name(self, name: str) -> FaultyPath:
        """Return the path with another last part."""
        return self.parent / name

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the name."""
        if missing_ok and not self.exists():
            return
        self.disk.count()
        self.disk.folder(self.parts[:-1]).change(self.name, None, self.disk.find(self.parts))

    def rename(self, target: FaultyPath) -> None:
        """Rename within one folder, in one step."""
        self.disk.count()
        self.disk.folder(self.parts[:-1]).change(self.name, target.name, self.disk.find(self.parts))

    replace = rename

    def read_bytes(self) -> bytes:
        """Return what can be read."""
        found = self.disk.find(self.parts)
        assert isinstance(found, Inode)
        return bytes(found.data)
