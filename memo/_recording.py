"""Generators: what they yield is recorded while it is consumed, stored once they have ended, and replayed item by item.

Who asks for what is being recorded in this process follows: it reads what is on the tape, and at its end whoever comes
first drives the generator on, so that nobody waits for a consumer that has paused. What another process of this host
records comes over a file (``_offer``) and is followed as if it were a generator of our own. A recording that does not come to its
end (its last consumer stops, the generator raises, an item can't be stored, somebody sends into it) is dropped; those
who followed go on with a generator of their own, past what they have had. So an exception is never taken for an end.
Where an old result is to be served instead of an exception, that is done before the first item only.
"""

from __future__ import annotations

from _thread import RLock
from collections import deque
from itertools import islice
from time import perf_counter, sleep

from ._attempt import Attempt
from ._flight import INSIDE
from ._handle import Handle
from ._items import Replay, Tape
from ._offer import Follow, Offer
from ._run import Runner
from ._stale import Late, in_background, instead
from .errors import OptionError
from .model import Hit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from types import FunctionType
    from typing import Any

    from ._options import Options
    from ._reference import Reference

    Items = Generator[Any, Any, Any]


class Recording:
    """A generator that is being recorded. ``source`` is None once it has ended, or somebody took it over."""

    def __init__(self, attempt: Attempt, source: Any = None) -> None:
        runner, place = attempt.runner, attempt.opened.place
        self.attempt, self.lock = attempt, RLock()  # again by what is collected inside
        self.users, self.made, self.dropped = 1, 0, False
        self.tape = Tape(runner.cache().bodies, "" if "://" in place else place)
        self.source: Any = runner.invoke(runner.function, attempt.values) if source is None else source
        self.offer = Offer(attempt)
        self.is_copy = False  #: of what another process has recorded, and stores
        self.spare: Hit | None = None  #: what to replay instead, since it raised before its first item
        attempt.seconds, self._rested = 0.0, -1
        if attempt.flight is not None:
            attempt.flight.recording = self

    def enter(self) -> bool:
        """One consumer more; False when it is over."""
        with self.lock:
            if not self.users:
                return False
            self.users += 1
            return True

    def left(self) -> Any:
        """One consumer less; after the last one: the source, to be closed if it has not ended."""
        with self.lock:
            self.users -= 1
            if self.users:
                return None
            source, self.source, self.dropped = self.source, None, True
            self.tape.close()
            self.offer.close()
            return source

    def rest(self) -> None:
        """Asked every second: a consumer that has paused since does not keep other processes waiting."""
        if self.made == self._rested and self.lock.acquire(blocking=False):
            try:
                lock, self.attempt.lock = self.attempt.lock, None
            finally:
                self.lock.release()
            if lock is not None:
                self.attempt.opened.let_go(lock)
        self._rested = self.made

    def put(self, item: Any) -> None:
        """An item that the source has just made, before its consumer gets it."""
        self.made += 1
        if self.dropped:
            return
        try:
            self.tape.add(item)
            self.offer.add(self.tape)
        except Exception as error:
            self.dropped = True
            self.offer.close()
            self.attempt.runner.cache().trouble("store", error, call=self.attempt.call)

    def end(self, returned: Any) -> None:
        """The source has ended: store."""
        self.source = None
        try:
            self.tape.end(returned)
            self.offer.add(self.tape)
        except Exception as error:
            self.dropped = True
            self.offer.close()
            self.attempt.runner.cache().trouble("store", error, call=self.attempt.call)
            self.attempt.end()
        else:
            if self.is_copy:
                self.attempt.end()
            else:
                self.attempt.land(self.tape)
            self.offer.close()

    def failed(self, error: BaseException) -> None:
        """The source has raised."""
        self.source, self.dropped = None, True
        self.offer.close()
        if not self.made:
            self.spare = instead(self.attempt, error)

    def take_over(self, had: int) -> Any:
        """The running source of a dropped recording, for the first one who has had all that it made; else None."""
        with self.lock:
            source = None
            if self.source is not None and had == self.made:
                source, self.source = self.source, None
            self.dropped = True
            self.offer.close()
            return source

    def consume(self) -> Items:
        had = at = 0
        sent = None
        runner: Any = self.attempt.runner
        try:
            while sent is None:
                with self.lock:
                    if had < self.tape.count or self.tape.ended:
                        frame = self.tape.read(at)
                    elif self.dropped:
                        break
                    else:
                        frame = None
                        try:
                            item, ended = self._next()
                        except Exception:
                            if self.spare is None:
                                raise
                            break
                        at = self.tape.size
                if frame is not None:
                    ended, name, body, at = frame
                    try:
                        item = self.tape.load(name, body)
                    except Exception as error:
                        runner.cache().trouble("load", error)
                        break
                if ended:
                    return item
                had += 1
                sent = yield item
            source = self.take_over(had)
            self.attempt.end()
        finally:
            if (unfinished := self.left()) is not None:
                self.attempt.end()
                unfinished.close()
        if self.spare is not None:
            replay = runner.hit(self.attempt.call, self.spare)
            return (yield from runner.replayed(replay, self.attempt.values))
        return (yield from runner.live(self.attempt.values, had, sent, source))

    def _next(self) -> tuple[Any, bool]:
        """(the next item, False), or (what the generator returned, True)."""
        flight = self.attempt.flight
        inside = None if flight is None else INSIDE.set(flight)
        began = perf_counter()
        try:
            item = next(self.source)
        except StopIteration as end:
            self.attempt.seconds += perf_counter() - began
            self.end(end.value)
            return end.value, True
        except BaseException as error:
            self.failed(error)
            self.attempt.end()
            raise
        finally:
            if inside is not None:
                INSIDE.reset(inside)
        self.attempt.seconds += perf_counter() - began
        self.put(item)
        return item, False


