"""A file system in memory that loses what was never synced, for code written with `os` and `Path`.

It follows what POSIX promises and nothing more. A write can be read at once and is durable after
an fsync or fdatasync of its file (both take the length along, without which the bytes could not be
read); a new, renamed or removed name after an fsync of its folder. A power cut keeps any subset of
a file's unsynced writes and parts of them, with what was there before, or zeros, in the gaps, and
any subset of a folder's unsynced names. After a failed sync the pages count as clean: they can be
read until the power goes, and no later sync writes them.
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
    """One file: what can be read, what is durable, and the changes between, in order.

    A change is (place, bytes), or (length, None) for a cut.
    """

    data: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def write(self, at: int, data: bytes) -> None:
        """Change what can be read; the next sync takes it, also where nothing is new."""
        _apply(self.data, at, data)
        self.pending.append((at, data))

    def cut(self, length: int) -> None:
        """Make it shorter, or longer by zeros."""
        _apply(self.data, length, None)
        self.pending.append((length, None))

    def sync(self) -> None:
        """Make all that was changed durable, the length with it."""
        for at, data in self.pending:
            _apply(self.durable, at, data)
        self.pending = []

    def fail_to_sync(self) -> None:
        """Forget that pages wait to be written; a length is no page."""
        self.pending = [each for each in self.pending if each[1] is None]

    def after_power_cut(self, random: Random) -> Inode:
        """Return what is left of it: of each unsynced write all, nothing, its start or its end."""
        left = bytearray(self.durable)
        share = random.choice((0.0, 0.5, 0.9, 1.0))
        for at, data in self.pending:
            if random.random() >= share:
                continue
            if data is None or random.random() < 0.7:
                _apply(left, at, data)
                continue
            middle = random.randint(0, len(data))
            if random.random() < 0.5:
                _apply(left, at, data[:middle])
            else:
                _apply(left, at + middle, data[middle:])
        return Inode(left, bytearray(left))


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    end = at if data is None else at + len(data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if data is None:
        del content[at:]
    else:
        content[at:end] = data


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
            found.cut(0)
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
            inode.write(at, half)
        self.count()
        if self.calls == self.fail_at:
            inode.write(at, half)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        inode.write(at, data)
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
            found.fail_to_sync()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        found.sync()

    fdatasync = fsync

    def ftruncate(self, handle: int, length: int) -> None:
        """Cut a file."""
        self.count()
        inode = self._handles[handle]
        assert isinstance(inode, Inode)
        inode.cut(length)

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
