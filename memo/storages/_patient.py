"""A storage that can be down, such as a server: after a failure it is left alone for a while, and what waits is bounded.

A call of the user makes several trips: words, look-up, lock, store. Each is bounded by the storage's own time-out, so the
decision is that one failed trip speaks for all that follow: until the pause is over every verb raises at once, with what
went wrong first. Then one caller tries, the others go on without. The pause doubles from 1 s to 60 s; the first trip that
succeeds ends it. A storage that answers, but so slowly that a thread has waited for ``timeout`` seconds in a row, is left
alone as well: what it answered counts, what would follow is not asked.

Which errors mean "down" is the storage's to say, by a method ``down(error) -> bool``; without one OSErrors that are not
memo's own do. All others pass as they are: damage, a body of another size and what a serializer raises are no outage.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from time import monotonic

from .._tuples import NamedTuple
from ..errors import MemoError, UnreachableError
from ..model import Buffer, Item, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from ..protocols import Storage

    T = TypeVar("T")


FIRST, LONGEST = 1.0, 60.0  #: seconds of the first pause, and of the longest
_SMALL = 1 << 16  #: bytes; a larger body may take its time

#: of the six abilities and of what storages offer to those over them: trips, and what is no trip
_TRIPS = ("read_many", "rank", "lowest", "ranked", "totals", "purge", "stamp", "remove_if", "reset", "compact", "sweep")
_SHORT = ("head", "word", "bump")
_PLAIN = ("watch", "ruined", "close")


class Outage(NamedTuple):
    """``cause`` came first; nobody asks before ``until`` (seconds of the clock), who does extends it by ``pause``."""

    cause: UnreachableError
    until: float
    pause: float


class _Waited(threading.local):
    seconds, last = 0.0, 0.0


class Patient:
    """``storage``, left alone while it is down. It has exactly the abilities of ``storage``.

    ``timeout``: seconds that one thread may wait for short trips in a row, with every trip longer than a tenth of it
    counting and time between the trips taken off. ``clock``: seconds that never go back.

    Raises:
        UnreachableError: from every verb, where the storage fails or is being left alone.
    """

    def __init__(self, storage: Storage, *, timeout: float = 2.0, clock: Callable[[], float] = monotonic) -> None:
        self.storage, self.timeout, self.clock = storage, timeout, clock
        self.outage: Outage | None = None
        self._loaded = False  # the first trip loads the client's library, which is no waiting for the server
        self._waited = _Waited()
        self._down: Callable[[Exception], bool] = getattr(storage, "down", _is_down)
        # attributes of the object, so that isinstance finds the abilities that are there and no others
        for name in _TRIPS + _SHORT + _PLAIN:
            verb = getattr(storage, name, None)
            if verb is not None:
                setattr(self, name, verb if name in _PLAIN else self._trip(verb, name in _SHORT))
        if hasattr(storage, "lock"):
            self.lock = self._lock
        if hasattr(storage, "look"):
            self.look = self._look

    def __reduce__(self) -> tuple[Callable[..., Patient], tuple[Storage, float]]:
        return _patient, (self.storage, self.timeout)

    def __repr__(self) -> str:
        return repr(self.storage)

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        tried, began = self.ask(), self.clock()
        try:
            record = self.storage.read(name)
        except Exception as error:
            raise self._failed(error, tried)
        self._answered(began, record is None or len(record.body) < _SMALL)
        return record

    def write(
        self,
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        /,
        *,
        size: int,
        mark: int,
        suffix: str = "",
    ) -> None:
        tried, began = self.ask(), self.clock()
        try:
            self.storage.write(name, parts, head, size=size, mark=mark, suffix=suffix)
        except Exception as error:
            raise self._failed(error, tried)
        self._answered(began, size < _SMALL)

    def remove(self, name: str, /) -> None:
        self._trip(self.storage.remove, True)(name)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        tried = self.ask()
        try:
            yield from self.storage.scan(prefix)
        except Exception as error:
            raise self._failed(error, tried)
        self._answered(0.0, False)

    # -- the abilities

    def _trip(self, verb: Callable[..., T], short: bool) -> Callable[..., T]:
        def trip(*arguments: Any) -> T:
            tried, began = self.ask(), self.clock()
            try:
                answer = verb(*arguments)
            except Exception as error:
                raise self._failed(error, tried)
            self._answered(began, short)
            return answer

        return trip

    def _look(self, name: str, scopes: Sequence[str], whole: bool, /) -> tuple[Record | None, Sequence[int]]:
        tried, began = self.ask(), self.clock()
        try:
            found: tuple[Record | None, Sequence[int]] = self.storage.look(name, scopes, whole)  # type: ignore[attr-defined]
        except Exception as error:
            raise self._failed(error, tried)
        self._answered(began, found[0] is None or len(found[0].body) < _SMALL)
        return found

    def _lock(self, name: str, timeout: float, /) -> AbstractContextManager[bool]:
        return _Lock(self, self.storage.lock(name, timeout))  # type: ignore[attr-defined]

    # -- whether it is down

    def ask(self) -> Outage | None:
        """Before a trip: raises while the storage is left alone. Given back to the trip's end, if it fails."""
        outage = self.outage
        if outage is None:
            return None
        with _guard:
            outage = self.outage
            if outage is None:
                return None
            now = self.clock()
            if now < outage.until:
                raise UnreachableError(outage.cause.kind, outage.cause.cause)
            # this one tries; nobody else does before it knows
            self.outage = outage._replace(until=now + max(outage.pause, 2 * self.timeout))
            return self.outage

    def _answered(self, began: float, short: bool) -> None:
        if self.outage is not None:
            self.outage = None
        if short and self._loaded:
            ended = self.clock()
            if (ended - began) * 10 > self.timeout:
                self._was_slow(began, ended)
        self._loaded = True

    def _was_slow(self, began: float, ended: float) -> None:
        waited = self._waited
        waited.seconds = max(0.0, waited.seconds - (began - waited.last)) + ended - began
        waited.last = ended
        if waited.seconds > self.timeout:
            text = f"it answers too slowly: {waited.seconds:.1f} s of waiting for it, {self.timeout:g} s are allowed"
            waited.seconds = 0.0
            self._leave_alone("TimeoutError", text, None)

    def _failed(self, error: Exception, tried: Outage | None) -> Exception:
        """What to raise: the error itself, unless it means that the storage is down."""
        if isinstance(error, UnreachableError):  # of a storage below that is left alone
            return error
        if not self._down(error):
            if self.outage is tried:
                self.outage = None  # it answered, if only with an error
            return error
        cause = self._leave_alone(type(error).__name__, str(error), tried)
        unreachable = UnreachableError(cause.kind, cause.cause)
        unreachable.__cause__ = error
        return unreachable

    def _leave_alone(self, kind: str, cause: str, tried: Outage | None) -> UnreachableError:
        """From now on for a while; longer if this was the trip that tried again. Gives back what went wrong first."""
        with _guard:
            outage = self.outage
            if outage is None:
                self.outage = outage = Outage(UnreachableError(kind, cause), self.clock() + FIRST, FIRST)
            elif outage is tried:  # else another trip has failed meanwhile, and counts
                pause = min(2 * outage.pause, LONGEST)
                self.outage = outage._replace(until=self.clock() + pause, pause=pause)
            return outage.cause


class _Lock:
    """A lock of the storage; waiting for another holder is not waiting for the storage."""

    __slots__ = ("_lock", "_patient")

    def __init__(self, patient: Patient, lock: AbstractContextManager[bool]) -> None:
        self._patient, self._lock = patient, lock

    def __enter__(self) -> bool:
        tried = self._patient.ask()
        try:
            had = self._lock.__enter__()
        except Exception as error:
            raise self._patient._failed(error, tried)
        self._patient._answered(0.0, False)
        return had

    def __exit__(self, *exception: Any) -> None:
        abandon = getattr(self._lock, "abandon", None)
        if abandon is not None and self._patient.outage is not None:
            abandon()  # no trip more: it runs out by itself
            return
        try:
            self._lock.__exit__(*exception)
        except Exception as error:
            raise self._patient._failed(error, None)


def _is_down(error: Exception) -> bool:
    return isinstance(error, OSError) and not isinstance(error, MemoError)


def _patient(storage: Storage, timeout: float) -> Patient:
    return Patient(storage, timeout=timeout)


_guard = threading.RLock()  # one for all: it is held for a moment, and only while something is down


def _after_fork() -> None:
    global _guard
    _guard = threading.RLock()  # the thread that held it is not there to let go


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
