"""Code versions and captures: what a function runs and reads, to any depth inside its project.

The version is made of code only and the captures of immutable data; what may change in place is fingerprinted at
every call, and only functions that have such captures pay for it. Functions and classes found inside values (arguments
or captures) go through ``code_of``. A value and the code that it holds may refer to each other: one session works off
every mutable name once, whoever reaches it, so that no cycle is walked twice.
"""

from __future__ import annotations

from _thread import _local
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from .._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._captured import Mutable
    from ._loaded import Sight
    from ._walk import Walk

_REPR = 200  #: characters of a captured constant kept for a person to read


class Followed(NamedTuple):
    """What ``follow`` found. ``check`` and ``mutable`` are called at every call, the rest describes."""

    version: str  #: 20 hex characters: code of the function and all project code it runs, distributions it uses
    captures: bytes  #: 20 bytes: immutable captured data; b"" when nothing is captured
    check: Callable[[], bool] | None  #: True while nothing that was followed has been rebound
    mutable: Callable[[], bytes] | None  #: fingerprint, now, of captures that may change in place
    follows: dict[str, list[str]]  #: "code", "data", "by type", "not followed", "packages" -> names
    texts: Callable[[], dict[str, str]]  #: name -> normalised source, or a short repr of a captured constant
    packages: dict[str, str]  #: distribution -> version, as far as it counts


def follow(
    function: Callable[..., Any],
    *,
    code: str = "follow",
    packages: str = "exact",
    version: object = None,
    ignore: Iterable[str] = (),
) -> Followed:
    """Follows a function through live values; some 0.1 ms for a small one, again after ``check`` said False.

    ``code``: "follow", "own" (the function's own code) or "off" (nothing but ``version``).
    ``packages``: "exact", "minor", "major" or "ignore". ``version`` is mixed in whatever ``code`` says. ``ignore`` names
    parameters whose defaults never count.
    """
    said = "" if version is None else f"{type(version).__name__}:{version}"
    if code == "off":
        return Followed(_hex("off", said), b"", None, None, {}, dict, {})
    from ._captured import unwrapped
    from ._walk import Walk

    if code == "own":
        return _own(unwrapped(function), said)
    from . import _source
    from ._project import shortened

    with _source.reading, _source.without_collector():
        walk = Walk(function, bound=True, ignore=tuple(ignore))
        _source.release()
    used: dict[str, str] = {}
    if packages != "ignore":
        used = {name: shortened(walk.packages[name], packages) for name in sorted(walk.packages)}
    counted = [f"{name} {number}" for name, number in used.items()]
    walk.follows["packages"].update(dict.fromkeys(f"{n} {v}" for n, v in sorted(walk.packages.items())))
    captures = _captures(walk)
    mutable = _usable(walk)
    return Followed(
        _hex("follow", said, *walk.tokens, "packages", *counted),
        captures,
        walk.watch.compiled(),
        _Mutable(mutable, walk.sights) if mutable or walk.sights else None,
        {key: list(names) for key, names in walk.follows.items()},
        _Texts(walk),
        used,
    )