class GeneratorRunner(Runner):
    """A Runner whose ``run`` is a generator."""

    kind = "generator"

    def __init__(self, function: FunctionType, options: Options) -> None:
        super().__init__(function, options)
        self.depart = _itself

    def run(self, key: bytes, values: tuple[Any, ...], state: Any) -> Items:
        found = Runner.run(self, key, values, None)
        if type(found) is Attempt:
            return (yield from self.recorded(found))
        if type(found) is Late:
            found = in_background(found, self._drained)
        if type(found) is Replay:
            return (yield from self.replayed(found, values))
        return (yield from found)  # the cache is off, or bypassed

    def _drained(self, attempt: Attempt) -> None:
        deque(self.recorded(attempt), 0)

    def recorded(self, attempt: Attempt) -> Items:
        while attempt.joins and (other := attempt.join()) is not None:
            try:
                patience = attempt.patience()
                while other.recording is None and not other.wait(0.05 if patience < 0 else min(patience, 0.05)):
                    if not (patience := attempt.patience()):
                        break
                if other.recording is not None and other.recording.enter():
                    return (yield from other.recording.consume())
            finally:
                attempt.opened.flights.leave(other)
            if (hit := attempt.landed(other)) is not None:
                return (yield from self.replayed(self.hit(attempt.call, hit), attempt.values))
        if attempt.opened is None:  # read-only
            next(self.counts.misses)
            return (yield from self.live(attempt.values, 0))
        try:
            if attempt.flight is not None and attempt.take():
                recording = Recording(attempt, self.elsewhere(attempt))
            else:
                if attempt.flight is not None and (hit := attempt.again()) is not None:
                    attempt.end()
                    return (yield from self.replayed(self.hit(attempt.call, hit), attempt.values))
                attempt.begin()
                recording = Recording(attempt)
        except BaseException:
            attempt.end()
            raise
        return (yield from recording.consume())

    def elsewhere(self, attempt: Attempt) -> Items:
        """What another process records, as it comes; from where that stops what is stored by then, or the function makes."""
        flight: Any = attempt.flight
        follow, had = Follow(attempt), 0
        over = False
        try:
            while pause := attempt.take():
                while frames := follow.frames():
                    for ended, name, body in frames:
                        try:
                            item = self.cache().bodies.load_item(name, memoryview(body))
                        except Exception as error:
                            self.cache().trouble("load", error)
                            follow.close()
                            break
                        if ended:
                            flight.recording.is_copy = flight.stored = True
                            next(self.counts.later)
                            return item
                        had += 1
                        yield item
                sleep(pause)
            over = True
        finally:
            follow.close(over)
        if (hit := attempt.again()) is not None:
            flight.recording.is_copy = True
            items = self.replayed(self.hit(attempt.call, hit), attempt.values)
            deque(islice(items, had), 0)
            return (yield from items)
        attempt.begin()
        return (yield from self.live(attempt.values, had))

    def replayed(self, replay: Iterable[Any], values: tuple[Any, ...]) -> Items:
        """What is stored; from where an item can't be loaded any more, or something is sent, what the function makes."""
        had, items, sent = 0, iter(replay), None
        while sent is None:
            try:
                item = next(items)
            except StopIteration as end:
                return end.value
            except Exception as error:
                self.cache().trouble("load", error)
                break
            had += 1
            sent = yield item
        return (yield from self.live(values, had, sent))

    def live(self, values: tuple[Any, ...], had: int, sent: Any = None, source: Any = None) -> Items:
        """The rest of the function's own generator, after the first ``had`` items."""
        if source is None:
            source = self.invoke(self.function, values)
            deque(islice(source, had), 0)
        if sent is not None:
            try:
                item = source.send(sent)
            except StopIteration as end:
                return end.value
            while (sent := (yield item)) is not None:
                try:
                    item = source.send(sent)
                except StopIteration as end:
                    return end.value
        return (yield from source)


class GeneratorHandle(Handle):
    """``get`` and ``call_and_shelve(...).get()`` give an iterable, ``set`` takes one, ``refresh`` gives a generator."""

    def set(self, value: Iterable[Any], /, *args: Any, **kwargs: Any) -> None:
        tape = Tape(self.runner.cache().bodies, "")
        try:
            for item in value:
                tape.add(item)
            tape.end(None)
            super().set(tape, *args, **kwargs)
        finally:
            tape.close()

    def starmap(self, *args: Any, **kwargs: Any) -> Any:
        raise OptionError(
            f"{self.runner.name} is a generator function, and a batch would hold all items of all calls at once: go through"
            f" the items, or give call_and_shelve to the executor and go through each reference's get()"
        )

    map = as_completed = starmap

    def call_and_shelve(self, *args: Any, **kwargs: Any) -> Reference:
        """As the call, gone through to its end: a reference, whose ``get()`` gives the items again and again."""
        if (found := self.found(args, kwargs)) is not None:
            return found
        deque(self.runner.wrapper(*args, **kwargs), 0)
        return self.kept(args, kwargs) or self.shelved(args, kwargs, list(self.runner.wrapper(*args, **kwargs)))

    def kept(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reference | None:
        """The reference to what was recorded, if it could be stored."""
        outcome = self._look(args, kwargs)
        return self.shelved(args, kwargs, outcome.value) if isinstance(outcome, Hit) else None

    def refresh(self, *args: Any, **kwargs: Any) -> Items:
        runner: Any = self.runner
        attempt = self.anew(args, kwargs)
        if isinstance(attempt, tuple):
            return (yield from runner.live(attempt, 0))
        return (yield from runner.recorded(attempt))


def _itself(attempt: Attempt) -> Attempt:
    return attempt
