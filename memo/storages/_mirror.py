"""The words of a folder, mirrored in a small mapped file: a front sees a change of another process without a system call.

The truth is in the storage; the mirror says only "look again", by another number. 64 KB, made in full at once and never
truncated (a mapping of a file that shrinks kills the process), changed with ``pwrite`` after the storage has committed.
Two scopes that share one of the 8192 slots only look again more often.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from .. import _group
from ._disk import is_network

SLOTS = 8192


class Mirror:
    def __init__(self, path: str) -> None:
        self.path = path
        self._file = -1
        self._writable = False
        self._view: memoryview | None = None
        self._tried = False

    def watch(self, scope: str) -> Sequence[int] | None:
        """A sequence whose item 0 is another one after each ``changed(scope)``; None where there is no mirror (yet).

        None as long as the folder does not exist: ask again after the first write. Ask again whenever the number has
        changed: the folder may be another one now.
        """
        if self._view is None:
            self._open()
        if self._view is None:
            return None
        slot = _slot(scope)
        return self._view[slot : slot + 1]

    def changed(self, scope: str) -> None:
        """After the commit. Any number that was never there will do."""
        if self._view is None:
            self._open()
        if self._writable:
            os.pwrite(self._file, os.urandom(8), _slot(scope) * 8)

    def all_changed(self) -> None:
        """Every front of this folder looks again."""
        if self._writable:
            os.pwrite(self._file, os.urandom(SLOTS * 8), 0)

    def check(self) -> None:
        """Where the folder was deleted or replaced, every watch on the old file is told and the file is let go."""
        if self._view is None or not self._is_moved():
            return
        self.all_changed()
        os.close(self._file)
        self._file, self._writable, self._view, self._tried = -1, False, None, False

    def _is_moved(self) -> bool:
        try:
            there, here = os.stat(self.path), os.fstat(self._file)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _open(self) -> None:
        folder = os.path.dirname(self.path)
        if self._tried or not hasattr(os, "pwrite") or not os.path.isdir(folder):
            return
        self._tried = True
        if is_network(folder):
            return
        common = os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | common, 0o600)
            self._map(_group.opened(self.path, file), writable=True)
        except OSError:
            try:
                self._map(os.open(self.path, os.O_RDONLY | common), writable=False)
            except OSError:
                pass  # no mirror: fronts are not told, so they do not keep anything

    def _map(self, file: int, writable: bool) -> None:
        import mmap

        try:
            size = os.fstat(file).st_size
            if writable and size < SLOTS * 8:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file, 0, SLOTS * 8)  # never shortens, keeps what is there: safe beside others
                else:
                    os.pwrite(file, bytes(SLOTS * 8 - size), size)
            elif size < SLOTS * 8:
                raise OSError("too short to be mapped")
            mapped = mmap.mmap(file, SLOTS * 8, mmap.MAP_SHARED, mmap.PROT_READ)
        except BaseException:
            os.close(file)
            raise
        self._file, self._writable, self._view = file, writable, memoryview(mapped).cast("Q")

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # a module's names are gone at exit
        if self._file >= 0:
            close(self._file)


def _slot(scope: str) -> int:
    from blake3 import blake3

    return int.from_bytes(blake3(scope.encode()).digest(2), "little") % SLOTS
