"""@persist: validates the options, builds the parts, hands both to ``_kinds``.

The one place that knows the defaults. Whatever can't be right raises here, at decoration, in words for a stranger;
nothing is opened, read or created before the first call.
"""

from __future__ import annotations

from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping
    from datetime import datetime, timedelta
    from os import PathLike
    from typing import Any, ParamSpec, TypeVar, overload

    from ._cache import Cache
    from ._location import Default
    from ._reference import Reference
    from .model import Call, Head
    from .policies._depends import Dependency
    from .protocols import (
        AsyncPersisted,
        AsyncPersistedItems,
        Decorator,
        Persisted,
        Policy,
        Serializer,
        Storage,
    )

    P = ParamSpec("P")
    R = TypeVar("R")

    @overload
    def persist(function: Callable[P, Coroutine[Any, Any, R]], /, **options: Any) -> AsyncPersisted[P, R]: ...
    @overload
    def persist(
        function: Callable[P, AsyncGenerator[R, Any]], /, **options: Any
    ) -> AsyncPersistedItems[P, AsyncGenerator[R, Any]]: ...
    @overload
    def persist(
        function: Callable[P, AsyncIterator[R]], /, **options: Any
    ) -> AsyncPersistedItems[P, AsyncIterator[R]]: ...
    @overload
    def persist(function: Callable[P, R], /, **options: Any) -> Persisted[P, R]: ...
    @overload
    def persist(
        *,
        cache: Cache | None = None,
        location: str | PathLike[str] | Default | None = ...,
        storage: str | Storage | None = None,
        serializer: str | Serializer | None = None,
        name: str | None = None,
        version: str | float | None = None,
        code: str = "follow",
        packages: str = "exact",
        ignore: Iterable[str] = (),
        key: Callable[[Call], Any] | Mapping[str, Callable[[Any], Any]] | None = None,
        ttl: str | float | timedelta | datetime | Callable[[Any], Any] | None = None,
        idle_ttl: str | float | timedelta | None = None,
        validate: Callable[[Head], Any] | None = None,
        store_if: Callable[[Any], Any] | None = None,
        store_if_slower_than: str | float | timedelta | None = None,
        cache_exceptions: type[Exception] | Iterable[type[Exception]] | Mapping[type[Exception], Any] | None = None,
        depends: Iterable[str | PathLike[str] | Dependency | Callable[..., Any] | Reference] | None = None,
        tags: Iterable[str] | Callable[[Mapping[str, Any], Any], Iterable[str]] | None = None,
        stale_while_revalidate: str | float | timedelta | None = None,
        stale_if_error: str | float | timedelta | None = None,
        policy: Policy | None = None,
        mode: str | None = None,
        wait: str | float | timedelta | None = None,
    ) -> Decorator: ...
    def persist(function: Any = None, /, **options: Any) -> Any: ...

else:  # overloads cost importing typing; the implementation is all that runs

    def persist(function: Any = None, /, **options: Any) -> Any:
        """Store what a function returned, on disk, and give it back for equal arguments, in this run and all later ones.

        ``@persist``, ``@persist(...)`` or ``persist(f, ...)``, on functions, methods, class and static methods.

        Args:
            cache: the `Cache` to store into; or, instead, the shortcuts ``location``, ``storage``, ``serializer``.
            location: a folder, "kind:path" ("files:results") or a URL ("redis://host"); None switches caching off; default:
                the project's place, see ``memo where``.
            storage: "sqlite", "files", "shelve", "memory", or an object.
            serializer: "pickle", "json", "joblib", ... or an object.
            name: the function's name in the cache, instead of module and qualified name: keeps results over a rename.
            version: a text or number of your own; another one is another function.
            code: "follow" recomputes when the function or anything of the project that it runs or reads changes; "own" when
                its own code changes; "off" never: then ``version`` says so.
            packages: how much of the versions of the packages that it uses counts: "exact", "minor", "major", "ignore".
            ignore: names of parameters that do not count.
            key: what counts instead: a function of the call, or ``{"parameter": function of its value}``.
            ttl: how long a result is good: seconds, "90s", "1h30m", "7d" or a timedelta; a datetime, until which; or a function
                of the result that gives a duration, or None for ever.
            idle_ttl: results that nobody has used for so long are computed anew.
            validate: function of the entry's head (``created``, ``seconds``, ``size``), asked at every call.
            store_if: function of the result: whether it is stored.
            store_if_slower_than: only results that took so long are stored.
            cache_exceptions: classes of exceptions that are stored and raised again, or ``{class: ttl}``.
            depends: files, folders and patterns as paths, `Env`, `Package`, `Value`: when one changes, results are stale.
                Persisted functions: when a call of them that a result was made from gives another result; a single call by
                ``functools.partial``, what is stored of it by a reference. "auto" (experimental): the files that Python opens
                while it runs, and the persisted functions that it calls.
            tags: texts, or a function of (arguments, result) that gives them, for ``cache.clear(tag=)``.
            stale_while_revalidate: for so long after a result expired it is returned at once, while a new one is computed in
                the background.
            stale_if_error: for so long after a result expired it is returned when the function raises; the error is logged.
            policy: an object of ``memo.policies``, or your own.
            mode: "normal", "refresh", "read-only", "only-cached" or "off", for this function always.
            wait: how long to wait at most for another thread or process that computes the same call, before computing it
                too; default: as long as it shows life.

        Returns:
            the function, with `cache_info`, `refresh`, `delete`, ... on it; see the README's reference.

        Raises:
            OptionError: for options or functions that can't be right.
        """
        from ._kinds import decorate

        if function is None:
            settled = _settle(options)
            return lambda function: decorate(function, settled)
        if isinstance(function, (str, bytes)) or not (
            callable(function) or hasattr(function, "__func__") or isinstance(function, property)
        ):
            raise OptionError(
                f"@persist takes options by name, such as @persist(location={function!r}); got {function!r}"
            )
        return decorate(function, _settle(options))


