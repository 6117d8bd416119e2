"""What hangs on a persisted function: cache_info, is_cached, get, set, delete, refresh, ...

The wrapper stays a real function with these as attributes. In a class body it is wrapped in a descriptor, so that
``obj.f.refresh(x)`` knows ``obj``; ``Class.f`` is the function itself.
"""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType

from . import explain, settings
from ._attempt import Attempt
from ._counts import read
from ._run import Runner, raise_again
from ._state import shorten
from ._wrapper import SHORT
from .errors import NotCachedError, UnkeyableError
from .model import Call, Hit, Miss, Raised, Stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor
    from typing import Any

    from ._map import Done
    from ._opened import Opened
    from ._plan import Plan
    from ._reference import Reference
    from ._state import State
    from .explain import Looked, Why
    from .protocols import CacheInfo, Entry

#: handles that take the function's arguments, and how many of their own come first
_WITH_ARGUMENTS = {
    "cache_key": 0,
    "is_cached": 0,
    "get": 0,
    "get_or": 1,
    "set": 1,
    "delete": 0,
    "refresh": 0,
    "why": 0,
    "call_and_shelve": 0,
}
_BATCHES = ("map", "starmap", "as_completed", "plan")
_WITHOUT = ("cache_info", "cache_clear", "cache_parameters", "entries")


