"""What a decorated thing becomes: every kind of callable, or an OptionError at decoration that says why not.

The decision: only Python functions are persisted. A method, a partial or a callable object is its function with the first
arguments filled in; a function written in C is called by a Python one, and needs ``version=``, since its code can't be
seen.
"""

from __future__ import annotations

from functools import cached_property, partial
from types import FunctionType, MethodType

from . import _handle
from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # flags of code objects


def decorate(function: Any, settled: dict[str, Any]) -> Any:
    """The persisted function, or what stands for it. Raises OptionError for what can't be persisted."""
    if isinstance(function, staticmethod):
        return staticmethod(decorate(function.__func__, settled))
    if isinstance(function, property):
        if function.fget is None:
            raise OptionError("this property has no getter to persist")
        return property(decorate(function.fget, settled), function.fset, function.fdel, function.__doc__)
    if isinstance(function, cached_property):
        return cached_property(decorate(function.func, settled))
    if isinstance(function, classmethod):
        return _handle.Method(_wrap(function.__func__, settled), of_class=True)
    if isinstance(function, partial):
        persisted = decorate(function.func, settled)
        return _handle.Bound(persisted, *function.args, **function.keywords)
    if isinstance(function, (FunctionType, MethodType, type)):
        wrapper = _wrap(function, settled)
        return _handle.Method(wrapper) if _in_class_body(wrapper) else wrapper
    return _object(function, settled)


def _object(thing: Any, settled: dict[str, Any]) -> Any:
    """A callable object: the function that its class calls, with the object as first argument, so that it counts."""
    call = next((vars(cls)["__call__"] for cls in type(thing).__mro__ if "__call__" in vars(cls)), None)
    if isinstance(call, (FunctionType, _handle.Method)):
        return _handle.Bound(_wrap(call, settled), thing)
    if type(thing).__name__ == "_lru_cache_wrapper":  # which adds nothing to ours
        return decorate(thing.__wrapped__, settled)
    if settled["version"] is None:
        name = _name(thing)
        raise OptionError(
            f"{name} is a {type(thing).__name__}, whose code memo can't see: say with version= which one it is, such as"
            f" persist({name}, version=1), and change it when its results change; or wrap it in a function of your own"
        )
    return _handle.Bound(_wrap(_named(lambda thing, /, *args, **kwargs: thing(*args, **kwargs), thing), settled), thing)


def _named(function: Any, thing: Any) -> Any:
    name = _name(thing)
    function.__name__, function.__qualname__, function.__doc__ = name.rpartition(".")[2], name, thing.__doc__
    function.__module__ = getattr(thing, "__module__", None) or type(thing).__module__
    return function


def _name(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__qualname__
    return str(name)


def _in_class_body(function: FunctionType) -> bool:
    """Whether the decorator runs in the body of the class that the function's qualified name says."""
    from sys import _getframe

    owner = function.__qualname__.rpartition(".")[0]
    if not owner or owner.endswith("<locals>"):
        return False
    frame = _getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "memo":
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None and frame.f_locals.get("__qualname__") == owner


def _wrap(function: Any, settled: dict[str, Any]) -> FunctionType:
    from ._options import Options
    from ._run import Runner

    _can_be_persisted(function)
    options = Options(**settled)
    _fits(function, options)
    _marked(function, options)
    flags = function.__code__.co_flags
    runner: type[Runner] = Runner
    handle = _handle.Handle
    if flags & _ASYNC_GENERATOR:
        from ._recording_async import AsyncGeneratorHandle as handle
        from ._recording_async import AsyncGeneratorRunner as runner
    elif flags & _COROUTINE:
        from ._async import AsyncHandle as handle
        from ._async import AsyncRunner as runner
    elif flags & _GENERATOR:
        from ._recording import GeneratorHandle as handle
        from ._recording import GeneratorRunner as runner
    return _handle.attach(runner(function, options), handle)


def _marked(function: FunctionType, options: Any) -> None:
    """NoHash[T] and HashBy[fn] on parameters act as ignore= and key= do, which win where both speak."""
    import sys

    annotations = function.__annotations__
    if not annotations or callable(options.key):
        return
    if "memo.fingerprint._hooks" not in sys.modules and not any(map(_may_name_a_mark, annotations.values())):
        return  # nobody has a mark to annotate with
    from .fingerprint import NoHash, marks

    given = options.key or {}
    found = {
        n: m for n, m in marks(annotations, function.__globals__).items() if n not in given and n not in options.ignore
    }
    options.ignore += tuple(name for name, mark in found.items() if mark is NoHash)
    by = {name: mark for name, mark in found.items() if mark is not NoHash}
    if by:
        options.key = {**given, **by}


def _may_name_a_mark(annotation: object) -> bool:
    """Whether it is text (as all are under ``from __future__ import annotations``) that is yet to load the marks."""
    return isinstance(annotation, str) and ("HashBy" in annotation or "NoHash" in annotation)


def _can_be_persisted(function: Any) -> None:
    """OptionError for what this memo can't persist, and why."""
    name = getattr(function, "__qualname__", None) or repr(function)
    if isinstance(function, type):
        raise OptionError(f"{name} is a class: persist a function that makes its instances, or its methods")
    if isinstance(function, MethodType):
        raise OptionError(f"{name} is a method already bound to an object: decorate it in the class body")
    if _handle.runner_of(function) is not None:
        raise OptionError(f"{name} is persisted already: one @persist is enough")


def _fits(function: FunctionType, options: Any) -> None:
    """OptionError for options that do not fit this function."""
    from . import _contradictions
    from ._wrapper import Parameters, passes_on

    names = Parameters(function.__code__).names
    if (inner := passes_on(function)) is not None:
        names += Parameters(inner.__code__).names
    for option, wanted in (("ignore", options.ignore), ("key", options.key if isinstance(options.key, dict) else ())):
        for parameter in wanted:
            if parameter not in names:
                raise OptionError(
                    f"{option} names {parameter!r}, which {function.__qualname__}() does not take:"
                    f" its parameters are {', '.join(names) or 'none'}"
                )
    both = set(options.key) & set(options.ignore) if isinstance(options.key, dict) else set()
    if both:
        raise OptionError(f"{sorted(both)[0]!r} is in ignore= and in key=: choose one")
    if callable(options.key) and options.ignore:
        raise OptionError(
            "key= as a function of the call and ignore= exclude each other: the function decides what counts"
        )
    if function.__code__.co_flags & (_GENERATOR | _ASYNC_GENERATOR):
        if options.exceptions:
            raise OptionError(
                f"cache_exceptions is not for generators: what {function.__qualname__}() yields before it raises was handed"
                f" on already, and only what has come to its end is stored"
            )
        _contradictions.of_generator(function.__qualname__, options.policy)
        if getattr(options.policy, "around", None) is not None:
            raise OptionError(
                f"depends='auto', or on calls of another function, is not for generators, as {function.__qualname__}() is:"
                f" others run between its items; name files, or single results such as functools.partial(load, 3)"
            )
    if options.code == "off" and options.version is None:
        raise OptionError('code="off" needs version=: say which version this is, and change it when results change')
