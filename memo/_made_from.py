"""Results as dependencies: ``@persist(depends=[load, partial(clean, 3), model.call_and_shelve(7)])``.

A persisted function that takes no arguments, one with all of them filled in, and a reference are each one result, which
can be asked for before there is anything to check. Of a function with arguments the calls are noted, see ``_touched``.
Results count by what a key would count of them, so that a recomputation with an equal result changes nothing.
"""

from __future__ import annotations

from functools import partial

from ._reference import Reference
from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .protocols import Policy


class Result:
    """What a call of a persisted function gives; computed where it is no longer good."""

    def __init__(
        self, function: Callable[..., Any], name: str, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        self.function, self.name, self.args, self.keywords = function, name, args, keywords

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.keywords.items())]
        return f"{self.name}({', '.join(given)})"

    def __str__(self) -> str:
        return f"the result of {self!r}"

    def state(self) -> bytes:
        from ._touched import encoding_of

        try:
            return encoding_of(self.function, *self.args, **self.keywords)
        except Exception as error:  # who depends on it finds out by calling it
            return f"raised {type(error).__qualname__}".encode()


class Entry:
    """What is stored under a reference's key, as it is: nothing is computed for it."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def __repr__(self) -> str:
        return repr(self.reference)

    def __str__(self) -> str:
        return f"the stored result of {self.reference.function} ({self.reference.key.rpartition('/')[2]})"

    def state(self) -> bytes:
        from ._touched import stored

        return stored(self.reference)


def depends(on: Any) -> Policy:
    """The policy of ``depends=``. Raises OptionError for what can't be depended on."""
    from . import _dependencies, policies

    if isinstance(on, str) and on == "auto":
        from ._touched import Touched

        return Touched(auto=True)
    if isinstance(on, Reference) or _runner(on) is not None:
        raise OptionError(f"depends must be a list: write depends=[{getattr(on, '__name__', on)}]")
    if isinstance(on, (str, bytes)) or not hasattr(on, "__iter__"):
        return _dependencies.depends(on)
    found: list[Any] = []
    called: list[Any] = []
    for one in on:
        if isinstance(one, Reference):
            found.append(Entry(one))
        elif _runner(one) is None:
            found.append(one)
        elif (result := _result(one)) is None:
            called.append(one)
        else:
            found.append(result)
    if not called:
        return _dependencies.depends(found)
    from ._touched import Touched

    return policies.all_of(*([_dependencies.depends(found)] if found else ()), Touched(*called))


def _result(one: Any) -> Result | None:
    """The one result that a persisted function with nothing left to give has; None for one that takes arguments."""
    runner: Any = _runner(one)
    if runner.kind != "function":
        raise OptionError(
            f"depends takes no {runner.kind} ({runner.name}): name what that depends on, or Value(a function of it)"
        )
    args, keywords = (one.args, one.keywords) if isinstance(one, partial) else ((), {})
    try:
        runner.bind(*args, **keywords)
    except TypeError:
        if not isinstance(one, partial):
            return None
        raise OptionError(
            f"depends takes {runner.name} with all of its arguments filled in, as in functools.partial, or with none"
        ) from None
    if not args and not keywords and runner.parameters.names:
        return None
    return Result(runner.wrapper, runner.name, args, keywords)


def _runner(one: Any) -> Any:
    from ._handle import runner_of

    return runner_of(one) or (runner_of(one.func) if isinstance(one, partial) else None)
