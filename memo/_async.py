"""``async def`` functions: the same steps, taken so that the event loop never waits for a disk, a lock or a large hash.

A hit in the front needs no thread. Everything else that may do I/O runs in a few threads of memo's own: those of the
loop may all be waiting for the very flight that has to be stored. A computation is a task of its own, so that it ends
when nobody wants its result any more, and not with the first caller that is cancelled. asyncio is imported at the first
call.
"""

from __future__ import annotations

import os
from time import perf_counter
from types import CoroutineType

from ._attempt import Attempt
from ._flight import INSIDE
from ._handle import Handle
from ._run import ABSENT, Runner
from ._spot import Doubted, checked_later
from ._stale import Late, told
from ._wrapper import PLAIN, SHORT
from .errors import OptionError
from .model import Hit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from concurrent.futures import ThreadPoolExecutor
    from types import FunctionType
    from typing import Any, TypeVar

    from ._flight import Flight
    from ._options import Options

    T = TypeVar("T")

_INLINE = 1 << 16  #: bytes that are encoded or hashed on the loop: some 50 us
_NODES = 200  #: parts of a value that are looked at to see whether it is small


class AsyncRunner(Runner):
    """A Runner whose ``run`` is awaited."""

    kind = "coroutine"

    @staticmethod
    def is_short(values: tuple[Any, ...]) -> bool:
        """Whether all are plain, and so short that the loop can encode them at once."""
        for value in values:
            kind = type(value)
            if kind not in PLAIN or ((kind is str or kind is bytes) and len(value) > _INLINE):
                return False
        return True

    def __init__(self, function: FunctionType, options: Options) -> None:
        super().__init__(function, options)
        self.depart = _itself  # what Runner.run() finds in a thread is not computed there

    async def run(self, key: bytes, values: tuple[Any, ...], state: Any) -> Any:
        if state is not None and key in state.front:
            value = self.in_front(state, state.captures, key, key, values)
            if value is not ABSENT:
                return value
        outcome = await in_thread(Runner.run, self, key, values, state)
        if type(outcome) is Attempt:
            return await fly(outcome)
        if type(outcome) is Late:
            return in_background(outcome, fly)
        if type(outcome) is Doubted:
            return await checked_later(self, outcome)
        if type(outcome) is CoroutineType:  # the cache is off, or bypassed
            return await outcome
        return outcome

    async def encoded(self, values: tuple[Any, ...]) -> bytes:
        """The key of arguments that are not all short and plain."""
        return self._encoded(values) if is_small(values) else await in_thread(self._encoded, values)

    def _encoded(self, values: tuple[Any, ...]) -> bytes:
        key = self.state.encode(values)
        return key if len(key) <= SHORT else self.state.shorten(key)


