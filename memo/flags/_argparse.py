"""The flags for argparse: options that leave no trace in the namespace."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from ..errors import OptionError
from ._options import Flag, RefusedError, flags, take, untaken


def add_arguments(parser: ArgumentParser, prefix: str = "cache") -> None:
    """Add the group "cache" of options to a parser (or to one of its subcommands).

    ``--cache-clear`` clears the stored results of the functions that this program has persisted, each at its first
    call; ``--cache-refresh`` computes everything once again; ``--cache-function PATTERN`` restricts these two by full
    name; ``--no-cache`` calls through; ``--cache-readonly`` stores nothing; ``--cache-only`` raises `NotCachedError`
    instead of computing; ``--cache-dir DIR`` keeps results there where the code names no location; ``--cache-stats``
    says at exit on standard error what it saved.

    ``prefix="results"`` makes them ``--results-clear``, ``--no-results`` and so on. They hold for the process and its
    workers; `memo.settings.no_flags` undoes them. Raises `OptionError` if the parser has one of these options already.

    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> parser.parse_args([])
    Namespace()
    """
    if not isinstance(parser, ArgumentParser):
        raise OptionError(f"add_arguments() takes an argparse.ArgumentParser, not {type(parser).__name__}")
    wanted = untaken(flags(prefix), parser._option_string_actions, "the parser", "add_arguments(parser, prefix='memo')")
    group = parser.add_argument_group("cache")
    for flag in wanted:
        group.add_argument(
            flag.option, action=_Flag, flag=flag, nargs=None if flag.value else 0, metavar=flag.value, help=flag.help
        )


class _Flag(Action):
    def __init__(self, option_strings: Sequence[str], dest: str, flag: Flag, **rest: Any) -> None:
        super().__init__(option_strings, dest=SUPPRESS, default=SUPPRESS, **rest)
        self.flag = flag

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        global _run, _given
        if namespace is not _run:
            _run, _given = namespace, {}
        try:
            take(self.flag, values, _given)
        except RefusedError as refused:
            raise ArgumentError(self, str(refused))


# The namespace of the parser run that goes on, and the options given in it: option -> what it does.
_run: Namespace | None = None
_given: dict[str, str] = {}