def _own(function: Any, said: str) -> Followed:
    from . import _source
    from ._captured import is_immutable
    from ._check import Watch

    if type(function) is not FunctionType:
        return follow(function, code="follow", version=said or None)
    watch = Watch()
    watch.function(function)
    with _source.reading:
        found = _source.piece(function)
        _source.release()
    defaults: list[Any] = []
    if any(chain[0] == function.__name__ for chain in found.reads):  # it calls itself; else they are arguments
        defaults = [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
    plain = [d if is_immutable(d) else type(d).__qualname__ for d in defaults]
    shown = f"{function.__module__}.{function.__qualname__}"
    texts = _Texts(None, {shown: function})
    follows = {"code": [shown], "data": [], "by type": [], "not followed": [], "packages": []}
    digest = _fingerprint(tuple(plain), "defaults").hex() if plain else ""
    return Followed(_hex("own", said, found.digest.hex(), digest), b"", watch.compiled(), None, follows, texts, {})


def _hex(*tokens: str) -> str:
    from blake3 import blake3

    return blake3("\0".join(tokens).encode("utf-8", "surrogatepass")).hexdigest(10)


def _fingerprint(value: Any, path: str) -> bytes:
    from . import fingerprint

    return fingerprint(value, path)


def _captures(walk: Walk) -> bytes:
    """All immutable data in one fingerprint: it is canonical, and one value is cheaper than many."""
    return _fingerprint(tuple(walk.data), "captures") if walk.data else b""


# what may change in place


class _Session:
    """One look at mutable captures: every shared name once, and who is being looked at."""

    def __init__(self) -> None:
        self.todo: list[Mutable] = []
        self.seen: set[tuple[str, int]] = set()
        self.active: set[int] = set()
        self.done: dict[int, bytes] = {}
        self.sights: dict[Sight, None] = {}

    def add(self, mutable: Mutable) -> None:
        key = (mutable.label, id(mutable.value))
        if key not in self.seen:
            self.seen.add(key)
            self.todo.append(mutable)

    def finish(self) -> list[bytes]:
        """Fingerprints of the shared names, in the order of their labels; looking at one may add others."""
        found = self._own()
        todo = list(self.sights)
        for sight in todo:  # grows while it is read
            changed, inner = see(sight)
            found += changed
            todo += [other for other in inner if other not in self.sights]
            self.sights.update(inner)
        return sorted(set(found))

    def _own(self) -> list[bytes]:
        found = []
        for mutable in self.todo:  # grows while it is read
            found.append(mutable.label.encode("utf-8", "surrogatepass") + b"\0" + _encode(mutable))
        return sorted(found)

    def alone(self, mutable: Mutable) -> bytes:
        """One fingerprint, and of the names it shares, whatever has been seen of modules imported inside."""
        return b"\0".join([_encode(mutable), *self._own()])


_current = _local()


def see(sight: Sight) -> tuple[list[bytes], dict[Sight, None]]:
    """What a name of a module imported inside adds, and which others its value reads."""
    from ._loaded import at_loading, beside, is_data, since_first

    value = sight.value()
    if not is_data(value):
        changed, inner, then = since_first(sight, b"", value), dict.fromkeys(beside(sight)), []
    else:
        digest, inner = digest_of(value, sight)
        changed, then = since_first(sight, digest, value), at_loading(sight)
    return [changed, *then] if changed else then, inner


def digest_of(value: Any, sight: Sight) -> tuple[bytes, dict[Sight, None]]:
    """The fingerprint of what a name of a module holds, and what else is read through it."""
    from blake3 import blake3

    from ._captured import Mutable

    outer = getattr(_current, "session", None)
    session = _current.session = _Session()
    try:
        found = session.alone(Mutable(sight.shown, value, True, sight.shown))
    finally:
        _current.session = outer
    return blake3(found).digest(20), session.sights


def _encode(mutable: Mutable) -> bytes:
    from ..errors import UnkeyableError

    try:
        return _fingerprint(mutable.value, mutable.shown)
    except UnkeyableError:
        from ._parts import by_parts

        return by_parts(mutable.value, mutable.shown)


class _Mutable:
    """The fingerprint, now, of a function's mutable captures."""

    __slots__ = ("captured", "sights")

    def __init__(self, captured: list[Mutable], sights: list[Sight]) -> None:
        self.captured = captured
        self.sights = dict.fromkeys(sights)

    def __call__(self) -> bytes:
        from blake3 import blake3

        outer = getattr(_current, "session", None)
        session = _current.session = _Session()
        try:
            for mutable in self.captured:
                session.add(mutable)
            session.sights.update(self.sights)
            found = session.finish()
            return blake3(b"\0".join(found)).digest(20) if found else b""
        finally:
            _current.session = outer


def _usable(walk: Walk) -> list[Mutable]:
    """Without those that count by where they hang and their type only."""
    from ..errors import UnkeyableError

    found = []
    outer = getattr(_current, "session", None)
    _current.session = _Session()
    try:
        for mutable in walk.mutable:
            try:
                _fingerprint(mutable.value, mutable.shown)
            except UnkeyableError:
                from ._parts import unkeyable_parts

                whole, parts = unkeyable_parts(mutable.value, mutable.shown)
                walk.follows["by type"].update(dict.fromkeys(parts))
                if whole:
                    kind = type(mutable.value)
                    walk.tokens.append(f"{mutable.label} by type {kind.__module__}:{kind.__qualname__}")
                    continue
            walk.follows["data"][mutable.shown] = None
            found.append(mutable)
    finally:
        _current.session = outer
    return found


# code inside values

_known: dict[int, _Known] = {}
_passing: dict[int, _Known] = {}  #: lambdas and closures, which may hold large things: few of them


class _Known:
    """What was found for one function or class, as long as it is still so."""

    __slots__ = ("check", "mutable", "object", "sights", "static", "uses", "watch")

    def __init__(self, value: Any, walk: Walk) -> None:
        from blake3 import blake3

        self.object = value
        self.watch = walk.watch
        self.check: Callable[[], bool] | None = walk.watch.still
        self.mutable = walk.mutable
        self.sights = walk.sights
        self.static: bytes = blake3("\0".join(walk.tokens).encode("utf-8", "surrogatepass") + _captures(walk)).digest(
            20
        )
        self.uses = 0

    def is_valid(self) -> bool:
        self.uses += 1
        if self.uses == 20:
            self.check = self.watch.compiled()
        return self.check is None or self.check()


def code_of(obj: Any) -> bytes:
    """20 bytes for the code and captures of a function, method, class, partial or module found inside a value.

    The library's own (standard or installed) count by name; the project's by everything that they run and read.
    """
    known = _known.get(id(obj)) or _passing.get(id(obj))
    if known is not None and (known.object is not obj or not known.is_valid()):
        known = None
    if known is not None and not known.mutable and not known.sights:
        return known.static
    from blake3 import blake3

    if type(obj) is MethodType:
        parts = code_of(obj.__func__) + _fingerprint(obj.__self__, "self")
        return blake3(b"method" + parts).digest(20)
    if type(obj).__module__ == "functools" and type(obj).__name__ == "partial":
        parts = _fingerprint((obj.args, obj.keywords), "partial") + code_of(obj.func)
        return blake3(b"partial" + parts).digest(20)
    if known is None:
        known = _look_at(obj)
        if not known.mutable and not known.sights:
            return known.static
    outer: _Session | None = getattr(_current, "session", None)
    session = outer if outer is not None else _Session()
    _current.session = session
    try:
        session.sights.update(dict.fromkeys(known.sights))
        done = session.done.get(id(obj))
        if done is None:
            if id(obj) in session.active:
                return blake3(b"again" + known.static).digest(20)
            session.active.add(id(obj))
            own = [known.static]
            for mutable in known.mutable:
                if mutable.shared:
                    session.add(mutable)
                else:
                    own.append(mutable.label.encode("utf-8", "surrogatepass") + b"\0" + _encode(mutable))
            session.active.discard(id(obj))
            done = blake3(b"\0".join(own)).digest(20) if known.mutable else known.static
            session.done[id(obj)] = done
        if outer is None:
            found = session.finish()
            return blake3(b"\0".join([done, *found])).digest(20) if found or known.mutable else done
        return done
    finally:
        _current.session = outer


def _look_at(obj: Any) -> _Known:
    from . import _source
    from ._walk import Walk

    with _source.reading:
        walk = Walk(obj)
        _source.release()
        known = _Known(obj, walk)
        if isinstance(obj, (FunctionType, type, ModuleType)) or (
            type(obj) is BuiltinFunctionType and isinstance(obj.__self__, (ModuleType, type(None)))
        ):
            passing = "<" in getattr(obj, "__qualname__", "")
            kept, limit = (_passing, 64) if passing else (_known, 4_096)
            while len(kept) >= limit:
                kept.pop(next(iter(kept)), None)
            kept[id(obj)] = known
    return known


# for reports


class _Texts:
    """Sources and constants as text, made when asked for; a class because the walk is kept until then."""

    __slots__ = ("functions", "values")

    def __init__(self, walk: Walk | None, functions: dict[str, FunctionType] | None = None) -> None:
        self.functions = dict(functions or (walk.functions if walk else {}))
        self.values = [] if walk is None else [*walk.data, *((m.shown, m.value) for m in walk.mutable)]

    def __call__(self) -> dict[str, str]:
        from . import _source

        with _source.reading:
            texts = {name: _source.text_of(function.__code__) for name, function in self.functions.items()}
            _source.release()
        for name, value in self.values:
            try:
                text = repr(value)
            except Exception:
                text = f"<{type(value).__qualname__}>"
            texts[name] = text if len(text) <= _REPR else text[: _REPR - 1] + "…"
        return texts
