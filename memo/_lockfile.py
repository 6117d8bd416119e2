"""Locks between the processes of one host, by name: who computes a key holds its lock.

An open-file-description lock on one byte a name (Linux), which the kernel releases when its holder dies and which leaves
no file behind; elsewhere ``filelock`` on a file a name. The decision: where no lock is to be had, a caller is told that it
has it, since a lock saves work and the atomic store keeps results right.
"""

from __future__ import annotations

import os
from _thread import get_ident
from itertools import count
from mmap import mmap
from struct import Struct
from time import time_ns

from . import _group
from ._living import Living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    from _blake2 import blake2b  # hashlib takes 10 ms to import
except ImportError:
    from hashlib import blake2b

_FLOCK = Struct("hhqqi4x").pack  # struct flock of Linux, 64 bit


class LockFile:
    """Locks between the processes of one host: one byte of one file a key, freed by the kernel at death.

    ``stores[0]`` is another number after each ``note()`` of any process: who had looked a key up and sees the same
    number once he has its lock knows without a second look that nobody has stored anything in between.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = -1
        self.stores: Any = _Changing()
        _files.add(self)

    def close(self) -> None:
        """The next lock opens the file anew: it was deleted with its folder."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self.stores = -1, _Changing()

    def note(self) -> None:
        """Something was stored. To be said before the key's lock is given back."""
        if self._file >= 0 and type(self.stores) is memoryview:
            self.stores[0] = time_ns() ^ get_ident()

    def lock(self, name: str) -> _Byte | _File:
        """A context manager: True when the lock was had, without waiting, or when there is none to be had here."""
        return _Byte(self, name) if hasattr(fcntl, "F_OFD_SETLK") else _File(self.path + "s", name)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = _group.opened(self.path, os.open(self.path, flags, 0o600))
        try:
            os.utime(self._file)  # it is in use: see _litter
            if os.fstat(self._file).st_size < 8:
                os.ftruncate(self._file, 8)  # only ever grows; what it holds is any number
            self.stores = memoryview(mmap(self._file, 8)).cast("Q")
        except (OSError, ValueError):
            pass  # then everybody looks again
        return self._file

    def byte(self, offset: int, kind: int) -> bool:
        """Set one byte's lock, without waiting; False when another holds it."""
        file = self._file if self._file >= 0 else self._open()  # not allowed to: there is no lock to be had
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK(kind, 0, offset, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True


class _Changing:
    """Never the same number twice: where nothing is known of others' stores."""

    def __init__(self) -> None:
        self._count = count(-1, -1)  # the numbers of a file are positive

    def __getitem__(self, index: int) -> int:
        return next(self._count)


class _Byte:
    """The lock of one name; a class and not a generator, since every miss pays for it. Any thread may give it back."""

    __slots__ = ("_lock", "_name", "_offset", "_pid")

    def __init__(self, lock: LockFile, name: str) -> None:
        self._lock, self._name, self._pid = lock, name, 0

    def __enter__(self) -> bool:
        # behind the number, and within the 2**63 bytes that a file may have
        self._offset = 8 + int.from_bytes(blake2b(self._name.encode(), digest_size=7).digest(), "little")
        try:
            had = self._lock.byte(self._offset, fcntl.F_WRLCK)
        except OSError:
            return True  # a network disk, a read-only folder, no descriptors left
        if had:
            self._pid = _pid
        return had

    def __exit__(self, *exception: object) -> None:
        # if it was had; and not in a child that was forked in the middle, which must not unlock its parent's
        if self._pid == _pid:
            self._lock.byte(self._offset, fcntl.F_UNLCK)


class _File:
    """The same by ``filelock``, where the platform has no locks of its own on open files."""

    def __init__(self, folder: str, name: str) -> None:
        self._path, self._pid = os.path.join(folder, name.replace("/", "-")), 0

    def __enter__(self) -> bool:
        from filelock import FileLock, Timeout

        try:
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            self._lock = FileLock(self._path, mode=0o600, thread_local=False)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError:
            return True
        self._pid = _pid
        return True

    def __exit__(self, *exception: object) -> None:
        if self._pid == _pid:
            self._lock.release()


_pid = os.getpid()  #: of this process; two system calls a miss would be spent on asking
_files: Living[LockFile] = Living()


def _after_fork() -> None:
    # An inherited description would keep the parent's locks alive after the parent's death: closing our descriptor does
    # not release them in the parent.
    global _pid
    _pid = os.getpid()
    for one in _files:
        one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
