"""One lock for a folder, across threads and processes, that the kernel releases when its holder dies.

``flock`` belongs to the open file, not to the process: it excludes threads and forked children as well, no close of
another descriptor loses it, and Linux and macOS have it. Waiting polls, so that a stopped holder costs a bounded wait.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from .. import _group
from .._aside import set_aside
from .._living import Living
from ._disk import is_network, make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PATIENCE = 1.0  #: seconds that a turn on a name waits for another process
SHORT = 0.1  #: seconds that a lock is waited for where it was waited for in vain just now: its holder may be stopped

_all: Living[FolderLock | Turns] = Living()


class FolderLock:
    """``with lock:`` waits at most ``timeout`` seconds, then raises TimeoutError. The same thread may enter again."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self.mutex = threading.RLock()
        self.gate: threading.RLock | None = None  # whoever wants in waits for this one first
        self._depth = 0
        self._file = -1
        self._impatient_until = 0.0

    def __enter__(self) -> None:
        if (gate := self.gate) is not None and not self._depth:
            with gate:
                pass
        mutex = self.mutex  # a fork in between replaces it
        if not mutex.acquire(timeout=self.timeout):
            raise TimeoutError(f"another thread kept {self.path} locked for {self.timeout:g} s")
        try:
            if not self._depth:
                if self._file < 0:
                    self._open()
                try:
                    self._take()
                except BlockingIOError:
                    self._wait()
                self._impatient_until = 0.0
            self._depth += 1
        except BaseException:
            mutex.release()
            raise

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        try:
            if not self._depth:
                self._give()
        finally:
            self.mutex.release()

    def close(self) -> None:
        """Gives the descriptor back; the next use opens it again. For a folder that was deleted or replaced, too."""
        if self.mutex.acquire(timeout=self.timeout):
            try:
                if self._file >= 0 and not self._depth:
                    os.close(self._file)
                    self._file = -1
            finally:
                self.mutex.release()

    def after_fork(self) -> None:
        """In the child: the inherited descriptor shares its locks with the parent, so it goes unused."""
        if self._file >= 0:
            os.close(self._file)
        self._forget()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # a module's names are gone at exit
        if self._file >= 0:
            close(self._file)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._file = _group.opened(self.path, os.open(self.path, flags, 0o600))
        except FileNotFoundError:
            make_folder(os.path.dirname(self.path))
            self._file = _group.opened(self.path, os.open(self.path, flags, 0o600))
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR):  # no file of memo's: out of the way
                set_aside(self.path, f"{self.path}.damaged")
                self._file = _group.opened(self.path, os.open(self.path, flags, 0o600))
                return
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            self._file = os.open(self.path, flags & ~(os.O_RDWR | os.O_CREAT) | os.O_RDONLY)  # enough for a lock

    def _wait(self) -> None:
        patience = self.timeout if time.monotonic() > self._impatient_until else min(SHORT, self.timeout)
        until = time.monotonic() + patience
        pause = 0.00005
        while True:
            time.sleep(pause)
            try:
                return self._take()
            except BlockingIOError:
                if time.monotonic() > until:
                    self._impatient_until = time.monotonic() + 10 * self.timeout
                    raise TimeoutError(f"another process kept {self.path} locked for {self.timeout:g} s")
            pause = min(pause * 1.5, 0.002)

    if fcntl is not None:

        def _take(self) -> None:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        def _give(self) -> None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    else:  # Windows: one byte far behind the end of the file

        def _take(self) -> None:
            import msvcrt

            os.lseek(self._file, 1 << 30, os.SEEK_SET)
            try:
                msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            except OSError:
                raise BlockingIOError

        def _give(self) -> None:
            import msvcrt

            os.lseek(self._file, 1 << 30, os.SEEK_SET)
            msvcrt.locking(self._file, msvcrt.LK_UNLCK, 1)


class NameLocks:
    """Short turns for processes on one name: ``with locks(name) as alone:``. Names share 16 locks, files in ``folder``.

    False where there is no lock to be had: a network disk, or a holder that was stopped and not killed.
    """

    def __init__(self, folder: str) -> None:
        self._folder, self._locks = folder, {}  # type: tuple[str, dict[int, FolderLock]]
        self._network: bool | None = None

    @contextmanager
    def __call__(self, name: str) -> Iterator[bool]:
        from zlib import crc32

        number = crc32(name.encode()) & 15
        lock = self._locks.get(number)
        if lock is None:
            path = os.path.join(self._folder, f"{number:x}")
            lock = self._locks.setdefault(number, FolderLock(path, PATIENCE))
        if self._network is None:
            self._network = is_network(self._folder)
        try:
            if self._network:
                raise OSError
            lock.__enter__()
            if not os.fstat(lock._file).st_nlink:  # deleted with its folder: others have another one
                lock.__exit__()
                lock.close()
                lock.__enter__()
        except OSError:  # or TimeoutError, which is one
            yield False
            return
        try:
            yield True
        finally:
            lock.__exit__()


class Turns:
    """Short turns for threads on one name: ``with turns[name]:``. Names share 64 locks; a fork begins with free ones."""

    def __init__(self) -> None:
        self.after_fork()
        _all.add(self)

    def after_fork(self) -> None:
        self._locks = [threading.RLock() for _ in range(64)]

    def __getitem__(self, name: str) -> threading.RLock:
        return self._locks[hash(name) & 63]


class HeldOverForks:
    """Locks that a fork waits for, so that no child finds the work of whoever has one half done.

    A writer that writes again and again would always be first: so newcomers wait behind a gate meanwhile. What can't be
    had within ``patience`` seconds is left out.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._gate = threading.RLock()
        self._taken: list[threading.RLock] = []
        self._gated: list[FolderLock] = []

    def take(self, locks: Iterable[FolderLock]) -> list[FolderLock]:
        """Before a fork: those that were had."""
        had = []
        self._gate.acquire()
        self._taken.append(self._gate)
        self._gated = list(locks)
        for lock in self._gated:
            lock.gate = self._gate
        for lock in self._gated:
            if lock.mutex.acquire(timeout=self._patience):
                self._taken.append(lock.mutex)
                had.append(lock)
        return had

    def give(self) -> None:
        """After it, in the parent."""
        for lock in self._gated:
            lock.gate = None
        self._gated = []
        while self._taken:
            self._taken.pop().release()

    def forget(self) -> None:
        """In the child, where the locks themselves begin anew."""
        self.__init__(self._patience)  # type: ignore[misc]


def _after_fork() -> None:
    for one in _all:
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
