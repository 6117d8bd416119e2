"""The flags for typer, which reads a command's options off the signature of its function.

The decision: the function that typer gets shows the flags in its signature and drops them when it is called. That is
typer's documented face; what it is built on (click, or its own copy of it since 0.20) is not touched.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints, overload

from ..errors import OptionError
from ._click import callback
from ._options import Flag, flags

P = ParamSpec("P")
R = TypeVar("R")

WAY_OUT = "@memo.flags.typer_options(prefix='memo')"


@overload
def typer_options(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def typer_options(*, prefix: str = "cache") -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def typer_options(function: Any = None, /, *, prefix: str = "cache") -> Any:
    """``@memo.flags.typer_options`` under ``@app.command()`` or ``@app.callback()``, or on what `typer.run` runs.

    The flags of `add_arguments`, in a panel "Cache" of typer's help. The function is called as it was written, without
    them. ``@typer_options(prefix="results")`` names them ``--results-clear`` and so on.

    Raises `ImportError` without typer, and `OptionError` for what is no function; at the first run, if the command has
    one of these options already.
    """
    if function is None:
        return lambda function: _with_flags(function, flags(prefix))
    return _with_flags(function, flags(prefix))


def _with_flags(function: Any, wanted: list[Flag]) -> Any:
    try:
        import typer
    except ImportError as error:
        raise ImportError("memo.flags.typer_options needs typer: pip install typer") from error

    if not callable(function):
        raise OptionError(f"typer_options decorates a function, not {type(function).__name__}")

    shown: dict[str, Any] = {}
    for flag in wanted:
        annotation: Any = bool if flag.value is None else str | None
        option = typer.Option(
            flag.option,
            metavar=flag.value,
            help=flag.help,
            show_default=False,
            rich_help_panel="Cache",
            callback=_typed(flag, typer),
        )
        shown["memo_" + flag.option.strip("-").replace("-", "_")] = Annotated[annotation, option]

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        for name in shown:
            kwargs.pop(name, None)
        return function(*args, **kwargs)

    hints = get_type_hints(function, include_extras=True)
    own = inspect.signature(function)
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=None if annotation.__origin__ is not bool else False,
        )
        for name, annotation in shown.items()
    ]
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in own.parameters.items()
    ]
    command.__signature__ = own.replace(parameters=[*parameters, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {**hints, **shown}
    return command


def _typed(flag: Flag, typer: Any) -> Callable[..., None]:
    """The callback, annotated as typer wants to find context, option and value."""
    given = callback(flag, typer.BadParameter, WAY_OUT)

    def typed(ctx: Any, param: Any, value: Any) -> None:
        given(ctx, param, value)

    typed.__annotations__ = {"ctx": typer.Context, "param": typer.CallbackParam, "value": Any}
    return typed