class Handle:
    """The handles of one function. Those that take arguments bind them just as a call does, defaults included."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def attributes(self) -> dict[str, Callable[..., Any]]:
        """What hangs on the wrapper, by name."""
        return {name: getattr(self, name) for name in (*_WITHOUT, *_BATCHES, *_WITH_ARGUMENTS)}

    def cache_info(self) -> CacheInfo:
        """Hits, misses, seconds saved and spent on it by this process; how many entries are stored, and the bytes they take."""
        from .protocols import CacheInfo

        counts = self.runner.counts
        limits = self.runner.cache().limits
        maxsize = limits.max_entries if limits is not None else None
        opened = self.runner.cache().ready()
        entries = size = 0
        if opened is not None:
            from . import _upkeep

            try:
                entries, size = _upkeep.count(opened.storage, self.runner.scope)
            except Exception as error:
                self.runner.cache().trouble("list", error)
        room = None if opened is None else opened.room
        evicted = 0 if room is None else room.evicted.get(self.runner.scope, 0)
        return CacheInfo(
            counts.hits, read(counts.misses), maxsize, entries, size, counts.seconds_saved, counts.key_seconds,
            counts.load_seconds, evicted,
        )  # fmt: skip

    def cache_clear(self) -> None:
        """Forget all results of this function, in every process that shares the cache. O(1)."""
        self.runner.clear()

    def cache_parameters(self) -> dict[str, Any]:
        """The options in force, where results live, and what of the code was followed."""
        runner, options = self.runner, self.runner.options
        cache = runner.cache()
        state = runner.valid()
        return {
            "name": runner.name,
            "location": cache.location if isinstance(cache.location, str) else None,
            "storage": type(cache.storage).__name__ if cache.ready() else None,
            "serializer": cache.serializer.name,
            "policy": runner.policy(),
            "mode": settings.current(runner.name, runner.mode, runner.file).name,
            "code": options.code,
            "version": options.version,
            "packages": options.packages,
            "ignore": options.ignore,
            "key": options.key,
            "code_version": state.followed.version if state and state.followed else None,
            "follows": state.followed.follows if state and state.followed else {},
        }

    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        """Where the result of this call lives: ``function/code version/arguments``."""
        state, call, _, _ = self._call(args, kwargs)
        return call.key if state else ""

    def is_cached(self, *args: Any, **kwargs: Any) -> bool:
        """Whether a call would be a hit. Computes nothing."""
        return isinstance(self._look(args, kwargs), Hit)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """The stored result; NotCachedError, a KeyError with the ``miss`` that says why, when there is none."""
        outcome = self._look(args, kwargs)
        if isinstance(outcome, Hit):
            return _given(outcome.value)
        raise NotCachedError(outcome)

    def get_or(self, default: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The stored result, or ``default``."""
        outcome = self._look(args, kwargs)
        return _given(outcome.value) if isinstance(outcome, Hit) else default

    def set(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store ``value`` as the result of this call, as if it had been computed in no time."""
        state, call, opened, _, key, captures = self._keyed(args, kwargs)
        if state is not None and opened is not None:
            policy = self.runner.policy()
            looked = explain.look(self.runner, call, captures, key)
            self._put(state, call, opened, value, 0.0, policy.begin(call), looked, "set")

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of this call; whether there was one. A computation under way does not bring it back."""
        state, call, opened, _ = self._call(args, kwargs)
        if state is None or opened is None:
            return False
        before = opened.head(call.key)
        there = before is not None and before[1] == state.mark and bool(before[0])
        try:
            # An empty record stays, so that a flight that began before sees that it was overtaken.
            opened.touch(call.scope)
            if there:
                opened.storage.write(call.key, (), bytes, size=0, mark=state.mark)
            opened.touch(call.scope)
        except Exception as error:
            self.runner.cache().trouble("delete", error, call=call)
        return there

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        """Compute this call now, whatever is stored, store the result and return it."""
        attempt = self.anew(args, kwargs)
        if isinstance(attempt, tuple):
            return self.runner.invoke(self.runner.function, attempt)
        return attempt.fly()

    def anew(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Attempt | tuple[Any, ...]:
        """An attempt that joins no flight and ends those under way; the bound values alone where nothing may be stored."""
        state, call, opened, values, key, captures = self._keyed(args, kwargs)
        if state is None or opened is None:
            return values
        miss, front_key = Miss(call, "mode refresh"), key if state.mutable is None else captures + key
        attempt = Attempt(self.runner, call, state, captures, front_key, values, miss, opened)
        attempt.joins, attempt.anew = False, True
        return attempt

    def entries(self) -> list[Entry]:
        """What is stored for this function, all code versions: keys and heads, without loading the results."""
        from . import _entry
        from .errors import DamagedError
        from .protocols import Entry

        runner = self.runner
        opened = runner.cache().ready()
        listed: list[Entry] = []
        if opened is None:
            return listed
        try:
            mark = opened.words.word(runner.scope)
            for item in opened.storage.scan(runner.scope):
                if item.mark == mark and item.head and item.name.count("/") == 2:
                    try:
                        listed.append(Entry(item.name, _entry.unpack(item.head, runner.name), item.size))
                    except DamagedError:
                        continue
        except Exception as error:
            runner.cache().trouble("list", error)
        return listed

    def why(self, *args: Any, **kwargs: Any) -> Why:
        """Why this call would compute, compared with the nearest stored result, or since when it is a hit. Computes nothing."""
        try:
            state, call, opened, _, key, captures = self._keyed(args, kwargs)
        except UnkeyableError as error:
            return explain.unkeyable(self.runner.name, error)
        return explain.why(self.runner, state, call, opened, captures, key)

    # ---------------------------------------------------------------------------------------------- batches

    def map(
        self,
        inputs: Iterable[Any],
        executor: Executor | None = None,
        progress: bool | Callable[[int, int], object] = False,
        chunk: int | None = None,
        *,
        partial: Any = ((), {}),
    ) -> list[Any]:
        """The results for many inputs, each the first argument of a call, in their order; only missing ones are computed.

        Args:
            inputs: taken up whole.
            executor: any ``concurrent.futures.Executor``, of threads, processes or machines; without one it computes here.
            progress: True shows a bar of tqdm; a callable gets (done, total).
            chunk: calls sent to a worker at once.

        Raises:
            what the function raised for the first input that failed, when all the others are done and stored.
        """
        return self.starmap(((one,) for one in inputs), executor, progress, chunk, partial=partial)

    def starmap(
        self,
        inputs: Iterable[Iterable[Any]],
        executor: Executor | None = None,
        progress: bool | Callable[[int, int], object] = False,
        chunk: int | None = None,
        *,
        partial: Any = ((), {}),
    ) -> list[Any]:
        """As `map`; each input holds all positional arguments of a call."""
        from ._map import Batch, collected

        return collected(Batch(self.runner, map(tuple, inputs), partial, executor, progress, chunk))

    def as_completed(
        self,
        inputs: Iterable[Any],
        executor: Executor | None = None,
        progress: bool | Callable[[int, int], object] = False,
        chunk: int | None = None,
        *,
        partial: Any = ((), {}),
    ) -> Iterator[Done]:
        """``(input, value, error)`` as they are done, what is stored first; ``.result()`` gives the value or raises."""
        from ._map import Batch, completed

        inputs = list(inputs)
        return completed(Batch(self.runner, [(one,) for one in inputs], partial, executor, progress, chunk), inputs)

    def plan(self, calls: Iterable[Iterable[Any]], *, partial: Any = ((), {})) -> Plan:
        """What a batch would find: how many hit, miss, are stale or wait, and the seconds that computing would take.

        Each call is its positional arguments. Computes nothing, loads nothing.
        """
        from ._plan import plan

        return plan(self.runner, calls, partial)

    # ------------------------------------------------------------------------------------------- references

    def call_and_shelve(self, *args: Any, **kwargs: Any) -> Reference:
        """As the call, but gives a reference: ``.get()`` loads the result, ``.key`` and ``.head`` say what it is.

        It pickles small. As an argument of another persisted function it counts as its value, which is not loaded for it.
        """
        return self.found(args, kwargs) or self.shelved(args, kwargs, self.runner.wrapper(*args, **kwargs))

    def found(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reference | None:
        """The reference, where the result is there and its value need not be loaded."""
        from ._reference import known

        runner = self.runner
        state, call, opened, _ = self._call(args, kwargs)
        mode = settings.current(runner.name, runner.mode, runner.file).name
        if state is None or opened is None or mode == "refresh":
            return None
        reference = known(runner.cache(), opened, call, state.mark)
        head = reference.head if reference is not None else None
        if head is None or isinstance(runner.policy().fresh(head.stamp, head, call, runner.cache().clock()), Stale):
            return None
        runner.hit(call, Hit(head, None))
        return reference

    def shelved(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Reference:
        """The reference to what the call gave."""
        from ._reference import Reference, shelved

        cache = self.runner.cache()
        state, call, opened, _ = self._call(args, kwargs)
        if state is None or opened is None:
            return Reference(cache, call.function, "", b"", (value,))
        return shelved(cache, opened, call, value)

    # ----------------------------------------------------------------------------------------------- inside

    def _call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[State | None, Call, Opened | None, tuple[Any, ...]]:
        return self._keyed(args, kwargs)[:4]

    def _keyed(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[State | None, Call, Opened | None, tuple[Any, ...], bytes, bytes]:
        runner = self.runner
        values = runner.bind(*args, **kwargs)
        key = runner.encode(values)
        if len(key) > SHORT:
            key = shorten(key)
        off = settings.current(runner.name, runner.mode, runner.file).name == "off"
        opened = runner.cache().alive() if key and not off else None
        state = runner.valid() if opened is not None else None
        if state is None:
            return None, Call(runner.name, "", runner.counted, values), None, values, key, b""
        captures = state.all_captures()
        return state, runner.make_call(state, captures, key, values), opened, values, key, captures

    def _look(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hit | Miss:
        runner = self.runner
        state, call, opened, _ = self._call(args, kwargs)
        if state is None or opened is None:
            return Miss(call, "the cache is off, or can't be used")
        cache = runner.cache()
        return cache.lookup(call, state.mark, cache.clock(), runner.policy(), 0.0, None, b"")

    def _put(
        self, state: State, call: Call, opened: Opened, value: Any, seconds: float, token: Any, looked: Looked, why: str
    ) -> None:
        runner, policy = self.runner, self.runner.policy()
        stamp = policy.seal(token, value)
        if stamp is None:
            return
        try:
            opened.touch(call.scope)  # a flight under way sees that it is overtaken
            cache = runner.cache()
            if cache.store(call, value, seconds, state.mark, stamp, policy, None, b"", looked[0]) is not None:
                explain.remember(runner, opened, call, state, looked, why, True, cache.clock())
            opened.touch(call.scope)  # fronts look again
        except Exception as error:
            runner.cache().trouble("store", error, call=call)


def _given(value: Any) -> Any:
    return raise_again(value) if type(value) is Raised else value


class Method:
    """The persisted function in a class body. ``Class.f`` is the function, ``obj.f`` has the handles bound to ``obj``."""

    def __init__(self, wrapper: FunctionType, of_class: bool = False) -> None:
        self.wrapper, self._of_class = wrapper, of_class
        self.__doc__ = wrapper.__doc__

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if self._of_class:
            return Bound(self.wrapper, type(instance) if owner is None else owner)
        return self.wrapper if instance is None else Bound(self.wrapper, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # @property and @classmethod above @persist call it directly
        return self.wrapper(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapper, name)


class Bound(partial):  # type: ignore[type-arg]
    """``obj.f``: calls at the speed of C, and handles with ``obj`` filled in. Or a persisted partial, callable object."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__":  # asked for before __wrapped__, which knows no object
            from inspect import signature

            return signature(partial(self.func, *self.args, **self.keywords))
        attribute = getattr(self.func, name)
        if name in _BATCHES:
            return partial(attribute, partial=(self.args, self.keywords))
        own = _WITH_ARGUMENTS.get(name)
        if own is None:
            return self.args[0] if name == "__self__" and self.args else attribute
        if own == 0:
            return partial(attribute, *self.args, **self.keywords)
        return lambda first, /, *args, **kwargs: attribute(first, *self.args, *args, **{**self.keywords, **kwargs})

    def __repr__(self) -> str:
        filled = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.keywords.items())]
        return f"<persisted {self.func.__qualname__} with {', '.join(filled)}>"


def attach(runner: Runner, handle: type[Handle] = Handle) -> FunctionType:
    """The wrapper, dressed as its function and with the handles on it."""
    wrapper, function = runner.wrapper, runner.function
    wrapper.__module__, wrapper.__doc__ = function.__module__, function.__doc__
    wrapper.__name__, wrapper.__qualname__ = function.__name__, function.__qualname__
    # From 3.14 on annotations are not evaluated before somebody asks.
    for name in ("__annotate__" if hasattr(function, "__annotate__") else "__annotations__", "__type_params__"):
        if hasattr(function, name):
            setattr(wrapper, name, getattr(function, name))
    attributes = wrapper.__dict__
    attributes.update(function.__dict__)
    attributes["__wrapped__"] = function
    attributes.update(handle(runner).attributes())
    return wrapper


def runner_of(thing: Any) -> Runner | None:
    """The Runner behind a persisted function or method; None for anything else.

    Found in the closure, not by an attribute: functools.wraps copies attributes to what is not persisted.
    """
    if isinstance(thing, (Method, Bound)):
        thing = thing.wrapper if isinstance(thing, Method) else thing.func
    if isinstance(thing, MethodType):
        thing = thing.__func__
    if type(thing) is not FunctionType or not thing.__code__.co_filename.startswith("<memo wrapper"):
        return None
    for cell in thing.__closure__ or ():
        if isinstance(cell.cell_contents, Runner):
            return cell.cell_contents
    return None
