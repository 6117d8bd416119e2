"""The flags for click: options that are not passed to the command's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from ..errors import OptionError
from ._options import Flag, RefusedError, flags, take, untaken

F = TypeVar("F", bound=Callable[..., Any])

WAY_OUT = "@memo.flags.click_options(prefix='memo')"


@overload
def click_options(command: F, /) -> F: ...
@overload
def click_options(*, prefix: str = "cache") -> Callable[[F], F]: ...
def click_options(command: Any = None, /, *, prefix: str = "cache") -> Any:
    """``@memo.flags.click_options`` under ``@click.command()`` or ``@click.group()``, or above it: the same flags.

    They are those of `add_arguments`, in click's help and completion, and are not passed to the function. On a group
    they come before the subcommand. ``@click_options(prefix="results")`` names them ``--results-clear`` and so on.

    Raises `ImportError` without click, and `OptionError` if the command has one of these options already: at once, or
    at its first run where that option is only added later.
    """
    if command is None:
        return lambda command: click_options_of(command, prefix)
    return click_options_of(command, prefix)


def click_options_of(command: Any, prefix: str) -> Any:
    wanted = flags(prefix)
    try:
        import click
    except ImportError as error:
        raise ImportError("memo.flags.click_options needs click: pip install click") from error

    if isinstance(command, click.Command):
        params = command.params
    elif callable(command):
        params = getattr(command, "__click_params__", None) or []
        command.__click_params__ = params
    else:
        raise OptionError(f"click_options decorates a function or a click.Command, not {type(command).__name__}")
    untaken(wanted, options_of(params), "the command", WAY_OUT)
    made: list[click.Parameter] = [
        click.Option(
            [flag.option],
            is_flag=flag.value is None,
            metavar=flag.value,
            help=flag.help,
            expose_value=False,
            callback=callback(flag, click.BadParameter, WAY_OUT),
        )
        for flag in wanted
    ]
    # a function's are kept from the last line above `def` to the first, and shown the other way round
    params.extend(made if isinstance(command, click.Command) else reversed(made))
    return command


def options_of(params: Any) -> set[str]:
    return {option for param in params for option in (*param.opts, *param.secondary_opts)}


def callback(flag: Flag, refusal: Callable[..., Exception], way_out: str) -> Callable[[Any, Any, Any], None]:
    """What click calls for the option at every run, in the order in which options were given, the others last."""

    def given(ctx: Any, param: Any, value: Any) -> None:
        others = [other for other in ctx.command.params if other is not param]
        untaken([flag], options_of(others), "the command", way_out)
        if not (value or value == "") or ctx.resilient_parsing:  # the latter is completion of a line being typed
            return
        try:
            take(flag, value, ctx.meta.setdefault("memo.flags", {}))
        except RefusedError as refused:
            raise refusal(str(refused), ctx=ctx, param=param)

    return given
