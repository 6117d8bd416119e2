"""What a call does that found nothing: flight -> look again -> compute -> store, one step each.

The steps are the same whoever takes them: `fly` here in the thread of the call, ``_async`` with those that may do I/O
off the event loop, ``_recording`` around a generator. So none of them waits; whoever drives them does.
"""

from __future__ import annotations

from time import monotonic, perf_counter, sleep

from . import events
from ._flight import INSIDE
from .errors import UnkeyableError
from .model import Event, Hit, Raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

    from ._flight import Flight
    from ._opened import Opened
    from ._run import Runner
    from ._state import State
    from .model import Call, Miss

_PURGE = 200  #: dead entries removed with each store after a clear
_explain: Any = None  #: memo.explain, from the first miss on: an import statement would cost every miss more


class Attempt:
    """One call on its way from a miss to a stored result. ``opened`` is None where nothing may be stored."""

    # defaults on the class: most attempts change none of them
    flight: Flight | None = None  #: what it leads
    lock: AbstractContextManager[bool] | None = None
    before: tuple[bytes, int] | None = None  #: what was there under its key
    joins = True  #: False: compute now, beside whoever does
    function: Any = None  #: in place of the function itself, where its policy wants to see it run
    asked = False  #: whether the policy was asked, before computing
    anew = False  #: refresh: overwrites whatever is there
    until = 0.0  #: when its patience ends, by the monotonic clock
    pause = 0.001
    wait: Any = None  #: for another process

    def __init__(
        self,
        runner: Runner,
        call: Call,
        state: State,
        captures: bytes,
        front_key: bytes,
        values: tuple[Any, ...],
        miss: Miss,
        opened: Opened | None,
        since: float = 0.0,
        seen: int = 0,
    ) -> None:
        self.runner, self.call, self.state, self.captures, self.front_key = runner, call, state, captures, front_key
        self.values, self.miss, self.since, self.seen = values, miss, since, seen
        self.cache, self.policy = runner.cache(), runner.policy()  # one of each for the whole of it
        self.opened: Any = opened
        if opened is None:
            self.joins = False

    def fly(self) -> Any:
        """The whole of it. One frame between that of the look-up and the function, so that deep recursion stays possible."""
        runner = self.runner
        while self.joins and (other := self.join()) is not None:
            try:
                other.wait(self.patience())
            finally:
                self.opened.flights.leave(other)
            if (hit := self.landed(other)) is not None:
                return runner.hit(self.call, hit)
        try:
            if self.flight is not None:
                while pause := self.take():
                    sleep(pause)
                if (hit := self.again()) is not None:
                    self.end()
                    return runner.hit(self.call, hit)
            self.begin()
            inside = None if self.flight is None else INSIDE.set(self.flight)
            try:
                value = runner.invoke(self.function or runner.function, self.values)
                self.seconds = perf_counter() - self.began
            finally:
                if inside is not None:
                    INSIDE.reset(inside)
        except BaseException as error:
            if (hit := self.failed(error)) is None:
                raise
            return runner.hit(self.call, hit)
        self.land(value)
        return value

    # -------------------------------------------------------------------------------------------------- the steps

    def join(self) -> Flight | None:
        """The flight to wait for, if another computes this key; else this one leads, or goes alone."""
        joined: tuple[Flight, bool] | None = self.opened.flights.join(self.call.key, self.state.mark)
        if joined is None:
            return None
        flight, leads = joined
        if not leads:
            return flight
        self.flight = flight
        flight.function = self.call.function
        return None

    def patience(self) -> float:
        """Seconds that it may wait yet; -1: as long as it takes."""
        wait = self.runner.options.wait
        if wait is None:
            return -1
        if not self.until:
            self.until = monotonic() + wait
        return max(self.until - monotonic(), 0.0)

    def landed(self, other: Flight) -> Hit | None:
        """After waiting: the result, if there is one. If its leader failed all go on at once, not one after the other."""
        hit = self.look()
        self.joins = hit is None and other.stored and self.patience() != 0
        return hit

    def look(self) -> Hit | None:
        state, cache = self.state, self.cache
        outcome = cache.lookup(
            self.call, state.mark, cache.clock(), self.policy, self.since, state.table, self.front_key
        )
        return outcome if isinstance(outcome, Hit) else None

    def take(self) -> float:
        """Takes the key for this process. 0: go on; else another has it, and the seconds to sleep before the next try."""
        lock = self.opened.take(self.call.key, self.cache.trouble)
        if lock is True:
            return 0.0
        if lock is not False:
            self.lock = lock
            return 0.0
        if self.patience() == 0:
            return 0.0
        if self.wait is None:
            from ._beats import Wait

            self.wait = Wait(self.opened.storage, self.flight, self.call.key)
        if self.wait.is_over():
            return 0.0
        self.pause = min(self.pause * 1.5, self.opened.pause)
        return self.pause

    def again(self) -> Hit | None:
        """What another thread or process has stored between the look-up and our turn."""
        if self.opened.lock_file.stores[0] == self.seen and self.miss.why == "never seen":
            return None
        before = self.before = self.opened.head(self.call.key)
        if before is None or not before[0] or before[1] != self.state.mark:
            return None
        hit = self.look()
        if self.flight is not None:
            self.flight.stored = hit is not None
        return hit

    def begin(self) -> None:
        """Right before computing."""
        global _explain
        runner = self.runner
        if self.flight is not None:
            self.flight.holds = True
        if self.opened is not None:
            if _explain is None:
                from . import explain as _explain
            key = self.front_key if self.state.mutable is None else self.front_key[len(self.captures) :]
            self.looked = _explain.look(runner, self.call, self.captures, key)
        try:
            policy = self.policy
            self.token = policy.begin(self.call)
            if (around := getattr(policy, "around", None)) is not None:
                self.function = around(self.token, runner.function)
            self.asked = True
        except Exception as error:
            self.cache.trouble(f"ask the policy of {runner.name}", error)
        self.began = perf_counter()

    def failed(self, error: BaseException) -> Hit | None:
        """The function raised, and the others go on: an old result where that is to be served instead.

        Else the exception is stored where it was asked for.
        """
        if self.miss.stale is not None:
            from ._stale import instead

            if (hit := instead(self, error)) is not None:
                self.end()
                return hit
        kept = self.runner.options.exceptions
        if not kept or not isinstance(error, kept) or self.opened is None or not self.asked:
            self.end()
            return None
        from traceback import format_exception

        self.seconds = perf_counter() - self.began
        self.land(Raised(error, "".join(format_exception(error))))
        return None

    def land(self, value: Any) -> None:
        """Store, let the others go on, and tell who wants to know. Raises nothing of the cache."""
        stored = False
        try:
            if self.opened is not None:
                stored = self._keep(self.opened, value)
                if self.flight is not None:
                    self.flight.stored = stored
        finally:
            self.end()
        runner, call = self.runner, self.call
        next(runner.counts.misses)
        if self.opened is not None:
            _explain.remember(
                runner, self.opened, call, self.state, self.looked, self.miss.why, stored, self.cache.clock()
            )
        if events.wanted("miss"):
            from . import explain

            why = explain.line(runner, self.opened, call, self.miss)
            events.emit(Event("miss", runner.name, call.key, why, self.seconds, 0))

    def end(self) -> None:
        """Whatever happened, the others go on."""
        lock, self.lock = self.lock, None
        flight, self.flight = self.flight, None
        try:
            if lock is not None and self.opened is not None:
                self.opened.let_go(lock)
        finally:
            if flight is not None and self.opened is not None:
                self.opened.flights.land(flight)

    def _keep(self, opened: Opened, value: Any) -> bool:
        """Store, unless the result comes from what is no longer so, or somebody cleared or wrote this key meanwhile."""
        runner, state, call = self.runner, self.state, self.call
        if not runner.as_before(state, self.captures):
            events.warn_once(
                f"{runner.name}:rebound",
                f"what {runner.name} reads from outside changed while it ran, so its result was returned, not stored",
            )
            return False
        cache, policy = self.cache, self.policy
        if cache.detect_mutation and self._mutated():
            return False
        if self.anew:
            runner.touch(opened, call)  # a flight under way sees that it is overtaken
            self.before = opened.head(call.key)
        untouched = state.word is not None and state.word[0] == state.edits  # the usual case, known without a trip
        if not untouched and opened.overtaken(call, state.mark, self.before):
            return False
        try:
            stamp = policy.seal(self.token, value) if self.asked else None
        except Exception as error:
            cache.trouble(f"ask the policy of {runner.name}", error)
            return False
        if stamp is None:
            if self.function is not None:
                from ._touched import told

                told(runner.name, self.token)
            return False
        front = None if self.anew else state.table
        head = cache.store(call, value, self.seconds, state.mark, stamp, policy, front, self.front_key, self.looked[0])
        if self.anew:
            runner.touch(opened, call)  # fronts look again
        if head is None:
            return False
        opened.lock_file.note()
        runner.counts.stored(self.seconds, head.size)
        if runner.limits.ends:
            runner.swept(opened, cache)
        if runner.purging:
            runner.purging = opened.purge(call.scope, state.mark, _PURGE)
        return True

    def _mutated(self) -> bool:
        """Whether the function changed an argument, so that its result belongs to another call; then it says so."""
        runner = self.runner
        try:
            call, key = runner.call_of(self.state, self.values)
        except UnkeyableError:  # it had a key before
            call, key = None, b"\x02"
        if call is not None and call.key == self.call.key:
            return False
        notes, names, _ = _explain.look(runner, self.call, self.captures, key)
        before = self.looked[0]
        changed = [n for i, n in enumerate(names) if notes[4 * i : 4 * i + 4] != before[4 * i : 4 * i + 4]]
        changed = changed or list(names if len(names) == 1 else ())  # what can't be told apart by its note
        which = f"its argument {' and '.join(map(repr, changed))}" if changed else "an argument"
        text = f"{runner.name} changed {which} while it ran, so its result was returned, not stored (detect_mutation)"
        events.warn_once(f"{runner.name}:mutation", text)
        return True
