"""Async generators: as ``_recording``, with what may do I/O off the event loop.

An async generator belongs to the loop that it began in, so only consumers of that loop follow; those of others, and of
threads, record one of their own. Something sent into it is not for the tape: the function then begins anew, unrecorded.
"""

from __future__ import annotations

from time import perf_counter

from ._async import AsyncHandle, AsyncRunner, in_background, in_thread, is_small, landing
from ._attempt import Attempt
from ._flight import INSIDE
from ._items import Replay
from ._offer import Follow
from ._recording import GeneratorHandle, Recording
from ._run import ABSENT, Runner
from ._stale import Late

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Any

    from ._flight import Flight

    Items = AsyncGenerator[Any, Any]

_LARGE = 1 << 16  #: bytes of an item that a thread loads


class _Broken(Exception):
    """No more can be had from what was recorded; ``source`` is the generator to go on with, if there is
    one, ``spare`` what is to be replayed instead."""

    def __init__(self, source: Any = None, spare: Any = None) -> None:
        self.source, self.spare = source, spare


class AsyncRecording(Recording):
    def __init__(self, attempt: Attempt, source: Any = None) -> None:
        from asyncio import Lock, get_running_loop

        self.loop, self.turn = get_running_loop(), Lock()
        super().__init__(attempt, source)

    def rest(self) -> None:
        if not self.turn.locked():
            super().rest()

    async def follow(self, other: Flight | None = None) -> Items:
        """Its items from the first on; ``other`` is the flight that was joined for it."""
        had = at = 0
        try:
            while True:
                async with self.turn:
                    if had < self.tape.count or self.tape.ended:
                        ended, name, body, at = self.tape.read(at)
                    elif self.dropped:
                        raise _Broken(self.take_over(had), self._instead())
                    else:
                        name = ""
                        try:
                            item, ended = await self._made()
                        except Exception:
                            if self.spare is None:
                                raise
                            raise _Broken(spare=self._instead())
                        at = self.tape.size
                if name:
                    try:
                        item = (
                            await in_thread(self.tape.load, name, body)
                            if len(body) > _LARGE
                            else self.tape.load(name, body)
                        )
                    except Exception as error:
                        self.attempt.runner.cache().trouble("load", error)
                        raise _Broken
                if ended:
                    return
                had += 1
                yield item
        finally:
            if other is not None:
                self.attempt.opened.flights.leave(other)
            unfinished = self.left()
            if not self.tape.ended:
                await in_thread(self.attempt.end)
            if unfinished is not None:
                await unfinished.aclose()

    def _instead(self) -> Any:
        return None if self.spare is None else self.attempt.runner.hit(self.attempt.call, self.spare)

    async def _made(self) -> tuple[Any, bool]:
        """(the next item, False), or (None, True) at the end."""
        flight = self.attempt.flight
        inside = None if flight is None else INSIDE.set(flight)
        began = perf_counter()
        try:
            item = await self.source.__anext__()
        except StopAsyncIteration:
            self.attempt.seconds += perf_counter() - began
            await in_thread(self.end, None)
            return None, True
        except BaseException as error:
            self.failed(error)
            await in_thread(self.attempt.end)
            raise
        finally:
            if inside is not None:
                INSIDE.reset(inside)
        self.attempt.seconds += perf_counter() - began
        if is_small(item):
            self.put(item)
        else:
            await in_thread(self.put, item)
        return item, False


