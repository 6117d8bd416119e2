"""One computation per key: whoever asks for what is being computed waits for it.

A lock only saves work here, the atomic store keeps results right: so whenever waiting can't be done (a cycle of
waits, a fork in the middle) the caller computes alone. Who is inside which computation is kept in a context variable, so
that threads and asyncio tasks are told apart alike. This is within a process; between them see ``_lockfile``.
"""

from __future__ import annotations

import os
from _contextvars import ContextVar
from _thread import RLock, allocate_lock

from ._living import Living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
        if any(one._flights for one in _all):
            _start_beating()


def stop_beating() -> bool:
    """Whether the thread may end: nothing is under way."""
    global _beating
    with _guard:
        _beating = any(one._flights for one in _all)
        return not _beating


def under_way() -> dict[Flights, list[Flight]]:
    """What is being computed in this process, by its place."""
    with _guard:
        return {one: one.under_way() for one in _all if one._flights}


# one for all places, since a chain of waits may lead over several; a generator that is collected inside takes it again
_guard = RLock()
_all: Living[Flights] = Living()


def _after_fork() -> None:
    # the child leads nothing and waits for nothing
    global _guard, _beating
    _guard, _beating = RLock(), False
    for one in _all:
        one._inherited.update(one._flights)
        one._flights = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
