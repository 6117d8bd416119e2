"""Failures at the system's boundary: the n-th call of the operating system, or of SQLite, fails in this thread.

What SQLite does itself can't be patched in Python, so its statements fail as a whole, with the errors that it has for
such failures; full disks, damaged files and kills, elsewhere in this folder, reach what is below.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: what stands for a call that never comes to its end, or only to half of it
KILL, SHORT, INTERRUPT, MEMORY = "kill", "short", "interrupt", "memory"

# fmt: off
_CALLS = (
    "open", "read", "pread", "preadv", "write", "pwrite", "writev", "fsync", "rename", "replace", "link", "unlink", "mkdir",
    "rmdir", "stat", "lstat", "fstat", "access", "listdir", "scandir", "posix_fallocate", "ftruncate", "chmod",
)
# fmt: on
SQLITE = {
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EACCES: "attempt to write a readonly database",
    errno.EMFILE: "unable to open database file",
    errno.EINTR: "interrupted",
    errno.EBUSY: "database is locked",
}
ERRORS = tuple(SQLITE)


class Faults:
    """Counts calls of the armed thread; ``failing(n)`` says which of them fail."""

    def __init__(self, failing: Callable[[int], bool], how: Any) -> None:
        self.failing, self.how = failing, how
        self.count = self.failed = 0
        self.last = ""
        self._thread = threading.get_ident()
        self._within = False

    def reached(self, name: str) -> bool:
        """Whether this call fails. None within another one: ``os.listdir`` must not count for what it calls."""
        if threading.get_ident() != self._thread:
            return False
        self.count += 1
        if not self.failing(self.count):
            return False
        self.failed += 1
        self.last = name
        return True

    def fail(self, name: str, path: object = None) -> None:
        if self.how == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == INTERRUPT:
            raise KeyboardInterrupt
        if self.how == MEMORY:
            raise MemoryError
        if name.startswith("sqlite"):
            raise sqlite3.OperationalError(SQLITE[self.how])
        if name == "fcntl" and self.how == errno.EACCES:
            raise OSError(errno.EIO, os.strerror(errno.EIO))  # of a lock EACCES means that another holds it: no failure
        raise OSError(self.how, os.strerror(self.how), path if isinstance(path, (str, bytes)) else None)


class Cursor(sqlite3.Cursor):
    def execute(self, *args: Any) -> Any:
        self.connection.faulty("execute")  # type: ignore[attr-defined]
        return super().execute(*args)


class Connection(sqlite3.Connection):
    faults: Faults | None = None

    def faulty(self, what: str) -> None:
        faults = Connection.faults
        if faults is not None and faults.how != SHORT and faults.reached(f"sqlite {what}"):
            faults.fail("sqlite")

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        return super().cursor(Cursor)

    def execute(self, *args: Any) -> Any:
        self.faulty("execute")
        return super().execute(*args)

    def executescript(self, *args: Any) -> Any:
        self.faulty("executescript")
        return super().executescript(*args)

    def blobopen(self, *args: Any, **kwargs: Any) -> Any:
        self.faulty("blobopen")
        return super().blobopen(*args, **kwargs)


@contextmanager
def injected(failing: Callable[[int], bool], how: Any) -> Iterator[Faults]:
    """Within it the calls of this thread fail as told. ``how``: an errno, or one of the words above."""
    faults = Faults(failing, how)
    before: list[tuple[Any, str, Any]] = []

    def patch(module: Any, name: str, new: Callable[[Any], Any]) -> None:
        original = getattr(module, name, None)
        if original is not None:
            before.append((module, name, original))
            setattr(module, name, new(original))

    def failing_call(name: str) -> Callable[[Any], Any]:
        def wrap(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                if how == SHORT:
                    if name in _HALVES and faults.reached(name):
                        return _HALVES[name](original, *args)
                elif faults.reached(name):
                    faults.fail(name, args[0] if args else None)
                return original(*args, **kwargs)

            return call

        return wrap

    def connecting(original: Any) -> Any:
        def connect(*args: Any, **kwargs: Any) -> Any:
            if how != SHORT and faults.reached("sqlite connect"):
                faults.fail("sqlite")
            return original(*args, factory=Connection, **kwargs)

        return connect

    for name in _CALLS:
        patch(os, name, failing_call(name))
    patch(fcntl, "flock", failing_call("flock"))
    patch(fcntl, "fcntl", failing_call("fcntl"))
    patch(mmap, "mmap", failing_call("mmap"))
    patch(sqlite3, "connect", connecting)
    Connection.faults = faults
    try:
        yield faults
    finally:
        Connection.faults = None
        for module, name, original in before:
            setattr(module, name, original)


def _half_writev(original: Any, file: int, buffers: list[Any]) -> int:
    whole = b"".join(buffers)
    return os_write(file, whole[: max(len(whole) // 2, 1)])


os_write = os.write
_HALVES: dict[str, Callable[..., Any]] = {
    "write": lambda original, file, data: original(file, bytes(data)[: max(len(data) // 2, 1)]),
    "pwrite": lambda original, file, data, at: original(file, bytes(data)[: max(len(data) // 2, 1)], at),
    "writev": _half_writev,
    "read": lambda original, file, size: original(file, max(size // 2, 1)),
    "pread": lambda original, file, size, at: original(file, max(size // 2, 1), at),
    "preadv": lambda original, file, buffers, at: original(file, [buffers[0][: max(len(buffers[0]) // 2, 1)]], at),
}
