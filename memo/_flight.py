"""One computation per key: whoever asks for what is being computed waits for it, in this process and between them.

A lock only saves work here, the atomic store keeps results right: so whenever waiting can't be done (no lock file, a
cycle of waits, a fork in the middle) the caller computes alone. Who is inside which computation is kept in a context
variable, so that threads and asyncio tasks are told apart alike. Across processes the lock is an open-file-description
lock on one byte a key (Linux), which the kernel releases when its holder dies and which leaves no file behind;
elsewhere ``filelock`` on a file a key.
"""

from __future__ import annotations

import os
from _contextvars import ContextVar
from _thread import RLock, allocate_lock, get_ident
from itertools import count
from mmap import mmap
from struct import Struct
from time import time_ns

from . import _group
from ._living import Living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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

#: The flight that the running code is part of, if any.
INSIDE: ContextVar[Flight | None] = ContextVar("memo_flight", default=None)


class Flight:
    """One computation of one key in this process.

    ``stored``: whether there is something to look up when it landed. ``parent``: the flight that called it. ``waits``:
    those that it waits for, itself or something that it called. ``wanted``: how many callers want its result;
    ``abandon`` is called when none is left.
    """

    stored = False
    wanted = 1
    waits: tuple[Flight, ...] = ()
    abandon: Callable[[], object] | None = None
    function = ""  #: its full name
    holds = False  #: whether it is being computed, and does not wait for another process to do it
    recording: Any = None  #: what a generator has made so far, to be followed
    _calls: tuple[Callable[[], object], ...] | None = ()  #: to be made when it has landed; None: it has

    def __init__(self, name: str, word: int, parent: Flight | None) -> None:
        self.name, self.word, self.parent = name, word, parent
        self._landed = allocate_lock()
        self._landed.acquire()

    def wait(self, seconds: float) -> bool:
        """Until it has landed; False if that took longer. Negative: as long as it takes."""
        if self._landed.acquire(timeout=seconds):
            self._landed.release()  # the next waiter
            return True
        return False

    def when_landed(self, call: Callable[[], object]) -> None:
        """``call`` is made, by whatever thread lands it; at once if it has landed."""
        with _guard:
            if self._calls is not None:
                self._calls += (call,)
                return
        call()

    def needs(self, flight: Flight) -> bool:
        """Whether it can't land before ``flight``, or one that this is part of, has."""
        above = set()
        up: Flight | None = flight
        while up is not None:
            above.add(up)
            up = up.parent
        seen: set[Flight] = set()
        todo = [self]
        while todo:
            one = todo.pop()
            if one in above:
                return True
            if one not in seen:
                seen.add(one)
                todo += one.waits
        return False


class Flights:
    """The flights of one place in this process, by the name of the entry."""

    def __init__(self) -> None:
        self.storage: Any = None  #: where signs of life go
        self._flights: dict[str, Flight] = {}
        self._inherited: set[str] = set()  # led by the parent of this forked process, which may be waiting for us
        _all.add(self)

    def join(self, name: str, word: int) -> tuple[Flight, bool] | None:
        """(the flight, whether the caller leads it), or None: compute alone. Who does not lead says `leave` afterwards.

        None when the flight waits, over whatever chain of threads and tasks, for this very caller (recursion with equal
        arguments, mutual nesting), when the parent of this forked process leads it, and when it began before a clear
        that this call has seen (its ``word`` is another).
        """
        parent = INSIDE.get()
        with _guard:
            if name in self._inherited:
                return None
            flight = self._flights.get(name)
            if flight is None:
                flight = self._flights[name] = Flight(name, word, parent)
                if not _beating:
                    _start_beating()
                return flight, True
            if flight.word != word or (parent is not None and flight.needs(parent)):
                return None
            flight.wanted += 1
            while parent is not None:
                parent.waits += (flight,)
                parent = parent.parent
            return flight, False

    def under_way(self) -> list[Flight]:
        with _guard:
            return list(self._flights.values())

    def leave(self, flight: Flight) -> bool:
        """The caller does not wait for it any more; whether nobody else wants it."""
        parent = INSIDE.get()
        with _guard:
            while parent is not None:
                waits = list(parent.waits)
                if flight in waits:  # once: other tasks of the same computation may wait for it too
                    waits.remove(flight)
                    parent.waits = tuple(waits)
                parent = parent.parent
            flight.wanted -= 1
            unwanted = not flight.wanted
        if unwanted and flight.abandon is not None:
            flight.abandon()
        return unwanted

    def land(self, flight: Flight) -> None:
        name, flights = flight.name, self._flights
        with _guard:
            if flights.get(name) is flight:
                del flights[name]
            calls, flight._calls = flight._calls, None
        flight._landed.release()
        for call in calls or ():
            call()


_beating = False  #: whether a thread gives signs of life


def _start_beating() -> None:
    global _beating
    from . import _beats

    _beating = True
    try:
        _beats.start()
    except RuntimeError:  # no thread to be had, or the interpreter ends: those who wait go by their patience
        _beating = False


def beat_again() -> None:
    """After a fork, in the parent: the thread was stopped for it."""
    global _beating
    with _guard:
        _beating = False
        if any(one._flights for one in _all if isinstance(one, Flights)):
            _start_beating()


def stop_beating() -> bool:
    """Whether the thread may end: nothing is under way."""
    global _beating
    with _guard:
        _beating = any(one._flights for one in _all if isinstance(one, Flights))
        return not _beating


def under_way() -> dict[Flights, list[Flight]]:
    """What is being computed in this process, by its place."""
    with _guard:
        return {one: one.under_way() for one in _all if isinstance(one, Flights) and one._flights}


# one for all places, since a chain of waits may lead over several; a generator that is collected inside takes it again
_guard = RLock()
_all: Living[Any] = Living()  # Flights and LockFiles, for the forked child


class LockFile:
    """Locks between the processes of one host: one byte of one file a key, freed by the kernel at death.

    ``stores[0]`` is another number after each ``note()`` of any process: who had looked a key up and sees the same
    number once he has its lock knows without a second look that nobody has stored anything in between.
    """

    def __init__(self, path: str) -> None:
        self.path = path
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

    def lock(self, name: str) -> _Byte | _File:
        """A context manager: True when the lock was had, without waiting, or when there is none to be had here."""
        return _Byte(self, name) if hasattr(fcntl, "F_OFD_SETLK") else _File(self.path + "s", name)

    def _open(self) -> int:
        if self._file < 0:
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
        file = self._open()  # not allowed to: there is no lock to be had
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


def _after_fork() -> None:
    # The child leads nothing and waits for nothing. An inherited description would keep the parent's locks alive after
    # the parent's death: closing our descriptor does not release them in the parent.
    global _guard, _beating, _pid
    _guard, _beating, _pid = RLock(), False, os.getpid()
    for one in _all:
        if isinstance(one, Flights):
            one._inherited.update(one._flights)
            one._flights = {}
        else:
            one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