class AsyncHandle(Handle):
    """Coroutines, all of them: each may have to open the cache."""

    def attributes(self) -> dict[str, Callable[..., Any]]:
        handles = {name: _off_the_loop(function) for name, function in super().attributes().items()}
        batches = {"map": self._mapped, "starmap": self._starmapped, "as_completed": self._no_executor}
        return {**handles, **batches, "refresh": self._refreshed, "call_and_shelve": self._shelved}

    async def _shelved(self, *args: Any, **kwargs: Any) -> Any:
        found = await in_thread(self.found, args, kwargs)
        return found or await in_thread(self.shelved, args, kwargs, await self.runner.wrapper(*args, **kwargs))

    async def _mapped(self, inputs: Iterable[Any], progress: Any = False, chunk: int = 100, **bound: Any) -> list[Any]:
        """The results for many inputs, in their order; at most ``chunk`` calls are under way at once."""
        return await self._starmapped(((one,) for one in inputs), progress, chunk, **bound)

    async def _starmapped(
        self, inputs: Iterable[Iterable[Any]], progress: Any = False, chunk: int = 100, *, partial: Any = ((), {})
    ) -> list[Any]:
        from asyncio import Semaphore, gather

        from ._map import reporter, values_of

        calls, turn = [(*partial[0], *arguments) for arguments in inputs], Semaphore(chunk)
        report, done = reporter(progress, len(calls)), 0

        async def one(arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
            nonlocal done
            async with turn:
                try:
                    return await self.runner.wrapper(*arguments, **partial[1]), None
                except Exception as error:
                    return None, error
                finally:
                    done += 1
                    report(done)

        return values_of(await gather(*map(one, calls)))

    def _no_executor(self, *args: Any, **kwargs: Any) -> Any:
        raise OptionError(f"{self.runner.name} is async: await its map(), or give its calls to asyncio.as_completed()")

    async def _refreshed(self, *args: Any, **kwargs: Any) -> Any:
        attempt = await in_thread(self.anew, args, kwargs)
        if isinstance(attempt, tuple):
            return await self.runner.invoke(self.runner.function, attempt)
        return await _computed(attempt)


def _itself(attempt: Any) -> Any:
    return attempt


_renewals: set[Any] = set()


def in_background(late: Late, fly: Callable[[Attempt], Awaitable[object]]) -> Any:
    """The old result; the new one is computed by a task of this loop."""
    from asyncio import create_task

    renewal = create_task(_renewed(late.attempt, fly))
    _renewals.add(renewal)  # the loop itself keeps no task alive
    renewal.add_done_callback(_renewals.discard)
    return late.attempt.runner.hit(late.attempt.call, late.hit)


async def _renewed(attempt: Attempt, fly: Callable[[Attempt], Awaitable[object]]) -> None:
    try:
        await fly(attempt)
    except Exception as error:
        told(attempt, error, "could not be renewed")


def _off_the_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    async def handle(*args: Any, **kwargs: Any) -> Any:
        return await in_thread(function, *args, **kwargs)

    handle.__name__, handle.__qualname__, handle.__doc__ = function.__name__, function.__qualname__, function.__doc__
    return handle


# ------------------------------------------------------------------------------------------------------- the flight


async def fly(attempt: Attempt) -> Any:
    """As `Attempt.fly`: waits for who computes it already, or computes."""
    while attempt.joins and (other := attempt.join()) is not None:
        try:
            await landing(other, attempt.patience())
        finally:
            attempt.opened.flights.leave(other)
        hit = await in_thread(attempt.landed, other)
        if hit is not None:
            return attempt.runner.hit(attempt.call, hit)
    flight = attempt.flight
    if flight is None:
        return await _computed(attempt)
    from asyncio import CancelledError, get_running_loop, wait

    loop = get_running_loop()
    task = loop.create_task(_computed(attempt))
    flight.abandon = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(task.cancel)
    task.add_done_callback(lambda task: attempt.end())  # if it was cancelled before it began
    try:
        await wait((task,))
    except CancelledError:
        if attempt.opened.flights.leave(flight):
            await wait((task,))  # nobody else wants it: it is being cancelled too
        raise
    finally:
        if task.done() and not task.cancelled():
            task.exception()  # retrieved, whoever is there to get it
    return task.result()


async def _computed(attempt: Attempt) -> Any:
    from asyncio import sleep

    runner = attempt.runner
    try:
        while (found := await in_thread(_ready, attempt)) != 0.0:
            if isinstance(found, Hit):
                await in_thread(attempt.end)
                return runner.hit(attempt.call, found)
            await sleep(found)
        if attempt.flight is not None:
            INSIDE.set(attempt.flight)  # in this task's own context
        value = await runner.invoke(attempt.function or runner.function, attempt.values)
        attempt.seconds = perf_counter() - attempt.began
    except GeneratorExit:  # its loop was closed: nothing can be awaited any more
        attempt.end()
        raise
    except BaseException as error:
        hit = await in_thread(attempt.failed, error)
        if hit is None:
            raise
        return runner.hit(attempt.call, hit)
    await in_thread(attempt.land, value)
    return value


def _ready(attempt: Attempt) -> float | Hit:
    """In one trip to a thread: seconds to sleep while another process has the key, what it stored meanwhile, or 0: compute."""
    if attempt.flight is not None:
        if pause := attempt.take():
            return pause
        if (hit := attempt.again()) is not None:
            return hit
    attempt.begin()
    return 0.0


async def landing(flight: Flight, seconds: float) -> bool:
    """Until it has landed, in whatever thread or loop; False if that took longer. Negative: as long as it takes."""
    from asyncio import get_running_loop, wait

    loop = get_running_loop()
    landed = loop.create_future()

    def tell() -> None:
        if not landed.done():
            landed.set_result(None)

    def from_anywhere() -> None:
        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:  # this loop was closed in the meantime
            return

    flight.when_landed(from_anywhere)
    done, _ = await wait((landed,), timeout=None if seconds < 0 else seconds)
    return bool(done)


# ---------------------------------------------------------------------------------------------------------- threads

_pool: ThreadPoolExecutor | None = None


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run it in one of memo's threads, in a copy of this context.

    What a thread does can't be stopped: if the caller is cancelled this waits until it is done, so that whoever gives
    back what it takes does so afterwards.
    """
    from asyncio import CancelledError, shield, wait, wrap_future
    from contextvars import copy_context

    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        _pool = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="memo")
    try:
        done = wrap_future(_pool.submit(copy_context().run, function, *args, **kwargs))
    except RuntimeError:  # the interpreter ends
        return function(*args, **kwargs)
    try:
        return await shield(done)
    except CancelledError as error:
        cancelled = error
    while not done.done():
        try:
            await wait((done,))
        except CancelledError as error:
            cancelled = error
    done.exception()
    raise cancelled


def _after_fork() -> None:
    global _pool
    _pool = None  # its threads are not there


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# -------------------------------------------------------------------------------------------------- large or small


def is_small(value: Any) -> bool:
    """Whether encoding it takes less than going to a thread for it; what is not known to be small is not."""
    todo, nodes, size = [value], 0, 0
    while todo:
        one = todo.pop()
        kind = type(one)
        nodes += 1
        if kind is str or kind is bytes:
            size += len(one)
        elif kind in PLAIN or kind.__module__ in _LEAVES:
            continue
        elif kind in (tuple, list, set, frozenset, dict):
            nodes += len(one)
            if nodes <= _NODES:
                todo += one if kind is not dict else (*one, *one.values())
        elif type(getattr(one, "nbytes", None)) is int:
            size += one.nbytes
        elif type(getattr(one, "__dict__", None)) is dict and hasattr(one, "__weakref__"):
            todo += one.__dict__.values()  # an object of a class written in Python
        else:
            return False
        if nodes > _NODES or size > _INLINE:
            return False
    return True


_LEAVES = frozenset({"datetime", "decimal", "fractions", "pathlib", "uuid"})  #: modules of small values
