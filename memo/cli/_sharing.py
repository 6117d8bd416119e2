"""Commands that copy results from place to place: export, import, merge, push, pull."""

from __future__ import annotations

import sys
from time import time

from . import _filters
from ._output import Nothing, Progress, as_json, counted, escape, say
from ._places import absent, located, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from memo._opened import Opened
    from memo.sharing import Copied

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    leaving = command("export", export, "put results into one file, to be sent along, imported, or read in place")
    leaving.add_argument(
        "file", metavar="FILE", help='a name that ends in ".memo"; an export that is there is replaced'
    )
    coming = command("import", import_, "take over the results of a file, unless newer ones are here")
    coming.add_argument("file", metavar="FILE", help="what memo export made")
    giving = command("push", push, "give another place what it lacks; it is made if it is not there")
    taking = command("pull", pull, "take from another place what is lacking here")
    for parser in (giving, taking):
        parser.add_argument("place", metavar="PLACE", help="a folder, kind:path or URL")
    union = command("merge", merge, "take from several places or files what is lacking here: the newest of each result")
    union.add_argument("places", metavar="PLACE", nargs="+", help="a folder, kind:path, URL, or what memo export made")
    for parser in (leaving, coming, union, giving, taking):
        _filters.add(parser)
        parser.add_argument("-n", "--dry-run", action="store_true", help="show what would be copied, and copy nothing")
        parser.add_argument("--json", action="store_true", help="for programs: what was copied")
    for parser in (coming, union, taking):
        parser.add_argument(
            "--trust", action="store_true", help="also take unsigned pickles, which run code when they are loaded"
        )


def export(arguments: Namespace) -> None:
    from memo import sharing

    location, storage, _ = opened(arguments)
    filters = _filters.chosen(arguments, time(), storage)
    progress = Progress()
    try:
        copied = sharing.export(
            storage, arguments.file, filters, keys=sharing.known_keys(), dry_run=arguments.dry_run, progress=progress
        )
    finally:
        progress.end()
    if not copied.entries:
        raise Nothing(_filters.nothing_found(arguments, location, storage))
    _tell(arguments, "exported", [(arguments.file, copied)])


def push(arguments: Namespace) -> None:
    from memo import sharing

    opened(arguments)  # what is wrong with it is said as everywhere
    source = sharing.reach(located(arguments)[0])
    filters = _filters.chosen(arguments, time(), source.storage)
    progress = Progress()
    try:
        copied = sharing.give(
            source,
            arguments.place,
            filters,
            keys=sharing.known_keys(),
            dry_run=arguments.dry_run,
            progress=progress,
        )
    finally:
        progress.end()
    _tell(arguments, "pushed", [(arguments.place, copied)])


def import_(arguments: Namespace) -> None:
    _tell(arguments, "imported", _take(arguments, [arguments.file]))


def pull(arguments: Namespace) -> None:
    _tell(arguments, "pulled", _take(arguments, [arguments.place]))


def merge(arguments: Namespace) -> None:
    from memo._place import absolute, is_url, owner_ok, split_location

    def own(place: str) -> bool:
        """A folder into which nobody else could put anything needs no trust."""
        import os

        folder = split_location(absolute(place))[1]
        return not is_url(folder) and os.path.isdir(folder) and owner_ok(folder) is None

    _tell(arguments, "merged", _take(arguments, arguments.places, own))


def _take(
    arguments: Namespace, places: list[str], own: Callable[[str], bool] = lambda place: False
) -> list[tuple[str, Copied]]:
    from memo import sharing
    from memo._opened import open_place
    from memo._place import is_url

    location, _ = located(arguments)
    target: Opened | None = None
    sources = [(place, open_place(_absolute(place))[0]) for place in places]  # all are looked at before one is copied
    if not (arguments.dry_run and absent(location)):
        target = sharing.reach(location, create=not arguments.dry_run or is_url(location))
    done = []
    for place, source in sources:
        progress = Progress()
        try:
            copied = sharing.take(
                target,
                place,
                _filters.chosen(arguments, time(), source),
                keys=sharing.known_keys(),
                trusted=arguments.trust or own(place),
                dry_run=arguments.dry_run,
                progress=progress,
            )
        finally:
            progress.end()
        done.append((place, copied))
    return done


def _absolute(place: str) -> str:
    from memo._place import absolute

    return absolute(place)


def _tell(arguments: Namespace, done: str, copies: list[tuple[str, Copied]]) -> None:
    from memo._place import shown
    from memo._units import show_bytes

    if arguments.json:
        as_json([{"place": shown(place), "dry_run": arguments.dry_run, **copied._asdict()} for place, copied in copies])
    towards = "to" if done in ("exported", "pushed") else "from"
    for place, copied in copies if not arguments.json else ():
        entries = counted(copied.entries, "entry", "entries")
        what = f"{entries} ({show_bytes(copied.bytes)})"
        verb = f"would have {done}" if arguments.dry_run else done
        same = f"; {copied.same:,} there already" if copied.same else ""
        print(f"{verb} {what} {towards} {escape(shown(place))}{same}")
        for name in copied.functions:
            print(f"  {escape(name)}")
    sys.stdout.flush()
    for place, copied in copies:
        if copied.damaged:
            say(f"warning: {counted(copied.damaged, 'entry is', 'entries are')} damaged, and left out ({shown(place)})")
        if copied.left_out:
            say(
                f"warning: {counted(copied.left_out, 'entry is', 'entries are')} larger than the receiver's limit, and"
                f" left out ({shown(place)})"
            )
    if not any(copied.entries or copied.same for _, copied in copies):
        raise Nothing("there is nothing to copy")