def _settle(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a Runner from those of the user; OptionError for what can't be right."""
    from . import _contradictions, _freshness, policies, settings

    options = dict(given)

    def take(name: str, default: Any = None) -> Any:
        return options.pop(name, default)

    cache = _cache(take("cache"), {k: options.pop(k) for k in ("location", "storage", "serializer") if k in options})
    name, version = take("name"), take("version")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise OptionError(f"name must be a text, such as 'shop.total', not {name!r}")
    if version is not None and (isinstance(version, bool) or not isinstance(version, (str, int, float))):
        raise OptionError(f"version must be a text or a number, not {version!r}")
    code = _one_of("code", take("code", "follow"), ("follow", "own", "off"))
    packages = _one_of("packages", take("packages", "exact"), ("exact", "minor", "major", "ignore"))
    ignore = take("ignore", ())
    if isinstance(ignore, str):
        raise OptionError(f"ignore must be a list of parameter names: write ignore=[{ignore!r}]")
    try:
        ignore = tuple(ignore)
    except TypeError:
        raise OptionError(f"ignore must be a list of parameter names, not {ignore!r}") from None
    mode = take("mode")
    if mode is not None:
        settings.mode_named(mode)
    asked = {name: options.pop(name, None) for name in _freshness.OPTIONS}
    policy = _freshness.policy_of({name: value for name, value in asked.items() if value is not None})
    _contradictions.of_persist(given, cache)
    kept = asked["cache_exceptions"]
    from ._units import seconds

    late = {
        name: 0.0 if (window := take(name)) is None else seconds(window, name)
        for name in ("stale_while_revalidate", "stale_if_error")
    }
    wait = take("wait")
    if wait is not None:
        wait = seconds(wait, "wait")
    key = take("key")
    if key is not None and not callable(key):
        if not hasattr(key, "items") or not all(callable(each) for each in key.values()):
            raise OptionError(f"key must be a function of the call or {{'parameter': function}}, not {key!r}")
        key = dict(key)
    if options:
        from ._peers import unknown_option

        raise OptionError(unknown_option("persist", next(iter(options))))
    return {
        "cache": cache, "name": name, "version": None if version is None else str(version), "code": code,
        "packages": packages, "ignore": ignore, "key": key, "policy": policy, "mode": mode, "wait": wait,
        "stale_while_revalidate": late["stale_while_revalidate"], "stale_if_error": late["stale_if_error"],
        "exceptions": () if kept is None else policies.Exceptions(kept).types,
    }  # fmt: skip


def _cache(cache: Any, shortcuts: dict[str, Any]) -> Any:
    from ._cache import Cache
    from ._location import by_location

    if cache is None:
        return by_location(**shortcuts)
    if shortcuts:
        raise OptionError(f"give cache= or {next(iter(shortcuts))}=, not both: the cache has its own")
    if not isinstance(cache, Cache):
        raise OptionError(f"cache must be a memo.Cache, such as Cache({cache!r}); got {type(cache).__name__}")
    return cache


def _one_of(option: str, value: object, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise OptionError(f"{option} must be {', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}, not {value!r}")
    return value
