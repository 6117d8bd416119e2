"""What PostgreSQL has and needs beyond SQL: waits for a server that end, and locks that die with who holds them.

Decisions. A connection is given up when it has been silent for ``timeout`` seconds, not when an answer takes longer than
that: a big body on a slow line is no failure. The locks are advisory ones of a session, asked for again and again and
never waited for in the server: the server itself lets them go when their holder's connection ends, for whatever reason.
One connection of the process carries all its locks while there are any.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import sqlalchemy as sa
from blake3 import blake3

from .._abilities import ThreadLocks

MOST = (1 << 30) - (1 << 16)  # bytes of a statement's message: the server takes 1 GB with all that is in it
RATE = 1 << 24  # bytes a second that any server writes at least, once it has a body
#: the server gives up what a client that has gone had asked for, and notices within a minute that a host has gone
_SETTINGS = (
    "-c lock_timeout={wait} -c statement_timeout=120s"
    " -c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)


def prepare(engine: sa.Engine, timeout: float) -> None:
    """Connections of this engine are bounded and speak binary: text would be twice as long, and bodies half as big."""
    connect = _connect(timeout)

    def do_connect(dialect: object, record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        settings = _SETTINGS.format(wait=max(1, int(timeout * 900)))  # ms; before the client gives up
        options["options"] = f"{settings} {options.get('options', '')}"
        options.setdefault("connect_timeout", math.ceil(timeout))  # the driver takes whole seconds, 2 at least
        return connect(*arguments, **options)

    sa.event.listen(engine, "do_connect", do_connect)


def _connect(timeout: float) -> Callable[..., Any]:
    import psycopg

    class Bounded(psycopg.Connection[Any]):  # type: ignore[misc]
        patience = 0.0  # seconds that the server may need with what it has been sent, beyond the timeout

        def wait(self, generator: Any, interval: float = 0.1, *rest: Any, **others: Any) -> Any:
            watched = _watched(generator, timeout, self.patience)
            try:
                return super().wait(watched, min(interval, timeout / 4), *rest, **others)
            except psycopg.errors.ConnectionTimeout:
                self.pgconn.finish()  # whatever comes now is no answer to anything
                raise

    class BinaryCursor(psycopg.Cursor[Any]):  # type: ignore[misc]
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            values = params.values() if isinstance(params, Mapping) else ()
            sent = sum(len(value.obj) for value in values if isinstance(value, psycopg.Binary))
            self.connection.patience = sent / RATE
            try:
                return super().execute(query, params, **{**options, "binary": True})
            finally:
                self.connection.patience = 0.0

    def _watched(generator: Any, timeout: float, patience: float) -> Generator[Any, Any, Any]:
        """The driver's own steps, until the socket has been silent for too long."""
        try:
            wanted, since = next(generator), monotonic()
            while True:
                ready = yield wanted
                if ready:
                    since = monotonic()
                elif monotonic() - since > timeout + (patience if wanted == psycopg.waiting.Wait.R else 0):
                    raise psycopg.errors.ConnectionTimeout(f"the server did not answer within {timeout:g} s")
                wanted = generator.send(ready)
        except StopIteration as done:
            return done.value

    def connect(*arguments: Any, **options: Any) -> Any:
        return Bounded.connect(*arguments, cursor_factory=BinaryCursor, **options)

    return connect


class AdvisoryLocks:
    """``engine()`` is where the connection comes from; ``prefix`` keeps apart what is locked in one database."""

    def __init__(self, engine: Callable[[], sa.Engine], prefix: str, timeout: float) -> None:
        self._engine, self._prefix, self._timeout = engine, prefix, timeout
        self._begin()

    def _begin(self) -> None:
        self._threads = ThreadLocks()  # the server does not tell the threads of one connection apart
        self._mutex, self._users, self._pid = threading.Lock(), 0, os.getpid()
        self._connection: sa.Connection | None = None
        self._descriptor = -1

    def forked(self) -> object:
        """In a forked child: the parent's locks stay the parent's alone. Returns what must not be finalized there."""
        inherited = self._connection
        if self._descriptor >= 0:
            os.close(self._descriptor)  # else the server would take the parent for alive as long as the child is
        self._begin()
        return inherited

    @contextmanager
    def lock(self, name: str, timeout: float, /) -> Iterator[bool]:
        """Negative: as long as the holder's connection stands. Raises the driver's error where it can't be asked for."""
        deadline = monotonic() + timeout if timeout >= 0 else math.inf
        number = int.from_bytes(blake3(f"{self._prefix}{name}".encode()).digest(8), "little", signed=True)
        with self._threads.lock(name, timeout) as mine:
            if not mine:
                yield False
                return
            pid = self._pid
            with self._mutex:
                self._users += 1
            had = False
            try:
                had = self._take(number, deadline)
                yield had
            finally:
                if pid == os.getpid():  # else a child that was forked meanwhile
                    self._leave(number, had)

    def _take(self, number: int, deadline: float) -> bool:
        began, pause, again = monotonic(), 0.002, False
        while True:
            try:
                if self._ask(_LOCK, number):
                    return True
            except sa.exc.DBAPIError as error:
                if again or monotonic() - began > self._timeout / 2:
                    raise (error.orig or error) from None
                again = True  # a connection from before the server was restarted: once more with a new one
                continue
            if monotonic() >= deadline:
                return False
            sleep(pause)
            pause = min(pause * 1.5, 0.05)

    def _leave(self, number: int, had: bool) -> None:
        try:
            if had and self._connection is not None:  # else the lock went with it
                self._ask(_UNLOCK, number)
        except sa.exc.DBAPIError:
            pass
        with self._mutex:
            self._users -= 1
            if self._connection is not None and not self._users:
                connection, self._connection, self._descriptor = self._connection, None, -1
                connection.close()  # back into the pool

    def _ask(self, question: sa.Select[Any], number: int) -> bool:
        if not self._mutex.acquire(timeout=2 * self._timeout):
            raise TimeoutError(f"the connection for locks was busy for {2 * self._timeout:g} s")
        try:
            if self._connection is None:
                self._connection = self._engine().connect()
                fileno = getattr(self._connection.connection.driver_connection, "fileno", None)
                self._descriptor = fileno() if fileno else -1
            return bool(self._connection.scalar(question, {"number": number}))
        except BaseException:
            connection, self._connection, self._descriptor = self._connection, None, -1
            if connection is not None:
                connection.invalidate()  # closed, so that the server lets go of its locks
                connection.close()
            raise
        finally:
            self._mutex.release()


_number = sa.bindparam("number", type_=sa.BigInteger)
_LOCK = sa.select(sa.func.pg_try_advisory_lock(_number))
_UNLOCK = sa.select(sa.func.pg_advisory_unlock(_number))
