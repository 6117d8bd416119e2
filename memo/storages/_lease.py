"""Locks between hosts, on stores that can only keep a token for a while: a lease, renewed as long as its holder lives.

The decision: a holder that dies says nothing, so what it held runs out after ``LEASE`` seconds; one that lives renews it
every ``BEAT`` seconds from one thread of the process, however long it computes. Who lets go removes only its own token.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic, sleep

LEASE, BEAT = 15.0, 5.0  #: seconds
_PAUSE = 0.1  #: seconds between two looks at a lock that another has, at most


class Leases:
    """``take(name, token)``: True if it was had, False if another has it, None if none can be had here just now.

    ``renew(name, token)`` and ``free(name, token)`` do nothing where the token is another. All three may raise.
    """

    def __init__(
        self,
        take: Callable[[str, str], bool | None],
        renew: Callable[[str, str], object],
        free: Callable[[str, str], object],
    ) -> None:
        self.take, self.renew, self.free = take, renew, free

    def lock(self, name: str, timeout: float) -> Lease:
        """A context manager: True when the lock was had within ``timeout`` seconds (negative: as long as it takes)."""
        return Lease(self, name, timeout)


class Lease:
    __slots__ = ("_leases", "_name", "_pid", "_timeout", "_token")

    def __init__(self, leases: Leases, name: str, timeout: float) -> None:
        self._leases, self._name, self._timeout = leases, name, timeout
        self._token, self._pid = os.urandom(16).hex(), 0

    def __enter__(self) -> bool:
        deadline, pause = monotonic() + self._timeout, 0.002
        while not (had := self._leases.take(self._name, self._token)):
            if had is None or (self._timeout >= 0 and monotonic() >= deadline):
                return False
            sleep(pause)
            pause = min(pause * 1.5, _PAUSE)
        self._pid = os.getpid()
        _beats.add(self)
        return True

    def __exit__(self, *exception: object) -> None:
        if self._pid == os.getpid():  # else not had; or in a child that was forked meanwhile, which must not free it
            self.abandon()
            self._leases.free(self._name, self._token)

    def abandon(self) -> None:
        """Not renewed any more, so that it runs out; no trip."""
        _beats.discard(self)
        self._pid = 0

    def beat(self) -> None:
        try:
            self._leases.renew(self._name, self._token)
        except Exception:
            return  # the next beat may get through; a lock that is lost costs work, not results


class _Beats:
    """The leases that this process holds, and the thread that renews them; it is there while there are any."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """Leases are held by the process that took them; its thread is not in the child."""
        self._held: set[Lease] = set()
        self._guard = threading.Lock()
        self._ended: threading.Event | None = None

    def add(self, lease: Lease) -> None:
        with self._guard:
            self._held.add(lease)
            if self._ended is None:
                self._ended = threading.Event()
                threading.Thread(target=self._run, args=(self._ended,), name="memo-leases", daemon=True).start()

    def discard(self, lease: Lease) -> None:
        with self._guard:
            self._held.discard(lease)

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT):
            with self._guard:
                held = list(self._held)
                if not held:  # nothing was held for a whole beat: the next lease starts another thread
                    self._ended = None
                    return
            for lease in held:
                lease.beat()


_beats = _Beats()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_beats.forked)
