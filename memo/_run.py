"""What happens when the wrapper has no answer: the pipe of a call, from its key to a hit, or to an `Attempt`.

    front -> lookup -> (flight -> look again -> compute -> store: see ``_attempt``)

A Runner is what a wrapper's closure holds. It pickles as its function and options: a worker gets no front, lock or
connection with it, only the way to the place.
"""

from __future__ import annotations

from math import inf
from time import monotonic, perf_counter

from . import _forks, events, settings  # noqa: F401 - _forks for its hook
from ._attempt import Attempt
from ._call import full_name, make_call, scope_of
from ._counts import SLOW, Counts
from ._living import Living
from ._options import Options
from ._reference import Reference, unwrapped
from ._state import State
from ._sweep import Current, Sweep, leave
from ._touched import TRACES, called
from ._uses import note
from ._wrapper import SHORT, Parameters, generate, is_direct, passes_on
from .errors import NotCachedError, UnkeyableError
from .model import Call, Event, Fresh, Hit, Miss, Raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType
    from typing import Any, NoReturn

    from ._cache import Cache
    from ._opened import Opened
    from .fingerprint._code import Followed
    from .model import Head
    from .protocols import Policy, Words

ABSENT = object()  #: what in_front() gives where there is nothing

_live: Living[Runner] = Living()  # those whose function is still there


