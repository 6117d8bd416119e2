"""Commands that take something away: clear. They show first, ask a person, and want ``--yes`` from a program."""

from __future__ import annotations

import sys
from time import time

from memo import _upkeep
from memo._units import show_bytes
from memo.errors import OptionError

from . import _filters
from ._output import Nothing, counted, escape
from ._places import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from memo._upkeep import Cleared

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    parser = command("clear", clear, "forget stored results: of all functions, or what PATTERN, age and size select")
    _filters.add(parser)
    parser.add_argument("-n", "--dry-run", action="store_true", help="show what would go, and leave it")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask; needed where nobody can answer")


def clear(arguments: Namespace) -> None:
    location, storage, _ = opened(arguments)

    def run(dry_run: bool) -> Cleared:
        return _upkeep.clear(
            storage,
            functions=arguments.pattern,
            tag=arguments.tag,
            older_than=arguments.older_than,
            larger_than=arguments.larger_than,
            now=time(),
            dry_run=dry_run,
        )

    if arguments.dry_run or not arguments.yes:
        planned = run(dry_run=True)
        if not planned.entries and not planned.dead:
            raise Nothing(_filters.nothing_found(arguments, location, storage))
        if arguments.dry_run:
            print(f"would clear {_told(planned)} from {location}")
            _list(planned)
            return
        _confirm(f"clear {_told(planned)} from {location}?")
    done = run(dry_run=False)
    if not done.entries and not done.dead:
        raise Nothing(_filters.nothing_found(arguments, location, storage))
    print(f"cleared {_told(done)} from {location}")
    _list(done)


def _told(cleared: Cleared) -> str:
    if not cleared.entries:
        return counted(cleared.dead, "entry that was cleared before", "entries that were cleared before")
    entries = counted(cleared.entries, "entry", "entries")
    functions = counted(len(cleared.functions), "function", "functions")
    return f"{entries} of {functions} ({show_bytes(cleared.bytes)})"


def _list(cleared: Cleared) -> None:
    for name in cleared.functions:
        print(f"  {escape(name)}")


def _confirm(question: str) -> None:
    """Ask a person; no answer is no."""
    if not sys.stdin.isatty():
        raise OptionError(f"{question} Nobody can be asked here: say --yes to do it, --dry-run to see what would go")
    # the question goes where errors go: standard output may be a file
    print(f"{escape(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Nothing("left as it was")
