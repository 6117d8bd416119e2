"""What a run touches, noted while it runs and checked at every later hit: calls of other persisted functions, and files.

A function that is made from results of another can't say beforehand which. So while it computes, its calls of that other
(in its own thread or task) go the long way, and are noted with a digest of what they gave. At a hit each is made again,
which costs a hit, or a computation where it is no longer good; if that gives an equal result all is as it was (early
cut-off). A call whose arguments can't be written down is looked up by its key instead.

``depends="auto"`` notes the files that it opens as well (see ``_opens``), and all persisted functions that it calls, since
a hit of one of them opens nothing.
"""

from __future__ import annotations

import json
import os
from contextvars import ContextVar

from . import _reference, events, settings
from .errors import UnkeyableError
from .model import Call, Fresh, Hit, Stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._cache import Cache
    from ._opened import Opened
    from ._reference import Reference
    from ._run import Runner
    from .model import Head
    from .protocols import Policy

_TAG = b"touched:"
_LARGEST = 60_000  #: bytes of a stamp, so that it fits into a head
_PLAIN = frozenset((int, str, float, bool, type(None)))  #: what JSON gives back as it was
_COROUTINE = 0x80

#: the runs around the running code that are noted, outermost first
TRACES: ContextVar[tuple[Trace, ...]] = ContextVar("memo_traces", default=())


class Trace:
    """One run. ``broken`` says why its result can't be kept: something that it was made from can't be checked later."""

    def __init__(self, names: frozenset[str] | None) -> None:
        self.names = names  #: of the functions whose calls are noted; None: of all, and the files that are opened
        self.calls: dict[str, list[Any]] = {}  #: by what was called: [function, arguments or key, digest]
        self.files: dict[str, str] = {}  #: digests by path
        self._wrote: set[str] = set()
        self._folder = os.getcwd()
        self.broken = ""

    def wants(self, runner: Runner) -> bool:
        if self.names is not None:
            return runner.name in self.names
        return runner.kind == "function"

    def opened(self, path: str, wrote: bool) -> None:
        """A file is being opened. A relative path stays one: another run may have another folder to begin from."""
        whole = os.path.abspath(path)
        if wrote:
            self._wrote.add(whole)
            return
        if whole in self._wrote:
            return
        name = path if os.getcwd() == self._folder else whole
        digest = _file(name)
        if self.files.setdefault(name, digest) != digest:
            self.broken = f"{name} changed while it ran"

    def read(self) -> dict[str, str]:
        """The files that count, and are what they were when they were opened."""
        from ._opens import is_pythons_own

        read = {path: digest for path, digest in self.files.items() if not is_pythons_own(path)}
        for path, digest in read.items():
            if os.path.abspath(path) not in self._wrote and _file(path) != digest:
                self.broken = f"{path} changed while it ran"
        return read

    def called(self, runner: Runner, values: tuple[Any, ...], value: Any) -> None:
        try:
            digest = _digest(_encoding(value))
        except UnkeyableError as error:
            self.broken = f"{runner.name} gave what can't be compared: {error.path} is a {error.kind}"
            return
        arguments: Any = list(values)
        if not all(type(one) in _PLAIN for one in arguments):
            state = runner.valid()
            call = None if state is None else runner.call_of(state, values)[0]
            arguments = "" if call is None else call.key
            if not arguments or _kept(runner, arguments) != digest:
                self.broken = f"a result of {runner.name} was not kept"
                return
        try:
            name = json.dumps([runner.name, arguments])
        except ValueError:  # a number of thousands of digits
            self.broken = f"an argument of {runner.name} can't be written down"
            return
        if self.calls.setdefault(name, [runner.name, arguments, digest])[2] != digest:
            self.broken = f"{runner.name} gave different results for equal arguments while it ran"


class Touched:
    """Good while the calls of ``functions`` (persisted, with arguments) that it was made from give equal results.

    ``auto``: of all functions, and while the files that it opened hold what they held.
    """

    def __init__(self, *functions: Any, auto: bool = False) -> None:
        self.functions, self.auto = functions, auto

    def __repr__(self) -> str:
        return f"Touched({'auto' if self.auto else ', '.join(runner.name for runner in self._runners())})"

    def begin(self, call: Call, /) -> Trace:
        if not self.auto:
            return Trace(frozenset(runner.name for runner in self._runners()))
        from . import _opens

        _opens.listen()
        _warn(call.function)
        return Trace(None)

    def around(self, token: Trace, function: Any, /) -> Any:
        """The function, so that what it touches while it runs is noted in ``token``."""

        def traced(*args: Any, **kwargs: Any) -> Any:
            outer = _begun(token)
            try:
                return function(*args, **kwargs)
            finally:
                _ended(token, outer)

        async def traced_task(*args: Any, **kwargs: Any) -> Any:
            outer = _begun(token)
            try:
                return await function(*args, **kwargs)
            finally:
                _ended(token, outer)

        return traced_task if function.__code__.co_flags & _COROUTINE else traced

    def seal(self, token: Trace, outcome: Any, /) -> bytes | None:
        noted = [list(token.calls.values()), token.read()] if self.auto else list(token.calls.values())
        stamp = _TAG + json.dumps(noted, separators=(",", ":")).encode()
        if len(stamp) > _LARGEST:
            more = f" and {len(token.files):,} files" if self.auto else ""
            token.broken = f"it was made from {len(token.calls):,} results{more}, more than can be noted"
        return None if token.broken else stamp

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        from .policies import misplaced

        noted = json.loads(stamp[len(_TAG) :]) if stamp.startswith(_TAG) else None
        if noted is None or (bool(noted) and isinstance(noted[-1], dict)) is not self.auto:
            return Stale("stored with other dependencies")
        calls, files = noted if self.auto else (noted, {})
        outer = TRACES.set(())
        try:
            for path, digest in files.items():
                if _file(path) != digest:
                    return Stale(f"{path} changed")
            for name, arguments, digest in calls:
                runner = next((one for one in self._runners() if one.name == name), None)
                if runner is None:
                    return Stale(
                        f"it was made from a result of {name}, which {'is not there' if self.auto else 'it no longer depends on'}"
                    )
                if (why := _changed(runner, arguments, digest)) is not None:
                    return Stale(why)
        finally:
            TRACES.reset(outer)
        return misplaced(head, now) or Fresh(0.0)

    def rank(self, head: Head, uses: int, /) -> float:
        from .policies import lru

        return lru(head, uses)

    def _runners(self) -> list[Runner]:
        if self.auto:
            from ._run import living

            return living()
        from ._handle import runner_of

        return [runner for one in self.functions if (runner := runner_of(one)) is not None]


