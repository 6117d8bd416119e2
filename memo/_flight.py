"""One computation per key: threads of this process wait for each other, processes for a byte of a lock file.

A lock only saves work here, the atomic store keeps results right: so whenever waiting can't be done (no lock file, a
cycle of waits, a fork in the middle) the caller computes alone. Across processes the lock is an open-file-description
lock on one byte a key (Linux), which the kernel releases when its holder dies and which leaves no file behind;
elsewhere ``filelock`` on a file a key.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, get_ident
from _weakrefset import WeakSet
from hashlib import blake2b
from itertools import count
from mmap import mmap
from struct import Struct
from time import monotonic, sleep, time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FLOCK = Struct("hhqqi4x").pack  # struct flock of Linux, 64 bit


class Flight:
    """One computation of one key in this process. ``stored``: whether there is something to look up when it landed."""

    __slots__ = ("_landed", "leader", "stored", "word")

    def __init__(self, word: int) -> None:
        self.leader, self.word, self.stored = get_ident(), word, False
        self._landed = allocate_lock()
        self._landed.acquire()

    def wait(self, seconds: float) -> bool:
        """Until it has landed; False if that took longer. Negative: as long as it takes."""
        if self._landed.acquire(timeout=seconds):
            self._landed.release()  # the next waiter
            return True
        return False

    def land(self) -> None:
        self._landed.release()


class Flights:
    """The flights of one place in this process, by the name of the entry."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._flights: dict[str, Flight] = {}
        self._inherited: set[str] = set()  # led by the parent of this forked process, which may be waiting for us
        self._waits: dict[int, Flight] = {}  # which thread waits for which flight: a cycle here would be a deadlock
        _all.add(self)

    def join(self, name: str, word: int) -> tuple[Flight, bool] | None:
        """(the flight, whether this thread leads it), or None: compute alone.

        None when the flight waits, over whatever chain of threads, for this very thread (recursion with equal
        arguments, mutual nesting), when the parent of this forked process leads it, and when it began before a clear that this call has seen (its ``word`` is another).
        """
        with self._lock:
            flight = self._flights.get(name)
            if name in self._inherited:
                return None
            if flight is None:
                flight = self._flights[name] = Flight(word)
                return flight, True
            if flight.word != word:
                return None
            me, last = get_ident(), flight
            while last.leader != me:
                following = self._waits.get(last.leader)
                if following is None:
                    self._waits[me] = flight
                    return flight, False
                last = following
            return None

    def wait(self, flight: Flight, seconds: float) -> bool:
        try:
            return flight.wait(seconds)
        finally:
            self._waits.pop(get_ident(), None)

    def land(self, name: str, flight: Flight) -> None:
        with self._lock:
            if self._flights.get(name) is flight:
                del self._flights[name]
        flight.land()


_all: WeakSet[Any] = WeakSet()  # Flights and LockFiles, for the forked child


class LockFile:
    """Locks between the processes of one host: one byte of one file a key, freed by the kernel at death.

    ``stores[0]`` is another number after each ``note()`` of any process: who had looked a key up and sees the same
    number once he has its lock knows without a second look that nobody has stored anything in between.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self.stores: Any = _Changing()
        _all.add(self)

    def close(self) -> None:
        """The next lock opens the file anew: it was deleted with its folder."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self.stores = -1, _Changing()

    def note(self) -> None:
        """Something was stored. To be said before the key's lock is given back."""
        if self._file >= 0 and type(self.stores) is memoryview:
            self.stores[0] = time_ns() ^ get_ident()

    def lock(self, name: str, timeout: float) -> Locked:
        """A context manager: True when the lock was had within ``timeout`` seconds (negative: as long as it takes)."""
        return Locked(self, name, timeout)

    def _open(self) -> int:
        if self._file < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
            try:
                if os.fstat(self._file).st_size < 8:
                    os.ftruncate(self._file, 8)  # only ever grows; what it holds is any number
                self.stores = memoryview(mmap(self._file, 8)).cast("Q")
            except (OSError, ValueError):
                pass  # then everybody looks again
        return self._file

    def file(self, name: str) -> Any:
        """The lock of a name where the platform has no locks of its own on open files."""
        from filelock import FileLock

        os.makedirs(self._path + "s", 0o700, exist_ok=True)
        return FileLock(os.path.join(self._path + "s", name.replace("/", "-")), mode=0o600)

    def byte(self, name: str, kind: int) -> bool:
        """Set one byte's lock, without waiting; False when another holds it."""
        # behind the number, and within the 2**63 bytes that a file may have
        offset = 8 + int.from_bytes(blake2b(name.encode(), digest_size=7).digest(), "little")
        try:
            fcntl.fcntl(self._open(), fcntl.F_OFD_SETLK, _FLOCK(kind, 0, offset, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True


class _Changing:
    """Never the same number twice: where nothing is known of others' stores."""

    def __init__(self) -> None:
        self._count = count(-1, -1)  # the numbers of a file are positive

    def __getitem__(self, index: int) -> int:
        return next(self._count)


class Locked:
    """The lock of one name, held or not; a class and not a generator, since every miss pays for it."""

    __slots__ = ("_file", "_lock", "_name", "_pid", "_timeout")

    def __init__(self, lock: LockFile, name: str, timeout: float) -> None:
        self._lock, self._name, self._timeout, self._pid = lock, name, timeout, 0
        self._file: Any = None

    def __enter__(self) -> bool:
        deadline = None
        pause = 0.001
        try:
            while not self._take():
                if deadline is None:
                    deadline = monotonic() + self._timeout
                if self._timeout >= 0 and monotonic() >= deadline:
                    return False
                sleep(pause)
                pause = min(pause * 1.5, 0.02)
        except OSError:
            return False  # no lock to be had here: a network disk, a read-only folder, no descriptors left
        self._pid = os.getpid()
        return True

    def __exit__(self, *exception: object) -> None:
        if self._pid != os.getpid():
            return  # not had; or a child that was forked in the middle, which must not unlock its parent's
        if self._file is None:
            self._lock.byte(self._name, fcntl.F_UNLCK)
        else:
            self._file.release()

    def _take(self) -> bool:
        if hasattr(fcntl, "F_OFD_SETLK"):
            return self._lock.byte(self._name, fcntl.F_WRLCK)
        if self._file is None:
            self._file = self._lock.file(self._name)
        from filelock import Timeout

        try:
            self._file.acquire(timeout=0)
        except Timeout:
            return False
        return True


def _after_fork() -> None:
    # The child leads nothing and waits for nothing. An inherited description would keep the parent's locks alive after
    # the parent's death: closing our descriptor does not release them in the parent.
    for one in list(_all):
        if isinstance(one, Flights):
            one._inherited.update(one._flights)
            one._lock, one._flights, one._waits = allocate_lock(), {}, {}
        else:
            one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
