"""Cache flags for the user's own program: one line, and ``program --cache-clear`` works.

The decision: a flag takes effect in the moment in which it is parsed, through `settings.set_flags`. So there is nothing
for the user to read out of the namespace, and it works in subcommands and with ``parents=`` alike.
"""

from __future__ import annotations

import sys
from argparse import SUPPRESS, Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from . import settings
from .errors import OptionError, PlaceError

# Flags that decide for the whole run, so that no two of them, nor one with clear, refresh or a pattern, make sense.
_MODES = {"off": "neither reads nor writes the cache", "read-only": "stores nothing", "only-cached": "computes nothing"}


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
    if not isinstance(prefix, str) or not prefix.replace("-", "").isalnum() or prefix.startswith("-"):
        raise OptionError(f"prefix= is a word such as 'cache' or 'results', not {prefix!r}")
    options: list[tuple[str, dict[str, Any]]] = [
        (f"--{prefix}-clear", {"does": "clear", "help": "clear the stored results of this program first"}),
        (f"--{prefix}-refresh", {"does": "refresh", "help": "compute everything again, once, and store it"}),
        (
            f"--{prefix}-function",
            {"does": "function", "nargs": None, "metavar": "PATTERN", "help": "clear or refresh only these: 'model.*'"},
        ),
        (f"--no-{prefix}", {"does": "off", "help": "compute everything; neither use nor change stored results"}),
        (f"--{prefix}-readonly", {"does": "read-only", "help": "use stored results, store nothing"}),
        (f"--{prefix}-only", {"does": "only-cached", "help": "fail instead of computing what is not stored"}),
        (
            f"--{prefix}-dir",
            {"does": "dir", "nargs": None, "metavar": "DIR", "help": "keep stored results in this folder"},
        ),
        (f"--{prefix}-stats", {"does": "stats", "help": "say at the end what the stored results saved"}),
    ]
    taken = [option for option, _ in options if option in parser._option_string_actions]
    if taken:
        raise OptionError(
            f"the parser has {', '.join(taken)} already; add_arguments(parser, prefix='memo') gives memo's options"
            f" other names, here --memo-clear"
        )
    group = parser.add_argument_group("cache")
    for option, given in options:
        group.add_argument(option, action=_Flag, **given)


class _Flag(Action):
    """One option. It leaves no trace in the namespace: what it says is said to `settings`."""

    def __init__(self, option_strings: Sequence[str], dest: str, does: str, nargs: Any = 0, **rest: Any) -> None:
        super().__init__(option_strings, dest=SUPPRESS, default=SUPPRESS, nargs=nargs, **rest)
        self.does = does

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        self._check(namespace)
        if self.does == "clear":
            settings.set_flags(clear=True)
        elif self.does == "function":
            if not values.strip():
                raise ArgumentError(self, "expected a pattern of full function names, such as 'model.*'")
            settings.set_flags(functions=values.strip())
        elif self.does == "dir":
            settings.set_flags(location=self._place(values))
        elif self.does == "stats":
            _stats_at_exit()
        else:
            settings.set_flags(mode=self.does)

    def _check(self, namespace: Namespace) -> None:
        """Refuse what contradicts an option given before, in the same run of the parser."""
        global _run, _given
        if namespace is not _run:
            _run, _given = namespace, {}
        if self.does in ("dir", "stats"):
            return
        for other, does in _given.items():
            ruling = next((d for d in (self.does, does) if d in _MODES), None)
            if ruling and does != self.does:
                by = self.option_strings[0] if ruling == self.does else other
                raise ArgumentError(self, f"not allowed with {other}: {by} {_MODES[ruling]}")
        _given[self.option_strings[0]] = self.does

    def _place(self, location: str) -> str:
        from ._location import checked_location
        from ._place import absolute, is_url, read_marker, split_location

        if not location.strip():
            raise ArgumentError(self, "expected a folder")
        place = absolute(location)  # now: the program may change its working directory
        try:
            checked_location(place, None)
        except OptionError as error:
            raise ArgumentError(self, str(error))
        _, folder = split_location(place)
        if not is_url(folder):
            try:
                read_marker(folder)
            except PlaceError as error:
                raise ArgumentError(self, str(error))
            except OSError as error:
                raise ArgumentError(self, f"{place} can't be used: {error.strerror or error}")
        return place


# The namespace of the parser run that goes on, and the options given in it: option -> what it does.
_run: Namespace | None = None
_given: dict[str, str] = {}


# -------------------------------------------------------------------------------------------------------- stats

_registered = False


def _stats_at_exit() -> None:
    global _registered
    if not _registered:
        _registered = True
        import atexit

        atexit.register(_print_stats)


def _print_stats() -> None:
    if sys.stderr is None:  # print() would then choose standard output, which is the program's
        return
    from . import events

    lines = events.totals()
    whole = events.Totals(
        "all",
        sum(line.hits for line in lines),
        sum(line.misses for line in lines),
        sum(line.seconds_saved for line in lines),
    )
    said = [f"memo: {_told(whole)}"] + [f"memo:   {line.function}: {_told(line)}" for line in lines]
    try:
        print("\n".join(said), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # closed by the program, or by who read it
        pass


def _told(line: Any) -> str:
    return f"{line.hits:,} hits, {line.misses:,} misses, {line.seconds_saved:,.3g} s saved"
