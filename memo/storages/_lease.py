"""Locks between hosts, on stores that can only keep a token for a while: a lease, renewed as long as its holder lives.

The decision: a holder that dies says nothing, so what it held runs out by itself; one that lives has it renewed three
times as often by a thread of its process, however long it computes. Who lets go removes only its own token.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic, sleep

from .._living import Living

_PAUSE = 0.1  #: seconds between two looks at a lock that another has, at most


class Leases:
    """The leases that this process holds in one store. ``seconds``: how long the store keeps a token.

    ``take(name, token)``: True if it was had, or is had already under this token, False if another has it, None if this
    store takes no locks just now: then everybody goes on as if it had one, since a lock saves work and no more.
    ``renew(name, token)`` and ``free(name, token)`` do nothing where the token is another. All three may raise.
    """

    def __init__(
        self,
        seconds: float,
        take: Callable[[str, str], bool | None],
        renew: Callable[[str, str], object],
        free: Callable[[str, str], object],
    ) -> None:
        self.seconds, self.take, self.renew, self.free = seconds, take, renew, free
        self.forked()
        _all.add(self)

    def forked(self) -> None:
        """What was held is held by the parent, and its thread is not in the child."""
        self._held: set[Lease] = set()
        self.left: dict[
            str, str
        ] = {}  # tokens that the store may still have: who comes next here need not wait for them
        self._guard = threading.RLock()
        self._renewing = False

    def lock(self, name: str, timeout: float, /) -> Lease:
        """A context manager: True when the lock was had within ``timeout`` seconds (negative: as long as it takes)."""
        return Lease(self, name, timeout)

    def hold(self, lease: Lease) -> None:
        with self._guard:
            self._held.add(lease)
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, name="memo-leases", daemon=True).start()

    def drop(self, lease: Lease) -> None:
        with self._guard:
            self._held.discard(lease)

    def _renew(self) -> None:
        while True:
            sleep(self.seconds / 3)
            with self._guard:
                held = list(self._held)
                if not held:  # the next lease starts another thread
                    self._renewing = False
                    return
            for lease in held:
                try:
                    self.renew(lease.name, lease.token)
                except Exception:
                    continue  # the next one may get through; a lock that is lost costs work, not results


class Lease:
    """The lock of one name, held or not."""

    __slots__ = ("_leases", "_pid", "_timeout", "name", "token")

    def __init__(self, leases: Leases, name: str, timeout: float) -> None:
        self._leases, self.name, self._timeout = leases, name, timeout
        self.token, self._pid = leases.left.pop(name, "") or os.urandom(16).hex(), 0

    def __enter__(self) -> bool:
        deadline, pause = monotonic() + self._timeout, 0.002
        while not (had := self._take()):
            if had is None:
                return True
            if self._timeout >= 0 and monotonic() >= deadline:
                return False
            sleep(pause)
            pause = min(pause * 1.5, _PAUSE)
        self._pid = os.getpid()
        self._leases.hold(self)
        return True

    def _take(self) -> bool | None:
        try:
            return self._leases.take(self.name, self.token)
        except Exception:
            self._leases.left[self.name] = self.token  # it may have been had, and only the answer lost
            raise

    def __exit__(self, *exception: object) -> None:
        if self._pid == os.getpid():  # else not had; or in a child that was forked meanwhile, which must not free it
            self._pid = 0
            self._leases.drop(self)
            try:
                self._leases.free(self.name, self.token)
            except Exception:
                self.abandon()
                raise

    def abandon(self) -> None:
        """Not renewed any more, so that it runs out; no trip."""
        self._pid = 0
        self._leases.drop(self)
        self._leases.left[self.name] = self.token


_all: Living[Leases] = Living()


def _after_fork() -> None:
    for leases in _all:
        leases.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
