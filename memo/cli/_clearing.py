"""Commands that take something away: clear, prune, compact. They show first, ask a person, and want ``--yes`` from a program."""

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
    forget = command("clear", clear, "forget stored results: all, or what the filters select")
    _filters.add_pattern(forget)
    old = command("prune", prune, "take off what nobody is served any more: expired, made by old code, cleared before")
    _filters.add_pattern(old)
    for parser in (forget, old):
        _filters.add(parser)
        parser.add_argument("-n", "--dry-run", action="store_true", help="show what would go, and leave it")
        parser.add_argument("-y", "--yes", action="store_true", help="do not ask; needed where nobody can answer")
    small = command("compact", compact, "give the room of what was removed back to the disk; nothing is lost")
    small.add_argument("-n", "--dry-run", action="store_true", help="show what the place takes, and leave it")


def compact(arguments: Namespace) -> None:
    from memo._place import split_location

    from ._places import located
    from ._where import on_disk

    location, storage, _ = opened(arguments)
    own = getattr(storage, "compact", None)
    if own is None:
        raise Nothing(f"{location} has no room to give back: its storage frees it by itself")
    folder = split_location(located(arguments)[0])[1]
    before = on_disk(folder)
    taken = "" if before is None else f", which takes {show_bytes(before)}"
    if arguments.dry_run:
        print(f"would compact {location}{taken}")
        return
    own()
    after = on_disk(folder)
    print(f"compacted {location}{taken if after is None else f': {show_bytes(before or 0)} -> {show_bytes(after)}'}")


def clear(arguments: Namespace) -> None:
    location, storage, _ = opened(arguments)

    def run(dry_run: bool) -> Cleared:
        return _upkeep.clear(
            storage,
            functions=_filters.pattern(arguments),
            tag=arguments.tag,
            older_than=arguments.older_than,
            larger_than=arguments.larger_than,
            expired=arguments.expired,
            stale_code=arguments.stale_code,
            where=_filters.chosen(arguments, time(), storage).where,
            now=time(),
            dry_run=dry_run,
        )

    _take_away(arguments, "clear", location, run, lambda: _filters.nothing_found(arguments, location, storage))


def prune(arguments: Namespace) -> None:
    location, storage, _ = opened(arguments)

    def run(dry_run: bool) -> Cleared:
        now = time()
        return _upkeep.prune(storage, filters=_filters.chosen(arguments, now, storage), now=now, dry_run=dry_run)

    _take_away(arguments, "prune", location, run, lambda: f"nothing to prune in {location}: all that is there is good")


def _take_away(
    arguments: Namespace, verb: str, location: str, run: Callable[[bool], Cleared], nothing: Callable[[], str]
) -> None:
    """First what would go, then the question, then the deed."""
    done = {"clear": "cleared", "prune": "pruned"}[verb]
    if arguments.dry_run or not arguments.yes:
        planned = run(True)
        if not planned.entries and not planned.dead:
            raise Nothing(nothing())
        if arguments.dry_run:
            print(f"would {verb} {_told(planned)} from {location}")
            _list(planned)
            return
        confirm(f"{verb} {_told(planned)} from {location}?")
    gone = run(False)
    if not gone.entries and not gone.dead:
        raise Nothing(nothing())
    print(f"{done} {_told(gone)} from {location}")
    _list(gone)


def _told(cleared: Cleared) -> str:
    if not cleared.entries:
        return counted(cleared.dead, "entry that was cleared before", "entries that were cleared before")
    entries = counted(cleared.entries, "entry", "entries")
    functions = counted(len(cleared.functions), "function", "functions")
    return f"{entries} of {functions} ({show_bytes(cleared.bytes)})"


def _list(cleared: Cleared) -> None:
    for name in cleared.functions:
        print(f"  {escape(name)}")


def confirm(question: str) -> None:
    """Ask a person; no answer is no."""
    if not sys.stdin.isatty():
        raise OptionError(f"{question} Nobody can be asked here: say --yes to do it, --dry-run to see what would go")
    # the question goes where errors go: standard output may be a file
    print(f"{escape(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Nothing("left as it was")