def called(runner: Runner, key: bytes, values: tuple[Any, ...]) -> tuple[Any] | None:
    """Makes a call that one of the runs around it wants noted, and notes it; None where none does.

    What that call itself touches is its own business: the same whether it is a hit or not.
    """
    traces = TRACES.get()
    wanted = [trace for trace in traces if trace.wants(runner)]
    if not wanted:
        return None
    outer = TRACES.set(tuple(trace for trace in traces if trace not in wanted))
    try:
        value = runner.run(key, values, None)
        for trace in wanted:
            trace.called(runner, values, value)
    except BaseException:
        for trace in wanted:
            trace.broken = f"{runner.name} raised"
        raise
    finally:
        TRACES.reset(outer)
    return (value,)


def told(function: str, token: Any) -> None:
    """One warning for a function whose result can't be kept because of what it was made from."""
    if isinstance(token, list):
        for one in token:
            told(function, one)
    elif type(token) is Trace and token.broken:
        events.warn_once(f"{function}:touched", f"a result of {function} was returned, not stored: {token.broken}")


def _warn(name: str) -> None:
    """What can't be seen of a function, once."""
    from . import _unseen
    from ._run import living

    for runner in living():
        if runner.name == name and runner.state.followed is not None:
            functions = getattr(runner.state.followed.texts, "functions", {})
            if found := _unseen.unseen([runner.function, *functions.values()]):
                events.warn_once(f"{name}:auto", _unseen.text(name, found))


def encoding_of(persisted: Callable[..., Any], *args: Any, **kwargs: Any) -> bytes:
    """What a call of a persisted function counts as in a key. Computes it where it is no longer good; loads it once."""
    from ._handle import runner_of

    runner: Any = runner_of(persisted)
    return _referred(runner.wrapper.call_and_shelve(*args, **kwargs))


def _changed(runner: Runner, arguments: Any, digest: str) -> str | None:
    """Why a result that was noted is not what the same call gives now; None where it is equal."""
    try:
        if isinstance(arguments, str):
            now = _kept(runner, arguments)
            if now is None:
                return f"a result of {runner.name} that it was made from is gone, or no longer good"
        else:
            now = _digest(_referred(runner.invoke(runner.wrapper.call_and_shelve, tuple(arguments))))  # type: ignore[attr-defined]
    except Exception as error:
        return f"{runner.name}, from which it was made, raised {type(error).__name__}: {error}"
    return None if now == digest else f"a result of {runner.name} that it was made from changed"


def _kept(runner: Runner, key: str) -> str | None:
    """The digest of the result that is stored under a key, where that is good."""
    opened, state = runner.cache().ready(), runner.valid()
    if opened is None or state is None or not key.startswith(state.prefix):
        return None
    found = _there(runner.cache(), opened, Call(runner.name, key, (), ()), state.mark, runner.policy())
    return None if found is None else _digest(found)


def stored(reference: Reference) -> bytes:
    """What lies under a reference's key now, as a key would count it."""
    from .policies import Forever

    cache = reference.cache
    opened = cache.ready() if reference.key else None
    if opened is None:
        return b"absent"
    call = Call(reference.function, reference.key, (), ())
    found = _there(cache, opened, call, opened.words.word(call.scope), Forever())
    return b"absent" if found is None else b"=" + found


def _there(cache: Cache, opened: Opened, call: Call, mark: int, policy: Policy) -> bytes | None:
    """The encoding of what is stored, from beside it where it was made before."""
    known = _reference.known(cache, opened, call, mark)
    head = None if known is None else known.head
    now = cache.clock()
    if known is not None and head is not None:
        return _referred(known) if isinstance(policy.fresh(head.stamp, head, call, now), Fresh) else None
    outcome = cache.lookup(call, mark, now, policy, 0.0, None, b"")
    return _referred(_reference.shelved(cache, opened, call, outcome.value)) if isinstance(outcome, Hit) else None


def _referred(reference: Any) -> bytes:
    if reference.plain:
        return _encoding(reference.plain[0])
    return reference.encoding or _encoding(reference.get())


def _encoding(value: Any) -> bytes:
    from .fingerprint import encoding

    return encoding(value)


def _file(path: str) -> str:
    from ._dependencies import content

    return _digest(content(path))


def _digest(encoded: bytes) -> str:
    from blake3 import blake3

    return blake3(encoded).hexdigest(12)


def _begun(trace: Trace) -> Any:
    settings.ACTIVE.append(trace)  # the wrappers of those others ask no front by themselves
    return TRACES.set((*TRACES.get(), trace))


def _ended(trace: Trace, outer: Any) -> None:
    settings.ACTIVE.remove(trace)
    TRACES.reset(outer)
