"""Why a function computed: the last misses with their causes, from what is stored; its code is never imported."""

from __future__ import annotations

from argparse import ArgumentTypeError
from time import time

from memo import _upkeep

from . import _filters
from ._output import Nothing, ago, as_json, escape
from ._places import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from memo.explain import Seen, Why
    from memo.protocols import Storage

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    parser = command("why", why, "why a function computed: its last misses, each with its cause and what changed")
    parser.add_argument("pattern", metavar="FUNCTION", help="a full name, or a pattern: * for any text")
    parser.add_argument(
        "-n", "--last", metavar="N", type=_count, default=5, help="how many of each function (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="for programs: seconds since the epoch")
    _filters.add_none(parser)


def why(arguments: Namespace) -> None:
    from memo.explain import misses

    now = time()
    location, storage, _ = opened(arguments)
    found = [
        (function, one, cause)
        for scope, function in _functions(storage, arguments.pattern)
        for one, cause in misses(storage, scope, function, arguments.last)
    ]
    if arguments.json:
        as_json([_told(function, one, cause) for function, one, cause in found])
    for at, (function, one, cause) in enumerate(found if not arguments.json else ()):
        print(("\n" if at else "") + escape(f"{_call(function, one)}, computed {ago(one.when, now)}"))
        for line in str(cause).splitlines():
            print(f"  {escape(line)}")
    if not found:
        if not _functions(storage, arguments.pattern):
            raise Nothing(_filters.nothing_found(arguments, location, storage))
        raise Nothing(f"no computation of {arguments.pattern} is remembered in {location}")


def _functions(storage: Storage, pattern: str) -> list[tuple[str, str]]:
    """(scope, full name); the end of a name will do where it is the only one that ends so."""
    found = _upkeep.functions(storage, pattern)
    if not found and "*" not in pattern:
        found = _upkeep.functions(storage, f"*.{pattern}")
    return sorted(found.items(), key=lambda item: item[1])


def _call(function: str, one: Seen) -> str:
    """The call as far as its arguments are known; what is inside them is in the causes."""
    shown = [f"{name}={one.shown.get(name, '...')}" for name in one.names]
    return f"{function}({', '.join(shown)})"


def _told(function: str, one: Seen, cause: Why) -> dict[str, object]:
    about = {"call": _call(function, one), "when": one.when, "version": one.version, "arguments": one.shown}
    return {**cause.as_dict(), **about}


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"N must be a number from 1 on; got {text!r}")
    return int(text)