class Runner:
    """One persisted function. Its wrapper reads ``state`` and calls ``run`` with the encoded and the bound arguments."""

    kind = "function"  #: of wrapper
    spot: Callable[[Call, Any, tuple[Any, ...]], Any] | None = None  #: what has hits checked, where that is asked for
    is_short: Callable[[tuple[Any, ...]], bool] | None = None
    limits = Current()  #: for how long its results are good, by its policy; of no version

    def __init__(self, function: FunctionType, options: Options) -> None:
        self.function, self.options = function, options
        # a worker's __main__ is another one: the name travels with the function
        named = options.name
        self.name = options.name = named or full_name(function)
        #: seconds for which an expired result may be served
        self.grace = max(options.stale_while_revalidate, options.stale_if_error)
        self.mode = settings.mode_named(options.mode) if options.mode else None
        self.file = function.__code__.co_filename
        self.parameters = Parameters(function.__code__)
        self.counted = tuple(name for name in self.parameters.names if name not in options.ignore)
        self.wrapper, self.bind, self.invoke, self.encode = generate(
            self, function, self.parameters, options.ignore, options.key, self.kind, self.is_short
        )
        inner = passes_on(function)
        self._inner = None if inner is None else Inner(inner, options)
        #: how many arguments are the key of a front as they are; -1: they are not
        self._direct = len(self.counted) if is_direct(self.parameters, options.ignore, options.key, self.kind) else -1
        self._all_count = inner is None and len(self.counted) == len(self.parameters.names)
        self.counts = Counts(self.name)
        self._cache: Cache | None = None
        self._policy: Policy | None = None
        self.depart: Callable[[Attempt], Any] = Attempt.fly  #: what becomes of a call that found nothing
        self._scope = ""
        self.purging = False
        self._sweep = Sweep()
        self._left: tuple[Opened, Current] | None = None
        self.state = State(self.counts.front, self.encode_values)
        settings.prepare(self.file)
        if named:
            self._report_twin()
        _live.add(self)

    def __reduce__(self) -> tuple[Callable[..., Runner], tuple[FunctionType, Options]]:
        return type(self), (self.function, self.options)

    def _report_twin(self) -> None:
        """Two different live functions under one explicit name: never a wrong hit, but clearing one clears both."""
        mine = (self.function.__module__.replace("__mp_main__", "__main__"), self.function.__qualname__)
        for other in _live:
            its = (other.function.__module__.replace("__mp_main__", "__main__"), other.function.__qualname__)
            if other.name == self.name and its != mine:
                events.warn_once(
                    f"{self.name}:twin",
                    f"{'.'.join(its)} and {'.'.join(mine)} are both persisted as name={self.name!r}: they are cleared,"
                    f" listed and counted together; give each a name of its own",
                )

    # ---------------------------------------------------------------------------------------------- the call

    def run(self, key: bytes, values: tuple[Any, ...], state: State | None) -> Any:
        """The result: from the front, from the storage, or computed. Only the user's own exceptions pass.

        ``key`` is the encoded arguments, empty when one of them has no key and the cache is to be bypassed. ``state``
        is the one that the wrapper found to hold, with an empty hand; None where it may not ask the front.
        """
        mode, since = settings.NORMAL, 0.0
        if state is None:
            if TRACES.get() and (noted := called(self, key, values)) is not None:
                return noted[0]
            mode = settings.current(self.name, self.mode, self.file)
            if mode.name == "refresh":
                since = mode.since
            if key and mode.name != "off":
                state = self.valid(asks=True)
            if state is None:
                return self._without(mode, key, values)
            captures = state.all_captures()
            front_key = key if state.mutable is None else captures + key
            in_front = state.table is not None and not since
        else:
            captures, front_key = state.captures, key
            in_front = key in state.front
        if in_front:
            value = self.in_front(state, captures, front_key, key, values)
            if value is not ABSENT:
                return (
                    value
                    if self.spot is None
                    else self.spot(self.make_call(state, captures, key, values), value, values)
                )
        cache = self._cache or self.cache()
        opened = cache.ready()
        seen = opened.lock_file.stores[0] if opened is not None else 0
        call = self.make_call(state, captures, key, values)
        table, policy, now, began = state.table, self._policy or self.policy(), cache.clock(), perf_counter()
        read = None if table is None else table.read
        if state.asks:
            found = None if opened is None else opened.words_with(call.key, self.scope, cache.trouble)
            if found is None:
                return self._without(mode, key, values)
            state.edits, state.mark, read = found
            self._leave(opened, state)  # type: ignore[arg-type]
        outcome = cache.lookup(call, state.mark, now, policy, since, table, front_key, self.grace, read)
        if isinstance(outcome, Hit):
            value = self.hit(call, outcome, perf_counter() - began)
            return value if self.spot is None else self.spot(call, value, values)
        if (
            read is not None and table is not None and outcome.why != "never seen"
        ):  # what was read ahead may have been replaced since
            outcome = cache.lookup(call, state.mark, now, policy, since, table, front_key, self.grace)
            if isinstance(outcome, Hit):
                return (
                    self.hit(call, outcome) if self.spot is None else self.spot(call, self.hit(call, outcome), values)
                )
        if mode.name == "only-cached":
            raise NotCachedError(outcome)
        if mode.name == "read-only":
            opened = None
        attempt = Attempt(self, call, state, captures, front_key, values, outcome, opened, since, seen)
        if outcome.stale is not None:
            from . import _stale

            if _stale.may_renew(attempt):
                late = _stale.Late(outcome.stale, attempt)
                return late if self.depart is not Attempt.fly else _stale.in_background(late, Attempt.fly)
        return self.depart(attempt)

    def _without(self, mode: settings.Mode, key: bytes, values: tuple[Any, ...]) -> Any:
        """The function itself, where there is no cache to be used."""
        if mode.name == "only-cached":
            why = "the cache can't be used" if key else "an argument has no key"
            raise NotCachedError(Miss(Call(self.name, "", *self._counted(values)), why))
        if mode.name != "off":
            next(self.counts.misses)
        return self.invoke(self.function, values)

    def as_before(self, state: State, captures: bytes) -> bool:
        """Whether code and captured data are what they were when the call began; a rebinding to an equal is none."""
        if state.check is not None and not state.check():
            try:
                now = self.follow()
            except Exception:
                return False
            followed = state.followed
            if followed is None or (now.version, now.captures) != (followed.version, followed.captures):
                return False
        return state.mutable is None or state.all_captures() == captures

    # ------------------------------------------------------------------------------------------------- hits

    def in_front(self, state: State, captures: bytes, front_key: bytes, key: bytes, values: tuple[Any, ...]) -> Any:
        """For the calls whose wrapper may not ask the front itself, and for what is good until a time only."""
        table = state.table
        assert table is not None
        arguments = self._counted(values)[1] if self._direct >= 0 else ()
        try:
            value = table.get(
                front_key,
                arguments,
                lambda until, head: self._still_fresh(until, head, state, captures, key, values),
                ABSENT,
            )
        except Exception:  # what could be loaded once can't be any more: the look-up says why
            table.drop(front_key, arguments)
            return ABSENT
        if value is ABSENT:
            return ABSENT
        next(self.counts.front)
        if events.wanted("hit"):
            call = self.make_call(state, captures, key, values)
            events.emit(Event("hit", self.name, call.key, "front", 0.0, 0))
        return value

    def _still_fresh(
        self, until: float, head: Head, state: State, captures: bytes, key: bytes, values: tuple[Any, ...]
    ) -> bool:
        now = self.cache().clock()
        if until > 0:
            return head.created - 60 <= now < until
        call = self.make_call(state, captures, key, values)
        try:
            return isinstance(self.policy().fresh(head.stamp, head, call, now), Fresh)
        except Exception:  # the look-up says what is wrong
            return False

    def hit(self, call: Call, hit: Hit, took: float = 0.0) -> Any:
        """What a hit below the front gives; it took so many seconds, where that is known."""
        head, value = hit
        self.counts.hit(head.seconds, took)
        if events.wanted("hit"):
            events.emit(Event("hit", self.name, call.key, "", 0.0, head.size))
        if type(value) is Raised:
            raise_again(value)
        return value

    # ------------------------------------------------------------------------------------------- what holds now

    def cache(self) -> Cache:
        """Where this function stores: found at its first call, so that flags and decoration order do not matter."""
        if self._cache is None:
            from ._location import resolve

            self._cache = resolve(self.options.cache, self.file)
            self._cache.bodies.bind(self.name, self.function)
            self.spot = None
            if self._cache.spot_check and self.kind in ("function", "coroutine"):
                from functools import partial

                from ._spot import checked

                self.spot = partial(checked, self)
            self._policy = None
        return self._cache

    def policy(self) -> Policy:
        if self._policy is None:
            from .policies import Forever, all_of, placed

            own, general = self.options.policy, self.cache().policy
            if own is None:
                self._policy = general
            else:
                self._policy = own if type(general) is Forever else all_of(general, own)
            policy = self._policy = placed(self._policy, self._words)
            self.limits = Current("", getattr(policy, "good_for", inf), getattr(policy, "idle", 0.0) or inf)
        return self._policy

    def _words(self) -> Words | None:
        opened = self.cache().ready()
        return None if opened is None else opened.words

    @property
    def scope(self) -> str:
        if not self._scope:
            self._scope = scope_of(self.name)
        return self._scope

    def valid(self, asks: bool = False) -> State | None:
        """The State that holds now, a new one if need be; None when there is no usable cache (warned about).

        ``asks``: where each look at a word is a trip, the caller asks for them together with its entry.
        """
        state = self.state
        return state if state.holds() else self._renewed(state, asks)

    def _renewed(self, old: State, asks: bool) -> State | None:
        """Its front begins empty, since what the old one holds may no longer be good."""
        cache = self.cache()
        opened = cache.ready()
        if opened is None:
            return None
        settings.take_clear(self.name, self.clear)
        followed = old.followed
        if followed is None or (old.check is not None and not old.check()):
            try:
                followed = self.follow()
            except Exception as error:  # following code is the cache's business: its failure must not be the call's
                cache.trouble(f"follow the code of {self.name}", error)
                return None
        state = State(self.counts.front, self.encode_values)
        began = monotonic()
        state.asks = asks and opened.asks and not cache.front_ttl
        words = (None, 0, 0) if state.asks else opened.words_of(self.scope, cache.trouble)
        if words is None:
            return None
        state.word, state.edits, state.mark = words
        state.followed, state.check, state.captures = followed, followed.check, followed.captures
        state.mutable = followed.mutable
        state.prefix = f"{self.scope}/{followed.version}/"
        if state.word is None and cache.front_ttl:
            # as long again as the words are what they were, with what the front holds by then
            state.trusted_until = began + cache.front_ttl
            same = (old.edits, old.mark, old.followed) == (state.edits, state.mark, followed)
            state.table = old.table if same else None
        if state.table is None and (state.word is not None or cache.front_ttl):
            from ._front import Front

            direct = self._direct if state.word is not None and followed.mutable is None else -1
            state.table = Front(opened.ahead(state.prefix[:-1]) if state.word is not None else None, direct)
        if state.word is not None and state.table is not None:
            state.front = state.table.held
            if followed.mutable is None and self.mode is None and self.spot is None:
                state.watch, state.seen = state.word, state.edits
        opened.states.add(state)
        if not state.asks:
            self._leave(opened, state)
        self.state = state
        return state

    def _leave(self, opened: Opened, state: State) -> None:
        """What this function is now, for those who do not run its code."""
        self.policy()  # says what the limits are
        assert state.followed is not None
        now = self.limits._replace(version=state.followed.version)
        if self._left != (opened, now) and settings.current(self.name, self.mode, self.file).name in (
            "normal",
            "refresh",
        ):
            self._left = opened, now
            note(opened, self.scope, self.counts)
            try:
                if leave(opened.storage, self.scope, now):
                    from . import explain

                    explain.keep_version(self, opened, state)
            except Exception:
                return  # a place that can only be read: then upkeep knows less

    def swept(self, opened: Opened, cache: Cache) -> None:
        """Takes a few expired entries off the disk, where entries expire."""
        try:
            self._sweep.step(opened.storage, self.scope, self.limits, cache.clock(), self.grace)
        except Exception as error:
            cache.trouble("remove expired entries", error)

    def follow(self) -> Followed:
        from .fingerprint._code import follow

        options = self.options
        return follow(
            self.function,
            code=options.code,
            packages=options.packages,
            version=options.version,
            ignore=options.ignore,
        )

    def encode_values(self, values: tuple[Any, ...]) -> bytes:
        """The canonical bytes of the counted values; empty when one can't be keyed and the cache is to be bypassed."""
        from .fingerprint import encode

        names, key = self.counted, self.options.key
        if Reference in map(type, values):
            values = unwrapped(values)
        if self._inner is not None:
            names, values = self._inner.made(names, values)
        if callable(key):
            names, values = ("key",), (key(Call(self.name, "", names, values)),)
        began = perf_counter()
        try:
            encoded = encode(names, values)
        except UnkeyableError:
            off = settings.current(self.name, self.mode, self.file).name == "off"
            if off or self.cache().on_unkeyable == "bypass":
                return b""
            raise
        took = perf_counter() - began
        self.counts.key_seconds += took
        if took > SLOW:
            self.counts.slow_key(took)
        return encoded

    def make_call(self, state: State, captures: bytes, key: bytes, values: tuple[Any, ...]) -> Call:
        if self._all_count:  # the usual case
            return make_call(self.name, state.prefix, captures, key, self.counted, values)
        return make_call(self.name, state.prefix, captures, key, *self._counted(values))

    def call_of(self, state: State, values: tuple[Any, ...]) -> tuple[Call | None, bytes]:
        """The Call of bound values and its key in the front; None where it can't be keyed and is to bypass the cache."""
        key = self.key_of(state, values)
        if not key:
            return None, key
        captures = state.all_captures()
        return self.make_call(state, captures, key, values), key if state.mutable is None else captures + key

    def key_of(self, state: State, values: tuple[Any, ...]) -> bytes:
        """What the wrapper makes of bound values; empty where they can't be keyed and are to bypass the cache."""
        key: bytes = self.encode(values)
        return key if len(key) <= SHORT else state.shorten(key)

    def _counted(self, values: tuple[Any, ...]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Names and values of what counts of a call."""
        if len(self.counted) != len(values):
            bound = dict(zip(self.parameters.names, values, strict=True))
            values = tuple(bound[name] for name in self.counted)
        return (self.counted, values) if self._inner is None else self._inner.counted(self.counted, values)

    def clear(self) -> None:
        """Everything stored for this function, in O(1): from now on another word is its mark."""
        cache = self.cache()
        opened = cache.alive()
        if opened is not None:
            try:
                opened.clear(self.scope)
            except Exception as error:
                cache.trouble("clear", error)
            self.purging = True

    def touch(self, opened: Opened, call: Call) -> None:
        try:
            opened.touch(call.scope)
        except Exception as error:
            self.cache().trouble("store", error, call=call)

    def reset(self) -> None:
        """Flags have changed: look up the place and what is asked of it again."""
        self._cache = None
        self.state = State(self.counts.front, self.encode_values)


class Inner:
    """What a decorator wrapped, to tell that ``f(1)`` and ``f(x=1)`` are one call although it takes ``*args, **kwargs``.

    Only the key is made so; the call is handed on as it came, whatever the decorator does with it.
    """

    def __init__(self, function: FunctionType, options: Options) -> None:
        parameters = Parameters(function.__code__)
        self._bind = generate(self, function, parameters, (), None)[1]
        self._names, self._ignored = parameters.names, options.ignore
        self._makers = options.key if isinstance(options.key, dict) else {}

    def counted(self, names: tuple[str, ...], values: tuple[Any, ...]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        try:
            args, kwargs = values
            bound = zip(self._names, self._bind(*args, **kwargs), strict=True)
        except (TypeError, ValueError):  # the decorator takes other arguments than what it wraps; or they are ignored
            return names, values
        counted = {name: value for name, value in bound if name not in self._ignored}
        return tuple(counted), tuple(counted.values())

    def made(self, names: tuple[str, ...], values: tuple[Any, ...]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        names, values = self.counted(names, values)
        return names, tuple(
            self._makers[name](value) if name in self._makers else value
            for name, value in zip(names, values, strict=True)
        )


def living() -> list[Runner]:
    """Those whose functions are still there."""
    return list(_live)


def raise_again(stored: Raised) -> NoReturn:
    """Raises what a function raised when it was computed, with the traceback of then as a note."""
    stored.error.add_note(f"memo stored this exception; it was raised so:\n{stored.trace}")
    raise stored.error


def _flags_changed() -> None:
    for runner in _live:
        runner.reset()


settings.on_flags(_flags_changed)