class AsyncGeneratorRunner(AsyncRunner):
    """A Runner whose ``run`` is awaited and gives an async generator."""

    kind = "async generator"

    async def run(self, key: bytes, values: tuple[Any, ...], state: Any) -> Items:
        found: Any = ABSENT if state is None else self.in_front(state, state.captures, key, key, values)
        if found is ABSENT:
            found = await in_thread(Runner.run, self, key, values, None)
        if type(found) is Attempt:
            return await self.recorded(found)
        if type(found) is Late:
            found = in_background(found, self._drained)
        if type(found) is Replay:
            return self._played(_replayed(found), values)
        return found  # type: ignore[no-any-return]

    async def _drained(self, attempt: Attempt) -> None:
        async for _ in await self.recorded(attempt):
            pass

    async def recorded(self, attempt: Attempt) -> Items:
        from asyncio import get_running_loop

        while attempt.joins and (other := attempt.join()) is not None:
            recording = await self._of(other, attempt)
            if isinstance(recording, AsyncRecording) and recording.loop is get_running_loop() and recording.enter():
                return self._played(recording.follow(other), attempt.values)
            attempt.opened.flights.leave(other)
            if recording is not None:
                break  # in another loop, or just over: alone
            if (hit := await in_thread(attempt.landed, other)) is not None:
                return self._played(_replayed(self.hit(attempt.call, hit)), attempt.values)
        if attempt.opened is None:  # read-only
            next(self.counts.misses)
            return self.invoke(self.function, attempt.values)  # type: ignore[no-any-return]
        try:
            if attempt.flight is not None and (await in_thread(attempt.take)) > 0:
                recording = AsyncRecording(attempt, self.elsewhere(attempt))
            else:
                if attempt.flight is not None and (hit := await in_thread(attempt.again)) is not None:
                    await in_thread(attempt.end)
                    return self._played(_replayed(self.hit(attempt.call, hit)), attempt.values)
                await in_thread(attempt.begin)
                recording = AsyncRecording(attempt)
        except BaseException:
            attempt.end()
            raise
        return self._played(recording.follow(), attempt.values)

    async def elsewhere(self, attempt: Attempt) -> Items:
        """As `GeneratorRunner.elsewhere`."""
        from asyncio import sleep

        flight: Any = attempt.flight
        follow, had = await in_thread(Follow, attempt), 0
        over = False
        try:
            while pause := await in_thread(attempt.take):
                while frames := await in_thread(follow.frames):
                    for ended, name, body in frames:
                        if ended:
                            flight.recording.is_copy = flight.stored = True
                            next(self.counts.later)
                            return
                        try:
                            item = await in_thread(self.cache().bodies.load_item, name, memoryview(body))
                        except Exception as error:
                            self.cache().trouble("load", error)
                            follow.close()
                            break
                        had += 1
                        yield item
                await sleep(pause)
            over = True
        finally:
            follow.close(over)
        if (hit := await in_thread(attempt.again)) is not None:
            flight.recording.is_copy = True
            items = _replayed(self.hit(attempt.call, hit))
        else:
            await in_thread(attempt.begin)
            items = self.invoke(self.function, attempt.values)
        try:
            async for item in items:
                if had:
                    had -= 1
                else:
                    yield item
        finally:
            await items.aclose()

    async def _of(self, other: Flight, attempt: Attempt) -> Any:
        """The recording of a flight as soon as it has one; None when it landed without, or the patience ended."""
        try:
            while other.recording is None:
                patience = attempt.patience()
                if await landing(other, 0.05 if patience < 0 else min(patience, 0.05)) or patience == 0:
                    break
        except BaseException:
            attempt.opened.flights.leave(other)
            raise
        return other.recording

    async def _played(self, items: Items, values: tuple[Any, ...]) -> Items:
        """What was recorded; from where no more can be had of it, or something is sent, what the function makes."""
        had, sent, source = 0, None, None
        try:
            while sent is None:
                try:
                    item = await items.__anext__()
                except StopAsyncIteration:
                    return
                except _Broken as broken:
                    await items.aclose()
                    if broken.spare is not None:
                        items = _replayed(broken.spare)
                        continue
                    source = broken.source
                    break
                had += 1
                sent = yield item
        finally:
            await items.aclose()
        if source is None:
            source = self.invoke(self.function, values)
            for _ in range(had):
                await source.__anext__()
        try:
            item = await source.asend(sent)
            while True:
                item = await source.asend((yield item))
        except StopAsyncIteration:
            return
        finally:
            await source.aclose()


async def _replayed(replay: Replay) -> Items:
    items = iter(replay)
    while True:
        try:
            item = next(items, ABSENT) if replay.is_small else await in_thread(next, items, ABSENT)
        except Exception:
            raise _Broken
        if item is ABSENT:
            return
        yield item


class AsyncGeneratorHandle(AsyncHandle, GeneratorHandle):
    """Coroutines; ``refresh`` gives an async generator that computes anew, ``set`` takes any iterable."""

    def attributes(self) -> dict[str, Any]:
        batches = dict.fromkeys(("map", "starmap", "as_completed"), self.starmap)
        return {**super().attributes(), **batches}

    async def _shelved(self, *args: Any, **kwargs: Any) -> Any:
        if (found := await in_thread(self.found, args, kwargs)) is not None:
            return found
        async for _ in self.runner.wrapper(*args, **kwargs):
            pass
        if (found := await in_thread(self.kept, args, kwargs)) is not None:
            return found
        return await in_thread(
            self.shelved, args, kwargs, [item async for item in self.runner.wrapper(*args, **kwargs)]
        )

    async def _refreshed(self, *args: Any, **kwargs: Any) -> Any:
        runner: Any = self.runner
        attempt = await in_thread(self.anew, args, kwargs)
        if isinstance(attempt, tuple):
            return runner.invoke(runner.function, attempt)
        return await runner.recorded(attempt)
